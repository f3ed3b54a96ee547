//! The status page in a real browser, as somebody would click through it: the demo's, with all that the demo has. Each page is looked
//! at on a desktop and on a phone; the pictures are left in cargo's directory for temporary files of tests.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::error::CmdError;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};

use crate::support::{
    process::{Process, command_that_dies_with_us, free_ports, pause},
    program::Program,
    store::block_on,
};

/// Desktop and phone, in CSS pixels.
const SIZES: [(&str, u32, u32); 2] = [("desktop", 1280, 900), ("phone", 390, 844)];
const PATIENCE: Duration = Duration::from_secs(60);

/// The demo, which goes on until it is dropped.
struct Demo {
    _process: std::process::Child,
    _out: std::thread::JoinHandle<()>,
    directory: tempfile::TempDir,
    address: String,
    token: String,
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self._process.kill();
        let _ = self._process.wait();
    }
}

impl Demo {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let mut command = Program::bare()
            .arg("demo")
            .arg("--directory")
            .arg(directory.path())
            .into_command();
        let mut process = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the demo");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let mut next = |sign: &str| {
            let found = lines.by_ref().find_map(|line| {
                let line = line.expect("text");
                let (_, rest) = line.split_once(sign)?;
                Some(rest.to_owned())
            });
            found.unwrap_or_else(|| panic!("the demo ended without {sign:?}"))
        };
        let address = next("The status page: ");
        let token = next("sign in with the operator's token ");
        // What it still says has to go somewhere.
        let out = std::thread::spawn(move || lines.for_each(drop));
        Self {
            _process: process,
            _out: out,
            directory,
            address,
            token,
        }
    }

    fn run(&self, arguments: &[&str]) -> Value {
        let file = self.directory.path().join("trailkeeper.toml");
        let (run, document) = Program::bare()
            .args(arguments)
            .arg("--config")
            .arg(&file)
            .json();
        assert_eq!(run.code, Some(0), "{arguments:?}: {}", run.stderr);
        document
    }
}

struct Browser {
    client: Client,
    pictures: PathBuf,
    demo: Demo,
    _driver: Process,
    _profile: tempfile::TempDir,
}

impl Browser {
    async fn start(demo: Demo) -> Self {
        let [port] = free_ports();
        let profile = tempfile::tempdir().expect("make a directory");
        let mut driver = command_that_dies_with_us("chromedriver");
        driver
            .arg(format!("--port={port}"))
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let driver = Process::start(driver);
        let arguments = [
            "--headless=new",
            // Tests run as root, and in containers without shared memory.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
        ];
        let wanted = json!({
            "goog:chromeOptions": {"args": arguments, "binary": chromium()},
        });
        let wanted = wanted.as_object().expect("an object").clone();
        let deadline = Instant::now() + PATIENCE;
        let address = format!("http://127.0.0.1:{port}");
        let client = loop {
            let mut builder = ClientBuilder::new(hyper_connector());
            match builder.capabilities(wanted.clone()).connect(&address).await {
                Ok(client) => break client,
                Err(error) => assert!(Instant::now() < deadline, "no browser: {error}"),
            }
            pause();
        };
        let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("status-page");
        std::fs::create_dir_all(&pictures).expect("make a directory");
        Self {
            client,
            pictures,
            demo,
            _driver: driver,
            _profile: profile,
        }
    }

    async fn go(&self, path: &str) {
        let url = format!("{}{path}", self.demo.address);
        self.client.goto(&url).await.expect("go there");
    }

    /// The text of the page's first element like this.
    async fn text(&self, css: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // What was found on a page that is being left can be read no more.
            match self.look(css).await {
                Ok(text) => return text,
                Err(error) => assert!(Instant::now() < deadline, "{css}: {error}"),
            }
            pause();
        }
    }

    async fn look(&self, css: &str) -> Result<String, CmdError> {
        self.client.find(Locator::Css(css)).await?.text().await
    }

    async fn shows(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // A page that loads itself anew is away for a moment.
            let shown = self.look("main").await.unwrap_or_default();
            if shown.contains(text) {
                return;
            }
            assert!(Instant::now() < deadline, "there is no {text:?} in {shown}");
            pause();
        }
    }

    async fn click(&self, locator: Locator<'_>) {
        let found = self.client.find(locator).await;
        let found = found.unwrap_or_else(|error| panic!("{locator:?}: {error}"));
        found.click().await.expect("click");
    }

    async fn press(&self, button: &str) {
        let path = format!("//button[normalize-space()='{button}']");
        self.click(Locator::XPath(&path)).await;
    }

    async fn fill(&self, name: &str, text: &str) {
        let path = format!("main [name='{name}']");
        let field = self.client.find(Locator::Css(&path)).await;
        let field = field.expect("a field");
        field.clear().await.expect("clear");
        field.send_keys(text).await.expect("type");
    }

    async fn heading(&self) -> String {
        self.text("h1").await
    }

    /// Looks at the page on a desktop and on a phone.
    async fn picture(&self, name: &str) {
        for (size, width, height) in SIZES {
            self.client
                .set_window_size(width, height)
                .await
                .expect("resize");
            let wider = self
                .client
                .execute(
                    "return document.documentElement.scrollWidth - document.documentElement.clientWidth;",
                    Vec::new(),
                )
                .await
                .expect("measure");
            assert_eq!(wider, json!(0), "{name} is wider than a {size}");
            let found = self.client.execute(FLAWS, Vec::new()).await.expect("look");
            assert_eq!(found, json!([]), "{name} on a {size}");
            let picture = self.client.screenshot().await.expect("a picture");
            let file = self.pictures.join(format!("{name}-{size}.png"));
            std::fs::write(file, picture).expect("write");
        }
        let (_, width, height) = SIZES[0];
        self.client
            .set_window_size(width, height)
            .await
            .expect("resize");
    }
}

/// What no page may have: no heading or two, tables that nobody knows the name of, fields without labels, buttons without words, ids
/// twice, scripts, styles that are not the sheet's, links to elsewhere.
const FLAWS: &str = r#"
const flaws = [];
const all = (what) => [...document.querySelectorAll(what)];
if (all('h1').length !== 1) flaws.push('headings');
for (const table of all('table')) if (!table.caption?.textContent.trim()) flaws.push('a table without caption');
for (const table of all('table')) if (!table.querySelector('thead th[scope=col]')) flaws.push('a table without heads');
for (const field of all('input:not([type=hidden]), select, textarea')) if (!field.labels?.length) flaws.push('no label: ' + field.name);
for (const button of all('button, a')) if (!(button.textContent.trim() || button.ariaLabel)) flaws.push('no word: ' + button.outerHTML);
const ids = all('[id]').map((it) => it.id);
if (new Set(ids).size !== ids.length) flaws.push('ids twice: ' + ids);
if (all('script, [style], style, [onclick]').length) flaws.push('scripts or styles');
for (const link of all('a')) if (new URL(link.href).origin !== location.origin) flaws.push('elsewhere: ' + link.href);
for (const form of all('form')) if (!form.action.endsWith('sign-in') && !form.querySelector('[name=csrf]')) flaws.push('csrf: ' + form.action);
if (getComputedStyle(document.body).maxWidth !== '1152px') flaws.push('no style sheet');
return flaws;
"#;

fn hyper_connector() -> hyper_util::client::legacy::connect::HttpConnector {
    hyper_util::client::legacy::connect::HttpConnector::new()
}

/// The browser: the driver does not look where Debian puts it.
fn chromium() -> String {
    let found = Command::new("sh")
        .args(["-c", "command -v chromium"])
        .output()
        .expect("look for chromium");
    assert!(
        found.status.success(),
        "there is no chromium; scripts/setup installs it"
    );
    String::from_utf8_lossy(&found.stdout).trim().to_owned()
}

#[test]
fn somebody_clicks_through_the_status_page() {
    block_on(async {
        let demo = Demo::start();
        let request = demo.run(&["erase", "request", "--org", "2", "--user", "205"]);
        let dead = r#"{"rolling": true, "organizations": [1]}"#;
        let dead = demo.run(&["enqueue", "verify_trail", "--payload", dead]);
        let browser = Browser::start(demo).await;
        signing_in(&browser).await;
        looking_around(&browser).await;
        running_a_job(&browser).await;
        retrying_a_job(&browser, &dead).await;
        approving_an_erasure(&browser, &request).await;
        reading_a_report(&browser).await;
        browser.press("Sign out").await;
        assert_eq!(browser.heading().await, "Sign in");
        browser.go("/jobs").await;
        assert_eq!(
            browser.heading().await,
            "Sign in",
            "going back shows nothing"
        );
        browser.client.clone().close().await.expect("close");
    });
}

async fn signing_in(browser: &Browser) {
    browser.go("/schedules").await;
    assert_eq!(browser.heading().await, "Sign in");
    browser.picture("sign-in").await;
    browser.fill("token", "no token").await;
    browser.press("Sign in").await;
    browser.shows("the token is not known").await;
    browser.fill("token", &browser.demo.token).await;
    browser.press("Sign in").await;
    assert_eq!(
        browser.heading().await,
        "Schedules",
        "where somebody wanted to go, who failed before"
    );
}

async fn looking_around(browser: &Browser) {
    browser.click(Locator::LinkText("Overview")).await;
    browser.shows("trails were tampered with").await;
    browser.picture("overview").await;
    browser.click(Locator::LinkText("Organisation 3")).await;
    browser.shows("tail_removed").await;
    browser.shows("Treat it as an incident").await;
    browser.picture("organisation").await;
    for (link, says) in [
        ("Jobs", "verify_trail"),
        ("Schedules", "nightly_verification"),
        ("API keys", "overdue"),
        ("Erasures", "awaiting_approval"),
        ("Anchors and archive", "signed note"),
        ("Reports", "PDF"),
    ] {
        browser.click(Locator::LinkText(link)).await;
        browser.shows(says).await;
        browser
            .picture(&link.to_lowercase().replace(' ', "-"))
            .await;
    }
}

async fn running_a_job(browser: &Browser) {
    browser.go("/organizations/1").await;
    browser.press("Verify now").await;
    assert_eq!(browser.heading().await, "Job verify_trail");
    browser.shows("succeeded").await;
    browser.shows("What came of it").await;
    browser.shows("operator demo").await;
    browser.picture("job").await;
}

async fn retrying_a_job(browser: &Browser, dead: &Value) {
    let id = dead["jobs"][0]["id"]
        .as_str()
        .or_else(|| dead["id"].as_str());
    let id = id.unwrap_or_else(|| panic!("no id in {dead}"));
    browser.go("/jobs").await;
    browser.click(Locator::Css("a[href$='state=dead']")).await;
    browser.shows("rolling").await;
    browser.picture("dead-jobs").await;
    browser.go(&format!("/jobs/{id}")).await;
    browser.press("Queue it again").await;
    // It cannot come to anything, and dies again.
    browser.shows("dead").await;
}

async fn approving_an_erasure(browser: &Browser, request: &Value) {
    let id = request["request"]["id"]
        .as_str()
        .or_else(|| request["id"].as_str());
    let id = id.unwrap_or_else(|| panic!("no id in {request}"));
    browser.go("/erasures").await;
    browser.shows("days left").await;
    browser
        .click(Locator::Css(&format!("a[href$='{id}']")))
        .await;
    browser.shows("What is erased").await;
    browser.picture("erasure").await;
    browser.click(Locator::LinkText("Approve …")).await;
    browser.shows("cannot be undone").await;
    browser.picture("approve").await;
    browser.fill("word", "yes").await;
    browser.press("Approve this plan").await;
    browser.shows("Nothing was approved").await;
    browser.fill("word", "erase").await;
    browser.press("Approve this plan").await;
    browser.shows("operator demo").await;
    let text = browser.text("main").await;
    assert!(!text.contains("awaiting_approval"), "{text}");
}

async fn reading_a_report(browser: &Browser) {
    browser.go("/reports").await;
    browser.click(Locator::LinkText("HTML")).await;
    let shown = browser.client.find(Locator::Css("h2#summary")).await;
    shown.expect("the report's summary");
    let style = "return getComputedStyle(document.querySelector('.masthead')).borderBottomWidth;";
    let border = browser.client.execute(style, Vec::new()).await;
    assert_eq!(
        border.expect("measure"),
        json!("3px"),
        "the report has its style"
    );
    browser.go("/reports").await;
}
