//! SIP-Date (RFC 3261 section 20.17): the fixed form of RFC 1123, always GMT.

use crate::scan::{number, trim};

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const DAY: u64 = 86_400;

/// How many bytes a date has.
pub const LEN: usize = 29;

/// Appends the date of a number of seconds since 1970, as in `Sat, 13 Nov 2010 23:29:00 GMT`. Years
/// beyond 9999 are written as 9999.
pub fn write(unix: u64, out: &mut Vec<u8>) {
    let days = (unix / DAY).min(2_932_896);
    let (year, month, day) = civil(days);
    let seconds = unix % DAY;
    let name = |table: &[&[u8; 3]], at: u64| {
        usize::try_from(at).ok().and_then(|at| table.get(at).map(|n| **n)).unwrap_or(*b"Jan")
    };
    let two = |out: &mut Vec<u8>, n: u64| {
        out.push(b'0' + u8::try_from(n / 10 % 10).unwrap_or(0));
        out.push(b'0' + u8::try_from(n % 10).unwrap_or(0));
    };
    out.extend_from_slice(&name(&DAYS, days % 7));
    out.extend_from_slice(b", ");
    two(out, day);
    out.push(b' ');
    out.extend_from_slice(&name(&MONTHS, month - 1));
    out.push(b' ');
    two(out, year / 100);
    two(out, year % 100);
    out.push(b' ');
    two(out, seconds / 3600);
    out.push(b':');
    two(out, seconds / 60 % 60);
    out.push(b':');
    two(out, seconds % 60);
    out.extend_from_slice(b" GMT");
}

/// Reads a date into seconds since 1970. `None` for any other form: another time zone than GMT is
/// one (RFC 4475 section 3.1.2.12). The day of the week is not compared with the date.
pub fn parse(bytes: &[u8]) -> Option<u64> {
    let bytes = trim(bytes);
    let (day_name, rest) = bytes.split_at_checked(5)?;
    let known = DAYS.iter().any(|d| day_name.get(..3).is_some_and(|n| n.eq_ignore_ascii_case(*d)));
    if !known || day_name.get(3..) != Some(b", ") || rest.len() != 24 {
        return None;
    }
    let at = |from: usize, to: usize| rest.get(from..to);
    let month =
        MONTHS.iter().position(|m| at(3, 6).is_some_and(|name| name.eq_ignore_ascii_case(*m)))?
            as u64
            + 1;
    let (day, year) = (number::<u64>(at(0, 2)?)?, number::<u64>(at(7, 11)?)?);
    let (hour, minute, second) =
        (number::<u64>(at(12, 14)?)?, number::<u64>(at(15, 17)?)?, number::<u64>(at(18, 20)?)?);
    let marks = [(2, b' '), (6, b' '), (11, b' '), (14, b':'), (17, b':'), (20, b' ')];
    let right = marks.iter().all(|(at, mark)| rest.get(*at) == Some(mark))
        && at(21, 24)?.eq_ignore_ascii_case(b"GMT")
        && (1970..=9999).contains(&year)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !right || day == 0 || day > month_len(year, month) {
        return None;
    }
    Some(days_since_1970(year, month, day) * DAY + hour * 3600 + minute * 60 + second)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn month_len(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Leap years before a year, counted from year 1.
fn leaps_before(year: u64) -> u64 {
    let y = year - 1;
    y / 4 - y / 100 + y / 400
}

fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let years = (year - 1970) * 365 + leaps_before(year) - leaps_before(1970);
    years + (1..month).map(|m| month_len(year, m)).sum::<u64>() + day - 1
}

fn civil(days: u64) -> (u64, u64, u64) {
    // Near enough to start from, and never too late.
    let mut year = 1970 + days / 366;
    while days_since_1970(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut left = days - days_since_1970(year, 1, 1);
    let mut month = 1;
    while month < 12 && left >= month_len(year, month) {
        left -= month_len(year, month);
        month += 1;
    }
    (year, month, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(unix: u64) -> String {
        let mut out = Vec::new();
        write(unix, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_dates() {
        assert_eq!(written(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(written(951_827_696), "Tue, 29 Feb 2000 12:34:56 GMT");
        assert_eq!(written(1_289_690_940), "Sat, 13 Nov 2010 23:29:00 GMT");
        assert_eq!(written(u64::MAX).get(..16), Some("Fri, 31 Dec 9999"));
    }

    #[test]
    fn there_and_back() {
        for unix in (0..253_402_300_799u64).step_by(86_400 * 97 + 12_345) {
            let text = written(unix);
            assert_eq!(text.len(), LEN);
            assert_eq!(parse(text.as_bytes()), Some(unix), "{text}");
        }
    }

    #[test]
    fn other_forms_are_none() {
        for text in [
            "Fri, 01 Jan 2010 16:00:00 EST",
            "Fri, 01 Jan 2010 16:00:00 UTC",
            "Fri, 1 Jan 2010 16:00:00 GMT",
            "Fri, 31 Feb 2010 16:00:00 GMT",
            "Fri, 01 Jan 2010 24:00:00 GMT",
            "Fri 01 Jan 2010 16:00:00 GMT ",
            "",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
