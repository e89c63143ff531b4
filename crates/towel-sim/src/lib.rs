//! A deterministic SIP network on a virtual clock, with flows and ladders.
