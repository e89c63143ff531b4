//! Playing flows.

mod expect;
mod steps;
mod suite;

#[cfg(test)]
mod tests;

use std::fmt::Write;

use towel_core::io::{Listener, ListenerId, Record};
use towel_core::settings::Settings;

pub(crate) use expect::surprise;
pub use suite::Suite;

use crate::agent::{Agent, Target};
use crate::audit;
use crate::flow::{AgentSpec, Flow, FlowError, Member, ServerSpec, Variant};
use crate::ladder::{Ladder, Style};
use crate::network::{Maker, Network, NodeId, Sent};
use crate::pattern::Vars;
use crate::rng::SimRng;

/// What a factory makes of a server's declaration.
pub struct Built {
    /// What it listens on.
    pub listeners: Vec<Listener>,
    /// The names that its certificate is valid for.
    pub names: Vec<String>,
    /// Makes it, at the start and after each restart.
    pub maker: Maker,
    /// What stands in its store at the beginning: its users, for one.
    pub records: Vec<Record>,
    /// Its settings, for one that can be told to read them again.
    pub settings: Option<Box<Settings>>,
}

/// Makes the servers of a flow. The simulator knows machines and nothing of what they are.
pub trait Factory {
    /// Makes one; the error names the setting that is wrong.
    fn server(&self, spec: &ServerSpec) -> Result<Built, FlowError>;

    /// What is wrong with a message that one of these servers sent, on a stream or not: the words
    /// of each complaint.
    fn audit(&self, _message: &[u8], _stream: bool) -> Vec<String> {
        Vec::new()
    }
}

/// Why a flow did not go as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The line of the step; 0 where it is about the run as a whole.
    pub line: usize,
    /// The step as it stands there.
    pub step: String,
    /// What was wrong.
    pub what: String,
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// In which network.
    pub variant: Variant,
    /// What went wrong first.
    pub failure: Option<Failure>,
    /// What the audit of the whole run found.
    pub audit: Vec<String>,
    /// Who sent what to whom.
    pub ladder: Ladder,
    /// Every message.
    pub trace: Vec<Sent>,
    /// How long it took on the virtual clock, in microseconds.
    pub took: u64,
}

impl Outcome {
    /// Whether everything went as the flow says, and the audit found nothing.
    pub fn passed(&self) -> bool {
        self.failure.is_none() && self.audit.is_empty()
    }

    /// What went wrong, with the ladder; `file` is what stands before the line number.
    pub fn report(&self, file: &str) -> String {
        let mut out = String::new();
        let network = &self.variant.name;
        if let Some(Failure { line, step, what }) = &self.failure {
            let _ = writeln!(out, "{file}:{line}: [{network}] {what}");
            if !step.is_empty() {
                let _ = writeln!(out, "    {step}");
            }
        }
        for complaint in &self.audit {
            let _ = writeln!(out, "{file}: [{network}] audit: {complaint}");
        }
        if !self.passed() {
            let _ = write!(out, "\n{}", self.ladder.render(Style::default()));
        }
        out
    }
}

/// Plays a flow in one of the networks that it names, or in any other.
pub fn run_flow(flow: &Flow, variant: &Variant, factory: &dyn Factory) -> Outcome {
    let mut run = match Run::new(flow, variant, factory) {
        Ok(run) => run,
        Err(error) => {
            return Outcome {
                variant: variant.clone(),
                failure: Some(Failure { line: error.line, step: String::new(), what: error.what }),
                audit: Vec::new(),
                ladder: Ladder::default(),
                trace: Vec::new(),
                took: 0,
            };
        }
    };
    let failure = run.play(flow);
    let mut complaints = Vec::new();
    if failure.is_none() {
        complaints = run.close();
    }
    complaints.extend(audit::messages(&run.net, factory));
    Outcome {
        variant: variant.clone(),
        failure,
        audit: complaints,
        took: run.net.now(),
        ladder: run.net.ladder().clone(),
        trace: run.net.trace().to_vec(),
    }
}

/// A run in progress.
struct Run {
    net: Network<Agent>,
    rough: bool,
    vars: Vars,
}

impl Run {
    fn new(flow: &Flow, variant: &Variant, factory: &dyn Factory) -> Result<Run, FlowError> {
        let mut net = Network::new(variant.seed);
        for line in &flow.dns {
            net.zone.add(line)?;
        }
        // As such pictures are drawn: who calls on the left, the servers in the middle.
        let (agents, elements): (Vec<&Member>, Vec<&Member>) =
            flow.cast.iter().partition(|m| matches!(m, Member::Agent(_)));
        let (left, right) = agents.split_at(agents.len().min(1));
        let order: Vec<&str> =
            left.iter().chain(&elements).chain(right).map(|m| m.name()).collect();
        net.order(&order);
        let mut vars = Vars::new();
        let mut servers: Vec<(String, Vec<Target>)> = Vec::new();
        for member in &flow.cast {
            if let Member::Server(spec) = member {
                let built = factory.server(spec)?;
                let targets = built.listeners.iter();
                let targets: Vec<Target> =
                    targets.map(|l| Target { transport: l.transport, address: l.local }).collect();
                if let Some(first) = targets.first() {
                    vars.insert(format!("{}.addr", spec.name), first.address.to_string());
                    vars.insert(format!("{}.ip", spec.name), first.address.ip().to_string());
                }
                servers.push((spec.name.clone(), targets));
                net.add_element(
                    &spec.name,
                    built.listeners,
                    built.names,
                    built.records,
                    built.maker,
                );
            }
        }
        let mut rng = SimRng::new(variant.seed ^ 0xa6e7);
        for member in &flow.cast {
            let Member::Agent(spec) = member else { continue };
            let via = match &spec.via {
                Some(name) => servers
                    .iter()
                    .find(|(n, _)| n == name)
                    .map(|(_, targets)| targets.clone())
                    .or_else(|| agent_targets(flow, name))
                    .ok_or_else(|| FlowError {
                        line: spec.line,
                        what: format!("nobody is called {name}"),
                    })?,
                None => servers.first().map(|(_, targets)| targets.clone()).unwrap_or_default(),
            };
            let agent = Agent::new(spec.clone(), via, rng.fork());
            let id = net.add_agent(&spec.name, agent_listeners(spec), agent);
            if let Some(agent) = net.agent(id) {
                vars.insert(format!("{}.contact", spec.name), agent.contact());
            }
            vars.insert(format!("{}.uri", spec.name), spec.uri.clone());
            vars.insert(format!("{}.addr", spec.name), spec.address.to_string());
            vars.insert(format!("{}.ip", spec.name), spec.address.ip().to_string());
        }
        use crate::network::Which;
        net.links.loss(Which::All, variant.loss);
        net.links.duplicate(Which::All, variant.duplicate);
        if variant.reorder {
            net.links.delay(Which::All, 1_000, 200_000);
        }
        net.chop = variant.is_rough();
        Ok(Run { net, rough: variant.is_rough(), vars })
    }

    fn play(&mut self, flow: &Flow) -> Option<Failure> {
        for step in &flow.steps {
            let mut result = self.step(&step.action);
            if let Some(stuck) = self.net.stuck() {
                result = Err((0, stuck.to_string()));
            }
            if let Err((line, what)) = result {
                let line = if line == 0 { step.line } else { line };
                return Some(Failure { line, step: step.text.clone(), what });
            }
        }
        None
    }

    /// Lets everything come to its end, and looks at what is left.
    fn close(&mut self) -> Vec<String> {
        let ids: Vec<NodeId> = self.net.ids().collect();
        // Longer than Timer C and any transaction; in virtual time it costs nothing.
        let latest = self.net.now() + 600_000_000;
        while self.net.now() < latest {
            self.net.run_until(self.net.now() + 1_000_000);
            let idle = ids.iter().all(|id| self.net.agent(*id).is_none_or(|a| a.is_idle()));
            if idle && self.net.undrained().is_empty() {
                break;
            }
            if self.net.stuck().is_some() {
                break;
            }
        }
        audit::ending(&mut self.net, self.rough)
    }
}

pub(crate) fn agent_listeners(spec: &AgentSpec) -> Vec<Listener> {
    let listener =
        |id, transport, local| Listener { id: ListenerId(id), transport, local, advertised: None };
    use towel_core::io::Transport;
    let mut all = vec![listener(0, spec.transport, spec.address)];
    // Like any user agent (RFC 3261 section 18.2.1), it listens on UDP and TCP at its port.
    for (id, transport) in [(1, Transport::Udp), (2, Transport::Tcp)] {
        if transport != spec.transport && !spec.transport.secure() {
            all.push(listener(id, transport, spec.address));
        }
    }
    all
}

fn agent_targets(flow: &Flow, name: &str) -> Option<Vec<Target>> {
    flow.cast.iter().find_map(|member| match member {
        Member::Agent(spec) if spec.name == name => Some(
            agent_listeners(spec)
                .into_iter()
                .map(|l| Target { transport: l.transport, address: l.local })
                .collect(),
        ),
        _ => None,
    })
}
