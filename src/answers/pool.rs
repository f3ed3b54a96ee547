//! Connections to QWED's database that are kept open for requests.
//!
//! A reader blocks its thread and has an event loop of its own, so that it is only ever used, and dropped, on threads that may be
//! blocked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::AnswerError;
use crate::qwed::{Reader, url::DatabaseUrl};

/// How long a request waits for a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// Some readers, each used by one request at a time.
pub struct Pool {
    url: DatabaseUrl,
    places: Arc<Semaphore>,
    idle: Arc<Idle>,
}

#[derive(Default)]
struct Idle(Mutex<Vec<Reader>>);

impl Idle {
    fn take(&self) -> Option<Reader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put(&self, reader: Reader) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(reader);
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        let readers = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if !readers.is_empty() {
            // An event loop must not be dropped where another runs.
            std::thread::spawn(move || drop(readers));
        }
    }
}

impl Pool {
    /// A pool of at most `size` readers, which connect when they are needed.
    #[must_use]
    pub fn new(url: DatabaseUrl, size: usize) -> Self {
        Self {
            url,
            places: Arc::new(Semaphore::new(size.max(1))),
            idle: Arc::default(),
        }
    }

    /// Runs `work` on a reader. If it fails on one that was kept, it is run once more on one that is new: the server may have
    /// closed the connection.
    ///
    /// # Errors
    /// If all are in use for too long, or as `work`.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Reader) -> Result<T, AnswerError> + Send + 'static,
    ) -> Result<T, AnswerError> {
        let place = Arc::clone(&self.places).acquire_owned();
        let Ok(Ok(place)) = tokio::time::timeout(PATIENCE, place).await else {
            return Err(AnswerError::Busy);
        };
        let (url, idle) = (self.url.clone(), Arc::clone(&self.idle));
        let done = tokio::task::spawn_blocking(move || {
            let done = on_reader(&url, &idle, &work);
            drop((idle, place));
            done
        });
        done.await.unwrap_or(Err(AnswerError::Stopped))
    }
}

fn on_reader<T>(
    url: &DatabaseUrl,
    idle: &Idle,
    work: &impl Fn(&mut Reader) -> Result<T, AnswerError>,
) -> Result<T, AnswerError> {
    if let Some(mut reader) = idle.take()
        && let Ok(done) = work(&mut reader)
    {
        idle.put(reader);
        return Ok(done);
    }
    let mut reader = Reader::connect(url)?;
    let done = work(&mut reader)?;
    idle.put(reader);
    Ok(done)
}
