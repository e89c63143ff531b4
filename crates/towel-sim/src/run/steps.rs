//! Carrying out the steps of a flow.

use towel_core::io::Transport;

use super::Run;
use crate::agent::{Agent, Made, Target, Way};
use crate::flow::{Action, Awaited, Between, Fault, Template};
use crate::network::{NextLost, NodeId, Which};

/// What was wrong, and in which line where it is another than the step's.
pub(super) type Wrong = (usize, String);

/// How long an agent waits for the answer to its own registration.
const REGISTRATION: u64 = 40_000_000;

impl Run {
    pub(super) fn step(&mut self, action: &Action) -> Result<(), Wrong> {
        let plain = |what: String| (0, what);
        match action {
            Action::Send { who, method, uri, inside, to, over, name, template } => {
                let id = self.id(who)?;
                let uri = uri.as_deref().map(|uri| self.uri(uri));
                let to = to.as_deref().map(|to| self.target(id, Some(to), *over)).transpose();
                let way = Way { inside: *inside, to: to.map_err(plain)?, over: *over };
                self.send(id, method, uri.as_deref(), way, name.clone(), template).map_err(plain)
            }
            Action::Raw { who, to, over, text } => {
                let id = self.id(who)?;
                let target = self.target(id, to.as_deref(), *over).map_err(plain)?;
                let vars = self.vars.clone();
                self.drive(id, |agent, out| agent.raw(text, target, &vars, out)).map_err(plain)
            }
            Action::Repeat { who, name } => {
                let id = self.id(who)?;
                self.drive(id, |agent, out| agent.repeat(name.as_deref(), out)).map_err(plain)
            }
            Action::Expect { who, awaited, of, name, within, checks } => {
                self.expect(who, awaited, of.as_deref(), name.as_deref(), *within, checks)
            }
            Action::Reply { who, status, reason, of, template } => {
                let id = self.id(who)?;
                let vars = self.vars.clone();
                self.drive(id, |agent, out| {
                    agent.reply(*status, reason.as_deref(), of.as_deref(), template, &vars, out)
                })
                .map_err(plain)
            }
            Action::Ack { who, of: _, template } => {
                let id = self.id(who)?;
                let vars = self.vars.clone();
                self.drive(id, |agent, out| agent.acknowledge(template, &vars, out)).map_err(plain)
            }
            Action::Cancel { who, of, template } => {
                let id = self.id(who)?;
                let vars = self.vars.clone();
                self.drive(id, |agent, out| agent.give_up(of.as_deref(), template, &vars, out))
                    .map_err(plain)?;
                Ok(())
            }
            Action::Turn { who, name } => {
                let id = self.id(who)?;
                self.drive(id, |agent, _| agent.turn(name)).map_err(plain)
            }
            Action::Register { who, template } => {
                let id = self.id(who)?;
                let name = Some("registration".to_string());
                self.send(id, "REGISTER", None, Way::default(), name, template).map_err(plain)?;
                let ok = Awaited::Response(200, 200);
                self.expect(who, &ok, Some("registration"), None, REGISTRATION, &[])
            }
            Action::Pass(time) => {
                self.net.run_until(self.net.now() + time);
                Ok(())
            }
            Action::Network(fault) => self.fault(fault),
            Action::Restart(name) => {
                let id = self.id(name)?;
                self.net.restart(id);
                Ok(())
            }
            Action::Overload(name, begins) => {
                let id = self.id(name)?;
                let text = if *begins { "has more to do than it can" } else { "can do all again" };
                self.net.note(Some(id), text);
                self.net.set_overload(id, *begins);
                Ok(())
            }
            Action::Stop(name) => {
                let id = self.id(name)?;
                self.net.note(Some(id), "stopped");
                self.net.stop(id);
                Ok(())
            }
            Action::Start(name) => {
                let id = self.id(name)?;
                self.net.start(id);
                self.net.note(Some(id), "started");
                Ok(())
            }
            Action::Clock(name, by) => {
                let id = self.id(name)?;
                self.net.clock(id, *by);
                self.net.note(Some(id), format!("clock {by:+} s"));
                Ok(())
            }
            Action::Note(text) => {
                self.net.note(None, text.clone());
                Ok(())
            }
        }
    }

    pub(super) fn id(&self, name: &str) -> Result<NodeId, Wrong> {
        self.net.node(name).ok_or_else(|| (0, format!("nobody is called {name}")))
    }

    /// A name of the cast stands for that member's address of record.
    fn uri(&self, word: &str) -> String {
        self.vars.get(&format!("{word}.uri")).cloned().unwrap_or_else(|| word.to_string())
    }

    fn drive<R>(
        &mut self,
        id: NodeId,
        act: impl FnOnce(&mut Agent, &mut towel_core::io::Outbox) -> Result<R, String>,
    ) -> Result<R, String> {
        self.net
            .drive(id, |agent, now, out| {
                agent.set_time(now);
                act(agent, out)
            })
            .unwrap_or_else(|| Err("a server does not follow a script".into()))
    }

    fn target(
        &mut self,
        id: NodeId,
        to: Option<&str>,
        over: Option<Transport>,
    ) -> Result<Target, String> {
        let Some(agent) = self.net.agent(id) else { return Err("no agent".into()) };
        let wanted = over.unwrap_or(agent.spec().transport);
        let v4 = agent.spec().address.is_ipv4();
        match to {
            None => agent.default_target(over),
            Some(word) => match agent.target_at(word, over) {
                Some(target) => Ok(target),
                None => {
                    let missing = || format!("{word} is nobody who speaks {wanted}");
                    let peer = self.net.node(word).ok_or_else(missing)?;
                    let mut own = self.net.listeners(peer).iter();
                    own.find(|l| l.transport == wanted && l.local.is_ipv4() == v4)
                        .map(|l| Target { transport: l.transport, address: l.local })
                        .ok_or_else(missing)
                }
            },
        }
    }

    fn send(
        &mut self,
        id: NodeId,
        method: &str,
        uri: Option<&str>,
        way: Way,
        name: Option<String>,
        template: &Template,
    ) -> Result<(), String> {
        let vars = self.vars.clone();
        self.drive(id, |agent, out| {
            let Made { text, target } = agent.request_from(method, uri, way, template, &vars)?;
            agent.send(text, target, name, out);
            Ok(())
        })
    }

    fn which(&self, between: &Between) -> Result<Which, Wrong> {
        Ok(match between {
            Between::All => Which::All,
            Between::One(a) => Which::One(self.id(a)?),
            Between::Two(a, b) => Which::Two(self.id(a)?, self.id(b)?),
        })
    }

    fn fault(&mut self, fault: &Fault) -> Result<(), Wrong> {
        match fault {
            Fault::Loss(between, parts) => {
                let which = self.which(between)?;
                self.net.links.loss(which, *parts);
                self.rough |= *parts > 0;
            }
            Fault::Duplicate(between, parts) => {
                let which = self.which(between)?;
                self.net.links.duplicate(which, *parts);
            }
            Fault::Delay(between, least, most) => {
                let which = self.which(between)?;
                self.net.links.delay(which, *least, *most);
                self.rough |= most > least;
            }
            Fault::Partition(between) => {
                let which = self.which(between)?;
                self.net.links.cut(which);
                let text = match between {
                    Between::All => "partition".into(),
                    Between::One(a) => format!("{a} is cut off"),
                    Between::Two(a, b) => format!("{a} and {b} are cut off from each other"),
                };
                self.net.note(None, text);
            }
            Fault::Heal => {
                self.net.links.heal();
                self.net.release();
                self.net.note(None, "the network is whole again");
            }
            Fault::Drop { what, from, to, times } => {
                let from = from.as_deref().map(|name| self.id(name)).transpose()?;
                let to = to.as_deref().map(|name| self.id(name)).transpose()?;
                let next = NextLost { what: what.clone(), from, to, times: *times };
                self.net.links.lost.push(next);
            }
            Fault::Reset(a, b) => {
                let (a, b) = (self.id(a)?, self.id(b)?);
                self.net.reset(a, b);
                self.net.note(Some(a), "connection reset");
            }
        }
        Ok(())
    }
}
