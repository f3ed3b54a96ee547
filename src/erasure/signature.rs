//! Requests that a producer signed: HMAC-SHA256 over the request itself, in one spelling.
//!
//! What is signed is the payload as JSON without `signature.hmac`, its keys sorted at every depth, no white space, characters
//! beyond ASCII as they are: Python's `json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False)`. The key is the
//! producer's, as bytes; the result is lower-case hex.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::intake::Refusal;
use crate::trail::keys::{Key, KeyRing};

/// How old a signature may be when the request comes, and how far in the future, in seconds.
pub const MAX_AGE_SECONDS: i64 = 300;

/// Who signed a request, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The producer, as the configuration names it (erasure.producers).
    pub producer: String,
    /// When it was signed, ISO 8601 with an offset.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub timestamp: Timestamp,
    /// HMAC-SHA256 of the rest of the request, in lower-case hex.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub hmac: String,
}

/// What is signed of a payload.
#[must_use]
pub fn signed_bytes(payload: &Value) -> Vec<u8> {
    let mut payload = payload.clone();
    if let Some(signature) = payload.get_mut("signature").and_then(Value::as_object_mut) {
        signature.remove("hmac");
    }
    // Objects are sorted maps here.
    payload.to_string().into_bytes()
}

/// Whether a producer signed this payload not long before it was received.
///
/// # Errors
/// Why it does not count.
pub fn verify_signature(
    payload: &Value,
    signed: &Signed,
    producers: &[Key],
    received_at: Timestamp,
) -> Result<(), Refusal> {
    let age = received_at.duration_since(signed.timestamp).abs();
    let key = producers.iter().find(|key| key.id() == signed.producer);
    let Some(key) = key else {
        return Err(Refusal::BadSignature);
    };
    let ring = KeyRing::new(vec![key.clone()]);
    let bytes = signed_bytes(payload);
    if ring
        .signer_at_any_time(&bytes, signed.hmac.as_bytes())
        .is_none()
    {
        return Err(Refusal::BadSignature);
    }
    if age > SignedDuration::from_secs(MAX_AGE_SECONDS) {
        return Err(Refusal::StaleSignature);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn signed(payload: &mut Value, key: &Key, at: &str) -> Signed {
        payload["signature"] = json!({"producer": key.id(), "timestamp": at});
        let hmac = key.sign(&signed_bytes(payload));
        payload["signature"]["hmac"] = String::from_utf8_lossy(&hmac).into();
        serde_json::from_value(payload["signature"].clone()).expect("a signature")
    }

    #[test]
    fn only_what_was_signed_in_time_counts() {
        let key = Key::new("crm", b"a long enough producer key");
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a time");
        let payload = json!({"organization": 1, "user": 2, "reason": "Ä"});
        let mut good = payload.clone();
        let signature = signed(&mut good, &key, "2026-11-23T11:56:00Z");
        let verify = |payload: &Value, signature: &Signed, keys: &[Key]| {
            verify_signature(payload, signature, keys, now)
        };
        let keys = [key.clone()];
        assert_eq!(verify(&good, &signature, &keys), Ok(()));
        let mut changed = good.clone();
        changed["user"] = json!(3);
        assert_eq!(
            verify(&changed, &signature, &keys),
            Err(Refusal::BadSignature)
        );
        assert_eq!(verify(&good, &signature, &[]), Err(Refusal::BadSignature));
        let other = [Key::new("crm", b"another producer's key")];
        assert_eq!(
            verify(&good, &signature, &other),
            Err(Refusal::BadSignature)
        );
        for at in ["2026-11-23T11:54:59Z", "2026-11-23T12:05:01Z"] {
            let mut stale = payload.clone();
            let signature = signed(&mut stale, &key, at);
            assert_eq!(
                verify(&stale, &signature, &keys),
                Err(Refusal::StaleSignature)
            );
        }
    }

    #[test]
    fn what_is_signed_has_one_spelling() {
        let payload = json!({"b": {"d": 1, "c": "ä\n"}, "a": [1.5], "signature": {"producer": "p", "hmac": "x"}});
        let bytes = String::from_utf8(signed_bytes(&payload)).expect("text");
        assert_eq!(
            bytes,
            "{\"a\":[1.5],\"b\":{\"c\":\"ä\\n\",\"d\":1},\"signature\":{\"producer\":\"p\"}}"
        );
    }
}
