//! The value that Replaces, Join and Target-Dialog share: a Call-ID and two tags (RFC 3891 section 6.1,
//! RFC 3911 section 7.1, RFC 4538 section 7).

use towel_message::Params;

/// A dialog that a header field names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// The tag of whoever reads it.
    pub local: &'a [u8],
    /// The tag of its peer.
    pub remote: &'a [u8],
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> Named<'a> {
    /// Reads it: exactly one of each tag, by these names.
    pub(crate) fn read(value: &'a [u8], local: &str, remote: &str) -> Option<Named<'a>> {
        let at = value.iter().position(|byte| *byte == b';')?;
        let (call_id, rest) = value.split_at_checked(at)?;
        let call_id = call_id.trim_ascii();
        let plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b',';
        if call_id.is_empty() || !call_id.iter().all(plain) {
            return None;
        }
        let params = Params::new(rest);
        let one = |name: &str| {
            let mut all =
                params.iter().filter(|one| one.name.eq_ignore_ascii_case(name.as_bytes()));
            let value = all.next()?.value?;
            let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
            (all.next().is_none() && !value.is_empty() && value.iter().all(token)).then_some(value)
        };
        Some(Named { call_id, local: one(local)?, remote: one(remote)?, params })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_tag() {
        let read = |text: &'static str| Named::read(text.as_bytes(), "to-tag", "from-tag");
        let named = read("98732@sip.example.com ;from-tag=r33th4x0r ; to-tag=ff87ff").unwrap();
        assert_eq!(named.call_id, b"98732@sip.example.com");
        assert_eq!((named.local, named.remote), (&b"ff87ff"[..], &b"r33th4x0r"[..]));
        assert!(!named.params.has("early-only"));
        assert!(read("a;to-tag=1;from-tag=2;early-only").unwrap().params.has("Early-Only"));
        for wrong in [
            "",
            "a",
            ";to-tag=1;from-tag=2",
            "a;to-tag=1",
            "a;from-tag=2",
            "a;to-tag;from-tag=2",
            "a;to-tag=1;from-tag=2;to-tag=3",
            "a;to-tag=1;from-tag=2;From-Tag=2",
            "a;to-tag=;from-tag=2",
            "a b;to-tag=1;from-tag=2",
            "a;to-tag=1;from-tag=2, b;to-tag=1;from-tag=2",
            "a;to-tag=\"1\";from-tag=2",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
