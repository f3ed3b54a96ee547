//! Carrying out a request. Called again after whatever happened it goes on where it stopped, by the same steps: each finds out
//! for itself what is left to do.

use std::sync::Arc;

use serde_json::json;
use tokio::runtime::Handle;

use super::{
    ErasureError, Office, certificate,
    entries::{Sexton, erase, survey},
    event,
    intake::reference,
    plan,
    request::{Request, State},
    signed::{expect_approval, expect_request},
    tables::{Whose, actions, anonymise_user, delete_user, has_user, lock_out, number_is_taken},
};
use crate::{
    anchor, backup,
    config::EraseEntries,
    holds,
    ledger::Act,
    progress::Progress,
    qwed::{
        Database, IdRange,
        erase::Eraser,
        subject::{self, Found, Wanted},
    },
    tombstones::Batch,
    trail::{
        row::Value,
        tombstone::{MARKER, Manner, Tombstone},
    },
};

/// Entries whose tombstones are one entry of the ledger.
const BATCH: usize = 200;
/// Rounds in which a subject that goes on writing is followed.
const ROUNDS: u32 = 20;

/// Goes on with a request as far as it can: plans what has no plan, and erases what is approved. Answers at once if it waits
/// for somebody.
///
/// # Errors
/// If a database fails or it is to stop; another call goes on.
pub async fn execute(
    office: &Office,
    request: &mut Request,
    progress: &Arc<Progress>,
) -> Result<(), ErasureError> {
    if request.state.has_ended() {
        return Ok(());
    }
    expect_request(office, request).await?;
    if !matches!(request.state, State::Executing | State::WaitingForHead) {
        // What was approved has to be what is erased, and holds may have come or gone.
        let plan = plan::make(office, request, progress).await?;
        plan::note(office, request, plan).await?;
        if request.state != State::Approved {
            return Ok(());
        }
        expect_approval(office, request).await?;
        (request.state, request.note) = (State::Executing, None);
        office
            .save(request, "erasure begin", Vec::new(), &[])
            .await?;
    } else if is_held(office, request).await? {
        return Ok(());
    }
    expect_approval(office, request).await?;
    let clerk = Clerk {
        office: office.clone(),
        handle: Handle::current(),
        progress: Arc::clone(progress),
        whose: Whose {
            organization_id: request.organization_id,
            user_id: request.user_id,
        },
    };
    let mut working = request.clone();
    let worked = tokio::task::spawn_blocking(move || {
        let done = clerk.work(&mut working);
        (working, done)
    });
    let (worked, done) = worked
        .await
        .map_err(|error| ErasureError::Refused(error.to_string()))?;
    *request = worked;
    match done {
        Err(ErasureError::Held) => is_held(office, request).await.map(drop),
        done => done,
    }
}

/// A hold that came while a request was carried out stops it where it is.
async fn is_held(office: &Office, request: &mut Request) -> Result<bool, ErasureError> {
    let (organization, user) = (request.organization_id, Some(request.user_id));
    let holds = holds::active(&office.store, organization, user, office.now).await?;
    if holds.is_empty() {
        return Ok(false);
    }
    let ids: Vec<String> = holds.into_iter().map(|hold| hold.id).collect();
    let note = format!("a legal hold keeps it: {}", ids.join(", "));
    if request.note.as_deref() != Some(&note) {
        request.note = Some(note);
        office
            .save(request, "erasure hold", Vec::new(), &[])
            .await?;
    }
    Ok(true)
}

/// Works on one request, on a thread that may wait.
struct Clerk {
    office: Office,
    handle: Handle,
    progress: Arc<Progress>,
    whose: Whose,
}

impl Clerk {
    fn work(&self, request: &mut Request) -> Result<(), ErasureError> {
        if request.state == State::WaitingForHead && self.is_still_newest()? {
            return Ok(());
        }
        let mut eraser = Eraser::open(&self.office.erase)?;
        if self.is_somebody_else(request, &mut eraser)? {
            return self.end_without(request);
        }
        lock_out(&mut eraser, self.whose, self.office.now)?;
        self.resume(request, &mut eraser)?;
        let newest = self.entries(request, &mut eraser)?;
        self.other_tables(request, &mut eraser)?;
        self.destroy_keys(request)?;
        if newest.is_some() {
            // All but the one entry is done; the row that it refers to says nothing about the person any more.
            anonymise_user(&mut eraser, self.whose)?;
            return self.wait(request, newest);
        }
        self.user(request, &mut eraser)?;
        self.complete(request)
    }

    /// Whether the organisation's newest entry is the subject's. To ask is cheap, and asked often.
    fn is_still_newest(&self) -> Result<bool, ErasureError> {
        let mut reader = Database::open(&self.office.qwed)?.reader()?;
        let everywhere = IdRange {
            low: i64::MIN,
            high: i64::MAX,
        };
        let Some(newest) = reader.head(self.whose.organization_id, everywhere)? else {
            return Ok(false);
        };
        let newest = reader.entry(newest)?;
        Ok(newest.is_some_and(|it| it.row().user_id == Value::Integer(self.whose.user_id)))
    }

    /// Whether the user's number is another person's by now. SQLite gives the highest number again.
    fn is_somebody_else(
        &self,
        request: &Request,
        eraser: &mut Eraser,
    ) -> Result<bool, ErasureError> {
        if !number_is_taken(eraser, self.whose)? {
            return Ok(false);
        }
        let wanted = Wanted::User(self.whose.user_id);
        let (url, organization) = (&self.office.erase, self.whose.organization_id);
        let Found::One(subject) = subject::find(url, organization, &wanted)? else {
            return Ok(true);
        };
        let email = subject.email.unwrap_or_default();
        if email == format!("{MARKER} {}", self.whose.user_id) {
            return Ok(false);
        }
        let known = self
            .handle
            .block_on(reference(&self.office, organization, &email))?;
        Ok(known != request.subject_ref)
    }

    /// Ends a request whose subject's number is another person's: what was left to be done is not there any more.
    fn end_without(&self, request: &mut Request) -> Result<(), ErasureError> {
        if request.progress.tables.contains_key("user") {
            return self.complete(request);
        }
        Err(ErasureError::Refused(format!(
            "user {} of organisation {} is another person than the one who was asked about; nothing more is erased",
            self.whose.user_id, self.whose.organization_id
        )))
    }

    /// Fails if it is to stop, or a legal hold came.
    fn go_on(&self) -> Result<(), ErasureError> {
        if self.progress.is_stopped() {
            return Err(ErasureError::Interrupted);
        }
        let (organization, user) = (self.whose.organization_id, Some(self.whose.user_id));
        let (store, now) = (&self.office.store, self.office.now);
        let holds = self
            .handle
            .block_on(holds::active(store, organization, user, now))?;
        match holds.is_empty() {
            true => Ok(()),
            false => Err(ErasureError::Held),
        }
    }

    fn save(
        &self,
        request: &mut Request,
        write: &'static str,
        acts: Vec<(Act, serde_json::Value)>,
    ) -> Result<Vec<i64>, ErasureError> {
        self.handle
            .block_on(self.office.save(request, write, acts, &[]))
    }

    /// Erases the entries whose tombstones were kept last: whoever kept them may have been cut off before.
    fn resume(&self, request: &mut Request, eraser: &mut Eraser) -> Result<(), ErasureError> {
        let Some(&last) = request.progress.batches.last() else {
            return Ok(());
        };
        let tombstones = self.batch(request, last)?;
        let mut sexton = Sexton::new(&self.office, &self.office.qwed)?;
        let done = erase(&mut sexton, eraser, &tombstones)?;
        self.count(request, done)
    }

    fn count(
        &self,
        request: &mut Request,
        (anonymised, deleted): (u64, u64),
    ) -> Result<(), ErasureError> {
        if anonymised + deleted == 0 {
            return Ok(());
        }
        request
            .progress
            .add("verificationlog", "anonymised", anonymised);
        request.progress.add("verificationlog", "deleted", deleted);
        self.save(request, "erasure progress", Vec::new()).map(drop)
    }

    fn batch(&self, request: &Request, number: i64) -> Result<Vec<Tombstone>, ErasureError> {
        let graveyard = self.office.graveyard();
        let batch = self.handle.block_on(graveyard.batch(number))?;
        let batch = batch.filter(|batch| batch.request == request.id);
        let batch = batch.ok_or_else(|| {
            ErasureError::Refused(format!(
                "entry {number} of the ledger does not hold this request's tombstones: it was changed; restore the state database"
            ))
        })?;
        let lines = batch.tombstones.iter();
        let parsed = lines.map(|line| Tombstone::parse(line, batch.organization_id));
        parsed.collect::<Result<_, _>>().map_err(|_| {
            ErasureError::Refused(format!(
                "entry {number} of the ledger is of no form that is known"
            ))
        })
    }

    /// Erases the subject's entries but for the organisation's newest, which is answered where it is the subject's.
    fn entries(
        &self,
        request: &mut Request,
        eraser: &mut Eraser,
    ) -> Result<Option<i64>, ErasureError> {
        let Whose {
            organization_id,
            user_id,
        } = self.whose;
        let manner = request.policy.entries;
        for _ in 0..ROUNDS {
            let database = self
                .office
                .graveyard()
                .open(&self.handle, &self.office.qwed)?;
            let nobody = Progress::default();
            let found = survey(
                &self.office,
                &database,
                organization_id,
                user_id,
                None,
                &nobody,
            )?;
            drop(database);
            if found.ids.is_empty() {
                return Ok(found.newest);
            }
            // What is gone, or has no hash, has its place in a tree only if it was anchored as it was.
            if manner == EraseEntries::Delete || found.unsealed > 0 {
                self.anchor()?;
            }
            let mut sexton = Sexton::new(&self.office, &self.office.qwed)?;
            for ids in found.ids.chunks(BATCH) {
                self.go_on()?;
                let tombstones = sexton.tombstones(ids, organization_id, user_id, manner)?;
                self.bury(request, &tombstones)?;
                let done = erase(&mut sexton, eraser, &tombstones)?;
                self.progress.add(done.0 + done.1, 0);
                self.count(request, done)?;
            }
        }
        Err(ErasureError::Refused(
            "entries of the subject keep coming, or cannot be erased: is there another program that writes them?".to_owned(),
        ))
    }

    /// Keeps tombstones before what they stand for is erased.
    fn bury(&self, request: &mut Request, tombstones: &[Tombstone]) -> Result<(), ErasureError> {
        if tombstones.is_empty() {
            return Ok(());
        }
        let batch = Batch {
            request: request.id.clone(),
            organization_id: self.whose.organization_id,
            tombstones: tombstones.iter().map(Tombstone::to_string).collect(),
        };
        let before = request.progress.clone();
        request.progress.tombstones += tombstones.len() as u64;
        let kept = self.save(request, "tombstones", vec![(Act::Tombstones, json!(batch))]);
        if kept.is_err() {
            request.progress = before;
        }
        kept.map(drop)
    }

    fn anchor(&self) -> Result<(), ErasureError> {
        let Office {
            store,
            qwed,
            origin,
            keys,
            now,
            ..
        } = &self.office;
        self.handle.block_on(async {
            let making = anchor::make(store, qwed, origin, keys, *now, &self.progress);
            let made = making.await?;
            let mut tx = store.begin().await?;
            tx.insert_anchor(&made.run, &made.checkpoints, &made.last_tiles)
                .await?;
            tx.commit("anchor").await?;
            Ok(())
        })
    }

    fn other_tables(&self, request: &mut Request, eraser: &mut Eraser) -> Result<(), ErasureError> {
        for action in actions(eraser, self.whose, &request.policy)? {
            self.go_on()?;
            let rows = action.run(eraser)?;
            if rows > 0 {
                request.progress.add(action.table, action.manner, rows);
                self.save(request, "erasure progress", Vec::new())?;
            }
        }
        Ok(())
    }

    /// Makes the subject's copies in the archive unreadable.
    fn destroy_keys(&self, request: &mut Request) -> Result<(), ErasureError> {
        let Whose {
            organization_id,
            user_id,
        } = self.whose;
        let subject = backup::subject(Some(organization_id), Some(user_id));
        let destroying = self.office.store.destroy_data_keys(&subject);
        let destroyed = self.handle.block_on(destroying)?;
        if destroyed > 0 {
            request.progress.destroyed_keys += destroyed;
            self.save(request, "erasure progress", Vec::new())?;
        }
        Ok(())
    }

    fn wait(&self, request: &mut Request, newest: Option<i64>) -> Result<(), ErasureError> {
        let note = newest.map(|id| {
            format!(
                "entry {id} is the organisation's newest, by which QWED goes: it is erased when another one follows it"
            )
        });
        if (request.state, &request.note) == (State::WaitingForHead, &note) {
            return Ok(());
        }
        (request.state, request.note) = (State::WaitingForHead, note);
        let events = [event("waiting_for_head", request, json!({"entry": newest}))];
        let saving = self
            .office
            .save(request, "erasure wait", Vec::new(), &events);
        self.handle.block_on(saving).map(drop)
    }

    /// Deletes the user's row, or empties it.
    fn user(&self, request: &mut Request, eraser: &mut Eraser) -> Result<(), ErasureError> {
        let whose = self.whose;
        if !has_user(eraser, whose)? {
            return Ok(());
        }
        let emptied = anonymise_user(eraser, whose)?;
        if request.policy.user == EraseEntries::Anonymise {
            request.progress.add("user", "anonymised", emptied);
            return self.save(request, "erasure progress", Vec::new()).map(drop);
        }
        match delete_user(eraser, whose) {
            Ok(deleted) => request.progress.add("user", "deleted", deleted),
            // Some table that is not QWED's may refer to users.
            Err(ErasureError::Erase(error)) if !error.is_unreachable() => {
                request.progress.user_kept = Some(error.to_string());
                request.progress.add("user", "anonymised", emptied.max(1));
            }
            Err(error) => return Err(error),
        }
        self.save(request, "erasure progress", Vec::new()).map(drop)
    }

    fn complete(&self, request: &mut Request) -> Result<(), ErasureError> {
        // Its row in the state database goes over whatever a backup made in between.
        let mut tombstones = Vec::new();
        for &number in &request.progress.batches {
            tombstones.extend(self.batch(request, number)?);
        }
        // A count that a crash lost is in the tombstones.
        request.progress.tables.remove("verificationlog");
        for (manner, name) in [
            (Manner::Anonymised, "anonymised"),
            (Manner::Deleted, "deleted"),
        ] {
            let rows = tombstones.iter().filter(|it| it.manner() == manner).count();
            request.progress.add("verificationlog", name, rows as u64);
        }
        let entries = self.handle.block_on(self.touched(request, &tombstones))?;
        let made = certificate::make(&self.office, request, &tombstones, &entries)
            .map_err(ErasureError::Refused)?;
        (request.state, request.note) = (State::Completed, None);
        request.completed_at = Some(self.office.now);
        request.certificate = Some(made.note.clone());
        let detail = json!({
            "request": request.id,
            "reference": request.reference,
            "organization_id": request.organization_id,
            "subject": request.subject_ref,
            "erased": request.progress.tables,
            "tombstones": request.progress.tombstones,
            "root": made.root,
            "certificate_sha256": made.sha256,
        });
        let events = [event(
            "completed",
            request,
            json!({"certificate": made.note, "erased": request.progress.tables}),
        )];
        let acts = vec![(Act::ErasureCompleted, detail)];
        let saving = self.office.save(request, "erasure end", acts, &events);
        self.handle.block_on(saving).map(drop)
    }

    async fn touched(
        &self,
        request: &Request,
        tombstones: &[Tombstone],
    ) -> Result<plan::Archived, ErasureError> {
        let planned = request.plan.as_ref().map(|plan| plan.entries.clone());
        let ids = tombstones.iter().map(Tombstone::id);
        let (first, last) = (ids.clone().min(), ids.max());
        let entries = planned.map(|entries| plan::Entries {
            first_id: first,
            last_id: last,
            ..entries
        });
        match entries {
            Some(entries) => plan::archived(&self.office, request, &entries).await,
            None => Ok(plan::Archived::default()),
        }
    }
}
