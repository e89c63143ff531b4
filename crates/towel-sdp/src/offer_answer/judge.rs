//! Judging what the peer answers and offers.

use crate::attribute::{RtcpMux, Setup};
use crate::payload::is_dynamic;
use crate::{Description, Fault, Media, MediaLine, Timing, What};

/// All that is wrong with an answer to this offer (RFC 3264 sections 6 and 7). The lines are those
/// of the answer. An answer with a fault that is broken cannot be worked with.
///
/// Formats that were not offered are no fault: the answerer may name what else it could receive
/// (section 6.1). One at least must be of the offer.
pub fn answer(offer: &Description<'_>, answer: &Description<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let (offered, answered) = (offer.media_count(), answer.media_count());
    if offered != answered {
        let line = match answered > offered {
            true => answer.media_at(offered).map(|m| m.first_line()),
            false => answer.lines().last(),
        };
        let what = What::MediaCount { offered, answered };
        faults.push(line.map_or(Fault::whole(what), |line| line.fault(what)));
    }
    let time = |d: &Description<'_>| {
        d.session().first(b't').and_then(|line| Timing::read(line.cursor()).ok())
    };
    if let (Some(line), Some(of_offer)) = (answer.session().first(b't'), time(offer))
        && time(answer) != Some(of_offer)
    {
        faults.push(line.fault(What::Time));
    }
    for (offered, answered) in offer.media().zip(answer.media()) {
        let (Ok(of_offer), Ok(of_answer)) = (offered.line(), answered.line()) else {
            faults.extend(answered.line().err());
            continue;
        };
        stream(&offered, &of_offer, &answered, &of_answer, &mut faults);
    }
    faults
}

/// One stream of an answer.
fn stream(
    offered: &Media<'_>,
    of_offer: &MediaLine<'_>,
    answered: &Media<'_>,
    of_answer: &MediaLine<'_>,
    faults: &mut Vec<Fault>,
) {
    let first = answered.first_line();
    if of_offer.port == 0 && of_answer.port != 0 {
        return faults.push(first.fault(What::Revived));
    }
    if !of_offer.media.eq_ignore_ascii_case(of_answer.media) {
        faults.push(first.fault(What::MediaType));
    }
    // Whatever a refused stream lists is ignored (RFC 3264 section 6).
    if of_answer.port == 0 {
        return;
    }
    if !of_offer.proto.eq_ignore_ascii_case(of_answer.proto) {
        faults.push(first.fault(What::Transport));
    }
    let multicast = multicast(offered);
    if multicast || self::multicast(answered) {
        let address = |m: &Media<'_>| m.connection().and_then(Result::ok).and_then(|c| c.ip());
        let same = address(offered) == address(answered)
            && of_offer.port == of_answer.port
            && offered.direction() == answered.direction();
        if !same {
            faults.push(first.fault(What::Multicast));
        }
    } else if !offered.direction().allows(answered.direction()) {
        let said = answered.section().attributes().find(|a| a.is(answered.direction().name()));
        faults.push(match said {
            Some(attribute) => {
                Fault { line: attribute.line, at: attribute.at, what: What::DirectionRule }
            }
            None => first.fault(What::DirectionRule),
        });
    }
    let of = |format: &str| {
        let known = |other: &str| same_format(offered, of_offer, other, answered, format);
        of_offer.formats().any(known)
    };
    if !of_answer.formats().any(of) {
        faults.push(first.fault(What::NoCommonFormat));
    } else if multicast && !of_answer.formats().all(of) {
        faults.push(first.fault(What::NotOffered));
    }
    let mux = |m: &Media<'_>| m.section().get::<RtcpMux>().is_some();
    if of_offer.is_rtp() && mux(answered) && !mux(offered) {
        faults.push(first.fault(What::MuxNotOffered));
    }
    if let (Some(offered), Some(role)) = (offered.get::<Setup>(), answered.get::<Setup>())
        && !offered.allows(role)
    {
        faults.push(first.fault(What::SetupRule));
    }
}

fn multicast(media: &Media<'_>) -> bool {
    media.connection().and_then(Result::ok).is_some_and(|connection| connection.is_multicast())
}

/// Whether a format of one description is a format of the other. Payload types may differ where
/// the codec is the same (RFC 3264 section 5.1). A peer that leaves the `a=rtpmap` out of its
/// answer means what the same number meant in the offer.
pub(crate) fn same_format(
    one: &Media<'_>,
    of_one: &MediaLine<'_>,
    format: &str,
    other: &Media<'_>,
    of_other: &str,
) -> bool {
    if !of_one.is_rtp() {
        return format == of_other;
    }
    match (one.encoding(format), other.encoding(of_other)) {
        (Some(one), Some(other)) => one == other,
        _ => format == of_other,
    }
}

/// All that is wrong with the peer's new description after its `previous` one, whether it is an
/// offer or an answer (RFC 3264 section 8, RFC 6337 section 5.2.5).
///
/// Only fewer `m=` lines cannot be worked with: what peers do to their `o=` is told, and read.
pub fn next(previous: &Description<'_>, now: &Description<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let (before, count) = (previous.media_count(), now.media_count());
    if count < before {
        let what = What::FewerMedia { before, now: count };
        faults.push(now.lines().last().map_or(Fault::whole(what), |line| line.fault(what)));
    }
    if let (Ok(was), Ok(is), Some(line)) =
        (previous.origin(), now.origin(), now.session().first(b'o'))
    {
        let same = previous.bytes() == now.bytes();
        let step = was.version_number().zip(is.version_number());
        if !was.same_session(&is) {
            faults.push(line.fault(What::OriginChanged));
        } else if was.version == is.version {
            if !same {
                faults.push(line.fault(What::VersionKept));
            }
        } else if step.is_none_or(|(was, is)| was.checked_add(1) != Some(is)) {
            faults.push(line.fault(What::VersionStep));
        }
    }
    faults
}

/// Where the peer's new description gives a dynamic payload type another meaning than it had in
/// the streams of the agreement before, ours and its own (RFC 3264 section 8.3.2). Told, and read.
pub fn remapped(
    local: &Description<'_>,
    remote: &Description<'_>,
    now: &Description<'_>,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let used = |line: Result<MediaLine<'_>, Fault>| line.is_ok_and(|line| line.port != 0);
    for ((ours, was), is) in local.media().zip(remote.media()).zip(now.media()) {
        let (Ok(of_was), Ok(of_is)) = (was.line(), is.line()) else { continue };
        let all = used(ours.line()) && used(was.line()) && used(is.line());
        if !all || of_was.media != of_is.media {
            continue;
        }
        let other = |format: &&str| {
            let dynamic = crate::cursor::number(format).is_some_and(is_dynamic);
            let meant = was.encoding(format).zip(is.encoding(format));
            dynamic
                && of_was.formats().any(|other| other == *format)
                && meant.is_some_and(|(was, is)| was != is)
        };
        if of_is.formats().find(other).is_some() {
            faults.push(is.first_line().fault(What::Remapped));
        }
    }
    faults
}
