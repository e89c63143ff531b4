//! Two phones and the datagrams between them, in virtual time.

mod transfers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use towel_core::io::{Listener, ListenerId, Output, Transport};
use towel_core::settings::Settings;
use towel_core::ua::user_agent::{Ask, Content, Profile};
use towel_media::codec::Codec;
use towel_sdp::Direction;

use super::*;
use crate::{Crowd, Keys, MediaConfig, Play, Rule, Srtp, Step};

const FORD: usize = 0;
const ZAPHOD: usize = 1;

/// Two phones; ford is at 192.0.2.1, zaphod at 192.0.2.2.
struct Pair {
    phones: [Phone; 2],
    now: Now,
    flying: VecDeque<(usize, Vec<u8>)>,
    /// What was sent: from which end, and the text.
    sent: Vec<(usize, String)>,
    news: [Vec<News>; 2],
}

fn address(end: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, end as u8 + 1], 5060))
}

fn setup() -> Setup {
    Setup::new([127, 0, 0, 1].into())
}

fn caller() -> Setup {
    let to = "sip:zaphod@192.0.2.2".into();
    let patience = Duration::from_secs(60);
    Setup { role: Role::Caller { to, patience, crowd: Crowd::ONE }, ..setup() }
}

fn callee(rules: &[&str]) -> Setup {
    let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    Setup { role: Role::Callee { rules, calls: None }, ..setup() }
}

fn script(steps: &[&str]) -> Vec<Step> {
    steps.iter().map(|step| step.parse().unwrap()).collect()
}

impl Pair {
    fn new(ford: Setup, zaphod: Setup) -> Pair {
        let mut end = 0;
        let phones = [ford, zaphod].map(|setup| {
            end += 1;
            let profile = Profile {
                address: format!("<sip:user{end}@192.0.2.{end}>"),
                contact: format!("user{end}"),
                ..Profile::default()
            };
            let registry = towel_guide::user_agent();
            let agent = UserAgent::new(&Settings::default(), profile, registry, [end; 32]);
            let config = MediaConfig { rate: 8000, ..MediaConfig::default() };
            let media = Media::new(config, Arc::new(|| ())).unwrap();
            Phone::new(agent, media, setup, [end + 10; 32])
        });
        let now = Now { at: Instant(1_000_000_000), unix: 1_800_000_000 };
        let mut pair = Pair {
            phones,
            now,
            flying: VecDeque::new(),
            sent: Vec::new(),
            news: [Vec::new(), Vec::new()],
        };
        for end in [ZAPHOD, FORD] {
            let listener = Listener {
                id: ListenerId(0),
                transport: Transport::Udp,
                local: address(end),
                advertised: None,
            };
            pair.hand(end, Input::Listening(listener));
        }
        pair
    }

    fn with<R>(&mut self, end: usize, act: impl FnOnce(&mut Phone, Now, &mut Outbox) -> R) -> R {
        let mut out = Outbox::new();
        let result = act(&mut self.phones[end], self.now, &mut out);
        for output in &out.outputs {
            if let Output::Transmit { bytes, .. } = output {
                let bytes = out.bytes(bytes).to_vec();
                self.sent.push((end, String::from_utf8_lossy(&bytes).into_owned()));
                self.flying.push_back((1 - end, bytes));
            }
        }
        while let Some(news) = self.phones[end].next_news() {
            self.news[end].push(news);
        }
        result
    }

    fn hand(&mut self, end: usize, input: Input<'_>) {
        self.with(end, |phone, now, out| phone.handle(now, input, out));
    }

    /// Lets so much time go by.
    fn run(&mut self, time: Duration) {
        let until = self.now.at + time;
        for _ in 0..100_000 {
            while let Some((end, bytes)) = self.flying.pop_front() {
                let (listener, remote) = (ListenerId(0), address(1 - end));
                self.hand(end, Input::Datagram { listener, remote, bytes: &bytes });
            }
            self.let_audio_end();
            let next = self.phones.iter().filter_map(Machine::deadline).min();
            match next.filter(|at| *at <= until) {
                Some(at) => self.now.at = self.now.at.max(at),
                None => {
                    self.now.at = until;
                    return;
                }
            }
            for end in [FORD, ZAPHOD] {
                self.hand(end, Input::Tick);
            }
        }
        panic!("it goes on for ever");
    }

    /// Audio ends in real time: virtual time does not run away from it.
    fn let_audio_end(&mut self) {
        for end in [FORD, ZAPHOD] {
            for _ in 0..2000 {
                if self.phones[end].ending.is_empty() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
                self.with(end, |phone, now, out| phone.look(now, out));
            }
        }
    }

    fn seconds(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    fn order(&mut self, end: usize, order: Order) {
        self.with(end, |phone, now, out| phone.order(now, out, order));
    }

    fn told(&self, end: usize, is: impl Fn(&News) -> bool) -> usize {
        self.news[end].iter().filter(|news| is(news)).count()
    }

    /// How the calls of an end went.
    fn overs(&self, end: usize) -> Vec<Over> {
        let overs = self.news[end].iter().filter_map(|news| match news {
            News::Over(over) => Some((**over).clone()),
            _ => None,
        });
        overs.collect()
    }

    /// What was sent by an end and begins like this.
    fn messages(&self, end: usize, begin: &str) -> Vec<&str> {
        let texts = self.sent.iter().filter(|(from, text)| *from == end && text.starts_with(begin));
        texts.map(|(_, text)| text.as_str()).collect()
    }

    /// The session of the first call of an end.
    fn dialog(&self, end: usize) -> DialogHandle {
        self.phones[end].calls[&1].dialog.unwrap()
    }

    /// Sends a request of an end's own in its call; gives what came back.
    fn ask(&mut self, end: usize, ask: &Ask) {
        let dialog = self.dialog(end);
        self.with(end, |phone, now, out| phone.ua.request(now, out, dialog, ask)).unwrap();
        self.seconds(1);
    }

    fn nothing_is_left(&mut self) {
        self.seconds(60);
        for end in [FORD, ZAPHOD] {
            let calls = self.phones[end].counted as usize;
            assert_eq!(self.overs(end).len(), calls);
            assert_eq!(self.phones[end].sizes(), [0; 5]);
            assert!(self.phones[end].ua.is_drained(), "{:?}", self.phones[end].ua.sizes());
        }
    }
}

#[test]
fn a_call_with_a_script_at_each_end() {
    let mut ford = caller();
    ford.script =
        script(&["after 1s hold", "after 1s resume", "after 1s dtmf 1#", "after 1s hangup"]);
    ford.keys = Keys::Info;
    let mut pair = Pair::new(ford, callee(&["*=answer after 2s"]));
    pair.seconds(1);
    assert_eq!(pair.told(FORD, |news| matches!(news, News::Progress(1, _))), 1);
    assert_eq!(pair.told(FORD, |news| matches!(news, News::Up(1))), 0);
    pair.seconds(20);
    assert_eq!(pair.told(FORD, |news| matches!(news, News::Held(1))), 1);
    assert_eq!(pair.told(FORD, |news| matches!(news, News::Resumed(1))), 1);
    let ways: Vec<_> = pair.news[ZAPHOD]
        .iter()
        .filter_map(|news| match news {
            News::Changed(1, direction) => Some(*direction),
            _ => None,
        })
        .collect();
    assert_eq!(ways, [Direction::RecvOnly, Direction::SendRecv]);
    let keys: String = pair.news[ZAPHOD]
        .iter()
        .filter_map(|news| match news {
            News::Digit(1, key) => Some(*key),
            _ => None,
        })
        .collect();
    assert_eq!(keys, "1#");
    let over = pair.overs(FORD).remove(0);
    assert_eq!((over.why, over.fault), (towel_core::ua::user_agent::Ending::Local, None));
    assert!(over.setup.unwrap() >= Duration::from_secs(2));
    pair.nothing_is_left();
}

#[test]
fn changes_that_cross_are_tried_again_by_both() {
    let mut pair = Pair::new(caller(), callee(&[]));
    pair.seconds(1);
    pair.order(FORD, Order::Do(1, Act::Hold));
    pair.order(ZAPHOD, Order::Do(0, Act::Hold));
    pair.seconds(30);
    assert!(!pair.messages(FORD, "SIP/2.0 491").is_empty());
    for end in [FORD, ZAPHOD] {
        assert_eq!(pair.told(end, |news| matches!(news, News::Held(1))), 1, "{:?}", pair.news[end]);
    }
    // Both hold the other: nothing goes either way.
    pair.order(FORD, Order::Do(1, Act::Resume));
    pair.seconds(1);
    pair.order(ZAPHOD, Order::Do(1, Act::Resume));
    pair.seconds(1);
    let last = pair.news[FORD].iter().rev().find_map(|news| match news {
        News::Changed(_, direction) => Some(*direction),
        _ => None,
    });
    assert_eq!(last, Some(Direction::SendRecv));
    pair.order(ZAPHOD, Order::Do(1, Act::HangUp));
    pair.nothing_is_left();
}

#[test]
fn who_calls_is_answered_by_rule() {
    let rules = ["user9@*=busy", "*@192.0.2.1=redirect sip:trillian@192.0.2.7", "*=answer"];
    let mut pair = Pair::new(caller(), callee(&rules));
    pair.seconds(5);
    let response = pair.messages(ZAPHOD, "SIP/2.0 302").remove(0);
    assert!(response.contains("Contact: <sip:trillian@192.0.2.7>"), "{response}");
    assert!(pair.messages(ZAPHOD, "SIP/2.0 180").is_empty());
    let mut pair = Pair::new(caller(), callee(&["*=reject 480 after 1s"]));
    pair.seconds(5);
    assert_eq!(pair.messages(ZAPHOD, "SIP/2.0 480").len(), 1);
    pair.nothing_is_left();
}

#[test]
fn who_calls_where_there_are_enough_calls_finds_it_busy() {
    let mut ford = setup();
    ford.most = 2;
    let mut zaphod = callee(&[]);
    zaphod.most = 1;
    let mut pair = Pair::new(ford, zaphod);
    for _ in 0..2 {
        pair.order(FORD, Order::Call("sip:zaphod@192.0.2.2".into()));
    }
    pair.seconds(1);
    assert_eq!(pair.messages(ZAPHOD, "SIP/2.0 486").len(), 1);
    assert_eq!(pair.told(FORD, |news| matches!(news, News::Up(_))), 1);
    pair.order(FORD, Order::Leave);
    pair.nothing_is_left();
}

#[test]
fn what_is_played_early_is_the_session_of_the_call() {
    let rule = Rule { early: true, after: Duration::from_secs(3), ..Rule::default() };
    let role = Role::Callee { rules: vec![rule], calls: None };
    let mut pair = Pair::new(caller(), Setup { role, play: Play::Tone(440.0), ..setup() });
    pair.seconds(2);
    let early = |news: &News| matches!(news, News::Audio { call: 1, early: true, .. });
    assert_eq!(pair.told(FORD, early), 1, "{:?}", pair.news[FORD]);
    assert_eq!(pair.messages(ZAPHOD, "SIP/2.0 183").len(), 1);
    assert!(!pair.messages(FORD, "PRACK ").is_empty(), "it is reliable");
    pair.seconds(3);
    assert_eq!(pair.told(FORD, |news| matches!(news, News::Up(1))), 1);
    // The answer went before.
    assert!(!pair.messages(ZAPHOD, "SIP/2.0 200 OK\r\n").last().unwrap().contains("m=audio"));
    pair.order(FORD, Order::Do(1, Act::HangUp));
    pair.nothing_is_left();
}

#[test]
fn an_offer_by_update_is_answered_and_one_that_cannot_be_met_changes_nothing() {
    let mut pair = Pair::new(caller(), callee(&[]));
    pair.seconds(1);
    let offer = |pair: &mut Pair, end: usize| {
        let held = pair.phones[end].calls.get_mut(&1).unwrap();
        held.terms.hold(true);
        held.terms.offer().unwrap()
    };
    let good = offer(&mut pair, FORD);
    let ask = |sdp: Vec<u8>| Ask { body: Some(Content::sdp(sdp)), ..Ask::new("UPDATE", "") };
    pair.ask(FORD, &ask(good.clone()));
    let changed = News::Changed(1, Direction::RecvOnly);
    let is = |news: &News| format!("{news:?}") == format!("{changed:?}");
    assert_eq!(pair.told(ZAPHOD, is), 1, "{:?}", pair.news[ZAPHOD]);
    let answer = pair.messages(ZAPHOD, "SIP/2.0 200").pop().unwrap();
    assert!(answer.contains("a=recvonly"), "{answer}");
    let bad = String::from_utf8(good).unwrap().replace("RTP/AVP", "RTP/AVPF");
    pair.ask(FORD, &ask(bad.into_bytes()));
    let refusal = pair.messages(ZAPHOD, "SIP/2.0 488").pop().unwrap();
    assert!(refusal.contains("Warning: 302 "), "{refusal}");
    // One without an offer is a refresh.
    pair.ask(FORD, &Ask::new("UPDATE", ""));
    assert_eq!(pair.told(ZAPHOD, is), 1);
    assert_eq!(pair.phones[ZAPHOD].calls.len(), 1, "the call goes on");
    pair.order(ZAPHOD, Order::Do(1, Act::HangUp));
    pair.nothing_is_left();
}

#[test]
fn a_reinvite_without_an_offer_gets_one_and_is_answered_in_the_ack() {
    let mut pair = Pair::new(caller(), callee(&[]));
    pair.seconds(1);
    pair.ask(ZAPHOD, &Ask::new("INVITE", ""));
    let ack = pair.messages(ZAPHOD, "ACK ").pop().unwrap();
    assert!(ack.contains("m=audio"), "{ack}");
    assert!(!pair.phones[FORD].calls[&1].terms.waits());
    pair.order(FORD, Order::Do(1, Act::Hold));
    pair.seconds(1);
    assert_eq!(pair.told(FORD, |news| matches!(news, News::Held(1))), 1);
    pair.order(ZAPHOD, Order::Do(1, Act::HangUp));
    pair.nothing_is_left();
}

/// A call of ford's without an offer, which zaphod makes in a reliable response.
fn offered_later(pair: &mut Pair) {
    pair.with(FORD, |phone, now, out| {
        let (line, terms) = phone.line(&phone.setup.wants.clone()).unwrap();
        let ask = Ask::new("INVITE", "sip:zaphod@192.0.2.2");
        let call = phone.ua.call(now, out, ask).unwrap();
        phone.counted = 1;
        phone.keep(1, Held::new(call, line, terms, now.at));
    });
    pair.seconds(1);
    pair.with(ZAPHOD, |phone, now, out| {
        let held = phone.calls.get_mut(&1).unwrap();
        let offer = held.terms.offer().unwrap();
        let answer = towel_core::ua::user_agent::Answer::new(183).sdp(offer);
        phone.ua.answer(now, out, held.call, answer).unwrap();
    });
    pair.seconds(1);
}

#[test]
fn the_offer_in_a_reliable_response_is_answered_in_the_prack() {
    let mut pair = Pair::new(setup(), setup());
    offered_later(&mut pair);
    let prack = pair.messages(FORD, "PRACK ").remove(0);
    assert!(prack.contains("m=audio"), "{prack}");
    assert!(pair.phones[ZAPHOD].calls[&1].terms.is_agreed());
    pair.order(ZAPHOD, Order::Do(1, Act::Answer));
    pair.seconds(1);
    for end in [FORD, ZAPHOD] {
        assert_eq!(pair.told(end, |news| matches!(news, News::Up(1))), 1);
        assert_eq!(pair.told(end, |news| matches!(news, News::Audio { call: 1, .. })), 1);
    }
    pair.order(FORD, Order::Do(1, Act::HangUp));
    pair.nothing_is_left();
}

#[test]
fn an_offer_in_a_prack_is_answered_even_if_it_cannot_be_met() {
    for met in [true, false] {
        let rule = Rule { early: true, after: Duration::from_secs(9), ..Rule::default() };
        let role = Role::Callee { rules: vec![rule], calls: None };
        let mut pair = Pair::new(caller(), Setup { role, ..setup() });
        // The PRACK of ford's is written anew, with an offer.
        let offer = loop {
            pair.now.at = pair.now.at + Duration::from_millis(1);
            let (end, bytes) = pair.flying.pop_front().unwrap();
            let text = String::from_utf8(bytes).unwrap();
            if text.starts_with("PRACK ") {
                let held = pair.phones[FORD].calls.get_mut(&1).unwrap();
                let offer = String::from_utf8(held.forks[0].1.offer().unwrap()).unwrap();
                let offer = if met { offer } else { offer.replace("RTP/AVP", "RTP/AVPF") };
                let head = text.split("Content-Length").next().unwrap();
                let length = offer.len();
                let kind = "Content-Type: application/sdp";
                break format!("{head}{kind}\r\nContent-Length: {length}\r\n\r\n{offer}");
            }
            let (listener, remote) = (ListenerId(0), address(1 - end));
            pair.hand(end, Input::Datagram { listener, remote, bytes: text.as_bytes() });
        };
        let (listener, remote) = (ListenerId(0), address(FORD));
        pair.hand(ZAPHOD, Input::Datagram { listener, remote, bytes: offer.as_bytes() });
        let answer = pair.messages(ZAPHOD, "SIP/2.0 200").pop().unwrap();
        assert!(answer.contains("PRACK") && answer.contains("m=audio"), "{answer}");
        assert_eq!(answer.contains("m=audio 0 "), !met, "{answer}");
        pair.order(FORD, Order::Leave);
        pair.order(ZAPHOD, Order::Leave);
        pair.seconds(60);
    }
}

#[test]
fn audio_is_protected_where_both_want_it_and_a_call_is_made_again_without() {
    let secret = |srtp, mut setup: Setup| {
        setup.wants.srtp = srtp;
        setup
    };
    for (ours, theirs, protected) in [
        (Srtp::Offer, Srtp::Offer, Some(true)),
        (Srtp::Require, Srtp::Offer, Some(true)),
        (Srtp::Off, Srtp::Offer, Some(false)),
        (Srtp::Offer, Srtp::Off, Some(false)),
        (Srtp::Require, Srtp::Off, None),
        (Srtp::Off, Srtp::Require, None),
    ] {
        let mut pair = Pair::new(secret(ours, caller()), secret(theirs, callee(&[])));
        pair.seconds(2);
        let audio = pair.news[FORD].iter().find_map(|news| match news {
            News::Audio { protected, .. } => Some(*protected),
            _ => None,
        });
        assert_eq!(audio, protected, "{ours:?} {theirs:?}");
        let up = pair.told(FORD, |news| matches!(news, News::Up(1)));
        assert_eq!(up, usize::from(protected.is_some()));
        if protected.is_none() {
            assert!(pair.messages(ZAPHOD, "SIP/2.0 488")[0].contains("Warning: 302 "));
        }
        pair.order(FORD, Order::Leave);
        pair.nothing_is_left();
    }
}

#[test]
fn who_has_no_codec_of_ours_is_refused_and_says_why() {
    let mut zaphod = callee(&[]);
    zaphod.wants.codecs = vec![Codec::Opus];
    let mut ford = caller();
    ford.wants.codecs = vec![Codec::Pcma];
    let mut pair = Pair::new(ford, zaphod);
    pair.seconds(1);
    let refusal = pair.messages(ZAPHOD, "SIP/2.0 488").remove(0);
    assert!(refusal.contains("Warning: 305 "), "{refusal}");
    pair.nothing_is_left();
}

#[test]
fn many_calls_are_paced_and_bounded() {
    let mut ford = caller();
    if let Role::Caller { crowd, .. } = &mut ford.role {
        *crowd = Crowd { calls: 20, rate: 10.0, concurrent: 5 };
    }
    let mut zaphod = callee(&[]);
    zaphod.most = 100;
    zaphod.lasts = Some(Duration::from_secs(1));
    let mut pair = Pair::new(ford, zaphod);
    pair.run(Duration::from_millis(950));
    // Five at a time, whatever the rate.
    assert_eq!(pair.phones[FORD].counted, 5);
    for _ in 0..100 {
        pair.run(Duration::from_millis(500));
        std::thread::sleep(Duration::from_millis(2));
        assert!(pair.phones[FORD].calls.len() <= 5);
    }
    assert_eq!(pair.phones[FORD].counts(), (20, 20));
    assert!(pair.phones[FORD].is_done());
    pair.nothing_is_left();
}

#[test]
fn registers_have_one_call_id_and_rising_numbers_and_a_longer_time_is_asked_for() {
    let mut ford = setup();
    let aor = "sip:ford@192.0.2.2".to_owned();
    ford.registration =
        Some(crate::Registration { aor, registrar: "sip:192.0.2.2".into(), expires: 60 });
    let mut pair = Pair::new(ford, setup());
    // Zaphod's agent knows no REGISTER: it is answered below it.
    let texts = registers_of(&mut pair);
    assert!(texts.len() >= 3, "{texts:?}");
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].trim().to_owned()
    };
    let ids: Vec<_> = texts.iter().map(|text| field(text, "Call-ID:")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let numbers: Vec<_> = texts.iter().map(|text| field(text, "CSeq:")).collect();
    assert_eq!(numbers[..3], ["1 REGISTER", "2 REGISTER", "3 REGISTER"]);
    let times: Vec<_> = texts.iter().map(|text| field(text, "Expires:")).collect();
    assert_eq!(times[..3], ["60", "300", "300"]);
    assert_eq!(pair.told(FORD, |news| matches!(news, News::Registered)), 1);
}

/// Plays a registrar that wants 300 seconds: what REGISTERs came within some time.
fn registers_of(pair: &mut Pair) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..600 {
        while let Some((end, bytes)) = pair.flying.pop_front() {
            let text = String::from_utf8(bytes).unwrap();
            if end != ZAPHOD {
                continue;
            }
            let short = text.contains("Expires: 60\r\n");
            let first = if short { "SIP/2.0 423 Interval Too Brief" } else { "SIP/2.0 200 OK" };
            let copied = text.lines().filter(|line| {
                ["Via:", "From:", "To:", "Call-ID:", "CSeq:", "Contact:"]
                    .iter()
                    .any(|name| line.starts_with(name) && (!short || *name != "Contact:"))
            });
            let mut response = first.to_owned();
            for line in copied {
                response += "\r\n";
                response += line;
                if line.starts_with("To:") {
                    response += ";tag=registrar";
                }
                if line.starts_with("Contact:") {
                    response += ";expires=300";
                }
            }
            response += if short { "\r\nMin-Expires: 300" } else { "" };
            response += "\r\nContent-Length: 0\r\n\r\n";
            texts.push(text);
            let (listener, remote) = (ListenerId(0), address(ZAPHOD));
            pair.hand(FORD, Input::Datagram { listener, remote, bytes: response.as_bytes() });
        }
        pair.now.at = pair.now.at + Duration::from_secs(1);
        pair.hand(FORD, Input::Tick);
    }
    texts
}
