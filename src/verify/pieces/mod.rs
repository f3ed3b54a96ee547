//! Verification in pieces.

mod encoding;
