//! What must be true of every run, whatever it was about.

use std::collections::BTreeSet;

use towel_core::io::Machine;

use crate::agent::Agent;
use crate::ladder;
use crate::network::{Network, Sent};
use crate::run::Factory;
use crate::text::Text;

/// What is wrong with the messages that our elements sent.
pub(crate) fn messages<A: Machine>(net: &Network<A>, factory: &dyn Factory) -> Vec<String> {
    let judge = |sent: &Sent| -> Vec<String> {
        let stream = sent.transport.reliable();
        own(&sent.bytes).into_iter().chain(factory.audit(&sent.bytes, stream)).collect()
    };
    // A proxy passes on what it does not understand: what an agent's message lacked already is not
    // the proxy's doing. That holds for a copy of that very message and for nothing else.
    let theirs: BTreeSet<(Copied, String)> = net
        .trace()
        .iter()
        .filter(|sent| !sent.by_element)
        .filter_map(|sent| Some((copied(&sent.bytes)?, judge(sent))))
        .flat_map(|(key, all)| all.into_iter().map(move |complaint| (key.clone(), complaint)))
        .collect();
    let mut complaints: Vec<String> = Vec::new();
    for sent in net.trace().iter().filter(|sent| sent.by_element) {
        let (who, what) = (net.name(sent.from), ladder::label(&sent.bytes));
        let key = copied(&sent.bytes).filter(|_| !originated(&sent.bytes));
        for complaint in judge(sent) {
            let pair = (key.clone(), complaint);
            if matches!(&pair, (Some(key), what) if theirs.contains(&(key.clone(), what.clone()))) {
                continue;
            }
            let complaint = format!("{what} of {who}: {}", pair.1);
            if !complaints.contains(&complaint) {
                complaints.push(complaint);
            }
        }
    }
    complaints
}

/// What a forwarded message has in common with what was received: Call-ID, CSeq's number and
/// method, and the status of a response (0 is a request) with its tag in To.
type Copied = (String, u32, String, u16, String);

fn copied(bytes: &[u8]) -> Option<Copied> {
    let text = Text::datagram(bytes)?;
    let call = text.first("Call-ID")?.to_string();
    let tag = text.tag("To").filter(|_| !text.is_request()).unwrap_or_default().to_string();
    Some((call, text.cseq(), text.method().to_string(), text.status(), tag))
}

/// Whether an element made that message itself: a request with but its own Via was not passed on,
/// such as the CANCEL of a branch and the ACK for its refusal.
fn originated(bytes: &[u8]) -> bool {
    Text::datagram(bytes).is_some_and(|text| text.is_request() && text.values("Via").len() < 2)
}

/// What this crate sees by itself, without the parser of `towel-message`.
fn own(bytes: &[u8]) -> Vec<String> {
    if bytes.iter().all(|b| b"\r\n".contains(b)) {
        return Vec::new();
    }
    let Some(text) = Text::datagram(bytes) else {
        return vec!["it is no whole message".into()];
    };
    let mut wrong = Vec::new();
    let must = ["Via", "From", "To", "Call-ID", "CSeq"];
    for name in must.iter().chain(text.is_request().then_some(&"Max-Forwards")) {
        if text.first(name).is_none() {
            wrong.push(format!("it has no {name}"));
        }
    }
    for name in ["From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length"] {
        if text.lines(name).count() > 1 {
            wrong.push(format!("it has {name} twice"));
        }
    }
    // RFC 3261 section 8.1.1.7: whoever builds a request begins its branch with the cookie.
    if text.is_request() && !text.branch().starts_with("z9hG4bK") {
        wrong.push("its branch lacks the magic cookie".into());
    }
    // Section 8.2.6.2: only a 100 may leave without a tag in To.
    if !text.is_request() && text.status() > 100 && text.tag("To").is_none() {
        wrong.push("To has no tag".into());
    }
    let claimed = text.first("Content-Length").and_then(|v| v.parse::<usize>().ok());
    let body = bytes.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| bytes.len() - at - 4);
    if claimed.is_some_and(|claimed| claimed != body) {
        wrong.push(format!("Content-Length is not {body}"));
    }
    wrong
}

/// What is left when everything should have come to its end.
pub(crate) fn ending(net: &mut Network<Agent>, rough: bool) -> Vec<String> {
    let mut complaints = Vec::new();
    if let Some(stuck) = net.stuck() {
        complaints.push(stuck.to_string());
    }
    for name in net.undrained() {
        complaints.push(format!("{name} has not drained: a table is not empty"));
    }
    let ids: Vec<_> = net.ids().collect();
    for id in ids {
        let name = net.name(id).to_string();
        let Some(agent) = net.agent(id) else { continue };
        if let Some(what) = crate::run::surprise(agent.inbox(), rough) {
            complaints.push(format!("{name} got {what}, which the flow does not expect"));
        }
        for (request, first, second) in agent.contradictions() {
            let method = request.method();
            complaints.push(format!("the {method} of {name} had a {first} and then a {second}"));
        }
        for (request, finals, gave_up) in agent.callers() {
            if finals == 0 && !gave_up {
                complaints.push(format!(
                    "the {} of {name} has never had a final response",
                    request.method()
                ));
            }
        }
    }
    complaints
}
