//! What a person finds first in a pack.

use crate::report::model::Report;

pub(super) fn text(report: &Report, without_anchor: Option<&str>) -> String {
    let (organization, period) = (report.organization.id, &report.period);
    let proofs = match without_anchor {
        None => "\
anchors/            the newest anchor: a signed statement of all trails (run.note) and of this one (checkpoint.note)
sample.json         entries drawn at random from what that anchor covers, and how to draw them again
proofs/             for each of them its leaf, and the proof that it is in the anchored trail (C2SP tlog-proof)
"
        .to_owned(),
        Some(why) => format!("There are no anchor and no proofs in this pack: {why}\n"),
    };
    format!(
        "\
AUDITOR PACK

{kind} on organization {organization}, {start} up to and without {end}.
Report {id}, made {made}.

{disclaimer}

WHAT IS IN IT

report.json         the report; report.html and report.pdf show the same
tables/             the populations in the report, as CSV
ocsf.json           the report as OCSF Compliance Findings
oscal.json          the report as OSCAL assessment results
verification.json   the record of the verification of the audit trail that the report rests on
logs/               records of the period, as CSV
{proofs}public-key          of the key that signs the anchors and the manifest
manifest.note       all of these with length and SHA-256, signed

HOW TO CHECK IT

Have the public key from another source than this pack, then:

  trailkeeper audit-pack verify PACK.zip --key KEY

It needs no network, no database and no configuration. Without the program:

  1. manifest.note is a signed note (https://c2sp.org/signed-note); its text is JSON.
  2. sha256sum of every file is the one in the manifest, and there are no other files.
  3. anchors/checkpoint.note is signed with the same key; each proof in proofs/ ends with it
     (https://c2sp.org/tlog-proof). A leaf is the lines id, kind and hash of the .entry.json file.
  4. Draw the sample again from its seed: trailkeeper sample --seed SEED --population N --count K

A single proof: trailkeeper audit verify --entry-file proofs/N.entry.json --proof proofs/N.tlog-proof --public-key KEY

The sample is yours to choose: ask for a pack with a seed that you name.
",
        kind = report.report_type,
        start = period.start,
        end = period.end,
        id = report.id,
        made = report.generated_at,
        disclaimer = report.disclaimer,
    )
}
