//! The versions of objects, which no listing of the crate shows.

use futures_util::{
    TryStreamExt,
    stream::{self, BoxStream, StreamExt},
};
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    super::{VaultError, Version},
    S3,
    request::Call,
};

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html>
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_version_id_marker: Option<String>,
    #[serde(rename = "Version", default)]
    versions: Vec<Entry>,
    #[serde(rename = "DeleteMarker", default)]
    markers: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    version_id: Option<String>,
    #[serde(default)]
    is_latest: bool,
    last_modified: Timestamp,
    #[serde(default)]
    size: u64,
}

/// Where the next page begins: after this key and version.
type Next = Option<(String, Option<String>)>;

impl S3 {
    /// The versions of all keys that begin with `key_prefix`, by name; a page of at most so many at a time.
    pub(super) fn list_versions(
        &self,
        key_prefix: String,
        page_size: u16,
    ) -> BoxStream<'static, Result<Version, VaultError>> {
        let this = self.clone();
        let pages = stream::try_unfold(Some(None), move |next: Option<Next>| {
            let this = this.clone();
            let key_prefix = key_prefix.clone();
            async move {
                let Some(after) = next else { return Ok(None) };
                let page = this.page(&key_prefix, after, page_size).await?;
                let next = match (page.is_truncated, page.next_key_marker) {
                    (true, Some(key)) => Some(Some((key, page.next_version_id_marker))),
                    _ => None,
                };
                let version = |entry: Entry, is_delete_marker| Version {
                    name: this.name(&entry.key),
                    version: entry.version_id,
                    size: entry.size,
                    modified: entry.last_modified,
                    is_latest: entry.is_latest,
                    is_delete_marker,
                };
                let versions = page.versions.into_iter().map(|entry| version(entry, false));
                let markers = page.markers.into_iter().map(|entry| version(entry, true));
                let mut all: Vec<_> = versions.chain(markers).collect();
                all.sort_by(|one, other| one.name.cmp(&other.name));
                Ok(Some((stream::iter(all).map(Ok), next)))
            }
        });
        pages.try_flatten().boxed()
    }

    async fn page(
        &self,
        key_prefix: &str,
        after: Next,
        page_size: u16,
    ) -> Result<Page, VaultError> {
        let mut query = vec![
            ("versions", String::new()),
            ("prefix", key_prefix.to_owned()),
            ("max-keys", page_size.to_string()),
        ];
        if let Some((key, version)) = after {
            query.push(("key-marker", key));
            query.extend(version.map(|version| ("version-id-marker", version)));
        }
        let call = Call {
            method: Method::GET,
            key: None,
            query,
            headers: HeaderMap::new(),
            body: Default::default(),
            action: "list the versions of",
            object: format!("{key_prefix}*"),
        };
        let answer = self.client.send(&call).await?;
        if answer.status != StatusCode::OK {
            return Err(self.client.explain(&call, &answer));
        }
        let text = String::from_utf8_lossy(&answer.body);
        quick_xml::de::from_str(&text).map_err(|error| VaultError::Failed {
            location: self.location.clone(),
            action: format!("list the versions of {key_prefix}*"),
            reason: format!("its answer is no list of versions ({error})"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_markers_come_in_any_order() {
        let page: Page = quick_xml::de::from_str(
            "<?xml version=\"1.0\"?><ListVersionsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Name>b</Name><IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker>\
             <DeleteMarker><Key>a</Key><VersionId>2</VersionId><IsLatest>true</IsLatest>\
             <LastModified>2026-08-01T00:00:01.000Z</LastModified></DeleteMarker>\
             <Version><Key>a</Key><VersionId>1</VersionId><IsLatest>false</IsLatest><Size>3</Size>\
             <LastModified>2026-08-01T00:00:00.123456789Z</LastModified><Owner><ID>x</ID></Owner></Version>\
             <DeleteMarker><Key>b</Key><VersionId>3</VersionId><IsLatest>true</IsLatest>\
             <LastModified>2026-08-01T00:00:01Z</LastModified></DeleteMarker></ListVersionsResult>",
        )
        .unwrap();
        assert_eq!((page.versions.len(), page.markers.len()), (1, 2));
        assert_eq!(page.versions[0].size, 3);
        assert!(page.is_truncated && page.next_version_id_marker.is_none());
    }
}
