//! Connections through an HTTP proxy.
//!
//! The proxy is asked to connect (`CONNECT`) and then only carries bytes: TLS goes through it to the server, so it sees
//! neither content nor credentials for the server. Source: `docs/spec/wire-protocol.md` 1.2, `docs/spec/cli.md` 5.2.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use farhold_types::Secret;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::dial::{ByteStream, DialError, DialFuture, Dialer, TcpDialer};

/// Port of a proxy that names none.
const DEFAULT_PORT: u16 = 1080;
/// Largest head of a proxy's answer, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Where a proxy is, and what it wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpProxy {
    host: String,
    port: u16,
    /// `user:password`.
    login: Option<Secret>,
}

/// The text of a proxy has another form. It is not repeated here, for it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the form of a proxy is [http://][user:password@]host[:port]")]
pub struct ProxyTextError;

impl HttpProxy {
    /// Returns the proxy of a text: `[http://][user:password@]host[:port]`. The port is 1080 if none is given.
    ///
    /// # Errors
    /// [`ProxyTextError`].
    pub fn parse(text: &str) -> Result<Self, ProxyTextError> {
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => (Some(Secret::new(login)), address),
            None => (None, rest),
        };
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| ProxyTextError)?),
            _ => (address, DEFAULT_PORT),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        let has_brackets = bare.len() != host.len();
        let fits = !bare.is_empty() && bare.chars().all(is_plain) && bare.contains(':') == has_brackets && port != 0;
        // What cannot be part of a header must not become one.
        let is_clean = !text.chars().any(char::is_control);
        if fits && is_clean { Ok(Self { host: bare.to_owned(), port, login }) } else { Err(ProxyTextError) }
    }

    /// Returns its name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns what the header `Proxy-Authorization` of a request through it says, if it wants to know who asks.
    pub fn login(&self) -> Option<Secret> {
        let login = self.login.as_ref()?;
        Some(Secret::new(format!("Basic {}", BASE64.encode(login.expose()))))
    }

    /// Returns a dialer that goes through the proxy.
    pub fn dialer(self) -> Arc<dyn Dialer> {
        Arc::new(ProxyDialer { proxy: Arc::new(self), tcp: Arc::new(TcpDialer) })
    }
}

struct ProxyDialer {
    proxy: Arc<HttpProxy>,
    /// Opens the connection to the proxy.
    tcp: Arc<dyn Dialer>,
}

impl Dialer for ProxyDialer {
    fn dial<'a>(&'a self, host: &'a str, port: u16, limit: Duration) -> DialFuture<'a> {
        Box::pin(async move {
            let HttpProxy { host: proxy_host, port: proxy_port, .. } = &*self.proxy;
            let mut stream = self.tcp.dial(proxy_host, *proxy_port, limit).await?;
            let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
            let asked = timeout(limit, ask(&mut *stream, &target, self.proxy.login().as_ref())).await;
            let asked = asked.unwrap_or_else(|_| {
                Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs())))
            });
            match asked {
                Ok(()) => Ok(stream),
                Err(error) => {
                    let text = format!("proxy {proxy_host}:{proxy_port}: {error}");
                    Err(DialError::Connect(io::Error::new(error.kind(), text)))
                }
            }
        })
    }
}

/// Asks the proxy to connect to the target; afterwards the stream is one to the target. `login`: value of the header.
async fn ask(stream: &mut dyn ByteStream, target: &str, login: Option<&Secret>) -> io::Result<()> {
    let mut request = zeroize::Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
    if let Some(login) = login {
        request.push_str(&format!("Proxy-Authorization: {}\r\n", login.expose()));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    // Byte by byte: what follows the head belongs to the target.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer does not end"));
        }
        head.push(stream.read_u8().await?);
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line: String = String::from_utf8_lossy(line).chars().filter(|c| !c.is_control()).take(200).collect();
    let mut words = line.split(' ');
    let is_http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
    match words.next() {
        Some(status) if is_http && status.len() == 3 && status.starts_with('2') => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::ConnectionRefused, format!("it answered '{line}'"))),
    }
}

#[cfg(test)]
mod tests;
