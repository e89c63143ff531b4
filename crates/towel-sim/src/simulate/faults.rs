//! Servers that do wrong on purpose: each invariant must catch the one that it is there for.

use towel_core::io::{Command, Flow, Input, Instant, Machine, Now, Outbox, Output, Record};

use super::{Cut, run};
use crate::element::Elements;
use crate::flow::{FlowError, ServerSpec};
use crate::run::{Built, Factory};
use crate::text::Text;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    AnswersTwice,
    RingsAfterTheEnd,
    AsksByItself,
    InventsARequest,
    InventsAnAnswer,
    SaysTooOften,
    IsDeafToAck,
    NeverDrains,
    ForgetsItsStore,
    StoresSomethingElse,
    KeepsWhatIsDeleted,
    NeverAnswersInvite,
    SwallowsAnswers,
    Panics,
    WantsThePast,
    CancelsTooSoon,
    Says408,
    AnswersWithAFlood,
    LosesDialogs,
    RepeatsWhatRings,
    Lies,
    AcknowledgesNothing,
    StopsItsWallClock,
    SendsGarbage,
}

use Fault::*;

/// Each fault, and words of the complaint that it must bring.
const FAULTS: [(Fault, &str); 24] = [
    (AnswersTwice, "and there is one final response"),
    (RingsAfterTheEnd, "went before it"),
    (AsksByItself, "a server asks nothing itself"),
    (InventsARequest, "no request came that it could be"),
    (InventsAnAnswer, "no request came that it could answer"),
    (SaysTooOften, "are right"),
    (IsDeafToAck, "it was acknowledged before"),
    (NeverDrains, "has not drained"),
    (ForgetsItsStore, "is lost"),
    (StoresSomethingElse, "is lost"),
    (KeepsWhatIsDeleted, "is back though it was removed"),
    (NeverAnswersInvite, "never answered the INVITE"),
    (SwallowsAnswers, "had no answer, though nothing was lost"),
    (Panics, "an element panicked: on purpose"),
    (WantsThePast, "wants to be called for a time that is past"),
    (CancelsTooSoon, "no provisional response came before it"),
    (Says408, "RFC 4320 section 4.1 has no 408 for it"),
    (AnswersWithAFlood, "messages for one input"),
    (LosesDialogs, "in a standing call had"),
    (RepeatsWhatRings, "a provisional response has come already"),
    (Lies, "that nobody gave"),
    (AcknowledgesNothing, "no final response came that it acknowledges"),
    (StopsItsWallClock, "outlives its time"),
    (SendsGarbage, "it is no message"),
];

/// Our server with a fault.
struct Faulty {
    inner: Box<dyn Machine>,
    fault: Fault,
    own: Outbox,
    lives: u32,
    inputs: u32,
    first: Option<Now>,
    invite: Option<(Flow, Text)>,
}

fn branch(text: &mut Text, with: &str) {
    if let Some((_, via)) = text.fields.iter_mut().find(|(name, _)| name == "Via") {
        *via = via.replacen("z9hG4bK", &format!("z9hG4bK{with}"), 1);
    }
}

impl Faulty {
    /// What it makes of a message that its better half sends: what leaves in its stead.
    fn sends(&mut self, flow: Flow, bytes: &[u8]) -> Vec<Vec<u8>> {
        let same = vec![bytes.to_vec()];
        let Some(text) = Text::datagram(bytes) else { return same };
        let (status, method) = (text.status(), text.method().to_string());
        let with = |start: &str| Text { start: start.into(), ..text.clone() }.write();
        let odd = self.inputs.is_multiple_of(5);
        match self.fault {
            AnswersTwice if status >= 300 && method == "INVITE" => {
                vec![bytes.to_vec(), with("SIP/2.0 599 Twice")]
            }
            RingsAfterTheEnd if status >= 200 && method == "INVITE" => {
                vec![bytes.to_vec(), with("SIP/2.0 180 Ringing")]
            }
            AsksByItself if text.is_request() => {
                let mut own = text.clone();
                let via = own.values("Via")[0].to_string();
                own.remove("Via");
                own.fields.insert(0, ("Via".into(), via));
                vec![bytes.to_vec(), own.write()]
            }
            InventsARequest if text.is_request() && method == "MESSAGE" => {
                let mut own = text.clone();
                for (_, value) in own.fields.iter_mut().filter(|(name, _)| name == "Via") {
                    *value = value.replacen("z9hG4bK", "z9hG4bKinvented", 1);
                }
                vec![bytes.to_vec(), own.write()]
            }
            InventsAnAnswer if status >= 200 => {
                let mut own = text.clone();
                branch(&mut own, "invented");
                vec![bytes.to_vec(), own.write()]
            }
            SaysTooOften if !text.is_request() => vec![bytes.to_vec(); 14],
            AnswersWithAFlood if status >= 200 => vec![bytes.to_vec(); 100],
            NeverAnswersInvite if status >= 200 && method == "INVITE" && odd => Vec::new(),
            SwallowsAnswers if status >= 200 && method != "INVITE" && odd => Vec::new(),
            CancelsTooSoon if text.is_request() && method == "INVITE" => {
                let mut own = text.clone();
                let via = own.values("Via")[0].to_string();
                own.remove("Via");
                own.fields.insert(0, ("Via".into(), via));
                own.start = own.start.replacen("INVITE", "CANCEL", 1);
                own.set("CSeq", format!("{} CANCEL", text.cseq()));
                vec![bytes.to_vec(), own.write()]
            }
            Says408 if status >= 400 && method == "MESSAGE" => {
                vec![with("SIP/2.0 408 Request Timeout")]
            }
            Lies if status >= 400 && method == "MESSAGE" => vec![with("SIP/2.0 200 OK")],
            SendsGarbage if odd => vec![b"nonsense".to_vec()],
            RepeatsWhatRings | AcknowledgesNothing if text.is_request() && method == "INVITE" => {
                self.invite = Some((flow, text));
                same
            }
            _ => same,
        }
    }

    /// What it does of itself when something came.
    fn hears(&mut self, input: &Input<'_>, out: &mut Outbox) {
        let Input::Datagram { bytes, .. } = input else { return };
        let Some(text) = Text::datagram(bytes) else { return };
        if text.is_request() || !(101..200).contains(&text.status()) {
            return;
        }
        let Some((flow, invite)) = &self.invite else { return };
        if invite.branch() != text.branch() {
            return;
        }
        match self.fault {
            RepeatsWhatRings => out.transmit(*flow, &invite.write()),
            AcknowledgesNothing => {
                let mut ack = invite.clone();
                let via = ack.values("Via")[0].to_string();
                ack.remove("Via");
                ack.fields.insert(0, ("Via".into(), via));
                ack.start = ack.start.replacen("INVITE", "ACK", 1);
                ack.set("CSeq", format!("{} ACK", invite.cseq()));
                out.transmit(*flow, &ack.write());
            }
            _ => {}
        }
    }

    /// Whether it passes an input over.
    fn passes_over(&self, input: &Input<'_>) -> bool {
        match (self.fault, input) {
            (IsDeafToAck, Input::Datagram { bytes, .. }) => bytes.starts_with(b"ACK"),
            (ForgetsItsStore, Input::Command(Command::Load(_))) => self.lives > 1,
            (LosesDialogs, Input::Datagram { bytes, .. }) => {
                self.lives > 1 && bytes.starts_with(b"BYE")
            }
            _ => false,
        }
    }
}

impl Machine for Faulty {
    fn handle(&mut self, mut now: Now, input: Input<'_>, out: &mut Outbox) {
        self.inputs += 1;
        let first = *self.first.get_or_insert(now);
        if self.fault == StopsItsWallClock {
            now.unix = first.unix;
        }
        assert!(self.fault != Panics || self.inputs < 40, "on purpose");
        self.hears(&input, out);
        if self.passes_over(&input) {
            return;
        }
        let mut own = std::mem::take(&mut self.own);
        self.inner.handle(now, input, &mut own);
        for output in std::mem::take(&mut own.outputs) {
            match output {
                Output::Transmit { flow, bytes } => {
                    let bytes = own.arena.get(bytes).unwrap_or_default().to_vec();
                    for bytes in self.sends(flow, &bytes) {
                        out.transmit(flow, &bytes);
                    }
                }
                Output::Store { ticket, record } => {
                    let Record { table, mut key, value } = record;
                    let record = match (self.fault, value) {
                        (StoresSomethingElse, value) => {
                            key.push(b'x');
                            Record { table, key, value }
                        }
                        (KeepsWhatIsDeleted, None) => {
                            Record { table, key: b"nothing".to_vec(), value: None }
                        }
                        (_, value) => Record { table, key, value },
                    };
                    out.outputs.push(Output::Store { ticket, record });
                }
                other => out.outputs.push(other),
            }
        }
        own.clear();
        self.own = own;
    }

    fn deadline(&self) -> Option<Instant> {
        match self.fault {
            WantsThePast if self.inputs > 20 => Some(Instant(0)),
            _ => self.inner.deadline(),
        }
    }

    fn is_drained(&self) -> bool {
        self.fault != NeverDrains && self.inner.is_drained()
    }
}

struct Makes(Fault);

impl Factory for Makes {
    fn server(&self, spec: &ServerSpec) -> Result<Built, FlowError> {
        let mut built = Elements::default().server(spec)?;
        let fault = self.0;
        let mut lives = 0;
        let mut inner = built.maker;
        built.maker = Box::new(move |seed| {
            lives += 1;
            Box::new(Faulty {
                inner: inner(seed),
                fault,
                own: Outbox::new(),
                lives,
                inputs: 0,
                first: None,
                invite: None,
            })
        });
        Ok(built)
    }
}

#[test]
fn every_fault_is_seen() {
    for (fault, words) in FAULTS {
        let caught = (1..=60).find_map(|seed| {
            let report = run(seed, &Cut::default(), &Makes(fault)).unwrap();
            let found = report.complaints.into_iter().find(|c| c.contains(words));
            found.map(|complaint| (seed, complaint))
        });
        match caught {
            Some((seed, complaint)) => println!("{fault:?}: seed {seed}: {complaint}"),
            None => panic!("{fault:?}: no run says `{words}`"),
        }
    }
}
