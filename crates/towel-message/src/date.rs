//! SIP-Date (RFC 3261 section 20.17).
