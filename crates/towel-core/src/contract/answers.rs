//! What an element says of itself, computed from the declarations: Allow, Supported, Accept and
//! the rest, and the answers 405, 415, 420 and 489 that follow from them.

use towel_message::{Message, Name};

use super::behaviour::{Reply, Verdict};
use super::declaration::Extension;
use super::registry::Registry;
use super::roles::{Role, Roles};

/// The computed values, made once.
#[derive(Debug, Clone, Default)]
pub(super) struct Computed {
    methods: Vec<&'static str>,
    options: Vec<&'static str>,
    proxy_options: Vec<&'static str>,
    bodies: Vec<&'static str>,
    encodings: Vec<&'static str>,
    packages: Vec<&'static str>,
    allow: String,
    supported: String,
    accept: String,
    accept_encoding: String,
    allow_events: String,
}

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
        let bodies = once(
            all()
                .flat_map(|extension| extension.bodies)
                .filter(|body| body.accepted_by.meets(roles))
                .map(|body| body.media_type),
        );
        let mut encodings = vec!["identity"];
        encodings.extend(all().flat_map(|extension| extension.encodings));
        let packages = once(
            all()
                .flat_map(|extension| extension.packages)
                .filter(|package| package.served_by.meets(roles) && !package.template)
                .map(|package| package.name),
        );
        Self {
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
            packages,
        }
    }
}

impl Registry {
    /// The value of Allow.
    pub fn allow(&self) -> &str {
        &self.answers.allow
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

    /// The value of Accept-Language: we speak English and refuse nobody for speaking otherwise.
    pub fn accept_language(&self) -> &'static str {
        "en"
    }

    /// The value of Allow-Events; empty if no package is served.
    pub fn allow_events(&self) -> &str {
        &self.answers.allow_events
    }

    /// Whether we answer this method ourselves.
    pub fn allows(&self, method: &[u8]) -> bool {
        self.answers.methods.iter().any(|have| have.as_bytes() == method)
    }

    /// The tags in `name` that are not supported, ready for Unsupported.
    fn unsupported(message: &Message<'_>, name: Name, known: &[&str]) -> Option<Reply> {
        if message.present() & name.bit() == 0 {
            return None;
        }
        let mut missing: Vec<u8> = Vec::new();
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
        (!missing.is_empty()).then(|| Reply::new(420, "Bad Extension").with("Unsupported", missing))
    }

    /// RFC 3261 section 16.3 item 5: a 420 if Proxy-Require names a tag that we do not support.
    pub fn check_proxy_require(&self, message: &Message<'_>) -> Verdict {
        match Self::unsupported(message, Name::ProxyRequire, &self.answers.proxy_options) {
            Some(reply) => Verdict::reply(reply),
            None => Verdict::Pass,
        }
    }

    /// RFC 3261 section 8.2.2.3: a 420 if Require names a tag that we do not support. CANCEL
    /// and ACK are not to be refused for it.
    pub fn check_require(&self, message: &Message<'_>) -> Verdict {
        if matches!(message.method().as_bytes(), b"CANCEL" | b"ACK") {
            return Verdict::Pass;
        }
        match Self::unsupported(message, Name::Require, &self.answers.options) {
            Some(reply) => Verdict::reply(reply),
            None => Verdict::Pass,
        }
    }

    /// RFC 3261 section 8.2.1: a 405 with Allow if we do not answer the method ourselves.
    pub fn check_method(&self, message: &Message<'_>) -> Verdict {
        if self.allows(message.method().as_bytes()) {
            return Verdict::Pass;
        }
        Verdict::reply(Reply::new(405, "Method Not Allowed").with("Allow", self.allow()))
    }

    /// RFC 3261 section 8.2.3: a 415 if there is a body whose type, coding or language we do
    /// not understand and which is not marked optional (section 20.11).
    pub fn check_body(&self, message: &Message<'_>) -> Verdict {
        if message.body().is_empty() || optional_body(message) {
            return Verdict::Pass;
        }
        let media_type = message
            .first(Name::ContentType)
            .and_then(|field| field.value.split(|byte| *byte == b';').next())
            .map(<[u8]>::trim_ascii);
        let known = |list: &[&str], have: &[u8]| {
            list.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(have))
        };
        // The section speaks of a type that is indicated: where there is none, there is nothing to
        // refuse.
        if media_type.is_some_and(|media_type| !known(&self.answers.bodies, media_type)) {
            return Verdict::reply(
                Reply::new(415, "Unsupported Media Type").with("Accept", self.accept()),
            );
        }
        let strange = message
            .values(Name::ContentEncoding)
            .any(|coding| !known(&self.answers.encodings, coding.bytes.trim_ascii()));
        if strange {
            return Verdict::reply(
                Reply::new(415, "Unsupported Media Type")
                    .with("Accept-Encoding", self.accept_encoding()),
            );
        }
        Verdict::Pass
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

/// Whether Content-Disposition says `handling=optional`.
fn optional_body(message: &Message<'_>) -> bool {
    message.first(Name::ContentDisposition).is_some_and(|field| {
        field.value.split(|byte| *byte == b';').skip(1).any(|parameter| {
            let mut halves = parameter.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
            halves.next().is_some_and(|name| name.eq_ignore_ascii_case(b"handling"))
                && halves.next().is_some_and(|value| value.eq_ignore_ascii_case(b"optional"))
        })
    })
}
