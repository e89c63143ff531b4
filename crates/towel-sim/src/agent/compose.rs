//! Making the messages that a flow wants sent: defaults, and what the flow says instead.

use towel_core::io::{Outbox, Transport};

use super::client::target_of;
use super::{Agent, Target};
use crate::flow::{FieldLine, Template};
use crate::pattern::{Vars, fill};
use crate::text::Text;

/// A request that is ready to go.
pub struct Made {
    /// The request.
    pub text: Text,
    /// Where it goes.
    pub target: Target,
}

/// Which way a request goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// Inside the dialog although there is a Request-URI.
    pub inside: bool,
    /// Whom to.
    pub to: Option<Target>,
    /// By what transport.
    pub over: Option<Transport>,
}

/// Stands in a filled template until the body's length is known.
const LENGTH: &str = "\u{1}";

impl Agent {
    /// A branch that was never used before (RFC 3261 section 8.1.1.7).
    pub(super) fn branch(&mut self) -> String {
        format!("z9hG4bK-{}-{}", self.spec.name, self.rng.token(10))
    }

    /// The agent's own contact URI.
    pub fn contact(&self) -> String {
        if let Some(contact) = &self.spec.contact {
            return contact.clone();
        }
        let user = self.spec.uri.split(':').nth(1).and_then(|rest| rest.split('@').next());
        let user = user.unwrap_or(&self.spec.name);
        let transport = self.spec.transport;
        let address = written(self.local(transport), transport);
        match transport {
            Transport::Udp => format!("sip:{user}@{address}"),
            _ => format!("sip:{user}@{address};transport={}", transport.uri_token()),
        }
    }

    fn variables(&mut self, vars: &Vars, transport: Transport) -> Vars {
        let mut all = vars.clone();
        let local = self.local(transport);
        let contact = self.contact();
        let mut put = |name: &str, value: String| {
            all.insert(name.into(), value);
        };
        put("ip", local.ip().to_string());
        put("port", local.port().to_string());
        put("addr", local.to_string());
        put("contact", contact);
        put("uri", self.spec.uri.clone());
        put("transport", transport.via_token().into());
        put("length", LENGTH.into());
        put("cseq", (self.cseq + 1).to_string());
        for name in ["tag", "callid"] {
            let value = self.rng.token(10);
            all.insert(name.into(), value);
        }
        let branch = self.branch();
        all.insert("branch".into(), branch);
        all
    }

    /// Makes a request.
    pub fn request_from(
        &mut self,
        method: &str,
        uri: Option<&str>,
        way: Way,
        template: &Template,
        vars: &Vars,
    ) -> Result<Made, String> {
        let Way { inside, to, over } = way;
        let hinted = to.map(|t| t.transport).or(over).unwrap_or(self.spec.transport);
        let vars = self.variables(vars, hinted);
        if let Some(whole) = &template.whole {
            let text = whole_message(whole, &vars)?;
            self.cseq = self.cseq.max(text.cseq());
            let target = to.map_or_else(|| self.default_target(over), Ok)?;
            return Ok(Made { text, target });
        }
        self.cseq += 1;
        let cseq = self.cseq;
        let uri = uri.map(|uri| fill(uri, &vars)).transpose()?;
        let (mut text, target) = match uri {
            None if method == "REGISTER" => {
                let domain = self.spec.uri.rsplit('@').next().unwrap_or_default();
                let domain = domain.split(';').next().unwrap_or_default().to_string();
                let text = self.outside(method, &format!("sip:{domain}"), cseq, &vars);
                (text, to.map_or_else(|| self.default_target(over), Ok)?)
            }
            None => self.inside(method, cseq, &vars, to, over)?,
            Some(uri) if inside => {
                let (mut text, target) = self.inside(method, cseq, &vars, to, over)?;
                text.start = format!("{method} {uri} SIP/2.0");
                (text, target)
            }
            Some(uri) => {
                let text = self.outside(method, &uri, cseq, &vars);
                (text, to.map_or_else(|| self.default_target(over), Ok)?)
            }
        };
        if target.transport != hinted {
            let (token, at) = (target.transport.via_token(), self.local(target.transport));
            text.set("Via", format!("SIP/2.0/{token} {at};branch={};rport", vars["branch"]));
        }
        if matches!(method, "INVITE" | "REGISTER" | "SUBSCRIBE" | "NOTIFY" | "UPDATE" | "REFER") {
            text.add("Contact", format!("<{}>", vars["contact"]));
        }
        apply(&mut text, template, &vars)?;
        Ok(Made { text, target })
    }

    fn outside(&mut self, method: &str, uri: &str, cseq: u32, vars: &Vars) -> Text {
        let register = method == "REGISTER";
        let to = if register { self.spec.uri.as_str() } else { uri };
        let call = if register { &self.register_call } else { &vars["callid"] };
        let mut text = Text { start: format!("{method} {uri} SIP/2.0"), ..Text::default() };
        text.add("Via", via(vars));
        text.add("Max-Forwards", "70");
        text.add("From", format!("<{}>;tag={}", self.spec.uri, vars["tag"]));
        text.add("To", format!("<{to}>"));
        text.add("Call-ID", call.clone());
        text.add("CSeq", format!("{cseq} {method}"));
        text
    }

    /// RFC 3261 section 12.2.1.1.
    fn inside(
        &self,
        method: &str,
        cseq: u32,
        vars: &Vars,
        to: Option<Target>,
        over: Option<Transport>,
    ) -> Result<(Text, Target), String> {
        let dialog = self.dialog.and_then(|at| self.dialogs.get(at)).ok_or_else(|| {
            format!("{} is in no dialog; outside of one, say the URI", self.spec.name)
        })?;
        let mut routes = dialog.routes.clone();
        let mut uri = dialog.target.clone();
        let mut next = uri.clone();
        if let Some(first) = routes.first().map(|r| crate::text::uri_of(r).to_string()) {
            next.clone_from(&first);
            let loose = crate::text::param(first.split_once(':').map_or("", |p| p.1), "lr");
            if loose.is_none() {
                routes.remove(0);
                routes.push(format!("<{uri}>"));
                uri = first;
            }
        }
        let cseq = if method == "ACK" { dialog.invite } else { cseq };
        let mut text = Text { start: format!("{method} {uri} SIP/2.0"), ..Text::default() };
        text.add("Via", via(vars));
        text.add("Max-Forwards", "70");
        for route in &routes {
            text.add("Route", route.clone());
        }
        text.add("From", dialog.local.clone());
        text.add("To", dialog.remote.clone());
        text.add("Call-ID", dialog.call_id.clone());
        text.add("CSeq", format!("{cseq} {method}"));
        let target = match to.or_else(|| target_of(&next)) {
            Some(target) => target,
            None => self.default_target(over)?,
        };
        Ok((text, target))
    }

    /// Acknowledges a 2xx, with a transaction of its own (RFC 3261 section 13.2.2.4).
    pub fn acknowledge(
        &mut self,
        template: &Template,
        vars: &Vars,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let Made { text, target } =
            self.request_from("ACK", None, Way::default(), template, vars)?;
        let tag = text.tag("To").unwrap_or_default().to_string();
        let bytes = text.write();
        self.keep_ack(&tag, target, bytes.clone());
        self.transmit(target, &bytes, out);
        Ok(())
    }

    /// Gives up an INVITE (RFC 3261 section 9.1).
    pub fn give_up(
        &mut self,
        of: Option<&str>,
        template: &Template,
        vars: &Vars,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let (at, invite) = self.to_cancel(of)?;
        let mut text =
            Text { start: format!("CANCEL {} SIP/2.0", invite.uri()), ..Text::default() };
        if let Some(via) = invite.values("Via").first() {
            text.add("Via", *via);
        }
        text.add("Max-Forwards", "70");
        for name in ["Route", "From", "To", "Call-ID"] {
            for value in invite.lines(name) {
                text.add(name, value);
            }
        }
        text.add("CSeq", format!("{} CANCEL", invite.cseq()));
        let vars = self.variables(vars, self.spec.transport);
        apply(&mut text, template, &vars)?;
        self.cancel(at, text, out);
        Ok(())
    }

    /// Answers a request.
    pub fn reply(
        &mut self,
        status: u16,
        reason: Option<&str>,
        of: Option<&str>,
        template: &Template,
        vars: &Vars,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let at = self.to_answer(of)?;
        let vars = self.variables(vars, self.spec.transport);
        let text = match &template.whole {
            Some(whole) => whole_message(whole, &vars)?,
            None => {
                let reason = reason.unwrap_or_else(|| phrase(status));
                let mut text = self.response_to(at, status, reason);
                text.remove("Content-Length");
                apply(&mut text, template, &vars)?;
                text
            }
        };
        self.respond(at, text, out);
        Ok(())
    }

    /// RFC 3261 section 8.2.6.2.
    pub(super) fn response_to(&self, at: usize, status: u16, reason: &str) -> Text {
        let (request, tag) = self.server_text(at);
        let mut text = Text { start: format!("SIP/2.0 {status} {reason}"), ..Text::default() };
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            for value in request.lines(name) {
                let tagless = name == "To" && status > 100 && request.tag("To").is_none();
                text.add(name, if tagless { format!("{value};tag={tag}") } else { value.into() });
            }
        }
        let dialog = matches!(request.method(), "INVITE" | "SUBSCRIBE" | "REFER");
        if dialog && (101..300).contains(&status) {
            for value in request.lines("Record-Route") {
                text.add("Record-Route", value);
            }
            text.add("Contact", format!("<{}>", self.contact()));
        }
        text.measure();
        text
    }

    /// Sends bytes as the flow has them.
    pub fn raw(
        &mut self,
        text: &str,
        target: Target,
        vars: &Vars,
        out: &mut Outbox,
    ) -> Result<(), String> {
        let vars = self.variables(vars, target.transport);
        let bytes = measured(&fill(text, &vars)?);
        self.send_raw(bytes.as_bytes(), target, out);
        Ok(())
    }

    /// The target for a step that names an address.
    pub fn target_at(&self, address: &str, over: Option<Transport>) -> Option<Target> {
        let transport = over.unwrap_or(self.spec.transport);
        Some(Target { transport, address: crate::flow::address(address, transport)? })
    }
}

fn written(address: std::net::SocketAddr, transport: Transport) -> String {
    if address.port() == transport.default_port() && transport == Transport::Udp {
        match address {
            std::net::SocketAddr::V4(v4) => v4.ip().to_string(),
            std::net::SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        }
    } else {
        address.to_string()
    }
}

fn via(vars: &Vars) -> String {
    format!("SIP/2.0/{} {};branch={};rport", vars["transport"], vars["addr"], vars["branch"])
}

/// Puts what a flow says over the defaults.
fn apply(text: &mut Text, template: &Template, vars: &Vars) -> Result<(), String> {
    let mut set: Vec<String> = Vec::new();
    for line in &template.fields {
        match line {
            FieldLine::Remove(name) => text.remove(name),
            FieldLine::Add(name, value) => text.add(name, fill(value, vars)?),
            FieldLine::Set(name, value) => {
                let value = fill(value, vars)?;
                let key = name.to_ascii_lowercase();
                if set.contains(&key) {
                    text.add(name, value);
                } else {
                    text.set(name, value);
                    set.push(key);
                }
            }
        }
    }
    if let Some((kind, body)) = &template.body {
        text.set("Content-Type", kind.clone());
        text.body = fill(body, vars)?.into_bytes();
    }
    let told = |line: &FieldLine| match line {
        FieldLine::Set(name, _) | FieldLine::Add(name, _) | FieldLine::Remove(name) => {
            crate::text::same_name(name, "Content-Length")
        }
    };
    if !template.fields.iter().any(told) {
        text.measure();
    }
    Ok(())
}

/// A text with its length filled in.
fn measured(filled: &str) -> String {
    let mut filled = filled.to_string();
    if !filled.contains("\r\n\r\n") {
        filled.push_str("\r\n");
    }
    let length = filled.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
    filled.replace(LENGTH, &length.to_string())
}

fn whole_message(template: &str, vars: &Vars) -> Result<Text, String> {
    let filled = measured(&fill(template, vars)?);
    Text::datagram(filled.as_bytes()).ok_or_else(|| "that is no message".to_string())
}

/// The usual reason phrase of a status code (RFC 3261 section 21).
pub(crate) fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        415 => "Unsupported Media Type",
        420 => "Bad Extension",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Of Its Own Kind",
    }
}
