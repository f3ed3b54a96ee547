//! Files of any size, put in parts and not locked.
//!
//! What is put here has to be removable, so no lock is asked for, and a name that is taken is written anew: a run that is
//! repeated puts its own file again. That the store holds what was sent is seen by reading it back.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{MultipartUpload, ObjectStoreExt, path::Path};
use sha2::{Digest as _, Sha256};

use super::{Digest, Stored, Vault, VaultError, error::explain, object::check_name};

/// Bytes of a part. S3 takes ten thousand parts of at least 5 MiB each.
const PART_BYTES: usize = 8 << 20;

impl Vault {
    /// Puts a file, which is read from its beginning, and reads it back. What was there under the name is replaced, or, where
    /// the store keeps versions, hidden.
    ///
    /// # Errors
    /// If the file cannot be read, or the store cannot be reached, refuses, or holds something else afterwards.
    pub async fn put_file(
        &self,
        name: &str,
        file: File,
        sha256: Digest,
    ) -> Result<Stored, VaultError> {
        check_name(name)?;
        let (store, path) = self.backend.place(name)?;
        let location = self.backend.location();
        let fail = |error| explain(location, &format!("write {name}"), name, error);
        let mut upload = store.put_multipart(&path).await.map_err(fail)?;
        let sent = async {
            send(upload.as_mut(), file).await?;
            upload.complete().await
        };
        if let Err(error) = sent.await {
            // Parts that nobody completes are kept and paid for.
            let _ = upload.abort().await;
            return Err(fail(error));
        }
        let found = self.read_digest(&*store, &path).await.map_err(fail)?;
        if found != sha256 {
            return Err(VaultError::Occupied {
                location: Arc::clone(location),
                name: name.to_owned(),
                wanted: sha256,
                found,
            });
        }
        let head = self.head(name, None).await?;
        Ok(Stored {
            name: head.name,
            version: head.version,
            sha256,
            size: head.size,
            lock: head.lock,
            is_hidden: false,
        })
    }

    async fn read_digest(
        &self,
        store: &dyn object_store::ObjectStore,
        path: &Path,
    ) -> object_store::Result<Digest> {
        let mut content = store.get(path).await?.into_stream();
        let mut hash = Sha256::new();
        while let Some(bytes) = content.try_next().await? {
            hash.update(&bytes);
        }
        Ok(Digest(hash.finalize().into()))
    }
}

async fn send(upload: &mut dyn MultipartUpload, mut file: File) -> object_store::Result<()> {
    let rewound = file.rewind();
    rewound.map_err(unreadable)?;
    loop {
        let read = tokio::task::spawn_blocking(move || read_part(file)).await;
        let part;
        (part, file) = read
            .map_err(io::Error::other)
            .and_then(|read| read)
            .map_err(unreadable)?;
        if part.is_empty() {
            return Ok(());
        }
        upload.put_part(part.into()).await?;
    }
}

fn read_part(mut file: File) -> io::Result<(Bytes, File)> {
    let mut part = Vec::with_capacity(PART_BYTES);
    let limit = PART_BYTES as u64;
    file.by_ref().take(limit).read_to_end(&mut part)?;
    Ok((part.into(), file))
}

fn unreadable(error: io::Error) -> object_store::Error {
    object_store::Error::Generic {
        store: "a file",
        source: Box::new(error),
    }
}
