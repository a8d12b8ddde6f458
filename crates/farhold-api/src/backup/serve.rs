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
