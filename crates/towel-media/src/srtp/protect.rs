//! Packets that are sent.

use super::cipher::{Keys, Protocol};
use super::sdes::{MAX_SRTCP, MAX_SRTP};
use super::{CryptoLine, OVERHEAD};
use crate::rtp::Packet;
use core::fmt;

/// The sending direction of one stream: one SSRC at a time.
#[derive(Clone, Debug)]
pub struct Protector {
    line: CryptoLine,
    rtp: Keys,
    rtcp: Keys,
    ssrc: u32,
    /// The rollover counter and the last sequence number.
    roc: u32,
    last: Option<u16>,
    sent: u64,
    rtcp_sent: u64,
}

/// The master key was used for as many packets as it may be; the call needs a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the SRTP master key is used up: offer a new a=crypto")
    }
}

impl core::error::Error for Exhausted {}

impl Protector {
    /// Sends with the key of the line that we wrote.
    pub fn new(ours: &CryptoLine) -> Self {
        Self {
            rtp: Keys::derive(&ours.key, ours.suite, Protocol::Srtp),
            rtcp: Keys::derive(&ours.key, ours.suite, Protocol::Srtcp),
            line: ours.clone(),
            ssrc: 0,
            roc: 0,
            last: None,
            sent: 0,
            rtcp_sent: 0,
        }
    }

    /// The line that was given.
    pub fn line(&self) -> &CryptoLine {
        &self.line
    }

    /// Protects the RTP packet that stands in `out` from `start` on (RFC 3711 section 3.3). Packets
    /// must come in the order of their numbers. What is no RTP is left as it is.
    pub fn rtp(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), Exhausted> {
        let packet = out.get(start..).and_then(|bytes| Packet::header(bytes).ok());
        let Some(packet) = packet else { return Ok(()) };
        let (ssrc, sequence, at) = (packet.ssrc, packet.sequence, start + packet.payload_at);
        let limit = self.line.lifetime.unwrap_or(MAX_SRTP);
        if self.sent >= limit {
            return Err(Exhausted);
        }
        if self.last.is_some() && ssrc != self.ssrc {
            // RFC 4568 section 6.4: the counter of a new SSRC begins with nought.
            (self.roc, self.last) = (0, None);
        }
        if self.last.is_some_and(|last| sequence < last) {
            self.roc = self.roc.checked_add(1).ok_or(Exhausted)?;
        }
        (self.ssrc, self.last) = (ssrc, Some(sequence));
        self.sent += 1;
        let index = u64::from(self.roc) << 16 | u64::from(sequence);
        if let Some(payload) = out.get_mut(at..)
            && !self.line.plain_rtp
        {
            self.rtp.apply(ssrc, index, payload);
        }
        let whole = out.get(start..).unwrap_or_default();
        let tag = self.rtp.tag_of([whole, &self.roc.to_be_bytes()]);
        out.extend_from_slice(&self.line.mki);
        out.extend_from_slice(tag.get(..self.rtp.tag).unwrap_or(&tag));
        Ok(())
    }

    /// Protects the RTCP compound that stands in `out` from `start` on (section 3.4).
    pub fn rtcp(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), Exhausted> {
        let limit = self.line.lifetime.unwrap_or(MAX_SRTCP).min(MAX_SRTCP);
        let index = self.rtcp_sent;
        if index >= limit {
            return Err(Exhausted);
        }
        let Some([_, _, _, _, s0, s1, s2, s3]) =
            out.get(start..).and_then(|bytes| bytes.first_chunk::<8>()).copied()
        else {
            return Ok(());
        };
        self.rtcp_sent += 1;
        let ssrc = u32::from_be_bytes([s0, s1, s2, s3]);
        let mut word = index as u32;
        if let Some(body) = out.get_mut(start + 8..)
            && !self.line.plain_rtcp
        {
            self.rtcp.apply(ssrc, index, body);
            word |= 1 << 31;
        }
        out.reserve(OVERHEAD);
        out.extend_from_slice(&word.to_be_bytes());
        let tag = self.rtcp.tag_of([out.get(start..).unwrap_or_default(), &[]]);
        out.extend_from_slice(&self.line.mki);
        out.extend_from_slice(tag.get(..self.rtcp.tag).unwrap_or(&tag));
        Ok(())
    }
}
