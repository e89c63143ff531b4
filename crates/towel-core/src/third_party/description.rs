//! What a controller does to session descriptions, line by line: it has no media of its own, so whatever
//! else stands in them stays as it is (RFC 3725 sections 4.3 and 4.4).

/// A description in its parts: what is before the first media line, and each media line with what belongs
/// to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    session: Vec<Vec<u8>>,
    media: Vec<Vec<Vec<u8>>>,
}

/// How many media lines one description may have here.
const MOST_MEDIA: usize = 64;

impl Parts {
    pub(super) fn read(text: &[u8]) -> Parts {
        let mut parts = Parts::default();
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            if line.starts_with(b"m=") && parts.media.len() < MOST_MEDIA {
                parts.media.push(vec![line.to_vec()]);
            } else {
                parts.media.last_mut().unwrap_or(&mut parts.session).push(line.to_vec());
            }
        }
        parts
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let lines = self.session.iter().chain(self.media.iter().flatten());
        lines.flat_map(|line| line.iter().chain(b"\r\n")).copied().collect()
    }

    /// The same with another origin: that of whoever speaks on this leg, in its next version (RFC 3264
    /// section 8: the rest of the line stays what it was).
    pub(super) fn from(mut self, session: u64, version: u32) -> Parts {
        let origin = format!("o=- {session} {version} IN IP4 0.0.0.0").into_bytes();
        match self.session.iter_mut().find(|line| line.starts_with(b"o=")) {
            Some(line) => *line = origin,
            None => self.session.insert(self.session.len().min(1), origin),
        }
        self
    }

    /// The same with nowhere to send media to (section 5).
    pub(super) fn black_hole(mut self) -> Parts {
        let lines = self.session.iter_mut().chain(self.media.iter_mut().flatten());
        for line in lines.filter(|line| line.starts_with(b"c=")) {
            let v6 = line.starts_with(b"c=IN IP6");
            *line = if v6 { b"c=IN IP6 ::".to_vec() } else { b"c=IN IP4 0.0.0.0".to_vec() };
        }
        self
    }

    /// What kind of media a section is: `audio`.
    fn kind(section: &[Vec<u8>]) -> &[u8] {
        let line = section.first().map(Vec::as_slice).unwrap_or_default();
        line.get(2..).and_then(|rest| rest.split(|byte| *byte == b' ').next()).unwrap_or_default()
    }

    /// The same with its media lines where another description has its own (RFC 3264 section 8: a later
    /// offer has all lines of an earlier one in their places): by kind, in order. What has none here is
    /// there with port nought, what is new stands behind. Tells where each of ours went.
    pub(super) fn arranged(&self, like: &Parts) -> (Parts, Vec<usize>) {
        let mut places = vec![usize::MAX; self.media.len()];
        let mut arranged = Vec::new();
        for (at, old) in like.media.iter().enumerate() {
            let free = self.media.iter().zip(&places).position(|(section, place)| {
                *place == usize::MAX && Self::kind(section) == Self::kind(old)
            });
            match free.and_then(|free| Some((free, self.media.get(free)?))) {
                Some((free, section)) => {
                    if let Some(place) = places.get_mut(free) {
                        *place = at;
                    }
                    arranged.push(section.clone());
                }
                None => arranged.push(vec![refused(old)]),
            }
        }
        for (section, place) in self.media.iter().zip(places.iter_mut()) {
            if *place == usize::MAX {
                *place = arranged.len();
                arranged.push(section.clone());
            }
        }
        (Parts { session: self.session.clone(), media: arranged }, places)
    }

    /// An answer to what was arranged, as an answer to what it was before.
    pub(super) fn taken_back(&self, places: &[usize]) -> Parts {
        let media = places.iter().filter_map(|place| self.media.get(*place).cloned()).collect();
        Parts { session: self.session.clone(), media }
    }

    /// Whether there is a media line that is not refused.
    pub(super) fn has_media(&self) -> bool {
        let refused = |section: &Vec<Vec<u8>>| {
            let line = section.first().map(Vec::as_slice).unwrap_or_default();
            line.split(|byte| *byte == b' ').nth(1) == Some(b"0")
        };
        self.media.iter().any(|section| !refused(section))
    }

    /// Whether two say the same but for who says it.
    pub(super) fn agrees(&self, other: &Parts) -> bool {
        let said = |parts: &Parts| {
            let session = parts.session.iter().filter(|line| !line.starts_with(b"o="));
            session.chain(parts.media.iter().flatten()).cloned().collect::<Vec<_>>()
        };
        said(self) == said(other)
    }
}

/// A media line with port nought.
fn refused(section: &[Vec<u8>]) -> Vec<u8> {
    let line = section.first().map(Vec::as_slice).unwrap_or_default();
    let mut words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    if let Some(port) = words.get_mut(1) {
        *port = b"0";
    }
    words.join(&b' ')
}

/// A description without media (section 4.4).
pub(super) fn without_media(session: u64) -> Vec<u8> {
    format!("v=0\r\no=- {session} 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n").into_bytes()
}

/// One stream that leads nowhere (section 4.2).
pub(super) fn audio_nowhere(session: u64) -> Vec<u8> {
    format!(
        "v=0\r\no=- {session} 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
         m=audio 9 RTP/AVP 0\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(media: &str) -> String {
        format!("v=0\r\no=alice 7 7 IN IP4 h\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{media}")
    }

    #[test]
    fn what_is_read_is_written_as_it_was() {
        let all =
            text("m=audio 1 RTP/AVP 0\r\na=x\r\nm=video 2 RTP/AVP 31\r\nc=IN IP6 2001:db8::1\r\n");
        assert_eq!(Parts::read(all.as_bytes()).write(), all.as_bytes());
        let bare = all.replace("\r\n", "\n");
        assert_eq!(Parts::read(bare.as_bytes()).write(), all.as_bytes());
    }

    #[test]
    fn the_origin_is_the_legs_own_and_nothing_else_changes() {
        let other = Parts::read(text("m=audio 1 RTP/AVP 0\r\n").as_bytes()).from(42, 3);
        let expected = text("m=audio 1 RTP/AVP 0\r\n")
            .replace("o=alice 7 7 IN IP4 h", "o=- 42 3 IN IP4 0.0.0.0");
        assert_eq!(other.write(), expected.as_bytes());
        assert!(other.agrees(&Parts::read(text("m=audio 1 RTP/AVP 0\r\n").as_bytes())));
        assert!(!other.agrees(&Parts::read(text("m=audio 2 RTP/AVP 0\r\n").as_bytes())));
    }

    #[test]
    fn a_black_hole_leads_nowhere() {
        let all = text("m=audio 1 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\n");
        let hole = String::from_utf8(Parts::read(all.as_bytes()).black_hole().write()).unwrap();
        assert!(hole.contains("c=IN IP4 0.0.0.0\r\n") && hole.contains("c=IN IP6 ::\r\n"));
        assert!(!hole.contains("192.0.2.1") && !hole.contains("2001"));
    }

    #[test]
    fn media_lines_stand_where_they_stood() {
        let old = Parts::read(text("m=audio 1 RTP/AVP 0\r\nm=video 2 RTP/AVP 31\r\n").as_bytes());
        let new =
            Parts::read(text("m=text 5 RTP/AVP 98\r\nm=audio 6 RTP/AVP 8\r\na=y\r\n").as_bytes());
        let (arranged, places) = new.arranged(&old);
        let lines = String::from_utf8(arranged.write()).unwrap();
        let at = |what: &str| lines.find(what).unwrap();
        assert!(
            at("m=audio 6") < at("a=y")
                && at("a=y") < at("m=video 0")
                && at("m=video 0") < at("m=text 5")
        );
        assert_eq!(places, [2, 0]);
        let answer =
            text("m=audio 16 RTP/AVP 8\r\nm=video 0 RTP/AVP 31\r\nm=text 15 RTP/AVP 98\r\n");
        let back = Parts::read(answer.as_bytes()).taken_back(&places);
        assert_eq!(
            back.write(),
            text("m=text 15 RTP/AVP 98\r\nm=audio 16 RTP/AVP 8\r\n").into_bytes()
        );
    }

    #[test]
    fn refused_media_is_none() {
        assert!(!Parts::read(&without_media(1)).has_media());
        assert!(!Parts::read(text("m=audio 0 RTP/AVP 0\r\n").as_bytes()).has_media());
        assert!(Parts::read(&audio_nowhere(1)).has_media());
    }
}
