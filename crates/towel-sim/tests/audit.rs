//! The audit finds what it is there to find: an element with one deliberate fault each time, and
//! without one a run of the same flow that is sound.

use std::net::SocketAddr;

use towel_core::io::{
    Flow as Way, Input, Instant, Listener, ListenerId, Machine, Now, Outbox, Transport,
};
use towel_sim::element::Elements;
use towel_sim::flow::{Flow, FlowError, ServerSpec};
use towel_sim::run::{Built, Factory, Outcome, run_flow};
use towel_sim::text::Text;

/// What an element makes of its answer before that leaves, and what else it sends.
type Spoil = fn(&Text, String) -> Vec<String>;

/// How an element behaves when nobody has asked it for anything.
#[derive(Clone, Copy, PartialEq)]
enum Habit {
    Quiet,
    /// Says that it still holds something.
    NeverDrained,
    /// Wants to be woken now, always.
    Restless,
}

/// An element that answers every request with a 200, spoiled.
struct Faulty {
    spoil: Spoil,
    habit: Habit,
    local: SocketAddr,
    stream: Option<Way>,
}

/// A 200 as RFC 3261 section 8.2.6 has it.
fn answer(request: &Text) -> String {
    let copy = |name: &str| format!("{name}: {}\r\n", request.first(name).unwrap_or(""));
    format!(
        "SIP/2.0 200 OK\r\n{}{}To: {};tag=e\r\n{}{}Content-Length: 0\r\n\r\n",
        copy("Via"),
        copy("From"),
        request.first("To").unwrap_or(""),
        copy("Call-ID"),
        copy("CSeq"),
    )
}

/// A request of the element's own to whoever asked.
const REQUEST: &str = "OPTIONS sip:alice@192.0.2.10 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKown\r\nMax-Forwards: 70\r\n\
    From: <sip:towel@192.0.2.1>;tag=1\r\nTo: <sip:alice@192.0.2.10>\r\nCall-ID: own\r\n\
    CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

impl Machine for Faulty {
    fn handle(&mut self, _: Now, input: Input<'_>, out: &mut Outbox) {
        let (way, bytes) = match input {
            Input::Opened { flow, .. } => {
                self.stream = Some(flow);
                return;
            }
            Input::Datagram { listener, remote, bytes } => {
                let (transport, local) = (Transport::Udp, self.local);
                (Way { transport, listener, local, remote, connection: None }, bytes)
            }
            Input::Stream { bytes, .. } => match self.stream {
                Some(flow) => (flow, bytes),
                None => return,
            },
            _ => return,
        };
        let Some(request) = Text::datagram(bytes).filter(Text::is_request) else { return };
        for message in (self.spoil)(&request, answer(&request)) {
            out.transmit(way, message.as_bytes());
        }
    }

    fn deadline(&self) -> Option<Instant> {
        (self.habit == Habit::Restless).then_some(Instant(0))
    }

    fn is_drained(&self) -> bool {
        self.habit != Habit::NeverDrained
    }
}

struct Workshop {
    spoil: Spoil,
    habit: Habit,
}

impl Factory for Workshop {
    fn server(&self, spec: &ServerSpec) -> Result<Built, FlowError> {
        let local = SocketAddr::new(spec.addresses[0], 5060);
        let listener =
            |id, transport| Listener { id: ListenerId(id), transport, local, advertised: None };
        let (spoil, habit) = (self.spoil, self.habit);
        Ok(Built {
            listeners: vec![listener(0, Transport::Udp), listener(1, Transport::Tcp)],
            names: Vec::new(),
            maker: Box::new(move |_| Box::new(Faulty { spoil, habit, local, stream: None })),
            records: Vec::new(),
            settings: None,
        })
    }

    // The tables are held against the messages as they are in every flow of the Guide.
    fn audit(&self, message: &[u8], stream: bool) -> Vec<String> {
        Elements::default().audit(message, stream)
    }
}

const ASKS: &str = "server towel 192.0.2.1\nagent alice 192.0.2.10\n\
                    alice sends OPTIONS sip:bob@example.com\n";

fn run(text: &str, habit: Habit, spoil: Spoil) -> Outcome {
    let flow = Flow::parse(text).expect("a flow");
    run_flow(&flow, &flow.variants[0], &Workshop { spoil, habit })
}

/// A run with this fault is condemned for it.
#[track_caller]
fn caught(what: &str, text: &str, habit: Habit, spoil: Spoil) {
    let outcome = run(text, habit, spoil);
    let found = outcome.audit.iter().any(|one| one.contains(what));
    assert!(found && !outcome.passed(), "{what}: {:?}, {:?}", outcome.audit, outcome.failure);
}

fn sound(_: &Text, answer: String) -> Vec<String> {
    vec![answer]
}

/// A fault in the answer that alice waits for.
#[track_caller]
fn answer_caught(what: &str, spoil: Spoil) {
    caught(what, &format!("{ASKS}pass 100ms\n"), Habit::Quiet, spoil);
}

/// A fault in a request that the element sends her before it answers.
#[track_caller]
fn request_caught(what: &str, spoil: Spoil) {
    caught(what, &format!("{ASKS}pass 100ms\nalice expects 183\n"), Habit::Quiet, spoil);
}

#[test]
fn without_a_fault_there_is_no_complaint() {
    let text = format!("{ASKS}alice expects 200\n");
    let outcome = run(&text, Habit::Quiet, sound);
    assert!(outcome.passed(), "{}", outcome.report("sound"));
    let text = format!("{ASKS}alice expects OPTIONS\nalice replies 200\nalice expects 200\n");
    let outcome = run(&text, Habit::Quiet, |_, answer| vec![REQUEST.into(), answer]);
    assert!(outcome.passed(), "{}", outcome.report("sound"));
}

#[test]
fn what_is_no_message() {
    // This crate's own reading of messages finds it, and the product's parser by itself.
    answer_caught("is no whole message", |_, answer| vec!["hello".into(), answer]);
    answer_caught("cannot be parsed", |_, answer| vec!["{} hello\r\n\r\n".into(), answer]);
    request_caught("cannot be understood", |_, _| vec![REQUEST.replace("From: <sip:", "From: <:")]);
    answer_caught("cannot be understood", |_, answer| {
        vec![answer.replace("Content", "Contact: <sip:x\r\nContent")]
    });
}

#[test]
fn a_header_field_that_is_not_there() {
    fn without(text: String, name: &str) -> String {
        text.split_inclusive("\r\n").filter(|line| !line.starts_with(name)).collect()
    }
    answer_caught("Via", |_, answer| vec![without(answer, "Via")]);
    answer_caught("From", |_, answer| vec![without(answer, "From")]);
    answer_caught("Call-ID", |_, answer| vec![without(answer, "Call-ID")]);
    answer_caught("CSeq", |_, answer| vec![without(answer, "CSeq")]);
    request_caught("Max-Forwards", |_, _| vec![without(REQUEST.into(), "Max-Forwards")]);
    request_caught("To", |_, _| vec![without(REQUEST.into(), "To")]);
}

#[test]
fn a_header_field_that_is_there_twice() {
    answer_caught("Call-ID twice", |_, answer| {
        vec![answer.replace("Call-ID", "Call-ID: x\r\nCall-ID")]
    });
    request_caught("Max-Forwards twice", |_, _| {
        vec![REQUEST.replace("Max-Forwards: 70", "Max-Forwards: 70\r\nMax-Forwards: 70")]
    });
}

#[test]
fn a_branch_without_the_cookie() {
    request_caught("magic cookie", |_, _| vec![REQUEST.replace("z9hG4bKown", "own")]);
}

#[test]
fn an_answer_without_a_tag() {
    answer_caught("To has no tag", |_, answer| vec![answer.replace(";tag=e", "")]);
}

#[test]
fn a_body_that_is_not_as_long_as_it_says() {
    answer_caught("Content-Length is not 2", |_, answer| {
        let typed = answer.replace("Content-Length: 0", "Content-Type: text/plain\r\nl: 1");
        vec![typed + "no"]
    });
}

#[test]
fn what_tables_2_and_3_forbid_or_demand() {
    answer_caught("Alert-Info has no place in a 200 to OPTIONS", |_, answer| {
        vec![answer.replace("Content", "Alert-Info: <http://x>\r\nContent")]
    });
    answer_caught("Allow is missing from a 405 to OPTIONS", |_, answer| {
        vec![answer.replace("200 OK", "405 Method Not Allowed")]
    });
    answer_caught("Content-Type is missing beside the body", |_, answer| {
        vec![answer.replace("Content-Length: 0", "Content-Length: 3") + "tea"]
    });
    caught(
        "Content-Length is missing on a stream",
        "server towel 192.0.2.1\nagent alice 192.0.2.10 tcp\n\
         alice sends OPTIONS sip:bob@example.com\npass 100ms\n",
        Habit::Quiet,
        |_, answer| vec![answer.replace("Content-Length: 0\r\n", "")],
    );
}

#[test]
fn an_element_is_not_excused_by_what_it_received_unless_it_passed_that_on() {
    // The agent's message lacks Max-Forwards; what an element makes of it is its own doing.
    let text = "server towel 192.0.2.1\nagent alice 192.0.2.10\nalice sends message\n\
        \x20 OPTIONS sip:bob@example.com SIP/2.0\n  Via: SIP/2.0/UDP {addr};branch={branch}\n\
        \x20 From: <sip:alice@example.com>;tag={tag}\n  To: <sip:bob@example.com>\n\
        \x20 Call-ID: {callid}\n  CSeq: 7 OPTIONS\n  Content-Length: {length}\n\npass 100ms\n";
    fn copy(request: &Text, more: &str) -> Vec<String> {
        let line = |name: &str| format!("{name}: {}\r\n", request.first(name).unwrap_or(""));
        vec![format!(
            "OPTIONS sip:alice@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKc\r\n\
             {more}{}{}{}{}Content-Length: 0\r\n\r\n",
            line("From"),
            line("To"),
            line("Call-ID"),
            line("CSeq"),
        )]
    }
    let passed_on = run(text, Habit::Quiet, |request, _| {
        let via = format!("Via: {}\r\n", request.first("Via").unwrap_or(""));
        copy(request, &via)
    });
    assert!(
        !passed_on.audit.iter().any(|one| one.contains("Max-Forwards")),
        "{:?}",
        passed_on.audit
    );
    let made = run(text, Habit::Quiet, |request, _| copy(request, ""));
    assert!(
        made.audit.iter().any(|one| one.contains("it has no Max-Forwards")),
        "{:?}",
        made.audit
    );
}

#[test]
fn a_table_that_is_not_empty_at_the_end() {
    caught("has not drained", &format!("{ASKS}alice expects 200\n"), Habit::NeverDrained, sound);
}

#[test]
fn an_element_that_never_comes_to_rest() {
    let asks = format!("{ASKS}alice expects 200\n");
    caught("towel is woken for a time that is past", &asks, Habit::Restless, sound);
}

#[test]
fn what_nobody_expected() {
    caught(
        "which the flow does not expect",
        &format!("{ASKS}alice expects 200\n"),
        Habit::Quiet,
        |_, answer| vec![answer, REQUEST.into()],
    );
}

#[test]
fn two_answers_that_contradict_each_other() {
    caught(
        "had a 200 and then a 404",
        &format!("{ASKS}alice expects 200\n"),
        Habit::Quiet,
        |_, answer| vec![answer.clone(), answer.replace("200 OK", "404 Not Found")],
    );
}

#[test]
fn a_request_that_is_never_answered() {
    // A 100 stops an INVITE's client transaction from giving up by itself.
    caught(
        "has never had a final response",
        "server towel 192.0.2.1\nagent alice 192.0.2.10\nalice sends INVITE sip:bob@example.com\n\
         alice expects 100\n",
        Habit::Quiet,
        |_, answer| vec![answer.replace("200 OK", "100 Trying").replace(";tag=e", "")],
    );
}
