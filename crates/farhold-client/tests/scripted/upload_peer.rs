//! The scripted peer of backup sessions: it reads bodies as a test wants, all, in part, slowly, or not at all.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use farhold_client::{BackupSession, BackupSessionOptions, Client};
use farhold_protocol::http2;
use farhold_protocol::query::Query;
use farhold_protocol::upgrade::BACKUP_PROTOCOL;
use farhold_types::Namespace;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use tokio::sync::mpsc;

use crate::peer::{Connection, Log, Peer, Reply, Seen, snapshot};

/// What the peer lets the client send ahead, in bytes, and how many requests at once.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    pub stream: u32,
    pub connection: u32,
    pub streams: u32,
}

/// Those of a real server.
pub const WINDOWS: Windows = Windows {
    stream: http2::SERVER.stream_window_bytes,
    connection: http2::SERVER.connection_window_bytes,
    streams: 200,
};

/// What becomes of the whole connection.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    GoAway,
    Cut,
    /// Neither reads nor writes any more, but stays open.
    Freeze,
}

/// A request inside a session, its body not read yet.
pub struct Upload {
    pub seen: Seen,
    body: RecvStream,
    respond: SendResponse<Bytes>,
    orders: mpsc::UnboundedSender<Order>,
    log: Log,
}

impl Upload {
    /// Returns the path without the query.
    pub fn path(&self) -> &str {
        self.seen.target.split('?').next().unwrap()
    }

    /// Returns a parameter of the query.
    pub fn parameter(&self, name: &str) -> String {
        let query = Query::parse(self.seen.target.split_once('?').unwrap().1).unwrap();
        query.pairs().iter().find(|(n, _)| n == name).unwrap().1.clone()
    }

    /// Reads the next part of the body; none at its end or when the client gave up.
    pub async fn part(&mut self) -> Option<Bytes> {
        let data = self.body.data().await?.ok()?;
        let _ = self.body.flow_control().release_capacity(data.len());
        Some(data)
    }

    /// Reads the rest of the body and logs the request.
    pub async fn read(&mut self) {
        let mut body = BytesMut::from(&self.seen.body[..]);
        while let Some(data) = self.part().await {
            body.extend_from_slice(&data);
        }
        self.seen.body = body.to_vec();
        self.log.lock().unwrap().push(self.seen.clone());
    }

    pub async fn reply(self, reply: Reply) {
        reply.send(self.respond).await;
    }

    pub fn order(&self, order: Order) {
        self.orders.send(order).unwrap();
    }

    /// Reads everything and answers as a server does that finds nothing wrong.
    pub async fn good(mut self) {
        self.read().await;
        let reply = match (self.seen.method.as_str(), self.path()) {
            ("POST", "/fixed_index" | "/dynamic_index") => Reply::data("1"),
            (_, "/fixed_chunk" | "/dynamic_chunk") => Reply::data(&format!("\"{}\"", self.parameter("digest"))),
            _ => Reply::data("null"),
        };
        self.reply(reply).await;
    }
}

impl Connection {
    /// Serves an upgraded connection until the client leaves; returns whether it left in order.
    pub async fn uploads<F, R>(self, windows: Windows, script: F) -> bool
    where
        F: Fn(Upload) -> R,
        R: Future<Output = ()> + Send + 'static,
    {
        let (number, log) = (self.number, self.log);
        let mut server = h2::server::Builder::new()
            .initial_window_size(windows.stream)
            .initial_connection_window_size(windows.connection)
            .max_frame_size(http2::SERVER.max_frame_bytes)
            .max_concurrent_streams(windows.streams)
            .handshake::<_, Bytes>(self.stream)
            .await
            .unwrap();
        let (orders, mut received) = mpsc::unbounded_channel();
        loop {
            let next = tokio::select! {
                biased;
                order = received.recv() => match order.unwrap() {
                    Order::GoAway => {
                        server.abrupt_shutdown(Reason::INTERNAL_ERROR);
                        continue;
                    }
                    Order::Cut => return false,
                    Order::Freeze => {
                        let _kept = server;
                        return std::future::pending().await;
                    }
                },
                next = server.accept() => next,
            };
            let (request, respond) = match next {
                None => return true,
                Some(Ok(next)) => next,
                // The client is gone before our answer to its farewell; over TCP that write would pass.
                Some(Err(error)) => return error.get_io().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe),
            };
            let (head, body) = request.into_parts();
            let mut headers: Vec<(String, String)> =
                head.headers.iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect();
            headers.push((":scheme".to_owned(), head.uri.scheme_str().unwrap().to_owned()));
            headers.push((":authority".to_owned(), head.uri.authority().unwrap().to_string()));
            let target = head.uri.path_and_query().unwrap().to_string();
            let seen = Seen { connection: number, method: head.method.to_string(), target, headers, body: Vec::new() };
            let (log, orders) = (Arc::clone(&log), orders.clone());
            tokio::spawn(script(Upload { seen, body, respond, orders, log }));
        }
    }
}

/// A peer that upgrades every connection to a backup session and handles its requests by `script`.
pub fn backup_peer<F, R>(windows: Windows, script: F) -> Arc<Peer>
where
    F: Fn(Upload) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    Peer::new(move |mut connection: Connection| {
        let script = script.clone();
        async move {
            connection.request().await;
            connection.switch_to(BACKUP_PROTOCOL).await;
            connection.uploads(windows, script).await;
        }
    })
}

pub async fn open_backup(client: &Client) -> BackupSession {
    let options = BackupSessionOptions::default();
    client.open_backup(&"tank".parse().unwrap(), &Namespace::root(), &snapshot(), options).await.unwrap()
}
