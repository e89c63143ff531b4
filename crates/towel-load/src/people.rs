//! Who calls and who is called: names and passwords by a pattern or from a list.

use towel_message::scan::push_number;

/// A text with a place for a number: `u{n}`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Numbered {
    before: String,
    /// What follows the number; none if there is no place for one.
    after: Option<String>,
}

impl Numbered {
    fn parse(text: &str) -> Self {
        match text.split_once("{n}") {
            Some((before, after)) => Self { before: before.into(), after: Some(after.into()) },
            None => Self { before: text.into(), after: None },
        }
    }

    fn write(&self, n: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(self.before.as_bytes());
        if let Some(after) = &self.after {
            push_number(out, u64::from(n));
            out.extend_from_slice(after.as_bytes());
        }
    }
}

/// One person of a list.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The user part.
    pub user: String,
    /// The domain.
    pub domain: String,
    /// The password.
    pub password: String,
}

#[derive(Clone)]
enum Kind {
    Pattern { user: Numbered, domain: String, password: Option<Numbered> },
    List(Vec<Person>),
}

/// A number of people, each with an address of record and perhaps a password.
#[derive(Clone)]
pub struct People {
    kind: Kind,
    count: u32,
}

impl std::fmt::Debug for People {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Passwords must not reach a log by way of a debug print.
        write!(f, "{} people", self.count)
    }
}

/// The most people that a load has.
pub const MOST: u32 = 4_000_000;

impl People {
    /// So many people by a pattern: `user@domain` or `user:password@domain`, `{n}` in user and
    /// password standing for 0, 1, 2 and so on. `password` is that of all whose pattern has none.
    ///
    /// # Errors
    /// What is wrong with the pattern, for a person.
    pub fn pattern(pattern: &str, count: u32, password: Option<&str>) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("`{pattern}` {why}"));
        let text = pattern.strip_prefix("sip:").unwrap_or(pattern);
        let Some((who, domain)) = text.rsplit_once('@') else {
            return wrong("is no pattern of users: write it as u{n}@example.com");
        };
        let (user, inner) = match who.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (who, password),
        };
        let bad = |c: char| c.is_whitespace() || c.is_control() || "<>\"@;?".contains(c);
        if user.is_empty() || domain.is_empty() || user.contains(bad) || domain.contains(bad) {
            return wrong("names no user and domain that could stand in a SIP URI");
        }
        if count > 1 && !user.contains("{n}") {
            return wrong("has no {n}, so all users would be one");
        }
        Self::bounded(count)?;
        let kind = Kind::Pattern {
            user: Numbered::parse(user),
            domain: domain.to_owned(),
            password: inner.filter(|p| !p.is_empty()).map(Numbered::parse),
        };
        Ok(Self { kind, count })
    }

    /// These, or the first `count` of them.
    ///
    /// # Errors
    /// There are none, or too many.
    pub fn list(mut list: Vec<Person>, count: Option<u32>) -> Result<Self, String> {
        let all = u32::try_from(list.len()).unwrap_or(u32::MAX);
        let count = count.unwrap_or(all);
        if count > all {
            return Err(format!("{count} users are asked for, and the file has {all}"));
        }
        Self::bounded(count)?;
        list.truncate(count as usize);
        Ok(Self { kind: Kind::List(list), count })
    }

    fn bounded(count: u32) -> Result<(), String> {
        match count {
            0 => Err("there must be one user at least".into()),
            1..=MOST => Ok(()),
            _ => Err(format!("{count} users are more than {MOST}")),
        }
    }

    /// How many.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Appends the user part of one's address of record.
    pub fn write_user(&self, n: u32, out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Pattern { user, .. } => user.write(n, out),
            Kind::List(list) => {
                let user = list.get(n as usize).map_or("", |person| &person.user);
                out.extend_from_slice(user.as_bytes());
            }
        }
    }

    /// The domain of one's address of record.
    pub fn domain(&self, n: u32) -> &str {
        match &self.kind {
            Kind::Pattern { domain, .. } => domain,
            Kind::List(list) => list.get(n as usize).map_or("", |person| &person.domain),
        }
    }

    /// Appends one's address of record.
    pub fn write_uri(&self, n: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(b"sip:");
        self.write_user(n, out);
        out.push(b'@');
        out.extend_from_slice(self.domain(n).as_bytes());
    }

    /// One's user part and password, where there is a password.
    pub fn account(&self, n: u32) -> Option<(String, String)> {
        let text = |bytes| String::from_utf8(bytes).unwrap_or_default();
        let (mut name, mut secret) = (Vec::new(), Vec::new());
        self.write_user(n, &mut name);
        match &self.kind {
            Kind::Pattern { password, .. } => password.as_ref()?.write(n, &mut secret),
            Kind::List(list) => {
                let password = &list.get(n as usize)?.password;
                secret.extend_from_slice(password.as_bytes());
            }
        }
        Some((text(name), text(secret)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(people: &People, n: u32) -> String {
        let mut out = Vec::new();
        people.write_uri(n, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn patterns() {
        let bench = People::pattern("u{n}:pw{n}@bench.test", 1000, None).unwrap();
        assert_eq!(uri(&bench, 17), "sip:u17@bench.test");
        assert_eq!(bench.account(17), Some(("u17".into(), "pw17".into())));
        let shared = People::pattern("sip:phone-{n}-x@a.test", 2, Some("secret")).unwrap();
        assert_eq!(shared.account(1), Some(("phone-1-x".into(), "secret".into())));
        assert_eq!(People::pattern("c{n}@a.test", 9, None).unwrap().account(3), None);
        assert_eq!(uri(&People::pattern("bob@a.test", 1, None).unwrap(), 0), "sip:bob@a.test");
        // A colon or an at sign in a password is part of it.
        let odd = People::pattern("b:x:y@z@a.test", 1, None).unwrap();
        assert_eq!(odd.account(0), Some(("b".into(), "x:y@z".into())));
        for bad in ["bob", "@a.test", "bob@", "a b{n}@a.test", "same@a.test", "u{n}@a>test"] {
            assert!(People::pattern(bad, 2, None).is_err(), "{bad}");
        }
        assert!(People::pattern("u{n}@a.test", 0, None).is_err());
        assert!(People::pattern("u{n}@a.test", MOST + 1, None).is_err());
        assert!(!format!("{bench:?}").contains("pw"));
    }

    #[test]
    fn lists() {
        let one = |user: &str| Person {
            user: user.into(),
            domain: "a.test".into(),
            password: format!("{user}!"),
        };
        let list = vec![one("alice"), one("bob")];
        let both = People::list(list.clone(), None).unwrap();
        assert_eq!((both.count(), uri(&both, 1)), (2, "sip:bob@a.test".into()));
        assert_eq!(both.account(0), Some(("alice".into(), "alice!".into())));
        assert_eq!(People::list(list.clone(), Some(1)).unwrap().count(), 1);
        assert!(People::list(list, Some(3)).is_err());
        assert!(People::list(Vec::new(), None).is_err());
    }
}
