//! `docs/asyncapi.yaml` says what the program declares.

use std::collections::BTreeSet;

use trailkeeper::{
    config::Config,
    erasure::State,
    jobs,
    runtime::amqp::{
        dead,
        ports::Reason,
        topology::{Argument, EXCHANGES, QUEUES},
    },
};

const DESCRIPTION: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/asyncapi.yaml"));

/// The lines below each line that is this one, as far as they are indented further.
fn sections(text: &str, heading: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let starts = (0..lines.len()).filter(|index| lines[*index].trim() == heading);
    starts
        .map(|start| {
            let below = lines[start + 1..].iter();
            let inside =
                below.take_while(|line| line.is_empty() || indent(line) > indent(lines[start]));
            inside.copied().collect::<Vec<_>>().join("\n")
        })
        .collect()
}

/// The value behind `key:`, without quotes.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(&format!("{key}: ")))?;
    Some(line.trim().trim_matches('\''))
}

#[test]
fn names_what_is_declared() {
    assert_eq!(value(DESCRIPTION, "asyncapi"), Some("3.0.0"));
    let exchanges = sections(DESCRIPTION, "exchange:");
    let names: BTreeSet<_> = exchanges.iter().filter_map(|e| value(e, "name")).collect();
    assert_eq!(names, BTreeSet::from(EXCHANGES));
    for exchange in &exchanges {
        assert_eq!(value(exchange, "type"), Some("topic"));
        assert_eq!(value(exchange, "durable"), Some("true"));
    }
    let queues = sections(DESCRIPTION, "queue:");
    let names: BTreeSet<_> = queues.iter().filter_map(|q| value(q, "name")).collect();
    assert_eq!(names, QUEUES.iter().map(|queue| queue.name).collect());
    for queue in &queues {
        assert_eq!(value(queue, "durable"), Some("true"));
    }
}

#[test]
fn gives_the_arguments_of_the_queues() {
    for queue in QUEUES {
        let found = ["jobsQueue:", "deadQueue:"]
            .iter()
            .flat_map(|heading| sections(DESCRIPTION, heading))
            .find(|section| value(section, "name") == Some(queue.name))
            .expect("the queue is described");
        let arguments = sections(&found, "x-arguments:").remove(0);
        for (name, argument) in queue.arguments {
            let wanted = match argument {
                Argument::Text(text) => (*text).to_owned(),
                Argument::Number(number) => number.to_string(),
            };
            assert_eq!(value(&arguments, name), Some(wanted.as_str()), "{name}");
        }
        assert_eq!(
            arguments.lines().count(),
            queue.arguments.len() + usize::from(arguments.ends_with('\n'))
        );
    }
}

#[test]
fn lists_headers_and_reasons() {
    for header in [dead::REASON, dead::DETAIL, dead::ROUTING_KEY] {
        assert_eq!(sections(DESCRIPTION, &format!("{header}:")).len(), 1);
    }
    let reasons = sections(DESCRIPTION, "enum:").remove(0);
    let listed: Vec<_> = reasons
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "))
        .collect();
    assert_eq!(listed, Reason::ALL.map(Reason::as_str));
}

/// The words that a description lists, one a line, with a colon behind.
fn listed(heading: &str) -> BTreeSet<String> {
    let text = sections(DESCRIPTION, heading).remove(0);
    let lines = text.lines().filter_map(|line| {
        let (words, _) = line.trim().strip_prefix('`')?.split_once("`:")?;
        Some(words.split("`, `").map(str::to_owned).collect::<Vec<_>>())
    });
    lines.flatten().collect()
}

#[test]
fn lists_the_kinds_that_anybody_can_ask_for() {
    let registry = jobs::registry(&Config::default());
    let offered = registry.kinds().filter(|kind| !kind.is_internal);
    let offered: BTreeSet<_> = offered
        .map(|kind| kind.name.to_owned())
        .filter(|name| !name.starts_with("probe"))
        .collect();
    assert_eq!(listed("kind:"), offered);
}

/// The events of erasures are named after what happened to a request, and each state has its name in the description.
#[test]
fn lists_what_happens_to_erasures() {
    let events = listed("type:");
    let events = events.iter().filter_map(|it| it.strip_prefix("erasure."));
    let wanted = [
        "approved",
        "cancelled",
        "completed",
        "deadline_near",
        "extended",
        "planned",
        "received",
        "rejected",
        "waiting_for_head",
    ];
    assert_eq!(events.collect::<Vec<_>>(), wanted);
    let states = sections(DESCRIPTION, "enum:").remove(1);
    let states: Vec<_> = states
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "))
        .collect();
    assert_eq!(states.len(), 10);
    assert!(states.iter().all(|name| State::from_name(name).is_some()));
}
