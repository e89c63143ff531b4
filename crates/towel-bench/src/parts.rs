//! Parts of the work on their own.
