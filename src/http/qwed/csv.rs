//! QWED's CSV export.
//!
//! Two passes: the first learns ids and times, the second reads the rows in the order in which they are written. So memory holds
//! sixteen bytes for each entry and no more than a page of rows, and no cursor stays open.

use std::collections::HashMap;
use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::super::{Fault, api::Api, body::typed};
use crate::{
    evidence::qwed_profile::{put_log, put_log_head},
    qwed::{IdRange, Period, ReadError, Reader},
    trail::row::Row,
};

const MEDIA: &str = "text/csv; charset=utf-8";
const MICROS: i64 = 30 * 86_400_000_000;
/// Rows that are read at a time.
const PAGE: usize = 500;
/// Where ids of a page lie further apart, its rows are looked up one by one.
const WIDE: u64 = 200_000;
/// What is smaller is sent in one piece, with its length.
const SMALL_BYTES: usize = 1 << 20;

/// The entries of the last 30 days.
pub(super) async fn export(api: &Arc<Api>, organization_id: i64) -> Result<Response, Fault> {
    let now = api.now().as_microsecond();
    let period = Period {
        from: Some(now - MICROS),
        to: Some(now),
    };
    let (sender, mut receiver) = channel::<Bytes>(8);
    let answers = Arc::clone(&api.answers);
    // The pool tries again after a failure; nothing may have been sent then.
    let began = std::sync::atomic::AtomicBool::new(false);
    let task = tokio::spawn(async move {
        let read = move |reader: &mut Reader| {
            if began.load(std::sync::atomic::Ordering::Relaxed) {
                return Ok(false);
            }
            let order = order(reader, organization_id, period)?;
            began.store(true, std::sync::atomic::Ordering::Relaxed);
            write(reader, organization_id, &order, &sender)
        };
        answers.read_raw(read).await
    });
    let mut start = Vec::new();
    while start.len() < SMALL_BYTES {
        match receiver.recv().await {
            Some(part) => start.extend_from_slice(&part),
            None => {
                return match task.await {
                    Ok(Ok(true)) => Ok(whole(start)),
                    Ok(Ok(false)) | Err(_) => Err(Fault::unavailable("the export broke off")),
                    Ok(Err(error)) => Err(error.into()),
                };
            }
        }
    }
    let parts = Parts {
        start: Some(start.into()),
        receiver,
        task: Some(task),
    };
    let stream = futures_util::stream::unfold(parts, Parts::next);
    Ok(typed(StatusCode::OK, MEDIA, Body::from_stream(stream)))
}

fn whole(bytes: Vec<u8>) -> Response {
    let length = HeaderValue::from(bytes.len());
    let mut response = typed(StatusCode::OK, MEDIA, Body::from(bytes));
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length);
    response
}

type Task = tokio::task::JoinHandle<Result<bool, crate::answers::AnswerError>>;

/// What is still to be sent.
struct Parts {
    start: Option<Bytes>,
    receiver: Receiver<Bytes>,
    task: Option<Task>,
}

impl Parts {
    /// The next piece. An export that broke off ends as an error, so that nobody takes it for a whole one.
    async fn next(mut self) -> Option<(std::io::Result<Bytes>, Self)> {
        if let Some(start) = self.start.take() {
            return Some((Ok(start), self));
        }
        if let Some(part) = self.receiver.recv().await {
            return Some((Ok(part), self));
        }
        match self.task.take()?.await {
            Ok(Ok(true)) => None,
            _ => Some((Err(std::io::Error::other("the export broke off")), self)),
        }
    }
}

/// The ids of the period's entries, the newest first; of entries of one moment the lower ids first.
fn order(reader: &mut Reader, organization_id: i64, period: Period) -> Result<Vec<i64>, ReadError> {
    let anywhere = IdRange {
        low: i64::MIN,
        high: i64::MAX,
    };
    let Some(range) = reader.period_range_of(organization_id, period, anywhere)? else {
        return Ok(Vec::new());
    };
    let mut found = reader.times(organization_id, period, range)?;
    found.sort_unstable_by_key(|&(id, at)| (std::cmp::Reverse(at), id));
    Ok(found.into_iter().map(|(id, _)| id).collect())
}

/// Sends the rows; false once nobody listens.
fn write(
    reader: &mut Reader,
    organization_id: i64,
    order: &[i64],
    sender: &Sender<Bytes>,
) -> Result<bool, ReadError> {
    let send = |lines: Vec<u8>| sender.blocking_send(Bytes::from(lines)).is_ok();
    let mut head = Vec::new();
    put_log_head(&mut head);
    if !send(head) {
        return Ok(false);
    }
    for page in order.chunks(PAGE) {
        let (low, high) = (page.iter().min(), page.iter().max());
        let (Some(&low), Some(&high)) = (low, high) else {
            continue;
        };
        let range = IdRange { low, high };
        let mut lines: HashMap<i64, Vec<u8>> = HashMap::with_capacity(page.len());
        if range.width() <= WIDE {
            reader.read(Some(organization_id), range, |row| {
                lines.insert(row.id, line(row));
            })?;
        } else {
            for &id in page {
                if let Some(entry) = reader.entry(id)? {
                    lines.insert(id, line(&entry.row()));
                }
            }
        }
        // One that is not there any more was removed meanwhile.
        let lines = page.iter().filter_map(|id| lines.remove(id));
        if !send(lines.flatten().collect()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A row as QWED's exporter writes it.
fn line(row: &Row<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    put_log(&mut line, row);
    line
}
