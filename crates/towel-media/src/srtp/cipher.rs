//! The keys of a session and what is done with them.

use super::{MasterKey, Suite};
use aes::Aes128;
use ctr::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::{CtrCore, flavors::Ctr128BE};
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// The labels of key derivation (RFC 3711 section 4.3.2); those of SRTCP are three more.
const ENCRYPTION: u8 = 0;
const AUTHENTICATION: u8 = 1;
const SALT: u8 = 2;

/// Which of the two protocols keys are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Srtp,
    Srtcp,
}

/// The keys of one direction of one protocol.
#[derive(Clone)]
pub(super) struct Keys {
    cipher: Aes128,
    salt: [u8; 14],
    mac: Hmac<Sha1>,
    /// The length of the tag, in bytes.
    pub(super) tag: usize,
}

impl core::fmt::Debug for Keys {
    /// Keys are not shown.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// Derives the keys, once and for all packets: the derivation rate is 0 (section 4.3.1).
    pub(super) fn derive(master: &MasterKey, suite: Suite, protocol: Protocol) -> Self {
        let base = match protocol {
            Protocol::Srtp => 0,
            Protocol::Srtcp => 3,
        };
        let cipher = Aes128::new(&master.key.into());
        let mut key = [0; 16];
        let mut authentication = [0; 20];
        let mut salt = [0; 14];
        derive(&cipher, &master.salt, base + ENCRYPTION, &mut key);
        derive(&cipher, &master.salt, base + AUTHENTICATION, &mut authentication);
        derive(&cipher, &master.salt, base + SALT, &mut salt);
        let mac = Hmac::<Sha1>::new_from_slice(&authentication);
        // HMAC takes a key of any length, so there is always one.
        let mac = mac.unwrap_or_else(|_| Hmac::<Sha1>::new(&Default::default()));
        // SRTCP has 80 bits in both suites (RFC 4568 section 6.2.2 with RFC 3711 section 5.2).
        let tag = match (suite, protocol) {
            (Suite::AesCm128HmacSha1_32, Protocol::Srtp) => 4,
            _ => 10,
        };
        Self { cipher: Aes128::new(&key.into()), salt, mac, tag }
    }

    /// Encrypts or decrypts (section 4.1.1).
    pub(super) fn apply(&self, ssrc: u32, index: u64, bytes: &mut [u8]) {
        let iv = u128_of(&self.salt) << 16 ^ u128::from(ssrc) << 64 ^ u128::from(index) << 16;
        stream(&self.cipher, iv, bytes);
    }

    /// The tag over the parts (section 4.2.1). Only as many bytes of it are sent as `tag` says.
    pub(super) fn tag_of(&self, parts: [&[u8]; 2]) -> [u8; 10] {
        let mut mac = self.mac.clone();
        parts.iter().for_each(|part| mac.update(part));
        let whole: [u8; 20] = mac.finalize().into_bytes().into();
        let mut tag = [0; 10];
        tag.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        tag
    }

    /// Whether a tag is the right one, in a time that does not tell where it differs.
    pub(super) fn verify(&self, parts: [&[u8]; 2], tag: &[u8]) -> bool {
        let mut mac = self.mac.clone();
        parts.iter().for_each(|part| mac.update(part));
        tag.len() == self.tag && mac.verify_truncated_left(tag).is_ok()
    }
}

fn stream(cipher: &Aes128, iv: u128, bytes: &mut [u8]) {
    let core = CtrCore::<&Aes128, Ctr128BE>::inner_iv_init(cipher, &iv.to_be_bytes().into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(bytes);
}

fn u128_of(bytes: &[u8]) -> u128 {
    bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Key derivation (section 4.3.3): the label stands above the six bytes of the index.
fn derive(master: &Aes128, salt: &[u8; 14], label: u8, out: &mut [u8]) {
    let input = u128_of(salt) ^ u128::from(label) << 48;
    out.fill(0);
    stream(master, input << 16, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let text: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        text.chunks(2).map(pair).collect()
    }

    #[test]
    fn counter_mode() {
        // RFC 3711 appendix B.2.
        let keys = Keys {
            cipher: Aes128::new_from_slice(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap(),
            salt: hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap(),
            mac: Hmac::<Sha1>::new(&Default::default()),
            tag: 10,
        };
        let mut out = vec![0; 1_044_512];
        keys.apply(0, 0, &mut out);
        let first = "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB
                     41E95B3BB0A2E8DD477901E4FCA894C0";
        let last = "EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE
                    6A2CC3787889374FBEB4C81B17BA6C44";
        assert_eq!(out[..48], hex(first));
        assert_eq!(out[0xfeff * 16..0xff02 * 16], hex(last));
    }

    #[test]
    fn key_derivation() {
        // RFC 3711 appendix B.3.
        let master = Aes128::new_from_slice(&hex("E1F97A0D3E018BE0D64FA32C06DE4139")).unwrap();
        let salt: [u8; 14] = hex("0EC675AD498AFEEBB6960B3AABE6").try_into().unwrap();
        let derived = |label, length| {
            let mut out = vec![0; length];
            derive(&master, &salt, label, &mut out);
            out
        };
        assert_eq!(derived(0, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(derived(2, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
        let auth = "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
                    E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
                    6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2";
        assert_eq!(derived(1, 94), hex(auth));
    }
}
