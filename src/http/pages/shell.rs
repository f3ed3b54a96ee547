//! What all pages share: frame, times, badges, and what is shown when something goes wrong.

use askama::{Template, filters::HtmlSafe};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use indicatif::HumanCount;
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    config::Scope,
    http::{Call, Caller, Fault, auth::Operator, auth::Visitor, body::typed},
    when,
};

/// Where the status page begins.
pub(in crate::http) const HOME: &str = "/status";

/// Nothing runs here, and nothing comes from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Pages, what they are called, and what whoever sees them needs.
const NAVIGATION: [(&str, &str, Scope); 7] = [
    (HOME, "Overview", Scope::TrailsRead),
    ("/status/jobs", "Jobs", Scope::JobsRead),
    ("/status/schedules", "Schedules", Scope::JobsRead),
    ("/status/keys", "API keys", Scope::TrailsRead),
    ("/status/erasures", "Erasures", Scope::ErasuresRead),
    ("/status/archive", "Anchors and archive", Scope::TrailsRead),
    ("/status/reports", "Reports", Scope::TrailsRead),
];

/// The page at `path` if the operator may see it, and otherwise the first that they may.
pub(super) fn where_allowed(call: &Call, scope: Scope, path: String) -> Result<String, Fault> {
    let operator = call.operator()?;
    Ok(match operator.may(scope) {
        true => path,
        false => home_of(operator).to_owned(),
    })
}

/// The first page that an operator may see.
pub(super) fn home_of(operator: &Operator) -> &'static str {
    let mut pages = NAVIGATION.iter();
    let found = pages.find(|(_, _, scope)| operator.may(*scope));
    found.map_or(HOME, |(path, ..)| path)
}

/// A page in the navigation.
pub(super) struct Link {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) is_here: bool,
}

/// The frame of a page.
pub(super) struct Shell {
    pub(super) title: String,
    /// Who is signed in.
    pub(super) operator: Option<Operator>,
    /// What forms send back.
    pub(super) csrf: String,
    pub(super) navigation: Vec<Link>,
    pub(super) now: Moment,
    /// After how many seconds the page asks for itself again; none unless something is under way.
    pub(super) refresh: Option<u32>,
}

impl Shell {
    /// The frame of the page at `here`.
    pub(super) fn new(call: &Call, here: &str, title: impl Into<String>) -> Self {
        let now = call.api.now();
        Self::of(&call.caller, here, title.into(), Moment::of(now, now))
    }

    fn of(caller: &Caller, here: &str, title: String, now: Moment) -> Self {
        let visitor = match caller {
            Caller::Visitor(visitor) => Some(visitor),
            _ => None,
        };
        let may = |scope| visitor.is_some_and(|it| it.operator.may(scope));
        let pages = NAVIGATION.iter().filter(|(_, _, scope)| may(*scope));
        let navigation = pages.map(|&(path, name, _)| Link {
            path,
            name,
            is_here: path == here,
        });
        Self {
            title,
            navigation: navigation.collect(),
            operator: visitor.map(|it| it.operator.clone()),
            csrf: visitor.map_or_else(String::new, |it: &Visitor| it.csrf.clone()),
            now,
            refresh: None,
        }
    }

    /// Whether the operator may.
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.operator
            .as_ref()
            .is_some_and(|operator| operator.may(scope))
    }

    /// Whether the operator may have jobs done.
    pub(super) fn may_run(&self) -> bool {
        self.may(Scope::JobsWrite)
    }

    /// Whether the operator may look at jobs.
    pub(super) fn may_see_jobs(&self) -> bool {
        self.may(Scope::JobsRead)
    }
}

/// A moment as people read it: exactly for those who point at it, and how long ago.
#[derive(Template, Clone)]
#[template(
    source = r#"<time datetime="{{ exact }}" title="{{ exact }}">{{ shown }}</time>{% if !relative.is_empty() %} <span class="ago">{{ relative }}</span>{% endif %}"#,
    ext = "html"
)]
pub(super) struct Moment {
    exact: String,
    shown: String,
    relative: String,
}

impl HtmlSafe for Moment {}

impl Moment {
    pub(super) fn of(at: Timestamp, now: Timestamp) -> Self {
        let shown = at.to_zoned(TimeZone::UTC);
        Self {
            exact: at.to_string(),
            shown: shown.strftime("%Y-%m-%d %H:%M UTC").to_string(),
            relative: when::relative(at.as_microsecond(), now),
        }
    }

    /// The same of microseconds since 1970.
    pub(super) fn micros(micros: i64, now: Timestamp) -> Self {
        match Timestamp::from_microsecond(micros) {
            Ok(at) => Self::of(at, now),
            // Only if somebody else wrote it.
            Err(_) => Self {
                exact: format!("{micros} µs"),
                shown: format!("{micros} µs"),
                relative: String::new(),
            },
        }
    }

    /// Whether nobody asked the clock.
    pub(super) fn is_unknown(&self) -> bool {
        self.exact.is_empty()
    }

    /// Without how long ago.
    pub(super) fn plain(&self) -> Self {
        Self {
            relative: String::new(),
            ..self.clone()
        }
    }
}

/// How something stands, in a word that does not need its colour.
#[derive(Template, Clone, Copy)]
#[template(
    source = r#"<span class="badge {{ tone.class() }}"><span aria-hidden="true">{{ tone.sign() }}</span> {{ word }}</span>"#,
    ext = "html"
)]
pub(super) struct Badge<'a> {
    pub(super) tone: Tone,
    pub(super) word: &'a str,
}

impl HtmlSafe for Badge<'_> {}

/// What a word means for whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    /// Neither here nor there.
    Plain,
    /// All is well.
    Good,
    /// Somebody should look.
    Doubtful,
    /// Somebody has to act.
    Bad,
}

impl Tone {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Plain => "none",
            Self::Good => "pass",
            Self::Doubtful => "unknown",
            Self::Bad => "fail",
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Plain => "–",
            Self::Good => "✓",
            Self::Doubtful => "?",
            Self::Bad => "✗",
        }
    }
}

/// The tone of a verdict on a trail.
pub(super) fn tone_of_verdict(verdict: &str) -> Tone {
    match verdict {
        "intact" => Tone::Good,
        "incomplete" => Tone::Doubtful,
        _ => Tone::Bad,
    }
}

/// A number with its thousands apart.
pub(super) fn grouped(number: impl TryInto<u64>) -> String {
    HumanCount(number.try_into().unwrap_or(0)).to_string()
}

/// A page as it is sent.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response {
    // A string takes all.
    let html = template.render().unwrap_or_default();
    let mut response = typed(status, "text/html; charset=utf-8", Body::from(html));
    let policy = HeaderValue::from_static(POLICY);
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

#[derive(Template)]
#[template(path = "http/pages/fault.html")]
struct FaultPage<'a> {
    shell: Shell,
    detail: &'a str,
}

#[derive(Template)]
#[template(path = "http/pages/sign_in.html")]
struct SignIn<'a> {
    shell: Shell,
    detail: Option<&'a str>,
    next: &'a str,
}

/// What went wrong, as a page. Whoever has to sign in first gets the form for it.
pub(in crate::http) fn fault(fault: &Fault, who: &Caller, next: &str) -> Response {
    let now = Moment {
        exact: String::new(),
        shown: String::new(),
        relative: String::new(),
    };
    let mut response = if fault.status == StatusCode::UNAUTHORIZED {
        let form = SignIn {
            shell: Shell::of(who, "", "Sign in".to_owned(), now),
            detail: Some(fault.detail.as_str()).filter(|detail| *detail != NOT_SIGNED_IN),
            next,
        };
        page(fault.status, &form)
    } else {
        let title = fault.status.canonical_reason().unwrap_or("Error");
        let shown = FaultPage {
            shell: Shell::of(who, "", title.to_owned(), now),
            detail: &fault.detail,
        };
        page(fault.status, &shown)
    };
    if let Some(seconds) = fault.retry_after {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Why a page is not shown to somebody of whom nothing is known; no news to them.
pub(in crate::http) const NOT_SIGNED_IN: &str = "sign in first";
