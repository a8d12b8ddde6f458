//! A client adds its log to a snapshot. Source: `docs/spec/wire-protocol.md` 5.5.

use std::sync::Arc;
use std::time::Duration;

use farhold_client::{Deadline, Pauses, TooSlow};
use farhold_datastore::MAX_CLIENT_LOG_BYTES;
use farhold_format::blob;
use farhold_jobs::{App, Operation};
use farhold_types::Privileges;
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::place::{Own, Place, snapshot_of};
use crate::declare::{Access, Body, Endpoint, Reply, Request};
use crate::endpoints::blocking;
use crate::error::ApiError;
use crate::schema::Shape;
use crate::schema::named::{BACKUP_ID, BACKUP_TIME, BACKUP_TYPE, NS, STORE};

/// Logs above [`SMALL_BYTES`] that are received at once, so that they take a bounded part of the memory.
const LARGE_AT_ONCE: usize = 4;
/// A log up to this length, as nearly all have, waits for nobody: slow clients must not hold up those of others.
const SMALL_BYTES: usize = 256 << 10;
/// How long a part of a log may take.
const STALL_LIMIT: Duration = Duration::from_secs(60);
/// How long the rest of a log above [`SMALL_BYTES`] may take: 32 MiB at 40 KB/s.
const LARGE_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Nobody may do this for others.
const OWN_ONLY: Own = Own { full: Privileges::NONE, part: Privileges::DATASTORE_BACKUP };

pub(super) fn endpoints() -> Vec<Endpoint<App>> {
    let turns = Arc::new(Semaphore::new(LARGE_AT_ONCE));
    let handler = move |app, request| upload(app, request, Arc::clone(&turns));
    vec![
        Endpoint::post("/admin/datastore/{store}/upload-backup-log", "Add the client's log to a snapshot", handler)
            .params(&[STORE, NS, BACKUP_TYPE, BACKUP_ID, BACKUP_TIME])
            .access(Access::InHandler("Datastore.Backup on /datastore/{store}/{namespace}, and own group"))
            .raw_body()
            .returns(Shape::Null),
    ]
}

async fn upload(app: Arc<App>, request: Request<App>, turns: Arc<Semaphore>) -> Result<Reply, ApiError> {
    let place = Place::of(app, &request)?;
    let snapshot = snapshot_of(&request.params)?;
    let (place, snapshot, store) = blocking(move || {
        let store = place.open_group(&snapshot.group, OWN_ONLY, Operation::Write)?;
        Ok::<_, ApiError>((place, snapshot, store))
    })
    .await?;
    let (encoded, turn) = receive(request.body, turns, &request.pauses).await?;
    blocking(move || {
        let _turn = turn;
        blob::check(&encoded).map_err(|error| ApiError::from_chain(&error))?;
        store.put_client_log(&place.ns, &snapshot, &encoded)?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

/// Returns a body, and the turn it took if it is large. `pauses`: of the connection; they do not count as slowness.
async fn receive(
    mut body: Body,
    turns: Arc<Semaphore>,
    pauses: &Pauses,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), ApiError> {
    let (mut bytes, mut turn, mut end): (_, _, Option<Deadline>) = (Vec::new(), None, None);
    loop {
        let part = pauses.within(STALL_LIMIT, body.frame());
        let frame = match &end {
            None => part.await,
            Some(end) => tokio::select! {
                biased;
                frame = part => frame,
                () = end.passed() => Err(TooSlow),
            },
        };
        let frame = frame.map_err(|_| ApiError::bad_request("the log did not arrive in time"))?;
        let Some(frame) = frame else { return Ok((bytes, turn)) };
        let frame = frame.map_err(|error| ApiError::bad_request(format!("the log broke off: {error}")))?;
        let Ok(part) = frame.into_data() else { continue };
        let length = bytes.len() + part.len();
        if MAX_CLIENT_LOG_BYTES < length {
            return Err(ApiError::bad_request(format!("the log has more than {MAX_CLIENT_LOG_BYTES} bytes")));
        }
        if SMALL_BYTES < length && turn.is_none() {
            let taken = Arc::clone(&turns).acquire_owned().await;
            turn = Some(taken.map_err(|_| ApiError::internal("server is stopping"))?);
            end = Some(pauses.deadline(LARGE_LIMIT));
        }
        bytes.extend_from_slice(&part);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::SinkExt;
    use futures::channel::mpsc;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tokio::time::Instant;

    use super::*;

    type Parts = mpsc::Sender<Result<Frame<Bytes>, crate::declare::BodyError>>;

    async fn body(length: usize) -> (Parts, Body) {
        let (mut sender, parts) = mpsc::channel(4);
        sender.send(Ok(Frame::data(vec![0; length].into()))).await.unwrap();
        (sender, Body::new(StreamBody::new(parts)))
    }

    /// Receives over a connection that no limit of ours holds up.
    fn received(
        body: Body,
        turns: &Arc<Semaphore>,
    ) -> impl Future<Output = Result<(Vec<u8>, Option<OwnedSemaphorePermit>), ApiError>> + use<> {
        let turns = Arc::clone(turns);
        async move { receive(body, turns, &Pauses::default()).await }
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_send_logs_slowly_hold_up_small_ones_never_and_large_ones_for_some_time() {
        let turns = Arc::new(Semaphore::new(LARGE_AT_ONCE));
        let begin = Instant::now();
        let mut slow = Vec::new();
        for _ in 0..LARGE_AT_ONCE {
            let (mut parts, body) = body(SMALL_BYTES + 1).await;
            let receiving = tokio::spawn(received(body, &turns));
            let sending = tokio::spawn(async move {
                loop {
                    tokio::time::sleep(STALL_LIMIT / 2).await;
                    if parts.send(Ok(Frame::data(Bytes::from_static(b"x")))).await.is_err() {
                        return;
                    }
                }
            });
            slow.push((receiving, sending));
        }
        while turns.available_permits() != 0 {
            tokio::task::yield_now().await;
        }
        let (parts, small) = body(SMALL_BYTES).await;
        drop(parts);
        let (bytes, turn) = received(small, &turns).await.unwrap();
        assert!(bytes.len() == SMALL_BYTES && turn.is_none());
        assert_eq!(begin.elapsed(), Duration::ZERO);
        let (parts, large) = body(SMALL_BYTES + 1).await;
        drop(parts);
        let (bytes, turn) = received(large, &turns).await.unwrap();
        assert!(bytes.len() == SMALL_BYTES + 1 && turn.is_some());
        assert_eq!(begin.elapsed().as_secs(), LARGE_LIMIT.as_secs());
        for (receiving, sending) in slow {
            assert!(receiving.await.unwrap().is_err());
            sending.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_stalls_or_is_too_long_is_refused() {
        let turns = Arc::new(Semaphore::new(1));
        let (_parts, stalled) = body(10).await;
        assert!(received(stalled, &turns).await.is_err());
        let (_parts, long) = body(MAX_CLIENT_LOG_BYTES + 1).await;
        assert!(received(long, &turns).await.is_err());
        assert_eq!(turns.available_permits(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_that_our_own_limit_holds_up_is_not_slow() {
        let (mut parts, body) = body(10).await;
        let pauses = Pauses::default();
        let noted = pauses.clone();
        let sending = tokio::spawn(async move {
            for _ in 0..10 {
                noted.begin(STALL_LIMIT * 2);
                tokio::time::sleep(STALL_LIMIT * 2).await;
                parts.send(Ok(Frame::data(Bytes::from_static(b"x")))).await.unwrap();
            }
        });
        let (bytes, _) = receive(body, Arc::new(Semaphore::new(1)), &pauses).await.unwrap();
        assert_eq!(bytes.len(), 20);
        sending.await.unwrap();
    }
}
