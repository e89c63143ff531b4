//! The history of requests, entry by entry.

use towel_core::contract::{
    Candidate, Delivery, Directives, Fields, Given, ProxyForward, ProxyReceived, ProxyResponse,
    ProxyTargets, Redirection, Registry, Roles, Slots, Tasks, UacRequest, UacResponse, UasResponse,
};
use towel_message::Draft;

use super::EXTENSION;
use super::entries::{Entry, History, Index};
use crate::testing::{env, from, parse, request, response};

fn registry(entries: &[(&str, &str)]) -> Registry {
    let mut registry = Registry::assemble(&[&EXTENSION], Roles::ALL);
    registry.configure("history-info", entries).expect("settings");
    registry
}

fn history(more: &str) -> History {
    request("INVITE", "sip:bob@example.com", more, |request| {
        History::received(&request, "example.com")
    })
}

fn values(history: &History) -> Vec<String> {
    history.iter().map(|entry| String::from_utf8_lossy(&entry.value()).into_owned()).collect()
}

/// The values of History-Info in a message.
fn written(bytes: &[u8]) -> Vec<String> {
    parse(bytes, |message| values(&History::of(&message)))
}

fn target(uri: &str, registered: bool) -> Candidate {
    Candidate { uri: uri.into(), registered, ..Candidate::default() }
}

const ASKS: &str = "Supported: histinfo\nHistory-Info: <sip:bob@example.com>;index=1";

/// A proxy that has an INVITE for bob at hand.
struct Proxy {
    registry: Registry,
    slots: Slots,
    more: String,
}

impl Proxy {
    fn new(settings: &[(&str, &str)], more: &str) -> Proxy {
        Proxy { registry: registry(settings), slots: Slots::new(), more: more.into() }
    }

    /// Gives the parameters of the targets' Contacts.
    fn targets(&mut self, request_uri: &str, list: &[Candidate]) -> Vec<String> {
        let mut targets = list.to_vec();
        request("INVITE", "sip:bob@example.com", &self.more, |request| {
            let mut at = ProxyTargets {
                request,
                source: from("192.0.2.9:5060"),
                user: None,
                request_uri: request_uri.as_bytes(),
                targets: &mut targets,
                directives: &mut Directives::default(),
                slots: &mut self.slots,
            };
            let _ = self.registry.proxy_targets(self.registry.woken(&request), env(), &mut at);
        });
        targets.iter().map(|one| String::from_utf8_lossy(&one.parameters).into_owned()).collect()
    }

    fn forward(&mut self, branch: usize, target: &Candidate) -> Vec<String> {
        let mut bytes = Vec::new();
        request("INVITE", "sip:bob@example.com", &self.more, |request| {
            let mut draft = Draft::new(request);
            let mut at = ProxyForward {
                request,
                source: from("192.0.2.9:5060"),
                user: None,
                draft: &mut draft,
                next_hop: &target.uri,
                registered: target.registered,
                target,
                branch,
                slots: Some(&mut self.slots),
            };
            let _ = self.registry.proxy_forward(self.registry.woken(&request), env(), &mut at);
            draft.write(&mut bytes);
        });
        written(&bytes)
    }

    fn received(&mut self, branch: usize, status: u16, more: &str) {
        let woken =
            request("INVITE", "sip:bob@example.com", &self.more, |m| self.registry.woken(&m));
        if more == "nothing" {
            let mut at = ProxyReceived { response: None, status, branch, slots: &mut self.slots };
            let _ = self.registry.proxy_received(woken, env(), &mut at);
            return;
        }
        response(&format!("{status} X"), "INVITE", more, |response| {
            let response = Some(response);
            let mut at = ProxyReceived { response, status, branch, slots: &mut self.slots };
            let _ = self.registry.proxy_received(woken, env(), &mut at);
        });
    }

    fn respond(&mut self) -> Vec<String> {
        let mut bytes = Vec::new();
        response("200 OK", "INVITE", "", |response| {
            let mut draft = Draft::new(response);
            let woken = self.registry.woken_by_slots(self.registry.woken(&response), &self.slots);
            let mut at = ProxyResponse {
                response,
                method: b"INVITE",
                source: from("192.0.2.9:5060"),
                upstream: None,
                draft: &mut draft,
                slots: Some(&mut self.slots),
            };
            let _ = self.registry.proxy_response(woken, env(), &mut at);
            draft.write(&mut bytes);
        });
        written(&bytes)
    }
}

#[test]
fn a_gap_is_marked() {
    assert_eq!(values(&history("")), ["<sip:bob@example.com>;index=1"]);
    assert_eq!(
        values(&history("History-Info: <sip:bob@EXAMPLE.com?Reason=SIP%3Bcause%3D1>;index=1.1")),
        ["<sip:bob@EXAMPLE.com?Reason=SIP%3Bcause%3D1>;index=1.1"]
    );
    let missed = history("History-Info: <sip:a@x>;index=1, \"A\" <sip:b@x>;foo;index=1.1.2");
    let all = [
        "<sip:a@x>;index=1",
        "\"A\" <sip:b@x>;foo;index=1.1.2",
        "<sip:bob@example.com>;index=1.1.2.0",
    ];
    assert_eq!(values(&missed), all);
    // A number is written as the URI that it stands for.
    let tel = request("INVITE", "tel:+1555", "", |m| values(&History::received(&m, "example.com")));
    assert_eq!(tel, ["<sip:+1555@example.com;user=phone>;index=1"]);
    for broken in ["<sip:a@x>", "<sip:a@x>;index=", "<sip:a@x>;index=1..2", "sip:a@x;index=1"] {
        assert_eq!(Entry::parse(broken.as_bytes()), None, "{broken}");
    }
}

#[test]
fn entries_have_their_places() {
    let mut proxy = Proxy::new(&[], ASKS);
    let desk = target("sip:bob@192.0.2.20", true);
    let cellar = target("sip:bob@192.0.2.21", true);
    proxy.targets("sip:bob@example.com", &[desk.clone(), cellar.clone()]);
    let first = "<sip:bob@example.com>;index=1";
    assert_eq!(proxy.forward(0, &desk), [first, "<sip:bob@192.0.2.20>;index=1.1;rc=1"]);
    // Nothing is known of the first fork when the second leaves, nor of the second when all answer.
    assert_eq!(proxy.forward(1, &cellar), [first, "<sip:bob@192.0.2.21>;index=1.2;rc=1"]);
    proxy.received(1, 486, "Reason: Q.850;cause=17");
    let busy =
        "<sip:bob@192.0.2.21?Reason=SIP%3Bcause%3D486&Reason=Q.850%3Bcause%3D17>;index=1.2;rc=1";
    assert_eq!(proxy.respond(), [first, busy]);
    proxy.received(
        0,
        180,
        "History-Info: <sip:bob@192.0.2.20>;index=1.1;rc=1\nHistory-Info: <sip:b@x>;index=1.1.1;np=1.1",
    );
    let rest = ["<sip:bob@192.0.2.20>;index=1.1;rc=1", "<sip:b@x>;index=1.1.1;np=1.1", busy];
    assert_eq!(proxy.respond()[1..], rest);
    proxy.received(0, 408, "nothing");
    assert_eq!(proxy.respond()[1], "<sip:bob@192.0.2.20?Reason=SIP%3Bcause%3D408>;index=1.1;rc=1");
}

#[test]
fn the_mechanism_is_told() {
    let mut proxy = Proxy::new(&[], ASKS);
    proxy.targets("sip:bob@example.com", &[]);
    let last = |list: Vec<String>| list.last().cloned().unwrap_or_default();
    let sent = proxy.forward(0, &target("sip:bob@example.com", false));
    assert_eq!(last(sent), "<sip:bob@example.com>;index=1.1;np=1");
    let sent = proxy.forward(1, &target("sip:carol@example.com", false));
    assert_eq!(last(sent), "<sip:carol@example.com>;index=1.2;mp=1");
    let redirected = |parameters: &str| Candidate {
        redirection: Some(Box::new(Redirection { branch: 0, parameters: parameters.into() })),
        ..target("sip:office@example.com", false)
    };
    for (parameters, mechanism) in
        [(";q=0.5;mp=1.1", ";mp=1.1"), (";rc=1", ";rc=1"), ("", ""), (";np=1", ""), (";mp=x", "")]
    {
        let sent = proxy.forward(2, &redirected(parameters));
        assert_eq!(last(sent), format!("<sip:office@example.com>;index=1.3{mechanism}"));
    }
}

#[test]
fn a_target_of_our_own_is_told() {
    let mut proxy = Proxy::new(&[], ASKS);
    let phone = target("sip:x@192.0.2.30", true);
    let said = proxy.targets("sip:office@example.com", std::slice::from_ref(&phone));
    assert_eq!(said, [";rc=1.1"]);
    assert_eq!(
        proxy.forward(0, &phone)[1..],
        ["<sip:office@example.com>;index=1.1;mp=1", "<sip:x@192.0.2.30>;index=1.1.1;rc=1.1"]
    );
}

#[test]
fn nothing_is_written_for_who_does_not_ask() {
    let desk = target("sip:bob@192.0.2.20", true);
    for (settings, more) in [(&[][..], ""), (&[("insert", "false")][..], ASKS)] {
        let mut proxy = Proxy::new(settings, more);
        proxy.targets("sip:bob@example.com", std::slice::from_ref(&desk));
        let before = if more.is_empty() { 0 } else { 1 };
        assert_eq!(proxy.forward(0, &desk).len(), before);
        proxy.received(0, 486, "");
        assert_eq!(proxy.respond().len(), 0);
    }
}

#[test]
fn entries_of_our_own_can_be_private() {
    let mut proxy = Proxy::new(&[("private", "true")], ASKS);
    let desk = target("sip:bob@192.0.2.20", true);
    proxy.targets("sip:bob@example.com", std::slice::from_ref(&desk));
    assert_eq!(proxy.forward(0, &desk)[1], "<sip:bob@192.0.2.20?Privacy=history>;index=1.1;rc=1");
    // To another domain it goes without its name, and without the wish.
    let sent = proxy.forward(0, &target("sip:bob@elsewhere.example", false));
    assert_eq!(sent[1], "<sip:bob@elsewhere.example>;index=1.1;mp=1");

    let registry = registry(&[("private", "true")]);
    let mut fields = Fields::new();
    request("INVITE", "sip:bob@example.com", ASKS, |request| {
        let mut at = UasResponse {
            request,
            status: 200,
            fields: &mut fields,
            contact_parameters: &mut Vec::new(),
            slots: &mut Slots::new(),
            dialog: None,
            tasks: &mut Tasks::new(),
            body: &[],
            delivery: &mut Delivery::Plain,
            agent: &mut Slots::new(),
        };
        assert!(registry.uas_response(registry.woken(&request), env(), &mut at).is_pass());
    });
    let last = fields.get("History-Info").map(|value| String::from_utf8_lossy(value).into_owned());
    assert_eq!(last.as_deref(), Some("<sip:bob@example.com?Privacy=history>;index=1"));
}

#[test]
fn what_is_private_is_anonymous_outside() {
    let text = "History-Info: <sip:a@there.example?Privacy=history>;index=1\n\
                History-Info: <sip:bob@example.com?Privacy=history&Reason=SIP%3Bcause%3D302>;index=1.1;mp=1\n\
                History-Info: <sip:bob@192.0.2.20>;index=1.1.1;rc=1.1\n\
                History-Info: <sip:office@example.com>;index=1.2;mp=1.1";
    let all = request("INVITE", "sip:office@example.com", text, |request| History::of(&request));
    let ours = |uri: &[u8]| uri.ends_with(b"@example.com");
    let mut some = all.clone();
    some.uncover(false, ours);
    assert_eq!(
        values(&some),
        [
            "<sip:a@there.example>;index=1",
            "<sip:anonymous@anonymous.invalid?Reason=SIP%3Bcause%3D302>;index=1.1;mp=1",
            "<sip:bob@192.0.2.20>;index=1.1.1;rc=1.1",
            "<sip:office@example.com>;index=1.2;mp=1.1"
        ]
    );
    let mut none = all;
    none.uncover(true, ours);
    let hidden = values(&none).iter().filter(|value| value.contains("anonymous.invalid")).count();
    assert_eq!(hidden, 3, "{:?}", values(&none));
}

fn ask(settings: &[(&str, &str)], given: &str) -> Option<(Option<String>, Option<String>)> {
    let registry = registry(settings);
    let mut fields = Fields::new();
    let mut at = UacRequest {
        method: b"INVITE",
        request_uri: &mut b"sip:bob@example.com".to_vec(),
        fields: &mut fields,
        contact_parameters: &mut Vec::new(),
        next_hop: b"sip:bob@example.com",
        slots: &mut Slots::new(),
        agent: &mut Slots::new(),
        dialog: None,
        tasks: &mut Tasks::new(),
        body: &[],
        own: None,
        given: Given(given.as_bytes()),
    };
    let good = registry.uac_request(registry.woken_for_own_request(), env(), &mut at).is_pass();
    let text = |name| fields.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
    good.then(|| (text("History-Info"), text("Privacy")))
}

#[test]
fn a_caller_asks_for_privacy() {
    let first = Some("<sip:bob@example.com>;index=1".to_owned());
    assert_eq!(ask(&[], ""), Some((first.clone(), None)));
    assert_eq!(ask(&[("own", "false")], ""), Some((None, None)));
    let private = &[("private", "true")][..];
    assert_eq!(ask(private, ""), Some((first.clone(), Some("history".into()))));
    assert_eq!(ask(private, "Privacy: header\r\n"), Some((first.clone(), None)));
    assert_eq!(ask(private, "Privacy: id;history\r\n"), Some((first, None)));
    assert_eq!(ask(private, "Privacy: id\r\n"), None);
}

#[test]
fn gaps_are_told() {
    assert!(!history(ASKS).has_gaps());
    assert!(history("History-Info: <sip:a@x>;index=1").has_gaps());
    assert!(history("History-Info: <sip:bob@example.com>;index=1.1").has_gaps());
    let registry = registry(&[]);
    let mut notes = Vec::new();
    let more = "History-Info: <sip:bob@example.com?Reason=SIP%3Bcause%3D486>;index=1.0.1\n\
                History-Info: <sip:carol@example.com?Reason=SIP%3Bcause%3D486>;index=1.0.2";
    response("486 Busy Here", "INVITE", more, |response| {
        let mut at = UacResponse {
            response,
            method: b"INVITE",
            notes: &mut notes,
            slots: &mut Slots::new(),
            agent: &mut Slots::new(),
            source: from("192.0.2.9:5060"),
            dialog: None,
            tasks: &mut Tasks::new(),
            own: None,
            reliable: &mut false,
        };
        let _ = registry.uac_response(registry.woken(&response), env(), &mut at);
    });
    let told = ["history: sip:bob@example.com (SIP;cause=486); not all of it is known"];
    assert_eq!(notes, told);
}

#[test]
fn a_voicemail_box_is_found() {
    // RFC 7131's call that is forwarded when busy, and then once more.
    let text = "History-Info: <sip:bob@example.com>;index=1\n\
                History-Info: <sip:bob@192.0.2.5?Reason=SIP%3Bcause%3D302>;index=1.1;rc=1\n\
                History-Info: <sip:carol@example.com>;index=1.2;mp=1\n\
                History-Info: <sip:carol@192.0.2.4?Reason=SIP%3Bcause%3D408>;index=1.2.1;rc=1.2\n\
                History-Info: <sip:vm@example.com;target=sip:bob%40example.com>;index=1.3;mp=1.2";
    let history = request("INVITE", "sip:vm@192.0.2.9", text, |request| History::of(&request));
    let uri =
        |entry: Option<&Entry>| entry.map(|one| String::from_utf8_lossy(&one.uri).into_owned());
    assert_eq!(uri(history.called_first()).as_deref(), Some("sip:bob@example.com"));
    assert_eq!(uri(history.called_last()).as_deref(), Some("sip:carol@example.com"));
    assert_eq!(history.at(&Index::first()).map(|one| one.uri.len()), Some(19));
}
