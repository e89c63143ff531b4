//! Our own user agent in a flow: a server whose settings say `user-agent = AOR` is one.
//!
//! ```text
//! server alice 192.0.2.50
//!   user-agent = sip:alice@example.com
//!   proxy = sip:192.0.2.1
//!   password = alices-secret
//!   do = 1s register sip:example.com
//!   do = 3s call sip:bob@example.com
//!   do = 8s re-invite
//!   do = 12s hang-up
//!   rings = 200ms
//!   early = 500ms
//!   answers = 2s 200
//!   accepts = 200
//!   tells = sip:192.0.2.60
//! ```
//!
//! `do` is what its user does, at a time since it was started, with the call that it has: `call URI`,
//! `call URI without offer`, `re-invite`, `update`, `hang-up`, `register URI`, `refer URI to REFER-TO`
//! (outside of any dialog; ` without news` and ` with explicit news` after it), and `request METHOD
//! [Field: value | Field: value]` for any request in its dialog; one that is not let go is told. With the first of its calls it may
//! `transfer URI`, `transfer` (to the second one), `transfer back` (the second to the first), each
//! with `unattended` or `by address` after it. A REFER that comes is accepted and followed; `refers = 603`
//! refuses it, `refers = 2s` waits before it is followed, `refers = 2s 603` declines it then. A call that
//! takes another one's place, or joins it, is answered at once, with 200 or the status of `replaced`; `refer-many URI URI ...` refers the
//! first to the others. A call that comes is answered with
//! 180 after `rings`, with a 183 and a session description after `early`, and with the status of `answers` after its time; without `answers` it rings for ever.
//! A re-INVITE gets the status of `accepts`, at once, and an UPDATE if there is such. What happens to its calls is told by MESSAGE to
//! `tells`, where a flow can see it: `established`, `changed 200`, `refused 486`, `bye`,
//! `cancelled`, `local`, `no-ack`, `lost 408`, `unfit`, `no-response`, `fork`, `replaced`. How
//! a REFER of its own ended is told to `tells-refer`: `referred 200`, `refer refused 405`, `refer unknown`.

use std::time::Duration;

use towel_core::contract::{Manner, Registry};
use towel_core::io::{Input, Instant, Machine, Now, Outbox};
use towel_core::settings::Settings;
use towel_core::ua::Account;
use towel_core::ua::user_agent::{
    Answer, Ask, CallHandle, Came, Content, DialogHandle, Ending, Event, HangUp, IncomingHandle,
    Profile, ReferenceHandle, Referral, Refused, Reported, Transfer, UserAgent,
};

/// Something that its user does.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Act {
    Call {
        uri: String,
        offer: bool,
    },
    Reinvite,
    Update,
    HangUp,
    Register(String),
    /// Any request in the dialog, with header fields.
    Request {
        method: String,
        fields: Vec<(String, String)>,
    },
    Transfer {
        to: To,
        unattended: bool,
        by_address: bool,
    },
    Refer {
        uri: String,
        refer_to: String,
        news: News,
    },
    ReferMany {
        uri: String,
        targets: Vec<String>,
    },
}

/// What its first call is transferred to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum To {
    Uri(String),
    Second,
    /// The second one is transferred to the first.
    Back,
}

/// How it gets to know what comes of a REFER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Usual,
    None,
    Explicit,
}

/// What it does with a REFER that comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Refers {
    #[default]
    Follows,
    Refuses(u16),
    Later(Duration, Option<u16>),
}

/// What a user agent is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) address: String,
    pub(crate) proxy: Option<String>,
    pub(crate) password: Option<String>,
    acts: Vec<(Duration, Act)>,
    rings: Option<Duration>,
    answers: Option<(Duration, u16)>,
    early: Option<Duration>,
    accepts: Option<u16>,
    refers: Refers,
    replaced: Option<u16>,
    pub(crate) tells: Option<String>,
    tells_refer: Option<String>,
}

fn span(text: &str) -> Result<Duration, String> {
    let micros = crate::flow::duration(text).ok_or_else(|| format!("not a time: {text}"))?;
    Ok(Duration::from_micros(micros))
}

impl Script {
    /// Takes a setting; `None` where it has no such one.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        let status = |text: &str| text.parse().map_err(|_| format!("not a status: {text}"));
        let mut take = || -> Result<bool, String> {
            match key {
                "user-agent" => self.address = value.into(),
                "do" => self.act(value)?,
                "early" => self.early = Some(span(value)?),
                "rings" => self.rings = Some(span(value)?),
                "answers" => {
                    let (after, code) = value.split_once(' ').ok_or("TIME STATUS")?;
                    self.answers = Some((span(after)?, status(code.trim())?));
                }
                "refers" => {
                    let words: Vec<&str> = value.split_whitespace().collect();
                    self.refers = match words.as_slice() {
                        [code] if code.parse::<u16>().is_ok() => Refers::Refuses(status(code)?),
                        [after] => Refers::Later(span(after)?, None),
                        [after, code] => Refers::Later(span(after)?, Some(status(code)?)),
                        _ => return Err("STATUS, TIME or TIME STATUS".into()),
                    };
                }
                "replaced" => self.replaced = Some(status(value)?),
                "accepts" => self.accepts = Some(status(value)?),
                "proxy" => self.proxy = Some(value.into()),
                "password" => self.password = Some(value.into()),
                "tells-refer" => self.tells_refer = Some(value.into()),
                "tells" => self.tells = Some(value.into()),
                _ => return Ok(false),
            }
            Ok(true)
        };
        match take() {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(what) => Some(Err(what)),
        }
    }

    fn act(&mut self, value: &str) -> Result<(), String> {
        let words: Vec<&str> = value.split_whitespace().collect();
        let (when, act) = match words.as_slice() {
            [when, "call", uri] => (when, Act::Call { uri: (*uri).into(), offer: true }),
            [when, "call", uri, "without", "offer"] => {
                (when, Act::Call { uri: (*uri).into(), offer: false })
            }
            [when, "re-invite"] => (when, Act::Reinvite),
            [when, "update"] => (when, Act::Update),
            [when, "hang-up"] => (when, Act::HangUp),
            [when, "register", uri] => (when, Act::Register((*uri).into())),
            [when, "request", method, ..] => {
                let fields = value.split_once(method).map_or("", |(_, fields)| fields);
                let fields = fields.split(" | ").filter_map(|field| field.split_once(':'));
                let fields = fields.map(|(name, value)| (name.trim().into(), value.trim().into()));
                (when, Act::Request { method: (*method).into(), fields: fields.collect() })
            }
            [when, "transfer", rest @ ..] => {
                let mut act = (To::Second, false, false);
                for word in rest {
                    match *word {
                        "back" => act.0 = To::Back,
                        "unattended" => act.1 = true,
                        "by" => {}
                        "address" => act.2 = true,
                        uri => act.0 = To::Uri(uri.into()),
                    }
                }
                (when, Act::Transfer { to: act.0, unattended: act.1, by_address: act.2 })
            }
            [when, "refer-many", uri, targets @ ..] => {
                let targets = targets.iter().map(|target| (*target).into()).collect();
                (when, Act::ReferMany { uri: (*uri).into(), targets })
            }
            [when, "refer", uri, "to", refer_to, rest @ ..] => {
                let news = match rest {
                    [] => News::Usual,
                    ["without", "news"] => News::None,
                    ["with", "explicit", "news"] => News::Explicit,
                    _ => return Err(format!("without news | with explicit news: {value}")),
                };
                let (uri, refer_to) = ((*uri).into(), (*refer_to).into());
                (when, Act::Refer { uri, refer_to, news })
            }
            _ => {
                return Err(format!(
                    "TIME call URI | re-invite | update | hang-up | register URI | transfer | refer | \
                     request METHOD: {value}"
                ));
            }
        };
        self.acts.push((span(when)?, act));
        Ok(())
    }

    fn user(&self) -> &str {
        self.address.split([':', '@']).nth(1).unwrap_or("user")
    }
}

/// The machine.
pub(crate) struct Caller {
    agent: UserAgent,
    script: Script,
    began: Option<Instant>,
    next: usize,
    /// The call that its user speaks of: the last one.
    call: Option<CallHandle>,
    /// All of them, in order.
    calls: Vec<CallHandle>,
    /// References that are followed later.
    later: Vec<(Instant, ReferenceHandle, Vec<u8>)>,
    /// The early dialog of the last provisional response.
    early: Option<DialogHandle>,
    /// Answers that are due.
    due: Vec<(Instant, CallHandle, u16)>,
    version: u32,
}

impl Caller {
    pub(crate) fn new(
        settings: &Settings,
        registry: Registry,
        seed: [u8; 32],
        script: Script,
    ) -> Caller {
        let account = script.password.as_ref().map(|password| Account {
            user: script.user().to_owned(),
            password: password.clone(),
            realm: None,
        });
        let profile = Profile {
            address: format!("<{}>", script.address),
            contact: script.user().to_owned(),
            account,
            route: script.proxy.clone(),
            ..Profile::default()
        };
        let agent = UserAgent::new(settings, profile, registry, seed);
        Caller {
            agent,
            script,
            began: None,
            next: 0,
            call: None,
            calls: Vec::new(),
            later: Vec::new(),
            early: None,
            due: Vec::new(),
            version: 0,
        }
    }

    fn description(&mut self) -> String {
        self.version += 1;
        format!(
            "v=0\r\no=- 42 {} IN IP4 192.0.2.200\r\ns=-\r\nc=IN IP4 192.0.2.200\r\nt=0 0\r\n\
             m=audio 40000 RTP/AVP 0\r\n",
            self.version
        )
    }

    fn perform(&mut self, now: Now, out: &mut Outbox, act: &Act) {
        // One that cannot be done is one that the flow will miss.
        match act {
            Act::Call { uri, offer } => {
                let ask = match offer {
                    true => Ask::invite(uri, self.description()),
                    false => Ask::new("INVITE", uri),
                };
                let call = self.agent.call(now, out, ask).ok();
                self.take(call);
            }
            Act::Transfer { to, unattended, by_address } => {
                let (first, second) = (self.calls.first().copied(), self.calls.get(1).copied());
                let (call, mut transfer) = match (to, first, second) {
                    (To::Uri(uri), Some(first), _) => (first, Transfer::blind(uri)),
                    (To::Second, Some(first), Some(second)) => (first, Transfer::attended(second)),
                    (To::Back, Some(first), Some(second)) => (second, Transfer::attended(first)),
                    _ => return,
                };
                transfer.by_address = *by_address;
                if *unattended {
                    transfer.hang_up = HangUp::Accepted;
                }
                let _ = self.agent.transfer(now, out, call, transfer);
            }
            Act::ReferMany { uri, targets } => {
                let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
                let ask = Ask::refer_to_many(uri, &targets);
                let _ = self.agent.refer(now, out, None, &ask);
            }
            Act::Refer { uri, refer_to, news } => {
                let ask = Ask::refer(uri, refer_to);
                let ask = match news {
                    News::Usual => ask,
                    News::None => ask.without_news(),
                    News::Explicit => ask.with_explicit_news(),
                };
                let _ = self.agent.refer(now, out, None, &ask);
            }
            Act::Reinvite => {
                let change = Ask::invite("", self.description());
                let dialog = self.call.and_then(|call| self.agent.session_of(call));
                if let Some(dialog) = dialog {
                    let _ = self.agent.request(now, out, dialog, &change);
                }
            }
            Act::Update => {
                let change =
                    Ask { body: Some(Content::sdp(self.description())), ..Ask::new("UPDATE", "") };
                let dialog = self.call.and_then(|call| self.agent.session_of(call)).or(self.early);
                if let Some(dialog) = dialog {
                    let _ = self.agent.request(now, out, dialog, &change);
                }
            }
            Act::Request { method, fields } => {
                let mut ask = Ask::new(method, "");
                for (name, value) in fields {
                    ask = ask.with(name, value);
                }
                let dialog = self.call.and_then(|call| self.agent.session_of(call)).or(self.early);
                let sent = match dialog {
                    Some(dialog) => self.agent.request(now, out, dialog, &ask).map(|_| ()),
                    None => Err(Refused::Stale),
                };
                if let Err(why) = sent {
                    self.tell(now, out, format!("{method}: {why}"), false);
                }
            }
            Act::HangUp => {
                if let Some(call) = self.call {
                    let _ = self.agent.hang_up(now, out, call);
                }
            }
            Act::Register(registrar) => {
                let ask = Ask {
                    to: format!("<{}>", self.script.address),
                    ..Ask::new("REGISTER", registrar).with("Expires", "600")
                };
                let _ = self.agent.send(now, out, &ask);
            }
        }
    }

    fn take(&mut self, call: Option<CallHandle>) {
        self.call = call.or(self.call);
        self.calls.extend(call);
    }

    /// A REFER has come.
    fn referred(&mut self, now: Now, out: &mut Outbox, request: IncomingHandle, refer: Vec<u8>) {
        if let Refers::Refuses(status) = self.script.refers {
            let _ = self.agent.reply(now, out, request, Answer::new(status));
            return;
        }
        let Ok(reference) = self.agent.accept_refer(now, out, request) else { return };
        match self.script.refers {
            Refers::Later(after, _) => self.later.push((now.at + after, reference, refer)),
            _ => self.follow(now, out, reference, &refer),
        }
    }

    fn follow(&mut self, now: Now, out: &mut Outbox, reference: ReferenceHandle, refer: &[u8]) {
        if let Refers::Later(_, Some(status)) = self.script.refers {
            let _ = self.agent.report(now, out, reference, status, "Declined");
            return;
        }
        let Some(referral) = Referral::of(refer) else { return };
        let offer = (referral.method == "INVITE").then(|| Content::sdp(self.description()));
        let ask = referral.ask(offer);
        let call = self.agent.follow(now, out, reference, ask).ok().flatten();
        self.take(call);
    }

    fn answer(&mut self, now: Now, out: &mut Outbox, call: CallHandle, status: u16) {
        // After early media the description may have been given, or not count: it is given where it must
        // be.
        if status / 100 == 2
            && self.script.early.is_some()
            && self.agent.answer(now, out, call, Answer::new(status)).is_ok()
        {
            return;
        }
        let mut answer = Answer::new(status);
        if status / 100 == 2 || status == 183 {
            answer = answer.sdp(self.description());
        }
        let _ = self.agent.answer(now, out, call, answer);
    }

    fn happened(&mut self, now: Now, out: &mut Outbox, event: Event) {
        let note = match event {
            Event::Incoming { call, manner, .. } => {
                if self.agent.replaces(call).or(self.agent.joins(call)).is_some() {
                    self.take(Some(call));
                    return self.answer(now, out, call, self.script.replaced.unwrap_or(200));
                }
                if self.call.is_some() {
                    return self.answer(now, out, call, 486);
                }
                self.take(Some(call));
                if manner == Manner::Auto {
                    // Nothing of the room is sent before its user says so.
                    let description = format!("{}a=recvonly\r\n", self.description());
                    let answer = Answer::new(200).sdp(description);
                    let _ = self.agent.answer(now, out, call, answer);
                    return;
                }
                if let Some(rings) = self.script.rings {
                    self.due.push((now.at + rings, call, 180));
                }
                if let Some(early) = self.script.early {
                    self.due.push((now.at + early, call, 183));
                }
                if let Some((after, status)) = self.script.answers {
                    self.due.push((now.at + after, call, status));
                }
                return;
            }
            Event::Progress { dialog, .. } => {
                self.early = dialog;
                return;
            }
            Event::Established { .. } | Event::Forked { .. } => "established".into(),
            Event::AnswerWanted { dialog, .. } => {
                let answer = Content::sdp(self.description());
                let _ = self.agent.supply(now, out, dialog, answer);
                return;
            }
            Event::Reinvite { request, .. } => {
                let status = self.script.accepts.unwrap_or(200);
                let mut answer = Answer::new(status);
                if status / 100 == 2 {
                    answer = answer.sdp(self.description());
                }
                let _ = self.agent.reply(now, out, request, answer);
                return;
            }
            Event::Request { request, message, .. } => {
                if let Some(status) =
                    self.script.accepts.filter(|_| message.starts_with(b"UPDATE "))
                {
                    let _ = self.agent.reply(now, out, request, Answer::new(status));
                    return;
                }
                // One that has an offer wants its answer.
                if self.agent.reply(now, out, request, Answer::new(200))
                    == Err(Refused::OfferAnswer)
                {
                    let answer = Answer::new(200).sdp(self.description());
                    let _ = self.agent.reply(now, out, request, answer);
                }
                return;
            }
            Event::Response { dialog: Some(_), came, .. }
                if !matches!(came, Came::Provisional(_)) =>
            {
                format!("changed {}", came.status())
            }
            Event::Referred { request, message, .. } => {
                return self.referred(now, out, request, message);
            }
            Event::Refer { reported, .. } => match reported {
                Reported::Final { status, .. } => {
                    return self.tell(now, out, format!("referred {status}"), true);
                }
                Reported::Refused { status, .. } => {
                    return self.tell(now, out, format!("refer refused {status}"), true);
                }
                Reported::Unknown => return self.tell(now, out, "refer unknown".into(), true),
                Reported::Accepted { .. } | Reported::Progress { .. } => return,
            },
            Event::Subscribing { request, .. } => {
                let _ = self.agent.reply(now, out, request, Answer::new(403));
                return;
            }
            Event::Ended { call, why, .. } => {
                self.calls.retain(|one| *one != call);
                if self.call == Some(call) {
                    self.call = self.calls.last().copied();
                }
                self.due.retain(|(_, of, _)| *of != call);
                match why {
                    Ending::Local => "local".into(),
                    Ending::Bye => "bye".into(),
                    Ending::Cancelled => "cancelled".into(),
                    Ending::Failed { status, .. } => format!("refused {status}"),
                    Ending::NoResponse(_) => "no-response".into(),
                    Ending::NoAck => "no-ack".into(),
                    Ending::Lost { status } => format!("lost {status}"),
                    Ending::Fork => "fork".into(),
                    Ending::Unfit => "unfit".into(),
                    Ending::Replaced => "replaced".into(),
                }
            }
            Event::Note(note) => note,
            _ => return,
        };
        self.tell(now, out, note, false);
    }

    fn tell(&mut self, now: Now, out: &mut Outbox, note: String, refer: bool) {
        let witness = if refer { &self.script.tells_refer } else { &self.script.tells };
        if let Some(witness) = witness.clone() {
            let body = Content { media_type: "text/plain".into(), bytes: note.into_bytes() };
            let ask = Ask { body: Some(body), direct: true, ..Ask::new("MESSAGE", &witness) };
            let _ = self.agent.send(now, out, &ask);
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let act = self.script.acts.get(self.next);
        let act = act.and_then(|(after, _)| Some(self.began? + *after));
        let later = self.later.iter().map(|(at, ..)| *at);
        self.due.iter().map(|(at, ..)| *at).chain(later).chain(act).min()
    }
}

impl Machine for Caller {
    fn handle(&mut self, now: Now, input: Input<'_>, out: &mut Outbox) {
        let began = *self.began.get_or_insert(now.at);
        self.agent.handle(now, input, out);
        loop {
            while let Some(event) = self.agent.next_event() {
                self.happened(now, out, event);
            }
            if let Some(at) = self.due.iter().position(|(at, ..)| *at <= now.at) {
                let (_, call, status) = self.due.remove(at);
                self.answer(now, out, call, status);
                continue;
            }
            if let Some(at) = self.later.iter().position(|(at, ..)| *at <= now.at) {
                let (_, reference, refer) = self.later.remove(at);
                self.follow(now, out, reference, &refer);
                continue;
            }
            let act = self.script.acts.get(self.next).filter(|(after, _)| began + *after <= now.at);
            let Some((_, act)) = act.cloned() else { break };
            self.next += 1;
            self.perform(now, out, &act);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        [self.agent.deadline(), self.next_due()].into_iter().flatten().min()
    }

    fn is_drained(&self) -> bool {
        self.agent.is_drained()
    }
}
