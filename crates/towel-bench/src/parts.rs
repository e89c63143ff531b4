//! Parts of the work on their own.

use std::hint::black_box;

use towel_core::auth::Algorithm;
use towel_core::auth::client::Session;
use towel_core::io::Instant;
use towel_core::time::Wheel;
use towel_message::{Draft, Edits, Index, Limits, Message, Name, check};

use crate::inner::{self, Life};
use crate::{measured_part, peer};

/// What is counted by itself, with the name that its budget has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The index of an INVITE of some 750 bytes.
    Index,
    /// The check of it, from a fresh index.
    Check,
    /// What it becomes when it is forwarded: a new Request-URI, a Via, a Record-Route.
    Splice,
    /// An answer to a challenge by MD5.
    DigestMd5,
    /// The same by SHA-256.
    DigestSha256,
    /// A timer set and cleared, among ten thousand.
    Timer,
    /// The values of an INVITE that every element looks at.
    View,
    /// A server transaction made for an OPTIONS, with the reading of it.
    Begin,
    /// The same request again.
    Match,
    /// The end of a transaction's time.
    Expire,
    /// A challenge by three algorithms.
    Challenge,
    /// The look at right credentials by MD5.
    VerifyMd5,
    /// The same by SHA-256.
    VerifySha256,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 13] = [
        Part::Index,
        Part::Check,
        Part::Splice,
        Part::DigestMd5,
        Part::DigestSha256,
        Part::Timer,
        Part::View,
        Part::Begin,
        Part::Match,
        Part::Expire,
        Part::Challenge,
        Part::VerifyMd5,
        Part::VerifySha256,
    ];

    /// Its name in the budgets and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Part::Index => "part-index",
            Part::Check => "part-check",
            Part::Splice => "part-splice",
            Part::DigestMd5 => "part-digest-md5",
            Part::DigestSha256 => "part-digest-sha-256",
            Part::Timer => "part-timer",
            Part::View => "part-view",
            Part::Begin => "part-transaction-begin",
            Part::Match => "part-transaction-match",
            Part::Expire => "part-transaction-expire",
            Part::Challenge => "part-challenge",
            Part::VerifyMd5 => "part-verify-md5",
            Part::VerifySha256 => "part-verify-sha-256",
        }
    }

    /// What does one unit of it.
    ///
    /// # Errors
    /// If it cannot be made ready.
    pub fn ready(self) -> Result<Box<dyn FnMut()>, String> {
        let mut invite = Vec::new();
        peer::invite(&mut invite, 1, 1);
        let limits = Limits::default();
        let mut index = Index::new();
        Ok(match self {
            Part::Index => Box::new(move || {
                let _ = measured_part(|| black_box(&mut index).parse(&invite, &limits));
            }),
            Part::Check => Box::new(move || {
                let _ = index.parse(&invite, &limits);
                let message = Message::with_index(&invite, &index);
                let _ = measured_part(|| check(black_box(&message)));
            }),
            Part::Splice => {
                index.parse(&invite, &limits).map_err(|e| e.to_string())?;
                let (mut edits, mut out) = (Edits::default(), Vec::new());
                Box::new(move || {
                    let message = Message::with_index(&invite, &index);
                    out.clear();
                    edits = measured_part(|| {
                        let mut draft = Draft::with(message, std::mem::take(&mut edits));
                        draft.set_request_uri(b"sip:u1@127.0.0.1:40001");
                        draft.push_top(Name::RecordRoute, b"<sip:rr-1@127.0.0.1:5060;lr>");
                        draft.push_top(Name::Via, b"SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1");
                        draft.write(black_box(&mut out));
                        draft.into_edits()
                    });
                })
            }
            Part::DigestMd5 => digest("MD5")?,
            Part::DigestSha256 => digest("SHA-256")?,
            Part::View => inner::view(),
            Part::Begin => inner::transaction(Life::Begin)?,
            Part::Match => inner::transaction(Life::Match)?,
            Part::Expire => inner::transaction(Life::Expire)?,
            Part::Challenge => inner::challenge(),
            Part::VerifyMd5 => inner::verification(Algorithm::Md5)?,
            Part::VerifySha256 => inner::verification(Algorithm::Sha256)?,
            Part::Timer => {
                let mut wheel = Wheel::new();
                for at in 0..10_000 {
                    wheel.set(Instant(at * 3_200), at);
                }
                Box::new(move || {
                    measured_part(|| {
                        let timer = wheel.set(Instant(16_000_000), 1);
                        wheel.clear(timer)
                    });
                })
            }
        })
    }
}

fn digest(algorithm: &str) -> Result<Box<dyn FnMut()>, String> {
    let challenge = format!(
        "Digest realm=\"bench.test\", nonce=\"0a4f113b0a4f113b0a4f113b\", qop=\"auth\", \
         algorithm={algorithm}"
    );
    let session = Session::new(challenge.as_bytes(), "u1", "pw1");
    let mut session = session.ok_or("the challenge cannot be taken up")?;
    Ok(Box::new(move || {
        measured_part(|| session.answer(b"REGISTER", b"sip:bench.test", b"", "0a4f113b"));
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_can_be_done() {
        for part in Part::ALL {
            let mut unit = part.ready().unwrap();
            unit();
            unit();
        }
    }
}
