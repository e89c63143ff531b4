//! Users: where they come from, how they are kept, and that their passwords are not.
//!
//! A password is turned into H(A1) of every algorithm (RFC 8760) as soon as it is read; only the
//! hashes are kept, in memory and in the store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use towel_core::auth::credentials::User;
use towel_core::io::Record;

use crate::config::{Config, Problem, parse_host, user_name};

/// Largest file of users that is read.
const MAX_FILE: u64 = 1 << 30;

/// Where a user is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// In the store, by `towel user` or the first start.
    Store,
    /// In the configuration or in a file that it names.
    Configuration,
}

/// A user and where it is defined.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is defined.
    pub source: Source,
    /// What the core knows of it.
    pub user: User,
}

/// All users, by realm and name.
#[derive(Clone, Default)]
pub struct Users {
    all: BTreeMap<(Arc<str>, Arc<str>), Entry>,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The hashes must not reach a log by way of a debug print.
        write!(f, "{} users", self.all.len())
    }
}

impl Users {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them in order of realm and name.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.all.values()
    }

    /// One user.
    pub fn get(&self, name: &str, realm: &str) -> Option<&Entry> {
        self.all.get(&(realm.into(), name.into()))
    }

    /// Sets one user; gives what was known of that one.
    pub fn set(&mut self, source: Source, user: User) -> Option<Entry> {
        self.all.insert(user.key(), Entry { source, user })
    }

    /// Sets one user of the configuration, or says why it cannot be meant.
    fn configured(&mut self, user: User) -> Result<(), &'static str> {
        match self.set(Source::Configuration, user.clone()) {
            Some(before) if before.source == Source::Configuration && before.user != user => {
                Err("this user has another password above")
            }
            _ => Ok(()),
        }
    }

    /// Removes one user.
    pub fn remove(&mut self, name: &str, realm: &str) -> Option<Entry> {
        self.all.remove(&(realm.into(), name.into()))
    }

    /// Takes in a record of the store's table of users; false if it cannot be read.
    pub fn load(&mut self, record: &Record) -> bool {
        if record.value.is_none() {
            let Ok(key) = std::str::from_utf8(&record.key) else { return false };
            if let Some((realm, name)) = key.split_once('\0') {
                self.remove(name, realm);
            }
            return true;
        }
        match User::from_record(record) {
            Some(user) => {
                self.set(Source::Store, user);
                true
            }
            None => false,
        }
    }

    /// Takes in the users of the configuration, which win over those of the store.
    pub fn configure(
        &mut self,
        config: &Config,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Vec<Problem> {
        let primary = primary_domain(config);
        let mut problems = Vec::new();
        for user in &config.users {
            let realm = realm_of(config, user.domain.as_ref().unwrap_or(&primary));
            let same = self.configured(User::new(&user.name, &realm, &user.password));
            if let Err(why) = same {
                let why = format!("{} in realm {realm}: {why}", user.name);
                problems.push(Problem::whole("configuration", "user", why));
            }
        }
        for path in &config.user_files {
            problems.extend(self.file(path, config, progress));
        }
        if self.len() > config.limits.users {
            problems.push(Problem::whole(
                "configuration",
                "limits.users",
                format!(
                    "there are {} users, more than the limit of {}",
                    self.len(),
                    config.limits.users
                ),
            ));
        }
        problems
    }

    /// Takes in a file of users; `progress` is told lines and lines in all.
    pub fn file(
        &mut self,
        path: &Path,
        config: &Config,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Vec<Problem> {
        let name = path.display().to_string();
        let text = match std::fs::metadata(path) {
            Ok(m) if m.len() > MAX_FILE => Err(std::io::Error::other("the file is too large")),
            Ok(_) => std::fs::read_to_string(path),
            Err(error) => Err(error),
        };
        let text = match text {
            Ok(text) => text,
            Err(error) => {
                return vec![Problem::whole(&name, "", format!("cannot be read: {error}"))];
            }
        };
        let total = text.lines().count() as u64;
        let mut problems = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if number & 0xFFF == 0 {
                progress(number as u64, total);
            }
            let taken = line_of(line, number == 0).and_then(|read| {
                let Some((user, domain, password)) = read else { return Ok(()) };
                let domain = if domain.is_empty() { primary_domain(config) } else { domain };
                if !config.domains.is_empty() && !config.domains.contains(&domain) {
                    return Err("the domain is not among `domains` of the configuration");
                }
                self.configured(User::new(&user, &realm_of(config, &domain), &password))
            });
            match taken {
                Ok(()) => {}
                Err(why) => {
                    let mut problem = Problem::whole(&name, "", why);
                    // The line itself is not shown: there is a password in it.
                    problem.line = number + 1;
                    problem.column = 1;
                    problems.push(problem);
                    if problems.len() == 20 {
                        break;
                    }
                }
            }
        }
        progress(total, total);
        problems
    }
}

/// The domain of users that name none: the first configured, or `localhost`.
pub fn primary_domain(config: &Config) -> String {
    config.domains.first().cloned().unwrap_or_else(|| "localhost".to_owned())
}

/// The realm in which a domain's users are challenged.
pub fn realm_of(config: &Config, domain: &str) -> String {
    match &config.realm {
        Some(realm) => realm.clone(),
        None if config.domains.is_empty() => "towel".to_owned(),
        None => domain.to_owned(),
    }
}

/// Reads `name` or `name@domain` of a command line: name and domain.
pub fn parse(text: &str, config: &Config) -> Result<(String, String), String> {
    let text = text.strip_prefix("sip:").unwrap_or(text);
    let (name, domain) = match text.rsplit_once('@') {
        Some((name, domain)) => {
            (name, parse_host(domain).map_err(|why| format!("`{domain}` {why}"))?)
        }
        None => (text, primary_domain(config)),
    };
    user_name(name).map_err(str::to_owned)?;
    Ok((name.to_owned(), domain))
}

/// One line of a file of users: name, domain and password, or nothing; `first` is a first line,
/// which may be a heading.
///
/// # Errors
/// What is wrong with it, without what stands in it.
pub fn line_of(line: &str, first: bool) -> Result<Option<(String, String, String)>, &'static str> {
    let line = line.trim_end_matches('\r');
    if line.trim().is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    if first && line.replace(' ', "").eq_ignore_ascii_case("user,domain,password") {
        return Ok(None);
    }
    let fields = fields(line)?;
    let [user, domain, password] = <[String; 3]>::try_from(fields)
        .map_err(|_| "a line must be user,domain,password (quote a value that has a comma)")?;
    user_name(&user)?;
    let domain = if domain.is_empty() {
        domain
    } else {
        parse_host(&domain).map_err(|_| "the domain is not a host name")?
    };
    if password.is_empty() {
        return Err("the password is empty");
    }
    Ok(Some((user, domain, password)))
}

/// The fields of a line of comma-separated values, quoted or not (RFC 4180).
fn fields(line: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        let mut field = String::new();
        if chars.peek() == Some(&'"') {
            chars.next();
            loop {
                match chars.next() {
                    Some('"') if chars.peek() == Some(&'"') => {
                        chars.next();
                        field.push('"');
                    }
                    Some('"') => break,
                    Some(c) => field.push(c),
                    None => return Err("a quote is not closed"),
                }
            }
            match chars.next() {
                None => {
                    fields.push(field);
                    return Ok(fields);
                }
                Some(',') => {}
                Some(_) => return Err("something follows a closing quote"),
            }
        } else {
            loop {
                match chars.next() {
                    None => {
                        fields.push(field);
                        return Ok(fields);
                    }
                    Some(',') => break,
                    Some(c) => field.push(c),
                }
            }
        }
        fields.push(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Option<(String, String, String)> {
        line_of(text, false).unwrap()
    }

    #[test]
    fn lines_of_a_file() {
        let three = |a: &str, b: &str, c: &str| Some((a.into(), b.into(), c.into()));
        assert_eq!(line("u0,bench.test,pw0"), three("u0", "bench.test", "pw0"));
        assert_eq!(line("u0,Bench.Test,\"a,\"\"b\"\r"), three("u0", "bench.test", "a,\"b"));
        assert_eq!(line("u0,,x"), three("u0", "", "x"));
        assert_eq!(line_of("User, domain, password", true), Ok(None));
        assert_eq!(line("  "), None);
        assert!(line_of("u0,bench.test", false).is_err());
        assert!(line_of("u 0,bench.test,x", false).is_err());
        assert!(line_of("u0,bench.test,", false).is_err());
        assert!(line_of("u0,bench.test,\"x", false).is_err());
    }

    #[test]
    fn a_file_that_contradicts_itself_or_the_configuration_is_told_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        std::fs::write(&path, "a,a.test,x\na,a.test,x\nb,,y\nb,a.test,z\nc,c.test,x\n").unwrap();
        let config = crate::config::parse("t", "domains=[\"a.test\"]\n").unwrap();
        let mut users = Users::default();
        let problems = users.file(&path, &config, &mut |_, _| {});
        let told: Vec<_> = problems.iter().map(|p| (p.line, p.message.as_str())).collect();
        assert_eq!(
            told,
            [
                (4, "this user has another password above"),
                (5, "the domain is not among `domains` of the configuration"),
            ]
        );
    }

    #[test]
    fn the_configuration_wins_over_the_store() {
        let config = crate::config::parse(
            "t",
            "domains=[\"a.test\"]\n[[user]]\nname=\"x\"\npassword=\"new\"\n",
        )
        .unwrap();
        let mut users = Users::default();
        assert!(users.load(&User::new("x", "a.test", "old").record()));
        assert!(users.load(&User::new("y", "a.test", "y").record()));
        assert!(users.configure(&config, &mut |_, _| {}).is_empty());
        assert_eq!(users.len(), 2);
        let x = users.get("x", "a.test").unwrap();
        assert!(x.user == User::new("x", "a.test", "new") && x.source == Source::Configuration);
        assert!(users.load(&User::removal("y", "a.test")));
        assert!(users.get("y", "a.test").is_none());
        assert_eq!(parse("zed", &config), Ok(("zed".into(), "a.test".into())));
        assert!(parse("a b", &config).is_err());
        assert_eq!(format!("{users:?}"), "1 users");
    }
}
