//! Making offers and answers from a plan.

use super::plan::{Codec, Formats, Order, Plan, Stream};
use super::slots::{Slot, for_offer};
use crate::attribute::{RtcpMux, Setup};
use crate::{BuildFault, Builder, Description, Direction, Media, Origin};

/// A format as it is written.
struct Written<'w> {
    format: String,
    codec: Option<&'w Codec>,
    fmtp: Option<String>,
}

/// Writes an offer; gives it and the slots that it is of.
pub(crate) fn offer(
    origin: &Origin<'_>,
    plan: &Plan,
    slots: &[Slot],
) -> Result<(Vec<u8>, Vec<Slot>), BuildFault> {
    let slots = for_offer(slots, plan);
    let mut builder = Builder::new(origin);
    builder.connection(plan.address).unbounded();
    for slot in &slots {
        let stream = slot.plan.and_then(|index| plan.streams.get(index));
        let stream = stream.filter(|s| s.port != 0 && s.is_sound());
        let formats = stream.map(|s| (s, own_formats(s, slot))).filter(|(_, f)| !f.is_empty());
        match formats {
            Some((stream, formats)) => {
                let (direction, mux) = (stream.wanted(), stream.rtcp_mux);
                write_stream(&mut builder, plan, stream, &formats, direction, mux, stream.setup);
            }
            None => write_unwanted(&mut builder, slot),
        }
    }
    Ok((builder.finish()?, slots))
}

fn own_formats<'p>(stream: &'p Stream, slot: &Slot) -> Vec<Written<'p>> {
    match &stream.formats {
        Formats::Rtp(codecs) => slot
            .assign(codecs)
            .into_iter()
            .map(|(payload, codec)| Written {
                format: payload.to_string(),
                codec: Some(codec),
                fmtp: codec.fmtp.clone(),
            })
            .collect(),
        Formats::Named(names) => names
            .iter()
            .map(|name| Written { format: name.clone(), codec: None, fmtp: None })
            .collect(),
    }
}

/// An answer that was made.
pub(crate) struct Made {
    pub(crate) body: Vec<u8>,
    pub(crate) slots: Vec<Slot>,
    /// How many streams it accepts.
    pub(crate) accepted: usize,
}

/// Writes the answer to an offer (RFC 3264 section 6).
pub(crate) fn answer(
    origin: &Origin<'_>,
    plan: &Plan,
    slots: &[Slot],
    offer: &Description<'_>,
) -> Result<Made, BuildFault> {
    let mut slots = slots.to_vec();
    let mut taken: Vec<usize> = Vec::new();
    let mut accepted = 0usize;
    let mut builder = Builder::new(origin);
    builder.connection(plan.address);
    copy_time(&mut builder, offer);
    for media in offer.media() {
        let slot = match slots.get(media.index) {
            Some(slot) => slot.clone(),
            None => Slot::of_media(&media),
        };
        let elsewhere: Vec<usize> = (slots.iter().enumerate())
            .filter(|(at, _)| *at != media.index)
            .filter_map(|(_, s)| s.plan)
            .chain(taken.iter().copied())
            .collect();
        let own = slot.plan.filter(|index| !taken.contains(index));
        let others = (0..plan.streams.len()).filter(|index| !elsewhere.contains(index));
        let chosen = own.into_iter().chain(others).find_map(|index| {
            let stream = plan.streams.get(index)?;
            let formats = common_formats(&media, stream, plan.order);
            (!formats.is_empty()).then_some((index, stream, formats))
        });
        let mut next = slot;
        next.name_after(&media);
        match chosen {
            Some((index, stream, formats)) => {
                next.plan = Some(index);
                taken.push(index);
                accepted = accepted.saturating_add(1);
                let direction = Direction::answer(media.direction(), stream.wanted());
                let mux = stream.rtcp_mux && media.section().get::<RtcpMux>().is_some();
                let offered = media.get::<Setup>();
                let wanted = stream.setup.unwrap_or(Setup::ActPass);
                let setup = offered.map(|offered| Setup::answer(offered, wanted));
                write_stream(&mut builder, plan, stream, &formats, direction, mux, setup);
            }
            None => {
                // What was ours and is not accepted now stays ours, unless it is of another kind.
                let kind =
                    |index| plan.streams.get(index).is_some_and(|s: &Stream| s.media == next.media);
                next.plan = next.plan.filter(|index| kind(*index) && !taken.contains(index));
                write_unwanted(&mut builder, &next);
            }
        }
        match slots.get_mut(media.index) {
            Some(slot) => *slot = next,
            None => slots.push(next),
        }
    }
    Ok(Made { body: builder.finish()?, slots, accepted })
}

/// The time of the answer is that of the offer (RFC 3264 section 6).
fn copy_time(builder: &mut Builder, offer: &Description<'_>) {
    let session = offer.session();
    if session.first(b't').is_none() {
        builder.unbounded();
        return;
    }
    let times = session.lines().skip_while(|line| line.letter() != Some(b't'));
    for line in times {
        let Some(letter @ (b't' | b'r' | b'z')) = line.letter() else { continue };
        let Ok(text) = core::str::from_utf8(line.value()) else { continue };
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        if !words.is_empty() && !text.contains('\0') {
            builder.line(char::from(letter), &words.join(" "));
        }
    }
}

/// The formats of an offered stream that ours has too; none where the stream is not to be
/// accepted. Multicast is not joined.
fn common_formats<'p>(media: &Media<'_>, stream: &'p Stream, order: Order) -> Vec<Written<'p>> {
    let Ok(line) = media.line() else { return Vec::new() };
    let multicast =
        media.connection().and_then(Result::ok).is_some_and(|connection| connection.is_multicast());
    let fits = line.port != 0
        && stream.port != 0
        && stream.is_sound()
        && !multicast
        && stream.media.eq_ignore_ascii_case(line.media)
        && stream.proto.eq_ignore_ascii_case(line.proto);
    if !fits {
        return Vec::new();
    }
    let mut found: Vec<(usize, Written<'p>)> = Vec::new();
    match &stream.formats {
        Formats::Named(names) => {
            for format in line.formats() {
                let at = names.iter().position(|name| name == format);
                let Some(at) = at.filter(|at| found.iter().all(|f| f.0 != *at)) else { continue };
                found.push((at, Written { format: format.to_owned(), codec: None, fmtp: None }));
            }
        }
        Formats::Rtp(codecs) => {
            let mut talks = false;
            for format in line.formats() {
                let Some(encoding) = media.encoding(format) else { continue };
                let offered = media.fmtp(format).map(|fmtp| fmtp.text);
                let fits = |c: &Codec| c.encoding() == encoding && c.takes_fmtp(offered);
                let at = codecs.iter().position(fits);
                let Some(at) = at.filter(|at| found.iter().all(|f| f.0 != *at)) else { continue };
                let Some(codec) = codecs.get(at) else { continue };
                talks |= !encoding.is_beside();
                // Where the rule is that they are the same, ours are the offer's.
                let fmtp = codec.fmtp.clone();
                found.push((at, Written { format: format.to_owned(), codec: Some(codec), fmtp }));
            }
            // Events alone are no conversation, unless nothing else was offered.
            let more = line.formats().any(|f| media.encoding(f).is_none_or(|e| !e.is_beside()));
            if more && !talks {
                return Vec::new();
            }
        }
    }
    if order == Order::Own {
        found.sort_by_key(|(at, _)| *at);
    }
    found.into_iter().map(|(_, written)| written).collect()
}

fn write_stream(
    builder: &mut Builder,
    plan: &Plan,
    stream: &Stream,
    formats: &[Written<'_>],
    direction: Direction,
    mux: bool,
    setup: Option<Setup>,
) {
    let names = formats.iter().map(|f| f.format.as_str());
    builder.media(&stream.media, stream.port, &stream.proto, names);
    if let Some(address) = stream.address.filter(|address| *address != plan.address) {
        builder.connection(address);
    }
    for written in formats {
        if let Some(codec) = written.codec {
            builder.rtpmap(&written.format, &codec.encoding());
        }
        if let Some(fmtp) = &written.fmtp {
            builder.attribute("fmtp", &format!("{} {fmtp}", written.format));
        }
    }
    if stream.ptime > 0 {
        builder.attribute("ptime", &stream.ptime.to_string());
    }
    if let Some(port) = stream.rtcp_port {
        builder.attribute("rtcp", &port.to_string());
    }
    if mux {
        builder.flag("rtcp-mux");
    }
    if let Some(setup) = setup {
        builder.attribute("setup", setup.name());
    }
    for attribute in &stream.attributes {
        builder.flag(attribute);
    }
    builder.direction(direction);
}

/// A stream that is not wanted: port 0, one format, no attributes (RFC 3264 sections 6 and 8.2).
fn write_unwanted(builder: &mut Builder, slot: &Slot) {
    builder.media(&slot.media, 0, &slot.proto, [slot.format.as_str()]);
}
