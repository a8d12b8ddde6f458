//! Texts of proxies, and what is said to one.

use std::sync::Mutex;

use tokio::io::DuplexStream;

use super::*;

#[test]
fn texts_name_host_port_and_login() {
    let shown = |text: &str| {
        let HttpProxy { host, port, login } = HttpProxy::parse(text).ok()?;
        Some(format!("{host} {port} {}", login.as_ref().map_or("-", |login| login.expose())))
    };
    for (text, expected) in [
        ("proxy", "proxy 1080 -"),
        ("http://proxy.example:3128/", "proxy.example 3128 -"),
        ("http://ann:p@ss:word@10.0.0.1:3128", "10.0.0.1 3128 ann:p@ss:word"),
        ("[fd00::1]:3128", "fd00::1 3128 -"),
        ("[fd00::1]", "fd00::1 1080 -"),
    ] {
        assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
    }
    for text in [
        "",
        "http://",
        "socks5://proxy",
        "https://proxy",
        "proxy:x",
        "proxy:0",
        "a b",
        "fd00::1",
        "ann:pw@",
        "p:99999",
        "a\r\nX: y@proxy",
    ] {
        assert_eq!(shown(text), None, "{text}");
    }
    let error = HttpProxy::parse("ann:hunter2@").unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"));
    assert!(!format!("{:?}", HttpProxy::parse("ann:hunter2@proxy")).contains("hunter2"));
}

/// Hands out one end of a pipe and remembers where it was to lead.
struct Pipe(Mutex<Option<DuplexStream>>);

impl Dialer for Pipe {
    fn dial<'a>(&'a self, host: &'a str, port: u16, _: Duration) -> DialFuture<'a> {
        assert_eq!((host, port), ("proxy", 3128));
        let stream = self.0.lock().unwrap().take().unwrap();
        Box::pin(async move { Ok(Box::new(stream) as Box<dyn ByteStream>) })
    }
}

/// Dials through a proxy that answers so; returns what it was asked, and what came through or the error.
async fn dialled(login: Option<&str>, answer: &str) -> (String, Result<String, String>) {
    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    let proxy = HttpProxy { host: "proxy".to_owned(), port: 3128, login: login.map(Secret::new) };
    let dialer = ProxyDialer { proxy: Arc::new(proxy), tcp: Arc::new(Pipe(Mutex::new(Some(ours)))) };
    theirs.write_all(answer.as_bytes()).await.unwrap();
    let dialled = dialer.dial("fd00::7", 8007, Duration::from_secs(5)).await;
    let came = match dialled {
        Ok(mut stream) => {
            let mut rest = [0; 4];
            stream.read_exact(&mut rest).await.unwrap();
            Ok(String::from_utf8(rest.to_vec()).unwrap())
        }
        Err(DialError::Connect(error)) => Err(error.to_string()),
        Err(error) => panic!("{error}"),
    };
    let mut asked = vec![0; 4096];
    let length = theirs.read(&mut asked).await.unwrap();
    (String::from_utf8(asked[..length].to_vec()).unwrap(), came)
}

#[tokio::test(start_paused = true)]
async fn a_proxy_is_asked_to_connect_and_then_only_carries_bytes() {
    let (asked, came) = dialled(Some("ann:pw"), "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nTLS!").await;
    assert_eq!(came.as_deref(), Ok("TLS!"));
    assert_eq!(
        asked,
        "CONNECT [fd00::7]:8007 HTTP/1.1\r\nHost: [fd00::7]:8007\r\nProxy-Authorization: Basic YW5uOnB3\r\n\r\n"
    );
    let (asked, _) = dialled(None, "HTTP/1.0 200 OK\r\n\r\nTLS!").await;
    assert!(!asked.contains("Authorization"), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_refuses_babbles_or_is_silent_is_an_error() {
    let endless = "HTTP/1.1 200 OK\r\nx: ".to_owned() + &"y".repeat(40_000);
    for (answer, expected) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "it answered 'HTTP/1.1 407 Proxy Authentication Required'",
        ),
        ("SSH-2.0-x\r\n\r\n", "it answered 'SSH-2.0-x'"),
        (&endless, "its answer does not end"),
        ("HTTP/1.1 200", "no answer within 5 s"),
    ] {
        let (_, came) = dialled(None, answer).await;
        assert_eq!(came, Err(format!("proxy proxy:3128: {expected}")));
    }
}
