//! Writing compound packets.

use super::{Block, ReportBlock, SenderInfo, kind};

/// Appends packets to a compound. The first must be a report (RFC 3550 section 6.1).
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Writer<'o> {
    /// Appends to these bytes.
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out }
    }

    /// An SR where there is something of a sender to say, otherwise an RR. It has at most 31
    /// blocks.
    pub fn report(&mut self, ssrc: u32, sender: Option<SenderInfo>, blocks: &[ReportBlock]) {
        let blocks = blocks.get(..31).unwrap_or(blocks);
        let kind = if sender.is_some() { kind::SR } else { kind::RR };
        let start = self.begin(blocks.len() as u8, kind);
        self.word(ssrc);
        if let Some(sender) = sender {
            self.out.extend_from_slice(&sender.ntp.0.to_be_bytes());
            self.word(sender.rtp);
            self.word(sender.packets);
            self.word(sender.octets);
        }
        for block in blocks {
            let lost = block.lost.clamp(-(1 << 23), (1 << 23) - 1) as u32 & 0x00ff_ffff;
            self.word(block.ssrc);
            self.word(u32::from(block.fraction_lost) << 24 | lost);
            self.word(block.extended_max);
            self.word(block.jitter);
            self.word(block.last_sr);
            self.word(block.delay);
        }
        self.end(start);
    }

    /// The description of one source. A text is cut at 255 bytes (section 6.5).
    pub fn sdes(&mut self, ssrc: u32, items: &[(u8, &[u8])]) {
        let start = self.begin(1, kind::SDES);
        self.word(ssrc);
        for (kind, text) in items {
            let text = text.get(..255).unwrap_or(text);
            self.out.extend_from_slice(&[*kind, text.len() as u8]);
            self.out.extend_from_slice(text);
        }
        // At least one zero ends the list.
        self.out.push(0);
        self.end(start);
    }

    /// These sources leave (section 6.6): at most 31, the reason cut at 255 bytes.
    pub fn bye(&mut self, sources: &[u32], reason: &[u8]) {
        let sources = sources.get(..31).unwrap_or(sources);
        let start = self.begin(sources.len() as u8, kind::BYE);
        sources.iter().for_each(|ssrc| self.word(*ssrc));
        let reason = reason.get(..255).unwrap_or(reason);
        if !reason.is_empty() {
            self.out.push(reason.len() as u8);
            self.out.extend_from_slice(reason);
        }
        self.end(start);
    }

    /// An extended report (RFC 3611 section 2).
    pub fn extended(&mut self, ssrc: u32, blocks: &[Block<'_>]) {
        let start = self.begin(0, kind::XR);
        self.word(ssrc);
        blocks.iter().for_each(|block| block.write(self.out));
        self.end(start);
    }

    fn word(&mut self, word: u32) {
        self.out.extend_from_slice(&word.to_be_bytes());
    }

    fn begin(&mut self, count: u8, kind: u8) -> usize {
        let start = self.out.len();
        self.out.extend_from_slice(&[0x80 | count, kind, 0, 0]);
        start
    }

    /// Fills up to a word and writes the length.
    fn end(&mut self, start: usize) {
        while !self.out.len().saturating_sub(start).is_multiple_of(4) {
            self.out.push(0);
        }
        let words = (self.out.len().saturating_sub(start) / 4).saturating_sub(1);
        if let Some(place) = self.out.get_mut(start + 2..start + 4) {
            place.copy_from_slice(&(words as u16).to_be_bytes());
        }
    }
}
