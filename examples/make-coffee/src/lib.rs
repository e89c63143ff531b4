//! An extension to SIP that touches no other crate.
