//! The short form of `scripts/fuzz-http`: the program, on both kinds of database, asked what its description allows and much else.

use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn nothing_that_is_asked_breaks_the_server() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("scripts/fuzz-http"))
        .args(["--deterministic", "--examples", "10", "--program"])
        .arg(env!("CARGO_BIN_EXE_trailkeeper"))
        .arg("--tools")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-tools/fuzzer/bin"))
        .stdin(Stdio::null())
        .output()
        .expect("run scripts/fuzz-http");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    // It asked every route that programs have, on each database.
    let told = text(&output.stdout);
    let routes = trailkeeper::http::routes();
    let routes = routes.iter().filter(|it| !it.path.starts_with("/status"));
    let routes = routes.count();
    let tested = format!("Tested: {routes}\n");
    assert_eq!(told.matches(&tested).count(), 2, "{told}");
}
