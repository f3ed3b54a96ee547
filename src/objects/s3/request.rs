//! One signed request to S3, and what its answer means.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{HeaderMap, Method, StatusCode};
use object_store::{
    aws::{AwsAuthorizer, AwsCredentialProvider},
    client::{HttpClient, HttpRequest, HttpRequestBody},
};
use serde::Deserialize;
use url::Url;

use super::super::{
    Digest, MAX_OBJECT_BYTES, VaultError,
    error::chain,
    transport::{ATTEMPTS, FIRST_PAUSE},
};

/// Sends requests to one bucket.
pub(super) struct Client {
    pub(super) http: HttpClient,
    pub(super) credentials: AwsCredentialProvider,
    pub(super) region: String,
    /// The bucket's URL, without a slash at its end.
    pub(super) address: String,
    pub(super) location: Arc<str>,
}

/// A request before it is signed.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// None for the bucket itself.
    pub(super) key: Option<String>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// What it is for, as "read", and of what, for messages.
    pub(super) action: &'a str,
    pub(super) object: String,
}

/// An answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The body of an answer that is an error.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorBody {
    code: String,
    #[serde(default)]
    message: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn error(&self) -> Option<ErrorBody> {
        quick_xml::de::from_str(std::str::from_utf8(&self.body).ok()?).ok()
    }

    /// S3's word for what is wrong. An answer to HEAD has none.
    pub(super) fn code(&self) -> Option<String> {
        self.error().map(|error| error.code)
    }

    pub(super) fn reason(&self) -> String {
        match self.error() {
            Some(ErrorBody { code, message }) if message.is_empty() => {
                format!("{} {code}", self.status.as_u16())
            }
            Some(ErrorBody { code, message }) => {
                format!("{} {code}: {message}", self.status.as_u16())
            }
            None => self.status.to_string(),
        }
    }

    /// Whether asking again may help.
    fn is_transient(&self) -> bool {
        self.status.is_server_error()
            || matches!(
                self.status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
            )
    }
}

impl Client {
    /// Sends a request that may be sent any number of times, until it has an answer that another would not change.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Answer, VaultError> {
        for attempt in 1.. {
            match self.send_once(call).await {
                Ok(answer) if !answer.is_transient() => return Ok(answer),
                Ok(answer) if attempt == ATTEMPTS => return Err(self.explain(call, &answer)),
                // Where credentials come from has its own way to try again.
                Err(error) if attempt == ATTEMPTS || !is_lost(&error) => return Err(error),
                Ok(_) | Err(_) => pause(attempt).await,
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Sends a request once. An error leaves open whether the store did what it was asked.
    pub(super) async fn send_once(&self, call: &Call<'_>) -> Result<Answer, VaultError> {
        let unreachable = |reason: String| VaultError::Unreachable {
            location: Arc::clone(&self.location),
            action: call.words(),
            reason,
        };
        let request = self.signed(call).await?;
        let answer = self.http.execute(request).await;
        let answer = answer.map_err(|error| unreachable(chain(&error)))?;
        let (parts, body) = answer.into_parts();
        let too_large = |size| VaultError::TooLarge {
            location: Arc::clone(&self.location),
            object: call.object.clone(),
            size,
            max: MAX_OBJECT_BYTES,
        };
        let mut content = BytesMut::new();
        let mut stream = body.bytes_stream();
        while let Some(chunk) = stream.next().await {
            content.extend_from_slice(&chunk.map_err(|error| unreachable(chain(&error)))?);
            if content.len() as u64 > MAX_OBJECT_BYTES {
                return Err(too_large(content.len() as u64));
            }
        }
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: content.freeze(),
        })
    }

    /// The request with its signature, which covers all headers.
    pub(super) async fn signed(&self, call: &Call<'_>) -> Result<HttpRequest, VaultError> {
        let fail = |problem: String| VaultError::Settings {
            location: Arc::clone(&self.location),
            problem,
        };
        let credential = self.credentials.get_credential().await;
        let credential = credential.map_err(|error| VaultError::Failed {
            location: Arc::clone(&self.location),
            action: call.words(),
            reason: format!(
                "no credentials could be had ({}); set objects.access_key_id and objects.secret_access_key, or give this \
                 machine a role",
                chain(&error)
            ),
        })?;
        let address = match &call.key {
            // Of what names may hold, these two have to be escaped in what is signed.
            Some(key) => {
                let key = key.replace('=', "%3D").replace('+', "%2B");
                format!("{}/{key}", self.address)
            }
            None => self.address.clone(),
        };
        let mut url = Url::parse(&address).map_err(|error| fail(error.to_string()))?;
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(url.as_str())
            .body(HttpRequestBody::from(call.body.clone()))
            .map_err(|error| fail(error.to_string()))?;
        request.headers_mut().extend(call.headers.clone());
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .try_authorize(&mut request, Some(&Digest::of(&call.body).0))
            .map_err(|error| fail(chain(&error)))?;
        Ok(request)
    }

    /// An answer that is not what was hoped for.
    pub(super) fn explain(&self, call: &Call<'_>, answer: &Answer) -> VaultError {
        let location = Arc::clone(&self.location);
        let code = answer.code().unwrap_or_default();
        if answer.is_transient() || answer.status == StatusCode::CONFLICT {
            return VaultError::Failed {
                location,
                action: call.words(),
                reason: answer.reason(),
            };
        }
        if answer.status == StatusCode::NOT_FOUND && call.key.is_some() && code != "NoSuchBucket" {
            return VaultError::NotFound {
                location,
                object: call.object.clone(),
            };
        }
        VaultError::Refused {
            location,
            action: call.words(),
            reason: answer.reason(),
            remedy: remedy(answer, &code),
        }
    }
}

/// Whether there was no answer.
pub(super) fn is_lost(error: &VaultError) -> bool {
    matches!(error, VaultError::Unreachable { .. })
}

impl Call<'_> {
    fn words(&self) -> String {
        format!("{} {}", self.action, self.object)
    }
}

/// What to do about a refusal.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList>
fn remedy(answer: &Answer, code: &str) -> &'static str {
    match code {
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken" => {
            "check objects.access_key_id and objects.secret_access_key"
        }
        "RequestTimeTooSkewed" | "RequestExpired" => "set this machine's clock",
        "NoSuchBucket" => "make the bucket, with Object Lock enabled, or correct objects.url",
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "IllegalLocationConstraintException" => "set objects.region to the bucket's region",
        "InvalidRequest" | "InvalidBucketState" | "InvalidRetentionPeriod" => {
            "\"trailkeeper archive doctor\" looks whether the bucket has Object Lock enabled"
        }
        _ if answer.status.is_redirection() => "set objects.region to the bucket's region",
        _ if answer.status == StatusCode::FORBIDDEN
            || answer.status == StatusCode::UNAUTHORIZED =>
        {
            "check the key's secret, and that it has s3:PutObject, s3:PutObjectRetention, s3:GetObject, s3:GetObjectVersion, \
             s3:GetObjectRetention, s3:ListBucket and s3:ListBucketVersions"
        }
        _ if answer.status == StatusCode::NOT_FOUND => {
            "make the bucket, with Object Lock enabled, or correct objects.url"
        }
        _ => "\"trailkeeper archive doctor\" looks for the cause",
    }
}

/// Waits before another attempt, longer each time, and not in step with others.
pub(super) async fn pause(attempt: u32) {
    let pause = FIRST_PAUSE.saturating_mul(1 << attempt.min(5).saturating_sub(1));
    let spread = Duration::from_millis(fastrand::u64(0..=pause.as_millis() as u64 / 2));
    tokio::time::sleep(pause + spread).await;
}
