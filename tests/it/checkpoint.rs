//! What must hold of any anchor: trees against a plain model of RFC 6962, proofs against every forgery of them, and the
//! commands that make keys and check proofs.

mod files;
mod merkle;
mod program;
