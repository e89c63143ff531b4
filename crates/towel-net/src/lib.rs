//! The driver: sockets, TLS, DNS and real time around the SIP core.
