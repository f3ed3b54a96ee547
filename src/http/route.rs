//! The table of routes.

use std::sync::{Arc, LazyLock};

use axum::{
    body::Bytes,
    http::{HeaderMap, Method},
    response::Response,
};
use futures_util::future::BoxFuture;
use schemars::{Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::{
    Fault,
    api::Api,
    auth::{Caller, Operator, Visitor},
    pages, qwed, v1,
};
use crate::{config::Scope, qwed::caller, runtime::registry};

/// Who may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Anybody, for this reason.
    Open(&'static str),
    /// A live API key of QWED's whose user is owner or admin; they see their own organisation only.
    QwedAdmin,
    /// An operator whose token has this scope.
    Scope(Scope),
    /// An operator who is signed in to the status page, with a token that has this scope; with any, where none is named.
    Page(Option<Scope>),
}

/// A request that was admitted.
pub struct Call {
    /// What all requests share.
    pub api: Arc<Api>,
    /// Who asks.
    pub caller: Caller,
    /// What the path's placeholders stand for, decoded.
    pub path: Vec<(String, String)>,
    /// The query's pairs, decoded.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// What a placeholder of the path stands for.
    #[must_use]
    pub fn placeholder(&self, name: &str) -> &str {
        let found = self.path.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    /// The last value that the query has for a name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The admin who asks.
    ///
    /// # Errors
    /// If the route's rule is another.
    pub fn admin(&self) -> Result<caller::Caller, Fault> {
        match &self.caller {
            Caller::Admin(admin) => Ok(*admin),
            _ => Err(Fault::unavailable("the route has no rule for this")),
        }
    }

    /// The operator who asks.
    ///
    /// # Errors
    /// If the route's rule is another.
    pub fn operator(&self) -> Result<&Operator, Fault> {
        match &self.caller {
            Caller::Operator(operator) | Caller::Visitor(Visitor { operator, .. }) => Ok(operator),
            _ => Err(Fault::unavailable("the route has no rule for this")),
        }
    }

    /// The body as a document.
    ///
    /// # Errors
    /// If it is none, or of another shape.
    pub fn document<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        // Only where it may be there is the body read once more.
        if self
            .body
            .windows(NUL_ESCAPE.len())
            .any(|it| it == NUL_ESCAPE)
            && serde_json::from_slice(&self.body).is_ok_and(|value| registry::has_nul(&value))
        {
            return Err(nul());
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            // Serde quotes what it found, which may be personal data; where it stands is enough.
            let what = match error.classify() {
                serde_json::error::Category::Data => "does not fit",
                _ => "is no JSON",
            };
            let (line, column) = (error.line(), error.column());
            Fault::bad_request(format!("the body {what}, at line {line}, column {column}"))
        })
    }
}

/// How JSON spells U+0000, which cannot stand in it as it is.
const NUL_ESCAPE: &[u8] = br"\u0000";

/// The one character that PostgreSQL's texts cannot hold is refused on either database, and for all routes alike.
pub(super) fn nul() -> Fault {
    Fault::bad_request("a text has the character U+0000")
}

pub(super) type Handler = fn(Call) -> BoxFuture<'static, Result<Response, Fault>>;

/// Makes a handler of an async function.
macro_rules! handler {
    ($function:path) => {
        |call| Box::pin($function(call))
    };
}
pub(super) use handler;

/// A route.
pub struct Route {
    /// GET, POST, …
    pub method: Method,
    /// The path, with placeholders in braces.
    pub path: &'static str,
    /// Who may.
    pub rule: Rule,
    /// Whether it may read a whole trail, for which there is no time limit.
    pub is_long: bool,
    /// What people read of it.
    pub doc: Doc,
    pub(super) handler: Handler,
}

/// What a route is for, takes and answers.
#[derive(Clone, Copy)]
pub struct Doc {
    /// In a line.
    pub summary: &'static str,
    /// What it takes in path, query and headers.
    pub params: &'static [Param],
    /// The body that it takes.
    pub body: Option<fn(&mut SchemaGenerator) -> Schema>,
    /// What it answers when all is well.
    pub answer: Answer,
    /// Further answers: status and when. Good ones have the shape of the answer.
    pub faults: &'static [(u16, &'static str)],
}

/// An answer when all is well.
#[derive(Clone, Copy)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// In words.
    pub about: &'static str,
    /// What kind of document.
    pub media: &'static str,
    /// Its shape; none where anything may come.
    pub schema: Option<fn(&mut SchemaGenerator) -> Schema>,
}

/// A parameter.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub kind: ParamKind,
    /// Whether it has to be there.
    pub is_required: bool,
    /// What it means.
    pub about: &'static str,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the path.
    Path,
    /// Behind `?`.
    Query,
    /// Among the headers.
    Header,
}

/// What a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// A whole number.
    Integer,
    /// Text.
    Text,
    /// A date or time.
    Time,
    /// true or false.
    Flag,
}

/// The table, which lives as long as the program.
pub(super) fn table() -> &'static [Route] {
    static TABLE: LazyLock<Vec<Route>> = LazyLock::new(routes);
    &TABLE
}

impl Route {
    /// How metrics name it: path, method, and the status when all is well.
    #[must_use]
    pub fn seen(&self) -> (&'static str, &str, u16) {
        (self.path, self.method.as_str(), self.doc.answer.status)
    }

    /// Whether a path is one of this route's.
    pub(super) fn is_at(&self, path: &str) -> bool {
        let (ours, theirs) = (self.path.split('/'), path.split('/'));
        ours.clone().count() == theirs.clone().count()
            && ours
                .zip(theirs)
                .all(|(ours, theirs)| match ours.starts_with('{') {
                    true => !theirs.is_empty(),
                    false => ours == theirs,
                })
    }
}

/// All routes.
#[must_use]
pub fn routes() -> Vec<Route> {
    let mut routes = qwed::routes();
    routes.extend(v1::routes());
    routes.extend(pages::routes());
    routes
}
