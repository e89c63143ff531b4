//! Which work a request asks for, by a glance at its lines: for connections, whose bytes no filter of the
//! kernel can throw away. It costs a twentieth of reading the message.

use super::Class;

/// Methods that begin work.
const BEGIN: [&[u8]; 6] =
    [b"INVITE", b"REGISTER", b"OPTIONS", b"MESSAGE", b"SUBSCRIBE", b"PUBLISH"];

/// [`Class::New`] or [`Class::Known`] where a message is a request that begins work and says nothing
/// of a priority; nothing for all else, which is to be read.
pub fn glance(message: &[u8]) -> Option<Class> {
    let (method, rest) =
        message.split_at_checked(message.iter().position(|byte| *byte == b' ')?)?;
    if !BEGIN.contains(&method) || rest.get(1..5).is_some_and(|uri| is(uri, b"urn:")) {
        return None;
    }
    let mut class = Class::New;
    let mut rest = message;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (_, next) = rest.split_at_checked(end + 1)?;
        rest = next;
        match rest.first()? {
            b'\r' | b'\n' => return Some(class),
            // What is folded could hold anything.
            b' ' | b'\t' => return None,
            b'T' | b't' => {
                let line = rest.get(..memchr::memchr(b'\n', rest)?)?;
                let to = line.split(|byte| matches!(byte, b':' | b' ' | b'\t')).next()?;
                if (is(to, b"to") || is(to, b"t")) && speaks_of_tag(line) {
                    return None;
                }
            }
            b'P' | b'p' if begins(rest, b"priority") => return None,
            b'R' | b'r' if begins(rest, b"resource-priority") => return None,
            b'A' | b'a' if begins(rest, b"authorization") => class = Class::Known,
            b'P' | b'p' if begins(rest, b"proxy-authorization") => class = Class::Known,
            _ => {}
        }
    }
    // No end of the head: whoever reads it says what is wrong.
    None
}

fn is(text: &[u8], name: &[u8]) -> bool {
    text.eq_ignore_ascii_case(name)
}

fn begins(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|begin| is(begin, name))
}

fn speaks_of_tag(line: &[u8]) -> bool {
    line.split(|byte| *byte == b';').skip(1).any(|param| {
        let param = param.trim_ascii_start();
        param.get(..3).is_some_and(|name| is(name, b"tag"))
            && matches!(param.get(3), None | Some(b'=' | b' ' | b'\t'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str, fields: &str) -> Option<Class> {
        let text = format!(
            "{line} SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n\
             {fields}Call-ID: 1\r\n\r\nTo: <sip:b@b>;tag=of-the-body\r\n"
        );
        glance(text.as_bytes())
    }

    #[test]
    fn what_begins_work_is_told_from_what_does_not() {
        let to = "To: <sip:b@b>\r\n";
        for method in ["INVITE", "REGISTER", "OPTIONS", "MESSAGE", "SUBSCRIBE", "PUBLISH"] {
            assert_eq!(of(&format!("{method} sip:b@b"), to), Some(Class::New), "{method}");
        }
        for line in [
            "ACK sip:b@b",
            "BYE sip:b@b",
            "CANCEL sip:b@b",
            "PRACK sip:b@b",
            "NOTIFY sip:b@b",
            "invite sip:b@b",
            "INVITE urn:service:sos",
            "INVITE URN:service:sos.fire",
            "SIP/2.0 200 OK",
        ] {
            assert_eq!(of(line, to), None, "{line}");
        }
    }

    #[test]
    fn fields_that_make_a_difference() {
        let of = |fields: &str| of("INVITE sip:b@b", fields);
        for field in ["Authorization: Digest x", "proxy-AUTHORIZATION : Digest x"] {
            assert_eq!(of(&format!("To: <sip:b@b>\r\n{field}\r\n")), Some(Class::Known), "{field}");
        }
        for field in [
            "To: <sip:b@b>;tag=2",
            "t:<sip:b@b> ; TAG = 2",
            "Priority: emergency",
            "resource-priority: esnet.0",
            "To: <sip:b@b>\r\n ;tag=2",
        ] {
            assert_eq!(of(&format!("{field}\r\n")), None, "{field}");
        }
        for field in ["To: <sip:b@b>;tagged=2", "Timestamp: 1;tag=2", "Supported: tag"] {
            assert_eq!(of(&format!("{field}\r\n")), Some(Class::New), "{field}");
        }
    }

    #[test]
    fn what_is_no_message_is_left_to_others() {
        for text in ["", "INVITE", "INVITE sip:b@b SIP/2.0\r\n", "INVITE sip:b@b SIP/2.0\r\nTo: x"]
        {
            assert_eq!(glance(text.as_bytes()), None, "{text}");
        }
    }
}
