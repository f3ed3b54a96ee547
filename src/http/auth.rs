//! Who asks: an owner or admin by an API key of QWED's, or an operator by a token of ours.

use axum::http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::{Fault, api::Api, limit::Whose, pages, route::Rule};
use crate::{
    config::{Scope, TokenConfig},
    qwed::caller::{self, Denied},
    trail::hash::to_hex,
};

const API_KEY: &str = "x-api-key";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Anybody.
    Anybody,
    /// An owner or admin of an organisation of QWED's.
    Admin(caller::Caller),
    /// An operator's program, by its token.
    Operator(Operator),
    /// An operator's browser, by its session.
    Visitor(Visitor),
}

/// An operator who is signed in to the status page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// Who.
    pub operator: Operator,
    /// What the forms of this session's pages have to send back.
    pub csrf: String,
    /// The session.
    pub id_sha256: String,
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// As the configuration names them.
    pub name: String,
    /// What they may do.
    pub scopes: Vec<Scope>,
}

impl Operator {
    /// Who it is, in the ledger.
    #[must_use]
    pub fn actor(&self) -> String {
        format!("operator {}", self.name)
    }

    /// Whether they may.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|held| held.allows(scope))
    }
}

impl Caller {
    /// Whose requests this one is counted among.
    pub(super) fn whose(&self) -> Option<Whose> {
        match self {
            Self::Anybody => None,
            Self::Admin(admin) => Some(Whose::ApiKey(admin.api_key_id)),
            Self::Operator(operator) | Self::Visitor(Visitor { operator, .. }) => {
                Some(Whose::Operator(operator.name.clone()))
            }
        }
    }

    /// Who it is, for the log.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Anybody => "anybody".to_owned(),
            Self::Admin(admin) => format!("api key {}", admin.api_key_id),
            Self::Operator(operator) | Self::Visitor(Visitor { operator, .. }) => operator.actor(),
        }
    }
}

/// The hash by which a token is configured.
#[must_use]
pub fn hash_of_token(token: &str) -> String {
    let hex = to_hex(&Sha256::digest(token).into());
    String::from_utf8_lossy(&hex).into_owned()
}

/// The tokens that are known.
pub(super) struct Tokens(Vec<Token>);

struct Token {
    hash: [u8; 32],
    expires_at: Option<Timestamp>,
    operator: Operator,
}

impl Tokens {
    pub(super) fn new(tokens: &[TokenConfig]) -> Self {
        let known = tokens.iter().filter_map(|token| {
            Some(Token {
                hash: token.hash()?,
                expires_at: token.expires_at(),
                operator: Operator {
                    name: token.name.clone(),
                    scopes: token.scopes.clone(),
                },
            })
        });
        Self(known.collect())
    }

    /// Whose token it is. All are compared, and each in full, so that time tells nothing.
    pub(super) fn find(&self, token: &str, now: Timestamp) -> Option<&Operator> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for known in &self.0 {
            let is_live = known.expires_at.is_none_or(|end| now < end);
            let is_it = known.hash.ct_eq(&hash) & Choice::from(u8::from(is_live));
            if bool::from(is_it) {
                found = Some(&known.operator);
            }
        }
        found
    }

    /// The operator of this name, if the token still is the one with this hash, in hexadecimal.
    pub(super) fn named(&self, name: &str, sha256: &str, now: Timestamp) -> Option<&Operator> {
        let is_live = |token: &&Token| {
            token.operator.name == name
                && to_hex(&token.hash) == sha256.as_bytes()
                && token.expires_at.is_none_or(|end| now < end)
        };
        self.0.iter().find(is_live).map(|token| &token.operator)
    }
}

/// Finds out who asks, and whether they may.
pub(super) async fn admit(api: &Api, rule: Rule, headers: &HeaderMap) -> Result<Caller, Fault> {
    match rule {
        Rule::Open(_) => Ok(Caller::Anybody),
        Rule::QwedAdmin => admin(api, headers).await.map(Caller::Admin),
        Rule::Scope(_) => {
            let missing = "an operator's token is needed: Authorization: Bearer …";
            let unauthorized = |detail| Fault::new(StatusCode::UNAUTHORIZED, detail);
            let token = bearer(headers).ok_or_else(|| unauthorized(missing))?;
            let operator = api.tokens.find(token, api.now());
            let operator = operator
                .ok_or_else(|| unauthorized("the token is not known, or its time is over"))?;
            Ok(Caller::Operator(operator.clone()))
        }
        Rule::Page(_) => {
            let visitor = pages::visitor(api, headers).await?;
            let visitor = visitor
                .ok_or_else(|| Fault::new(StatusCode::UNAUTHORIZED, pages::NOT_SIGNED_IN))?;
            Ok(Caller::Visitor(visitor))
        }
    }
}

/// Whether an operator who is known may. Asked apart from [`admit`], so that the log names them, and a page can show where else they may
/// go.
pub(super) fn permit(rule: Rule, caller: &Caller) -> Result<(), Fault> {
    match (rule, caller) {
        (Rule::Scope(scope), Caller::Operator(operator)) => allow(operator, scope),
        (Rule::Page(Some(scope)), Caller::Visitor(visitor)) => allow(&visitor.operator, scope),
        _ => Ok(()),
    }
}

pub(super) fn allow(operator: &Operator, scope: Scope) -> Result<(), Fault> {
    match operator.may(scope) {
        true => Ok(()),
        false => {
            let detail = format!("the token lacks the scope {scope}");
            Err(Fault::new(StatusCode::FORBIDDEN, detail))
        }
    }
}

/// As QWED's `require_admin_role`, in its words. Sessions are QWED's own: a bearer token is answered as one that has ended.
async fn admin(api: &Api, headers: &HeaderMap) -> Result<caller::Caller, Fault> {
    let key = headers.get(API_KEY).filter(|key| !key.is_empty());
    let Some(key) = key else {
        let detail = match bearer(headers) {
            Some(_) => "Invalid or expired token",
            None => "Missing x-api-key header or bearer token",
        };
        return Err(Fault::new(StatusCode::UNAUTHORIZED, detail));
    };
    let found = match key.to_str() {
        Ok(key) => api.answers.caller(key, api.now()).await?,
        Err(_) => Err(Denied::Key),
    };
    found.map_err(|denied| {
        let detail = match denied {
            Denied::Key => "Invalid or revoked API Key",
            Denied::User => "API key is not authorized for admin operations",
            Denied::Organization => "Organization is not active",
            Denied::Role => "Insufficient permissions for this operation",
        };
        Fault::new(StatusCode::FORBIDDEN, detail)
    })
}

/// What stands behind `Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
