//! SIPp scenarios told in steps, for what no phone does of its own accord.
//!
//! A scenario is one side of one call. What it answers is made from the request that it answers, which
//! is kept under a name; so it can answer late, twice, or as two different people.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{eventually, ports};

/// The URI of a Contact, in the words of SIPp's file.
const TARGET: &str = "sips?:[^&gt;]*";

/// A session description of SIPp's, for `port`, sending or not.
pub(crate) fn sdp(port: u16, direction: &str) -> String {
    format!(
        "v=0\no=sipp 1 {port} IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\n\
         m=audio {port} RTP/AVP 8\na={direction}"
    )
}

/// The method and branch of a request: `NACK` is the ACK of a refusal, which has the branch of its
/// INVITE, as a CANCEL has.
fn transaction(method: &str, cseq: u32) -> (&str, String) {
    let (method, of) = match method {
        "NACK" => ("ACK", "INVITE"),
        "CANCEL" => ("CANCEL", "INVITE"),
        _ => (method, method),
    };
    (method, format!("z9hG4bK-{of}-{cseq}-[call_number]"))
}

/// One side of a call, step by step.
#[derive(Default)]
pub(crate) struct Script {
    steps: String,
    variables: Vec<String>,
    /// Copies of a message are messages: SIPp does not answer them by itself.
    literal: bool,
}

impl Script {
    pub(crate) fn new() -> Script {
        Script::default()
    }

    /// The same, taking copies of a message as messages.
    pub(crate) fn that_counts_copies(mut self) -> Script {
        self.literal = true;
        self
    }

    /// The one action of a step (SIPp reads no second one): what is kept under `name` of which header
    /// fields, by pattern, and what must be in others.
    fn action(&mut self, name: &str, kept: &[(&str, &str, &str)], has: &[(&str, &str)]) -> String {
        let mut action = String::from("<action>\n");
        let mut read = |header: &str, pattern: &str, how: &str, variable: String| {
            let _ = writeln!(
                action,
                "<ereg regexp=\"{pattern}\" search_in=\"hdr\" header=\"{header}:\" {how} \
                 assign_to=\"{variable}\"/>"
            );
            if !self.variables.contains(&variable) {
                self.variables.push(variable);
            }
        };
        for (part, header, pattern) in kept {
            read(header, pattern, "", format!("{name}_{part}"));
        }
        for (number, (header, pattern)) in has.iter().enumerate() {
            read(header, pattern, "check_it=\"true\"", format!("{name}_has{number}"));
        }
        action.push_str("</action>\n");
        action
    }

    /// Waits for a request and keeps it as `name`; `has` are header fields with what must be in them.
    pub(crate) fn takes(mut self, method: &str, name: &str, has: &[(&str, &str)]) -> Script {
        let mut kept = vec![
            ("via", "Via", ".*"),
            ("from", "From", ".*"),
            ("to", "To", ".*"),
            ("cseq", "CSeq", ".*"),
        ];
        if matches!(method, "INVITE" | "UPDATE") {
            kept.push(("target", "Contact", TARGET));
        }
        let action = self.action(name, &kept, has);
        let _ = writeln!(self.steps, "<recv request=\"{method}\">\n{action}</recv>");
        self
    }

    /// Waits for a response; `name`, if it has one, keeps its To and Contact.
    pub(crate) fn gets(mut self, status: u16, name: &str) -> Script {
        let action = match name {
            "" => String::new(),
            name => self.action(name, &[("to", "To", ".*"), ("target", "Contact", TARGET)], &[]),
        };
        let routes = if name.is_empty() { "" } else { " rrs=\"true\"" };
        let _ = writeln!(self.steps, "<recv response=\"{status}\"{routes}>\n{action}</recv>");
        self
    }

    /// Passes over these responses, whenever they come.
    pub(crate) fn may_get(mut self, statuses: &[u16]) -> Script {
        for status in statuses {
            let _ = writeln!(self.steps, "<recv response=\"{status}\" optional=\"true\"/>");
        }
        self
    }

    /// Answers the request that is kept as `name`, as the one with this tag.
    pub(crate) fn answers(self, name: &str, status: &str, tag: &str, fields: &str) -> Script {
        self.answers_with(name, status, tag, fields, "")
    }

    /// The same with a session description.
    pub(crate) fn answers_with(
        mut self,
        name: &str,
        status: &str,
        tag: &str,
        fields: &str,
        body: &str,
    ) -> Script {
        let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
        let fields = if fields.is_empty() { String::new() } else { format!("{fields}\n") };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
        let _ = write!(
            self.steps,
            "<send><![CDATA[\nSIP/2.0 {status}\nVia:[${name}_via]\nFrom:[${name}_from]\n\
             To:[${name}_to]{tag}\nCall-ID: [call_id]\nCSeq:[${name}_cseq]\n\
             Contact: <sip:sipp@127.0.0.1:[local_port]>\n{fields}{kind}\
             Content-Length: [len]\n\n{body}\n]]></send>\n"
        );
        self
    }

    /// Sends a request in the dialog that the INVITE `name` of the peer made; we have `tag` in it.
    pub(crate) fn asks(
        mut self,
        method: &str,
        name: &str,
        tag: &str,
        cseq: u32,
        fields: &str,
        body: &str,
    ) -> Script {
        let fields = if fields.is_empty() { String::new() } else { format!("{fields}\n") };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
        let (method, branch) = transaction(method, cseq);
        let _ = write!(
            self.steps,
            "<send><![CDATA[\n{method} [${name}_target] SIP/2.0\n\
             Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}\n\
             From:[${name}_to];tag={tag}\nTo:[${name}_from]\nCall-ID: [call_id]\n\
             CSeq: {cseq} {method}\nMax-Forwards: 70\n\
             Contact: <sip:sipp@127.0.0.1:[local_port]>\n{fields}{kind}\
             Content-Length: [len]\n\n{body}\n]]></send>\n"
        );
        self
    }

    /// Sends a request of a caller's through the server: outside of a dialog with an empty `of`,
    /// else in the one that the 2xx `of` made.
    pub(crate) fn calls(
        mut self,
        method: &str,
        to: &str,
        of: &str,
        cseq: u32,
        fields: &str,
        body: &str,
    ) -> Script {
        let fields = if fields.is_empty() { String::new() } else { format!("{fields}\n") };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\n" };
        let (uri, to) = match of {
            "" => (to.to_owned(), format!(" <{to}>")),
            of => (format!("[${of}_target]"), format!("[${of}_to]")),
        };
        let (method, branch) = transaction(method, cseq);
        let _ = write!(
            self.steps,
            "<send><![CDATA[\n{method} {uri} SIP/2.0\n\
             Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}\n\
             From: <sip:sipp@127.0.0.1>;tag=sipp[call_number]\nTo:{to}\nCall-ID: [call_id]\n\
             CSeq: {cseq} {method}\nMax-Forwards: 70\n\
             Contact: <sip:sipp@127.0.0.1:[local_port]>\n{fields}{kind}\
             Content-Length: [len]\n\n{body}\n]]></send>\n"
        );
        self
    }

    /// Does nothing for so many milliseconds.
    pub(crate) fn waits_for(mut self, ms: u32) -> Script {
        let _ = writeln!(self.steps, "<pause milliseconds=\"{ms}\"/>");
        self
    }

    fn xml(&self) -> String {
        let all = self.variables.join(",");
        let reference = if all.is_empty() {
            String::new()
        } else {
            format!("<Reference variables=\"{all}\"/>\n")
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<scenario name=\"script\">\n{}{reference}</scenario>\n",
            self.steps
        )
    }

    /// Starts it for one call, on a port of its own, towards `peer`.
    pub(crate) fn start(&self, peer: &str) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let port = ports::free(1);
        fs::write(dir.path().join("script.xml"), self.xml()).unwrap();
        let out = fs::File::create(dir.path().join("out")).unwrap();
        let child = Command::new("sipp")
            .arg(peer)
            .args(["-sf", "script.xml", "-i", "127.0.0.1", "-p", &port.to_string()])
            .args(["-m", "1", "-timeout", "60", "-timeout_error", "-nostdin"])
            .args(["-trace_err", "-error_file", "err", "-trace_msg", "-message_file", "messages"])
            .args(self.literal.then_some("-nr"))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let mut running = Running { child, dir, port };
        eventually("sipp to listen", || {
            let ended = running.child.try_wait().unwrap();
            assert!(ended.is_none(), "sipp takes the script for none");
            std::net::UdpSocket::bind(("127.0.0.1", port)).is_err()
        });
        running
    }
}

/// A SIPp that plays a script.
pub(crate) struct Running {
    child: Child,
    dir: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Running {
    /// Waits for its end, which must be a good one, and gives the messages that it saw.
    pub(crate) fn finish(mut self) -> String {
        let mut ended = None;
        // SIPp itself gives up after its own timeout.
        while ended.is_none() {
            std::thread::sleep(Duration::from_millis(50));
            ended = self.child.try_wait().unwrap();
        }
        let messages = self.read("messages");
        assert!(
            ended.is_some_and(|ended| ended.success()),
            "sipp: {ended:?}\n{}\n{messages}",
            self.read("err")
        );
        messages
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(Path::new(self.dir.path()).join(name)).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("sipp saw:\n{}\n{}", self.read("err"), self.read("messages"));
        }
    }
}
