//! The tables that say what is refused where there is too much, and from whom.

use std::time::Duration;

use towel_core::overload;

use super::read::Section;

/// `[overload]`
pub(super) fn overload(s: &mut Section<'_, '_>, o: &mut overload::Settings) {
    s.set_bool("enabled", &mut o.enabled);
    let (least, most) = (Duration::from_millis(1), Duration::from_secs(1));
    s.set_duration("target", least..=most, &mut o.target);
    s.set_number("retry-after", 0..=3600, &mut o.retry_after);
    s.set_number("urgent", 0..=1_000_000, &mut o.urgent);
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
