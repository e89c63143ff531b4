//! The canonical form of an address-of-record (RFC 3261 section 10.3 step 5): one key for all the
//! ways to write it.

use super::Uri;
use super::escape::{Unescaped, push_escaped};
use crate::scan::{is_unreserved, push_number};
use crate::stops::Stops;

/// Appends the canonical form of an address-of-record: URI parameters, headers and password gone,
/// escapes undone where they need not be, scheme and host in lower case. `sip` and `sips` of the
/// same user are one address-of-record (section 10.2.1 registers both under one binding list), so
/// both are written as `sip`. A port is kept: another port is another domain.
pub fn address_of_record(uri: &Uri<'_>, out: &mut Vec<u8>) {
    match uri {
        Uri::Sip(uri) => {
            out.extend_from_slice(b"sip:");
            if let Some(user) = uri.user {
                push_user(user, out);
                out.push(b'@');
            }
            uri.host.write_canonical(out);
            if let Some(port) = uri.port {
                out.push(b':');
                push_number(out, u64::from(port));
            }
        }
        Uri::Tel(uri) => {
            out.extend_from_slice(b"tel:");
            uri.write_digits(out);
            if let Some(context) = uri.phone_context().filter(|_| !uri.global) {
                out.extend_from_slice(b";phone-context=");
                out.extend(context.iter().map(u8::to_ascii_lowercase));
            }
        }
        Uri::Other(uri) => {
            out.extend(uri.scheme.iter().map(u8::to_ascii_lowercase));
            out.push(b':');
            match uri.mailbox() {
                Some((user, domain)) => {
                    push_user(user, out);
                    out.push(b'@');
                    out.extend(domain.iter().map(u8::to_ascii_lowercase));
                }
                None => out.extend_from_slice(uri.rest),
            }
        }
    }
}

/// Appends a user part in its canonical form: every character that may stand unescaped does; every
/// other is escaped, a NUL included (RFC 4475 section 3.1.1.4).
pub fn push_user(user: &[u8], out: &mut Vec<u8>) {
    if Stops::new(user).next(0) == user.len() {
        out.extend_from_slice(user);
        return;
    }
    for (byte, _) in Unescaped::new(user) {
        if is_unreserved(byte) || b"&=+$,;?/".contains(&byte) {
            out.push(byte);
        } else {
            push_escaped(byte, out);
        }
    }
}
