//! Whether a body is understood: RFC 3261 section 8.2.3, and RFC 5621 for bodies of several parts.

use towel_message::body::{Part, Parts};
use towel_message::fields::{Disposition, MediaType};
use towel_message::{Message, Name};

use super::behaviour::{Reply, Verdict};
use super::registry::Registry;

/// How deep parts in parts are followed, and how many are looked at in all.
const MAX_DEPTH: usize = 4;
const MAX_PARTS: usize = 64;

fn known(list: &[&str], have: &[u8]) -> bool {
    list.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(have))
}

impl Registry {
    /// RFC 3261 section 8.2.3: a 415 if there is a body whose type, coding, language or disposition
    /// we do not understand and which is not marked optional (section 20.11). A 400 if what says
    /// what the body is, says it twice, or if a body of several parts has none of them.
    pub fn check_body(&self, message: &Message<'_>) -> Verdict {
        if message.body().is_empty() {
            return Verdict::Pass;
        }
        for (name, reason) in [
            (Name::ContentType, "Repeated Content-Type Header Field"),
            (Name::ContentDisposition, "Repeated Content-Disposition Header Field"),
        ] {
            if message.is_repeated(name) {
                return Verdict::refuse(400, reason);
            }
        }
        let disposition = message
            .value(Name::ContentDisposition)
            .and_then(|value| Disposition::parse(value).ok());
        if disposition.is_some_and(|disposition| disposition.is_optional()) {
            return Verdict::Pass;
        }
        // The section speaks of a type that is indicated: where there is none, there is nothing to
        // refuse.
        if let Some(value) = message.value(Name::ContentType) {
            let kind = MediaType::parse(value);
            if !kind.is_ok_and(|kind| self.understands(&kind))
                || disposition.is_some_and(|disposition| !self.is_known(&disposition))
            {
                return self.strange_type();
            }
        }
        let coding = message
            .values(Name::ContentEncoding)
            .any(|coding| !known(&self.answers.encodings, coding.bytes));
        if coding {
            return unsupported("Accept-Encoding", self.accept_encoding());
        }
        // A language is one of ours if it is it or a kind of it: en-GB is English.
        let ours = self.accept_language().as_bytes();
        let strange = message.values(Name::ContentLanguage).any(|language| {
            let primary = language.bytes.split(|byte| *byte == b'-').next().unwrap_or_default();
            !primary.eq_ignore_ascii_case(ours)
        });
        if strange {
            return unsupported("Accept-Language", self.accept_language());
        }
        match message.parts() {
            None => Verdict::Pass,
            Some(Err(fault)) => Verdict::refuse(fault.status, fault.reason),
            Some(Ok(parts)) => {
                let alternative = message
                    .content_type()
                    .and_then(Result::ok)
                    .is_some_and(|kind| kind.is("multipart/alternative"));
                let mut left = MAX_PARTS;
                if self.understands_parts(parts, alternative, MAX_DEPTH, &mut left) {
                    Verdict::Pass
                } else {
                    self.strange_type()
                }
            }
        }
    }

    fn understands(&self, kind: &MediaType<'_>) -> bool {
        self.answers.bodies.iter().any(|have| kind.is(have))
    }

    fn is_known(&self, disposition: &Disposition<'_>) -> bool {
        known(&self.answers.dispositions, disposition.kind)
    }

    fn strange_type(&self) -> Verdict {
        unsupported("Accept", self.accept())
    }

    /// RFC 5621 sections 5 and 8: of alternatives one must be understood, of other parts each that
    /// may not be passed over.
    fn understands_parts(
        &self,
        parts: Parts<'_>,
        alternative: bool,
        depth: usize,
        left: &mut usize,
    ) -> bool {
        let mut any = false;
        for part in parts {
            let Some(still) = left.checked_sub(1) else { return false };
            *left = still;
            let good = self.understands_part(&part, depth, left);
            any |= good;
            if !alternative && !good && !part.is_optional() {
                return false;
            }
        }
        any || !alternative
    }

    fn understands_part(&self, part: &Part<'_>, depth: usize, left: &mut usize) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return false };
        let Ok(kind) = part.content_type() else { return false };
        let disposition_known = part
            .disposition()
            .is_none_or(|disposition| disposition.is_ok_and(|it| self.is_known(&it)));
        if !self.understands(&kind) || !disposition_known {
            return false;
        }
        match part.parts() {
            None => true,
            Some(Err(_)) => false,
            Some(Ok(parts)) => {
                let alternative = kind.is("multipart/alternative");
                self.understands_parts(parts, alternative, depth, left)
            }
        }
    }
}

fn unsupported(field: &'static str, accepted: &str) -> Verdict {
    Verdict::reply(Reply::new(415, "Unsupported Media Type").with(field, accepted))
}
