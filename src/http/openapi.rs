//! The OpenAPI document: what the table of routes says, for programs.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{Param, ParamKind, Place, Route, Rule, Style, routes};
use crate::config::Scope;

/// What every route may answer, whatever it is about.
const ALWAYS: [(u16, &str); 4] = [
    (400, "The request cannot be understood"),
    (408, "The body takes too long to arrive"),
    (413, "The body is too large"),
    (429, "Too many requests; Retry-After says when to come back"),
];

/// The document.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<ProblemDetails>().to_value();
    let mut paths = Map::new();
    for route in routes() {
        if Style::of(route.path) == Style::Page {
            continue;
        }
        let described = operation(&route, &mut generator, &problem);
        let path = paths
            .entry(route.path)
            .or_insert_with(|| Value::Object(Map::new()));
        path[route.method.as_str().to_lowercase()] = described;
    }
    let schemas: Map<String, Value> = generator.take_definitions(true).into_iter().collect();
    let scopes: Vec<&str> = Scope::ALL.map(Scope::name).to_vec();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "trailkeeper",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "QWED's compliance endpoints as QWED 8.0.0 answers them, and our own interface for operators under /v1.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "api_key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "A live API key of QWED's whose user is owner or admin. They see their own organisation only.",
                },
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": format!("An operator's token (trailkeeper token new). Scopes: {}.", scopes.join(", ")),
                },
            },
            "schemas": schemas,
        },
    })
}

/// Problem details (RFC 9457).
#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "only its schema is needed")]
struct ProblemDetails {
    /// Always `about:blank`: the status says all.
    r#type: String,
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// What is wrong with this request.
    detail: String,
}

fn operation(route: &Route, generator: &mut SchemaGenerator, problem: &Value) -> Value {
    let doc = &route.doc;
    let is_ours = route.path.starts_with("/v1/");
    let mut answers = Map::new();
    let answer = &doc.answer;
    let schema = answer
        .schema
        .map_or(json!(true), |schema| schema(generator).to_value());
    let good = json!({answer.media: {"schema": schema}});
    answers.insert(
        answer.status.to_string(),
        json!({"description": answer.about, "content": good}),
    );
    let refusals: &[(u16, &str)] = match route.rule {
        Rule::Scope(_) => &[
            (401, "There is no token, or it is not known or over"),
            (403, "The token lacks the scope"),
        ],
        Rule::QwedAdmin | Rule::Open(_) | Rule::Page(_) => &[],
    };
    let unavailable = [(503, "A database cannot be read, or too much is under way")];
    let faults = doc.faults.iter().chain(refusals).chain(&ALWAYS);
    for (status, about) in faults.chain(&unavailable) {
        let content = match is_ours {
            _ if *status < 300 => good.clone(),
            true => json!({"application/problem+json": {"schema": problem}}),
            false => json!({"application/json": {"schema": {
                "type": "object",
                "required": ["detail"],
                "properties": {"detail": true},
            }}}),
        };
        answers
            .entry(status.to_string())
            .or_insert_with(|| json!({"description": about, "content": content}));
    }
    let mut described = json!({
        "summary": doc.summary,
        "operationId": name(route),
        "tags": [if is_ours { "operators" } else { "qwed" }],
        "parameters": doc.params.iter().map(parameter).collect::<Vec<_>>(),
        "responses": answers,
        "security": security(route.rule),
    });
    if let Rule::Scope(scope) = route.rule {
        described["description"] = format!("Scope: {scope}.").into();
    }
    if let Some(body) = doc.body {
        described["requestBody"] = json!({
            "required": true,
            "content": {"application/json": {"schema": body(generator).to_value()}},
        });
    }
    described
}

/// A name for programs: the method and the path's words.
fn name(route: &Route) -> String {
    let words = route.path.split(['/', '-', '{', '}']);
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    format!(
        "{}_{}",
        route.method.as_str().to_lowercase(),
        words.join("_")
    )
}

fn security(rule: Rule) -> Value {
    match rule {
        // Pages are not described here.
        Rule::Open(_) | Rule::Page(_) => json!([]),
        Rule::QwedAdmin => json!([{"api_key": []}]),
        Rule::Scope(scope) => json!([{"token": [scope.name()]}]),
    }
}

fn parameter(param: &Param) -> Value {
    let schema = match param.kind {
        ParamKind::Integer => json!({"type": "integer", "format": "int64"}),
        ParamKind::Text => json!({"type": "string"}),
        ParamKind::Time => json!({"type": "string", "format": "date-time"}),
        ParamKind::Flag => json!({"type": "boolean"}),
    };
    json!({
        "name": param.name,
        "in": match param.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
        },
        "required": param.is_required,
        "description": param.about,
        "schema": schema,
    })
}

/// The document in YAML, as it lies in `docs/openapi.yaml`.
#[must_use]
pub fn yaml() -> String {
    let mut text =
        "# Generated from the program's table of routes by \"trailkeeper schema openapi\".\n"
            .to_owned();
    write(&mut text, &document(), 0);
    text
}

/// Writes a value in block style. Texts are quoted as in JSON, which YAML reads the same.
fn write(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                *text += &indent;
                *text += &self::key(key);
                *text += ":";
                below(text, value, depth + 1);
            }
        }
        Value::Array(list) => {
            for value in list {
                *text += &indent;
                *text += "-";
                below(text, value, depth + 1);
            }
        }
        scalar => {
            *text += &format!("{indent}{scalar}\n");
        }
    }
}

/// What stands behind a key or a dash.
fn below(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if map.is_empty() => *text += " {}\n",
        Value::Array(list) if list.is_empty() => *text += " []\n",
        Value::Object(_) | Value::Array(_) => {
            text.push('\n');
            write(text, value, depth);
        }
        scalar => *text += &format!(" {scalar}\n"),
    }
}

/// A key, quoted where YAML could take it for something else.
fn key(key: &str) -> String {
    let is_plain = key
        .bytes()
        .all(|byte| byte.is_ascii_alphabetic() || b"_$".contains(&byte));
    match is_plain && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&key)
    {
        true => key.to_owned(),
        false => Value::from(key).to_string(),
    }
}
