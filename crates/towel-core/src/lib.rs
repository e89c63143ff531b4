//! SIP without I/O: transport rules, transactions, locating, registrar, proxy and the extension contract.

pub mod locating;
