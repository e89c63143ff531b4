//! The tables that say what is refused where there is too much, and from whom.

use std::time::Duration;

use towel_core::{abuse, overload, server};

use super::read::Section;
use super::sections::networks;

/// `[overload]`
pub(super) fn overload(s: &mut Section<'_, '_>, o: &mut overload::Settings) {
    s.set_bool("enabled", &mut o.enabled);
    let (least, most) = (Duration::from_millis(1), Duration::from_secs(1));
    s.set_duration("target", least..=most, &mut o.target);
    let (least, most) = (Duration::from_millis(16), Duration::from_secs(60));
    s.set_duration("lasting", least..=most, &mut o.lasting);
    s.set_number("load", 1..=1_000_000, &mut o.load);
    s.set_number("retry-after", 0..=3600, &mut o.retry_after);
    s.set_number("urgent", 0..=1_000_000, &mut o.urgent);
    if let Some(texts) = s.texts("neighbours") {
        let network =
            |net: super::Network| server::Network { address: net.address, prefix: net.prefix };
        o.neighbours = networks(s, "neighbours", texts).into_iter().map(network).collect();
    }
    if let Some(texts) = s.texts("namespaces") {
        o.namespaces.clear();
        for text in texts {
            let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-!%*_+`'~".contains(&byte);
            if text.value.is_empty() || !text.value.bytes().all(sound) {
                let why = format!("`{}` is not a namespace such as esnet", text.value);
                s.wrong("namespaces", text.span, why);
            } else {
                o.namespaces.push(text.value);
            }
        }
    }
}

/// `[abuse]`
pub(super) fn abuse(s: &mut Section<'_, '_>, a: &mut abuse::Settings) {
    for (key, slot) in [
        ("rate-address", &mut a.rate_address),
        ("rate-network", &mut a.rate_network),
        ("rate-register", &mut a.rate_register),
        ("rate-invite", &mut a.rate_invite),
        ("rate-user", &mut a.rate_user),
    ] {
        s.set_number(key, 0..=1_000_000, slot);
    }
    if let Some(texts) = s.texts("rate-methods") {
        a.rate_methods.clear();
        for text in texts {
            let mut words = text.value.split_whitespace();
            let method = words.next().unwrap_or_default();
            let rate = words.next().and_then(|word| word.parse().ok());
            let sound = method.bytes().all(|b| b.is_ascii_uppercase() || b"-._".contains(&b));
            let own = match method {
                "REGISTER" => Some("rate-register"),
                "INVITE" => Some("rate-invite"),
                _ => None,
            };
            match rate {
                _ if own.is_some() => {
                    let why = format!("{method} has a key of its own: {}", own.unwrap_or_default());
                    s.wrong("rate-methods", text.span, why);
                }
                Some(rate @ 1..=1_000_000) if sound && words.next().is_none() => {
                    a.rate_methods.push((method.to_owned(), rate));
                }
                _ => {
                    let why = format!(
                        "`{}` is not a method and a rate, such as \"OPTIONS 50\"",
                        text.value
                    );
                    s.wrong("rate-methods", text.span, why);
                }
            }
        }
    }
    s.set_number("burst", 1..=3600, &mut a.burst);
    s.set_bool("silent", &mut a.silent);
    if let Some(texts) = s.texts("scanners") {
        a.scanners.clear();
        for text in texts {
            // An empty one would be how every User-Agent begins.
            if text.value.is_empty() {
                s.wrong("scanners", text.span, "must not be empty");
            } else {
                a.scanners.push(text.value);
            }
        }
    }
    s.set_number("strikes", 0..=100_000, &mut a.strikes);
    let (least, most) = (Duration::from_secs(1), Duration::from_secs(86_400));
    s.set_duration("ban", least..=most, &mut a.ban);
    s.set_duration("longest-ban", least..=most, &mut a.longest_ban);
    s.set_number("failures", 0..=100_000, &mut a.failures);
    s.set_number("failures-address", 0..=100_000, &mut a.failures_address);
    s.set_number("failures-user", 0..=100_000, &mut a.failures_user);
    if let Some(texts) = s.texts("exempt") {
        let network =
            |net: super::Network| server::Network { address: net.address, prefix: net.prefix };
        a.exempt = networks(s, "exempt", texts).into_iter().map(network).collect();
    }
    s.set_number("entries", 1024..=16_777_216, &mut a.entries);
    s.set_number("bans", 1..=1_000_000, &mut a.bans);
}
