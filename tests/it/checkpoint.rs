//! What must hold of any anchor: trees against a plain model of RFC 6962, and proofs against every forgery of them.

mod files;
mod merkle;
