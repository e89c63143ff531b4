//! From numbers to SIP URIs: RFC 3261 section 19.1.6.

use towel_core::contract::{Env, ProxyPreprocess, ProxyTargets, Verdict};
use towel_message::uri::TelUri;
use towel_message::{Uri, uri};

use super::Settings;

fn settings(env: &Env<'_>) -> Settings {
    env.settings::<Settings>().cloned().unwrap_or(Settings::DEFAULT)
}

/// Parameters that say which way a call to the number is to take, and not whose number it is: those
/// of RFC 4694 (section 4 lets who does not trust their sender ignore them) and RFC 4904 (section 6.2,
/// likewise for trunk groups that are none of ours).
const ROUTING: [&str; 7] =
    ["npdi", "rn", "rn-context", "cic", "cic-context", "tgrp", "trunk-context"];

fn is_routing(name: &[u8]) -> bool {
    ROUTING.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(name))
}

/// Whether the number can be used: RFC 3966 section 5.4 forbids that with a mandatory parameter
/// that is not understood. phone-context is the only one that there is, and has another name.
fn is_usable(number: &TelUri<'_>) -> bool {
    !number.params().any(|(name, _)| name.get(..2).is_some_and(|m| m.eq_ignore_ascii_case(b"m-")))
}

/// Section 3: no parameter stands twice.
fn is_plain(number: &TelUri<'_>) -> bool {
    number.params().enumerate().all(|(place, (name, _))| {
        !number.params().take(place).any(|(before, _)| before.eq_ignore_ascii_case(name))
    })
}

/// The place of a parameter: section 3 has the subaddress or the extension first, then the context,
/// then all others by name.
fn place(parameter: &[u8]) -> u8 {
    match parameter {
        _ if parameter.starts_with(b";isub=") || parameter.starts_with(b";ext=") => 0,
        _ if parameter.starts_with(b";phone-context=") => 1,
        _ => 2,
    }
}

/// Appends the SIP URI at `host` whose user is the number: digits without separators, then the
/// parameters, which sorted and in lower case make equal numbers equal users; those that `keep`
/// does not want are left out.
fn write(
    env: &Env<'_>,
    number: &TelUri<'_>,
    keep: impl Fn(&[u8]) -> bool,
    host: &str,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"sip:");
    let mut user = Vec::new();
    number.write_digits(&mut user);
    let own = number.phone_context().is_some_and(|context| env.element.is_own_domain(context));
    let mut parameters: Vec<Vec<u8>> = number
        .params()
        .filter(|(name, _)| keep(name))
        .filter(|(name, _)| !(own && name.eq_ignore_ascii_case(b"phone-context")))
        .map(|(name, value)| {
            let mut one = b";".to_vec();
            one.extend(name.to_ascii_lowercase());
            if let Some(value) = value {
                one.push(b'=');
                one.extend(value.to_ascii_lowercase());
            }
            one
        })
        .collect();
    parameters.sort_by(|a, b| (place(a), a).cmp(&(place(b), b)));
    user.extend(parameters.concat());
    uri::escape_user(&user, out);
    out.push(b'@');
    out.extend_from_slice(host.as_bytes());
    out.extend_from_slice(b";user=phone");
}

/// A request came for a number.
pub(super) fn request(env: &Env<'_>, at: &mut ProxyPreprocess<'_>) -> Verdict {
    if !at.request_uri.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"tel:")) {
        return Verdict::Pass;
    }
    let settings = settings(env);
    if !settings.resolve {
        return Verdict::refuse(416, "Unsupported URI Scheme");
    }
    let received = std::mem::take(at.request_uri);
    let number = match Uri::parse(&received) {
        Ok(Uri::Tel(number)) if is_plain(&number) => number,
        _ => return Verdict::refuse(400, "Malformed tel URI in Request-URI"),
    };
    if !number.global && number.phone_context().is_none() {
        return Verdict::refuse(400, "Request-URI Needs phone-context");
    }
    if !is_usable(&number) {
        return Verdict::refuse(404, "Unknown Mandatory Parameter in tel URI");
    }
    let mut digits = Vec::new();
    number.write_digits(&mut digits);
    if digits.iter().filter(|byte| **byte != b'+').count() < settings.fewest {
        return Verdict::refuse(484, "Address Incomplete");
    }
    write(env, &number, |name| !is_routing(name), env.element.domain(), at.request_uri);
    Verdict::Pass
}

/// A binding can be a number: only the gateway can reach it.
pub(super) fn targets(env: &Env<'_>, at: &mut ProxyTargets<'_>) -> Verdict {
    let is_tel = |uri: &[u8]| uri.get(..4).is_some_and(|s| s.eq_ignore_ascii_case(b"tel:"));
    if !at.targets.iter().any(|target| is_tel(&target.uri)) {
        return Verdict::Pass;
    }
    let gateway = settings(env).gateway;
    at.targets.retain_mut(|target| {
        if !is_tel(&target.uri) {
            return true;
        }
        let (Some(host), Ok(Uri::Tel(number))) = (&gateway, Uri::parse(&target.uri)) else {
            return false;
        };
        if !is_usable(&number) {
            return false;
        }
        // Section 5.4: what is not understood is passed on, and the gateway knows of ways.
        let mut out = Vec::new();
        write(env, &number, |_| true, host, &mut out);
        target.uri = out;
        true
    });
    if at.targets.is_empty() {
        return Verdict::refuse(404, "Not Found");
    }
    Verdict::Pass
}
