//! G.711 (RFC 3551 section 4.5.14): 8 bits a sample by one of two laws.

/// One of the two laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// mu-law, `PCMU`.
    Mu,
    /// A-law, `PCMA`.
    A,
}

impl Law {
    /// The byte of a sample.
    pub const fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Mu => mu(sample),
            Self::A => a(sample),
        }
    }

    /// The sample of a byte.
    pub const fn decode(self, byte: u8) -> i16 {
        match self {
            Self::Mu => of_mu(byte),
            Self::A => of_a(byte),
        }
    }
}

/// What is added before the segment is sought, on the scale of 16 bits.
const BIAS: i32 = 132;

const fn mu(sample: i16) -> u8 {
    let negative = sample < 0;
    let magnitude = (sample as i32).abs();
    let magnitude = (if magnitude > 32635 { 32635 } else { magnitude }) + BIAS;
    // The segment is where the first bit stands; the lowest is bit 7.
    let segment = 24 - magnitude.leading_zeros() as i32;
    let steps = magnitude >> (segment + 3) & 0x0f;
    // All bits are turned round for the line.
    !((if negative { 0x80 } else { 0 }) | segment << 4 | steps) as u8
}

const fn of_mu(byte: u8) -> i16 {
    let bits = !byte as i32;
    let (segment, steps) = (bits >> 4 & 7, bits & 0x0f);
    let magnitude = ((steps << 3 | 0x84) << segment) - BIAS;
    (if bits & 0x80 != 0 { -magnitude } else { magnitude }) as i16
}

const fn a(sample: i16) -> u8 {
    let negative = sample < 0;
    // 13 bits: a negative sample is counted from -1.
    let magnitude = (if negative { !(sample as i32) } else { sample as i32 }) >> 3;
    let code = if magnitude < 32 {
        magnitude >> 1
    } else {
        let segment = 27 - magnitude.leading_zeros() as i32;
        segment << 4 | magnitude >> segment & 0x0f
    };
    // Every second bit is turned round for the line; a set sign bit is positive.
    ((code | if negative { 0 } else { 0x80 }) ^ 0x55) as u8
}

const fn of_a(byte: u8) -> i16 {
    let bits = (byte ^ 0x55) as i32;
    let (segment, steps) = (bits >> 4 & 7, bits & 0x0f);
    // Half a step is added: the middle of what the code stands for.
    let magnitude = match segment {
        0 => (steps << 4) + 8,
        _ => ((steps << 4) + 0x108) << (segment - 1),
    };
    (if bits & 0x80 != 0 { magnitude } else { -magnitude }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        for byte in 0..=255u8 {
            assert_eq!(Law::A.encode(Law::A.decode(byte)), byte);
            // mu-law has two zeros.
            let back = Law::Mu.encode(Law::Mu.decode(byte));
            assert!(back == byte || (byte == 0x7f && back == 0xff), "{byte:#x} {back:#x}");
        }
    }

    #[test]
    fn known_values() {
        // G.711 tables 1 and 2: the ends and the zeros.
        assert_eq!([0xff, 0x80, 0x00].map(|b| Law::Mu.decode(b)), [0, 32124, -32124]);
        assert_eq!([0xd5, 0x55, 0xaa, 0x2a].map(|b| Law::A.decode(b)), [8, -8, 32256, -32256]);
        assert_eq!([0, 32767, -32768].map(|s| Law::Mu.encode(s)), [0xff, 0x80, 0x00]);
        assert_eq!([0, 32767, -32768].map(|s| Law::A.encode(s)), [0xd5, 0xaa, 0x2a]);
    }

    #[test]
    fn the_error_is_within_half_a_step() {
        for law in [Law::Mu, Law::A] {
            for sample in i16::MIN..=i16::MAX {
                let back = i32::from(law.decode(law.encode(sample)));
                let sample = i32::from(sample);
                let allowed = match law {
                    Law::Mu if sample.abs() > 32635 => 700,
                    _ => sample.abs() / 30 + 16,
                };
                assert!((back - sample).abs() <= allowed, "{law:?} {sample} {back}");
                assert!(sample.abs() < 16 || back.signum() == sample.signum());
            }
        }
    }
}
