//! The flows of the Guide's entries, as they stand in the folder `flows`: whoever can run flows
//! (the simulator, `towel guide ID`) finds them here, and the program needs no files beside it.

/// A flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowText {
    /// The entry that it belongs to.
    pub entry: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! flows {
    ($($entry:literal: $($file:literal)+;)+) => {
        /// All of them, by entry and name. A test of the simulator holds the list against the
        /// folder.
        pub static FLOWS: &[FlowText] = &[$($(FlowText {
            entry: $entry,
            name: name($file),
            text: include_str!(concat!("../flows/", $entry, "/", $file, ".flow")),
        },)+)+];
    };
}

/// The last part of a path.
const fn name(path: &'static str) -> &'static str {
    let bytes = path.as_bytes();
    let mut at = bytes.len();
    while at > 0 && bytes[at - 1] != b'/' {
        at -= 1;
    }
    path.split_at(at).1
}

/// The flow of that name.
pub fn flow(name: &str) -> Option<&'static FlowText> {
    FLOWS.iter().find(|flow| flow.name == name)
}

/// The flows of an entry.
pub fn of_entry(entry: &str) -> impl Iterator<Item = &'static FlowText> {
    FLOWS.iter().filter(move |flow| flow.entry == entry)
}

flows! {
    "asserted-identity":
        "asserted-identity"
        "asserted-identity-phone"
        "asserted-identity-private"
        "asserted-identity-stranger";
    "caller-preferences":
        "caller-preferences"
        "caller-preferences-nobody"
        "caller-preferences-phone";
    "capabilities":
        "capabilities"
        "capabilities-asked"
        "capabilities-phone"
        "capabilities-refreshed-without";
    "hop-limit-diagnostics":
        "hop-limit-diagnostics"
        "hop-limit-phone"
        "hop-limit-trace";
    "locating":
        "locating"
        "locating-dead-host"
        "locating-failover"
        "locating-nothing"
        "locating-phone";
    "non-invite-fixes":
        "non-invite-late-response"
        "non-invite-no-early-100"
        "non-invite-phone"
        "non-invite-timeout";
    "path":
        "path"
        "path-insert"
        "path-unsupported";
    "reason":
        "reason-answered-elsewhere"
        "reason-caller-cancels"
        "reason-phones"
        "reason-response";
    "service-route":
        "service-route"
        "service-route-phone"
        "service-route-refused";
    "sip":
        "calls/call-busy"
        "calls/call-mixed-transports"
        "calls/call-no-answer"
        "calls/call-no-response"
        "calls/call-one-proxy"
        "calls/call-proxy-authentication"
        "calls/call-proxy-authentication-refused"
        "calls/call-redirect"
        "calls/call-redirect-unknown"
        "calls/call-reinvite"
        "calls/call-restart"
        "calls/call-tls"
        "calls/call-two-families"
        "calls/call-two-proxies"
        "calls/call-unavailable"
        "proxy/breadth"
        "proxy/cancel"
        "proxy/cancel-crosses"
        "proxy/cancel-of-nothing"
        "proxy/cancel-too-late"
        "proxy/fork-challenges"
        "proxy/fork-everywhere"
        "proxy/fork-parallel"
        "proxy/fork-refused-by-all"
        "proxy/fork-sequential"
        "proxy/hops"
        "proxy/late-answer"
        "proxy/loop"
        "proxy/not-understood"
        "proxy/options"
        "proxy/partition"
        "proxy/recursion"
        "proxy/recursion-not-asked"
        "proxy/retransmissions"
        "proxy/route-from-strict"
        "proxy/route-loose"
        "proxy/route-strict"
        "proxy/route-to-nowhere"
        "proxy/service-unavailable"
        "proxy/stateless"
        "proxy/stateless-unknown"
        "proxy/timer-c"
        "proxy/timer-c-reset"
        "proxy/transport-error"
        "proxy/transport-error-alone"
        "proxy/unknown-domain-fails"
        "proxy/validation"
        "registrar/register-add"
        "registrar/register-all-or-nothing"
        "registrar/register-challenge"
        "registrar/register-clock"
        "registrar/register-demand"
        "registrar/register-digest"
        "registrar/register-elsewhere"
        "registrar/register-equal-contacts"
        "registrar/register-expires-malformed"
        "registrar/register-expiry"
        "registrar/register-fetch"
        "registrar/register-fetch-unknown"
        "registrar/register-many"
        "registrar/register-nobody"
        "registrar/register-order"
        "registrar/register-over-tcp"
        "registrar/register-over-tcp-broken"
        "registrar/register-preference"
        "registrar/register-preference-malformed"
        "registrar/register-refresh"
        "registrar/register-remove"
        "registrar/register-remove-malformed"
        "registrar/register-restart"
        "registrar/register-restart-between"
        "registrar/register-scheme"
        "registrar/register-third-party"
        "registrar/register-too-brief"
        "registrar/register-wrong-password";
    "symmetric-response":
        "symmetric-response"
        "symmetric-response-phone"
        "symmetric-response-without";
    "tel":
        "tel"
        "tel-called"
        "tel-phone"
        "tel-unknown";
}
