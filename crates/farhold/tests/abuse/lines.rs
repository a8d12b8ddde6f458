//! Connections to the server, and requests over them: over HTTP/1 and HTTP/2 by a client that keeps their rules, or byte by
//! byte where a request breaks them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::trust_all::TrustAll;

/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// How often a request is sent again whose connection was closed: the server may close one that it could not make sense of.
const ATTEMPTS: usize = 3;

/// Connects from the address `127.0.0.from`.
pub async fn tcp(server: SocketAddr, from: u8) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, from), 0).into())?;
    socket.connect(server).await
}

pub fn tls_config() -> Arc<rustls::ClientConfig> {
    static CONFIG: std::sync::OnceLock<Arc<rustls::ClientConfig>> = std::sync::OnceLock::new();
    let make = || {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().dangerous().with_custom_certificate_verifier(Arc::new(TrustAll));
        Arc::new(config.with_no_client_auth())
    };
    Arc::clone(CONFIG.get_or_init(make))
}

pub fn server_name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

pub async fn tls(server: SocketAddr, from: u8) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(tls_config()).connect(server_name(), tcp(server, from).await?).await
}

/// A request, well-formed or not.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Wanted {
    pub fn get(target: &str) -> Self {
        Self { method: "GET".to_owned(), target: target.to_owned(), ..Self::default() }
    }

    pub fn form(method: &str, target: &str, body: impl Into<Vec<u8>>) -> Self {
        let wanted = Self { method: method.to_owned(), body: body.into(), ..Self::get(target) };
        wanted.with("content-type", "application/x-www-form-urlencoded")
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn header_bytes(&self) -> usize {
        self.headers.iter().map(|(_, value)| value.len()).sum()
    }

    /// Returns the request as a client sends it, if it follows the rules.
    pub fn proper(&self, speech: Speech) -> Option<http::Request<Full<Bytes>>> {
        let target = match speech {
            Speech::Http1 => self.target.clone(),
            Speech::Http2 => format!("https://localhost{}", self.target),
        };
        let mut request = http::Request::builder().method(self.method.as_str()).uri(target);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body.clone().into())).ok()
    }

    /// Returns the request as bytes of HTTP/1.1, after which the connection is to be closed.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        bytes.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        [bytes.as_bytes(), &self.body].concat()
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    Http1,
    Http2,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A connection that is opened when needed and used again.
pub struct Line {
    server: SocketAddr,
    from: u8,
    speech: Speech,
    sender: Option<Sender>,
}

impl Line {
    pub const fn new(server: SocketAddr, from: u8, speech: Speech) -> Self {
        Self { server, from, speech, sender: None }
    }

    async fn open(&self) -> Result<Sender, String> {
        let stream = tls(self.server, self.from).await.map_err(|error| format!("no connection: {error}"))?;
        let io = TokioIo::new(stream);
        let failed = |error: hyper::Error| format!("no HTTP: {error}");
        match self.speech {
            Speech::Http1 => {
                let (sender, connection) = http1::handshake(io).await.map_err(failed)?;
                tokio::spawn(connection);
                Ok(Sender::Http1(sender))
            }
            Speech::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(failed)?;
                tokio::spawn(connection);
                Ok(Sender::Http2(sender))
            }
        }
    }

    /// Sends a request and returns the answer; what no client could send goes over a connection of its own.
    pub async fn exchange(&mut self, wanted: &Wanted) -> Result<Answer, String> {
        let mut problem = String::new();
        for _ in 0..ATTEMPTS {
            let Some(request) = wanted.proper(self.speech) else { return self.bare(&wanted.bytes()).await };
            if self.sender.is_none() {
                self.sender = Some(self.open().await?);
            }
            let Some(sender) = &mut self.sender else { unreachable!("just opened") };
            let sent = match sender {
                Sender::Http1(sender) => match sender.ready().await {
                    Ok(()) => sender.send_request(request).await,
                    Err(error) => Err(error),
                },
                Sender::Http2(sender) => match sender.ready().await {
                    Ok(()) => sender.send_request(request).await,
                    Err(error) => Err(error),
                },
            };
            match sent {
                Ok(response) => {
                    let status = response.status().as_u16();
                    if status == 101 {
                        self.sender = None;
                        return Ok(Answer { status, body: Vec::new() });
                    }
                    match Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await {
                        Ok(body) => return Ok(Answer { status, body: body.to_bytes().into() }),
                        Err(error) => problem = format!("{status}, then {error}"),
                    }
                }
                Err(error) => problem = format!("no answer: {error}"),
            }
            self.sender = None;
        }
        Err(problem)
    }

    /// Sends bytes and returns all that comes; status 0 if that is no answer.
    async fn bare(&self, bytes: &[u8]) -> Result<Answer, String> {
        let stream = tls(self.server, self.from).await.map_err(|error| format!("no connection: {error}"))?;
        let body = pour(stream, bytes, Ending::Wait).await;
        let status = String::from_utf8_lossy(body.get(9..12).unwrap_or_default()).parse().unwrap_or(0);
        Ok(Answer { status, body })
    }
}

/// What follows after the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nothing: the server closes.
    Wait,
    /// The end of the stream.
    Close,
}

/// Sends bytes and returns what comes until the other side closes.
pub async fn pour<T>(stream: T, bytes: &[u8], ending: Ending) -> Vec<u8>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite,
{
    let (reading, mut writing) = tokio::io::split(stream);
    let mut answer = Vec::new();
    let mut reading = reading.take(u64::try_from(MAX_ANSWER_BYTES).unwrap());
    // Whoever is cut off has been answered.
    let write = async {
        drop(writing.write_all(bytes).await);
        if ending == Ending::Close {
            drop(writing.shutdown().await);
        }
    };
    let (_, ()) = tokio::join!(reading.read_to_end(&mut answer), write);
    answer
}
