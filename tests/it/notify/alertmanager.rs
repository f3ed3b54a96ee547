//! A real Alertmanager.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;
use trailkeeper::notify::Moment;

use super::{
    channel, notice,
    receiver::{Answer, Receiver, get, header},
    sender,
};
use crate::support::{
    process::{Process, command_that_dies_with_us, free_ports},
    store::block_on,
};

const PATIENCE: Duration = Duration::from_secs(60);

struct Alertmanager {
    port: u16,
    process: Process,
    directory: TempDir,
}

impl Alertmanager {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let [port] = free_ports();
        let at = |name: &str| directory.path().join(name);
        let config = json!({"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]});
        // JSON is YAML.
        fs::write(at("config.yml"), config.to_string()).expect("write a configuration");
        let log = fs::File::create(at("log")).expect("make a log");
        let mut command = command_that_dies_with_us("prometheus-alertmanager");
        command
            .arg(format!("--config.file={}", at("config.yml").display()))
            .arg(format!("--storage.path={}", at("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--web.route-prefix=/am")
            .arg("--cluster.listen-address=")
            .stderr(log);
        let started = Self {
            port,
            process: Process::start(command),
            directory,
        };
        let deadline = Instant::now() + PATIENCE;
        while get(port, "/am/-/ready").await.is_none() {
            started.still(deadline);
            sleep(Duration::from_millis(100)).await;
        }
        started
    }

    fn still(&self, deadline: Instant) {
        let is_time = Instant::now() < deadline && !self.process.has_ended();
        let log = fs::read_to_string(self.directory.path().join("log"));
        assert!(is_time, "{}", log.unwrap_or_default());
    }

    /// What fires.
    async fn alerts(&self) -> Vec<Value> {
        let body = get(self.port, "/am/api/v2/alerts")
            .await
            .expect("an answer");
        serde_json::from_str(&body).expect("a list")
    }
}

#[test]
fn an_alert_fires_is_reminded_of_and_ends() {
    block_on(async {
        let server = Alertmanager::start().await;
        let lines = format!(
            "type = \"alertmanager\"\nurl = \"http://127.0.0.1:{}/am/\"",
            server.port
        );
        let sender = sender(&channel(&lines));
        let firing = notice(Moment::Firing);
        let with = |moment| {
            let mut notice = notice(moment);
            notice.alert.starts_at = firing.alert.starts_at;
            notice
        };
        sender.send(&firing).await.expect("taken");
        let alerts = server.alerts().await;
        assert_eq!(alerts.len(), 1, "{alerts:?}");
        let alert = &alerts[0];
        let labels = json!({"alertname": "TrailkeeperIntegrityFailed", "organization": "7", "severity": "critical"});
        assert_eq!(alert["labels"], labels);
        assert_eq!(
            alert["annotations"]["summary"],
            firing.alert.summary.as_str()
        );
        assert_eq!(alert["generatorURL"], "https://tk.example.org/status");
        let ends = alert["endsAt"].as_str().expect("a time").to_owned();

        sleep(Duration::from_millis(1100)).await;
        sender.send(&with(Moment::Reminder)).await.expect("taken");
        let alerts = server.alerts().await;
        assert_eq!(alerts.len(), 1, "{alerts:?}");
        assert_eq!(alerts[0]["fingerprint"], alert["fingerprint"]);
        assert!(
            alerts[0]["endsAt"].as_str().expect("a time") > ends.as_str(),
            "{alerts:?}"
        );

        sender.send(&with(Moment::Resolved)).await.expect("taken");
        let alerts = server.alerts().await;
        assert_eq!(alerts, Vec::<Value>::new());

        // What it refuses is said in its words.
        let mut wrong = with(Moment::Firing);
        wrong.alert.labels = [("no name".to_owned(), "x".to_owned())].into();
        let error = sender.send(&wrong).await.expect_err("refused");
        assert!(
            error.is_final() && error.reason.contains("answers 400"),
            "{error}"
        );
    });
}

#[test]
fn its_proxy_is_shown_who_we_are() {
    block_on(async {
        let proxy = Receiver::start([Answer::status("200 OK")]).await;
        let lines = format!(
            "type = \"alertmanager\"\nurl = \"http://127.0.0.1:{}\"\nsecret = \"{}\"",
            proxy.port,
            super::SECRET
        );
        let send = async |lines: &str| {
            let sent = sender(&channel(lines)).send(&notice(Moment::Firing)).await;
            sent.expect("taken");
            let request = proxy.requests().pop().expect("a request");
            assert!(request.starts_with("POST /api/v2/alerts "), "{request}");
            header(&request, "authorization")
                .expect("a header")
                .to_owned()
        };
        assert_eq!(send(&lines).await, format!("Bearer {}", super::SECRET));
        let basic = send(&format!("{lines}\nusername = \"tk\"")).await;
        assert_eq!(basic, "Basic dGs6aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVyMg==");
    });
}
