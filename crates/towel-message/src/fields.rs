//! Typed views of header fields.
