//! The configuration: TOML in, checked values out.
//!
//! Everything is read and checked before anything is bound. Whatever is wrong is told with file,
//! line and key ([`Problem`]), all of it at once.

mod guard;
mod model;
mod problem;
mod read;
mod sections;
#[cfg(test)]
mod tests;
mod tls;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

pub use model::*;
pub use problem::{Problem, did_you_mean};
use read::Reading;
pub(crate) use read::write_duration;
pub use sections::{FORMATS, LEVELS};
pub(crate) use sections::{parse_host, socket, user_name};

/// Longest configuration file that is read.
const MAX_FILE: u64 = 64 << 20;

/// Reads a configuration: the file, if there is one, and then each `key=value` of `sets` over it.
///
/// Files that it names are looked for beside it.
pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Config, Vec<Problem>> {
    let mut config = Config::default();
    let mut problems = Vec::new();
    if let Some(path) = file {
        let name = path.display().to_string();
        let readable = std::fs::metadata(path).and_then(|m| {
            if m.len() > MAX_FILE {
                Err(std::io::Error::other("the file is too large"))
            } else {
                std::fs::read_to_string(path)
            }
        });
        match readable {
            Ok(source) => {
                let folder = path.parent().unwrap_or(Path::new(""));
                problems.extend(apply(&name, &source, &mut config, Some(folder)));
            }
            Err(error) => {
                return Err(vec![Problem::whole(&name, "", format!("cannot be read: {error}"))]);
            }
        }
    }
    if !sets.is_empty() {
        // All at once: one may need another. Its number is that of its line. Of two for the same key
        // the later one counts.
        let key = |set: &str| set.split('=').next().unwrap_or("").trim().to_owned();
        let last = |at: usize| !sets[at + 1..].iter().any(|later| key(later) == key(&sets[at]));
        let lines =
            sets.iter().enumerate().map(|(at, set)| if last(at) { line(set) } else { "".into() });
        let text = lines.collect::<Vec<Cow<'_, str>>>().join("\n");
        problems.extend(apply("--set", &text, &mut config, None));
    }
    if problems.is_empty()
        && !sets.is_empty()
        && let Some(key) = &config.tls.key
        && !tls::belong_together(&config.tls)
    {
        // Each may come from another place.
        problems.push(tls::mismatch(Problem::whole("--set", "tls.key", ""), key));
    }
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// A `--set` as a line of TOML. Shells take quotes away, so a word that is no value of TOML is meant
/// as text: an address, a domain.
fn line(set: &str) -> Cow<'_, str> {
    let Some((key, value)) = set.split_once('=') else { return set.into() };
    let value = value.trim();
    let plain = !value.is_empty() && !value.contains(['"', '\'', '\\', '[', '{', '#', '\n']);
    if plain && toml::from_str::<toml::Table>(set).is_err() {
        return format!("{key}=\"{value}\"").into();
    }
    set.into()
}

/// Reads the text of a configuration.
pub fn parse(name: &str, source: &str) -> Result<Config, Vec<Problem>> {
    let mut config = Config::default();
    let problems = apply(name, source, &mut config, None);
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// Reads `source` over what `config` holds already.
fn apply(name: &str, source: &str, config: &mut Config, folder: Option<&Path>) -> Vec<Problem> {
    let mut reading = Reading::document(name, source, |root| sections::root(root, config));
    if let Some(folder) = folder {
        resolve_paths(&reading, config, folder);
    }
    check(&mut reading, config);
    reading.into_problems()
}

/// A path in a file is relative to the file, not to where towel happens to be started.
fn resolve_paths(reading: &Reading<'_>, config: &mut Config, folder: &Path) {
    let beside = |path: &mut PathBuf| *path = folder.join(&*path);
    if reading.has("data") {
        beside(&mut config.data);
    }
    if reading.has("user-files") {
        config.user_files.iter_mut().for_each(beside);
    }
    for (key, slot) in [
        ("tls.certificate", &mut config.tls.certificate),
        ("tls.key", &mut config.tls.key),
        ("tls.ca", &mut config.tls.ca),
    ] {
        if reading.has(key)
            && let Some(path) = slot
        {
            beside(path);
        }
    }
}

/// A bound that is set moves those that nobody set, so that one key alone is a whole configuration.
fn fit_expiries(reading: &Reading<'_>, r: &mut Register) {
    let unset = |key: &str| !reading.has(key);
    if unset("register.max-expires") && !unset("register.min-expires") {
        r.max_expires = r.max_expires.max(r.min_expires);
    }
    if unset("register.min-expires") && !unset("register.max-expires") {
        r.min_expires = r.min_expires.min(r.max_expires);
    }
    if unset("register.default-expires") && r.min_expires <= r.max_expires {
        r.default_expires = r.default_expires.clamp(r.min_expires, r.max_expires);
    }
}

/// What is sound but may not be meant: a line for each, to be told at the start.
pub fn warnings(config: &Config) -> Vec<String> {
    let mut all = Vec::new();
    if config.timers.timer_c <= std::time::Duration::from_secs(180) {
        all.push(format!(
            "timers.timer-c is {}: RFC 3261 section 16.6 step 11 wants more than 3 minutes, calls \
             that ring longer are given up",
            write_duration(config.timers.timer_c)
        ));
    }
    all
}

/// What no single key can tell: values that must fit each other, and files that must be there.
fn check(reading: &mut Reading<'_>, config: &mut Config) {
    fit_expiries(reading, &mut config.register);
    let r = &config.register;
    if r.min_expires > r.max_expires {
        reading.problem(
            "register.min-expires",
            format!("is longer than max-expires ({})", write_duration(r.max_expires)),
        );
    }
    if reading.has("register.default-expires")
        && (r.default_expires < r.min_expires || r.default_expires > r.max_expires)
    {
        reading.problem(
            "register.default-expires",
            format!(
                "must lie between min-expires ({}) and max-expires ({})",
                write_duration(r.min_expires),
                write_duration(r.max_expires)
            ),
        );
    }
    if config.timers.t1 > config.timers.t2 {
        // The key that was written is the one to look at.
        let (key, t1) = ("timers.t2", write_duration(config.timers.t1));
        match reading.has(key) {
            true => reading.problem(key, format!("must not be shorter than t1 ({t1})")),
            false => reading.problem("timers.t1", "must not be longer than t2"),
        };
    }
    if config.tls.certificate.is_some() != config.tls.key.is_some() {
        let key = if config.tls.key.is_none() { "tls.certificate" } else { "tls.key" };
        reading.problem(key, "certificate and key must be given together");
    }
    tls::check(reading, &config.tls);
    if reading.has("user-files") {
        for path in &config.user_files {
            if let Err(error) = std::fs::File::open(path) {
                reading.problem("user-files", format!("{}: {error}", path.display()));
            }
        }
    }
    for (i, a) in config.listen.iter().enumerate() {
        let name = |l: &Listen| format!("{} {}", l.transport.word(), l.socket());
        match config.listen[..i].iter().find(|b| a.port != 0 && clash(a, b)) {
            Some(b) if name(a) == name(b) => {
                reading.problem_of("listen", i, format!("{} is listed twice", name(a)));
            }
            Some(b) => {
                let what = format!("{} wants the port that {} has", name(a), name(b));
                reading.problem_of("listen", i, what).help =
                    Some("TCP and TLS share their ports, and 0.0.0.0 is every address".into());
            }
            None => {}
        }
    }
    for (i, user) in config.users.iter().enumerate() {
        if let Some(domain) = &user.domain
            && !config.domains.is_empty()
            && !config.domains.contains(domain)
        {
            let near = did_you_mean(domain, config.domains.iter().map(String::as_str));
            let what = format!("{}: `{domain}` is not among `domains`", user.name);
            reading.problem_of("user", i, what).help =
                near.map(|near| format!("did you mean `{near}`?"));
        }
    }
    for (i, a) in config.users.iter().enumerate() {
        let same = |b: &&ConfiguredUser| b.name == a.name && b.domain == a.domain;
        if i < 10_000 && config.users[..i].iter().any(|b| same(&b)) {
            reading.problem_of("user", i, format!("{} is listed twice", a.name));
        }
    }
    if !config.aliases.is_empty() && config.domains.is_empty() {
        reading
            .problem("aliases", "aliases are other names of the first domain, and there is none")
            .help = Some("set domains".into());
    }
    if config.http.enabled && !config.http.address.ip().is_loopback() && config.http.token.is_none()
    {
        reading.problem("http.address", "beyond loopback the HTTP port needs a credential").help =
            Some("set http.token, or listen on 127.0.0.1".into());
    }
}

/// Whether two listeners want the same socket; TCP and TLS share their ports.
fn clash(a: &Listen, b: &Listen) -> bool {
    let stream = |l: &Listen| l.transport != ListenTransport::Udp;
    // One that listens on every address has the port of each; IPv6 listeners take no IPv4.
    let every = a.address.is_ipv4() == b.address.is_ipv4()
        && (a.address.is_unspecified() || b.address.is_unspecified());
    stream(a) == stream(b) && a.port == b.port && (a.address == b.address || every)
}

/// A listener of the command line: `udp:192.0.2.1:5060`, `tls:5061`, `tcp:[::]:0`.
pub fn parse_listen(text: &str) -> Result<Listen, String> {
    let (word, rest) = text.split_once(':').unwrap_or((text, ""));
    let transport = match word {
        "udp" => ListenTransport::Udp,
        "tcp" => ListenTransport::Tcp,
        "tls" => ListenTransport::Tls,
        _ => {
            return Err(format!(
                "`{text}`: write transport:address:port, e.g. udp:0.0.0.0:5060; the transports are udp, tcp and tls"
            ));
        }
    };
    let any = std::net::IpAddr::from([0, 0, 0, 0]);
    let (address, port) = if rest.is_empty() {
        (any, transport.default_port())
    } else if let Ok(port) = rest.parse::<u16>() {
        (any, port)
    } else {
        let socket = socket(rest, transport.default_port())
            .ok_or_else(|| format!("`{rest}` is not an address with or without a port"))?;
        (socket.ip(), socket.port())
    };
    Ok(Listen { transport, address, port, advertise: None, advertise_port: None })
}
