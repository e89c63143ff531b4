//! Section 16.7 where it is not simple.
