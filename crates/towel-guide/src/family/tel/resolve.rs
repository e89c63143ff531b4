//! From numbers to SIP URIs: RFC 3261 section 19.1.6.

use towel_core::contract::{Env, ProxyPreprocess, ProxyTargets, Verdict};
use towel_message::uri::TelUri;
use towel_message::{Uri, uri};

use super::Settings;

fn settings(env: &Env<'_>) -> Settings {
    env.settings::<Settings>().cloned().unwrap_or(Settings::DEFAULT)
}

/// Appends the SIP URI at `host` whose user is the number: digits without separators, then the
/// parameters, which sorted and in lower case make equal numbers equal users.
fn write(env: &Env<'_>, number: &TelUri<'_>, host: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"sip:");
    let mut user = Vec::new();
    number.write_digits(&mut user);
    let own = number.phone_context().is_some_and(|context| env.element.is_own_domain(context));
    let mut parameters: Vec<Vec<u8>> = number
        .params()
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
    parameters.sort();
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
        Ok(Uri::Tel(number)) => number,
        _ => return Verdict::refuse(400, "Malformed tel URI in Request-URI"),
    };
    if !number.global && number.phone_context().is_none() {
        return Verdict::refuse(400, "Request-URI Needs phone-context");
    }
    let mut digits = Vec::new();
    number.write_digits(&mut digits);
    if digits.iter().filter(|byte| **byte != b'+').count() < settings.fewest {
        return Verdict::refuse(484, "Address Incomplete");
    }
    write(env, &number, env.element.domain(), at.request_uri);
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
        let mut out = Vec::new();
        write(env, &number, host, &mut out);
        target.uri = out;
        true
    });
    if at.targets.is_empty() {
        return Verdict::refuse(404, "Not Found");
    }
    Verdict::Pass
}
