//! What an extension declares and where it acts (RFC 4485).
