//! The end of a run: the network is well again, everything may come to its end, and what is left
//! is looked at.

use std::collections::BTreeMap;

use super::scenario::{SECOND, What};
use super::world::{Claim, Plan, World};
use crate::agent::{Made, Way};
use crate::audit;
use crate::flow::{FieldLine, Template};
use crate::ladder::Fate;
use crate::pattern::Vars;
use crate::run::Factory;

impl World<'_> {
    /// All of it, from the first act to the last look.
    pub(super) fn play(&mut self, factory: &dyn Factory) {
        let acts = self.scenario.acts.iter().map(|act| act.at);
        // What our own agents ask by themselves has to be over as well.
        let asks = self.scenario.agents.iter().flat_map(|agent| &agent.asks).map(|ask| ask.0);
        let last = acts.chain(asks).max().unwrap_or(0);
        self.pass(last + 60 * SECOND);
        self.recover();
        // Longer than Timer C and any transaction after it (RFC 3261 section 16.6 step 11).
        self.pass(self.net.now() + 300 * SECOND);
        self.give_up_all();
        self.pass(self.net.now() + 60 * SECOND);
        let asked = self.hang_up_all();
        self.pass(self.net.now() + 40 * SECOND);
        self.hung_up(&asked);
        self.bindings();
        self.pass(self.net.now() + 500 * SECOND);
        self.watch.look(&mut self.net);
        self.complaints.extend(self.watch.end(&self.net));
        self.complaints.extend(self.truths());
        if !self.scenario.attacked {
            self.complaints.extend(audit::messages(&self.net, factory));
        }
        self.endings();
        let mut seen = std::collections::BTreeSet::new();
        self.complaints.retain(|complaint| seen.insert(complaint.clone()));
    }

    /// Who still waits for an answer to a call hangs up: a proxy that has died since knows nothing
    /// of it any more, and must say that.
    fn give_up_all(&mut self) {
        for phone in 0..self.phones.len() {
            let Some(node) = self.phones[phone] else { continue };
            let Some(agent) = self.net.agent(node) else { continue };
            let invites: Vec<String> = agent
                .waiting()
                .filter(|(_, text)| text.method() == "INVITE")
                .filter_map(|(name, _)| name.map(Into::into))
                .collect();
            for invite in invites {
                self.plan(self.net.now(), Plan::GiveUp { phone, invite });
            }
        }
    }

    /// Every call that was taken up and not hung up is hung up now, by both of its ends in turn:
    /// what died meanwhile must not matter to it.
    fn hang_up_all(&mut self) -> Vec<(usize, usize)> {
        let mut asked = Vec::new();
        for (id, call) in self.calls.clone() {
            if call.hung_up {
                continue;
            }
            for dialog in call.dialogs {
                asked.push((call.caller, self.named + 1));
                self.hang_up(call.caller, dialog, 1, &id);
            }
            if call.acked {
                for (phone, dialog) in call.callees {
                    asked.push((phone, self.named + 1));
                    self.hang_up(phone, dialog, 1, &id);
                }
            }
        }
        asked
    }

    fn hung_up(&mut self, asked: &[(usize, usize)]) {
        if self.scenario.attacked || self.scenario.is_tight() {
            return;
        }
        for (phone, number) in asked {
            let name = format!("bye{number}");
            let Some(node) = self.phones[*phone] else { continue };
            let Some(agent) = self.net.agent(node) else { continue };
            let got = agent.final_of(&name);
            if got != Some(200) {
                let who = self.net.name(node).to_string();
                let got = got.map_or("nothing".to_string(), |status| status.to_string());
                self.complaints
                    .push(format!("the BYE of {who} in a standing call had {got} for an answer"));
            }
        }
    }

    /// Who was told 200 is still known, and who was told to be gone is gone, whatever died since.
    fn bindings(&mut self) {
        let begun = self.net.now();
        for phone in 0..self.phones.len() {
            let Some(node) = self.phones[phone] else { continue };
            if self.claims[phone] == Claim::Unknown {
                continue;
            }
            let template = Template {
                fields: vec![FieldLine::Remove("Contact".into())],
                ..Template::default()
            };
            self.net.drive(node, |agent, now, out| {
                agent.set_time(now);
                let way = Way::default();
                let made = agent.request_from("REGISTER", None, way, &template, &Vars::new());
                if let Ok(Made { text, target }) = made {
                    agent.send(text, target, Some("question".into()), out);
                }
            });
            let mut answer = None;
            for _ in 0..400 {
                self.net.run_until(self.net.now() + 100_000);
                self.watch.look(&mut self.net);
                let Some(agent) = self.net.agent(node) else { break };
                while !agent.inbox().is_empty() {
                    let arrived = agent.take(0);
                    if arrived.name.as_deref() == Some("question") && arrived.text.status() >= 200 {
                        answer = Some(arrived.text);
                    }
                }
                if answer.is_some() {
                    break;
                }
            }
            let name = self.net.name(node).to_string();
            let Some(agent) = self.net.agent(node) else { continue };
            let contact = format!("<{}>", agent.contact());
            let home = self.scenario.phones[phone].home;
            let (forward, back) = self.jumps[home];
            if self.scenario.attacked || self.scenario.is_tight() {
                continue;
            }
            let Some(answer) = answer.filter(|a| a.status() == 200) else {
                self.complaints.push(format!("{name} is not told who is registered"));
                continue;
            };
            let known = answer.values("Contact").iter().any(|value| value.starts_with(&contact));
            let durable = self.durable(home);
            match self.claims[phone] {
                Claim::There(until)
                    if durable && !known && begun + forward + 60 * SECOND < until =>
                {
                    self.complaints.push(format!("the registration of {name} is lost"));
                }
                Claim::There(until) if known && until + back + 60 * SECOND < begun => {
                    self.complaints.push(format!("the registration of {name} outlives its time"));
                }
                Claim::Gone(_) if known && durable => {
                    self.complaints
                        .push(format!("the registration of {name} is back though it was removed"));
                }
                _ => {}
            }
        }
    }

    /// Whether that server must know after its death what it has acknowledged.
    fn durable(&self, server: usize) -> bool {
        let settings = &self.scenario.servers[server].settings;
        let forgets = settings.iter().any(|(k, v)| k == "durability" && v != "before-answer");
        let died = self.deaths.iter().any(|death| death.server == self.servers[server]);
        !(forgets && died && !self.scenario.cut.plain)
    }

    /// What the answers say is true: nobody hears a 2xx from a phone that never gave it, and where
    /// nothing breaks nobody is left without an answer.
    fn truths(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut given: BTreeMap<(String, String), bool> = BTreeMap::new();
        let mut methods: BTreeMap<String, bool> = BTreeMap::new();
        for sent in self.net.trace() {
            let Some(text) = crate::text::Text::datagram(&sent.bytes) else { continue };
            let id = text.first("Call-ID").unwrap_or_default().to_string();
            if text.is_request() {
                // One that names nobody is for the server itself.
                let itself = !text.uri().contains('@');
                *methods.entry(id).or_default() |= itself;
                continue;
            }
            if !(200..300).contains(&text.status()) {
                continue;
            }
            let key = (id.clone(), text.first("CSeq").unwrap_or_default().to_string());
            if !sent.by_element || self.agents.contains(&sent.from) {
                given.insert(key, true);
                continue;
            }
            let own = matches!(text.method(), "REGISTER" | "CANCEL")
                || methods.get(&id).copied().unwrap_or_default();
            if !own && !self.scenario.attacked && !given.contains_key(&key) {
                let (who, what) = (self.net.name(sent.from), crate::ladder::label(&sent.bytes));
                complaints.push(format!("{who} sent a {what} that nobody gave"));
            }
        }
        complaints
    }

    fn endings(&mut self) {
        if let Some(stuck) = self.net.stuck() {
            self.complaints.push(stuck.to_string());
        }
        // An agent of our own rings until it is told that nobody waits any more; a proxy that died
        // meanwhile cannot tell it.
        let ringing = |name: &String| {
            let own = self.net.node(name).is_some_and(|node| self.agents.contains(&node));
            let stateless = self.scenario.servers.iter().any(|server| server.stateless);
            own && (stateless || !self.deaths.is_empty() || self.scenario.attacked)
        };
        let left: Vec<String> =
            self.net.undrained().into_iter().filter(|name| !ringing(name)).collect();
        for name in left {
            self.complaints.push(format!("{name} has not drained: a table is not empty"));
        }
        let (fair, tight) = (self.scenario.is_fair(), self.scenario.is_tight());
        for phone in 0..self.phones.len() {
            let Some(node) = self.phones[phone] else { continue };
            let name = self.net.name(node).to_string();
            let Some(agent) = self.net.agent(node) else { continue };
            let waiting: Vec<(String, String)> = agent
                .waiting()
                .map(|(_, text)| {
                    let id = text.first("Call-ID").unwrap_or_default().to_string();
                    (id, text.method().to_string())
                })
                .collect();
            let unanswered: Vec<String> = agent
                .callers()
                .filter(|(_, finals, gave_up)| *finals == 0 && *gave_up)
                .map(|(text, _, _)| text.method().to_string())
                .collect();
            let contradictions: Vec<(String, String, u16, u16)> = agent
                .contradictions()
                .map(|(text, first, second)| {
                    let id = text.first("Call-ID").unwrap_or_default().to_string();
                    (id, text.method().to_string(), first, second)
                })
                .collect();
            for (id, method) in waiting {
                if method == "CANCEL" || !self.excused(&id) {
                    self.complaints
                        .push(format!("the {method} of {name} has never had a final response"));
                }
            }
            for (id, method, first, second) in contradictions {
                // What was answered without a transaction, or forwarded so before.
                let again = matches!(first, 302 | 404 | 480) && method != "INVITE" && second != 407;
                // What comes by UDP may go on by TCP, where nothing is known of it a moment later.
                let again = again || self.passed_statelessly(&id);
                let excused = again || tight || self.died_on(&id) || self.is_stubborn(&id);
                if !excused && !self.scenario.attacked {
                    self.complaints
                        .push(format!("the {method} of {name} had a {first} and then a {second}"));
                }
            }
            if fair && !self.scenario.attacked {
                for method in unanswered {
                    self.complaints.push(format!(
                        "the {method} of {name} had no answer, though nothing was lost"
                    ));
                }
            }
        }
    }

    /// Whether that is a call whose caller repeats itself without end: each time that the
    /// transaction has ended, it begins another one.
    fn is_stubborn(&self, call: &str) -> bool {
        self.calls.get(call).is_some_and(|call| {
            matches!(&self.scenario.acts[call.act].what, What::Call(call) if call.stubborn > 0)
        })
    }

    /// Whether a server that had to do with that call has died.
    fn died_on(&self, call: &str) -> bool {
        self.deaths.iter().any(|death| {
            self.net.trace().iter().any(|sent| {
                (sent.from == death.server || sent.to == Some(death.server))
                    && sent.at <= death.at
                    && has_call(&sent.bytes, call)
            })
        })
    }

    /// Whether a server without state had to do with that call: it has no Timer C, and where its
    /// users are may have changed when the CANCEL comes.
    fn passed_statelessly(&self, call: &str) -> bool {
        let plain = self.scenario.servers.iter().zip(&self.servers);
        let stateless: Vec<_> = plain.filter(|(s, _)| s.stateless).map(|(_, node)| *node).collect();
        self.net
            .trace()
            .iter()
            .any(|sent| stateless.contains(&sent.from) && has_call(&sent.bytes, call))
    }

    /// Whether it can be understood that an INVITE has no final response: a server on its way has
    /// died, or its final response was sent and lost until Timer H. That each server did what it
    /// had to is seen at each server.
    fn excused(&self, call: &str) -> bool {
        self.scenario.attacked
            || self.died_on(call)
            || self.passed_statelessly(call)
            || self.net.trace().iter().any(|sent| {
                let answer = |text: crate::text::Text| {
                    !text.is_request() && text.status() >= 200 && text.method() == "INVITE"
                };
                sent.fate != Fate::Arrived
                    && has_call(&sent.bytes, call)
                    && crate::text::Text::datagram(&sent.bytes).is_some_and(answer)
            })
    }
}

fn has_call(bytes: &[u8], call: &str) -> bool {
    bytes.windows(call.len()).any(|w| w == call.as_bytes())
}
