//! Reading a flow.

use std::net::{IpAddr, SocketAddr};

use towel_core::io::Transport;

use super::words::{Block, Line, blocks, duration, joined, parts, words};
use super::*;

/// How long an expectation waits where the flow does not say: longer than any transaction lives.
const PATIENCE: u64 = 40_000_000;

/// The networks that a flow is run in where it names none.
const USUAL: &str = "plain, loss20+reorder seeds 1..4";

fn err<T>(line: usize, what: impl Into<String>) -> Result<T, FlowError> {
    Err(FlowError { line, what: what.into() })
}

pub(super) fn flow(text: &str) -> Result<Flow, FlowError> {
    let about = text
        .lines()
        .take_while(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim())
        .collect::<Vec<_>>()
        .join("\n");
    let mut flow = Flow { about, ..Flow::default() };
    for block in blocks(text)? {
        let (first, rest) = block.text.split_once(char::is_whitespace).unwrap_or((block.text, ""));
        let rest = rest.trim();
        match first {
            "title" => flow.title = rest.into(),
            "rfc" => flow.rfc.extend(rest.split(',').map(|s| s.trim().to_string())),
            "entry" => flow.entry = Some(rest.into()),
            "variants" => variants(block.line, rest, &mut flow.variants)?,
            "server" => flow.cast.push(Member::Server(server(&block)?)),
            "agent" => flow.cast.push(Member::Agent(agent(&block)?)),
            "dns" => {
                for line in block.below.iter().filter(|l| !l.text.is_empty()) {
                    flow.dns.push(dns(line)?);
                }
            }
            _ => {
                let action = action(&block, &flow)?;
                flow.steps.push(Step { line: block.line, text: block.text.into(), action });
            }
        }
    }
    if flow.variants.is_empty() {
        variants(0, USUAL, &mut flow.variants)?;
    }
    Ok(flow)
}

fn variants(line: usize, text: &str, out: &mut Vec<Variant>) -> Result<(), FlowError> {
    for item in text.split(',') {
        let words = words(item);
        let Some((kinds, rest)) = words.split_first() else { continue };
        let mut variant = Variant { name: kinds.clone(), ..Variant::plain() };
        for kind in kinds.split('+') {
            let (word, number) =
                kind.split_at(kind.find(|c: char| c.is_ascii_digit()).unwrap_or(kind.len()));
            let amount = number.parse::<u32>().ok().map(|n| n * 10_000);
            match (word, amount) {
                ("plain", _) => {}
                ("loss", Some(amount)) => variant.loss = amount,
                ("duplicate", Some(amount)) => variant.duplicate = amount,
                ("reorder", _) => variant.reorder = true,
                _ => return err(line, format!("no such variant: {kind}")),
            }
        }
        let seeds: Vec<u64> = match rest {
            [] => vec![1],
            [word, range] if word == "seeds" || word == "seed" => {
                let (low, high) = range.split_once("..").unwrap_or((range, range));
                match (low.parse(), high.parse()) {
                    (Ok(low), Ok(high)) => (low..=high).collect(),
                    _ => return err(line, format!("not a range of seeds: {range}")),
                }
            }
            _ => return err(line, format!("after {kinds} comes: seeds 1..5")),
        };
        for seed in seeds {
            let name = if rest.is_empty() { kinds.clone() } else { format!("{kinds} seed {seed}") };
            out.push(Variant { name, seed, ..variant.clone() });
        }
    }
    Ok(())
}

fn setting<'a>(line: &Line<'a>) -> Result<(&'a str, &'a str), FlowError> {
    match line.text.split_once('=') {
        Some((key, value)) => Ok((key.trim(), value.trim())),
        None => err(line.number, "a setting is written: key = value"),
    }
}

fn server(block: &Block<'_>) -> Result<ServerSpec, FlowError> {
    let words = words(block.text);
    let [_, name, addresses @ ..] = words.as_slice() else {
        return err(block.line, "a server is written: server NAME ADDRESS");
    };
    let mut spec = ServerSpec {
        line: block.line,
        name: name.clone(),
        addresses: Vec::new(),
        settings: Vec::new(),
    };
    for word in addresses {
        match word.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => spec.addresses.push(address),
            Err(_) => return err(block.line, format!("not an address: {word}")),
        }
    }
    if spec.addresses.is_empty() {
        return err(block.line, "a server needs an address");
    }
    for line in block.below.iter().filter(|l| !l.text.is_empty()) {
        let (key, value) = setting(line)?;
        spec.settings.push((line.number, key.into(), value.into()));
    }
    Ok(spec)
}

/// `192.0.2.1`, `192.0.2.1:5070`, `2001:db8::1`, `[2001:db8::1]:5070`.
pub(crate) fn address(text: &str, transport: Transport) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| {
        let ip: IpAddr = text.trim_matches(['[', ']']).parse().ok()?;
        Some(SocketAddr::new(ip, transport.default_port()))
    })
}

fn agent(block: &Block<'_>) -> Result<AgentSpec, FlowError> {
    let words = words(block.text);
    let (name, at, transport) = match words.as_slice() {
        [_, name, at] => (name, at, Transport::Udp),
        [_, name, at, transport] => match Transport::from_token(transport.as_bytes()) {
            Some(transport) => (name, at, transport),
            None => return err(block.line, format!("no such transport: {transport}")),
        },
        _ => return err(block.line, "an agent is written: agent NAME ADDRESS [TRANSPORT]"),
    };
    let Some(address) = address(at, transport) else {
        return err(block.line, format!("not an address: {at}"));
    };
    let mut spec = AgentSpec {
        line: block.line,
        name: name.clone(),
        address,
        transport,
        uri: format!("sip:{name}@example.com"),
        contact: None,
        user: name.clone(),
        password: None,
        via: None,
        manual: Vec::new(),
    };
    for line in block.below.iter().filter(|l| !l.text.is_empty()) {
        let (key, value) = setting(line)?;
        let value = value.to_string();
        match key {
            "uri" => spec.uri = value,
            "contact" => spec.contact = Some(value),
            "user" => spec.user = value,
            "password" => spec.password = Some(value),
            "via" => spec.via = Some(value),
            "manual" => spec.manual = value.split(',').map(|s| s.trim().into()).collect(),
            _ => return err(line.number, format!("an agent has no setting {key}")),
        }
    }
    Ok(spec)
}

fn dns(line: &Line<'_>) -> Result<DnsLine, FlowError> {
    let mut all = words(line.text);
    let (mut after, mut ttl) = (20_000, 300);
    for word in ["after", "ttl"] {
        if let Some(at) = all.iter().position(|w| w == word) {
            let value = all.get(at + 1).cloned().unwrap_or_default();
            match word {
                "after" => after = time(line.number, &value)?,
                _ => ttl = value.parse().or_else(|_| err(line.number, "ttl is in seconds"))?,
            }
            all.drain(at..(at + 2).min(all.len()));
        }
    }
    if all.len() < 2 {
        return err(line.number, "a DNS line is written: NAME TYPE DATA, or NAME fails");
    }
    let name = all.remove(0).to_ascii_lowercase();
    Ok(DnsLine { line: line.number, name, words: all, after, ttl })
}

fn time(line: usize, text: &str) -> Result<u64, FlowError> {
    duration(text).map_or_else(|| err(line, format!("not a time: {text}")), Ok)
}

/// Takes `key VALUE` out of a line's words.
fn take(words: &mut Vec<String>, key: &str) -> Option<String> {
    let at = words.iter().position(|w| w == key)?;
    if at + 1 >= words.len() {
        return None;
    }
    let value = words.remove(at + 1);
    words.remove(at);
    Some(value)
}

fn action(block: &Block<'_>, flow: &Flow) -> Result<Action, FlowError> {
    let line = block.line;
    let mut words = words(block.text);
    let first = words.first().cloned().unwrap_or_default();
    let knows = |name: &str| flow.cast.iter().any(|m| m.name() == name);
    if knows(&first) {
        let is_agent = flow.cast.iter().any(|m| matches!(m, Member::Agent(a) if a.name == first));
        if !is_agent {
            return err(line, format!("{first} is a server: it does not follow a script"));
        }
        words.remove(0);
        return agent_action(block, first, words);
    }
    let known = |name: &String| {
        if knows(name) { Ok(name.clone()) } else { err(line, format!("nobody is called {name}")) }
    };
    let second = words.get(1).cloned().unwrap_or_default();
    Ok(match first.as_str() {
        "pass" => Action::Pass(time(line, &second)?),
        "expect" if second == "nothing" => {
            let quiet = take(&mut words, "for").unwrap_or_else(|| "2s".into());
            Action::Expect {
                who: String::new(),
                awaited: Awaited::Nothing(time(line, &quiet)?),
                of: None,
                name: None,
                within: PATIENCE,
                checks: Vec::new(),
            }
        }
        "note" => Action::Note(block.text["note".len()..].trim().into()),
        "restart" => Action::Restart(known(&second)?),
        "stop" => Action::Stop(known(&second)?),
        "overload" => Action::Overload(known(&second)?, true),
        "relieve" => Action::Overload(known(&second)?, false),
        "start" => Action::Start(known(&second)?),
        "clock" => {
            let by = words.get(2).cloned().unwrap_or_default();
            let size = time(line, by.trim_start_matches(['+', '-']))? as i64 / 1_000_000;
            Action::Clock(known(&second)?, if by.starts_with('-') { -size } else { size })
        }
        "reset" => match words.get(2) {
            Some(other) => Action::Network(Fault::Reset(known(&second)?, known(other)?)),
            None => return err(line, "a reset is written: reset A B"),
        },
        "loss" | "delay" | "reorder" | "duplicate" | "partition" | "heal" | "drop" => {
            for name in words.iter().skip_while(|w| *w != "between").skip(1) {
                known(name)?;
            }
            Action::Network(fault(line, &words)?)
        }
        _ => return err(line, format!("neither a step nor somebody in this flow: {first}")),
    })
}

fn fault(line: usize, words: &[String]) -> Result<Fault, FlowError> {
    let word = |at: usize| words.get(at).map(String::as_str).unwrap_or_default();
    let between = match words.iter().position(|w| w == "between") {
        Some(at) => match &words[at + 1..] {
            [a] => Between::One(a.clone()),
            [a, b] => Between::Two(a.clone(), b.clone()),
            _ => return err(line, "between is followed by one or two names"),
        },
        None => Between::All,
    };
    let share = || match parts(word(1)) {
        Some(parts) => Ok(parts),
        None => err(line, "how much? As 20%"),
    };
    Ok(match word(0) {
        "loss" => Fault::Loss(between, share()?),
        "duplicate" => Fault::Duplicate(between, share()?),
        "reorder" => Fault::Delay(between, 5_000, 200_000),
        "delay" => {
            let (low, high) = word(1).split_once("..").unwrap_or((word(1), word(1)));
            Fault::Delay(between, time(line, low)?, time(line, high)?)
        }
        "partition" => match (word(1), word(2)) {
            ("", _) => return err(line, "a partition is written: partition A [B]"),
            (a, "") => Fault::Partition(Between::One(a.into())),
            (a, b) => Fault::Partition(Between::Two(a.into(), b.into())),
        },
        "heal" => Fault::Heal,
        _ => {
            let mut words = words[1..].to_vec();
            words.retain(|w| w != "next");
            let times = match words.iter().position(|w| w == "times") {
                Some(at) if at > 0 => {
                    let times = words[at - 1].parse();
                    words.drain(at - 1..=at);
                    times.or_else(|_| err(line, "how many times?"))?
                }
                _ => 1,
            };
            let from = take(&mut words, "from");
            let to = take(&mut words, "to");
            let what = words.first().filter(|w| *w != "message").cloned();
            Fault::Drop { what, from, to, times }
        }
    })
}

fn agent_action(
    block: &Block<'_>,
    who: String,
    mut words: Vec<String>,
) -> Result<Action, FlowError> {
    let line = block.line;
    if words.is_empty() {
        return err(line, format!("what does {who} do?"));
    }
    let verb = words.remove(0);
    let action = match verb.as_str() {
        "sends" => {
            let inside = words.last().is_some_and(|w| w == "inside");
            if inside {
                words.pop();
            }
            let name = take(&mut words, "as");
            let to = take(&mut words, "to");
            let over = match take(&mut words, "over") {
                Some(word) => match Transport::from_token(word.as_bytes()) {
                    Some(transport) => Some(transport),
                    None => return err(line, format!("no such transport: {word}")),
                },
                None => None,
            };
            match words.as_slice() {
                [bytes] if bytes == "bytes" => {
                    return Ok(Action::Raw { who, to, over, text: joined(&block.below) });
                }
                [message] if message == "message" => {
                    let template = template(block)?;
                    if template.whole.is_none() {
                        return err(line, "below it the whole message is wanted");
                    }
                    let method = String::new();
                    Action::Send { who, method, uri: None, inside: false, to, over, name, template }
                }
                [method] | [method, _] => Action::Send {
                    who,
                    method: method.clone(),
                    uri: words.get(1).cloned(),
                    inside,
                    to,
                    over,
                    name,
                    template: template(block)?,
                },
                _ => return err(line, "sends METHOD [URI] [to X] [over T] [as NAME]"),
            }
        }
        "repeats" => Action::Repeat { who, name: words.first().cloned() },
        "expects" => return expect(block, who, words),
        "replies" => {
            let of = take(&mut words, "to");
            match words.as_slice() {
                [status, reason @ ..] => Action::Reply {
                    who,
                    status: status.parse().or_else(|_| err(line, "a status code is a number"))?,
                    reason: (!reason.is_empty()).then(|| reason.join(" ")),
                    of,
                    template: template(block)?,
                },
                [] => return err(line, "replies STATUS [\"reason\"] [to NAME]"),
            }
        }
        "acks" => Action::Ack { who, of: words.first().cloned(), template: template(block)? },
        "cancels" => Action::Cancel { who, of: words.first().cloned(), template: template(block)? },
        "turns" => match words.as_slice() {
            [to, name] if to == "to" => Action::Turn { who, name: name.clone() },
            _ => return err(line, "turns to NAME"),
        },
        "registers" => Action::Register { who, template: template(block)? },
        _ => return err(line, format!("nobody can do that: {verb}")),
    };
    Ok(action)
}

fn expect(block: &Block<'_>, who: String, mut words: Vec<String>) -> Result<Action, FlowError> {
    let line = block.line;
    if words.first().is_some_and(|w| w == "nothing") {
        let quiet = take(&mut words, "for").unwrap_or_else(|| "2s".into());
        let awaited = Awaited::Nothing(time(line, &quiet)?);
        let (of, name, checks) = (None, None, Vec::new());
        return Ok(Action::Expect { who, awaited, of, name, within: PATIENCE, checks });
    }
    let of = take(&mut words, "for");
    let name = take(&mut words, "as");
    let within = match take(&mut words, "within") {
        Some(word) => time(line, &word)?,
        None => PATIENCE,
    };
    let [what] = words.as_slice() else {
        return err(line, "expects METHOD or STATUS [for NAME] [as NAME] [within 5s]");
    };
    let awaited = match what.as_str() {
        "timeout" => Awaited::Timeout,
        "failure" => Awaited::Failure,
        _ if what.len() == 3 && what.ends_with("xx") => {
            let class: u16 = what[..1].parse().or_else(|_| err(line, "as 4xx"))?;
            Awaited::Response(class * 100, class * 100 + 99)
        }
        _ => match what.parse::<u16>() {
            Ok(status) => Awaited::Response(status, status),
            Err(_) => Awaited::Request(what.clone()),
        },
    };
    let mut checks = Vec::new();
    let mut at = 0;
    while let Some(line) = block.below.get(at) {
        at += 1;
        if line.text.is_empty() {
            continue;
        }
        let deeper = block.below[at..]
            .iter()
            .take_while(|l| l.text.is_empty() || l.indent > line.indent)
            .count();
        if line.text == "whole" {
            let test = Test::Like(joined(&block.below[at..at + deeper]));
            checks.push(Check { line: line.number, subject: Subject::Whole, test });
        } else if line.text == "body" {
            let test = Test::Equals(joined(&block.below[at..at + deeper]));
            checks.push(Check { line: line.number, subject: Subject::Body, test });
        } else {
            checks.push(check(line)?);
            continue;
        }
        at += deeper;
    }
    Ok(Action::Expect { who, awaited, of, name, within, checks })
}

fn check(line: &Line<'_>) -> Result<Check, FlowError> {
    let text = line.text;
    let end = text.find(|c: char| c.is_whitespace() || c == ':').unwrap_or(text.len());
    let (subject, rest) = text.split_at(end);
    let rest = rest.trim_start();
    let of = |prefix: &str| rest.strip_prefix(prefix).map(|r| r.trim().to_string());
    let test = if let Some(text) = of(":").or_else(|| of("=")) {
        Test::Equals(text)
    } else if let Some(text) = of("~") {
        Test::Like(text)
    } else if let Some(text) = of("!~") {
        Test::Unlike(text)
    } else if rest == "present" {
        Test::Present
    } else if rest == "absent" {
        Test::Absent
    } else if let Some(count) = of("count").and_then(|c| c.parse().ok()) {
        Test::Count(count)
    } else {
        return err(line.number, "a check is: Field = v, ~ pattern, !~ pattern, present, absent");
    };
    let subject = match subject {
        "uri" => Subject::Uri,
        "reason" => Subject::Reason,
        "body" => Subject::Body,
        "source" => Subject::Source,
        "transport" => Subject::Transport,
        _ => {
            let (name, param) = match subject.split_once('.') {
                Some((name, param)) => (name, Some(param.to_string())),
                None => (subject, None),
            };
            let (name, index) = match name.split_once('[') {
                Some((name, index)) => match index.trim_end_matches(']').parse() {
                    Ok(index) => (name, Some(index)),
                    Err(_) => return err(line.number, "which value? As Via[1]"),
                },
                None => (name, None),
            };
            Subject::Field { name: name.into(), index, param }
        }
    };
    Ok(Check { line: line.number, subject, test })
}

fn template(block: &Block<'_>) -> Result<Template, FlowError> {
    let mut template = Template::default();
    if block
        .below
        .first()
        .is_some_and(|l| l.text.ends_with(" SIP/2.0") || l.text.starts_with("SIP/2.0 "))
    {
        template.whole = Some(joined(&block.below));
        return Ok(template);
    }
    let mut at = 0;
    while let Some(line) = block.below.get(at) {
        at += 1;
        let text = line.text;
        if text.is_empty() {
        } else if text == "sdp" {
            template.body = Some(("application/sdp".into(), sdp()));
        } else if let Some(kind) = text.strip_prefix("body ") {
            let deeper = block.below[at..]
                .iter()
                .take_while(|l| l.text.is_empty() || l.indent > line.indent)
                .count();
            template.body = Some((kind.trim().into(), joined(&block.below[at..at + deeper])));
            at += deeper;
        } else if let Some(name) = text.strip_prefix('-') {
            template.fields.push(FieldLine::Remove(name.trim().into()));
        } else if let Some((name, value)) = text.split_once(':') {
            let value = value.trim().to_string();
            template.fields.push(match name.strip_prefix('+') {
                Some(name) => FieldLine::Add(name.trim().into(), value),
                None => FieldLine::Set(name.trim().into(), value),
            });
        } else {
            return err(line.number, "below a message stand: Field: value, -Field, sdp, body TYPE");
        }
    }
    Ok(template)
}

/// A session description that will do where a flow is not about it.
fn sdp() -> String {
    "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0\r\n"
        .into()
}
