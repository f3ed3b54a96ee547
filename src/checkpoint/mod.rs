//! Floor 0: what anchors are made of. Bytes and times in, signed statements and verdicts on proofs out.
//!
//! A chain of hashes cannot show that its newest entries, or a whole organisation's, are gone, nor that whoever
//! holds the signing key wrote it anew. A statement that was signed earlier and kept elsewhere can: it says how many
//! entries there were, and binds every one of them by the root of a Merkle tree.
//!
//! | module | |
//! |---|---|
//! | [`leaf`] | what stands for one entry in its organisation's tree |
//! | [`merkle`] | hashes trees, makes and checks proofs |
//! | [`anchored`] | all trees of one anchor |
//! | [`tiles`] | compares a trail with its tree while it is read in pieces |
//! | [`coverage`] | when each tile was last checked in full, and which come next |
//! | [`note`] | signs text, and checks who signed it |
//! | [`tree_head`] | the statement about one trail: size, root, newest entry, time |
//! | [`inventory`] | the statement about all trails at once |
//! | [`proof`] | files that prove an entry, or that a trail only grew, to whoever has the public key |
//! | [`sample`] | draws entries at random, such that anybody can draw the same again |
//!
//! The formats are C2SP's, so that other tools read them as well. Nothing here reads a file, a database or a clock, nor
//! knows where anchors are kept. All parsers bound what they read, refuse whatever is not in the one canonical form, and
//! never panic.

pub mod anchored;
pub mod coverage;
pub mod head;
pub mod inventory;
pub mod leaf;
mod lines;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod sample;
pub mod tiles;
pub mod tree_head;
