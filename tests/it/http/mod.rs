//! The HTTP interface: real requests over TCP to the interface as the service puts it together, QWED's database and ours of both
//! kinds.

mod answers;
mod browser;
mod faults;
mod fuzz;
mod limits;
mod operators;
mod pages;
mod reports;
mod rules;
mod tls;
mod validation;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use reqwest::{Client, Method};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use trailkeeper::{
    anchor,
    checkpoint::note::SecretKey,
    clock::Clock,
    config::{Config, Environment, Scope},
    http::{Api, Interface, hash_of_token},
    jobs::Services,
    metrics::Metrics,
    runtime::schedule,
};

use crate::support::{loaded, store::TestStore};

/// A moment shortly after the recorded answers.
pub(crate) const NOW: &str = "2026-11-22T22:19:04.263774Z";
const AUDIT_KEY: &str = "fixture-audit-key-0123456789abcdef-0123";

/// The server's tables that ours reads, on PostgreSQL.
const EVENTS: &str = "
CREATE TABLE securityevent (id SERIAL PRIMARY KEY, organization_id INTEGER NOT NULL, user_id INTEGER, event_type VARCHAR NOT NULL,
  query VARCHAR NOT NULL, reason VARCHAR NOT NULL, security_layer VARCHAR, severity VARCHAR NOT NULL,
  timestamp timestamp with time zone NOT NULL);
";

/// A file of the recorded answers.
pub(crate) fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/answers")
        .join(name)
}

/// An API key of the recorded server's.
pub(crate) fn api_key(letter: char) -> String {
    format!("qwed_live_{}", letter.to_string().repeat(43))
}

/// The token of an operator who has this scope alone.
pub(crate) fn token(scope: Scope) -> String {
    format!("trailkeeper_test_{scope}")
}

/// An interface that answers, until it is dropped.
pub(crate) struct Server {
    pub(crate) api: Arc<Api>,
    pub(crate) state: TestStore,
    pub(crate) qwed_url: String,
    /// Signs the ledger.
    pub(crate) key: SecretKey,
    base: String,
    client: Client,
    stop: CancellationToken,
    _directory: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    /// On a copy of the recorded server's database, of the same kind as the state.
    pub(crate) async fn start(state: TestStore) -> Self {
        Self::start_with(state, "").await
    }

    /// The same with further lines in the section `http`.
    pub(crate) async fn start_with(state: TestStore, lines: &str) -> Self {
        let qwed_url = match &state.server {
            Some(server) => {
                server.create_database("qwed");
                let times = loaded::TIME_TYPES[0];
                loaded::make_key_tables(server, "qwed", times);
                let mut sql = EVENTS.to_owned();
                for table in ["organization", "user", "apikey", "verificationlog"] {
                    let mut rows = String::new();
                    loaded::copy_table(&recorded("server.db"), table, &mut rows);
                    sql += &rows;
                }
                server.psql("qwed", &format!("SET timezone = 'UTC';\n{sql}"));
                server.url("qwed")
            }
            None => {
                let copy = state.directory.path().join("qwed.db");
                std::fs::copy(recorded("server.db"), &copy).expect("copy the database");
                format!("sqlite:///{}", copy.display())
            }
        };
        Self::serve(state, qwed_url, lines).await
    }

    async fn serve(state: TestStore, qwed_url: String, lines: &str) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let mut text = format!(
            "data_dir = {:?}\n[qwed]\ndatabase_url = {qwed_url:?}\napi_key_lookup_secret = {:?}\n\
             [[qwed.keys]]\nid = \"fixture\"\nenv = \"AUDIT_KEY\"\n[http]\n{lines}\n",
            directory.path().display().to_string(),
            "l".repeat(40),
        );
        for scope in Scope::ALL {
            let name = scope.name().replace(':', "-");
            let hash = hash_of_token(&token(scope));
            let _ = write!(
                text,
                "[[http.tokens]]\nname = {name:?}\nsha256 = {hash:?}\nscopes = [{:?}]\n",
                scope.name()
            );
        }
        let _ = write!(
            text,
            "[[http.tokens]]\nname = \"gone\"\nsha256 = {:?}\nscopes = [\"read\"]\nexpires_at = \"2026-11-01\"\n",
            hash_of_token("trailkeeper_test_gone")
        );
        let file = directory.path().join("trailkeeper.toml");
        std::fs::write(&file, text).expect("write the configuration");
        let key =
            anchor::load_or_make_key(&directory.path().join("anchor.key"), "trailkeeper", true);
        let environment: Environment = [("AUDIT_KEY", AUDIT_KEY)].into_iter().collect();
        let config = Config::load(Some(&file), &environment).expect("the configuration is valid");
        let ring = config.key_ring(|name| environment.get(name));
        let qwed: trailkeeper::qwed::url::DatabaseUrl = qwed_url.parse().expect("a URL");
        let services = Arc::new(Services {
            configuration_sha256: "0".repeat(64),
            qwed: qwed.clone(),
            flag: None,
            erase: qwed,
            producers: Vec::new(),
            ring: Arc::new(ring.expect("the key")),
            clock: Clock,
            metrics: Metrics::new(),
            config,
        });
        let now: Timestamp = NOW.parse().expect("a time");
        let schedules = schedule::load(None).expect("the schedules that ship");
        let api = Api::new(
            services,
            state.store.clone(),
            schedules,
            Arc::new(move || now),
        );
        let api = api.expect("put the interface together");
        let address = "127.0.0.1:0".parse().expect("an address");
        let interface = Interface::listen(address, Arc::clone(&api)).await;
        let interface = interface.expect("listen");
        let scheme = match api.services.config.http.has_tls() {
            true => "https",
            false => "http",
        };
        let base = format!("{scheme}://{}", interface.address().expect("an address"));
        let stop = CancellationToken::new();
        tokio::spawn(interface.serve(stop.clone()));
        Self {
            api,
            state,
            qwed_url,
            key: key.expect("make a key"),
            base,
            client: client(),
            stop,
            _directory: directory,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Asks, with these headers.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answered {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.body(body.to_owned()).send().await;
        Answered::of(response.expect("an answer")).await
    }

    /// Asks with an API key.
    pub(crate) async fn get_as(&self, key: &str, path: &str) -> Answered {
        self.ask("GET", path, &[("x-api-key", key)], "").await
    }

    /// Asks as the operator who has this scope alone.
    pub(crate) async fn operate(
        &self,
        scope: Scope,
        method: &str,
        path: &str,
        body: &str,
    ) -> Answered {
        let bearer = format!("Bearer {}", token(scope));
        self.ask(method, path, &[("authorization", &bearer)], body)
            .await
    }
}

/// What a browser of somebody who is signed in to the status page sends.
pub(crate) struct Browser {
    /// Its cookie, as the header has it.
    pub(crate) cookie: String,
    /// What its pages' forms have to send back.
    pub(crate) csrf: String,
}

impl Server {
    /// Signs in with a token.
    pub(crate) async fn sign_in(&self, token: &str) -> Browser {
        let form = format!("token={token}");
        let answered = self.ask("POST", "/status/sign-in", &[], &form).await;
        assert_eq!(answered.status, 303, "{}", answered.body);
        let cookie = answered.header("set-cookie");
        let (cookie, _) = cookie.split_once(';').expect("attributes");
        let cookie = cookie.to_owned();
        // Every page has it, what it says that may not be seen too.
        let page = self.ask("GET", "/status", &[("cookie", &cookie)], "").await;
        let (_, csrf) = page
            .body
            .split_once("name=\"csrf\" value=\"")
            .expect("a form");
        let (csrf, _) = csrf.split_once('"').expect("an end");
        Browser {
            csrf: csrf.to_owned(),
            cookie,
        }
    }
}

fn client() -> Client {
    // The first to be installed stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("make a client")
}

/// An answer.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Answered {
    async fn of(response: reqwest::Response) -> Self {
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.text().await.expect("a body"),
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.body))
    }
}
