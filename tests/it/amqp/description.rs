//! `docs/asyncapi.yaml` says what the program declares.

use std::collections::BTreeSet;

use trailkeeper::runtime::amqp::{
    dead,
    ports::Reason,
    topology::{Argument, EXCHANGES, QUEUES},
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
