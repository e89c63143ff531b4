//! Parts that lie deeper: a transaction's life and the proof of a password, as the server has them.

use std::net::SocketAddr;

use towel_core::auth::client::Session;
use towel_core::auth::{
    Algorithm, Authenticator, Credentials, Gate, Kind, Outcome, Settings as AuthSettings, User,
};
use towel_core::hash::Key;
use towel_core::io::{Input, Instant, Listener, ListenerId, Now, Outbox, Transport};
use towel_core::settings::Settings;
use towel_core::stack::{Received, ServerId, Stack, TransactionUser};
use towel_message::{Index, Limits, Message};

use crate::rig::DOMAIN;
use crate::{measured_part, peer};

/// Makes a server transaction for each request, and answers none by itself.
#[derive(Default)]
struct Holder(Vec<ServerId>);

impl TransactionUser for Holder {
    fn request(&mut self, stack: &mut Stack, now: Now, _: &mut Outbox, request: Received<'_>) {
        self.0.extend(stack.server_transaction(now, &request, 1).ok());
    }
}

/// What of a transaction's life is counted; each with the reading of what came for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// An OPTIONS comes and gets a transaction.
    Begin,
    /// It comes again and is absorbed.
    Match,
    /// It was answered, and its time is over.
    Expire,
}

/// One unit of a transaction's life.
///
/// # Errors
/// If the stack does something else.
pub fn transaction(life: Life) -> Result<Box<dyn FnMut()>, String> {
    let mut stack = Stack::new(&Settings::default(), [5; 32]);
    let (mut holder, mut out, mut bytes) = (Holder::default(), Outbox::new(), Vec::new());
    let mut now = Now { at: Instant(1_000_000), unix: 1_800_000_000 };
    let local = SocketAddr::from(([127, 0, 0, 1], 5060));
    let remote = SocketAddr::from(([127, 0, 0, 1], peer::CALLER));
    let id = ListenerId(0);
    let listener = Listener { id, transport: Transport::Udp, local, advertised: None };
    stack.handle(now, Input::Listening(listener), &mut out, &mut holder);
    let mut number = 0;
    peer::single(&mut bytes, "OPTIONS", number, 1);
    let input =
        move |bytes: &[u8], stack: &mut Stack, holder: &mut Holder, now, out: &mut Outbox| {
            let input = Input::Datagram { listener: id, remote, bytes };
            stack.handle(now, input, out, holder);
            out.clear();
        };
    input(&bytes, &mut stack, &mut holder, now, &mut out);
    if holder.0.len() != 1 {
        return Err("the request got no transaction".into());
    }
    Ok(Box::new(move || {
        if life == Life::Match {
            return measured_part(|| input(&bytes, &mut stack, &mut holder, now, &mut out));
        }
        number += 1;
        peer::single(&mut bytes, "OPTIONS", number, 1);
        if life == Life::Begin {
            measured_part(|| input(&bytes, &mut stack, &mut holder, now, &mut out));
        } else {
            input(&bytes, &mut stack, &mut holder, now, &mut out);
        }
        let Some(id) = holder.0.pop() else { return };
        let _ = stack.respond(now, &mut out, id, |to| {
            to.extend_from_slice(b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n");
        });
        now.at = Instant(now.at.0 + 40_000_000);
        let mut end = || stack.run_due(now, &mut out, &mut holder);
        if life == Life::Expire {
            measured_part(end)
        } else {
            end()
        }
        out.clear();
    }))
}

/// A gate that is always open.
struct Open;

impl Gate for Open {
    fn is_ours(&self, _: &[u8]) -> bool {
        false
    }
}

/// The look at right credentials, one more count of the same nonce each time.
///
/// # Errors
/// If they are not found right.
pub fn verification(algorithm: Algorithm) -> Result<Box<dyn FnMut()>, String> {
    let settings = AuthSettings { algorithms: vec![algorithm], ..AuthSettings::default() };
    let mut authenticator = Authenticator::new(settings, [3; 32]);
    let mut users = Credentials::new(Key(1, 2));
    users.insert(User::new("u1", DOMAIN, "pw1"));
    let now = Now { at: Instant(1_000_000), unix: 1_800_000_000 };
    let mut challenge = Vec::new();
    authenticator.challenge(DOMAIN, b"phone", 7, false, now, |value| challenge = value.to_vec());
    let mut session = Session::new(&challenge, "u1", "pw1").ok_or("no challenge was made")?;
    let (mut bytes, mut index) = (Vec::new(), Index::new());
    let mut number = 0;
    let mut unit = move || {
        number += 1;
        peer::register(&mut bytes, 1, number, Some(&mut session));
        let _ = index.parse(&bytes, &Limits::default());
        let message = Message::with_index(&bytes, &index);
        measured_part(|| {
            authenticator.verify(&message, Kind::Server, DOMAIN, &users, now, &mut Open)
        })
    };
    match unit() {
        Outcome::Accepted(_) => Ok(Box::new(move || {
            unit();
        })),
        other => Err(format!("right credentials were met with {other:?}")),
    }
}

/// A challenge by all three algorithms, with its nonce.
pub fn challenge() -> Box<dyn FnMut()> {
    let mut authenticator = Authenticator::new(AuthSettings::default(), [3; 32]);
    let now = Now { at: Instant(1_000_000), unix: 1_800_000_000 };
    let mut length = 0;
    Box::new(move || {
        measured_part(|| {
            authenticator.challenge(DOMAIN, b"phone", 7, false, now, |value| length += value.len());
        });
        std::hint::black_box(length);
    })
}

/// What an element reads of an INVITE: the values of Via, From, To, CSeq, Contact and the Request-URI,
/// from a fresh index.
pub fn view() -> Box<dyn FnMut()> {
    let (mut invite, mut index) = (Vec::new(), Index::new());
    peer::invite(&mut invite, 1, 1);
    Box::new(move || {
        let _ = index.parse(&invite, &Limits::default());
        let message = Message::with_index(&invite, &index);
        measured_part(|| {
            (
                message.top_via().is_ok(),
                message.from_uri().is_ok(),
                message.to_tag().is_some(),
                message.cseq().is_ok(),
                message.contacts().flatten().count(),
                message.uri().is_ok(),
            )
        });
    })
}
