//! HTTP to object stores: TLS by ring with the system's authorities, no redirects, a time limit for everything.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, RetryConfig,
    client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService},
};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::config::Objects;

/// How often a request that only asks is sent.
pub(super) const ATTEMPTS: u32 = 4;
/// First pause between them; it doubles.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Makes clients for [`object_store`], whose own would choose their own TLS.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    connect_timeout: Duration,
    request_timeout: Duration,
}

impl Connector {
    pub(super) fn new(config: &Objects) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Self {
            connect_timeout: seconds(config.connect_timeout_seconds),
            request_timeout: seconds(config.request_timeout_seconds),
        }
    }

    /// How [`object_store`] tries again what only asks.
    pub(super) fn retry(&self) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig {
                init_backoff: FIRST_PAUSE,
                max_backoff: Duration::from_secs(2),
                base: 2.0,
            },
            max_retries: ATTEMPTS as usize - 1,
            retry_timeout: self.request_timeout,
        }
    }

    pub(super) fn client(&self, allow_http: bool) -> Result<HttpClient, BoxError> {
        let inner = http_client(self.connect_timeout, self.request_timeout, allow_http)?;
        Ok(HttpClient::new(Transport { inner }))
    }
}

/// A client with our TLS and time limits, also for what is no object store.
pub(crate) fn http_client(
    connect_timeout: Duration,
    request_timeout: Duration,
    allow_http: bool,
) -> Result<reqwest::Client, BoxError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(!allow_http)
        // A signature or key is for one host only, and nobody else is to be sent one.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(connect_timeout)
        .timeout(request_timeout)
        .user_agent(concat!("trailkeeper/", env!("CARGO_PKG_VERSION")))
        .build()?)
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allow_http = options.get_config_value(&ClientConfigKey::AllowHttp);
        self.client(allow_http.as_deref() == Some("true"))
            .map_err(|source| object_store::Error::Generic {
                store: "HTTP client",
                source,
            })
    }
}

#[derive(Debug)]
struct Transport {
    inner: reqwest::Client,
}

#[async_trait]
impl HttpService for Transport {
    #[cfg(not(feature = "probe"))]
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        HttpService::call(&self.inner, request).await
    }

    #[cfg(feature = "probe")]
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        use super::fault::{self, Way};
        use object_store::client::HttpErrorKind;
        let is_put = request.method() == http::Method::PUT;
        let lost = || HttpError::new(HttpErrorKind::Interrupted, fault::error());
        match fault::strike(is_put) {
            None => HttpService::call(&self.inner, request).await,
            Some(Way::Failed) => Err(lost()),
            Some(Way::FailedButPersisted) => {
                let answer = HttpService::call(&self.inner, request).await?;
                // The store has done all of it once its answer has ended.
                answer.into_body().bytes().await?;
                Err(lost())
            }
        }
    }
}
