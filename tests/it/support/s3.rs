//! An S3 server under test, and what an administrator or an attacker does to it: requests that the program never makes.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use object_store::{
    aws::{AwsAuthorizer, AwsCredential},
    client::{HttpClient, HttpRequestBody},
};
use trailkeeper::config::{Config, LockMode, Secret};

/// Where a server is, and who we are there.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) endpoint: String,
    pub(crate) access_key: &'static str,
    pub(crate) secret_key: &'static str,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Server {
    /// A configuration for a bucket here.
    pub(crate) fn config(&self, bucket: &str, lock_mode: LockMode) -> Config {
        let mut config = Config::default();
        config.objects.url = Secret::new(format!("s3://{bucket}/trail/a"));
        config.objects.endpoint = self.endpoint.clone();
        config.objects.access_key_id = self.access_key.to_owned();
        config.objects.secret_access_key = Secret::new(self.secret_key);
        config.objects.allow_http = true;
        config.objects.lock_mode = lock_mode;
        config
    }

    /// The same as the variables that configure the program.
    pub(crate) fn variables(&self, bucket: &str) -> Vec<(&'static str, String)> {
        vec![
            (
                "TRAILKEEPER__OBJECTS__URL",
                format!("s3://{bucket}/trail/a"),
            ),
            ("TRAILKEEPER__OBJECTS__ENDPOINT", self.endpoint.clone()),
            (
                "TRAILKEEPER__OBJECTS__ACCESS_KEY_ID",
                self.access_key.to_owned(),
            ),
            (
                "TRAILKEEPER__OBJECTS__SECRET_ACCESS_KEY",
                self.secret_key.to_owned(),
            ),
            ("TRAILKEEPER__OBJECTS__ALLOW_HTTP", "true".to_owned()),
        ]
    }

    /// Makes a bucket.
    pub(crate) async fn make_bucket(&self, bucket: &str, with_object_lock: bool) {
        let lock = [("x-amz-bucket-object-lock-enabled", "true")];
        let headers = if with_object_lock { &lock[..] } else { &[] };
        let answer = self.send(Method::PUT, bucket, headers, b"").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }

    /// Sends a signed request; `target` is a path and a query.
    pub(crate) async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&'static str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}/{target}", self.endpoint))
            .body(HttpRequestBody::from(body.to_vec()))
            .expect("make a request");
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a header's value");
            request
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
        let length = HeaderValue::from(body.len());
        request
            .headers_mut()
            .insert(http::header::CONTENT_LENGTH, length);
        let credential = AwsCredential {
            key_id: self.access_key.to_owned(),
            secret_key: self.secret_key.to_owned(),
            token: None,
        };
        AwsAuthorizer::new(&credential, "s3", "us-east-1")
            .try_authorize(&mut request, None)
            .expect("sign a request");
        let client = HttpClient::new(plain_client());
        let answer = client.execute(request).await.expect("send a request");
        let (parts, body) = answer.into_parts();
        let body = body.bytes().await.expect("read an answer");
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }
}

/// A client that needs no TLS, and so no choice of what does it.
fn plain_client() -> reqwest::Client {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("choose a version of TLS")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .build()
        .expect("make a client")
}

impl Answer {
    /// What stands between the tags of this name, the first time.
    #[track_caller]
    pub(crate) fn element(&self, name: &str) -> &str {
        let (_, rest) = self
            .body
            .split_once(&format!("<{name}>"))
            .unwrap_or_else(|| panic!("no {name}: {self:?}"));
        rest.split('<').next().unwrap_or_default()
    }
}
