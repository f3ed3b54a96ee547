//! Putting a pack into the store of objects, under lock.
//!
//! A locked object is put in one piece of at most [`MAX_OBJECT_BYTES`]: a larger pack is put in parts that make the zip again when
//! they are joined in order. Putting the same pack again is harmless.

use std::fs::File;
use std::io::{self, Read, Seek};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use super::{Made, PackError};
use crate::objects::{LockState, MAX_OBJECT_BYTES, Stored, Vault};

/// Where packs are in the store.
const PREFIX: &str = "packs/";

/// A pack in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredPack {
    /// Where the store is.
    pub location: String,
    /// The pack, or its parts in order, as the store answers for them: digest and lock are read back.
    pub objects: Vec<Stored>,
    /// Until when it was to be locked.
    pub retain_until: Timestamp,
}

impl StoredPack {
    /// Why it is not locked as configured; none if it is, or no lock can be read back there.
    #[must_use]
    pub fn lock_problem(&self) -> Option<&str> {
        self.objects.iter().find_map(|stored| match &stored.lock {
            LockState::NotLocked { why, .. } => Some(why.as_str()),
            _ if stored.is_hidden => Some("a newer version or a delete marker stands before it"),
            _ => None,
        })
    }
}

/// Puts a pack that was made, locked for as long as the vault is configured to, counted from when it was made.
///
/// # Errors
/// If the file cannot be read, or the store fails.
pub async fn store(vault: &Vault, made: &Made, file: &mut File) -> Result<StoredPack, PackError> {
    // A report may be packed again, with an export or after another key signs: each pack has a name of its own.
    let digest = made.sha256.to_string();
    let name = format!(
        "{PREFIX}organization-{}/{}-{}.zip",
        made.organization_id,
        made.report,
        digest.get(..16).unwrap_or(&digest)
    );
    let retain_until = vault.retain_until(made.made_at);
    let parts = made.size_bytes.div_ceil(MAX_OBJECT_BYTES).max(1);
    file.rewind()?;
    let mut objects = Vec::new();
    for part in 1..=parts {
        let mut bytes = Vec::new();
        (&*file).take(MAX_OBJECT_BYTES).read_to_end(&mut bytes)?;
        let name = match parts {
            1 => name.clone(),
            parts => format!("{name}.part-{part:04}-of-{parts:04}"),
        };
        objects.push(vault.put(&name, Bytes::from(bytes), retain_until).await?);
    }
    let put: u64 = objects.iter().map(|stored| stored.size).sum();
    if put != made.size_bytes {
        return Err(io::Error::other(format!(
            "the pack has {} bytes, and {put} were put",
            made.size_bytes
        ))
        .into());
    }
    Ok(StoredPack {
        location: vault.location().to_owned(),
        objects,
        retain_until,
    })
}
