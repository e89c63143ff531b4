//! The registry: who is woken by what, in which order, with which settings.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use towel_message::{Index, Limits, Message};

use super::*;
use crate::io::{Flow, ListenerId, Now, Transport};

struct Here;

impl Element for Here {
    fn is_own_domain(&self, _: &[u8]) -> bool {
        true
    }
    fn domain(&self) -> &str {
        "example.com"
    }
    fn own_uri(&self, _: &Flow, out: &mut Vec<u8>) {
        out.extend_from_slice(b"sip:example.com");
    }
}

fn env() -> Env<'static> {
    Env::new(Now::default(), &Here)
}

fn flow() -> Flow {
    let address = std::net::SocketAddr::from(([192, 0, 2, 7], 5060));
    Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        local: address,
        remote: address,
        connection: None,
    }
}

fn with<T>(start: &str, more: &str, run: impl FnOnce(Message<'_>) -> T) -> T {
    let method = start.split(' ').next().filter(|word| *word != "SIP/2.0").unwrap_or("OPTIONS");
    let bytes = format!(
        "{start}\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKx\r\nFrom: <sip:a@x>;tag=1\r\n\
         To: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n{more}\r\n\r\n"
    );
    let mut index = Index::new();
    run(Message::parse(bytes.as_bytes(), &mut index, &Limits::default()).expect("a message"))
}

/// Refuses with the status that its settings give, 499 without.
struct Refusing;
static CALLS: AtomicUsize = AtomicUsize::new(0);

impl Behaviour for Refusing {
    fn stages(&self) -> &'static [Stage] {
        &[Stage::ProxyValidate, Stage::ProxyTargets]
    }
    fn proxy_validate(&self, env: &Env<'_>, _: &mut ProxyValidate<'_>) -> Verdict {
        CALLS.fetch_add(1, Ordering::Relaxed);
        Verdict::refuse(env.settings::<u16>().copied().unwrap_or(499), "No")
    }
    fn proxy_targets(&self, _: &Env<'_>, _: &mut ProxyTargets<'_>) -> Verdict {
        Verdict::refuse(480, "No")
    }
    fn list_binding(&self, kept: &[u8], parameters: &mut Vec<u8>) {
        parameters.extend_from_slice(b";kept=");
        parameters.extend_from_slice(kept);
    }
}

fn configure(entries: &[(&str, &str)]) -> Result<Configured, SettingFault> {
    let value = entries.first().map_or("499", |(_, value)| value);
    let status: u16 = value.parse().map_err(|_| SettingFault::new("status", "a number"))?;
    Ok(Arc::new(status))
}

macro_rules! woken_by {
    ($name:ident, $id:literal, $($wake:expr),+) => {
        static $name: Extension = Extension {
            id: $id,
            wake: &[$($wake),+],
            settings: &[Setting { key: "status", about: "what to say", default: "499" }],
            configure: Some(configure),
            behaviour: &Refusing,
            ..Extension::EMPTY
        };
    };
}

woken_by!(FIELD, "field", Wake::Field("Reason"));
woken_by!(FOREIGN, "foreign", Wake::Field("X-Tea"));
woken_by!(TAG, "tag", Wake::OptionTag("tea"));
woken_by!(METHOD, "method", Wake::Method("BREW"), Wake::Method("PUBLISH"));
woken_by!(PACKAGE, "package", Wake::Package("kettle"));
woken_by!(PARAMETER, "parameter", Wake::UriParameter("cup"));
woken_by!(SCHEME, "scheme", Wake::UriScheme("coffee"));
woken_by!(STATUS, "status", Wake::Status(418));
woken_by!(KEPT, "kept", Wake::Kept("other"));

const ALL: [&Extension; 9] =
    [&FIELD, &FOREIGN, &TAG, &METHOD, &PACKAGE, &PARAMETER, &SCHEME, &STATUS, &KEPT];

fn alone(extension: &'static Extension) -> Registry {
    Registry::assemble(&[extension], Roles::ALL)
}

#[test]
fn each_thing_wakes_its_own() {
    let options = "OPTIONS sip:b@x SIP/2.0";
    for (start, more, woken) in [
        (options, "Reason: SIP", Some("field")),
        (options, "x-tea: hot", Some("foreign")),
        (options, "Supported: a, TEA", Some("tag")),
        (options, "Require: tea", Some("tag")),
        (options, "k: tea", Some("tag")),
        ("BREW sip:b@x SIP/2.0", "X: y", Some("method")),
        ("PUBLISH sip:b@x SIP/2.0", "X: y", Some("method")),
        (options, "Event: kettle;id=1", Some("package")),
        ("OPTIONS sip:b@x;lr;Cup=2 SIP/2.0", "X: y", Some("parameter")),
        ("OPTIONS COFFEE:black SIP/2.0", "X: y", Some("scheme")),
        ("SIP/2.0 418 Teapot", "X: y", Some("status")),
        (options, "X: tea\r\nSubject: Reason", None),
        ("OPTIONS sip:cup@x?cup=1 SIP/2.0", "Supported: teapot", None),
    ] {
        for extension in ALL {
            let registry = alone(extension);
            let is = with(start, more, |message| !registry.woken(&message).is_empty());
            assert_eq!(is, woken == Some(extension.id), "{start} {more}: {}", extension.id);
        }
    }
    assert!(alone(&SCHEME).knows_scheme(b"Coffee") && !alone(&FIELD).knows_scheme(b"coffee"));
    assert!(!alone(&METHOD).woken_for_method(b"BREW").is_empty());
    assert!(!alone(&STATUS).woken_for_reply(Woken::NONE, 418).is_empty());
}

#[test]
fn one_that_sleeps_is_not_called_and_the_first_refusal_counts() {
    static FIRST: Extension = Extension { id: "first", ..FIELD };
    let mut registry = Registry::assemble(&[&TAG, &FIRST, &FIELD], Roles::ALL);
    registry.configure("first", &[("status", "433")]).expect("a number");
    assert!(registry.configure("first", &[("status", "x")]).is_err());
    assert!(registry.configure("first", &[("staus", "1")]).is_err());
    assert!(registry.configure("nobody", &[]).is_err());
    let ask = |more: &str| {
        with("OPTIONS sip:b@x SIP/2.0", more, |request| {
            let mut at = ProxyValidate { request, source: flow() };
            registry.proxy_validate(registry.woken(&request), env(), &mut at)
        })
    };
    let before = CALLS.load(Ordering::Relaxed);
    assert!(ask("X: y").is_pass());
    assert_eq!(CALLS.load(Ordering::Relaxed), before, "nobody was called");
    assert!(matches!(ask("Reason: SIP"), Verdict::Refuse(reply) if reply.status == 433));
    assert!(matches!(ask("Require: tea"), Verdict::Refuse(reply) if reply.status == 499));
}

#[test]
fn what_a_binding_keeps_wakes_at_the_targets() {
    let mut kept = Durable::new();
    kept.set("other", b"1");
    let registry = alone(&KEPT);
    let ask = |kept: &Durable| {
        let mut targets =
            vec![Candidate { kept: kept.as_bytes().to_vec(), ..Candidate::default() }];
        with("INVITE sip:b@x SIP/2.0", "X: y", |request| {
            let mut at = ProxyTargets {
                request,
                source: flow(),
                user: None,
                targets: &mut targets,
                directives: &mut Directives::default(),
                slots: &mut Slots::new(),
                request_uri: b"",
            };
            registry.proxy_targets(registry.woken(&request), env(), &mut at).is_pass()
        })
    };
    assert!(!ask(&kept));
    assert!(ask(&Durable::new()));
    let mut listed = Vec::new();
    kept.set("kept", b"2");
    registry.list_binding(kept.as_bytes(), &mut listed);
    assert_eq!(listed, b";kept=2");
}

#[test]
fn header_fields_cannot_be_smuggled_in() {
    let mut fields = Fields::new();
    fields.push("Reason", "SIP\r\nRoute: <sip:evil>");
    fields.push("X", "");
    let list: Vec<_> = fields.iter().map(|(name, value)| (name, value.to_vec())).collect();
    assert_eq!(list, [("Reason", b"SIP  Route: <sip:evil>".to_vec()), ("X", Vec::new())]);
    assert_eq!(fields.get("reason").map(<[u8]>::len), Some(22));
    fields.clear();
    assert!(fields.is_empty());
}

#[test]
fn letters_and_rows_are_read() {
    assert_eq!(Roles::from_letters("all"), Roles::ALL);
    assert_eq!(Roles::from_letters("C S"), Roles::UA);
    assert!(Roles::from_letters("transport").has(Role::Transport));
    let row = Row::new(Where::Codes(&[(200, 299), (404, 404), (180, 189)]), "ar", "mM-o*t c");
    assert_eq!(row.place.text(), "2xx,404,18x");
    assert!(row.place.applies(Some(183)) && !row.place.applies(None));
    assert_eq!(row.cell(b"BYE"), Cell::Expected);
    assert_eq!(row.cell(b"MESSAGE"), Cell::Conditional);
    assert_eq!(row.cell(b"PRACK"), Cell::Unsaid);
    assert_eq!(row.with(&[("BREW", Cell::Mandatory)]).cell(b"BREW"), Cell::Mandatory);
}
