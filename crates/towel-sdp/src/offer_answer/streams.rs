//! What two descriptions agree on.

use super::judge::same_format;
use crate::attribute::{Ptime, Rtcp, RtcpMux};
use crate::{Description, Direction, Media, MediaLine};
use core::time::Duration;

/// A stream that both ends accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreedStream {
    /// The place of its `m=` line, counted from 0.
    pub index: usize,
    /// The media type.
    pub media: String,
    /// The transport.
    pub proto: String,
    /// The port where we receive.
    pub local_port: u16,
    /// The peer's address, or its name, as it stands in the `c=`.
    pub remote_address: String,
    /// The peer's port.
    pub remote_port: u16,
    /// The peer's port for RTCP.
    pub remote_rtcp_port: u16,
    /// Whether RTP and RTCP share the port.
    pub rtcp_mux: bool,
    /// Which way media goes, as we see it.
    pub direction: Direction,
    /// The peer's address is 0.0.0.0: neither RTP nor RTCP is sent (RFC 3264 section 8.4).
    pub unreachable: bool,
    /// The formats to talk with, the one to use first at the front.
    pub formats: Vec<AgreedFormat>,
    /// The format of telephone events, if both have them.
    pub events: Option<AgreedFormat>,
    /// How much of the media the peer wishes in a packet.
    pub ptime: Option<Duration>,
}

/// A format that both ends have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreedFormat {
    /// The format in what we send: for RTP the payload type from the peer's description.
    pub send: String,
    /// The format in what we receive: for RTP the payload type from ours.
    pub receive: String,
    /// The name of the encoding; the format itself where it is none of RTP.
    pub name: String,
    /// The clock rate in Hz; 0 where it is none of RTP.
    pub clock: u32,
    /// The number of channels.
    pub channels: u32,
    /// The peer's parameters for it.
    pub fmtp: Option<Vec<u8>>,
}

/// The streams that two descriptions agree on, ours and the peer's, whichever was the offer.
///
/// The order of the formats is the peer's: its description says what it would rather receive, and
/// both ends of RFC 3264 (sections 6.1 and 7) are to send the first that both list.
pub fn streams(local: &Description<'_>, remote: &Description<'_>) -> Vec<AgreedStream> {
    let pairs = local.media().zip(remote.media());
    pairs.filter_map(|(local, remote)| agreed(&local, &remote)).collect()
}

fn agreed(local: &Media<'_>, remote: &Media<'_>) -> Option<AgreedStream> {
    let (ours, theirs) = (local.line().ok()?, remote.line().ok()?);
    if ours.port == 0 || theirs.port == 0 {
        return None;
    }
    let connection = remote.connection()?.ok()?;
    let unreachable = connection.is_unspecified();
    let both = local.direction().and(remote.direction().reversed());
    let mux = [local, remote].iter().all(|m| m.get::<RtcpMux>().is_some());
    let rtcp = remote.section().get::<Rtcp<'_>>().map(|rtcp| rtcp.port);
    let (events, mut formats): (Vec<_>, Vec<_>) = common(local, &ours, remote, &theirs)
        .into_iter()
        .partition(|f| crate::payload::is_telephone_event(&f.name));
    // Comfort noise is something to send between words, never what to talk with.
    formats.sort_by_key(|format| format.name.eq_ignore_ascii_case("CN"));
    // Events are best sent with the clock of the codec that they interrupt (RFC 4733 section 2.1).
    let clock = formats.first().map(|format| format.clock);
    let fitting = events.iter().find(|event| Some(event.clock) == clock).cloned();
    Some(AgreedStream {
        index: local.index,
        media: theirs.media.to_owned(),
        proto: theirs.proto.to_owned(),
        local_port: ours.port,
        remote_address: connection.address.to_owned(),
        remote_port: theirs.port,
        remote_rtcp_port: match mux {
            true => theirs.port,
            false => rtcp.unwrap_or(theirs.port.saturating_add(1)),
        },
        rtcp_mux: mux,
        direction: Direction::new(both.sends() && !unreachable, both.receives()),
        unreachable,
        formats,
        events: fitting.or_else(|| events.into_iter().next()),
        ptime: remote.section().get::<Ptime>().map(|ptime| ptime.0),
    })
}

fn common(
    local: &Media<'_>,
    ours: &MediaLine<'_>,
    remote: &Media<'_>,
    theirs: &MediaLine<'_>,
) -> Vec<AgreedFormat> {
    let mut found = Vec::new();
    for send in theirs.formats() {
        let mine = |format: &&str| same_format(local, ours, format, remote, send);
        // The same number before another of the same codec: there may be two that differ in their
        // parameters.
        let same = ours.formats().find(|format| *format == send).filter(mine);
        // A number of ours that they have too is that one's, not another's of the same codec.
        let theirs_too = |format: &str| theirs.formats().any(|other| other == format);
        let other = || ours.formats().find(|format| !theirs_too(format) && mine(format));
        let Some(receive) = same.or_else(other) else { continue };
        let encoding = match ours.is_rtp() {
            true => remote.encoding(send).or_else(|| local.encoding(receive)),
            false => None,
        };
        found.push(AgreedFormat {
            send: send.to_owned(),
            receive: receive.to_owned(),
            name: encoding.map_or(send, |e| e.name).to_owned(),
            clock: encoding.map_or(0, |e| e.clock),
            channels: encoding.map_or(1, |e| e.channels),
            fmtp: remote.fmtp(send).map(|fmtp| fmtp.text.to_vec()),
        });
    }
    found
}
