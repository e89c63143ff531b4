//! The keys of one call: those that we write into our descriptions, and the one that is used.

use towel_media::session::Keys;
use towel_media::srtp::{CryptoLine, Suite};
use towel_sdp::Media;
use towel_sdp::attribute::Crypto;

use super::Unfit;

/// The lines that we have written.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    ours: Vec<CryptoLine>,
    /// The line of the peer's that goes with ours.
    theirs: Option<CryptoLine>,
}

/// Thirty bytes that are used for nothing else (RFC 4568 section 6.1).
fn fresh() -> Result<[u8; 30], Unfit> {
    let mut key = [0; 30];
    let none = |_| Unfit::Keys("the system gives no random bytes for a key".into());
    getrandom::fill(&mut key).map_err(none)?;
    Ok(key)
}

/// The lines of the peer's that can be used, or why none can.
fn read(media: &Media<'_>) -> Result<Vec<CryptoLine>, Unfit> {
    let mut why = "there is no a=crypto beside RTP/SAVP".to_owned();
    let mut lines = Vec::new();
    for crypto in media.section().every::<Crypto<'_>>().flatten() {
        match CryptoLine::read(&crypto) {
            Ok(line) => lines.push(line),
            Err(fault) => why = fault.to_string(),
        }
    }
    if lines.is_empty() { Err(Unfit::Keys(why)) } else { Ok(lines) }
}

impl Ring {
    /// The lines of an offer: one for each suite the first time, the one that is used from then on.
    pub(super) fn offer(&mut self) -> Result<(), Unfit> {
        if self.ours.is_empty() {
            for (tag, suite) in (1..).zip(Suite::ALL) {
                self.ours.push(CryptoLine::new(tag, suite, &fresh()?));
            }
        }
        Ok(())
    }

    /// The line that answers the first of the peer's that can be used. While the peer's stays, ours
    /// does (RFC 4568 section 7.1.4).
    pub(super) fn answer(&mut self, media: &Media<'_>) -> Result<(), Unfit> {
        let lines = read(media)?;
        let known = lines.iter().find(|line| Some(*line) == self.theirs.as_ref());
        if known.is_some() && self.ours.len() == 1 {
            return Ok(());
        }
        if let Some(line) = lines.first() {
            self.ours = vec![line.answer(&fresh()?)];
            self.theirs = Some(line.clone());
        }
        Ok(())
    }

    /// The keys that go together by the peer's description.
    pub(super) fn settle(&mut self, media: &Media<'_>) -> Result<Keys, Unfit> {
        for theirs in read(media)? {
            let same = |ours: &&CryptoLine| (ours.tag, ours.suite) == (theirs.tag, theirs.suite);
            if let Some(ours) = self.ours.iter().find(same).cloned() {
                self.ours = vec![ours.clone()];
                self.theirs = Some(theirs.clone());
                return Ok(Keys { ours, theirs });
            }
        }
        Err(Unfit::Keys("the a=crypto of the answer is none of those that were offered".into()))
    }

    /// The lines as attributes.
    pub(super) fn attributes(&self) -> impl Iterator<Item = String> {
        self.ours.iter().map(|line| format!("crypto:{}", line.value()))
    }
}
