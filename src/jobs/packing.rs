//! Puts a report with everything that it takes to check it into an auditor pack, and the pack into the archive under lock.
//!
//! A pack in the archive has no records of the trail itself: it is locked and not encrypted, and what people wrote has to stay erasable. The
//! archive's segments hold the records, under keys that an erasure destroys; `trailkeeper audit-pack make --log` puts an export
//! into a pack that is handed over.

use std::path::Path;

use crate::{
    checkpoint::note::{SecretKey, VerifierKey},
    objects::Vault,
    pack::{self, Asked, PackError, Renderings, StoredPack},
    private,
    qwed::url::DatabaseUrl,
    report::{produce::Made, render},
    state::Store,
    tombstones::Graveyard,
};

/// What packs are made with.
pub struct Packing<'a> {
    /// Our own database.
    pub store: &'a Store,
    /// QWED's.
    pub qwed: &'a DatabaseUrl,
    /// Where packs are stored.
    pub vault: &'a Vault,
    /// A directory for the pack while it is made.
    pub scratch: &'a Path,
    /// The origin of anchors.
    pub origin: &'a str,
    /// Keys that verify anchors.
    pub keys: Vec<VerifierKey>,
    /// The key that signs packs, and anchors.
    pub signer: SecretKey,
}

impl Packing<'_> {
    /// Makes a pack and stores it. Has to be called on a runtime with threads of its own.
    ///
    /// # Errors
    /// If it cannot be made or stored. That it is not locked as configured is for the caller to see.
    pub async fn pack(&self, made: &Made) -> Result<StoredPack, PackError> {
        let report = &made.report;
        let graveyard = Graveyard {
            store: self.store.clone(),
            origin: self.origin.to_owned(),
            keys: self.keys.clone(),
        };
        let asked = Asked {
            organization_id: report.organization.id,
            seed: report.id.clone(),
            count: crate::checkpoint::sample::DEFAULT_COUNT,
        };
        let gathered = pack::gather(&graveyard, self.qwed, &asked).await?;
        private::create_directory(self.scratch)?;
        let file = private::unnamed_file(self.scratch)?;
        let (mut file, packed) = tokio::task::block_in_place(|| {
            let html = render::html(report);
            let pdf = render::pdf(report).map_err(|error| PackError::Unfit(error.to_string()))?;
            let order = pack::Order {
                report,
                verification: &made.verified,
                gathered: &gathered,
                renderings: Renderings {
                    html: Some(html.as_bytes()),
                    pdf: Some(&pdf),
                    table: &|table, out| render::csv(table, out),
                },
                logs: Vec::new(),
                signer: &self.signer,
                made_at: report.generated_at,
            };
            pack::make(order, file)
        })?;
        pack::store(self.vault, &packed, &mut file).await
    }
}
