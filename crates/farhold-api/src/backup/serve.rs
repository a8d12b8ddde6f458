//! One session from its beginning to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::endpoints::router;
use super::session::BackupSession;
use super::watch::{PING_INTERVAL, Watched};
use crate::h2_session::{Pings, RefusalLog};

/// Refused requests of one session that its task's log tells of, so that a client gone wild does not fill the disk.
const MAX_REFUSALS: u32 = 1000;

/// Why a session's connection is over.
#[derive(Debug)]
pub enum SessionEnd {
    /// The client ended it.
    Closed,
    /// It broke off, or the client violated HTTP/2.
    Broken(hyper::Error),
    /// The client has to be taken for dead; why.
    Dead(&'static str),
}

/// Serves a session on an upgraded connection until it is over. Requests that are being worked on may still run then;
/// the datastore's writer waits for them when it is discarded.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub async fn serve<T>(io: T, session: Arc<BackupSession>) -> SessionEnd
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (log, refused) = (session.log.clone(), AtomicU32::new(0));
    let log: RefusalLog = Arc::new(move |line: &str| match refused.fetch_add(1, Ordering::Relaxed) {
        told if told < MAX_REFUSALS => log.line(line),
        MAX_REFUSALS => log.line("more requests were refused, which is not told any more"),
        _ => {}
    });
    let activity = Arc::clone(&session.activity);
    let io = Watched::new(io, Arc::clone(&activity));
    tokio::select! {
        biased;
        result = Arc::new(router()).serve_with(io, session, log, Pings::Every(PING_INTERVAL)) => {
            result.map_or_else(SessionEnd::Broken, |()| SessionEnd::Closed)
        }
        reason = activity.ended() => SessionEnd::Dead(reason),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use farhold_format::blob::{BlobEncoder, Compression};
    use futures::SinkExt;
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::Frame;
    use hyper::client::conn::http2::{self, SendRequest};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::super::intake::tests::writer;
    use farhold_client::Pauses;

    use super::super::watch::SILENCE_LIMIT;
    use super::super::{SessionLog, WriteBudget};
    use super::*;
    use crate::declare::Body;

    struct Served {
        io: DuplexStream,
        session: JoinHandle<SessionEnd>,
        state: Arc<BackupSession>,
        folder: tempfile::TempDir,
    }

    fn start() -> Served {
        let folder = tempfile::tempdir().unwrap();
        let log = SessionLog::new(Arc::new(|_: &str| {}), false);
        let budget = WriteBudget::new(1 << 20, 2);
        let state =
            Arc::new(BackupSession::new(writer(folder.path()), &budget, log, oneshot::channel().0, Pauses::default()));
        let (io, server) = tokio::io::duplex(1 << 16);
        let session = tokio::spawn(serve(TokioIo::new(server), Arc::clone(&state)));
        Served { io, session, state, folder }
    }

    async fn client(io: DuplexStream) -> SendRequest<Body> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn get(sender: &SendRequest<Body>, path: &str) -> (u16, Bytes) {
        let request = http::Request::get(format!("https://localhost:8007{path}")).body(Body::default()).unwrap();
        let response = sender.clone().send_request(request).await.unwrap();
        (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
    }

    /// Chunks of which the first halves fill the connection's window, so that the server must take all of them.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_hundred_uploads_that_are_half_sent_over_one_connection_are_all_taken() {
        const CONTENT: usize = 400_000;
        let served = start();
        let sender = client(served.io).await;
        let create = http::Request::post("https://localhost:8007/dynamic_index?archive-name=a.didx");
        let created = sender.clone().send_request(create.body(Body::default()).unwrap()).await.unwrap();
        assert_eq!(created.status(), 200);
        let mut uploads = Vec::new();
        for number in 0..200_u8 {
            let content = vec![number; CONTENT];
            let digest = farhold_crypto::sha256(&content);
            std::fs::create_dir_all(served.folder.path().join("store/.chunks").join(&digest.to_string()[..4])).unwrap();
            let encoded = BlobEncoder::new().encode(&content, Compression::Off, None).unwrap();
            let length = encoded.len();
            let path = format!("/dynamic_chunk?wid=1&digest={digest}&size={CONTENT}&encoded-size={length}");
            let (mut parts, body) = futures::channel::mpsc::channel(1);
            let body = Body::new(StreamBody::new(body));
            let request = http::Request::post(format!("https://localhost:8007{path}")).body(body).unwrap();
            let mut sender = sender.clone();
            let answer = tokio::spawn(async move { sender.send_request(request).await.unwrap().status() });
            let (first, second) = encoded.split_at(length / 2);
            parts.send(Ok(Frame::data(Bytes::copy_from_slice(first)))).await.unwrap();
            uploads.push((parts, Bytes::copy_from_slice(second), answer));
        }
        for (parts, second, _) in uploads.iter_mut().rev() {
            // Waits until the first half is on its way: the server took it.
            parts.send(Ok(Frame::data(second.clone()))).await.unwrap();
            parts.close_channel();
        }
        let answers = futures::future::join_all(uploads.into_iter().map(|(_, _, answer)| answer));
        let answers = tokio::time::timeout(Duration::from_secs(120), answers).await.unwrap();
        assert!(answers.into_iter().all(|status| status.unwrap() == 200));
    }

    /// An index of the base may have 512 MiB, whatever it is read for.
    #[tokio::test(start_paused = true)]
    async fn whoever_needs_a_file_of_the_base_waits_until_others_are_sent_but_not_for_ever() {
        let served = start();
        let sender = client(served.io).await;
        let previous = || get(&sender, "/previous?archive-name=a.img.fidx");
        let create = || async {
            let path = "https://localhost:8007/fixed_index?archive-name=a.img.fidx&size=1&reuse-csum=0";
            let request = http::Request::post(path).body(Body::default()).unwrap();
            let response = sender.clone().send_request(request).await.unwrap();
            (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
        };
        let (status, text) = create().await;
        assert!(status == 400 && !text.is_empty(), "there is no base");
        let held = Arc::clone(&served.state.files).acquire_many_owned(4).await.unwrap();
        let begin = Instant::now();
        let (one, other) = tokio::join!(previous(), create());
        for (status, text) in [one, other] {
            assert_eq!(status, 400);
            assert!(text.ends_with(b"were not read"), "{text:?}");
        }
        assert_eq!(begin.elapsed().as_secs(), 3600);
        drop(held);
        assert_eq!(create().await, (status, text));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_answers_pings_may_be_idle_for_hours() {
        let served = start();
        let sender = client(served.io).await;
        for _ in 0..5 {
            assert_eq!(get(&sender, "/previous_backup_time").await, (200, Bytes::from_static(b"{\"data\":null}")));
            tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
        }
        assert!(!served.session.is_finished());
        drop(sender);
        assert!(matches!(served.session.await.unwrap(), SessionEnd::Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_answers_nothing_is_given_up_after_two_minutes() {
        let mut served = start();
        served.io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let begin = Instant::now();
        // Its end of the connection stays open, and takes what is sent.
        let reading = tokio::spawn(async move {
            let mut sent = Vec::new();
            served.io.read_to_end(&mut sent).await.map(|_| sent)
        });
        let SessionEnd::Dead(reason) = served.session.await.unwrap() else { unreachable!("nobody closed it") };
        assert!(reason.contains("no sign of life"), "{reason}");
        assert_eq!(begin.elapsed().as_secs(), SILENCE_LIMIT.as_secs());
        let sent = reading.await.unwrap().unwrap();
        let pings = sent.windows(5).filter(|frame| *frame == [0, 0, 8, 6, 0]).count();
        assert_eq!(pings, 1, "it was asked once");
    }
}
