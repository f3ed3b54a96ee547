//! After a restore: who was erased is erased again.
//!
//! A database that comes from a backup has what was erased since. The ledger knows: each tombstone is held against the entry that
//! has its number now, and only if it was made of that entry, the entry is erased again. The same for the user and what refers to it,
//! told by the salted hash of the address, or by the marker that a restore from the archive puts there.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use tokio::runtime::Handle;

use super::{
    ErasureError, Office,
    entries::{Sexton, erase},
    intake::reference,
    request::{Request, State},
    tables::{Whose, actions, anonymise_user, delete_user, number_is_taken},
};
use crate::{
    config::EraseEntries,
    ledger::Act,
    progress::Progress,
    qwed::{
        erase::Eraser,
        subject::{self, Found, Wanted},
    },
    trail::tombstone::MARKER,
};

/// Requests that are read at a time.
const PAGE: u32 = 200;
/// Tombstones that are held against entries at a time.
const BATCH: usize = 500;

/// What was erased again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Replayed {
    /// Erasures that there were.
    pub erasures: u64,
    /// Tombstones that were held against entries.
    pub tombstones: u64,
    /// Entries that were erased again.
    pub entries: u64,
    /// Entries that are the newest of their organisation, and have to wait for another one.
    pub left: u64,
    /// Users that were.
    pub users: u64,
    /// Rows of other tables that were.
    pub rows: u64,
    /// Entries of the ledger that count for nothing.
    pub problems: Vec<String>,
}

/// Erases again whoever was erased, in the database that the office erases in.
///
/// # Errors
/// If a database fails; another call goes on.
pub async fn replay(office: &Office, progress: &Arc<Progress>) -> Result<Replayed, ErasureError> {
    let tombstones = office.graveyard().all().await?;
    let mut replayed = Replayed {
        problems: tombstones.problems().to_vec(),
        ..Replayed::default()
    };
    let mut requests = Vec::new();
    let mut after = String::new();
    loop {
        let completed = State::Completed.name();
        let page = office
            .store
            .erasures_after(Some(completed), &after, PAGE)
            .await?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.id);
        for row in page {
            requests.push(Request::read(row)?);
        }
    }
    replayed.erasures = requests.len() as u64;
    let (inner, shared, handle) = (office.clone(), Arc::clone(progress), Handle::current());
    let worked = tokio::task::spawn_blocking(move || {
        let mut eraser = Eraser::open(&inner.erase)?;
        let mut sexton = Sexton::new(&inner, &inner.erase)?;
        let all = tombstones.between(i64::MIN, i64::MAX);
        for some in all.chunks(BATCH) {
            if shared.is_stopped() {
                return Err(ErasureError::Interrupted);
            }
            let (anonymised, deleted) = erase(&mut sexton, &mut eraser, some)?;
            replayed.tombstones += some.len() as u64;
            replayed.entries += anonymised + deleted;
            let (shells, gaps) = sexton.left(some)?;
            replayed.left += (shells.len() + gaps.len()) as u64;
            shared.add(some.len() as u64, 0);
        }
        for request in &requests {
            again(&inner, &handle, &mut eraser, request, &mut replayed)?;
        }
        Ok(replayed)
    });
    let replayed = worked
        .await
        .map_err(|error| ErasureError::Refused(error.to_string()))??;
    let scribe = office.scribe();
    scribe
        .note(&office.store, Act::ErasureReplayed, json!(replayed))
        .await?;
    Ok(replayed)
}

fn again(
    office: &Office,
    handle: &Handle,
    eraser: &mut Eraser,
    request: &Request,
    replayed: &mut Replayed,
) -> Result<(), ErasureError> {
    let whose = Whose {
        organization_id: request.organization_id,
        user_id: request.user_id,
    };
    let wanted = Wanted::User(whose.user_id);
    let is_there = match subject::find(&office.erase, whose.organization_id, &wanted)? {
        Found::One(subject) => {
            let email = subject.email.unwrap_or_default();
            let is_marked = email.starts_with(MARKER);
            let known = handle.block_on(reference(office, whose.organization_id, &email))?;
            if !is_marked && known != request.subject_ref {
                // Another user, who got the number.
                return Ok(());
            }
            true
        }
        // A user of another organisation who got the number.
        _ if number_is_taken(eraser, whose)? => return Ok(()),
        _ => false,
    };
    for action in actions(eraser, whose, &request.policy)? {
        replayed.rows += action.run(eraser)?;
    }
    if !is_there {
        return Ok(());
    }
    let emptied = anonymise_user(eraser, whose)?;
    let is_kept =
        request.policy.user == EraseEntries::Anonymise || request.progress.user_kept.is_some();
    if is_kept {
        replayed.users += emptied;
        return Ok(());
    }
    // The newest entry of the organisation may refer to it, and stays until another follows.
    match delete_user(eraser, whose) {
        Ok(deleted) => replayed.users += deleted,
        Err(ErasureError::Erase(error)) if !error.is_unreachable() => replayed.users += emptied,
        Err(error) => return Err(error),
    }
    Ok(())
}
