//! Waiting for what a flow expects, and judging what came.

use super::Run;
use super::steps::Wrong;
use crate::agent::{Arrived, Kind};
use crate::flow::{Awaited, Check, Subject, Test};
use crate::ladder;
use crate::network::NodeId;
use crate::pattern::{self, Vars};
use crate::text::{param, same_name};

/// How long a provisional response is waited for where the network may have lost it.
const MAYBE: u64 = 1_500_000;

impl Run {
    pub(super) fn expect(
        &mut self,
        who: &str,
        awaited: &Awaited,
        of: Option<&str>,
        name: Option<&str>,
        within: u64,
        checks: &[Check],
    ) -> Result<(), Wrong> {
        if let Awaited::Nothing(time) = awaited {
            self.net.run_until(self.net.now() + time);
            let ids: Vec<NodeId> = match who {
                "" => self.net.ids().collect(),
                who => vec![self.id(who)?],
            };
            for id in ids {
                let rough = self.rough;
                let surprise = self.net.agent(id).and_then(|agent| surprise(agent.inbox(), rough));
                if let Some(what) = surprise {
                    return Err((0, format!("{} got {what}", self.net.name(id))));
                }
            }
            return Ok(());
        }
        let id = self.id(who)?;
        let maybe = self.rough && matches!(awaited, Awaited::Response(101..200, _));
        let until = self.net.now() + if maybe { MAYBE.min(within) } else { within };
        let arrived = loop {
            let Some(agent) = self.net.agent(id) else { return Ok(()) };
            let found = agent.inbox().iter().position(|a| is_awaited(a, awaited, of));
            if let Some(at) = found {
                break agent.take(at);
            }
            if let Some(instead) = agent.inbox().iter().find(|a| decides(a, awaited, of)) {
                if maybe {
                    return Ok(());
                }
                let what = describe(instead);
                return Err((0, format!("{who} got {what} instead\n{}", shown(instead))));
            }
            if !self.net.step(until) {
                if maybe {
                    return Ok(());
                }
                if let Some(stuck) = self.net.stuck() {
                    return Err((0, stuck.to_string()));
                }
                let seconds = within as f64 / 1e6;
                let there: Vec<String> = self
                    .net
                    .agent(id)
                    .map_or(Vec::new(), |a| a.inbox().iter().map(describe).collect());
                let there = match there.as_slice() {
                    [] => "nothing".to_string(),
                    there => there.join(", "),
                };
                return Err((0, format!("within {seconds} s {who} got {there}")));
            }
        };
        if let (Some(name), Some(agent)) = (name, self.net.agent(id)) {
            agent.name(&arrived, name);
        }
        for check in checks {
            if let Err(what) = judge(check, &arrived, &mut self.vars) {
                return Err((check.line, format!("{what}, in\n{}", shown(&arrived))));
            }
        }
        Ok(())
    }
}

fn is_awaited(arrived: &Arrived, awaited: &Awaited, of: Option<&str>) -> bool {
    if of.is_some() && arrived.kind != Kind::Request && arrived.name.as_deref() != of {
        return false;
    }
    match (awaited, arrived.kind) {
        (Awaited::Request(method), Kind::Request) => arrived.text.method() == method,
        (Awaited::Response(low, high), Kind::Response) => {
            let of_cancel = arrived.name.as_deref() == Some("cancel");
            (of.is_some() || !of_cancel) && (*low..=*high).contains(&arrived.text.status())
        }
        (Awaited::Timeout, Kind::Timeout) | (Awaited::Failure, Kind::Failure) => true,
        _ => false,
    }
}

/// Whether this ends the wait for something else: the transaction is over.
fn decides(arrived: &Arrived, awaited: &Awaited, of: Option<&str>) -> bool {
    let same = match of {
        Some(of) => arrived.name.as_deref() == Some(of),
        None => arrived.text.method() != "CANCEL",
    };
    let response = matches!(awaited, Awaited::Response(..) | Awaited::Timeout | Awaited::Failure);
    response
        && same
        && match arrived.kind {
            Kind::Response => arrived.text.status() >= 200,
            Kind::Timeout | Kind::Failure => true,
            Kind::Request => false,
        }
}

/// Whether something came that a flow may leave unmentioned.
pub(crate) fn may_pass(arrived: &Arrived, rough: bool) -> bool {
    let status = arrived.text.status();
    let own_cancel = arrived.kind == Kind::Response
        && arrived.name.as_deref() == Some("cancel")
        && arrived.text.method() == "CANCEL"
        && status == 200;
    arrived.kind == Kind::Response && (status == 100 || rough && (101..200).contains(&status))
        || own_cancel
}

/// The first thing in an inbox that nobody waited for.
pub(crate) fn surprise(inbox: &[Arrived], rough: bool) -> Option<String> {
    inbox.iter().find(|a| !may_pass(a, rough)).map(describe)
}

fn describe(arrived: &Arrived) -> String {
    let label = ladder::label(&arrived.bytes);
    let at = arrived.at as f64 / 1e6;
    match arrived.kind {
        Kind::Request | Kind::Response => format!("{label} at {at:.3}"),
        Kind::Timeout => format!("no answer to its {label}"),
        Kind::Failure => format!("no connection for its {label}"),
    }
}

fn shown(arrived: &Arrived) -> String {
    let text = String::from_utf8_lossy(&arrived.bytes).into_owned();
    text.lines().map(|line| format!("    | {line}\n")).collect()
}

/// What a check looks at, as text; `None` where it is not there.
fn looked_at(subject: &Subject, arrived: &Arrived) -> Option<String> {
    let text = &arrived.text;
    match subject {
        Subject::Uri => text.is_request().then(|| text.uri().to_string()),
        Subject::Reason => (!text.is_request()).then(|| text.reason().to_string()),
        Subject::Body => {
            (!text.body.is_empty()).then(|| String::from_utf8_lossy(&text.body).into_owned())
        }
        Subject::Source => arrived.from.map(|from| from.address.to_string()),
        Subject::Transport => arrived.from.map(|from| from.transport.uri_token().to_string()),
        Subject::Whole => Some(String::from_utf8_lossy(&arrived.bytes).into_owned()),
        Subject::Field { name, index, param: wanted } => {
            let value = match index {
                None if wanted.is_none() => text.joined(name)?,
                index => {
                    let values = text.values(name);
                    let at = match index.unwrap_or(1) {
                        at @ 1.. => at as usize - 1,
                        at => values.len().checked_sub(at.unsigned_abs() as usize)?,
                    };
                    values.get(at)?.to_string()
                }
            };
            match wanted {
                Some(wanted) => param(&value, wanted).map(Into::into),
                None => Some(value),
            }
        }
    }
}

fn judge(check: &Check, arrived: &Arrived, vars: &mut Vars) -> Result<(), String> {
    let name = match &check.subject {
        Subject::Uri => "the Request-URI".to_string(),
        Subject::Reason => "the reason phrase".into(),
        Subject::Body => "the body".into(),
        Subject::Source => "its source".into(),
        Subject::Transport => "its transport".into(),
        Subject::Whole => "the message".into(),
        Subject::Field { name, index, param } => {
            let index = index.map(|i| format!("[{i}]")).unwrap_or_default();
            let param = param.as_ref().map(|p| format!(".{p}")).unwrap_or_default();
            format!("{name}{index}{param}")
        }
    };
    if let Test::Count(wanted) = check.test {
        let Subject::Field { name: field, .. } = &check.subject else { return Ok(()) };
        let count = arrived.text.values(field).len();
        return if count == wanted {
            Ok(())
        } else {
            Err(format!("{name} has {count} values and not {wanted}"))
        };
    }
    let there = looked_at(&check.subject, arrived);
    if let (Subject::Whole, Test::Like(wanted), Some(there)) = (&check.subject, &check.test, &there)
    {
        return whole(wanted, there, vars);
    }
    let wrong = |there: &str, how: &str, wanted: &str| {
        Err(format!("{name} is\n      {there}\n    and {how}\n      {wanted}"))
    };
    match (&check.test, there) {
        (Test::Present, Some(_)) | (Test::Absent, None) | (Test::Unlike(_), None) => Ok(()),
        (Test::Absent, Some(there)) => Err(format!("{name} is there: {there}")),
        (_, None) => Err(format!("{name} is not there")),
        (Test::Equals(wanted), Some(there)) => {
            if pattern::matches(wanted, &there, vars, false) {
                Ok(())
            } else {
                wrong(&there, "should be", &pattern::fill(wanted, vars).unwrap_or(wanted.clone()))
            }
        }
        (Test::Like(wanted), Some(there)) => {
            if pattern::matches(wanted, &there, vars, true) {
                Ok(())
            } else {
                wrong(
                    &there,
                    "should be like",
                    &pattern::fill(wanted, vars).unwrap_or(wanted.clone()),
                )
            }
        }
        (Test::Unlike(wanted), Some(there)) => {
            if pattern::matches(wanted, &there, &mut vars.clone(), true) {
                wrong(&there, "should not be like", wanted)
            } else {
                Ok(())
            }
        }
        (Test::Count(_), Some(_)) => Ok(()),
    }
}

/// Compares line by line. The names of header fields may differ in case.
fn whole(wanted: &str, there: &str, vars: &mut Vars) -> Result<(), String> {
    let mut there = there.trim_end().lines();
    for wanted in wanted.trim_end().lines() {
        let line = there.next().unwrap_or("");
        let alike = pattern::matches(wanted, line, vars, true)
            || match (wanted.split_once(':'), line.split_once(':')) {
                (Some((a, wanted)), Some((b, line))) => {
                    same_name(a.trim(), b.trim())
                        && pattern::matches(wanted.trim(), line.trim(), vars, true)
                }
                _ => false,
            };
        if !alike {
            return Err(format!(
                "the line is\n      {line}\n    and should be like\n      {wanted}"
            ));
        }
    }
    match there.next() {
        Some(line) => Err(format!("there is a line more: {line}")),
        None => Ok(()),
    }
}
