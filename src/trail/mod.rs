//! Floor 0: what makes an audit entry genuine. Bytes and times in, verdicts out.
//!
//! Nothing here reads a database, a clock or a file, so that an auditor's offline verifier needs no
//! more than this module. The order of work for one entry:
//!
//! [`row::Row`] → [`payload::PayloadHasher`] writes what QWED hashed, byte for byte → [`check::Checker`]
//! compares hash and signature → [`segment::Segment`] folds rows into a summary that joins with its
//! neighbours → [`finding::Verdict`].
//!
//! Tampering is data ([`finding::Finding`]), never an error.

pub mod broken;
pub mod chain;
pub mod check;
pub mod columns;
pub mod finding;
pub mod hash;
pub mod json;
pub mod keys;
pub mod number;
pub mod payload;
pub mod row;
pub mod segment;
pub mod text;
pub mod time;
pub mod tombstone;
