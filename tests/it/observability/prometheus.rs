//! A real Prometheus on a real worker: every query of every panel answers something.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use trailkeeper::demo;

use super::{OF_THE_PROCESS, dashboards, family, known, metrics_of, root};
use crate::support::{
    amqp_client::{Client, properties},
    process::{Process, command_that_dies_with_us, free_ports},
    program::Program,
    rabbitmq::RabbitMq,
    store::block_on,
    worker::{PATIENCE, Setting, Worker, pause},
};

/// A schedule that fires while the test watches.
const EACH_MINUTE: &str = "name = \"each_minute\"\ndescription = \"Goes on\"\nkind = \"continue_erasures\"\ncron = \"* * * * *\"\n\
                           timezone = \"UTC\"\noverlap = \"skip\"\n";

/// The demo's worker, begun again beside a broker, with Prometheus looking at it.
struct Scene {
    worker: Worker,
    http: u16,
    prometheus: Process,
    port: u16,
    broker: RabbitMq,
    config: String,
    directory: TempDir,
}

impl Scene {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let at = directory.path();
        // A night's work: what the metrics tell of it is what the next process finds in the database.
        let demo_directory = at.join("demo");
        let run = Program::bare()
            .args(["demo", "--once", "--directory"])
            .arg(&demo_directory)
            .run();
        assert_eq!(run.code, Some(0), "{run:?}");
        let broker = RabbitMq::start();
        let [http, port] = free_ports();
        let url = |file: &str| format!("sqlite:///{}", demo_directory.join(file).display());
        let mut setting = Setting::new(
            at,
            &url("state/trailkeeper.db"),
            &url("trailkeeper-demo.db"),
            demo::KEY,
        )
        .with("amqp", format!("url = {:?}", broker.url()))
        .with("http", format!("listen = \"127.0.0.1:{http}\""))
        .with("jobs", format!("dir = {:?}", schedules(at)))
        // Nobody is there: what is to be told waits, which the panels show.
        .with(
            "notify",
            "[[notify.channels]]\nname = \"oncall\"\ntype = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\n\
             secret = \"0123456789abcdef0123456789abcdef\"\nallow_private = true",
        )
        // A directory locks nothing; so none of its objects lacks what is wanted.
        .with("objects", "lock_mode = \"none\"");
        setting.data_dir = demo_directory.join("state");
        let worker = Worker::start(&setting, "worker");
        let prometheus = prometheus(at, port, worker.address().port());
        Self {
            worker,
            http,
            prometheus,
            port,
            broker,
            config: at.join("worker.toml").display().to_string(),
            directory,
        }
    }

    fn enqueue(&self, kind: &str, payload: &Value) {
        let run = Program::bare()
            .args(["enqueue", kind, "--payload", &payload.to_string()])
            .args(["--config", &self.config])
            .run();
        assert_eq!(run.code, Some(0), "{run:?}");
    }

    /// What one of Prometheus' endpoints answers.
    fn ask(&self, path: &str) -> Option<Value> {
        let body = get(self.port, &format!("/api/v1/{path}"))?;
        let answer: Value = serde_json::from_str(&body).ok()?;
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        Some(answer["data"].clone())
    }

    /// What a panel's query answers now.
    fn query(&self, query: &str) -> Vec<Value> {
        let query = query
            .replace("$job", "trailkeeper")
            .replace("$instance", ".+")
            .replace("$__rate_interval", "5m");
        let path = format!("query?query={}", encoded(&query));
        let answer = self
            .ask(&path)
            .unwrap_or_else(|| panic!("Prometheus does not answer {query}:\n{}", self.log()));
        answer["result"].as_array().cloned().unwrap_or_default()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("prometheus.log")).unwrap_or_default()
    }

    /// Gives the worker something of everything to do.
    async fn be_busy(&self) {
        for (kind, payload) in [
            ("verify_trail", json!({})),
            (
                "verify_trail",
                json!({"since_anchor": true, "organizations": [1]}),
            ),
            ("backup", json!({})),
            ("drill", json!({})),
            ("check_api_keys", json!({})),
            ("compliance_checklist", json!({})),
            ("erase_subject", json!({"organization": 1, "user": 104})),
        ] {
            self.enqueue(kind, &payload);
        }
        let client = Client::connect(&self.broker.url()).await;
        for (id, status) in [("given", "granted"), ("taken", "withdrawn")] {
            let consent = json!({
                "record_id": id, "organization_id": 1, "subject": "a reader", "status": status, "purposes": ["news"],
            });
            let body = consent.to_string();
            client
                .send("record_consent", properties(id), body.as_bytes())
                .await;
        }
        client.send("verify_trail", properties("bad"), b"{").await;
    }
}

/// Those that are built in, and one that fires soon.
fn schedules(at: &Path) -> String {
    let directory = at.join("jobs");
    fs::create_dir(&directory).expect("make a directory");
    for file in fs::read_dir(root().join("jobs")).expect("schedules") {
        let path = file.expect("a file").path();
        if path.is_file() {
            let name = path.file_name().expect("a name");
            let text = fs::read(&path).expect("read a schedule");
            fs::write(directory.join(name), text).expect("write a schedule");
        }
    }
    fs::write(directory.join("each_minute.toml"), EACH_MINUTE).expect("write a schedule");
    directory.display().to_string()
}

fn prometheus(at: &Path, port: u16, target: u16) -> Process {
    let rules = root().join("config/alerts.yml");
    let config = json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [rules],
        "scrape_configs": [{
            "job_name": "trailkeeper",
            "static_configs": [{"targets": [format!("127.0.0.1:{target}")]}],
        }],
    });
    // JSON is YAML.
    let path = at.join("prometheus.yml");
    fs::write(&path, config.to_string()).expect("write a configuration");
    let log = fs::File::create(at.join("prometheus.log")).expect("make a log");
    let mut command = command_that_dies_with_us("prometheus");
    command
        .arg(format!("--config.file={}", path.display()))
        .arg(format!("--storage.tsdb.path={}", at.join("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stderr(log);
    Process::start(command)
}

/// The body that is answered.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .ok()?;
    // Of an older protocol, in which a body is not cut into chunks.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some(body.to_owned())
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Whether a result says something: not empty, and not only that nothing was observed.
fn says_something(result: &[Value]) -> bool {
    result.iter().any(|series| series["value"][1] != "NaN")
}

#[test]
fn every_panel_shows_something_of_a_busy_worker() {
    block_on(async {
        let scene = Scene::start();
        // What was before this process is told at once.
        let (_, first) = scene.worker.get("/metrics").expect("metrics");
        let backup = "\ntrailkeeper_backup_newest_timestamp_seconds ";
        let value = first
            .split_once(backup)
            .and_then(|(_, rest)| rest.lines().next());
        let value: f64 = value.expect("a value").parse().expect("a number");
        assert!(value > 1e9, "the demo made a backup: {value}");
        scene.be_busy().await;

        let dashboards = dashboards();
        let queries: Vec<(&str, &str, &str)> = dashboards
            .iter()
            .flat_map(|it| {
                let queries = it.queries().into_iter();
                queries.map(|(title, query)| (it.name.as_str(), title, query))
            })
            .collect();
        assert!(queries.len() > 90, "{}", queries.len());
        // Consents and the like are counted once a minute, and the schedule fires each minute.
        let deadline = Instant::now() + PATIENCE * 4;
        let mut silent = queries.clone();
        while !silent.is_empty() {
            assert!(
                Instant::now() < deadline && !scene.prometheus.has_ended(),
                "these show nothing: {silent:#?}\n{}\n{}",
                scene.worker.log(),
                scene.log()
            );
            let _ = get(scene.http, "/v1/jobs");
            pause(500);
            if scene.ask("query?query=up").is_some() {
                silent.retain(|(_, _, query)| !says_something(&scene.query(query)));
            }
        }

        // What is exported is known, and what is known is exported.
        let names = scene.ask("label/__name__/values").expect("names");
        let names = names.as_array().expect("a list").iter();
        let exported: BTreeSet<&str> = names
            .filter_map(Value::as_str)
            .filter(|name| name.starts_with("trailkeeper_") || OF_THE_PROCESS.contains(name))
            .map(family)
            .collect();
        assert_eq!(exported, known());
        for (dashboard, title, query) in queries {
            for metric in metrics_of(query) {
                assert!(exported.contains(metric), "{dashboard}: {title}: {metric}");
            }
        }

        // The rules were all evaluated, and the demo's tampering is told.
        let rules = scene.ask("rules").expect("rules");
        let groups = rules["groups"].as_array().expect("groups").iter();
        let rules: Vec<&Value> = groups
            .filter_map(|group| group["rules"].as_array())
            .flatten()
            .collect();
        assert!(rules.len() > 20, "{rules:?}");
        for rule in &rules {
            assert_eq!(rule["health"], "ok", "{rule}");
        }
        let failed = rules
            .iter()
            .find(|it| it["name"] == "TrailkeeperIntegrityFailed");
        assert_eq!(failed.expect("the rule")["state"], "firing");
        let absent = rules
            .iter()
            .find(|it| it["name"] == "TrailkeeperWorkerAbsent");
        assert_eq!(absent.expect("the rule")["state"], "inactive");
    });
}
