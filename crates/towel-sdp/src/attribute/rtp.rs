//! What is carried and how: `a=rtpmap`, `a=fmtp`, `a=ptime`, `a=maxptime`.

use super::Typed;
use crate::cursor::{is_token, number};
use crate::payload::Encoding;
use crate::{Cursor, Fault};
use core::time::Duration;

/// `a=rtpmap` (RFC 8866 section 6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpMap<'d> {
    /// The payload type, 0 to 127.
    pub payload: u8,
    /// The name of the encoding.
    pub name: &'d str,
    /// The clock rate in Hz.
    pub clock: u32,
    /// The encoding's own parameter: for audio the number of channels.
    pub channels: Option<u32>,
}

impl<'d> RtpMap<'d> {
    /// What the payload type stands for.
    pub fn encoding(&self) -> Encoding<'d> {
        Encoding { name: self.name, clock: self.clock, channels: self.channels.unwrap_or(1) }
    }
}

impl<'d> Typed<'d> for RtpMap<'d> {
    const NAME: &'static str = "rtpmap";

    fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        let place = cursor.at_word();
        let payload = cursor.number("the payload type of a=rtpmap")?;
        if payload > 127 {
            return Err(place.malformed("the payload type of a=rtpmap"));
        }
        let place = cursor.at_word();
        let word = cursor.word("the encoding of a=rtpmap")?;
        let mut parts = word.split('/');
        let name = parts.next().filter(|n| is_token(n));
        let name = name.ok_or(place.malformed("the encoding of a=rtpmap"))?;
        let clock = parts.next().and_then(number).filter(|clock| *clock > 0);
        let clock = clock.ok_or(place.malformed("the clock rate of a=rtpmap"))?;
        // Some phones leave the slash and no number after it.
        let channels = match parts.next() {
            None | Some("") => None,
            Some(text) => Some(number(text).ok_or(place.malformed("the channels of a=rtpmap"))?),
        };
        Ok(Self { payload, name, clock, channels })
    }
}

/// `a=fmtp` (RFC 8866 section 6.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fmtp<'d> {
    /// The format that the parameters belong to.
    pub format: &'d str,
    /// The parameters as they stand.
    pub text: &'d [u8],
}

impl<'d> Fmtp<'d> {
    /// The parameters where they are of the usual form, `name=value` between semicolons; a part
    /// without a `=` is a name without a value.
    pub fn params(&self) -> impl Iterator<Item = (&'d [u8], Option<&'d [u8]>)> + use<'d> {
        self.text.split(|b| *b == b';').map(<[u8]>::trim_ascii).filter(|p| !p.is_empty()).map(|p| {
            match p.iter().position(|b| *b == b'=') {
                Some(i) => {
                    let (name, value) = p.split_at_checked(i).unwrap_or_default();
                    let value = value.get(1..).unwrap_or_default();
                    (name.trim_ascii(), Some(value.trim_ascii()))
                }
                None => (p, None),
            }
        })
    }

    /// The value of one parameter; upper and lower case of its name are the same.
    pub fn param(&self, name: &str) -> Option<&'d [u8]> {
        self.params().find(|p| p.0.eq_ignore_ascii_case(name.as_bytes())).and_then(|p| p.1)
    }
}

impl<'d> Typed<'d> for Fmtp<'d> {
    const NAME: &'static str = "fmtp";

    fn read(mut cursor: Cursor<'d>) -> Result<Self, Fault> {
        let format = cursor.word("the format of a=fmtp")?;
        Ok(Self { format, text: cursor.rest() })
    }
}

/// `a=ptime` (RFC 8866 section 6.4): how much of the media a packet is wished to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ptime(pub Duration);

/// `a=maxptime` (RFC 8866 section 6.5): how much of the media a packet may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPtime(pub Duration);

/// Milliseconds, perhaps with a fraction; more than nothing.
fn milliseconds(mut cursor: Cursor<'_>, part: &'static str) -> Result<Duration, Fault> {
    let place = cursor.at_word();
    let word = cursor.word(part)?;
    let (whole, fraction) = word.split_once('.').unwrap_or((word, "0"));
    let whole: Option<u32> = number(whole);
    let digits = fraction.bytes().all(|b| b.is_ascii_digit());
    // To the microsecond.
    let micros = fraction.bytes().chain(*b"000").take(3);
    let micros = micros.fold(0u64, |sum, b| sum * 10 + u64::from(b.saturating_sub(b'0')));
    let read = whole.filter(|_| digits).map(|w| u64::from(w) * 1000 + micros).filter(|t| *t > 0);
    read.map(Duration::from_micros).ok_or(place.malformed(part))
}

impl<'d> Typed<'d> for Ptime {
    const NAME: &'static str = "ptime";

    fn read(cursor: Cursor<'d>) -> Result<Self, Fault> {
        milliseconds(cursor, "a=ptime").map(Self)
    }
}

impl<'d> Typed<'d> for MaxPtime {
    const NAME: &'static str = "maxptime";

    fn read(cursor: Cursor<'d>) -> Result<Self, Fault> {
        milliseconds(cursor, "a=maxptime").map(Self)
    }
}
