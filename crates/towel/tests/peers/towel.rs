//! The server under test, as its own process.

use crate::{eventually, ports};
use std::{
    fmt::Write,
    fs,
    net::UdpSocket,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// The domain that it serves.
pub(crate) const DOMAIN: &str = "towel.test";

/// A running server; killed when dropped.
pub(crate) struct Towel {
    child: Child,
    /// The file system of its data, if it has one of its own; taken down before its place is removed.
    mount: Option<Mount>,
    dir: tempfile::TempDir,
    /// How large a file it may write, in the blocks of `ulimit -f`.
    limit: Option<u32>,
    /// UDP and TCP; TLS is on the next one.
    pub(crate) port: u16,
}

/// A file system of memory; taken down when dropped.
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// Whether this user may make one; says so where not, and fails where nothing may be skipped.
    #[allow(dead_code)]
    pub(crate) fn allowed() -> bool {
        let dir = tempfile::tempdir().unwrap();
        let args = ["-t", "tmpfs", "-o", "size=64k", "tmpfs"];
        let tried = Command::new("mount").args(args).arg(dir.path()).output();
        let allowed = tried.is_ok_and(|out| out.status.success());
        if allowed {
            drop(Mount(dir.path().to_owned()));
        } else {
            let required = std::env::var("TOWEL_REQUIRE_PEERS").is_ok_and(|v| v == "1");
            assert!(!required, "no file system can be mounted and TOWEL_REQUIRE_PEERS=1");
            eprintln!("skipped: to mount a file system takes root");
        }
        allowed
    }

    fn new(at: PathBuf, size: &str) -> Mount {
        fs::create_dir_all(&at).unwrap();
        let size = format!("size={size}");
        let args = ["-t", "tmpfs", "-o", &size, "tmpfs"];
        assert!(Command::new("mount").args(args).arg(&at).status().unwrap().success());
        Mount(at)
    }

    fn remount(&self, how: &str) {
        let how = format!("remount,{how}");
        assert!(Command::new("mount").args(["-o", &how]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a process that has just been ended may hold it for a moment.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The password of a user of these tests.
pub(crate) fn password(user: &str) -> String {
    format!("{user}-secret")
}

impl Towel {
    /// Starts towel with these users and `more` lines of configuration; a line `# ulimit -f N`
    /// bounds the files that it can write, `# tmpfs SIZE` gives its data a file system of their own.
    pub(crate) fn start(users: &[&str], more: &str) -> Towel {
        let dir = tempfile::tempdir().unwrap();
        let port = ports::free(2);
        let mut config = format!("domains = [\"{DOMAIN}\"]\n{more}\n");
        for (transport, port) in [("udp", port), ("tcp", port), ("tls", port + 1)] {
            writeln!(
                config,
                "[[listen]]\ntransport = \"{transport}\"\naddress = \"127.0.0.1\"\nport = {port}"
            )
            .unwrap();
        }
        for user in users {
            let password = password(user);
            writeln!(config, "[[user]]\nname = \"{user}\"\npassword = \"{password}\"").unwrap();
        }
        if !more.contains("[http]") {
            config.push_str("[http]\nenabled = false\n");
        }
        fs::write(dir.path().join("towel.toml"), config).unwrap();
        let limit = more.lines().find_map(|l| l.strip_prefix("# ulimit -f ")?.parse().ok());
        let size = more.lines().find_map(|l| l.strip_prefix("# tmpfs "));
        let mount = size.map(|size| Mount::new(dir.path().join("data"), size));
        let child = spawn(&dir, limit);
        let mut towel = Towel { child, dir, mount, limit, port };
        towel.wait_ready();
        towel
    }

    /// Makes its data's file system "ro" or "rw".
    #[allow(dead_code)]
    pub(crate) fn remount(&self, how: &str) {
        self.mount.as_ref().expect("one of its own").remount(how);
    }

    /// Ends it as a crash would, and starts it again on the same data.
    pub(crate) fn crash_and_restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Starts it on the same data once it has ended.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(&self.dir, self.limit);
        self.wait_ready();
    }

    /// Lets it write files of any size, as when a full disk has room again.
    #[allow(dead_code)]
    pub(crate) fn make_room(&self) {
        let pid = self.child.id().to_string();
        let done = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
        assert!(done.unwrap().success());
    }

    /// Starts it again on the same data with files of any size.
    #[allow(dead_code)]
    pub(crate) fn restart_unlimited(&mut self) {
        self.limit = None;
        self.crash_and_restart();
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Has it read its configuration again, with these lines more, and waits until it has.
    pub(crate) fn reload(&self, more: &str) {
        self.reload_changed(|config| config + more);
    }

    /// Has it read its configuration again, changed like that, and waits until it has.
    pub(crate) fn reload_changed(&self, change: impl FnOnce(String) -> String) {
        let path = self.dir.path().join("towel.toml");
        let config = fs::read_to_string(&path).unwrap();
        fs::write(&path, change(config)).unwrap();
        let before = self.log().matches("reloaded").count();
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        eventually("the configuration to be read again", || {
            self.log().matches("reloaded").count() > before
        });
    }

    /// Has it read its configuration again, changed like that, which it refuses.
    #[allow(dead_code)]
    pub(crate) fn reload_refused(&self, change: impl Fn(String) -> String) {
        let path = self.dir.path().join("towel.toml");
        let config = fs::read_to_string(&path).unwrap();
        if !config.contains(&change(String::new())) {
            fs::write(&path, change(config)).unwrap();
        }
        let before = self.log().matches("reload-refused").count();
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        eventually("the reload to be refused", || {
            self.log().matches("reload-refused").count() > before
        });
    }

    /// Has a new process take over from this one, and gives the old one, which may take its time.
    #[allow(dead_code)]
    pub(crate) fn take_over(&mut self) -> Child {
        let is_up = |towel: &Towel| towel.log().matches(" is up\n").count();
        let before = is_up(self);
        let new = spawn_with(&self.dir, self.limit, &["--take-over"]);
        let old = std::mem::replace(&mut self.child, new);
        eventually("the new one to be up", || is_up(self) > before);
        old
    }

    /// Has a process try to take over, which must fail; what it says.
    #[allow(dead_code)]
    pub(crate) fn take_over_refused(&self, more: &[&str]) -> String {
        let path = |name: &str| self.dir.path().join(name);
        let out = Command::new(env!("CARGO_BIN_EXE_towel"))
            .args(["serve", "--take-over", "--until-eof", "--config"])
            .arg(path("towel.toml"))
            .arg("--data")
            .arg(path("data"))
            .args(more)
            .stdin(Stdio::piped())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success(), "{text}");
        text.into_owned()
    }

    /// Its process.
    #[allow(dead_code)]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The memory that it holds, in bytes (proc(5)).
    #[allow(dead_code)]
    pub(crate) fn memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Where it keeps its data.
    #[allow(dead_code)]
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The server as a route: `sip:127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn wait_ready(&mut self) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let me = socket.local_addr().unwrap();
        let mut n = 0;
        eventually("towel to answer", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("towel has ended ({status}); its log:\n{}", self.log());
            }
            n += 1;
            let request = format!(
                "OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKready{n};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:ready@elsewhere.test>;tag=1\r\nTo: <sip:{DOMAIN}>\r\n\
                 Call-ID: ready{n}@{me}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            );
            let _ = socket.send_to(request.as_bytes(), self.address());
            let mut answer = [0; 2048];
            socket.recv(&mut answer).is_ok_and(|len| answer[..len].starts_with(b"SIP/2.0 "))
        });
    }
}

/// How many threads every server has, where the environment says: to see all tests with several.
/// What takes over from such a one is refused.
fn threads() -> Option<String> {
    std::env::var("TOWEL_TEST_THREADS").ok()
}

fn spawn(dir: &tempfile::TempDir, limit: Option<u32>) -> Child {
    spawn_with(dir, limit, &[])
}

fn spawn_with(dir: &tempfile::TempDir, limit: Option<u32>, more: &[&str]) -> Child {
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    let log = fs::File::options().create(true).append(true).open(path("log")).unwrap();
    let program = env!("CARGO_BIN_EXE_towel");
    let mut command = match limit {
        None => Command::new(program),
        Some(blocks) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("ulimit -S -f {blocks}; exec \"$@\""), "sh", program]);
            shell
        }
    };
    command
        .args(["serve", "--config"])
        .arg(path("towel.toml"))
        .arg("--data")
        .arg(path("data"))
        // Servers that outlive their test in a static end when this process does.
        .arg("--until-eof")
        .args(more)
        .args(threads().iter().flat_map(|count| ["--threads", count]))
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for Towel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}
