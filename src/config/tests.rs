//! The layers together, and what people read of them.

use super::*;

/// Loads a text as the file `/etc/tk.toml`.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let environment = variables.iter().copied().collect();
    let file = Some((Path::new("/etc/tk.toml"), text));
    Loaded::combine(file, &environment, Vec::new())
        .map_err(|problems| problems.0.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn problems(text: &str, variables: &[(&str, &str)]) -> String {
    let lines = load(text, variables).expect_err("something is wrong");
    let text = lines.join("\n");
    assert!(!text.contains("hunter2"), "{text}");
    text
}

#[test]
fn the_default_file_lists_every_key() {
    let (_, tree, problems) = strict::layer(
        Path::new("default.toml"),
        DEFAULT,
        &schema::Schema::of::<Config>(),
        true,
    );
    assert_eq!(problems, []);
    let listed = tree::plain(&tree);
    for path in schema::Schema::of::<Config>().paths() {
        let mut value = Some(&toml::Value::Table(listed.clone())).cloned();
        for part in path.split('.') {
            value = value.and_then(|value| value.get(part).cloned());
        }
        assert!(value.is_some(), "{path} is not in config/default.toml");
    }
}

#[test]
fn what_the_default_file_shows_in_comments_is_valid() {
    let is_shown = |line: &str| line.starts_with('[') || line.contains(" = ");
    let is_shown_filled = |line: &&str| {
        let lists = [
            "keys =",
            "producers =",
            "tokens =",
            "channels =",
            "routes =",
        ];
        lists.iter().any(|list| line.starts_with(list)) || *line == "database_url = \"\""
    };
    let lines = DEFAULT.lines().filter(|line| !is_shown_filled(line));
    let shown: String = lines
        .filter_map(|line| match line.strip_prefix("# ") {
            Some(rest) => is_shown(rest).then_some(rest),
            None => (!line.starts_with('#')).then_some(line),
        })
        // The table of kinds is opened by the one that is shown.
        .filter(|line| *line != "[jobs.kinds]")
        .map(|line| format!("{line}\n"))
        .collect();
    let config = load(&shown, &[]).unwrap().config;
    assert_eq!(config.qwed.keys.len(), 2);
    assert_eq!(config.erasure.producers.len(), 1);
    assert_eq!(config.http.tokens.len(), 1);
    assert_eq!(config.notify.channels.len(), 5);
    assert_eq!(config.notify.routes.len(), 1);
    assert_eq!(config.jobs.kinds["verify_trail"].priority, Some(10));
    assert!(config.qwed_url().is_some());
}

#[test]
fn the_defaults() {
    let config = Config::default();
    assert_eq!(
        config.state_url().expose(),
        "sqlite:///var/lib/trailkeeper/trailkeeper.db"
    );
    assert!(config.qwed_url().is_none() && config.flag_url().is_none());
    assert_eq!(config.metrics.listen.port(), 9464);
    assert_eq!(config.log.format, LogFormat::Text);
    insta::assert_snapshot!(load("", &[]).unwrap().to_toml());
}

#[test]
fn the_environment_is_stronger_than_the_file_and_the_file_than_the_defaults() {
    let text = "[jobs]\nconcurrency = 2\nmax_attempts = 3\n[jobs.kinds.a]\npriority = 1\ntimeout_seconds = 5\n";
    let variables = [
        ("TRAILKEEPER_CONFIG", "/etc/tk.toml"),
        ("TRAILKEEPER__JOBS__CONCURRENCY", "3"),
        ("TRAILKEEPER__jobs__Kinds__A__Priority", "-4"),
        ("TRAILKEEPER__KEYS__FLAG_IN_DATABASE", "false"),
        ("TRAILKEEPER__DATA_DIR", "/srv/\"a\"?"),
        ("TRAILKEEPER__LOG__LEVEL", "warn,trailkeeper=debug"),
    ];
    let config = load(text, &variables).unwrap().config;
    assert_eq!((config.jobs.concurrency, config.jobs.max_attempts), (3, 3));
    let kind = &config.jobs.kinds["a"];
    assert_eq!(
        (kind.priority, kind.timeout_seconds, kind.concurrency),
        (Some(-4), Some(5), None)
    );
    assert!(!config.keys.flag_in_database);
    assert_eq!(config.log.level, "warn,trailkeeper=debug");
    assert_eq!(
        config.state_url().expose(),
        "sqlite:///srv/\"a\"%3F/trailkeeper.db"
    );
}

#[test]
fn lists_and_tables_in_the_environment() {
    let keys = "[{ id = \"a\", env = \"A\" }, { id = \"b\", env = \"B\" }]";
    let config = load("", &[("TRAILKEEPER__QWED__KEYS", keys)])
        .unwrap()
        .config;
    assert_eq!(config.qwed.keys.len(), 2);
    let kinds = "{ a = { priority = 1 } }";
    let config = load("", &[("TRAILKEEPER__JOBS__KINDS", kinds)])
        .unwrap()
        .config;
    assert_eq!(config.jobs.kinds.len(), 1);
    insta::assert_snapshot!(problems("", &[("TRAILKEEPER__QWED__KEYS", "a, b")]));
}

#[test]
fn qweds_own_variable_is_the_weakest() {
    let variables = [("DATABASE_URL", "sqlite:///env.db")];
    let loaded = load("", &variables).unwrap();
    assert_eq!(
        loaded.config.qwed_url().unwrap().expose(),
        "sqlite:///env.db"
    );
    assert_eq!(
        loaded.place("qwed.database_url").to_string(),
        "DATABASE_URL"
    );
    let config = load("[qwed]\ndatabase_url = \"sqlite:///file.db\"\n", &variables)
        .unwrap()
        .config;
    assert_eq!(config.qwed_url().unwrap().expose(), "sqlite:///file.db");
    assert_eq!(config.flag_url(), config.qwed_url());
}

#[test]
fn unknown_keys_name_their_place_and_what_may_be_meant() {
    let text = "data-dir = \"/srv\"\nlease_seconds = 3\n\n[amqp]\nulr = \"amqp://u:hunter2@h\"\n[amqp.tls]\n\
                [jobs.kinds.verify]\npriorty = 1\n[[qwed.keys]]\nid = \"a\"\nfiel = \"hunter2\"\n[colours]\n";
    let variables = [
        ("TRAILKEEPER__AMPQ__URL", "amqp://u:hunter2@h"),
        ("TRAILKEEPER__JOBS__KINDS__A__TIMEOUT", "5"),
        ("TRAILKEEPER__JOBS__CONCURRENCY__MAX", "5"),
        ("TRAILKEEPER__", "5"),
    ];
    insta::assert_snapshot!(problems(text, &variables));
}

#[test]
fn wrong_values_name_their_place_and_what_was_expected() {
    let text = "data_dir = 5\nmetrics = 9464\nstate.url = \"mysql://hunter2@h/d\"\n[log]\nformat = \"xml\"\nlevel = \"a=b=c\"\n\
                [http]\nlisten = \"localhost\"\n[jobs]\nconcurrency = 0\nlease_seconds = \"hunter2\"\nmax_attempts = -1\n\
                retry_max_seconds = 1\nkinds.a.timeout_seconds = 0\n[keys]\nmax_age_days = 10\nflag_in_database = 1.5\n\
                [[qwed.keys]]\nenv = \"A\"\n[verify]\nmax_findings = 99999999999999999999\n";
    let variables = [
        ("TRAILKEEPER__AMQP__PREFETCH", "hunter2"),
        ("TRAILKEEPER__AMQP__BATCH", "70000"),
        ("TRAILKEEPER__AMQP__CLIENT_KEY_FILE", "/k.pem"),
        ("TRAILKEEPER__JOBS__DRAIN_SECONDS", "5000"),
        ("TRAILKEEPER__jobs__drain_seconds", "5"),
    ];
    insta::assert_snapshot!(problems(text, &variables));
}

#[test]
fn a_file_that_is_no_toml_shows_no_line_of_itself() {
    insta::assert_snapshot!(problems(
        "[qwed]\ndatabase_url \"hunter2\"\nx = \"hunter2\n[jobs\n",
        &[]
    ));
}

#[test]
fn secrets_come_from_files() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("url"), "amqp://u:hunter2@h\r\n").unwrap();
    std::fs::write(at("empty"), "\n").unwrap();
    std::fs::write(at("binary"), b"\xff").unwrap();
    let text = format!("[amqp]\nurl_file = {:?}\n", at("url"));
    let loaded = load(&text, &[]).unwrap();
    assert_eq!(loaded.config.amqp.url.expose(), "amqp://u:hunter2@h");
    assert_eq!(loaded.place("amqp.url"), Place::Whole(at("url")));

    let set = |name: &str| at(name).display().to_string();
    let variables = [
        ("DATABASE_URL", "ignored as a file is named"),
        ("TRAILKEEPER__AMQP__URL", "amqp://u:hunter2@h"),
        ("TRAILKEEPER__QWED__DATABASE_URL_FILE", &set("none")),
        ("TRAILKEEPER__STATE__URL_FILE", &set("empty")),
        ("TRAILKEEPER__KEYS__FLAG_DATABASE_URL_FILE", &set("binary")),
    ];
    let shown = problems(&text, &variables);
    insta::assert_snapshot!(shown.replace(&directory.path().display().to_string(), "[DIRECTORY]"));
}

#[test]
fn a_file_that_cannot_be_read_hides_no_other_problem() {
    let environment = [("TRAILKEEPER__X", "1")].into_iter().collect();
    let error = Config::load(Some(Path::new("/no/such.toml")), &environment).unwrap_err();
    insta::assert_snapshot!(error);
}

#[test]
fn shows_what_is_in_force_and_why_without_secrets() {
    let text = "[qwed]\ndatabase_url = \"postgresql://q:hunter2@db/q\"\n[[qwed.keys]]\nid = \"a\"\nenv = \"A\"\n\
                [jobs.kinds.\"a b\"]\npriority = 1\n";
    let variables = [
        ("TRAILKEEPER__AMQP__URL", "amqp://u:hunter2@mq"),
        ("TRAILKEEPER__OBJECTS__URL", "s3://bucket/prefix"),
        ("TRAILKEEPER__OBJECTS__ACCESS_KEY_ID", "id"),
        ("TRAILKEEPER__OBJECTS__SECRET_ACCESS_KEY", "hunter2"),
    ];
    let loaded = load(text, &variables).unwrap();
    insta::assert_snapshot!("show_toml", loaded.to_toml());
    let json = serde_json::to_string_pretty(&loaded.to_json()).unwrap();
    insta::assert_snapshot!("show_json", json);
    assert!(!json.contains("hunter2") && !format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn object_stores_are_checked() {
    let text = "[objects]\nurl = \"https://hunter2\"\nendpoint = \"http://u:hunter2@s3\"\nlock_mode = \"compliance\"\n\
                retention_days = 0\n";
    insta::assert_snapshot!(problems(text, &[]));
    for (url, problem) in [
        ("file://srv/objects", "absolute directory"),
        ("s3:///prefix", "names no bucket"),
        ("s3://id:hunter2@bucket", "credentials have keys"),
    ] {
        let text = format!("[objects]\nurl = {url:?}\naccess_key_id = \"id\"\n");
        let shown = problems(&text, &[]);
        assert!(shown.contains(problem), "{shown}");
        let is_alone = shown.contains("objects.access_key_id");
        assert_eq!(is_alone, url.starts_with("s3"), "{shown}");
    }
    let config = load("data_dir = \"/srv/tk\"\n", &[]).unwrap().config;
    assert_eq!(config.objects_url().expose(), "file:///srv/tk/objects");
    assert_eq!(config.objects.lock_mode, LockMode::Compliance);
}

#[test]
fn kinds_are_checked_against_those_that_there_are() {
    let loaded = load(
        "[jobs.kinds.verfy_trail]\n[jobs.kinds.x]\npriority = 1\n[jobs.kinds.expire_keys]\n",
        &[],
    )
    .unwrap();
    let broken = loaded
        .config
        .jobs
        .validate_kinds(&["verify_trail", "expire_keys"]);
    let lines = loaded
        .locate(broken)
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect::<String>();
    insta::assert_snapshot!(lines);
}
