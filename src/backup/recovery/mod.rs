//! Exports of the key table: whoever loses our database would else lose the personal fields of the whole archive.
//!
//! After each backup all data keys are put beside the archive, wrapped by the key-encryption key as they are in our database, and
//! encrypted to keys that only a recovery needs (age, X25519). So three things that are kept apart have to come together to
//! read a person's data: the archive, the key-encryption key, and the recovery key.
//!
//! An old export brings back keys that were destroyed since. So exports are locked for their own, short time, in a mode that
//! an administrator can lift, and are deleted by the next backup once that is over: the only thing that is deleted without an
//! order. An export is signed, since everybody may encrypt to a public key, and what it says of destroyed keys is followed.

mod export;
mod file;
mod recover;

use std::str::FromStr;

use age::x25519::{Identity, Recipient};

pub use self::{
    export::{Exported, export_keys},
    recover::{Recovered, recover_keys},
};
use super::BackupError;
use crate::objects::Digest;

/// The names of exports begin with it.
const PREFIX: &str = "recovery/";

/// What is lost with our database as long as no keys are exported.
pub const NO_EXPORT: &str = "no data keys are exported, as backup.recovery_recipients is empty: whoever loses the state database loses the \
                             personal fields of the whole archive";

/// Where an export is kept.
fn name(number: i64, digest: Digest) -> String {
    format!("{PREFIX}{number:012}-{digest}.age")
}

/// The number and the digest in an export's name.
fn parse_name(name: &str) -> Option<(i64, &str)> {
    let name = name.strip_prefix(PREFIX)?.strip_suffix(".age")?;
    let (number, digest) = name.split_once('-')?;
    Some((number.parse().ok()?, digest))
}

/// The public keys that exports are encrypted to.
fn recipients(texts: &[String]) -> Result<Vec<Recipient>, BackupError> {
    let parse = |text: &String| {
        Recipient::from_str(text).map_err(|problem| {
            BackupError::Refused(format!("backup.recovery_recipients: {text}: {problem}"))
        })
    };
    texts.iter().map(parse).collect()
}

/// The secret keys in a file as `age-keygen` writes it.
///
/// # Errors
/// If there is none, or a line is none.
pub fn identities(text: &str) -> Result<Vec<Identity>, BackupError> {
    let lines = text.lines().map(str::trim);
    let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let found: Result<Vec<Identity>, _> = keys.map(Identity::from_str).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(BackupError::Refused(
            "the identity file holds no key that begins with AGE-SECRET-KEY-1, or something else as well; \
             \"age-keygen\" makes such files"
                .to_owned(),
        )),
    }
}
