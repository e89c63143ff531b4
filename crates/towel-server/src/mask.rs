//! Secrets in messages that are shown: proofs of passwords and keys of media.
//!
//! What hides them takes exactly their room, so that every length in a message stays true. What
//! helps to see why somebody was turned away (name, realm, algorithm) stays readable.

/// Fields whose values prove something.
const FIELDS: [&[u8]; 4] = [
    b"authorization",
    b"proxy-authorization",
    b"authentication-info",
    b"proxy-authentication-info",
];

/// Parameters of Digest that anybody may see.
const OPEN: [&[u8]; 7] = [b"username", b"realm", b"uri", b"algorithm", b"qop", b"nc", b"opaque"];

/// Where a key begins in a line of SDP (RFC 4568 section 6.1, RFC 4566 section 5.12).
const KEYS: [&[u8]; 2] = [b"inline:", b"k="];

const HIDDEN: u8 = b'*';

/// Hides what is secret in a message.
pub fn mask(message: &mut [u8]) {
    let mut in_field = false;
    let mut in_body = false;
    for line in message.split_inclusive_mut(|b| *b == b'\n') {
        let end = line.len() - line.iter().rev().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let Some(line) = line.get_mut(..end) else { continue };
        if in_body {
            key(line);
        } else if line.is_empty() {
            in_body = true;
        } else if matches!(line.first(), Some(b' ' | b'\t')) {
            if in_field {
                // The name of a scheme stands before the fold or nowhere.
                parameters(line);
            }
        } else {
            let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
            let name = line.get(..colon).unwrap_or_default().trim_ascii();
            in_field = FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field));
            if let Some(value) = line.get_mut(colon + 1..).filter(|_| in_field) {
                credentials(value);
            }
        }
    }
}

fn credentials(value: &mut [u8]) {
    let start = value.iter().take_while(|b| b.is_ascii_whitespace()).count();
    let Some(value) = value.get_mut(start..) else { return };
    let word = value.iter().take_while(|b| !b" \t=".contains(b)).count();
    if value.get(word) == Some(&b'=') {
        // No scheme: Authentication-Info.
        parameters(value);
    } else if value.get(..word).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Digest")) {
        parameters(value.get_mut(word..).unwrap_or_default());
    } else if let Some(rest) = value.get_mut(word..) {
        // Of other schemes nothing is known to be harmless.
        rest.iter_mut().filter(|b| !b.is_ascii_whitespace()).for_each(|b| *b = HIDDEN);
    }
}

/// Hides all values but those of parameters known to be open.
fn parameters(value: &mut [u8]) {
    let mut at = 0;
    while at < value.len() {
        let rest = value.get(at..).unwrap_or_default();
        let length = rest.iter().position(|b| b"=,".contains(b)).unwrap_or(rest.len());
        let name = rest.get(..length).unwrap_or_default().trim_ascii();
        let open = OPEN.iter().any(|open| name.eq_ignore_ascii_case(open));
        at += length;
        if value.get(at) == Some(&b'=') {
            at += 1;
            let (mut quoted, mut escaped) = (false, false);
            while let Some(byte) = value.get_mut(at) {
                match *byte {
                    b',' if !quoted => break,
                    b'"' if !escaped => quoted = !quoted,
                    other => {
                        escaped = other == b'\\' && !escaped;
                        if !open && !other.is_ascii_whitespace() {
                            *byte = HIDDEN;
                        }
                        at += 1;
                        continue;
                    }
                }
                escaped = false;
                at += 1;
            }
        }
        at += 1;
    }
}

/// Hides the key that a line of a body carries.
fn key(line: &mut [u8]) {
    let found = KEYS.iter().find_map(|word| match *word {
        b"k=" => line.starts_with(b"k=").then_some(2),
        word => {
            let crypto = line.starts_with(b"a=crypto:");
            line.windows(word.len()).position(|w| crypto && w == word).map(|at| at + word.len())
        }
    });
    if let Some(key) = found.and_then(|at| line.get_mut(at..)) {
        key.iter_mut().filter(|b| !b" |;:".contains(b)).for_each(|b| *b = HIDDEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        mask(&mut bytes);
        assert_eq!(bytes.len(), text.len());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn proofs_are_hidden_and_names_are_not() {
        let shown = masked(
            "REGISTER sip:a SIP/2.0\r\nAuthorization: Digest username=\"al,\\\"ice\", \
             response=\"0123abcd\",\r\n cnonce=\"feed\", algorithm=MD5, nonce=\"n1\"\r\n\
             Subject: response=1\r\n\r\nresponse=\"x\"",
        );
        assert!(shown.contains("username=\"al,\\\"ice\", response=\"********\",\r\n"), "{shown}");
        assert!(shown.contains(" cnonce=\"****\", algorithm=MD5, nonce=\"**\"\r\n"), "{shown}");
        assert!(shown.contains("Subject: response=1\r\n\r\nresponse=\"x\""), "{shown}");
        let shown = masked("x\r\nproxy-authorization : Bearer eyJ.abc\r\n\r\n");
        assert!(shown.contains("Bearer *******\r\n"), "{shown}");
        let shown = masked("x\r\nAuthentication-Info: rspauth=\"ab\", qop=auth\r\n\r\n");
        assert!(shown.contains(": rspauth=\"**\", qop=auth"), "{shown}");
    }

    #[test]
    fn keys_of_media_are_hidden() {
        let shown = masked(
            "x\r\n\r\nv=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20\r\n\
             k=clear:abc\r\n",
        );
        assert!(shown.contains("SHA1_80 inline:********|****\r\nk=*****:***\r\n"), "{shown}");
    }
}
