//! Connections through an HTTP proxy, which `ALL_PROXY` names.
//!
//! The proxy is asked to connect (`CONNECT`) and then only carries bytes: TLS goes through it to the server.
//!
//! Source: `docs/spec/cli.md` 5.2.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use farhold_client::{ByteStream, DialError, DialFuture, Dialer, TcpDialer};
use farhold_types::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::error::CommandError;

/// Port of a proxy that names none.
const DEFAULT_PORT: u16 = 1080;
/// Largest head of a proxy's answer, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Where a proxy is, and what it wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Proxy {
    host: String,
    port: u16,
    /// `user:password`.
    login: Option<Secret>,
}

/// Returns a dialer that goes through the proxy of this text: `[http://][user:pass@]host[:port]`.
///
/// # Errors
/// The text has another form. The error does not repeat it, for it may hold a password.
pub fn dialer(text: &str) -> Result<Arc<dyn Dialer>, CommandError> {
    let proxy = parse(text).ok_or_else(|| CommandError::Parameter {
        text: "ALL_PROXY is wrong".to_owned(),
        hint: Some("its form is [http://][user:pass@]host[:port]"),
    })?;
    Ok(Arc::new(ProxyDialer { proxy: Arc::new(proxy), tcp: Arc::new(TcpDialer) }))
}

fn parse(text: &str) -> Option<Proxy> {
    let rest = text.strip_prefix("http://").unwrap_or(text);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (login, address) = match rest.rsplit_once('@') {
        Some((login, address)) => (Some(Secret::new(login)), address),
        None => (None, rest),
    };
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (address, DEFAULT_PORT),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    let has_brackets = bare.len() != host.len();
    let fits = !bare.is_empty() && bare.chars().all(is_plain) && bare.contains(':') == has_brackets && port != 0;
    fits.then(|| Proxy { host: bare.to_owned(), port, login })
}

struct ProxyDialer {
    proxy: Arc<Proxy>,
    /// Opens the connection to the proxy.
    tcp: Arc<dyn Dialer>,
}

impl Dialer for ProxyDialer {
    fn dial<'a>(&'a self, host: &'a str, port: u16, limit: Duration) -> DialFuture<'a> {
        Box::pin(async move {
            let Proxy { host: proxy_host, port: proxy_port, login } = &*self.proxy;
            let mut stream = self.tcp.dial(proxy_host, *proxy_port, limit).await?;
            let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
            let asked = timeout(limit, ask(&mut *stream, &target, login.as_ref())).await;
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

/// Asks the proxy to connect to the target; afterwards the stream is one to the target.
async fn ask(stream: &mut dyn ByteStream, target: &str, login: Option<&Secret>) -> io::Result<()> {
    let mut request = zeroize::Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
    if let Some(login) = login {
        request.push_str(&format!("Proxy-Authorization: Basic {}\r\n", BASE64.encode(login.expose())));
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
#[path = "proxy_tests.rs"]
mod tests;
