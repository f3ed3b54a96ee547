//! Floor 2: legal holds: who or what must not be erased for the time being.
//!
//! A hold is about one user or a whole organisation. It counts until it is released or its time is over, and is kept for good. Each
//! change is an entry of the compliance ledger in the same transaction, where there is a key that signs entries. Holds keep this
//! program from erasing; what others do with QWED's database they do not prevent.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::{
    ledger::{Act, Scribe},
    state::{
        StateError, Store,
        holds::{HoldRow, ReleaseRow},
        jobs::new_id,
    },
};

/// Characters that a reason may have.
pub const MAX_REASON_CHARS: usize = 1000;

/// A hold to place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHold {
    /// The organisation.
    pub organization: i64,
    /// The user; all of the organisation where there is none.
    pub user: Option<i64>,
    /// Why. It stays in the ledger for good: a case's number belongs here, nobody's name.
    pub reason: String,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// Its id.
    pub id: String,
    /// The organisation that it is about.
    pub organization_id: i64,
    /// The user that it is about; all of the organisation where there is none.
    pub user_id: Option<i64>,
    /// Why.
    pub reason: String,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// By whom.
    pub placed_by: String,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// How it was released, if it was.
    pub release: Option<Release>,
    /// Whether it counts.
    pub standing: Standing,
}

/// How a hold was released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Release {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Whether a hold counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It does.
    Active,
    /// Its time was over before anybody released it.
    Ended,
    /// Somebody released it.
    Released,
}

impl Standing {
    /// As people read it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Released => "released",
        }
    }
}

/// Who places and releases holds.
#[derive(Debug, Clone, Copy)]
pub struct Keeper<'a> {
    /// Who acts.
    pub actor: &'a str,
    /// The time.
    pub now: Timestamp,
    /// Adds entries to the ledger; none where there is no key that signs them.
    pub scribe: Option<&'a Scribe<'a>>,
}

impl Keeper<'_> {
    /// Places a hold.
    ///
    /// # Errors
    /// If its reason is empty or too long, it would end at once, or the database fails.
    pub async fn place(&self, store: &Store, new: NewHold) -> Result<Hold, StateError> {
        let reason = reason(&new.reason)?;
        if new.until.is_some_and(|until| until <= self.now) {
            return Err(refused("a hold must end in the future"));
        }
        let row = HoldRow {
            id: new_id(),
            organization: new.organization,
            user: new.user,
            reason,
            ends_at: new.until.map(Timestamp::as_microsecond),
            placed_at: self.now.as_microsecond(),
            placed_by: self.actor.to_owned(),
            release: None,
        };
        let hold = Hold::of(row.clone(), self.now)?;
        let detail = json!({
            "hold": hold.id,
            "organization_id": hold.organization_id,
            "user_id": hold.user_id,
            "reason": hold.reason,
            "until": hold.until,
        });
        let mut tx = store.begin().await?;
        tx.insert_hold(&row).await?;
        if let Some(scribe) = self.scribe {
            scribe.append(&mut tx, Act::PlaceHold, detail).await?;
        }
        tx.commit("hold").await?;
        Ok(hold)
    }

    /// Releases a hold that counts.
    ///
    /// # Errors
    /// If there is no such hold or it does not count any more, the reason is empty or too long, or the database fails.
    pub async fn release(&self, store: &Store, id: &str, why: &str) -> Result<Hold, StateError> {
        let reason = reason(why)?;
        let mut tx = store.begin().await?;
        let row = tx.hold(id).await?;
        let row = row.ok_or_else(|| refused(&format!("there is no hold {id}")))?;
        let standing = Hold::of(row.clone(), self.now)?.standing;
        if standing != Standing::Active {
            let standing = standing.name();
            return Err(refused(&format!("hold {id} is {standing} already")));
        }
        let release = ReleaseRow {
            at: self.now.as_microsecond(),
            by: self.actor.to_owned(),
            reason,
        };
        tx.release_hold(id, &release).await?;
        let row = HoldRow {
            release: Some(release),
            ..row
        };
        let hold = Hold::of(row, self.now)?;
        if let Some(scribe) = self.scribe {
            let detail = json!({
                "hold": hold.id,
                "organization_id": hold.organization_id,
                "user_id": hold.user_id,
                "reason": hold.release.as_ref().map(|release| &release.reason),
            });
            scribe.append(&mut tx, Act::ReleaseHold, detail).await?;
        }
        tx.commit("hold release").await?;
        Ok(hold)
    }
}

/// The holds that keep this user from being erased: their own, and those on the whole organisation. Where no user is given the
/// question is about the whole organisation, and a hold on any user of it is an answer.
///
/// # Errors
/// If the database fails.
pub async fn active(
    store: &Store,
    organization: i64,
    user: Option<i64>,
    now: Timestamp,
) -> Result<Vec<Hold>, StateError> {
    let micros = now.as_microsecond();
    let rows = store.active_holds(organization, user, micros).await?;
    rows.into_iter().map(|row| Hold::of(row, now)).collect()
}

/// All holds that there ever were, the newest first; of one organisation, or of all.
///
/// # Errors
/// If the database fails.
pub async fn all(
    store: &Store,
    organization: Option<i64>,
    now: Timestamp,
) -> Result<Vec<Hold>, StateError> {
    let rows = store.holds(organization).await?;
    rows.into_iter().map(|row| Hold::of(row, now)).collect()
}

impl Hold {
    fn of(row: HoldRow, now: Timestamp) -> Result<Self, StateError> {
        let until = row.ends_at.map(time).transpose()?;
        let release = match row.release {
            Some(ReleaseRow { at, by, reason }) => Some(Release {
                at: time(at)?,
                by,
                reason,
            }),
            None => None,
        };
        let standing = match &release {
            Some(_) => Standing::Released,
            None if until.is_some_and(|until| until <= now) => Standing::Ended,
            None => Standing::Active,
        };
        Ok(Self {
            id: row.id,
            organization_id: row.organization,
            user_id: row.user,
            reason: row.reason,
            placed_at: time(row.placed_at)?,
            placed_by: row.placed_by,
            until,
            release,
            standing,
        })
    }
}

fn time(micros: i64) -> Result<Timestamp, StateError> {
    Timestamp::from_microsecond(micros)
        .map_err(|_| StateError::Corrupt(format!("a hold with the time {micros}")))
}

fn reason(text: &str) -> Result<String, StateError> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(refused("a hold needs a reason")),
        1..=MAX_REASON_CHARS => Ok(text.to_owned()),
        _ => Err(refused(&format!(
            "a reason has at most {MAX_REASON_CHARS} characters"
        ))),
    }
}

fn refused(why: &str) -> StateError {
    StateError::Refused(why.to_owned())
}
