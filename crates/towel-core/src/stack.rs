//! Transport, transactions and locating in one value.
