//! What an element says of itself, computed from the declarations: Allow, Supported, Accept and
//! the rest, and the answers 405, 415, 420 and 489 that follow from them.

use towel_message::{Message, Name};

use super::behaviour::{Fields, Reply, Verdict};
use super::declaration::Extension;
use super::registry::Registry;
use super::roles::{Role, Roles};

/// The computed values, made once.
#[derive(Debug, Clone, Default)]
pub(super) struct Computed {
    methods: Vec<&'static str>,
    options: Vec<&'static str>,
    proxy_options: Vec<&'static str>,
    pub(super) bodies: Vec<&'static str>,
    pub(super) encodings: Vec<&'static str>,
    pub(super) dispositions: Vec<&'static str>,
    packages: Vec<&'static str>,
    allow: String,
    allow_besides_sessions: String,
    supported: String,
    accept: String,
    accept_encoding: String,
    allow_events: String,
    /// What the answer to an OPTIONS has.
    abilities: Fields,
}

/// The value of Accept-Language: we speak English.
const LANGUAGE: &str = "en";

fn once(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut list: Vec<&'static str> = Vec::new();
    for name in names {
        if !list.contains(&name) {
            list.push(name);
        }
    }
    list
}

impl Computed {
    pub(super) fn of(extensions: &[&'static Extension], roles: Roles) -> Self {
        let all = || extensions.iter().copied();
        let methods = once(
            all()
                .flat_map(|extension| extension.methods)
                .filter(|method| method.answered_by.meets(roles))
                .map(|method| method.name),
        );
        // What a proxy supports is told by Proxy-Require alone; Supported is a statement of user
        // agents and registrars (RFC 3261 sections 20.29, 20.37).
        let tags = |roles: Roles| {
            once(
                all()
                    .flat_map(|extension| extension.option_tags)
                    .filter(|tag| tag.supported_by.meets(roles))
                    .map(|tag| tag.name),
            )
        };
        let ends: Vec<Role> = roles.iter().filter(|role| *role != Role::Proxy).collect();
        let options = tags(Roles::of(&ends));
        let proxy_options = tags(Roles::PROXY);
        let mut bodies = once(
            all()
                .flat_map(|extension| extension.bodies)
                .filter(|body| body.accepted_by.meets(roles))
                .map(|body| body.media_type),
        );
        // Whoever understands a body understands one of several parts (RFC 5621 section 3.1).
        if !bodies.is_empty() {
            bodies.extend(["multipart/mixed", "multipart/alternative"]);
        }
        let dispositions = once(all().flat_map(|extension| extension.dispositions).copied());
        let mut encodings = vec!["identity"];
        encodings.extend(all().flat_map(|extension| extension.encodings));
        let packages = once(
            all()
                .flat_map(|extension| extension.packages)
                .filter(|package| package.served_by.meets(roles) && !package.template)
                .map(|package| package.name),
        );
        let mut computed = Self {
            abilities: Fields::new(),
            allow_besides_sessions: methods
                .iter()
                .copied()
                .filter(|method| !matches!(*method, "INVITE" | "ACK" | "BYE"))
                .collect::<Vec<_>>()
                .join(", "),
            allow: methods.join(", "),
            supported: options.join(", "),
            accept: bodies.join(", "),
            accept_encoding: encodings.join(", "),
            allow_events: packages.join(", "),
            methods,
            options,
            proxy_options,
            bodies,
            encodings,
            dispositions,
            packages,
        };
        computed.abilities.push("Allow", &computed.allow_besides_sessions);
        computed.abilities.push("Accept", &computed.accept);
        computed.abilities.push("Accept-Encoding", &computed.accept_encoding);
        computed.abilities.push("Accept-Language", LANGUAGE);
        computed.abilities.push("Supported", &computed.supported);
        if !computed.allow_events.is_empty() {
            computed.abilities.push("Allow-Events", &computed.allow_events);
        }
        computed
    }
}

impl Registry {
    /// The value of Allow.
    pub fn allow(&self) -> &str {
        &self.answers.allow
    }

    /// The same of an element that takes no session for itself.
    pub fn allow_besides_sessions(&self) -> &str {
        &self.answers.allow_besides_sessions
    }

    /// The value of Supported.
    pub fn supported(&self) -> &str {
        &self.answers.supported
    }

    /// The value of Accept; empty means that no body is understood, which the empty header
    /// field says (RFC 3261 section 20.1).
    pub fn accept(&self) -> &str {
        &self.answers.accept
    }

    /// The value of Accept-Encoding.
    pub fn accept_encoding(&self) -> &str {
        &self.answers.accept_encoding
    }

    /// The value of Accept-Language: we speak English.
    pub fn accept_language(&self) -> &'static str {
        LANGUAGE
    }

    /// The header fields in which an element that takes no session for itself says what it can do
    /// (RFC 3261 section 11.2).
    pub fn abilities(&self) -> &Fields {
        &self.answers.abilities
    }

    /// The value of Allow-Events; empty if no package is served.
    pub fn allow_events(&self) -> &str {
        &self.answers.allow_events
    }

    /// Whether we answer this method ourselves.
    pub fn allows(&self, method: &[u8]) -> bool {
        self.answers.methods.iter().any(|have| have.as_bytes() == method)
    }

    /// Adds the tags in `name` that are not supported to `missing`, ready for Unsupported.
    fn unsupported(message: &Message<'_>, name: Name, known: &[&str], missing: &mut Vec<u8>) {
        if message.present() & name.bit() == 0 {
            return;
        }
        for tag in message.values(name).map(|value| value.bytes.trim_ascii()) {
            if tag.is_empty() || known.iter().any(|have| have.as_bytes().eq_ignore_ascii_case(tag))
            {
                continue;
            }
            if !missing.is_empty() {
                missing.extend_from_slice(b", ");
            }
            missing.extend_from_slice(tag);
        }
    }

    fn bad_extension(missing: Vec<u8>) -> Verdict {
        if missing.is_empty() {
            return Verdict::Pass;
        }
        Verdict::reply(Reply::new(420, "Bad Extension").with("Unsupported", missing))
    }

    /// RFC 3261 section 16.3 item 5: a 420 if Proxy-Require names a tag that we do not support.
    pub fn check_proxy_require(&self, message: &Message<'_>) -> Verdict {
        let mut missing = Vec::new();
        Self::unsupported(message, Name::ProxyRequire, &self.answers.proxy_options, &mut missing);
        Self::bad_extension(missing)
    }

    /// Both of them, for a request to the server itself, which is then proxy and UAS in one: who
    /// asked for too much is told all of it at once (RFC 4475 section 3.3.5).
    pub fn check_all_required(&self, message: &Message<'_>) -> Verdict {
        if matches!(message.method().as_bytes(), b"CANCEL" | b"ACK") {
            return Verdict::Pass;
        }
        let (mut missing, answers) = (Vec::new(), &self.answers);
        Self::unsupported(message, Name::Require, &answers.options, &mut missing);
        Self::unsupported(message, Name::ProxyRequire, &answers.proxy_options, &mut missing);
        Self::bad_extension(missing)
    }

    /// RFC 3261 section 8.2.2.3: a 420 if Require names a tag that we do not support. CANCEL
    /// and ACK are not to be refused for it.
    pub fn check_require(&self, message: &Message<'_>) -> Verdict {
        if matches!(message.method().as_bytes(), b"CANCEL" | b"ACK") {
            return Verdict::Pass;
        }
        let mut missing = Vec::new();
        Self::unsupported(message, Name::Require, &self.answers.options, &mut missing);
        Self::bad_extension(missing)
    }

    /// RFC 3261 section 8.2.1: a 405 with Allow if we do not answer the method ourselves.
    pub fn check_method(&self, message: &Message<'_>) -> Verdict {
        if self.allows(message.method().as_bytes()) {
            return Verdict::Pass;
        }
        Verdict::reply(Reply::new(405, "Method Not Allowed").with("Allow", self.allow()))
    }

    /// RFC 6665 section 4.1.2.4: a 489 with Allow-Events for a package that is not served.
    pub fn check_event(&self, message: &Message<'_>) -> Verdict {
        let package = message
            .first(Name::Event)
            .and_then(|field| field.value.split(|byte| matches!(byte, b';')).next())
            .map(<[u8]>::trim_ascii)
            .unwrap_or_default();
        // Packages are compared byte by byte: event-type is a case-sensitive token (8.2.1).
        if self.answers.packages.iter().any(|have| have.as_bytes() == package) {
            return Verdict::Pass;
        }
        Verdict::reply(Reply::new(489, "Bad Event").with("Allow-Events", self.allow_events()))
    }
}
