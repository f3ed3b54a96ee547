//! Webhooks: a `CloudEvents` event in its structured form, signed as Standard Webhooks are.
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>,
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{SendError, SetupError};
use crate::{
    clock::Clock,
    config::Channel,
    notify::{Notice, http::Client},
};

pub(super) struct Webhook {
    client: Client,
    key: Zeroizing<Vec<u8>>,
}

impl Webhook {
    pub(super) fn new(channel: &Channel) -> Result<Self, SetupError> {
        let no_key = || SetupError::Secret("it is no base64 after its \"whsec_\"".to_owned());
        Ok(Self {
            client: Client::new(channel)?,
            key: channel.signing_key().ok_or_else(no_key)?,
        })
    }

    pub(super) async fn send(&self, notice: &Notice, source: &str) -> Result<(), SendError> {
        let body = event(notice, source).to_string();
        // Of the attempt: receivers refuse what was signed long ago.
        let seconds = Clock.now().as_second();
        let signature = signature(&self.key, &notice.id, seconds, &body);
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, kind);
        for (name, text) in [
            ("webhook-id", notice.id.clone()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", signature),
        ] {
            let value = HeaderValue::try_from(text)
                .map_err(|_| SendError::never("the notice's id fits into no header"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let url = self.client.url();
        self.client.post(url, &headers, &body).await
    }
}

/// The event. Its id is the same at each attempt.
pub(super) fn event(notice: &Notice, source: &str) -> Value {
    json!({
        "specversion": "1.0",
        "id": notice.id,
        "type": format!("trailkeeper.alert.{}", notice.moment.name()),
        "source": source,
        "subject": notice.alert.identity(),
        "time": notice.at,
        "datacontenttype": "application/json",
        "data": notice.alert,
    })
}

/// `v1,` and the base64 of the HMAC-SHA256 of `id.seconds.body`.
pub(super) fn signature(key: &[u8], id: &str, seconds: i64, body: &str) -> String {
    let mut mac = match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes a key of any length"),
    };
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}
