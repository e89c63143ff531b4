//! A small user agent client (RFC 3261 section 8.1): for the command line and for tests.
