//! Peers that hang, close, flood, or talk nonsense. The clock is paused, so every wait that ends is one that we end.

use std::sync::Arc;
use std::time::Duration;

use farhold_client::{ByteStream, DialError, DialFuture, Dialer};
use farhold_notify::{DeliveryError, Encryption, Outside, Sender, Target, TargetKind};
use farhold_types::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use crate::support::{deliver, outside, ping, recipients, shown, target, webhook};

/// What a peer does with a connection.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Nobody answers.
    Unreachable,
    /// Refuses the connection.
    Refuse,
    /// Takes everything and says nothing.
    Silent,
    /// Takes nothing and says nothing.
    Deaf,
    /// Closes at once.
    Close,
    /// Says this, then nothing.
    Say(&'static [u8]),
    /// Says this, then closes.
    SayAndClose(&'static [u8]),
    /// Says this again and again.
    Flood(&'static [u8]),
    /// Says this byte by byte, with pauses of four seconds.
    Drip(&'static [u8]),
}

struct Peer(Manner);

impl Dialer for Peer {
    fn dial<'a>(&'a self, _: &'a str, _: u16, limit: Duration) -> DialFuture<'a> {
        Box::pin(async move {
            match self.0 {
                Manner::Unreachable => {
                    sleep(limit).await;
                    Err(DialError::Connect(std::io::ErrorKind::TimedOut.into()))
                }
                Manner::Refuse => Err(DialError::Connect(std::io::ErrorKind::ConnectionRefused.into())),
                manner => {
                    let (ours, theirs) = duplex(1024);
                    tokio::spawn(behave(theirs, manner));
                    Ok(Box::new(ours) as Box<dyn ByteStream>)
                }
            }
        })
    }
}

async fn behave(stream: DuplexStream, manner: Manner) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let take = async {
        let mut nothing = [0; 1024];
        while matches!(reader.read(&mut nothing).await, Ok(read) if 0 < read) {}
    };
    let say = async {
        match manner {
            Manner::Say(text) | Manner::SayAndClose(text) => drop(writer.write_all(text).await),
            Manner::Flood(text) => while writer.write_all(text).await.is_ok() {},
            Manner::Drip(text) => {
                for byte in text.iter().cycle() {
                    sleep(Duration::from_secs(4)).await;
                    if writer.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                }
            }
            _ => {}
        }
    };
    match manner {
        Manner::Close => {}
        Manner::Deaf => std::future::pending().await,
        Manner::SayAndClose(_) => say.await,
        _ => drop(tokio::join!(take, say)),
    }
}

const MANNERS: [Manner; 22] = [
    Manner::Unreachable,
    Manner::Refuse,
    Manner::Silent,
    Manner::Deaf,
    Manner::Close,
    Manner::Say(b"220 mail.example ESMTP\r\n"),
    Manner::Say(b"220 mail.example ESMTP\r\n250 hello\r\n"),
    Manner::Say(b"HTTP/1.1 200 OK\r\n"),
    Manner::Say(b"HTTP/1.1 100 Continue\r\n\r\n"),
    Manner::SayAndClose(b"220 mail.example ESMTP\r\n250 hello\r\n250 ok\r\n"),
    Manner::SayAndClose(b"HTTP/1.1 200"),
    Manner::SayAndClose(b"HTTP/1.1 999 \r\n\r\n"),
    Manner::SayAndClose(b"\x16\x03\x01\x00\xff\xff\xff\r\n"),
    Manner::SayAndClose(b"421 go away\r\n"),
    Manner::SayAndClose(b"554 no service hunter2 \x1b[31m\r\n"),
    Manner::SayAndClose(b"999 what\r\n"),
    Manner::SayAndClose(b"220\r\n\r\n\r\n"),
    Manner::Flood(b"220-and there is much more to say before we can begin to talk of mails and such things\r\n"),
    Manner::Flood(b"x"),
    Manner::Flood(b"HTTP/1.1 100 Continue\r\n\r\n"),
    Manner::Flood(b"HTTP/1.1 200 OK\r\na: b\r\n"),
    Manner::Drip(b"220-more\r\n"),
];

fn smtp(encryption: Encryption) -> Target {
    target(TargetKind::Smtp {
        server: "mail.example".to_owned(),
        port: 25,
        encryption,
        login: Some(("me".to_owned(), Secret::new("hunter2"))),
        recipients: recipients(&["a@example.org"], &[]),
        sender: Sender { address: Some("b@example.org".to_owned()), author: None },
    })
}

#[tokio::test(start_paused = true)]
async fn no_peer_keeps_us_longer_than_the_limits_and_none_makes_us_believe_it_got_something() {
    let gotify =
        target(TargetKind::Gotify { server: "https://gotify.example".to_owned(), token: Secret::new("hunter2") });
    let targets = [
        (smtp(Encryption::None), 60),
        (smtp(Encryption::StartTls), 60),
        (smtp(Encryption::Tls), 60),
        (gotify, 10),
        (webhook("http://hooks.example/hunter2"), 10),
        (webhook("https://hooks.example/hunter2"), 10),
        (ping("http://ping.example/hunter2"), 10),
    ];
    for manner in MANNERS {
        for (target, limit) in &targets {
            let outside = Outside { dialer: Arc::new(Peer(manner)), ..outside() };
            let start = Instant::now();
            let error = deliver(target, &outside).await.unwrap_err();
            let waited = start.elapsed();
            assert!(waited <= Duration::from_secs(*limit), "{manner:?} {target:?}: {waited:?}");
            // Each of them may come to its senses.
            assert!(!error.is_permanent(), "{manner:?} {target:?}: {error:?}");
            let text = shown(&error);
            let is_mail = matches!(target.kind, TargetKind::Smtp { .. });
            assert!(is_mail || !text.contains("hunter2"), "{manner:?}: {text}");
            assert!(!error.to_string().chars().any(char::is_control), "{manner:?}: {text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_mail_server_has_five_seconds_for_each_step() {
    for manner in [Manner::Silent, Manner::Deaf, Manner::Say(b"220 mail.example ESMTP\r\n"), Manner::Unreachable] {
        let outside = Outside { dialer: Arc::new(Peer(manner)), ..outside() };
        let start = Instant::now();
        deliver(&smtp(Encryption::None), &outside).await.unwrap_err();
        assert!(start.elapsed() <= Duration::from_secs(6), "{manner:?}: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_counts_once_its_status_is_there() {
    let manner = Manner::SayAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf");
    let outside = Outside { dialer: Arc::new(Peer(manner)), ..outside() };
    deliver(&ping("http://ping.example/"), &outside).await.unwrap();
    let error = deliver(&smtp(Encryption::None), &outside).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Broken(_)), "{error:?}");
}
