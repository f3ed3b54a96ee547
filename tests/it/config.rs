//! `trailkeeper config`, and what a configuration changes elsewhere.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::support::program::{Copy, FIXTURE_KEY, Program, url};

struct Configuration(TempDir);

impl Configuration {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        fs::write(directory.path().join("tk.toml"), text).expect("write the configuration");
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// `config` with this file.
    fn program(&self, command: &str) -> Program {
        Program::bare()
            .args(["config", command, "--config"])
            .arg(self.path().join("tk.toml"))
    }

    fn redacted(&self, text: &str) -> String {
        text.replace(&self.path().display().to_string(), "[DIRECTORY]")
    }
}

#[test]
fn nothing_at_all_is_valid() {
    let run = Program::bare().args(["config", "check"]).run();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    assert_eq!(run.stdout, "the configuration is valid\n");
    let run = Program::bare()
        .args(["config", "check", "--format", "json"])
        .run();
    assert_eq!(run.json(), json!({ "valid": true, "problems": [] }));
}

#[test]
fn check_names_every_problem() {
    let wrong = Configuration::new(
        "[amqp]\nulr = \"amqp://u:hunter2@h\"\nprefetch = \"hunter2\"\n[jobs]\nmax_attempts = 0\n",
    );
    let program = || {
        wrong
            .program("check")
            .env("TRAILKEEPER__LOG__FROMAT", "json")
            .env("TRAILKEEPER__STATE__URL", "hunter2")
    };
    let run = program().run();
    assert_eq!((run.code, run.stderr.as_str()), (Some(2), ""), "{run:?}");
    insta::assert_snapshot!("config_check", wrong.redacted(&run.stdout));
    let (run, document) = program().json();
    assert_eq!(run.code, Some(2));
    assert!(!run.stdout.contains("hunter2"), "{run:?}");
    assert_eq!(document["valid"], false);
    assert_eq!(document["problems"][0]["line"], 2);
    assert_eq!(document["problems"][0]["key"], "amqp.ulr");
    assert_eq!(
        document["problems"][4]["variable"],
        "TRAILKEEPER__STATE__URL"
    );
    // Where something else was wanted, it is one line.
    let run = program_failing_to_show(&wrong);
    insta::assert_snapshot!("config_show_fails", run);
}

fn program_failing_to_show(wrong: &Configuration) -> String {
    let run = wrong.program("show").run();
    let (code, line) = run.failure();
    assert_eq!(code, Some(2));
    wrong.redacted(line)
}

/// What only files and other parts of the program know.
#[test]
fn check_reads_what_the_configuration_names() {
    let directory = tempfile::tempdir().expect("make a directory");
    let at = directory.path().display();
    let wrong = Configuration::new(&format!(
        "[qwed]\ndatabase_url = \"mysql://q:hunter2@h/q\"\n[[qwed.keys]]\nid = \"old\"\nenv = \"NOT_SET\"\n\
         [amqp]\nca_file = \"{at}\"\nclient_cert_file = \"{at}/none.pem\"\nclient_key_file = \"{at}/none.key\"\n\
         [jobs]\ndir = \"{at}/none\"\n[keys]\nflag_database_url = \"postgresql://q:hunter2@h:99999/q\"\n\
         [erasure]\ndatabase_url = \"mysql://e:hunter2@h/q\"\n[[erasure.producers]]\nid = \"crm\"\nfile = \"{at}/none.key\"\n"
    ));
    let run = wrong.program("check").run();
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(!run.stdout.contains("hunter2"), "{run:?}");
    let shown = wrong.redacted(&run.stdout);
    insta::assert_snapshot!(
        "config_check_files",
        shown.replace(&at.to_string(), "[OTHER]")
    );
}

#[test]
fn a_file_that_is_not_there() {
    let run = Program::bare()
        .env("TRAILKEEPER_CONFIG", "/no/such.toml")
        .args(["config", "check"])
        .run();
    assert_eq!(run.code, Some(2));
    insta::assert_snapshot!("config_check_no_file", run.stdout);
}

#[test]
fn show_says_where_each_value_comes_from() {
    let configuration = Configuration::new("[jobs]\nconcurrency = 3\n");
    let secret = configuration.path().join("amqp-url");
    fs::write(&secret, "amqps://tk:hunter2@mq\n").expect("write");
    let program = || {
        configuration
            .program("show")
            .env("TRAILKEEPER__AMQP__URL_FILE", &secret)
            .env("DATABASE_URL", "postgresql://q:hunter2@db/q")
    };
    let run = program().run();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    let shown = configuration.redacted(&run.stdout);
    for line in [
        "concurrency = 3  # from [DIRECTORY]/tk.toml:2",
        "url = \"amqps://tk:***@mq\"  # from [DIRECTORY]/amqp-url",
        "url_file = \"[DIRECTORY]/amqp-url\"  # from TRAILKEEPER__AMQP__URL_FILE",
        "database_url = \"postgresql://q:***@db/q\"  # from DATABASE_URL",
        "max_attempts = 5  # default",
    ] {
        assert!(shown.lines().any(|other| other == line), "{line}: {shown}");
    }
    let (_, document) = program().json();
    assert_eq!(document["config"]["amqp"]["url"], "amqps://tk:***@mq");
    assert_eq!(document["sources"]["qwed.database_url"], "DATABASE_URL");
}

/// The file that ships with the program is a configuration that changes nothing.
#[test]
fn the_default_file_can_be_given() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/default.toml");
    let values = |program: Program| {
        let (run, document) = program.json();
        assert_eq!(run.code, Some(0), "{run:?}");
        document["config"].clone()
    };
    let given = Program::bare()
        .args(["config", "show", "--config"])
        .arg(path);
    let bare = Program::bare().args(["config", "show"]);
    assert_eq!(values(given), values(bare));
}

#[test]
fn verify_goes_by_the_configuration_unless_an_option_says_otherwise() {
    let copy = Copy::of("t_query_edited");
    let secret = copy.directory.path().join("url");
    fs::write(&secret, format!("{}\n", url(&copy.path))).expect("write");
    let program = || {
        Program::bare()
            .env("QWED_AUDIT_SECRET_KEY", FIXTURE_KEY)
            .env("TRAILKEEPER__QWED__DATABASE_URL_FILE", &secret)
            .env("TRAILKEEPER__VERIFY__THREADS", "2")
            .arg("verify")
    };
    let run = program().run();
    assert_eq!(run.code, Some(1), "{run:?}");
    let copy = Copy::of("upgraded");
    let legacy = |program: Program| {
        let (run, document) = program.env("TRAILKEEPER__VERIFY__MAX_FINDINGS", "2").json();
        assert_eq!(run.code, Some(4), "{run:?}");
        document["organizations"][0]["qwed"]["legacy_entries"]
            .as_array()
            .map(Vec::len)
    };
    assert_eq!(legacy(Program::verify(&copy.path)), Some(2));
    let option = Program::verify(&copy.path).args(["--max-findings", "3"]);
    assert_eq!(legacy(option), Some(3));
}
