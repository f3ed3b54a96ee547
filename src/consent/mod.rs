//! Floor 2: the consent ledger: who consented to what, who withdrew it, and how that can be shown.
//!
//! Each organisation has a chain of its own in our database. A record maps onto a row of QWED's trail (`row`), so that the engine
//! that verifies the trail verifies consents as well: the same payload, hash, signature and links. QWED's own table stays
//! untouched, as it has a single writer. A withdrawal is a record like any other; nothing is ever updated or deleted. With each
//! record the compliance ledger gets an entry that says how long the chain is and where it ends, so that its end cannot be cut off.
//!
//! ```text
//! statement ──▶ record (one transaction: record, ledger entry, event, job that forwards) ──▶ chain ──▶ verify, status
//! ```

mod forward;
mod record;
mod row;
mod standing;
mod statement;
mod verify;

pub use self::{
    forward::{ForwardError, Forwarder},
    record::{RecordError, Recorded, Recorder},
    row::{FORMAT, Note, Record},
    standing::{Consent, standing},
    statement::{ConsentType, Rejection, Statement, Status, Subject},
    verify::{Chain, add_finding, verify},
};
