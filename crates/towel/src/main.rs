//! The towel program.
fn main() {}
