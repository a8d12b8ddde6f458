//! A client that sends exactly what it is told: HTTP/1.1 by hand, HTTP/2 with few rules of its own.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::trust_all::TrustAll;

/// An answer as it came.
#[derive(Debug)]
pub struct WireAnswer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl WireAnswer {
    /// Stands for an answer that did not come.
    fn none(error: &h2::Error) -> Self {
        Self { status: 0, headers: Vec::new(), body: error.to_string().into() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// One connection before an upgrade.
pub struct Wire {
    stream: TlsStream<TcpStream>,
    /// Read, not used yet.
    ahead: Vec<u8>,
}

impl Wire {
    /// Connects without server name, as the recorded clients did.
    pub async fn connect(port: u16) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustAll))
            .with_no_client_auth();
        config.enable_sni = false;
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        Self { stream, ahead: Vec::new() }
    }

    /// Sends a request and reads its answer; of a 101 only the head.
    pub async fn request(&mut self, method: &str, path: &str, headers: &[(String, String)], body: &[u8]) -> WireAnswer {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        self.stream.write_all(head.as_bytes()).await.unwrap();
        self.stream.write_all(body).await.unwrap();
        self.stream.flush().await.unwrap();
        let head = String::from_utf8(self.until(b"\r\n\r\n").await).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = WireAnswer { status, headers, body: Bytes::new() };
        if status != 101 {
            answer.body = self.body(&answer).await.into();
        }
        answer
    }

    async fn body(&mut self, answer: &WireAnswer) -> Vec<u8> {
        if answer.header("transfer-encoding") != Some("chunked") {
            let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
            return self.exactly(length).await;
        }
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8(self.until(b"\r\n").await).unwrap();
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            body.extend(self.exactly(size + 2).await.drain(..size));
            if size == 0 {
                return body;
            }
        }
    }

    async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.ahead.windows(end.len()).position(|window| window == end) {
                return self.ahead.drain(..at + end.len()).collect();
            }
            self.more().await;
        }
    }

    async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length {
            self.more().await;
        }
        self.ahead.drain(..length).collect()
    }

    async fn more(&mut self) {
        let mut buffer = [0; 16384];
        let length = self.stream.read(&mut buffer).await.unwrap();
        assert_ne!(length, 0, "connection closed in the middle of an answer");
        self.ahead.extend_from_slice(&buffer[..length]);
    }

    /// Goes on with HTTP/2, with the settings of the recorded clients.
    pub async fn session(self) -> Session {
        // The server may send its settings before it has our preface, and does.
        let (reader, writer) = tokio::io::split(self.stream);
        let stream = tokio::io::join(std::io::Cursor::new(self.ahead).chain(reader), writer);
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(2_147_483_646).initial_connection_window_size(2_147_483_647);
        builder.max_frame_size(4_194_304);
        let (sender, connection) = builder.handshake(stream).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        Session { sender, connection }
    }
}

/// One session.
pub struct Session {
    sender: h2::client::SendRequest<Bytes>,
    connection: tokio::task::JoinHandle<()>,
}

impl Session {
    /// Sends a GET request; its answer comes with the returned future.
    pub async fn send(&mut self, path: &str) -> impl Future<Output = WireAnswer> + Send + use<> {
        let headers =
            [("user-agent", "proxmox-backup-client/1.0"), ("content-type", "application/x-www-form-urlencoded")];
        self.send_with("GET", path, &headers, Bytes::new()).await
    }

    /// Sends a request; its answer comes with the returned future.
    pub async fn send_with(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        content: Bytes,
    ) -> impl Future<Output = WireAnswer> + Send + use<> {
        let mut request = http::Request::builder().method(method).uri(format!("https://localhost:8007{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let sent = match self.sender.clone().ready().await {
            Ok(ready) => {
                self.sender = ready;
                self.sender.send_request(request, content.is_empty())
            }
            Err(error) => Err(error),
        };
        // Sent and read in the background, whenever the answer is awaited.
        let answer = tokio::spawn(async move {
            let response = match sent {
                Ok((response, mut stream)) => {
                    if !content.is_empty() {
                        // The library keeps what the windows do not allow yet. If the server wants none of it, its answer
                        // tells why.
                        let _ = stream.send_data(content, true);
                    }
                    response.await
                }
                Err(error) => return WireAnswer::none(&error),
            };
            let (parts, mut body) = match response {
                Ok(response) => response.into_parts(),
                Err(error) => return WireAnswer::none(&error),
            };
            let mut bytes = Vec::new();
            while let Some(data) = body.data().await {
                let data = match data {
                    Ok(data) => data,
                    Err(error) => return WireAnswer::none(&error),
                };
                body.flow_control().release_capacity(data.len()).unwrap();
                bytes.extend_from_slice(&data);
            }
            let headers = parts.headers.iter().map(|(n, v)| (n.as_str().to_owned(), v.to_str().unwrap().to_owned()));
            WireAnswer { status: parts.status.as_u16(), headers: headers.collect(), body: bytes.into() }
        });
        async move { answer.await.unwrap() }
    }

    /// Sends the head of an upload and the first bytes of its body, then closes the connection without a word.
    pub async fn cut_in_upload(self, path: &str, bytes: usize) {
        let path = format!("https://localhost:8007{path}");
        let request = http::Request::builder().method("POST").uri(path).body(()).unwrap();
        let (_answer, mut stream) = self.sender.clone().ready().await.unwrap().send_request(request, false).unwrap();
        stream.send_data(vec![0; bytes].into(), false).unwrap();
        // Long enough to arrive, most of the time; whether it did makes no difference.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        self.cut().await;
    }

    /// Closes the connection without a word, whatever is on its way.
    pub async fn cut(self) {
        self.connection.abort();
        let _ = self.connection.await;
    }

    /// Sends a GET request and waits for its answer.
    pub async fn get(&mut self, path: &str) -> WireAnswer {
        self.send(path).await.await
    }
}

/// A frame that was received.
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

impl Wire {
    /// Opens so many streams whose answers cannot be sent, then sends a PING. Returns all frames until its answer and a
    /// growth of the connection's window are there.
    pub async fn open_streams(mut self, path: &str, count: u32) -> Vec<Frame> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // INITIAL_WINDOW_SIZE = 0.
        bytes.extend(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
        // GET and https from the static table, path and authority as literals.
        let mut head = vec![0x82, 0x87, 0x04, u8::try_from(path.len()).unwrap()];
        head.extend(path.as_bytes());
        head.extend([0x01, 9]);
        head.extend(b"localhost");
        for number in 0..count {
            // END_STREAM and END_HEADERS.
            bytes.extend(frame(1, 5, 2 * number + 1, &head));
        }
        bytes.extend(frame(6, 0, 0, b"the-end!"));
        self.stream.write_all(&bytes).await.unwrap();
        self.stream.flush().await.unwrap();
        let mut received: Vec<Frame> = Vec::new();
        let has = |received: &[Frame], kind, flags| {
            received.iter().any(|frame| (frame.kind, frame.flags, frame.stream) == (kind, flags, 0))
        };
        while !has(&received, 6, 1) || !has(&received, 8, 0) {
            let head = self.exactly(9).await;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let payload = self.exactly(usize::try_from(length).unwrap()).await;
            received.push(Frame { kind: head[3], flags: head[4], stream, payload });
        }
        received
    }
}
