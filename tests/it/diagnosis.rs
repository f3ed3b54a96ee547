//! Each way to tamper with a trail, and the finding that names it.
//!
//! Most tests start from a trail that QWED 8.0.0 wrote: 40 entries, odd ids in organisation 1, even ones in 2.

use std::fs;

use serde_json::{Value, json};
use trailkeeper::{
    demo::generator::{Generator, SqliteWriter},
    trail::keys::Key,
};

use crate::support::{
    program::{Copy, FIXTURE_KEY, Program, Run},
    tamper::Trail,
};

const OTHER_KEY: &str = "another-audit-key-0123456789abcdef-0123";
const TRAIL: &str = "g4_two_orgs";

const BLANK: &str =
    "UPDATE verificationlog SET entry_hash = NULL, hmac_signature = NULL, previous_hash = NULL";

/// Organisation, kind and entry.
type Found = (Option<i64>, String, i64);

/// What one expects to be found in organisations that exist.
type Expected<'a> = &'a [(i64, &'a str, i64)];

fn fixture(name: &str, tamper: impl FnOnce(&Trail)) -> Copy {
    let copy = Copy::of(name);
    tamper(&Trail::open(&copy.path));
    copy
}

fn findings(document: &Value) -> Vec<Found> {
    let mut found = Vec::new();
    for organization in document["organizations"].as_array().expect("a list") {
        for finding in organization["findings"].as_array().expect("a list") {
            found.push((
                organization["organization_id"].as_i64(),
                finding["kind"].as_str().expect("a kind").to_owned(),
                finding["entry_id"].as_i64().expect("an id"),
            ));
        }
    }
    found
}

fn owned(expected: Expected<'_>) -> Vec<Found> {
    expected
        .iter()
        .map(|&(organization, kind, entry)| (Some(organization), kind.to_owned(), entry))
        .collect()
}

/// Verdict, exit code and findings, all of them and no other.
#[track_caller]
fn assert_found(run: &(Run, Value), verdict: &str, expected: Expected<'_>) {
    let (run, document) = run;
    assert_eq!(findings(document), owned(expected), "{document}");
    assert_eq!(document["verdict"], verdict, "{document}");
    let code = match verdict {
        "intact" => 0,
        "tampered" => 1,
        _ => 4,
    };
    assert_eq!(run.code, Some(code), "{run:?}");
    for organization in document["organizations"].as_array().expect("a list") {
        let listed = organization["findings"].as_array().map(Vec::len);
        assert_eq!(organization["findings_total"], json!(listed), "{document}");
    }
}

#[track_caller]
fn assert_tampered(copy: &Copy, expected: Expected<'_>) -> Value {
    let run = Program::verify(&copy.path).json();
    assert_found(&run, "tampered", expected);
    run.1
}

/// The fixture, changed by one statement that has to hit `rows` rows.
#[track_caller]
fn assert_change(name: &str, rows: usize, sql: &str, expected: Expected<'_>) -> Value {
    let copy = fixture(name, |trail| {
        trail.change(rows, sql);
    });
    assert_tampered(&copy, expected)
}

fn organization(document: &Value, id: i64) -> &Value {
    let organizations = document["organizations"].as_array().expect("a list");
    organizations
        .iter()
        .find(|organization| organization["organization_id"] == id)
        .expect("the organisation is there")
}

/// Ids that QWED counts as failed.
fn failed(document: &Value, id: i64) -> &Value {
    &organization(document, id)["qwed"]["failed_entries"]
}

/// The only finding of an organisation.
fn only(document: &Value, id: i64) -> &Value {
    let findings = organization(document, id)["findings"]
        .as_array()
        .expect("a list");
    assert_eq!(findings.len(), 1, "{document}");
    &findings[0]
}

fn detail(finding: &Value) -> &str {
    finding["detail"].as_str().expect("a detail")
}

mod content_changed {
    use super::*;

    #[test]
    fn in_each_column_that_is_hashed() {
        for change in [
            "user_id = 12",
            "user_id = NULL",
            "query = query || ' '",
            "query = ''",
            "result = replace(result, '\"neg\": -', '\"neg\": ')",
            "result = 'null'",
            "is_verified = NOT is_verified",
            "domain = 'SQL'",
            "timestamp = '2026-11-22 21:59:34.000000'",
            "raw_llm_output = 'It is true.'",
            "api_key_id = 8",
            "api_key_id = NULL",
            "verifier_version = '8.0.1'",
            "verifier_version = NULL",
            "admission = 'ADMIT'",
            "admission = NULL",
            "previous_hash = NULL",
            "previous_hash = ''",
            "previous_hash = upper(previous_hash)",
            "previous_hash = (SELECT entry_hash FROM verificationlog WHERE id = 10)",
            "previous_hash = (SELECT entry_hash FROM verificationlog WHERE id = 5)",
            "previous_hash = substr(previous_hash, 2)",
        ] {
            // Entry 11 has a user, a caller and an admission.
            let sql = format!("UPDATE verificationlog SET {change} WHERE id = 11");
            let document = assert_change("g4_admission", 1, &sql, &[(1, "content_changed", 11)]);
            assert_eq!(*failed(&document, 1), json!([11]), "{change}");
        }
    }

    #[test]
    fn where_an_output_was_removed() {
        let sql = "UPDATE verificationlog SET raw_llm_output = NULL WHERE id = 5";
        assert_change("g4_admission", 1, sql, &[(1, "content_changed", 5)]);
    }

    #[test]
    fn columns_that_an_old_release_did_not_sign() {
        for change in [
            "api_key_id = 1",
            "verifier_version = '8.0.0'",
            "admission = 'ADMIT'",
        ] {
            let sql = format!("UPDATE verificationlog SET {change} WHERE id = 11");
            assert_change("upgraded_chain", 1, &sql, &[(1, "content_changed", 11)]);
        }
    }

    #[test]
    fn in_the_first_and_the_last_entry() {
        for id in [1, 39] {
            let sql = format!("UPDATE verificationlog SET query = 'x' WHERE id = {id}");
            assert_change(TRAIL, 1, &sql, &[(1, "content_changed", id)]);
        }
    }

    #[test]
    fn names_what_was_set() {
        for (change, part) in [
            (
                "is_verified = NOT is_verified",
                "is_verified was set to the opposite",
            ),
            ("admission = 'ADMIT'", "admission was set"),
            ("raw_llm_output = 'x'", "raw_llm_output was set"),
        ] {
            let sql = format!("UPDATE verificationlog SET {change} WHERE id = 1");
            let document = assert_change("g4_admission", 1, &sql, &[(1, "content_changed", 1)]);
            assert!(detail(only(&document, 1)).contains(part), "{document}");
        }
    }

    #[test]
    fn only_the_hash() {
        for change in [
            "upper(entry_hash)",
            "'no hash'",
            "hmac_signature",
            "entry_hash || ' '",
        ] {
            let sql = format!("UPDATE verificationlog SET entry_hash = {change} WHERE id = 9");
            let document = assert_change(TRAIL, 1, &sql, &[(1, "content_changed", 9)]);
            // The next entry's link breaks as well, from the same cause.
            assert_eq!(*failed(&document, 1), json!([9, 11]), "{change}");
        }
    }

    #[test]
    fn with_a_hash_to_match() {
        let copy = fixture(TRAIL, |trail| {
            trail
                .change(1, "UPDATE verificationlog SET query = 'x' WHERE id = 9")
                .rehash(9);
        });
        let document = assert_tampered(&copy, &[(1, "content_changed", 9)]);
        assert_eq!(*failed(&document, 1), json!([9, 11]));
    }

    #[test]
    fn in_two_entries_in_a_row() {
        let sql = "UPDATE verificationlog SET query = 'x' WHERE id IN (9, 11)";
        let expected = [(1, "content_changed", 9), (1, "content_changed", 11)];
        assert_change(TRAIL, 2, sql, &expected);
    }

    #[test]
    fn beside_another_organisations_deletion() {
        let copy = fixture(TRAIL, |trail| {
            trail
                .change(1, "UPDATE verificationlog SET query = 'x' WHERE id = 9")
                .change(1, "DELETE FROM verificationlog WHERE id = 10");
        });
        let expected = [(1, "content_changed", 9), (2, "predecessor_missing", 12)];
        assert_tampered(&copy, &expected);
    }

    #[test]
    fn where_the_predecessor_is_gone_as_well() {
        let copy = fixture(TRAIL, |trail| {
            trail
                .change(1, "UPDATE verificationlog SET query = 'x' WHERE id = 9")
                .change(1, "DELETE FROM verificationlog WHERE id = 13");
        });
        let expected = [(1, "content_changed", 9), (1, "predecessor_missing", 15)];
        assert_tampered(&copy, &expected);
    }

    /// QWED reads 2 as true and hashes what it read, so its hash fits; it never wrote that 2.
    #[test]
    fn a_truth_that_qwed_cannot_see_through() {
        for truth in ["2", "-1"] {
            let sql = format!("UPDATE verificationlog SET is_verified = {truth} WHERE id = 9");
            let document = assert_change(TRAIL, 1, &sql, &[(1, "content_changed", 9)]);
            assert_eq!(organization(&document, 1)["qwed"]["valid"], true, "{truth}");
        }
        // Where QWED had signed "false", its hash does not fit either.
        let sql = "UPDATE verificationlog SET is_verified = 2 WHERE id = 3";
        let document = assert_change(TRAIL, 1, sql, &[(1, "content_changed", 3)]);
        assert_eq!(*failed(&document, 1), json!([3]));
    }

    #[test]
    fn a_time_that_qwed_cannot_see_through() {
        for spelling in ["replace(timestamp, ' ', 'T')", "timestamp || '+00:00'"] {
            let sql = format!("UPDATE verificationlog SET timestamp = {spelling} WHERE id = 9");
            let document = assert_change(TRAIL, 1, &sql, &[(1, "content_changed", 9)]);
            assert_eq!(
                organization(&document, 1)["qwed"]["valid"],
                true,
                "{spelling}"
            );
        }
    }

    #[test]
    fn what_qwed_could_not_have_written() {
        for change in [
            "query = CAST(X'66ff6f' AS TEXT)",
            "query = X'666f6f'",
            "raw_llm_output = CAST(X'c328' AS TEXT)",
            "domain = CAST(X'eda080' AS TEXT)",
            "timestamp = 'yesterday'",
            "timestamp = ''",
            "timestamp = 5",
            "user_id = 'twelve'",
            "user_id = 10.5",
            "is_verified = 'true'",
            "is_verified = X'01'",
        ] {
            let sql = format!("UPDATE verificationlog SET {change} WHERE id = 9");
            let document = assert_change(TRAIL, 1, &sql, &[(1, "content_changed", 9)]);
            assert_eq!(
                organization(&document, 1)["verdict"],
                "tampered",
                "{change}"
            );
        }
    }

    #[test]
    fn null_where_none_may_be() {
        for column in ["query", "is_verified", "domain", "timestamp"] {
            let copy = fixture(TRAIL, |trail| {
                let sql = format!("UPDATE verificationlog SET {column} = NULL WHERE id = 9");
                trail.loosen().change(1, &sql);
            });
            let document = assert_tampered(&copy, &[(1, "content_changed", 9)]);
            assert_eq!(*failed(&document, 1), json!([9]), "{column}");
        }
    }
}

mod signature {
    use super::*;

    #[test]
    fn invalid() {
        for change in [
            "upper(hmac_signature)",
            "entry_hash",
            "'x'",
            "(SELECT hmac_signature FROM verificationlog WHERE id = 11)",
            "X'00'",
        ] {
            let sql = format!("UPDATE verificationlog SET hmac_signature = {change} WHERE id = 9");
            let document = assert_change(TRAIL, 1, &sql, &[(1, "signature_invalid", 9)]);
            assert_eq!(*failed(&document, 1), json!([9]), "{change}");
        }
    }

    /// Content, hash and signature are all a stranger's; the next entry's link breaks of that.
    #[test]
    fn invalid_on_an_entry_rewritten_without_the_key() {
        let copy = fixture(TRAIL, |trail| {
            trail
                .change(1, "UPDATE verificationlog SET query = 'x' WHERE id = 9")
                .rehash(9)
                .sign(9, OTHER_KEY);
        });
        let document = assert_tampered(&copy, &[(1, "signature_invalid", 9)]);
        assert_eq!(*failed(&document, 1), json!([9, 11]));
    }

    #[test]
    fn missing() {
        for value in ["NULL", "''"] {
            let sql = format!("UPDATE verificationlog SET hmac_signature = {value} WHERE id = 9");
            let document = assert_change(TRAIL, 1, &sql, &[(1, "signature_missing", 9)]);
            assert_eq!(*failed(&document, 1), json!([9]), "{value}");
        }
    }

    #[test]
    fn missing_on_several_in_a_row_is_one_finding() {
        let sql = "UPDATE verificationlog SET hmac_signature = NULL WHERE id IN (9, 11, 13)";
        let document = assert_change(TRAIL, 3, sql, &[(1, "signature_missing", 9)]);
        let finding = only(&document, 1);
        assert_eq!(
            (&finding["entries"], &finding["last_entry_id"]),
            (&json!(3), &json!(13))
        );
    }

    #[test]
    fn missing_in_two_places_is_two_findings() {
        let sql = "UPDATE verificationlog SET hmac_signature = NULL WHERE id IN (9, 13)";
        let expected = [(1, "signature_missing", 9), (1, "signature_missing", 13)];
        assert_change(TRAIL, 2, sql, &expected);
    }
}

mod hash_missing {
    use super::*;

    #[test]
    fn all_or_only_the_hash() {
        for change in [
            "entry_hash = NULL, hmac_signature = NULL, previous_hash = NULL",
            "entry_hash = '', hmac_signature = '', previous_hash = NULL",
            "entry_hash = NULL",
            "entry_hash = ''",
            "entry_hash = NULL, hmac_signature = NULL",
        ] {
            let sql = format!("UPDATE verificationlog SET {change} WHERE id = 9");
            let document = assert_change(TRAIL, 1, &sql, &[(1, "hash_missing", 9)]);
            assert_eq!(*failed(&document, 1), json!([9, 11]), "{change}");
            assert!(
                detail(only(&document, 1)).contains("content is as it was"),
                "{document}"
            );
        }
    }

    #[test]
    fn with_the_content_changed() {
        let sql = format!("{BLANK}, query = 'x' WHERE id = 9");
        let document = assert_change(TRAIL, 1, &sql, &[(1, "hash_missing", 9)]);
        assert!(
            !detail(only(&document, 1)).contains("content is as it was"),
            "{document}"
        );
    }

    #[test]
    fn on_several_in_a_row_is_one_finding() {
        let sql = format!("{BLANK} WHERE id IN (9, 11, 13)");
        let document = assert_change(TRAIL, 3, &sql, &[(1, "hash_missing", 9)]);
        let finding = only(&document, 1);
        assert_eq!(
            (&finding["entries"], &finding["last_entry_id"]),
            (&json!(3), &json!(13))
        );
        assert_eq!(*failed(&document, 1), json!([9, 11, 13, 15]));
    }

    #[test]
    fn in_two_places_is_two_findings() {
        let sql = format!("{BLANK} WHERE id IN (9, 21)");
        assert_change(
            TRAIL,
            2,
            &sql,
            &[(1, "hash_missing", 9), (1, "hash_missing", 21)],
        );
    }

    #[test]
    fn at_the_end() {
        let sql = format!("{BLANK} WHERE id = 39");
        assert_change(TRAIL, 1, &sql, &[(1, "hash_missing", 39)]);
    }

    /// An entry written past QWED between two others.
    #[test]
    fn on_an_entry_put_in_between() {
        let copy = fixture(TRAIL, |trail| {
            trail
                .spread()
                .copy(190, 195)
                .change(1, &format!("{BLANK} WHERE id = 195"));
        });
        let document = assert_tampered(&copy, &[(1, "hash_missing", 195)]);
        assert_eq!(*failed(&document, 1), json!([195, 210]));
    }
}

mod legacy {
    use super::*;

    #[test]
    fn entries_before_the_chain() {
        let copy = Copy::of("upgraded");
        let run = Program::verify(&copy.path).json();
        assert_found(&run, "incomplete", &[(1, "legacy", 1), (2, "legacy", 2)]);
        let finding = only(&run.1, 1);
        assert_eq!(finding["severity"], "incomplete");
        assert_eq!(
            (&finding["entries"], &finding["last_entry_id"]),
            (&json!(6), &json!(11))
        );
    }

    /// By QWED's own statement nothing can show that there once were hashes.
    #[test]
    fn a_trail_blanked_as_a_whole() {
        let copy = fixture(TRAIL, |trail| {
            trail.change(20, &format!("{BLANK} WHERE organization_id = 1"));
        });
        let run = Program::verify(&copy.path).json();
        assert_found(&run, "incomplete", &[(1, "legacy", 1)]);
        assert_eq!(only(&run.1, 1)["entries"], 20);
        assert_eq!(organization(&run.1, 2)["verdict"], "intact");
    }

    #[test]
    fn the_first_entries_blanked_do_not_pass_for_legacy_alone() {
        let sql = format!("{BLANK} WHERE id IN (1, 3)");
        let expected = [(1, "legacy", 1), (1, "predecessor_missing", 5)];
        let document = assert_change(TRAIL, 2, &sql, &expected);
        assert_eq!(*failed(&document, 1), json!([5]));
        assert_eq!(
            organization(&document, 1)["qwed"]["legacy_entries"],
            json!([1, 3])
        );
    }
}

mod predecessor_missing {
    use super::*;

    fn deleted(ids: &str, count: usize, expected: Expected<'_>) -> Value {
        let sql = format!("DELETE FROM verificationlog WHERE id IN ({ids})");
        assert_change(TRAIL, count, &sql, expected)
    }

    #[test]
    fn one_entry() {
        let document = deleted("9", 1, &[(1, "predecessor_missing", 11)]);
        let detail = detail(only(&document, 1));
        assert!(detail.contains("between entries 7 and 11"), "{detail}");
        assert_eq!(*failed(&document, 1), json!([11]));
    }

    #[test]
    fn several_in_a_row() {
        let document = deleted("9, 11, 13", 3, &[(1, "predecessor_missing", 15)]);
        let detail = detail(only(&document, 1));
        assert!(detail.contains("between entries 7 and 15"), "{detail}");
    }

    #[test]
    fn the_first_ones() {
        for (ids, count, next) in [("1", 1, 3), ("1, 3, 5", 3, 7)] {
            let document = deleted(ids, count, &[(1, "predecessor_missing", next)]);
            let detail = detail(only(&document, 1));
            assert!(detail.contains(&format!("before entry {next}")), "{detail}");
        }
    }

    #[test]
    fn in_two_places() {
        deleted(
            "9, 21",
            2,
            &[
                (1, "predecessor_missing", 11),
                (1, "predecessor_missing", 23),
            ],
        );
    }

    #[test]
    fn in_both_organisations() {
        deleted(
            "9, 10",
            2,
            &[
                (1, "predecessor_missing", 11),
                (2, "predecessor_missing", 12),
            ],
        );
    }

    #[test]
    fn all_but_the_last() {
        let sql = "DELETE FROM verificationlog WHERE id < 39 AND organization_id = 1";
        assert_change(TRAIL, 19, sql, &[(1, "predecessor_missing", 39)]);
    }

    /// Hash and content of entry 9 agree: its missing signature did not break the link behind it.
    #[test]
    fn behind_an_entry_whose_signature_is_wrong_as_well() {
        for (signature, kind) in [("NULL", "signature_missing"), ("'x'", "signature_invalid")] {
            let copy = fixture(TRAIL, |trail| {
                trail
                    .change(
                        1,
                        &format!(
                            "UPDATE verificationlog SET hmac_signature = {signature} WHERE id = 9"
                        ),
                    )
                    .change(1, "DELETE FROM verificationlog WHERE id = 11");
            });
            let document = assert_tampered(&copy, &[(1, kind, 9), (1, "predecessor_missing", 13)]);
            assert_eq!(*failed(&document, 1), json!([9, 13]));
        }
    }

    /// A holder of the key replaces an entry: what the next one follows is gone.
    #[test]
    fn an_entry_replaced_by_a_holder_of_the_key() {
        let copy = fixture(TRAIL, |trail| {
            trail
                .change(1, "UPDATE verificationlog SET query = 'x' WHERE id = 9")
                .rehash(9)
                .sign(9, FIXTURE_KEY);
        });
        let document = assert_tampered(&copy, &[(1, "predecessor_missing", 11)]);
        assert_eq!(*failed(&document, 1), json!([11]));
    }
}

mod reordered {
    use super::*;

    fn rotated(ids: &[i64], expected: Expected<'_>) -> Value {
        let copy = fixture(TRAIL, |trail| {
            trail.rotate(ids);
        });
        assert_tampered(&copy, expected)
    }

    #[test]
    fn neighbours_swapped() {
        let document = rotated(&[9, 11], &[(1, "reordered", 9), (1, "reordered", 11)]);
        assert_eq!(*failed(&document, 1), json!([9, 11, 13]));
        let findings = organization(&document, 1)["findings"]
            .as_array()
            .expect("a list");
        // Which entry each of them follows: 9 now holds what was 11.
        assert!(
            detail(&findings[0]).contains("follows entry 11 "),
            "{document}"
        );
        assert!(
            detail(&findings[1]).contains("follows entry 7 "),
            "{document}"
        );
    }

    #[test]
    fn distant_entries_swapped() {
        let document = rotated(&[9, 25], &[(1, "reordered", 9), (1, "reordered", 25)]);
        assert_eq!(*failed(&document, 1), json!([9, 11, 25, 27]));
    }

    #[test]
    fn the_first_and_the_last_swapped() {
        let document = rotated(&[1, 39], &[(1, "reordered", 1), (1, "reordered", 39)]);
        assert_eq!(*failed(&document, 1), json!([1, 3, 39]));
    }

    /// One entry was moved; those behind it still follow each other, and only it stands where QWED did not write it.
    #[test]
    fn one_moved_forwards() {
        let document = rotated(&[9, 11, 13], &[(1, "reordered", 9)]);
        assert_eq!(*failed(&document, 1), json!([9, 11, 15]));
    }

    #[test]
    fn one_moved_backwards() {
        let document = rotated(&[13, 11, 9], &[(1, "reordered", 13)]);
        assert_eq!(*failed(&document, 1), json!([9, 13, 15]));
    }

    /// An entry that is genuine in all but its place.
    #[test]
    fn the_last_one_put_in_between() {
        let copy = fixture(TRAIL, |trail| {
            trail
                .spread()
                .change(1, "UPDATE verificationlog SET id = 195 WHERE id = 390");
        });
        let document = assert_tampered(&copy, &[(1, "reordered", 195)]);
        assert_eq!(*failed(&document, 1), json!([195, 210]));
        assert!(
            detail(only(&document, 1)).contains("follows entry 370 "),
            "{document}"
        );
    }
}

mod forked {
    use super::*;

    #[test]
    fn a_second_successor_signed_with_the_key() {
        let copy = fixture(TRAIL, |trail| {
            let before = trail.hash_of(37);
            trail
                .copy(39, 41)
                .change(
                    1,
                    &format!("UPDATE verificationlog SET query = 'x', previous_hash = '{before}' WHERE id = 41"),
                )
                .rehash(41)
                .sign(41, FIXTURE_KEY);
        });
        let document = assert_tampered(&copy, &[(1, "forked", 41)]);
        let detail = detail(only(&document, 1));
        assert!(
            detail.contains("follows entry 37, and so does entry 39"),
            "{detail}"
        );
        assert_eq!(*failed(&document, 1), json!([41]));
    }

    /// Which of the two is the intruder, nobody can tell: the link that breaks is the later one's.
    #[test]
    fn a_second_successor_before_the_first() {
        let copy = fixture(TRAIL, |trail| {
            trail
                .spread()
                .copy(210, 195)
                .change(1, "UPDATE verificationlog SET query = 'x' WHERE id = 195")
                .rehash(195)
                .sign(195, FIXTURE_KEY);
        });
        let document = assert_tampered(&copy, &[(1, "forked", 210)]);
        assert_eq!(*failed(&document, 1), json!([210]));
    }

    #[test]
    fn an_entry_played_again() {
        let copy = fixture(TRAIL, |trail| {
            trail.copy(9, 41);
        });
        let document = assert_tampered(&copy, &[(1, "forked", 41)]);
        assert_eq!(*failed(&document, 1), json!([41]));
    }

    #[test]
    fn a_second_beginning() {
        let copy = fixture(TRAIL, |trail| {
            trail
                .copy(1, 41)
                .change(1, "UPDATE verificationlog SET query = 'x' WHERE id = 41")
                .rehash(41)
                .sign(41, FIXTURE_KEY);
        });
        let document = assert_tampered(&copy, &[(1, "forked", 41)]);
        assert_eq!(*failed(&document, 1), json!([41]));
    }

    /// A forgery before the first entry makes that one no second beginning.
    #[test]
    fn not_what_follows_a_forgery() {
        let copy = fixture(TRAIL, |trail| {
            trail.copy(9, 0).change(
                1,
                "UPDATE verificationlog SET query = 'x', previous_hash = NULL WHERE id = 0",
            );
        });
        let document = assert_tampered(&copy, &[(1, "content_changed", 0)]);
        assert_eq!(*failed(&document, 1), json!([0, 1]));
    }
}

mod moved_organisation {
    use super::*;

    #[test]
    fn is_seen_from_both() {
        let sql = "UPDATE verificationlog SET organization_id = 2 WHERE id = 9";
        let expected = [(1, "moved_organisation", 11), (2, "moved_organisation", 9)];
        let document = assert_change(TRAIL, 1, sql, &expected);
        assert!(
            detail(only(&document, 1)).contains("9, is now in organisation 2"),
            "{document}"
        );
        assert!(
            detail(only(&document, 2)).contains("for organisation 1"),
            "{document}"
        );
        assert_eq!(*failed(&document, 1), json!([11]));
        assert_eq!(*failed(&document, 2), json!([9, 10]));
    }

    #[test]
    fn of_the_last_entry_is_seen_where_it_went() {
        let sql = "UPDATE verificationlog SET organization_id = 2 WHERE id = 39";
        assert_change(TRAIL, 1, sql, &[(2, "moved_organisation", 39)]);
    }

    /// The entry itself names no predecessor that could tell where it was; its old successor can.
    #[test]
    fn of_the_first_entry() {
        let sql = "UPDATE verificationlog SET organization_id = 2 WHERE id = 1";
        let copy = fixture(TRAIL, |trail| {
            trail.change(1, sql);
        });
        let (run, document) = Program::verify(&copy.path).json();
        assert_eq!(run.code, Some(1));
        let found = findings(&document);
        let places: Vec<_> = found
            .iter()
            .map(|(organization, _, entry)| (*organization, *entry))
            .collect();
        assert_eq!(places, [(Some(1), 3), (Some(2), 1)], "{document}");
        assert_eq!(only(&document, 1)["kind"], "moved_organisation");
    }

    #[test]
    fn to_one_that_does_not_exist() {
        let sql = "UPDATE verificationlog SET organization_id = 77 WHERE id = 9";
        let expected = [(1, "moved_organisation", 11), (77, "moved_organisation", 9)];
        assert_change(TRAIL, 1, sql, &expected);
    }

    #[test]
    fn to_none() {
        for value in ["NULL", "'one'"] {
            let copy = fixture(TRAIL, |trail| {
                let sql =
                    format!("UPDATE verificationlog SET organization_id = {value} WHERE id = 9");
                trail.loosen().change(1, &sql);
            });
            let (run, document) = Program::verify(&copy.path).json();
            assert_eq!(run.code, Some(1));
            let mut expected = vec![(None, "content_changed".to_owned(), 9)];
            expected.extend(owned(&[(1, "moved_organisation", 11)]));
            assert_eq!(findings(&document), expected, "{value}: {document}");
        }
    }
}

mod result_malformed {
    use super::*;

    #[test]
    fn empty_or_cut_off() {
        for result in [
            "''",
            "substr(result, 1, length(result) - 1)",
            "result || '}'",
            "'{''a'': 1}'",
            "'{\"a\": 1,}'",
            "'nan'",
        ] {
            let sql = format!("UPDATE verificationlog SET result = {result} WHERE id = 14");
            let document = assert_change(TRAIL, 1, &sql, &[(2, "result_malformed", 14)]);
            let answer = &organization(&document, 2)["qwed"];
            assert_eq!(answer["failed_entries"], json!([14]), "{result}");
            assert_eq!(answer["verified_entries"], 19, "the walk goes on: {result}");
        }
    }

    #[test]
    fn null() {
        let copy = fixture(TRAIL, |trail| {
            trail
                .loosen()
                .change(1, "UPDATE verificationlog SET result = NULL WHERE id = 14");
        });
        assert_tampered(&copy, &[(2, "result_malformed", 14)]);
    }
}

mod keys {
    use super::*;

    fn verify_with(copy: &Copy, key: &str) -> (Run, Value) {
        Program::verify(&copy.path)
            .env("QWED_AUDIT_SECRET_KEY", key)
            .json()
    }

    /// Entries up to 20 signed with the old key, the rest with the new one.
    fn rotated() -> Copy {
        fixture(TRAIL, |trail| {
            trail.sign_all("id <= 20", OTHER_KEY);
        })
    }

    fn with_config(copy: &Copy, config: &str) -> Program {
        let path = copy.directory.path().join("trailkeeper.toml");
        fs::write(&path, config).expect("write the configuration");
        Program::verify(&copy.path).arg("--config").arg(path)
    }

    #[test]
    fn the_wrong_one_for_the_whole_trail() {
        let copy = Copy::of(TRAIL);
        let run = verify_with(&copy, OTHER_KEY);
        assert_found(
            &run,
            "tampered",
            &[(1, "unknown_key", 1), (2, "unknown_key", 2)],
        );
        for id in [1, 2] {
            let finding = only(&run.1, id);
            assert_eq!(finding["entries"], 20);
            assert!(
                detail(finding).contains("the key may be the wrong one"),
                "{finding}"
            );
        }
        assert_eq!(run.1["keys"], json!([{"id": "default", "entries": 0}]));
    }

    #[test]
    fn the_wrong_one_for_a_single_entry() {
        let copy = fixture(TRAIL, |trail| {
            trail.change(38, "DELETE FROM verificationlog WHERE id > 2");
        });
        let run = verify_with(&copy, OTHER_KEY);
        assert_found(
            &run,
            "tampered",
            &[(1, "unknown_key", 1), (2, "unknown_key", 2)],
        );
        assert!(
            detail(only(&run.1, 1)).contains("the key may be the wrong one"),
            "{}",
            run.1
        );
    }

    /// The wrong key is one cause, however many other faults lie between the entries.
    #[test]
    fn the_wrong_one_beside_other_faults() {
        let copy = fixture(TRAIL, |trail| {
            trail
                .change(1, "UPDATE verificationlog SET query = 'x' WHERE id = 9")
                .change(
                    1,
                    "UPDATE verificationlog SET hmac_signature = NULL WHERE id = 21",
                );
        });
        let run = verify_with(&copy, OTHER_KEY);
        let expected = [
            (1, "unknown_key", 1),
            (1, "content_changed", 9),
            (1, "signature_missing", 21),
            (2, "unknown_key", 2),
        ];
        assert_found(&run, "tampered", &expected);
    }

    #[test]
    fn an_old_one_missing_after_a_rotation() {
        let copy = rotated();
        let run = Program::verify(&copy.path).json();
        assert_found(
            &run,
            "tampered",
            &[(1, "unknown_key", 1), (2, "unknown_key", 2)],
        );
        let finding = only(&run.1, 1);
        assert_eq!(
            (&finding["entries"], &finding["last_entry_id"]),
            (&json!(10), &json!(19))
        );
        assert_eq!(run.1["keys"], json!([{"id": "default", "entries": 20}]));
    }

    #[test]
    fn a_new_one_missing_after_a_rotation() {
        let run = verify_with(&rotated(), OTHER_KEY);
        assert_found(
            &run,
            "tampered",
            &[(1, "unknown_key", 21), (2, "unknown_key", 22)],
        );
    }

    /// A stranger who re-signs the rest of a trail looks just like a missing key.
    #[test]
    fn a_trail_rewritten_by_a_stranger() {
        let copy = fixture(TRAIL, |trail| {
            trail
                .change(1, "UPDATE verificationlog SET query = 'x' WHERE id = 21")
                .rewrite("organization_id = 1 AND id >= 21", OTHER_KEY);
        });
        let run = Program::verify(&copy.path).json();
        assert_found(&run, "tampered", &[(1, "unknown_key", 21)]);
        assert_eq!(only(&run.1, 1)["entries"], 10);
    }

    #[test]
    fn a_ring_of_both() {
        let copy = rotated();
        let config = "[[qwed.keys]]\nid = \"new\"\nenv = \"QWED_AUDIT_SECRET_KEY\"\n\n[[qwed.keys]]\nid = \"old\"\n\
                      env = \"OLD_KEY\"\n";
        let run = with_config(&copy, config).env("OLD_KEY", OTHER_KEY).json();
        assert_found(&run, "intact", &[]);
        assert_eq!(
            run.1["keys"],
            json!([{"id": "new", "entries": 20}, {"id": "old", "entries": 20}])
        );
    }

    #[test]
    fn a_ring_from_a_file() {
        let copy = rotated();
        let secret = copy.directory.path().join("old-key");
        fs::write(&secret, format!("{OTHER_KEY}\n")).expect("write the key");
        let config = format!(
            "[[qwed.keys]]\nid = \"old\"\nfile = {:?}\n",
            secret.display().to_string()
        );
        let run = with_config(&copy, &config).json();
        assert_found(&run, "intact", &[]);
        assert_eq!(
            run.1["keys"],
            json!([{"id": "default", "entries": 20}, {"id": "old", "entries": 20}])
        );
    }

    #[test]
    fn used_after_their_time() {
        let copy = rotated();
        let config = "[[qwed.keys]]\nid = \"old\"\nenv = \"OLD_KEY\"\nnot_after = \"2026-01-01\"\n";
        let run = with_config(&copy, config).env("OLD_KEY", OTHER_KEY).json();
        assert_found(
            &run,
            "tampered",
            &[(1, "signature_invalid", 1), (2, "signature_invalid", 2)],
        );
        let finding = only(&run.1, 1);
        assert!(
            detail(finding).contains("\"old\" outside the time"),
            "{finding}"
        );
        assert_eq!(finding["entries"], 10);
    }

    /// A window that fits no entry is not a wrong key, and must not be reported as one.
    #[test]
    fn used_outside_their_time_throughout() {
        let copy = Copy::of(TRAIL);
        let config = "[[qwed.keys]]\nid = \"main\"\nenv = \"QWED_AUDIT_SECRET_KEY\"\nnot_after = \"2026-01-01\"\n";
        let run = with_config(&copy, config).json();
        assert_found(
            &run,
            "tampered",
            &[(1, "signature_invalid", 1), (2, "signature_invalid", 2)],
        );
        assert!(
            detail(only(&run.1, 1)).contains("outside the time"),
            "{}",
            run.1
        );
    }

    #[test]
    fn the_compliance_guides_name_for_the_variable() {
        let copy = Copy::of(TRAIL);
        let run = Program::bare()
            .env("AUDIT_SECRET_KEY", FIXTURE_KEY)
            .args([
                "verify",
                "--database",
                &crate::support::program::url(&copy.path),
            ])
            .json();
        assert_found(&run, "intact", &[]);
        // QWED's own variable comes first, even where it is wrong.
        let both = Program::verify(&copy.path)
            .env("QWED_AUDIT_SECRET_KEY", OTHER_KEY)
            .env("AUDIT_SECRET_KEY", FIXTURE_KEY)
            .json();
        assert_eq!(both.1["verdict"], "tampered");
    }

    fn signed_with(key: &str) -> (Run, Value) {
        let directory = tempfile::tempdir().expect("make a directory");
        let path = directory.path().join("weak.db");
        let mut generator = Generator::new(Key::new("weak", key.as_bytes()), 2, 7);
        let mut writer = SqliteWriter::create(&path).expect("make the database");
        writer.write(&mut generator, 50).expect("write the trail");
        drop(writer);
        Program::verify(&path)
            .env("QWED_AUDIT_SECRET_KEY", key)
            .json()
    }

    #[test]
    fn weak_ones_are_told_apart_from_the_trail() {
        for (key, part) in [
            ("dev_only_change_in_production", "default that QWED shipped"),
            ("short", "5 bytes"),
            ("0123456789012345678901234567890", "31 bytes"),
        ] {
            let run = signed_with(key);
            assert_found(&run, "intact", &[]);
            let findings = run.1["findings"].as_array().expect("a list");
            assert_eq!(findings.len(), 1, "{}", run.1);
            let finding = &findings[0];
            assert_eq!(
                (&finding["kind"], &finding["key_id"], &finding["severity"]),
                (&json!("weak_key"), &json!("default"), &json!("warning"))
            );
            assert!(detail(finding).contains(part), "{finding}");
            assert!(!run.0.stdout.contains(key), "the key is not printed");
        }
        let run = signed_with("01234567890123456789012345678901");
        assert_found(&run, "intact", &[]);
        assert_eq!(run.1["findings"], json!([]));
    }
}

mod old_releases {
    use super::*;

    /// What is said of an organisation does not depend on whether others are asked about as well.
    #[track_caller]
    fn assert_same_alone(copy: &Copy) {
        let (_, all) = Program::verify(&copy.path).json();
        for id in [1, 2, 3] {
            let (_, alone) = Program::verify(&copy.path)
                .args(["--org", &id.to_string()])
                .json();
            assert_eq!(
                alone["organizations"],
                json!([organization(&all, id)]),
                "organisation {id}"
            );
        }
    }

    const CHAINED: [(i64, &str, i64); 2] = [(1, "global_chain", 3), (2, "global_chain", 2)];

    #[test]
    fn a_chain_across_organisations_is_intact() {
        let copy = Copy::of("g1_two_orgs");
        let run = Program::verify(&copy.path).json();
        assert_found(&run, "intact", &CHAINED);
        assert_eq!(only(&run.1, 1)["entries"], 19);
        assert_eq!(only(&run.1, 2)["entries"], 20);
        assert_eq!(only(&run.1, 1)["severity"], "info");
        assert_eq!(organization(&run.1, 1)["qwed"]["valid"], false);
        assert_same_alone(&copy);
    }

    #[test]
    fn a_restart_leaves_a_doubt() {
        let copy = Copy::of("g1_restarted");
        let (run, document) = Program::verify(&copy.path).json();
        assert_eq!(
            (run.code, &document["verdict"]),
            (Some(4), &json!("incomplete"))
        );
        assert_same_alone(&copy);
    }

    /// The hole that nothing can vouch for: the last entries before a restart.
    #[test]
    fn entries_deleted_before_a_restart_stay_a_doubt() {
        let copy = fixture("g1_restarted", |trail| {
            trail.change(2, "DELETE FROM verificationlog WHERE id IN (39, 40)");
        });
        let run = Program::verify(&copy.path).json();
        let expected = [
            (1, "chain_restarted", 41),
            (1, "global_chain", 43),
            (2, "chain_restarted", 41),
            (2, "global_chain", 42),
        ];
        assert_found(&run, "incomplete", &expected);
    }

    #[test]
    fn the_entry_after_a_restart_deleted() {
        let copy = fixture("g1_restarted", |trail| {
            trail.change(1, "DELETE FROM verificationlog WHERE id = 41");
        });
        // That it was of organisation 1, nothing shows any more: it may have been anybody's.
        let expected = [
            (1, "global_chain", 42),
            (1, "global_chain", 43),
            (2, "predecessor_missing", 42),
            (2, "global_chain", 44),
        ];
        let document = assert_tampered(&copy, &expected);
        assert_eq!(organization(&document, 1)["verdict"], "incomplete");
        assert_same_alone(&copy);
    }

    #[test]
    fn an_entry_deleted() {
        let sql = "DELETE FROM verificationlog WHERE id = 10";
        let copy = fixture("g1_two_orgs", |trail| {
            trail.change(1, sql);
        });
        let expected = [
            (1, "global_chain", 3),
            (1, "predecessor_missing", 11),
            (2, "global_chain", 2),
            (2, "global_chain", 11),
        ];
        let document = assert_tampered(&copy, &expected);
        assert_eq!(organization(&document, 2)["verdict"], "incomplete");
        let found = organization(&document, 1)["findings"]
            .as_array()
            .expect("a list");
        assert!(
            detail(&found[1]).contains("between entries 9 and 11"),
            "{document}"
        );
        assert_same_alone(&copy);
    }

    /// The period's first entries link to what lies before it.
    #[test]
    fn a_period_in_the_middle() {
        let copy = Copy::of("g1_two_orgs");
        let from =
            Trail::open(&copy.path).text("SELECT timestamp FROM verificationlog WHERE id = 20");
        let run = Program::verify(&copy.path).args(["--from", &from]).json();
        assert_found(
            &run,
            "intact",
            &[(1, "global_chain", 21), (2, "global_chain", 20)],
        );
    }

    #[test]
    fn an_entry_changed() {
        let copy = fixture("g1_two_orgs", |trail| {
            trail.change(1, "UPDATE verificationlog SET query = 'x' WHERE id = 10");
        });
        // Its organisation is part of the content that is lost.
        let expected = [
            (1, "global_chain", 3),
            (1, "global_chain", 10),
            (2, "global_chain", 2),
            (2, "content_changed", 10),
        ];
        let document = assert_tampered(&copy, &expected);
        assert_eq!(organization(&document, 1)["verdict"], "incomplete");
        assert_same_alone(&copy);
    }

    /// What was changed is certain, and so whose entry it is: nobody else is in doubt.
    #[test]
    fn a_verdict_flipped() {
        let copy = fixture("g1_two_orgs", |trail| {
            trail.change(
                1,
                "UPDATE verificationlog SET is_verified = NOT is_verified WHERE id = 10",
            );
        });
        let expected = [
            (1, "global_chain", 3),
            (2, "global_chain", 2),
            (2, "content_changed", 10),
        ];
        let document = assert_tampered(&copy, &expected);
        assert_eq!(organization(&document, 1)["verdict"], "intact");
        assert_same_alone(&copy);
    }

    /// An entry taken from one organisation into another: the one that lost it must not be called intact, alone neither.
    #[test]
    fn moved_to_another_organisation() {
        for more in [
            "",
            ", query = 'x'",
            ", query = 'x', entry_hash = 'x', hmac_signature = 'x'",
        ] {
            let copy = fixture("g1_two_orgs", |trail| {
                let sql =
                    format!("UPDATE verificationlog SET organization_id = 2{more} WHERE id = 9");
                trail.change(1, &sql);
            });
            let run = Program::verify(&copy.path).args(["--org", "1"]).json();
            assert_eq!(
                (run.0.code, &run.1["verdict"]),
                (Some(4), &json!("incomplete")),
                "{more}"
            );
            let (_, whole) = Program::verify(&copy.path).json();
            assert_eq!(organization(&whole, 2)["verdict"], "tampered", "{more}");
            assert_same_alone(&copy);
        }
    }

    #[test]
    fn the_whole_chain_replayed() {
        let copy = fixture("g1_two_orgs", |trail| {
            for id in 1..=40 {
                trail.copy(id, id + 40);
            }
        });
        for organization in ["1", "2"] {
            let (run, document) = Program::verify(&copy.path)
                .args(["--org", organization])
                .json();
            assert_ne!(run.code, Some(0), "{document}");
        }
        let (_, document) = Program::verify(&copy.path).json();
        assert_eq!(document["verdict"], "tampered");
        assert_same_alone(&copy);
    }

    /// Junk that looks like starts of chains does not crowd out a real restart.
    #[test]
    fn restarts_among_many_starts() {
        let copy = fixture("g1_restarted", |trail| {
            trail.run(
                "WITH RECURSIVE n(id) AS (SELECT -12000 UNION ALL SELECT id + 1 FROM n WHERE id < -1) \
                 INSERT INTO verificationlog (id, organization_id, query, result, is_verified, domain, timestamp, entry_hash) \
                 SELECT id, 3, 'x', '1', 1, 'MATH', '2026-01-01 00:00:00.000000', 'x' FROM n",
            );
        });
        let (run, document) = Program::verify(&copy.path).args(["--org", "1"]).json();
        assert_eq!(
            (run.code, &document["verdict"]),
            (Some(4), &json!("incomplete"))
        );
    }

    /// The chain went through all organisations, so a predecessor in another one is no sign of a move.
    #[test]
    fn neighbours_swapped() {
        let copy = fixture("g1_two_orgs", |trail| {
            trail.rotate(&[9, 11]);
        });
        let (run, document) = Program::verify(&copy.path).json();
        assert_eq!(
            (run.code, &document["verdict"]),
            (Some(1), &json!("tampered"))
        );
        let found = findings(&document);
        let grave: Vec<&str> = found
            .iter()
            .map(|(_, kind, _)| kind.as_str())
            .filter(|&kind| kind != "global_chain")
            .collect();
        assert!(
            !grave.is_empty() && grave.iter().all(|&kind| kind == "reordered"),
            "{document}"
        );
        assert_same_alone(&copy);
    }

    /// The next entry's link, though in another organisation, breaks of the same cause.
    #[test]
    fn a_hash_blanked() {
        for change in ["entry_hash = NULL", "entry_hash = 'x'"] {
            let copy = fixture("g1_two_orgs", |trail| {
                trail.change(
                    1,
                    &format!("UPDATE verificationlog SET {change} WHERE id = 9"),
                );
            });
            let kind = if change.ends_with("NULL") {
                "hash_missing"
            } else {
                "content_changed"
            };
            let expected = [(1, "global_chain", 3), (1, kind, 9), (2, "global_chain", 2)];
            let document = assert_tampered(&copy, &expected);
            assert_eq!(organization(&document, 2)["verdict"], "intact", "{change}");
            assert_same_alone(&copy);
        }
    }

    /// The first entry names no predecessor, and so does its copy: a replay must not pass for a restart.
    #[test]
    fn the_first_one_replayed() {
        let copy = fixture("g1_one_process", |trail| {
            trail.copy(1, 1000);
        });
        let document = assert_tampered(&copy, &[(1, "forked", 1000)]);
        let found = &organization(&document, 1)["findings"][0];
        assert!(detail(found).contains("copy of entry 1,"), "{document}");
        assert_same_alone(&copy);
    }

    #[test]
    fn one_process_for_one_organisation_is_like_today() {
        let copy = fixture("g1_one_process", |trail| {
            trail.change(1, "DELETE FROM verificationlog WHERE id = 10");
        });
        assert_tampered(&copy, &[(1, "predecessor_missing", 11)]);
        assert_same_alone(&copy);
    }
}

mod ids {
    use super::*;

    #[test]
    fn of_any_size_are_as_good() {
        for change in [
            "id + 5000000000",
            "id + 9223372036854775767",
            "id - 9223372036854775807",
            "id * 1000000007",
        ] {
            let copy = fixture(TRAIL, |trail| {
                trail.run(&format!(
                    "CREATE TEMP TABLE moved AS SELECT * FROM verificationlog; DELETE FROM verificationlog; \
                     UPDATE moved SET id = {change}; INSERT INTO verificationlog SELECT * FROM moved"
                ));
            });
            let (highest, lowest) = {
                let trail = Trail::open(&copy.path);
                (
                    trail.integer("SELECT max(id) FROM verificationlog"),
                    trail.integer("SELECT min(id) FROM verificationlog"),
                )
            };
            let run = Program::verify(&copy.path).json();
            assert_found(&run, "intact", &[]);
            assert_eq!(
                organization(&run.1, 1)["qwed"]["first_entry_id"],
                lowest,
                "{change}"
            );
            assert_eq!(
                organization(&run.1, 2)["qwed"]["last_entry_id"],
                highest,
                "{change}"
            );
            let entry = Program::verify(&copy.path)
                .arg(format!("--entry={highest}"))
                .run();
            assert_eq!(entry.code, Some(0), "{entry:?}");
        }
    }

    #[test]
    fn beyond_32_bits_are_reported_whole() {
        let copy = fixture(TRAIL, |trail| {
            trail
                .change(40, "UPDATE verificationlog SET id = id + 5000000000")
                .change(1, "DELETE FROM verificationlog WHERE id = 5000000009");
        });
        assert_tampered(&copy, &[(1, "predecessor_missing", 5_000_000_011)]);
    }

    /// Other columns hold ids as well, which are hashed as they are.
    #[test]
    fn of_users_and_keys_beyond_32_bits() {
        let copy = fixture(TRAIL, |trail| {
            trail
                .change(
                    1,
                    "UPDATE verificationlog SET user_id = 5000000000, api_key_id = 9223372036854775807 WHERE id = 39",
                )
                .rehash(39)
                .sign(39, FIXTURE_KEY);
        });
        let run = Program::verify(&copy.path).json();
        assert_found(&run, "intact", &[]);
    }
}
