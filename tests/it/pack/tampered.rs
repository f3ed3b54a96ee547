//! Packs that are not as they were made: by who found one, and by who has the key.

use std::io::{Cursor, Write};

use serde_json::{Value, json};
use trailkeeper::pack::PackError;
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use super::{Desk, Members, check, is_believed, keys, problem};
use crate::support::store::{TestStore, block_on};

/// Bytes of each file that are changed.
const SAMPLED: usize = 6;

async fn pack() -> Vec<u8> {
    let desk = Desk::anchored(TestStore::sqlite().await).await;
    desk.pack().await.bytes()
}

fn read(bytes: &[u8]) -> Option<Members> {
    let mut file = tempfile::tempfile().expect("make a file");
    file.write_all(bytes).expect("write");
    Members::read(file)
}

fn members(bytes: &[u8]) -> Members {
    read(bytes).expect("a zip")
}

/// Places all over `length` bytes: both ends, and some in between.
fn places(length: usize, count: usize) -> Vec<usize> {
    let step = (length / count).max(1);
    let mut places: Vec<usize> = (0..length).step_by(step).collect();
    places.extend(length.checked_sub(1));
    places
}

#[test]
fn no_byte_of_any_file_can_be_changed() {
    let bytes = block_on(pack());
    let whole = members(&bytes);
    assert!(is_believed(&whole.zip()), "who packs it does not matter");
    for (at, (name, content)) in whole.0.iter().enumerate() {
        for place in places(content.len(), SAMPLED) {
            for flip in [1, 0x80] {
                let mut changed = whole.clone();
                changed.0[at].1[place] ^= flip;
                assert!(!is_believed(&changed.zip()), "{name}, byte {place}");
            }
        }
        let mut changed = whole.clone();
        changed.0[at].1.push(b'\n');
        assert!(!is_believed(&changed.zip()), "{name} is longer");
        let mut changed = whole.clone();
        changed.0[at].1.pop();
        assert!(!is_believed(&changed.zip()), "{name} is shorter");
    }
}

/// A few bits of a zip say nothing of its files: nothing may change with them.
#[test]
fn no_byte_of_the_zip_changes_what_is_in_it() {
    let bytes = block_on(pack());
    let whole = members(&bytes);
    for place in places(bytes.len(), 1500) {
        let mut changed = bytes.clone();
        changed[place] ^= 0x10;
        if is_believed(&changed) {
            let read = read(&changed);
            assert!(
                read == Some(whole.clone()),
                "byte {place} of {}",
                bytes.len()
            );
        }
    }
    for cut in [1, 22, 23, 1000] {
        assert!(!is_believed(&bytes[..bytes.len() - cut]), "cut by {cut}");
    }
    let paddings: [(&[u8], &[u8]); 3] = [(b"x", b""), (b"", b"x"), (b"", &[0; 100])];
    for (before, behind) in paddings {
        let padded = [before, &bytes, behind].concat();
        assert!(!is_believed(&padded), "{before:?} {behind:?}");
    }
}

#[test]
fn files_cannot_come_go_move_or_change_names() {
    let bytes = block_on(pack());
    let whole = members(&bytes);
    for at in 0..whole.0.len() {
        let mut without = whole.clone();
        let (name, content) = without.0.remove(at);
        assert!(!is_believed(&without.zip()), "without {name}");
        let mut renamed = whole.clone();
        renamed.0[at].0 = format!("{name}x");
        assert!(!is_believed(&renamed.zip()), "{name} renamed");
        let mut more = whole.clone();
        more.0
            .insert(at, (format!("proofs/9999{at}.tlog-proof"), content));
        assert!(!is_believed(&more.zip()), "more at {at}");
        if at > 0 {
            let mut moved = whole.clone();
            moved.0.swap(at - 1, at);
            assert!(!is_believed(&moved.zip()), "{name} moved");
        }
    }
    // Two files that only change places.
    let mut swapped = whole.clone();
    let (a, b) = (
        swapped.get("ocsf.json").clone(),
        swapped.get("oscal.json").clone(),
    );
    *swapped.get("ocsf.json") = b;
    *swapped.get("oscal.json") = a;
    assert!(!is_believed(&swapped.zip()));
}

/// Each is signed anew: what is wrong is the content.
#[test]
fn what_contradicts_itself_is_found_even_if_it_is_signed() {
    type Change = fn(&mut Members);
    let changes: [(&str, Change); 19] = [
        ("is of another entry", |pack| {
            swap_proofs(pack, "tlog-proof")
        }),
        ("is not the leaf that was anchored", |pack| {
            swap_proofs(pack, "entry.json")
        }),
        ("is not what its seed draws", |pack| {
            let mut sample = pack.json("sample.json");
            sample["seed"] = json!("another");
            pack.put_json("sample.json", &sample);
        }),
        ("is not what its seed draws", |pack| {
            let mut sample = pack.json("sample.json");
            let entries = sample["entries"].as_array_mut().expect("entries");
            let dropped = entries.pop().expect("an entry")["entry_id"].to_string();
            pack.put_json("sample.json", &sample);
            pack.0
                .retain(|(name, _)| !name.starts_with(&format!("proofs/{dropped}.")));
        }),
        ("is not what its seed draws", |pack| {
            let mut sample = pack.json("sample.json");
            sample["count"] = json!(24);
            pack.put_json("sample.json", &sample);
        }),
        ("the anchor covers", |pack| {
            let mut sample = pack.json("sample.json");
            sample["population"] = json!(299);
            pack.put_json("sample.json", &sample);
        }),
        ("does not fit to what the sample says", |pack| {
            let mut sample = pack.json("sample.json");
            sample["entries"][3]["state"] = json!("gone");
            pack.put_json("sample.json", &sample);
        }),
        ("summary does not count its controls", |pack| {
            let mut report = pack.json("report.json");
            report["summary"]["pass"] = json!(4);
            pack.put_json("report.json", &report);
        }),
        ("another id than the manifest", |pack| {
            let mut report = pack.json("report.json");
            report["id"] = json!("0198f3c2-7d11-7e53-9a60-000000000000");
            pack.put_json("report.json", &report);
        }),
        ("another organisation than the manifest", |pack| {
            let mut report = pack.json("report.json");
            report["organization"]["id"] = json!(2);
            pack.put_json("report.json", &report);
        }),
        ("another period than the manifest", |pack| {
            let mut report = pack.json("report.json");
            report["period"]["end"] = json!("2026-07-31T00:00:00Z");
            pack.put_json("report.json", &report);
        }),
        ("does not follow from the report", |pack| {
            let mut report = pack.json("report.json");
            report["controls"][1]["reason"] = json!("All is well.");
            pack.put_json("report.json", &report);
        }),
        ("does not follow from the report", |pack| {
            let mut findings = pack.json("ocsf.json");
            findings[1]["compliance"]["status_id"] = json!(1);
            pack.put_json("ocsf.json", &findings);
        }),
        ("has 2 records, and the report lists 3", |pack| {
            let table = pack.get("tables/trail_integrity-runs.csv");
            let end = table[..table.len() - 1]
                .iter()
                .rposition(|byte| *byte == b'\n');
            table.truncate(end.expect("a line") + 1);
        }),
        ("has 1 records, and 2 was signed", |pack| {
            pack.get("logs/verification_log.csv")
                .truncate("id,query\r\n1,\"two\nlines\"\r\n".len());
        }),
        ("the verification says verdict", |pack| {
            let mut record = pack.json("verification.json");
            record["verdict"] = json!("tampered");
            pack.put_json("verification.json", &record);
        }),
        ("the verification counts", |pack| {
            let mut record = pack.json("verification.json");
            record["entries"] = json!(1);
            pack.put_json("verification.json", &record);
        }),
        ("about other organisations", |pack| {
            let mut record = pack.json("verification.json");
            let mut other = record["organizations"][0].clone();
            other["organization_id"] = json!(2);
            record["organizations"]
                .as_array_mut()
                .expect("a list")
                .push(other);
            pack.put_json("verification.json", &record);
        }),
        ("anchors/run.note: line 1", |pack| {
            let note = pack.get("anchors/checkpoint.note").clone();
            *pack.get("anchors/run.note") = note;
        }),
    ];
    let bytes = block_on(pack());
    let mut whole = members(&bytes);
    whole.sign(|_| {});
    assert!(
        is_believed(&whole.zip()),
        "what is only signed again is the same"
    );
    for (at, (expected, change)) in changes.into_iter().enumerate() {
        let mut changed = whole.clone();
        change(&mut changed);
        changed.sign(|_| {});
        let found = problem(&changed.zip());
        assert!(
            found.contains(expected),
            "{at}: {expected:?}, and found {found:?}"
        );
    }
}

/// Exchanges the files of two sampled entries.
fn swap_proofs(pack: &mut Members, kind: &str) {
    let sample: Value = pack.json("sample.json");
    let name = |at: usize| format!("proofs/{}.{kind}", sample["entries"][at]["entry_id"]);
    let (a, b) = (pack.get(&name(0)).clone(), pack.get(&name(1)).clone());
    *pack.get(&name(0)) = b;
    *pack.get(&name(1)) = a;
}

/// The manifest itself, signed anew.
#[test]
fn a_manifest_that_contradicts_the_pack_is_found() {
    let bytes = block_on(pack());
    let mut whole = members(&bytes);
    whole.sign(|manifest| manifest.without_anchor = Some("none".to_owned()));
    assert!(problem(&whole.zip()).contains("there is an anchor"));
    whole.sign(|manifest| {
        manifest.without_anchor = None;
        manifest.organization_id = 2;
    });
    assert!(problem(&whole.zip()).contains("another organisation"));
    whole.sign(|manifest| {
        manifest.organization_id = 1;
        manifest.origin = "other.example.org".to_owned();
    });
    assert!(problem(&whole.zip()).contains("another origin"));
    let mut whole = members(&bytes);
    whole.sign(|manifest| manifest.made_at = "2026-07-01T00:00:00Z".parse().expect("a time"));
    assert!(problem(&whole.zip()).contains("after the pack"));
    whole.sign(|manifest| manifest.format = "trailkeeper auditor pack 2".to_owned());
    assert!(problem(&whole.zip()).contains("this program reads"));
    // Signed, and signed by nobody.
    let mut forged = members(&bytes);
    let note = String::from_utf8(forged.get("manifest.note").clone()).expect("text");
    *forged.get("manifest.note") = note.replace("2026", "2027").into_bytes();
    assert!(problem(&forged.zip()).contains("not genuine"));
    let (text, _) = note.rsplit_once("\n\n").expect("a note");
    *forged.get("manifest.note") = format!("{text}\n").into_bytes();
    assert!(problem(&forged.zip()).contains("no signed note"));
}

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(0o600)
}

/// A zip whose directory is written by hand, so that it can claim anything: name, and claimed size.
fn claimed(members: &[(&str, u32)]) -> Vec<u8> {
    let mut zip = Vec::new();
    let mut directory = Vec::new();
    for (name, size) in members {
        let start = u32::try_from(zip.len()).expect("small");
        let mut head = Vec::new();
        let numbers = |out: &mut Vec<u8>, fields: &[u16]| {
            fields.iter().for_each(|it| out.extend(it.to_le_bytes()));
        };
        numbers(&mut head, &[20, 0, 8, 0, 0x21]);
        head.extend(0_u32.to_le_bytes());
        head.extend(2_u32.to_le_bytes());
        head.extend(size.to_le_bytes());
        numbers(&mut head, &[u16::try_from(name.len()).expect("short"), 0]);
        zip.extend(b"PK\x03\x04");
        zip.extend(&head);
        zip.extend(name.as_bytes());
        // An empty deflate stream.
        zip.extend([3, 0]);
        directory.extend(b"PK\x01\x02");
        numbers(&mut directory, &[0x0314]);
        directory.extend(&head);
        numbers(&mut directory, &[0, 0, 0]);
        directory.extend((0o100_600_u32 << 16).to_le_bytes());
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(members.len()).expect("few").to_le_bytes();
    let start = u32::try_from(zip.len()).expect("small");
    zip.extend(&directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend([count, count].concat());
    zip.extend(u32::try_from(directory.len()).expect("small").to_le_bytes());
    zip.extend(start.to_le_bytes());
    zip.extend([0, 0]);
    zip
}

#[test]
fn zips_that_do_harm_are_refused_unread() {
    type Case<'c> = (&'c [(&'c str, u32)], &'c str);
    let cases: [Case<'_>; 7] = [
        (&[("../../etc/passwd", 0)], "no file of a pack is named"),
        (&[("/etc/passwd", 0)], "no file of a pack is named"),
        (&[("a\\..\\b", 0)], "no file of a pack is named"),
        (&[("report.json", 0), ("report.json", 0)], "duplicate"),
        (&[("report.json", u32::MAX - 1)], "larger than it can be"),
        (&[("report.json", 0)], "it has no manifest.note"),
        (&[("manifest.note", 0)], ""),
    ];
    for (members, expected) in cases {
        let found = problem(&claimed(members));
        assert!(found.contains(expected), "{members:?}: {found}");
    }
    // Many zeros in few bytes: more than is ever read whole, and signed.
    let bytes = block_on(pack());
    let mut whole = members(&bytes);
    *whole.get("report.json") = vec![b' '; (256 << 20) + 1];
    whole.sign(|_| {});
    let bomb = whole.zip();
    assert!(bomb.len() < 2 << 20, "{}", bomb.len());
    assert!(problem(&bomb).contains("report.json has over 256 MiB"));

    // What is stored in other ways than a pack's files.
    let link = || {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.add_symlink("README.txt", "/etc/passwd", options())
            .expect("add");
        zip.finish().expect("finish").into_inner()
    };
    let directory = || {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.add_directory("proofs", options()).expect("add");
        zip.finish().expect("finish").into_inner()
    };
    let commented = || {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.set_comment("read this instead").expect("set");
        zip.start_file("README.txt", options()).expect("start");
        zip.finish().expect("finish").into_inner()
    };
    let late = || {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let time = DateTime::from_date_and_time(2026, 8, 1, 0, 0, 0).expect("a time");
        let options = options().last_modified_time(time);
        zip.start_file("README.txt", options).expect("start");
        zip.finish().expect("finish").into_inner()
    };
    for zip in [link(), directory(), commented(), late()] {
        problem(&zip);
    }
    for nothing in [&b""[..], b"PK", b"%PDF-1.7"] {
        let found = check(nothing, &keys());
        assert!(matches!(found, Err(PackError::NotAPack(_))), "{found:?}");
    }
}
