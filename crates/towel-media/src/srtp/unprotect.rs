//! Packets that are received.

use super::CryptoLine;
use super::cipher::{Keys, Protocol};
use super::replay::Window;
use super::sdes::{MAX_SRTCP, MAX_SRTP};
use crate::rtp::Packet;
use core::fmt;

/// How many sources of one peer are kept apart; the one that was silent the longest gives way.
const SOURCES: usize = 8;

/// The receiving direction of one stream.
#[derive(Clone, Debug)]
pub struct Unprotector {
    line: CryptoLine,
    rtp: Keys,
    rtcp: Keys,
    sources: Vec<Source>,
    rtcp_sources: Vec<(u32, Window)>,
    received: u64,
}

/// What is known of an SSRC whose packets were authentic.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    /// The greatest index, of rollover counter and sequence number.
    greatest: u64,
    window: Window,
}

/// Why a packet is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is too short, or its header is none.
    Malformed,
    /// The key that it names is not the one we have.
    Mki,
    /// The tag is wrong.
    Authentication,
    /// It was there already, or is too old to tell.
    Replay,
    /// It says of itself that it is encrypted, or that it is not, against what was agreed.
    Encryption,
    /// The key was used for as many packets as it may be.
    Exhausted,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the packet is too short for SRTP",
            Self::Mki => "the packet names another master key",
            Self::Authentication => "the tag of the packet is wrong",
            Self::Replay => "the packet was there already or is too old",
            Self::Encryption => "the packet is encrypted, or not, against what was agreed",
            Self::Exhausted => "the master key is used up",
        })
    }
}

impl core::error::Error for Fault {}

impl Unprotector {
    /// Receives with the key of the line that the peer wrote.
    pub fn new(theirs: &CryptoLine) -> Self {
        Self {
            rtp: Keys::derive(&theirs.key, theirs.suite, Protocol::Srtp),
            rtcp: Keys::derive(&theirs.key, theirs.suite, Protocol::Srtcp),
            line: theirs.clone(),
            sources: Vec::with_capacity(SOURCES),
            rtcp_sources: Vec::with_capacity(SOURCES),
            received: 0,
        }
    }

    /// The line that was given.
    pub fn line(&self) -> &CryptoLine {
        &self.line
    }

    /// Checks and decrypts an SRTP packet in its place (RFC 3711 section 3.3); what is left of it
    /// is RTP.
    pub fn rtp<'b>(&mut self, bytes: &'b mut [u8]) -> Result<&'b mut [u8], Fault> {
        let tag = self.rtp.tag;
        let parts = split(bytes, self.line.mki.len(), tag).ok_or(Fault::Malformed)?;
        let (packet, mki, tag) = parts;
        let header = Packet::header(packet).map_err(|_| Fault::Malformed)?;
        let (ssrc, sequence, at) = (header.ssrc, header.sequence, header.payload_at);
        if *mki != *self.line.mki {
            return Err(Fault::Mki);
        }
        let known = self.sources.iter().position(|source| source.ssrc == ssrc);
        let source = known.and_then(|at| self.sources.get(at)).copied();
        let index = estimate(source.map(|source| source.greatest), sequence);
        let index = index.ok_or(Fault::Replay)?;
        let roc = (index >> 16) as u32;
        if source.is_some_and(|source| !source.window.allows(index)) {
            return Err(Fault::Replay);
        }
        if !self.rtp.verify([packet, &roc.to_be_bytes()], tag) {
            return Err(Fault::Authentication);
        }
        if self.received >= self.line.lifetime.unwrap_or(MAX_SRTP) {
            return Err(Fault::Exhausted);
        }
        self.received += 1;
        let mut source =
            source.unwrap_or(Source { ssrc, greatest: index, window: Window::default() });
        source.greatest = source.greatest.max(index);
        source.window.note(index);
        let known = known.unwrap_or(0);
        keep(&mut self.sources, source, |old| old.ssrc == ssrc, known);
        if let Some(payload) = packet.get_mut(at..)
            && !self.line.plain_rtp
        {
            self.rtp.apply(ssrc, index, payload);
        }
        Ok(packet)
    }

    /// Checks and decrypts an SRTCP packet in its place (section 3.4); what is left of it is RTCP.
    pub fn rtcp<'b>(&mut self, bytes: &'b mut [u8]) -> Result<&'b mut [u8], Fault> {
        let parts = split(bytes, self.line.mki.len(), self.rtcp.tag).ok_or(Fault::Malformed)?;
        let (signed, mki, tag) = parts;
        if *mki != *self.line.mki {
            return Err(Fault::Mki);
        }
        let (packet, index) = signed.split_last_chunk::<4>().ok_or(Fault::Malformed)?;
        let word = u32::from_be_bytes(*index);
        let [_, _, _, _, s0, s1, s2, s3] = *packet.first_chunk::<8>().ok_or(Fault::Malformed)?;
        let (ssrc, index) = (u32::from_be_bytes([s0, s1, s2, s3]), u64::from(word & !(1 << 31)));
        let known = self.rtcp_sources.iter().find(|source| source.0 == ssrc);
        let mut window = known.map(|source| source.1).unwrap_or_default();
        if !window.allows(index) {
            return Err(Fault::Replay);
        }
        if !self.rtcp.verify([signed, &[]], tag) {
            return Err(Fault::Authentication);
        }
        // RFC 4568 section 6.3.2: the E bit may not override what SDP says.
        let encrypted = word >> 31 == 1;
        if encrypted == self.line.plain_rtcp {
            return Err(Fault::Encryption);
        }
        let limit = self.line.lifetime.unwrap_or(MAX_SRTCP).min(MAX_SRTCP);
        if index >= limit {
            return Err(Fault::Exhausted);
        }
        window.note(index);
        keep(&mut self.rtcp_sources, (ssrc, window), |old| old.0 == ssrc, 0);
        let length = signed.len().saturating_sub(4);
        let packet = signed.get_mut(..length).ok_or(Fault::Malformed)?;
        if let Some(body) = packet.get_mut(8..)
            && encrypted
        {
            self.rtcp.apply(ssrc, index, body);
        }
        Ok(packet)
    }
}

/// What is signed, the MKI, the tag.
type Parts<'b> = (&'b mut [u8], &'b mut [u8], &'b mut [u8]);

fn split(bytes: &mut [u8], mki: usize, tag: usize) -> Option<Parts<'_>> {
    let at = bytes.len().checked_sub(tag)?;
    let (rest, tag) = bytes.split_at_mut_checked(at)?;
    let at = rest.len().checked_sub(mki)?;
    let (packet, mki) = rest.split_at_mut_checked(at)?;
    Some((packet, mki, tag))
}

/// Puts a source in its place, or a new one at the end; a full table loses its first.
fn keep<T>(table: &mut Vec<T>, entry: T, same: impl Fn(&T) -> bool, hint: usize) {
    if let Some(old) = table.get_mut(hint).filter(|old| same(old)) {
        *old = entry;
        return;
    }
    table.retain(|old| !same(old));
    if table.len() >= SOURCES {
        table.remove(0);
    }
    table.push(entry);
}

/// The index of a packet (section 3.3.1): the one nearest to the greatest so far. `None` for what
/// would be before the first packet of all.
fn estimate(greatest: Option<u64>, sequence: u16) -> Option<u64> {
    // RFC 4568 section 6.4: a stream begins with the counter at nought.
    let Some(greatest) = greatest else { return Some(u64::from(sequence)) };
    let away = sequence.wrapping_sub(greatest as u16) as i16;
    let index = greatest.checked_add_signed(i64::from(away))?;
    (index < MAX_SRTP).then_some(index)
}

#[cfg(test)]
mod tests;
