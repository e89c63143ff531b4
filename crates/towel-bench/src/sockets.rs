//! The same beside a whole server on real sockets: `towel serve` and `towel load`, and what the
//! scheduler charges the server's process for a unit.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use towel_load::{Report, StepReport};

use crate::rig::{DOMAIN, address};
use crate::scale::{Axis, Figure};

/// How many sockets `towel load` has at the ports above the server's.
pub const SOCKETS: u16 = 8;

/// The server, which ends with this.
struct Server {
    child: Child,
    at: SocketAddr,
    /// Its data and settings.
    _folder: Folder,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder that goes with its owner.
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Server {
    fn start(program: &Path, port: u16) -> Result<Server, String> {
        let folder = std::env::temp_dir().join(format!("towel-scale-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        let folder = Folder(folder);
        let at = address(port);
        let settings = format!(
            "domains = [\"{DOMAIN}\"]\ndurability = \"memory\"\n\
             [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1\"\nport = {port}\n\
             [[listen]]\ntransport = \"tcp\"\naddress = \"127.0.0.1\"\nport = {port}\n\
             [auth]\nregister = false\ncalls = false\n[http]\nenabled = false\n\
             [limits]\nconnections-per-address = 20000\n[log]\nlevel = \"warn\"\n"
        );
        let file = folder.0.join("towel.toml");
        std::fs::write(&file, settings).map_err(|e| e.to_string())?;
        let mut child = Command::new(program)
            .args(["serve", "--config"])
            .arg(&file)
            .arg("--data")
            .arg(folder.0.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{}: {e}", program.display()))?;
        let out = child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        // It says one line when it listens.
        BufReader::new(out).read_line(&mut line).map_err(|e| e.to_string())?;
        let server = Server { child, at, _folder: folder };
        if line.is_empty() { Err("the server did not start".into()) } else { Ok(server) }
    }

    /// A load of it, and what came of each step.
    fn load(&self, program: &Path, arguments: &[&str]) -> Result<Vec<StepReport>, String> {
        let out = Command::new(program)
            .args(["load", &self.at.to_string(), "--json", "--user", "u{n}@bench.test"])
            .args(["--server-pid", &self.child.id().to_string(), "--local", "127.0.0.1"])
            // The same for each load, so that whoever was registered by one is there for the next.
            .args(["--port", &self.at.port().saturating_add(1).to_string()])
            .args(arguments)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| format!("{}: {e}", program.display()))?;
        let report: Report = serde_json::from_slice(&out.stdout)
            .map_err(|e| format!("{e}: {}", String::from_utf8_lossy(&out.stdout)))?;
        match report.steps.iter().find(|step| step.ok * 100 < step.offered * 99) {
            Some(step) => Err(format!("{}: {} of {} went well", step.name, step.ok, step.offered)),
            None => Ok(report.steps),
        }
    }
}

/// Calls a second, and refreshes.
const CALLS: [&str; 2] = ["--rate", "4000"];
const REFRESHES: [&str; 2] = ["--rate", "20000"];
const TIMES: [&str; 4] = ["--seconds", "5", "--warm-up", "2"];

fn figure(axis: Axis, work: &str, size: u32, step: &StepReport) -> Figure {
    let server = step.server.as_ref().and_then(|server| server.us_per_unit);
    Figure { axis: axis.name().into(), work: work.into(), size, server, ..Figure::default() }
}

/// Measures a whole server of `program` at every size of an axis; `port` and the
/// [`SOCKETS`] above it are to be free.
///
/// # Errors
/// If one of the two does not do what it should.
pub fn measure(
    program: &Path,
    port: u16,
    axis: Axis,
    told: &mut dyn FnMut(Figure),
) -> Result<(), String> {
    let with = |some: &[&[&'static str]]| some.concat();
    match axis {
        Axis::Bindings => {
            for size in axis.sizes() {
                let server = Server::start(program, port)?;
                let users = size.to_string();
                let mut arguments = vec!["register", "--users", &users];
                arguments.extend(with(&[&REFRESHES, &TIMES]));
                for step in server.load(program, &arguments)? {
                    told(figure(axis, "refresh", *size, &step));
                }
                let mut arguments = vec!["call", "--no-register", "--users", &users];
                arguments.extend(with(&[&CALLS, &TIMES]));
                for step in server.load(program, &arguments)? {
                    told(figure(axis, "call", *size, &step));
                }
            }
        }
        Axis::Live => {
            let server = Server::start(program, port)?;
            let sizes: Vec<String> = axis.sizes().iter().map(u32::to_string).collect();
            let live = sizes.join(",");
            let mut arguments = vec!["call", "--live", &live];
            arguments.extend(with(&[&CALLS, &TIMES]));
            let steps = server.load(program, &arguments)?;
            for (size, step) in axis.sizes().iter().zip(&steps) {
                told(figure(axis, "call", *size, step));
            }
        }
        Axis::Connections => {
            for size in axis.sizes().iter().filter(|size| **size <= 10_000) {
                let server = Server::start(program, port)?;
                let mut idle = Vec::new();
                for _ in 0..*size {
                    let one = TcpStream::connect_timeout(&server.at, Duration::from_secs(5));
                    idle.push(one.map_err(|e| format!("connection {}: {e}", idle.len()))?);
                }
                let mut arguments = vec!["call"];
                arguments.extend(with(&[&CALLS, &TIMES]));
                for step in server.load(program, &arguments)? {
                    told(figure(axis, "call", *size, &step));
                }
            }
        }
        // How many linger is the rate's doing there.
        Axis::Lingering => {}
    }
    Ok(())
}
