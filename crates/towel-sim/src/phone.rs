//! Our own user agent client in a flow: a server whose settings say `phone = AOR` is one.
//!
//! ```text
//! server phone 192.0.2.50
//!   phone = sip:carol@example.com
//!   proxy = sip:192.0.2.1
//!   password = carols-secret
//!   ask = 1s REGISTER sip:example.com
//!   ask = 2s MESSAGE sip:bob@example.com
//! ```
//!
//! It asks what it is told at the times it is told, answers challenges, and lets the Guide's
//! extensions take part; what it sends is expected by the agents of the flow.

use std::time::Duration;

use towel_core::contract::Registry;
use towel_core::io::{Input, Instant, Machine, Now, Outbox};
use towel_core::settings::Settings;
use towel_core::ua::{Account, Agent, Request};

/// What a phone is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Who it is.
    pub(crate) address: String,
    /// Its outbound proxy.
    pub(crate) proxy: Option<String>,
    /// Its password.
    pub(crate) password: Option<String>,
    /// When it asks what: the time since it was started, method and URI, and header fields.
    pub(crate) asks: Vec<(Duration, String, String)>,
}

impl Plan {
    /// Reads `TIME METHOD URI`.
    pub(crate) fn ask(&mut self, value: &str) -> Result<(), String> {
        let mut words = value.split_whitespace();
        let (Some(when), Some(method), Some(uri), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(format!("TIME METHOD URI, not {value}"));
        };
        let micros = crate::flow::duration(when).ok_or_else(|| format!("not a time: {when}"))?;
        self.asks.push((Duration::from_micros(micros), method.into(), uri.into()));
        Ok(())
    }

    fn request(&self, method: &str, uri: &str) -> Request {
        let user = self.address.split([':', '@']).nth(1).unwrap_or("phone");
        let mut request = match method {
            "REGISTER" => Request::register(&self.address, uri, user, 600),
            "OPTIONS" => Request::options(&self.address, uri),
            "MESSAGE" => Request::message(&self.address, uri, "hello"),
            _ => Request { method: method.into(), ..Request::options(&self.address, uri) },
        };
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
        });
        let agent = Agent::new(settings, seed, account).with_extensions(registry);
        Phone { agent, plan, began: None, next: 0 }
    }

    fn due(&self) -> Option<Instant> {
        let (after, ..) = self.plan.asks.get(self.next)?;
        Some(self.began? + *after)
    }
}

impl Machine for Phone {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        self.began.get_or_insert(now.at);
        self.agent.handle(now, input, out);
        while self.due().is_some_and(|due| due <= now.at) {
            let ask = self.plan.asks.get(self.next).cloned();
            self.next += 1;
            if let Some((_, method, uri)) = ask {
                // One that cannot be sent is one that the flow will miss.
                let _ = self.agent.send(now, out, self.plan.request(&method, &uri));
            }
        }
        while self.agent.next_outcome().is_some() {}
    }

    fn deadline(&self) -> Option<Instant> {
        [self.agent.deadline(), self.due()].into_iter().flatten().min()
    }

    fn is_drained(&self) -> bool {
        self.agent.is_drained()
    }
}
