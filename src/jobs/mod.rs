//! Floor 4: the job kinds, one file each, and the registry that lists them.
//!
//! A kind turns a payload into calls of services and their answers into an outcome. Rules of its own it has none.

#[cfg(feature = "probe")]
pub mod probe;
