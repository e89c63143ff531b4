//! What a payload type stands for.

/// What is carried: name, clock rate, channels.
#[derive(Clone, Copy, Debug)]
pub struct Encoding<'d> {
    /// The name of the encoding, as `PCMU`; upper and lower case are the same.
    pub name: &'d str,
    /// The clock rate of its RTP timestamps, in Hz.
    pub clock: u32,
    /// The number of channels; 1 where none is said.
    pub channels: u32,
}

impl PartialEq for Encoding<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(other.name)
            && self.clock == other.clock
            && self.channels == other.channels
    }
}

impl Eq for Encoding<'_> {}

impl Encoding<'_> {
    /// Whether this only goes beside a codec and is no conversation by itself: telephone events
    /// (RFC 4733) and comfort noise (RFC 3389).
    pub fn is_beside(&self) -> bool {
        is_telephone_event(self.name) || self.name.eq_ignore_ascii_case("CN")
    }

    /// Whether this is telephone-event (RFC 4733).
    pub fn is_telephone_event(&self) -> bool {
        is_telephone_event(self.name)
    }
}

pub(crate) fn is_telephone_event(name: &str) -> bool {
    name.eq_ignore_ascii_case("telephone-event")
}

/// The payload types that RFC 3551 section 6 fixes.
const STATIC: [(u8, &str, u32, u32); 24] = [
    (0, "PCMU", 8000, 1),
    (3, "GSM", 8000, 1),
    (4, "G723", 8000, 1),
    (5, "DVI4", 8000, 1),
    (6, "DVI4", 16000, 1),
    (7, "LPC", 8000, 1),
    (8, "PCMA", 8000, 1),
    (9, "G722", 8000, 1),
    (10, "L16", 44100, 2),
    (11, "L16", 44100, 1),
    (12, "QCELP", 8000, 1),
    (13, "CN", 8000, 1),
    (14, "MPA", 90000, 1),
    (15, "G728", 8000, 1),
    (16, "DVI4", 11025, 1),
    (17, "DVI4", 22050, 1),
    (18, "G729", 8000, 1),
    (25, "CelB", 90000, 1),
    (26, "JPEG", 90000, 1),
    (28, "nv", 90000, 1),
    (31, "H261", 90000, 1),
    (32, "MPV", 90000, 1),
    (33, "MP2T", 90000, 1),
    (34, "H263", 90000, 1),
];

/// What a payload type means without an `a=rtpmap` (RFC 3551 section 6).
pub fn static_encoding(payload: u8) -> Option<Encoding<'static>> {
    let found = STATIC.iter().find(|entry| entry.0 == payload)?;
    Some(Encoding { name: found.1, clock: found.2, channels: found.3 })
}

/// Whether a payload type means nothing by itself and must be mapped.
pub fn is_dynamic(payload: u8) -> bool {
    (35..=63).contains(&payload) || (96..=127).contains(&payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_payload_type_is_both() {
        assert!((0..=127).all(|p| !(is_dynamic(p) && static_encoding(p).is_some())));
        assert_eq!(
            static_encoding(8).unwrap(),
            Encoding { name: "pcma", clock: 8000, channels: 1 }
        );
        assert_eq!(static_encoding(2), None);
    }
}
