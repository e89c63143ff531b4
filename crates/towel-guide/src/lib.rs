//! The entries of the Hitchhiker's Guide to SIP, one module each.
