//! Fragments of messages (RFC 3420), as far as REFER has need of them: a status line, and perhaps more
//! (RFC 3515 section 2.4.5).

use super::Content;

/// The media type.
pub const MEDIA_TYPE: &str = "message/sipfrag;version=2.0";

/// A fragment with a status line alone. More of a response would tell the peer what is not its business
/// (RFC 3515 section 5.3).
pub fn fragment(status: u16, reason: &str) -> Content {
    let reason: String =
        reason.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    Content {
        media_type: MEDIA_TYPE.into(),
        bytes: format!("SIP/2.0 {status} {reason}\r\n").into_bytes(),
    }
}

/// The status that a fragment begins with.
pub fn status(fragment: &[u8]) -> Option<u16> {
    let rest = fragment
        .get(..8)
        .filter(|start| start.eq_ignore_ascii_case(b"SIP/2.0 "))
        .and(fragment.get(8..))?;
    let (digits, after) = rest.split_at_checked(3)?;
    let status: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let ended = after.first().is_none_or(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
    (ended && digits.iter().all(u8::is_ascii_digit) && (100..700).contains(&status))
        .then_some(status)
}

/// Status and reason phrase of a response, as bytes.
pub(super) fn status_line(response: &[u8]) -> Option<(u16, String)> {
    let line = response.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    let reason = line.get(12..).unwrap_or_default().trim_ascii();
    Some((status(line)?, String::from_utf8_lossy(reason).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let content = fragment(180, "Ringing\r\nVia: x");
        assert_eq!(content.bytes, b"SIP/2.0 180 Ringing  Via: x\r\n");
        assert_eq!(status(&content.bytes), Some(180));
        assert_eq!(status_line(b"SIP/2.0 486 Busy Here\r\n"), Some((486, "Busy Here".into())));
        assert_eq!(status(b"SIP/2.0 200"), Some(200));
    }

    #[test]
    fn what_begins_with_no_status_line_has_no_status() {
        for text in [
            "",
            "SIP/2.0",
            "SIP/2.0 ",
            "SIP/2.0 20",
            "SIP/2.0 2000 x",
            "SIP/2.0 +20 x",
            "SIP/2.0 99 x",
            "SIP/2.0 700 x",
            "INVITE sip:a SIP/2.0",
            "Via: x",
        ] {
            assert_eq!(status(text.as_bytes()), None, "{text}");
        }
    }
}
