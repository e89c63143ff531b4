//! Our own user agent client in a flow: a server whose settings say `phone = AOR` is one.
//!
//! ```text
//! server phone 192.0.2.50
//!   phone = sip:carol@example.com
//!   proxy = sip:192.0.2.1
//!   password = carols-secret
//!   ask = 1s REGISTER sip:example.com
//!   ask = 2s MESSAGE sip:bob@example.com
//!   ask = 3s INVITE sip:bob@example.com for 2s
//!   ask = 3s OPTIONS sip:bob@example.com hops 1
//!   rings = yes
//!   tells = sip:192.0.2.60
//! ```
//!
//! It asks what it is told at the times it is told, answers challenges, and lets the Guide's
//! extensions take part; what it sends is expected by the agents of the flow. What it would show
//! its user it tells by MESSAGE to `tells`, where a flow can see it.

use std::time::Duration;

use towel_core::contract::Registry;
use towel_core::io::{Input, Instant, Machine, Now, Outbox};
use towel_core::settings::Settings;
use towel_core::ua::{Account, Agent, Request, RequestId};

/// One request: the time since the phone was started, method, URI and how many hops.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    after: Duration,
    method: String,
    uri: String,
    hops: Option<u8>,
    /// After which time it is cancelled.
    patience: Option<Duration>,
}

/// What a phone is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Who it is.
    pub(crate) address: String,
    /// Its outbound proxy.
    pub(crate) proxy: Option<String>,
    /// Its password.
    pub(crate) password: Option<String>,
    /// When it asks what.
    pub(crate) asks: Vec<Ask>,
    /// Whether it rings when it is called.
    pub(crate) rings: bool,
    /// Who is told what its user would see.
    pub(crate) tells: Option<String>,
}

impl Plan {
    /// Reads `TIME METHOD URI`.
    pub(crate) fn ask(&mut self, value: &str) -> Result<(), String> {
        let wrong = || format!("TIME METHOD URI [hops N | for TIME], not {value}");
        let words: Vec<&str> = value.split_whitespace().collect();
        let mut patience = None;
        let (when, method, uri, hops) = match words.as_slice() {
            [when, method, uri] => (when, method, uri, None),
            [when, method, uri, "for", time] => {
                let micros = crate::flow::duration(time).ok_or_else(wrong)?;
                patience = Some(Duration::from_micros(micros));
                (when, method, uri, None)
            }
            [when, method, uri, "hops", hops] => {
                (when, method, uri, Some(hops.parse().map_err(|_| wrong())?))
            }
            _ => return Err(wrong()),
        };
        let micros = crate::flow::duration(when).ok_or_else(|| format!("not a time: {when}"))?;
        self.asks.push(Ask {
            after: Duration::from_micros(micros),
            method: (*method).into(),
            uri: (*uri).into(),
            hops,
            patience,
        });
        Ok(())
    }

    fn request(&self, Ask { method, uri, hops, .. }: &Ask) -> Request {
        let user = self.address.split([':', '@']).nth(1).unwrap_or("phone");
        let mut request = match method.as_str() {
            "REGISTER" => Request::register(&self.address, uri, user, 600),
            "OPTIONS" => Request::options(&self.address, uri),
            "MESSAGE" => Request::message(&self.address, uri, "hello"),
            _ => Request { method: method.clone(), ..Request::options(&self.address, uri) },
        };
        request.max_forwards = *hops;
        if method == "INVITE" {
            request.contact = Some(user.into());
        }
        request.route = self.proxy.as_ref().map(|proxy| proxy.clone().into_bytes());
        request
    }
}

/// The machine.
pub(crate) struct Phone {
    agent: Agent,
    plan: Plan,
    began: Option<Instant>,
    next: usize,
    /// What is to be cancelled, and when.
    patience: Vec<(Instant, RequestId)>,
}

impl Phone {
    pub(crate) fn new(
        settings: &Settings,
        registry: Registry,
        seed: [u8; 32],
        plan: Plan,
    ) -> Phone {
        let account = plan.password.as_ref().map(|password| Account {
            user: plan.address.split([':', '@']).nth(1).unwrap_or_default().into(),
            password: password.clone(),
            realm: None,
        });
        let agent = Agent::new(settings, seed, account).with_extensions(registry);
        let agent = if plan.rings { agent.that_rings() } else { agent };
        Phone { agent, plan, began: None, next: 0, patience: Vec::new() }
    }

    fn due(&self) -> Option<Instant> {
        let ask = self.plan.asks.get(self.next);
        ask.and_then(|ask| Some(self.began? + ask.after))
    }
}

impl Machine for Phone {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        self.began.get_or_insert(now.at);
        self.agent.handle(now, input, out);
        while self.due().is_some_and(|due| due <= now.at) {
            let ask = self.plan.asks.get(self.next).cloned();
            self.next += 1;
            if let Some(ask) = ask {
                // One that cannot be sent is one that the flow will miss.
                let sent = self.agent.send(now, out, self.plan.request(&ask));
                if let (Ok(id), Some(patience)) = (sent, ask.patience) {
                    self.patience.push((now.at + patience, id));
                }
            }
        }
        while let Some(at) = self.patience.iter().position(|(due, _)| *due <= now.at) {
            let (_, id) = self.patience.swap_remove(at);
            let _ = self.agent.cancel(now, out, id);
        }
        while let Some((_, note)) = self.agent.next_note() {
            if let Some(witness) = &self.plan.tells {
                let told = Request::message(&self.plan.address, witness, &note);
                let _ = self.agent.send(now, out, told);
            }
        }
        while self.agent.next_outcome().is_some() {}
    }

    fn deadline(&self) -> Option<Instant> {
        let given_up = self.patience.iter().map(|(due, _)| *due).min();
        [self.agent.deadline(), self.due(), given_up].into_iter().flatten().min()
    }

    fn is_drained(&self) -> bool {
        self.agent.is_drained()
    }
}
