//! What moves the connection of a session, and notices when the peer is gone without a word.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use h2::client::Connection;
use h2::{Ping, PingPong};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::sleep_until;

use crate::client::Client;
use crate::error::ClientError;
use crate::metered::Activity;
use crate::silence::{SignOfLife, Silence, within};

/// Moves the connection until it ends, and ends it when the peer is gone without a word.
pub(crate) async fn drive(
    connection: Connection<TokioIo<Upgraded>, Bytes>,
    pings: Option<PingPong>,
    client: Client,
    during: &'static str,
    activity: Arc<Activity>,
    ending: Arc<OnceLock<ClientError>>,
) {
    let limit = client.limits().ping;
    tokio::select! {
        ended = connection => {
            if let Err(error) = ended {
                tracing::debug!(%error, peer = %client.peer(), "a session ended");
            }
        }
        () = watch(pings, &activity, limit) => {
            // Set before the connection is dropped, so that every request sees this reason.
            let _ = ending.set(client.silent(limit * 2, during));
        }
    }
}

/// Returns when the peer let a ping unanswered. Pings are sent only while nothing else arrives.
async fn watch(pings: Option<PingPong>, activity: &Activity, limit: Duration) {
    let Some(mut pings) = pings else {
        return std::future::pending().await;
    };
    loop {
        let quiet_since = activity.quiet_since();
        sleep_until(quiet_since + limit).await;
        if activity.quiet_since() != quiet_since {
            continue;
        }
        // An error means that the connection is ending, which the other branch reports.
        match within(activity, limit, SignOfLife::Connection, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return std::future::pending().await,
            Err(Silence) => return,
        }
    }
}
