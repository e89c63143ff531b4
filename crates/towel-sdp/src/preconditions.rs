//! Preconditions of a media stream as a table (RFC 3312 section 5, with the rules of RFC 4032; RFC 5027
//! for the type `sec`): what has to be there before anybody is alerted, what of it there is, and what
//! offers and answers do to either.
//!
//! Each end has a [`Table`] for each stream, written from its own point of view: `local` is its own
//! access, `send` its own direction. What a peer writes is turned round when it is read (table 4).

use crate::attribute::{Confirm, Current, Desired, Status, Strength};
use crate::{Direction, Section};

/// The most rows of one table: a peer names the types.
const MOST: usize = 32;

/// One of the two ways of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From here.
    Send,
    /// To here.
    Recv,
}

/// What is wanted of one way on one part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The type: `qos`, `sec`.
    pub kind: String,
    /// Which part.
    pub status: Status,
    /// Which way.
    pub way: Way,
    /// Whether it is there.
    pub current: bool,
    /// How much it is wanted.
    pub strength: Strength,
    /// Whether we know that by ourselves, and need not be told.
    pub known: bool,
    /// Whether the peer wants to be told when it is there.
    pub asked: bool,
}

/// The preconditions of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    rows: Vec<Row>,
}

/// Whether a direction has a way in it, as the one who wrote it means it.
const fn has(direction: Direction, way: Way) -> bool {
    matches!(
        (direction, way),
        (Direction::SendRecv, _)
            | (Direction::SendOnly, Way::Send)
            | (Direction::RecvOnly, Way::Recv)
    )
}

const fn opposite(way: Way) -> Way {
    match way {
        Way::Send => Way::Recv,
        Way::Recv => Way::Send,
    }
}

const fn across(status: Status) -> Status {
    match status {
        Status::EndToEnd => Status::EndToEnd,
        Status::Local => Status::Remote,
        Status::Remote => Status::Local,
    }
}

const fn grade(strength: Strength) -> u8 {
    match strength {
        Strength::Mandatory => 2,
        Strength::Optional => 1,
        Strength::None | Strength::Failure | Strength::Unknown => 0,
    }
}

const fn status_text(status: Status) -> &'static str {
    match status {
        Status::EndToEnd => "e2e",
        Status::Local => "local",
        Status::Remote => "remote",
    }
}

const fn way_text(send: bool, recv: bool) -> &'static str {
    match (send, recv) {
        (true, true) => "sendrecv",
        (true, false) => "send",
        (false, true) => "recv",
        (false, false) => "none",
    }
}

const fn strength_text(strength: Strength) -> &'static str {
    match strength {
        Strength::Mandatory => "mandatory",
        Strength::Optional => "optional",
        Strength::None => "none",
        Strength::Failure => "failure",
        Strength::Unknown => "unknown",
    }
}

impl Table {
    /// What an offer of ours wants of each access, nothing being there yet. Of our own we know.
    pub fn segmented(kind: &str, local: Strength, remote: Strength) -> Table {
        let mut table = Table::default();
        table.add(kind, Status::Local, local, true);
        table.add(kind, Status::Remote, remote, false);
        table
    }

    /// What an offer of ours wants from end to end.
    pub fn end_to_end(kind: &str, strength: Strength) -> Table {
        let mut table = Table::default();
        table.add(kind, Status::EndToEnd, strength, false);
        table
    }

    fn add(&mut self, kind: &str, status: Status, strength: Strength, known: bool) {
        for way in [Way::Send, Way::Recv] {
            self.rows.push(Row {
                kind: kind.to_owned(),
                status,
                way,
                current: false,
                strength,
                known,
                asked: false,
            });
        }
    }

    /// The rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    fn row(&mut self, kind: &str, status: Status, way: Way) -> Option<&mut Row> {
        let is = |row: &Row| {
            row.kind.eq_ignore_ascii_case(kind) && row.status == status && row.way == way
        };
        if !self.rows.iter().any(is) {
            if self.rows.len() >= MOST {
                return None;
            }
            let known = status == Status::Local;
            self.rows.push(Row {
                kind: kind.to_owned(),
                status,
                way,
                current: false,
                strength: Strength::None,
                known,
                asked: false,
            });
        }
        self.rows.iter_mut().find(|row| is(row))
    }

    /// We know by ourselves that something is there, or is there no more.
    pub fn set(&mut self, kind: &str, status: Status, way: Way, current: bool) {
        if let Some(row) = self.row(kind, status, way) {
            row.current = current;
            row.known = true;
        }
    }

    /// The peer's offer, at the answerer (section 5.2; RFC 4032 section 4.1). A strength is raised and
    /// never lowered; what the offer says of a row counts where we know nothing better.
    pub fn take_offer(&mut self, stream: &Section<'_>) {
        self.take(stream, |row, current| {
            if !row.known {
                row.current = current;
            }
        });
    }

    /// The peer's answer, at the offerer: from then on both have one view (RFC 4032 section 4.1).
    pub fn take_answer(&mut self, stream: &Section<'_>) {
        self.take(stream, |row, current| row.current = current);
    }

    fn take(&mut self, stream: &Section<'_>, update: impl Fn(&mut Row, bool)) {
        for desired in stream.every::<Desired<'_>>().flatten() {
            for way in [Way::Send, Way::Recv] {
                if !has(desired.direction, way) {
                    continue;
                }
                let (status, way) = (across(desired.status), opposite(way));
                if let Some(row) = self.row(desired.kind, status, way)
                    && grade(desired.strength) > grade(row.strength)
                {
                    row.strength = desired.strength;
                }
            }
        }
        for current in stream.every::<Current<'_>>().flatten() {
            for way in [Way::Send, Way::Recv] {
                let there = has(current.direction, way);
                let (status, way) = (across(current.status), opposite(way));
                if let Some(row) = self.row(current.kind, status, way) {
                    update(row, there);
                }
            }
        }
        // Section 7: they are not negotiated, so those of the last description count.
        for row in &mut self.rows {
            row.asked = false;
        }
        for confirm in stream.every::<Confirm<'_>>().flatten() {
            for way in [Way::Send, Way::Recv] {
                if has(confirm.direction, way)
                    && let Some(row) = self.row(confirm.kind, across(confirm.status), opposite(way))
                {
                    row.asked = true;
                }
            }
        }
    }

    /// Whether all that is mandatory is there, so that the session may go on (section 6).
    pub fn is_met(&self) -> bool {
        self.rows.iter().all(|row| row.current || row.strength != Strength::Mandatory)
    }

    /// Whether the peer has to be told now: all that it asked for is there (section 7).
    pub fn confirms(&self) -> bool {
        let mut asked = self.rows.iter().filter(|row| row.asked).peekable();
        asked.peek().is_some() && asked.all(|row| row.current)
    }

    /// Whether we have to be told by the peer: something that is mandatory is not there, and we would
    /// not know (section 6).
    pub fn needs_word(&self) -> bool {
        self.rows.iter().any(Row::waits_for_word)
    }

    /// A type that is mandatory, not among `known`, and not the peer's own affair: the offer is refused
    /// with 580 (section 9).
    pub fn unknown<'t>(&'t self, known: &[&str]) -> Option<&'t Row> {
        self.rows.iter().find(|row| {
            row.strength == Strength::Mandatory
                && row.status != Status::Remote
                && !known.iter().any(|kind| kind.eq_ignore_ascii_case(&row.kind))
        })
    }

    /// The attributes of an offer or answer of ours, without `a=` (section 5.1.1): what is there and what
    /// is wanted, and what we want to be told of.
    pub fn attributes(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (kind, status) in self.parts() {
            let of = |way| {
                self.rows.iter().find(|r| r.kind == kind && r.status == status && r.way == way)
            };
            let (send, recv) = (of(Way::Send), of(Way::Recv));
            let part = status_text(status);
            let is = |row: Option<&Row>, test: fn(&Row) -> bool| row.is_some_and(test);
            let current = way_text(is(send, |row| row.current), is(recv, |row| row.current));
            lines.push(format!("curr:{kind} {part} {current}"));
            let strength =
                |row: Option<&Row>| strength_text(row.map_or(Strength::None, |row| row.strength));
            if strength(send) == strength(recv) {
                lines.push(format!("des:{kind} {} {part} sendrecv", strength(send)));
            } else {
                lines.push(format!("des:{kind} {} {part} send", strength(send)));
                lines.push(format!("des:{kind} {} {part} recv", strength(recv)));
            }
            let waits = |row| is(row, Row::waits_for_word);
            if waits(send) || waits(recv) {
                lines.push(format!("conf:{kind} {part} {}", way_text(waits(send), waits(recv))));
            }
        }
        lines
    }

    /// The attributes that a 580, a CANCEL or a BYE says the failure with (sections 8 and 9).
    pub fn failure(&self, known: &[&str]) -> Vec<String> {
        let failed = |row: &&Row| row.strength == Strength::Mandatory && !row.current;
        let line = |row: &Row| {
            let strange = !known.iter().any(|kind| kind.eq_ignore_ascii_case(&row.kind));
            let word = if strange { "unknown" } else { "failure" };
            let way = way_text(row.way == Way::Send, row.way == Way::Recv);
            format!("des:{} {word} {} {way}", row.kind, status_text(row.status))
        };
        self.rows.iter().filter(failed).map(line).collect()
    }

    /// The parts that there are rows of, in the order in which they came.
    fn parts(&self) -> Vec<(&str, Status)> {
        let mut parts: Vec<(&str, Status)> = Vec::new();
        for row in &self.rows {
            if !parts.contains(&(row.kind.as_str(), row.status)) {
                parts.push((&row.kind, row.status));
            }
        }
        parts
    }
}

impl Row {
    fn waits_for_word(&self) -> bool {
        self.strength == Strength::Mandatory && !self.current && !self.known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Description, Limits};

    fn with<T>(attributes: &[&str], run: impl FnOnce(&Section<'_>) -> T) -> T {
        let mut text = String::from(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
             m=audio 20000 RTP/AVP 0\r\n",
        );
        for line in attributes {
            text += &format!("a={line}\r\n");
        }
        let description = Description::parse(text.as_bytes(), &Limits::default()).expect("sdp");
        let media = description.media_at(0).expect("a stream");
        run(&media.section())
    }

    fn offer(table: &mut Table, lines: &[String]) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        with(&lines, |stream| table.take_offer(stream));
    }

    fn answer(table: &mut Table, lines: &[String]) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        with(&lines, |stream| table.take_answer(stream));
    }

    /// RFC 3312 section 13.1.
    #[test]
    fn from_end_to_end() {
        let mut a = Table::end_to_end("qos", Strength::Mandatory);
        let sdp1 = a.attributes();
        assert_eq!(
            sdp1,
            ["curr:qos e2e none", "des:qos mandatory e2e sendrecv", "conf:qos e2e sendrecv"]
        );
        let mut b = Table::default();
        // RSVP tells b of what it sends, so it has to be told of the other way alone.
        b.set("qos", Status::EndToEnd, Way::Send, false);
        offer(&mut b, &["curr:qos e2e none".into(), "des:qos mandatory e2e sendrecv".into()]);
        let sdp2 = b.attributes();
        assert_eq!(
            sdp2,
            ["curr:qos e2e none", "des:qos mandatory e2e sendrecv", "conf:qos e2e recv"]
        );
        answer(&mut a, &sdp2);
        assert!(!a.is_met() && !b.is_met() && !a.confirms() && b.needs_word());
        a.set("qos", Status::EndToEnd, Way::Send, true);
        assert!(a.confirms(), "what b wants to hear of is there");
        b.set("qos", Status::EndToEnd, Way::Send, true);
        offer(&mut b, &a.attributes());
        assert!(b.is_met() && !b.needs_word());
        let sdp4 = b.attributes();
        assert_eq!(sdp4, ["curr:qos e2e sendrecv", "des:qos mandatory e2e sendrecv"]);
        answer(&mut a, &sdp4);
        assert!(a.is_met());
    }

    /// RFC 3312 section 13.2.
    #[test]
    fn each_access_by_itself() {
        let mut a = Table::segmented("qos", Strength::Mandatory, Strength::Mandatory);
        let mut b = Table::default();
        offer(&mut b, &a.attributes());
        assert_eq!(
            b.attributes(),
            [
                "curr:qos remote none",
                "des:qos mandatory remote sendrecv",
                "conf:qos remote sendrecv",
                "curr:qos local none",
                "des:qos mandatory local sendrecv"
            ]
        );
        answer(&mut a, &b.attributes());
        for way in [Way::Send, Way::Recv] {
            b.set("qos", Status::Local, way, true);
            a.set("qos", Status::Local, way, true);
        }
        assert!(!b.is_met(), "a's access is not known of");
        assert!(a.confirms() && !a.is_met());
        offer(&mut b, &a.attributes());
        assert!(b.is_met());
        answer(&mut a, &b.attributes());
        assert!(a.is_met() && !a.needs_word());
    }

    #[test]
    fn a_strength_is_never_lowered() {
        let mut b = Table::segmented("qos", Strength::None, Strength::Mandatory);
        offer(
            &mut b,
            &["des:qos none local sendrecv".into(), "des:qos optional remote send".into()],
        );
        let of = |status, way| {
            b.rows().iter().find(|row| row.status == status && row.way == way).map(|r| r.strength)
        };
        assert_eq!(of(Status::Remote, Way::Send), Some(Strength::Mandatory));
        assert_eq!(of(Status::Local, Way::Recv), Some(Strength::Optional));
        assert_eq!(of(Status::Local, Way::Send), Some(Strength::None));
        let lines = b.attributes();
        assert!(lines.contains(&"des:qos none local send".to_owned()), "{lines:?}");
        assert!(lines.contains(&"des:qos optional local recv".to_owned()), "{lines:?}");
    }

    /// RFC 4032 section 4.1, tables.
    #[test]
    fn a_stream_that_moves_starts_anew() {
        let mut b = Table::default();
        let there: Vec<String> =
            vec!["curr:qos local sendrecv".into(), "des:qos mandatory local sendrecv".into()];
        offer(&mut b, &there);
        assert!(b.is_met(), "yes and no, and nothing known here");
        b.set("qos", Status::Remote, Way::Send, false);
        offer(&mut b, &there);
        assert!(!b.is_met(), "we know better");
        let mut a = Table::segmented("qos", Strength::Mandatory, Strength::None);
        a.set("qos", Status::Local, Way::Send, true);
        answer(&mut a, &["curr:qos remote none".into()]);
        assert!(!a.is_met(), "the answer took it back");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let mut b = Table::default();
        offer(
            &mut b,
            &["des:foo mandatory e2e send".into(), "des:foo mandatory local recv".into()],
        );
        assert_eq!(b.unknown(&["qos", "sec"]).map(|row| row.status), Some(Status::EndToEnd));
        assert_eq!(b.failure(&["qos"])[0], "des:foo unknown e2e recv");
        assert!(b.unknown(&["foo"]).is_none());
        let mut own = Table::default();
        offer(&mut own, &["des:foo mandatory local sendrecv".into()]);
        assert!(own.unknown(&["qos"]).is_none(), "it is the offerer's own affair");
        assert!(own.needs_word());
        let table = Table::end_to_end("qos", Strength::Mandatory);
        assert_eq!(
            table.failure(&["qos"]),
            ["des:qos failure e2e send", "des:qos failure e2e recv"]
        );
    }

    #[test]
    fn a_table_is_bounded() {
        let many: Vec<String> =
            (0..1000).map(|n| format!("des:k{n} mandatory e2e sendrecv")).collect();
        let mut table = Table::default();
        offer(&mut table, &many);
        assert_eq!(table.rows().len(), MOST);
    }
}
