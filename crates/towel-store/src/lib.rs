//! The embedded durable store: an append log with group commit.
