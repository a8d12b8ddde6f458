//! One session from its beginning to its end.

use std::sync::Arc;

use super::endpoints::router;
use super::session::BackupSession;
use super::watch::{PING_INTERVAL, Watched};
use crate::h2_session::{Pings, RefusalLog};

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
    let log = session.log.clone();
    let log: RefusalLog = Arc::new(move |line: &str| log.line(line));
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
    use http_body_util::{BodyExt, Full};
    use hyper::client::conn::http2::{self, SendRequest};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    use super::super::intake::tests::writer;
    use super::super::watch::SILENCE_LIMIT;
    use super::super::{SessionLog, WriteBudget};
    use super::*;

    struct Served {
        io: DuplexStream,
        session: JoinHandle<SessionEnd>,
        _folder: tempfile::TempDir,
    }

    fn start() -> Served {
        let folder = tempfile::tempdir().unwrap();
        let log = SessionLog::new(Arc::new(|_: &str| {}), false);
        let budget = WriteBudget::new(1 << 20, 2);
        let session = BackupSession::new(writer(folder.path()), &budget, log, oneshot::channel().0);
        let (io, server) = tokio::io::duplex(1 << 16);
        let session = tokio::spawn(serve(TokioIo::new(server), Arc::new(session)));
        Served { io, session, _folder: folder }
    }

    async fn client(io: DuplexStream) -> SendRequest<Full<Bytes>> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn get(sender: &SendRequest<Full<Bytes>>, path: &str) -> (u16, Bytes) {
        let request = http::Request::get(format!("https://localhost:8007{path}")).body(Full::default()).unwrap();
        let response = sender.clone().send_request(request).await.unwrap();
        (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
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
