//! Segments: rows as lines of JSON behind the blocks that hold their personal fields, compressed with zstd.
//!
//! ```text
//! {"block":0,"key":"5f…","enc":"…"}                        one for each data key: encrypted, and in it, compressed,
//! {"block":1,"key":"c0…","enc":"…"}                            {"id":7,"query":"…","result":"…"}
//! {"id":7,"organization_id":1,"query":{"enc":0},"result":{"enc":0},"raw_llm_output":null,…}
//! {"id":8,"organization_id":1,"query":{"enc":1},…}
//! ```
//!
//! What is encrypted is compressed before, together with all of the same person's: alone, a field would hardly shrink, and
//! encrypted not at all. A block is bound to its table, organisation and segment, and its lines to their rows by their id and
//! order, so that nothing of it can be moved, doubled or left out unnoticed.

mod block;
mod cell;
mod plain;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub(super) use self::{
    reader::{Line, Reader},
    writer::{Segment, Writer},
};

/// zstd's own default, for blocks as for rows. Of the generator's entries level 1 makes up to a twentieth more at 1.3 times the
/// speed, and 6 at most a thirtieth less at a third of it.
const LEVEL: i32 = 3;
