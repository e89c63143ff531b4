//! The stack of `towel-core` in the simulated network: an element that answers everything, and
//! agents with transactions of their own to see that it does so as RFC 3261 section 17 has it.

use towel_core::io::{Input, Instant, Listener, ListenerId, Machine, Now, Outbox, Transport};
use towel_core::settings::Settings;
use towel_core::stack::{Received, ServerId, Stack, TransactionUser};
use towel_sim::flow::{Flow, FlowError, ServerSpec};
use towel_sim::run::{Built, Factory, run_flow};

/// Answers INVITE with 180 and later with what the user part asks for (so much later for 603 that a
/// CANCEL comes before it); anything else at once.
#[derive(Default)]
struct Answerer {
    ringing: Vec<(u64, ServerId, u16)>,
}

impl TransactionUser for Answerer {
    fn request(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox, request: Received<'_>) {
        let token = self.ringing.len() as u64;
        let Ok(id) = stack.server_transaction(now, &request, token) else { return };
        let invite = request.message.method().as_bytes() == b"INVITE";
        let uri = String::from_utf8_lossy(request.message.request_uri()).into_owned();
        let wanted = uri.get(4..7).and_then(|s| s.parse().ok()).unwrap_or(200);
        if invite {
            stack.reply(now, out, id, 180, "Ringing", |w| w.end()).unwrap();
            stack.set_timer(
                now.at + std::time::Duration::from_secs(if wanted == 603 { 25 } else { 2 }),
                token,
            );
        } else {
            stack.reply(now, out, id, wanted, "Answered", |w| w.end()).unwrap();
        }
        self.ringing.push((token, id, wanted));
    }

    fn cancelled(
        &mut self,
        stack: &mut Stack,
        now: Now,
        out: &mut Outbox,
        _cancel: Received<'_>,
        _known: bool,
        invite: Option<(ServerId, u64)>,
    ) {
        if let Some((id, _)) = invite {
            stack.reply(now, out, id, 487, "Request Terminated", |w| w.end()).unwrap();
        }
    }

    fn timer(&mut self, stack: &mut Stack, now: Now, out: &mut Outbox, token: u64) {
        if let Some((_, id, status)) = self.ringing.get(token as usize).copied() {
            let _ = stack.reply(now, out, id, status, "Answered", |w| w.end());
        }
    }
}

struct Element {
    stack: Stack,
    user: Answerer,
}

impl Machine for Element {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        self.stack.handle(now, input, out, &mut self.user);
    }

    fn deadline(&self) -> Option<Instant> {
        self.stack.deadline()
    }

    fn is_drained(&self) -> bool {
        self.stack.is_drained()
    }
}

struct Elements;

impl Factory for Elements {
    fn server(&self, spec: &ServerSpec) -> Result<Built, FlowError> {
        let listener = |id, transport: Transport| Listener {
            id: ListenerId(id),
            transport,
            local: (spec.addresses[0], transport.default_port()).into(),
            advertised: None,
        };
        let listeners = vec![listener(0, Transport::Udp), listener(1, Transport::Tcp)];
        let maker = Box::new(|seed: u64| {
            let mut long = [7; 32];
            long[..8].copy_from_slice(&seed.to_le_bytes());
            let stack = Stack::new(&Settings::default(), long);
            Box::new(Element { stack, user: Answerer::default() }) as Box<dyn Machine>
        });
        let (names, records) = (Vec::new(), Vec::new());
        Ok(Built { listeners, names, maker, records, settings: None })
    }
}

const FLOW: &str = "
variants plain, loss20+reorder+duplicate10 seeds 1..40
server towel 192.0.2.1
agent alice 192.0.2.10
alice sends OPTIONS sip:200@x
alice expects 200
alice sends INVITE sip:486@x
alice expects 180
alice expects 486
alice sends INVITE sip:603@x
alice expects 180
alice cancels
alice expects 487
alice sends MESSAGE sip:404@x
alice expects 404
";

fn run(text: &str) {
    let flow = Flow::parse(text).unwrap();
    for variant in &flow.variants {
        let outcome = run_flow(&flow, variant, &Elements);
        assert!(outcome.passed(), "{}", outcome.report("stack"));
    }
}

#[test]
fn transactions_survive_a_bad_network() {
    run(FLOW);
}

#[test]
fn and_streams_cut_anywhere() {
    run(&FLOW.replace("192.0.2.10", "192.0.2.10 tcp"));
}
