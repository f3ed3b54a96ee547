//! The part of the demo that erases somebody and shows that the trail is as sound as before.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use super::{do_job, ended, say};
use crate::{
    cli::{erase, text},
    config::Config,
    demo::{SUBJECT, SUBJECT_ORGANIZATION},
    erasure::{self, Asked, Office, Options, Override, Request, Taken},
    jobs::Services,
    progress::Progress,
    runtime::registry::Registry,
    state::Store,
    verify::report::Report,
};

/// Lines of the certificate that are shown.
const CERTIFICATE_LINES: usize = 12;

/// Where the certificate and the key by which it is checked were put.
pub(super) struct Shown {
    certificate: PathBuf,
    public_key: PathBuf,
}

/// Erases a user as whoever answers requests would. Nothing when told to stop.
pub(super) async fn erase_somebody(
    config: &Config,
    registry: &Registry<Services>,
    store: &Store,
    directory: &Path,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Shown>> {
    let office = Office {
        actor: "the demo".to_owned(),
        ..erase::office(config, store, "demo", None)?
    };
    say(|out| {
        writeln!(
            out,
            "\nUser {SUBJECT} of organisation {SUBJECT_ORGANIZATION} wants to be erased (GDPR Art. 17). Looked up is what that means, \
             and nothing is written yet:\n"
        )
    })?;
    let mut request = ask(&office).await?;
    erasure::plan(&office, &mut request, &Progress::default().into()).await?;
    say(|out| erase::write_request(out, &request))?;
    let digest = request.plan_digest.clone().context("there is no plan")?;
    erasure::approve(&office, &mut request, &digest, false).await?;
    say(|out| {
        writeln!(
            out,
            "\nThat plan, and no other, was just approved. The worker carries it out:\n"
        )
    })?;
    let payload = serde_json::json!({"request": request.id});
    do_job(
        store,
        registry.new_job("continue_erasures", payload, "demo")?,
        stop,
    )
    .await?;
    let request = office.request(&request.id).await?;
    if stop.is_cancelled() {
        return Ok(None);
    }
    say(|out| erase::write_request(out, &request))?;
    say(|out| {
        writeln!(
            out,
            "\nWhat the user wrote is gone from those entries, and their hashes, signatures and links are where they were. With the signed \
             tombstones beside it the trail is as sound as before:\n"
        )
    })?;
    let payload = serde_json::json!({"organizations": [SUBJECT_ORGANIZATION]});
    let job = registry.new_job("verify_trail", payload, "demo")?;
    let Some(outcome) = ended(store, job, stop).await? else {
        return Ok(None);
    };
    let report: Report = serde_json::from_value(outcome)?;
    say(|out| text::report(out, &report))?;
    say(|out| write_qweds_view(out, &report))?;
    let shown = keep(&office, &request, directory)?;
    say(|out| write_certificate(out, &request))?;
    Ok(Some(shown))
}

async fn ask(office: &Office) -> anyhow::Result<Request> {
    let asked = Asked {
        organization_id: SUBJECT_ORGANIZATION,
        user: Ok(SUBJECT),
        reference: Some("demo-1".to_owned()),
        requested_at: None,
        reason: None,
        requester: office.actor.clone(),
        policy: Override::default(),
        options: Options::default(),
        allow_inactive: false,
        signature: None,
        source: "demo".to_owned(),
    };
    match erasure::take_in(office, asked).await? {
        Taken::New(request) => Ok(*request),
        Taken::Known(_) | Taken::Done(_) => bail!("the sample's user was erased before"),
        Taken::Refused(refusal) => bail!("{}", refusal.explain()),
    }
}

/// What QWED, which knows no tombstones, would say of the same trail.
fn write_qweds_view(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let Some(trail) = report.organizations.first() else {
        return Ok(());
    };
    let first = trail.qwed.failed_entries.first();
    writeln!(
        out,
        "\nQWED itself knows no tombstones: its own check calls {} of these entries failed{}, as it has to. To us each is what its tombstone \
         says was left.",
        trail.failed_count,
        first.map_or_else(String::new, |id| format!(", entry {id} first"))
    )
}

/// Writes the certificate, and the public key beside it, so that it can be checked.
fn keep(office: &Office, request: &Request, directory: &Path) -> anyhow::Result<Shown> {
    let shown = Shown {
        certificate: directory.join("erasure.note"),
        public_key: directory.join("anchor.pub"),
    };
    let certificate = erasure::certificate_of(request)?;
    std::fs::write(&shown.certificate, certificate).context("cannot write the certificate")?;
    let key = format!("{}\n", office.keys.signer.verifier());
    std::fs::write(&shown.public_key, key).context("cannot write the public key")?;
    Ok(shown)
}

fn write_certificate(out: &mut dyn Write, request: &Request) -> io::Result<()> {
    let certificate = request.certificate.as_deref().unwrap_or_default();
    writeln!(
        out,
        "\nWhoever asked gets a certificate, signed with the key of the anchors. It begins:\n"
    )?;
    for line in certificate.lines().take(CERTIFICATE_LINES) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "  …")
}

impl Shown {
    /// The commands that go on from here.
    pub(super) fn write(&self, out: &mut dyn Write, file: &str) -> io::Result<()> {
        let (certificate, key) = (self.certificate.display(), self.public_key.display());
        writeln!(
            out,
            "  trailkeeper erase list --config {file}\n  \
             trailkeeper audit certificate {certificate} --public-key @{key}"
        )
    }
}
