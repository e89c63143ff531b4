//! Everything that can be set, one struct for each owner.

/// The settings of an element. Each part is defined where it is used.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Transport (RFC 3261 section 18).
    pub transport: crate::transport::Settings,
    /// What onlookers are told.
    pub telling: crate::stack::Telling,
    /// Transactions (RFC 3261 section 17).
    pub transaction: crate::transaction::Settings,
    /// Locating servers (RFC 3263).
    pub locating: crate::locating::Settings,
    /// Limits of what a source may do, and what becomes of those who overdo it.
    pub abuse: crate::abuse::Settings,
    /// What is refused where there is too much.
    pub overload: crate::overload::Settings,
    /// The element as a whole.
    pub server: crate::server::Settings,
    /// The proxy.
    pub proxy: crate::proxy::Settings,
    /// The registrar.
    pub registrar: crate::registrar::Settings,
    /// Authentication.
    pub auth: crate::auth::Settings,
}
