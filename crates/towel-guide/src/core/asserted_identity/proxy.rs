//! What a proxy does: RFC 3325 sections 5 to 7.

use towel_core::contract::{Env, ProxyForward, ProxyResponse, Verdict};
use towel_message::{Draft, Message, Method, Name, NameAddr, Uri};

use super::Settings;

/// Whether the message asks that the asserted identity be kept private, or that it be left in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Unsaid,
    Private,
    Public,
}

/// RFC 3325 section 7. The values of Privacy are separated by semicolons (RFC 3323 section 4.2).
fn wish(message: &Message<'_>) -> Wish {
    let mut wish = Wish::Unsaid;
    for field in message.fields(Name::Privacy) {
        for value in field.value.split(|byte| matches!(byte, b';' | b',')).map(<[u8]>::trim_ascii) {
            if value.eq_ignore_ascii_case(b"id") {
                return Wish::Private;
            }
            if value.eq_ignore_ascii_case(b"none") {
                wish = Wish::Public;
            }
        }
    }
    wish
}

/// Whether an identity must be taken out towards an element that is not trusted.
fn must_hide(settings: &Settings, wish: Wish) -> bool {
    match wish {
        Wish::Private => true,
        Wish::Public => false,
        Wish::Unsaid => settings.remove_outside,
    }
}

/// Whether the element at this URI is trusted.
pub(super) fn trusts_hop(settings: &Settings, uri: &[u8]) -> bool {
    let uri = NameAddr::parse(uri).map_or(uri, |address| address.uri);
    match Uri::parse(uri) {
        Ok(Uri::Sip(sip)) => {
            let host = match sip.port {
                None => sip.host_port,
                // The host as written, without its port.
                Some(_) => {
                    let end = sip.host_port.iter().rposition(|byte| *byte == b':');
                    end.and_then(|end| sip.host_port.get(..end)).unwrap_or(sip.host_port)
                }
            };
            settings.trusts_host(host)
        }
        _ => false,
    }
}

/// The value to assert for a user: the preferred one if it is the same user (section 6).
fn value_for(request: &Message<'_>, user: &[u8]) -> Vec<u8> {
    let own = Uri::parse(user).ok();
    let same = |address: &NameAddr<'_>| match (address.parse_uri(), &own) {
        (Ok(preferred), Some(own)) => towel_message::uri::equivalent(&preferred, own),
        _ => false,
    };
    let preferred = request
        .values(Name::PPreferredIdentity)
        .filter_map(|value| NameAddr::parse(value.bytes).ok())
        .find(same);
    let mut value = Vec::new();
    if let Some(display) = preferred.and_then(|address| address.display) {
        value.extend_from_slice(display);
        value.push(b' ');
    }
    value.push(b'<');
    value.extend_from_slice(user);
    value.push(b'>');
    value
}

/// RFC 5876 section 3.2: ACK and CANCEL carry no identity; we assert none in a REGISTER, whose
/// user is authenticated by the registrar itself.
fn may_assert(method: Method<'_>) -> bool {
    !matches!(method, Method::Ack | Method::Cancel | Method::Register)
}

/// A request is about to be forwarded.
pub(super) fn forward(env: &Env<'_>, at: &mut ProxyForward<'_, '_>) -> Verdict {
    let nobody = Settings::default();
    let settings = env.settings::<Settings>().unwrap_or(&nobody);
    let request = at.request;
    if request.has(Name::PPreferredIdentity) {
        at.draft.remove_all(Name::PPreferredIdentity);
    }
    let believed = settings.trusts(at.source.remote.ip());
    let mut there = request.has(Name::PAssertedIdentity);
    let asserting = settings.assert && at.user.is_some();
    if !there && !asserting {
        return Verdict::Pass;
    }
    if there && !believed {
        at.draft.remove_all(Name::PAssertedIdentity);
        there = false;
    }
    let outside = !(trusts_hop(settings, at.next_hop) || (at.registered && settings.trust_users));
    let hide = outside && must_hide(settings, wish(&request));
    if there && hide {
        at.draft.remove_all(Name::PAssertedIdentity);
    } else if there {
        let expected = super::expected(&request);
        if expected.len() != request.values(Name::PAssertedIdentity).count() {
            at.draft.remove_all(Name::PAssertedIdentity);
            for value in expected {
                at.draft.append(Name::PAssertedIdentity, value);
            }
        }
    }
    if let Some(user) = at.user.filter(|_| {
        settings.assert && !hide && !(there && believed) && may_assert(request.method())
    }) {
        at.draft.append(Name::PAssertedIdentity, &value_for(&request, user));
    }
    Verdict::Pass
}

/// A response is about to be forwarded. Nobody authenticates a UAS (RFC 5876 section 2), so
/// only what trusted elements assert stays in.
pub(super) fn response(env: &Env<'_>, at: &mut ProxyResponse<'_, '_>) -> Verdict {
    if !at.response.has(Name::PAssertedIdentity) {
        return Verdict::Pass;
    }
    let nobody = Settings::default();
    let settings = env.settings::<Settings>().unwrap_or(&nobody);
    let believed = settings.trusts(at.source.remote.ip());
    let outside = at.upstream.is_none_or(|flow| !settings.trusts(flow.remote.ip()));
    if !believed || (outside && must_hide(settings, wish(&at.response))) {
        remove(at.draft);
    }
    Verdict::Pass
}

fn remove(draft: &mut Draft<'_>) {
    draft.remove_all(Name::PAssertedIdentity);
}
