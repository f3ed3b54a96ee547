//! Renderings of reports.

use super::sample;
use trailkeeper::report::render;

#[test]
fn look() {
    let Ok(directory) = std::env::var("LOOK") else {
        return;
    };
    for (name, report) in [("plain", sample::plain()), ("hostile", sample::report())] {
        let json = serde_json::to_vec(&report).expect("JSON");
        std::fs::write(format!("{directory}/{name}.json"), json).expect("write");
        std::fs::write(format!("{directory}/{name}.html"), render::html(&report)).expect("write");
    }
}
