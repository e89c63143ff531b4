//! The flows of the Guide's entries, as they stand in the folder `flows`: whoever can run flows
//! (the simulator, `towel guide ID`) finds them here, and the program needs no files beside it.

/// A flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowText {
    /// The entry that it belongs to: the name of its folder in `flows`.
    pub entry: &'static str,
    /// Its name: that of its file.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// All of them, in the order of their paths. The build script finds them.
pub static FLOWS: &[FlowText] = include!(concat!(env!("OUT_DIR"), "/flows.rs"));

/// Folders of flows that belong to no entry: the back-to-back user agent, and the calls and services of
/// RFC 3665 and RFC 5359, which many entries make together.
pub const BESIDE: &[&str] = &["b2bua", "calls-3665", "services-5359"];

/// The flow of that name.
pub fn flow(name: &str) -> Option<&'static FlowText> {
    FLOWS.iter().find(|flow| flow.name == name)
}

/// The flows of an entry.
pub fn of_entry(entry: &str) -> impl Iterator<Item = &'static FlowText> {
    FLOWS.iter().filter(move |flow| flow.entry == entry)
}
