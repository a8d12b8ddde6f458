//! Login, plain requests, the pool, repeated attempts, and wrong answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use farhold_client::ClientError;
use farhold_protocol::query::Query;
use farhold_types::Namespace;
use tokio::time::{Instant, sleep};

use crate::peer::{Connection, Peer, password, snapshot};

const VERSION: &str = r#"{"version":"4.2","release":"1","repoid":"x"}"#;

async fn answer_all(mut connection: Connection) {
    while let Some(seen) = connection.request().await {
        if seen.is_login() {
            connection
                .data(r#"{"username":"sync@pbs","ticket":"PBS:sync@pbs:6B035D89::s<1>","CSRFPreventionToken":"c:1"}"#)
                .await;
        } else {
            connection.data(VERSION).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn concurrent_first_calls_share_one_login_and_send_its_ticket() {
    let peer = Peer::new(answer_all);
    let mut config = peer.config();
    config.credentials = password();
    let client = peer.client_with(config);
    let calls = (0..10).map(|_| client.version());
    for result in futures::future::join_all(calls).await {
        result.unwrap();
    }
    let seen = peer.seen();
    assert_eq!(seen.iter().filter(|s| s.is_login()).count(), 1);
    let login = &seen[0];
    assert!(login.header("cookie").is_none() && login.header("csrfpreventiontoken").is_none());
    for call in &seen[1..] {
        assert_eq!(call.header("cookie"), Some("PBSAuthCookie=PBS:sync@pbs:6B035D89::s%3C1%3E"));
        assert_eq!(call.header("csrfpreventiontoken"), Some("c:1"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_ticket_is_renewed_with_the_ticket_after_a_quarter_of_an_hour() {
    let peer = Peer::new(answer_all);
    let mut config = peer.config();
    config.credentials = password();
    let client = peer.client_with(config);
    for minutes in [0, 14, 2, 200] {
        sleep(Duration::from_secs(minutes * 60)).await;
        client.version().await.unwrap();
    }
    let bodies: Vec<String> = peer
        .seen()
        .iter()
        .filter(|s| s.is_login())
        .map(|s| serde_json::from_slice::<serde_json::Value>(&s.body).unwrap()["password"].as_str().unwrap().to_owned())
        .collect();
    // The last one came after the ticket had expired, so the password was needed again.
    assert_eq!(bodies, ["<secret>", "PBS:sync@pbs:6B035D89::s<1>", "<secret>"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_renewal_falls_back_to_the_password() {
    let peer = Peer::new(|mut connection: Connection| async move {
        while let Some(seen) = connection.request().await {
            if seen.is_login() && String::from_utf8_lossy(&seen.body).contains("PBS:") {
                connection.answer(401, "authentication failed").await;
            } else if seen.is_login() {
                connection
                    .data(r#"{"username":"sync@pbs","ticket":"PBS:sync@pbs:1::s","CSRFPreventionToken":"c"}"#)
                    .await;
            } else {
                connection.data(VERSION).await;
            }
        }
    });
    let mut config = peer.config();
    config.credentials = password();
    let client = peer.client_with(config);
    client.version().await.unwrap();
    sleep(Duration::from_secs(1000)).await;
    client.version().await.unwrap();
    assert_eq!(peer.seen().iter().filter(|s| s.is_login()).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_reaches_all_that_waited_for_it_and_is_not_repeated() {
    let peer = Peer::new(|mut connection: Connection| async move {
        while connection.request().await.is_some() {
            sleep(Duration::from_secs(3)).await;
            connection.answer(401, "authentication failed\u{1b}[2J").await;
        }
    });
    let mut config = peer.config();
    config.credentials = password();
    let client = peer.client_with(config);
    let start = Instant::now();
    for result in futures::future::join_all((0..5).map(|_| client.version())).await {
        let error = result.unwrap_err();
        let ClientError::LoginRefused { text, user, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!((text.as_str(), user.as_str()), ("authentication failed [2J", "sync@pbs"));
        assert!(!format!("{error:?}").contains("secret"));
    }
    assert_eq!(peer.seen().len(), 1);
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn a_partial_ticket_is_no_login() {
    let peer = Peer::new(|mut connection: Connection| async move {
        while connection.request().await.is_some() {
            connection
                .data(r#"{"username":"a@pbs","ticket":"PBS:!tfa!%7B:1::s","CSRFPreventionToken":"invalid"}"#)
                .await;
        }
    });
    let mut config = peer.config();
    config.credentials = password();
    let error = peer.client_with(config).version().await.unwrap_err();
    assert!(matches!(&error, ClientError::LoginRefused { text, .. } if text.contains("second factor")), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn the_newer_cookie_is_used_when_the_server_sets_it() {
    let peer = Peer::new(|mut connection: Connection| async move {
        while let Some(seen) = connection.request().await {
            if seen.is_login() {
                let body = r#"{"data":{"username":"sync@pbs","ticket-info":"x","CSRFPreventionToken":"c"}}"#;
                let head = "HTTP/1.1 200 OK\r\nset-cookie: __Host-PBSAuthCookie=PBS:new; Secure; Path=/;\r\n";
                let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
                connection.raw(answer.as_bytes()).await.unwrap();
            } else {
                connection.data(VERSION).await;
            }
        }
    });
    let mut config = peer.config();
    config.credentials = password();
    peer.client_with(config).version().await.unwrap();
    assert_eq!(peer.seen()[1].header("cookie"), Some("__Host-PBSAuthCookie=PBS:new"));
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_is_no_longer_accepted_is_replaced_once() {
    let logins = Arc::new(AtomicUsize::new(0));
    let accepted = Arc::new(AtomicUsize::new(1));
    let shared = (Arc::clone(&logins), Arc::clone(&accepted));
    let peer = Peer::new(move |mut connection: Connection| {
        let (logins, accepted) = shared.clone();
        async move {
            while let Some(seen) = connection.request().await {
                let expected = format!("PBSAuthCookie=PBS:{}", accepted.load(Ordering::SeqCst));
                if seen.is_login() {
                    let number = logins.fetch_add(1, Ordering::SeqCst) + 1;
                    connection.data(&format!(r#"{{"username":"sync@pbs","ticket":"PBS:{number}"}}"#)).await;
                } else if seen.header("cookie") == Some(&expected) {
                    connection.data(VERSION).await;
                } else {
                    connection.answer(401, "invalid ticket").await;
                }
            }
        }
    });
    let mut config = peer.config();
    config.credentials = password();
    let client = peer.client_with(config);
    client.version().await.unwrap();
    accepted.store(2, Ordering::SeqCst);
    sleep(Duration::from_secs(120)).await;
    client.version().await.unwrap();
    assert_eq!(logins.load(Ordering::SeqCst), 2);
    // A 401 right after the login is about the request, not the ticket.
    accepted.store(9, Ordering::SeqCst);
    assert_eq!(client.version().await.unwrap_err().status(), Some(401));
    assert_eq!(logins.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_reuse_one_connection() {
    let peer = Peer::new(answer_all);
    let client = peer.client();
    for _ in 0..20 {
        client.version().await.unwrap();
    }
    assert_eq!(client.traffic().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_that_the_peer_closed_is_replaced_without_a_pause() {
    let peer = Peer::new(|mut connection: Connection| async move {
        // Answers once and hangs up.
        connection.request().await;
        connection.data(VERSION).await;
    });
    let client = peer.client();
    let start = Instant::now();
    for _ in 0..3 {
        client.version().await.unwrap();
    }
    assert_eq!(peer.dial_count(), 3);
    assert!(start.elapsed() < Duration::from_millis(400));
}

#[tokio::test(start_paused = true)]
async fn a_read_is_repeated_when_the_connection_breaks_and_a_change_is_not() {
    let peer = Peer::new(|mut connection: Connection| async move {
        // The first two connections die after the request, halfway through the answer.
        connection.request().await;
        if connection.number <= 2 {
            let _ = connection.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"data\":").await;
        } else {
            connection.data(VERSION).await;
        }
    });
    let client = peer.client();
    client.version().await.unwrap();
    assert_eq!(peer.dial_count(), 3);

    let peer = Peer::new(|mut connection: Connection| async move {
        connection.request().await;
    });
    let error = peer.client().post::<()>("/admin/datastore/tank/namespace", &serde_json::json!({"name": "a"})).await;
    assert!(matches!(error, Err(ClientError::Broken { .. })), "{error:?}");
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_tried_four_times_with_growing_pauses() {
    let peer = Peer::new(answer_all);
    peer.refuse.store(3, Ordering::SeqCst);
    let start = Instant::now();
    peer.client().post::<serde_json::Value>("/x", &serde_json::json!({})).await.unwrap();
    assert_eq!((peer.dial_count(), start.elapsed().as_millis() / 100), (4, 75));

    let peer = Peer::new(answer_all);
    peer.refuse.store(usize::MAX, Ordering::SeqCst);
    let error = peer.client().version().await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }) && error.is_transient(), "{error:?}");
    assert_eq!(peer.dial_count(), 4);
}

#[tokio::test(start_paused = true)]
async fn errors_carry_status_and_cleaned_text() {
    let peer = Peer::new(|mut connection: Connection| async move {
        let mut status = [400u16, 401, 403, 404, 500, 503].into_iter();
        while connection.request().await.is_some() {
            connection.answer(status.next().unwrap(), "no such\tdatastore 'tank'\r\n").await;
        }
    });
    let client = peer.client();
    for expected in [400u16, 401, 403, 404, 500, 503] {
        let error = client.groups(&"tank".parse().unwrap(), &Namespace::root()).await.unwrap_err();
        let ClientError::Status { status, method, path, text } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*status, expected);
        assert_eq!((*method, path.as_str()), ("GET", "/api2/json/admin/datastore/tank/groups"));
        assert_eq!(text, "no such datastore 'tank'");
    }
    assert_eq!(client.traffic().connections, 1, "an error answer does not cost a connection");
}

#[tokio::test(start_paused = true)]
async fn a_remote_without_namespaces_can_be_told_from_other_errors() {
    let peer = Peer::new(|mut connection: Connection| async move {
        while connection.request().await.is_some() {
            connection.answer(404, "path not found").await;
        }
    });
    let error = peer.client().namespaces(&"tank".parse().unwrap(), &Namespace::root(), None).await.unwrap_err();
    assert!(matches!(error, ClientError::NamespacesUnsupported { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn listings_keep_valid_items_and_name_the_others() {
    let peer = Peer::new(|mut connection: Connection| async move {
        while let Some(seen) = connection.request().await {
            let item = |id: &str, time: i64| {
                format!(r#"{{"backup-type":"ct","backup-id":"{id}","backup-time":{time},"files":[]}}"#)
            };
            if seen.target.contains("/snapshots") {
                let items = [item("101", 5), item("../x", 6), item("102", 7), item("101", 0), item("101", 8)];
                connection.data(&format!("[{}]", items.join(","))).await;
            } else {
                connection.data(r#"[{"ns":"site-a"},{"ns":"site-a/x"},{"ns":"site-b"},{"ns":"/"}]"#).await;
            }
        }
    });
    let client = peer.client();
    let store = "tank".parse().unwrap();
    let listing = client.snapshots(&store, &Namespace::root(), &snapshot().group).await.unwrap();
    assert_eq!(listing.items.iter().map(|i| i.backup_time.0).collect::<Vec<_>>(), [5, 8]);
    assert_eq!(listing.skipped_count, 3);
    let listing = client.namespaces(&store, &"site-a".parse().unwrap(), Some(1)).await.unwrap();
    assert_eq!(listing.items.len(), 2);
    assert!(!listing.is_complete());
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_too_large_or_endless_are_cut_off() {
    let peer = Peer::new(|mut connection: Connection| async move {
        let Some(seen) = connection.request().await else {
            return;
        };
        if seen.target.contains("announced") {
            let _ = connection.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{}").await;
            sleep(Duration::from_secs(10_000)).await;
        }
        let _ = connection.raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let piece = format!("10000\r\n{}\r\n", "x".repeat(65_536));
        while connection.raw(piece.as_bytes()).await.is_ok() {}
    });
    let client = peer.client();
    for path in ["/announced", "/endless"] {
        let error = client.get::<()>(path, &Query::new()).await.unwrap_err();
        assert!(matches!(error, ClientError::TooLarge { .. }), "{path}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_and_huge_heads_break_the_protocol_and_are_not_repeated() {
    let huge = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(300_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(200));
    for bytes in ["220 mail.example ESMTP\r\n\r\n".to_owned(), huge, many, "\0".repeat(100)] {
        let head: String = bytes.chars().take(20).collect();
        let peer = Peer::new(move |mut connection: Connection| {
            let bytes = bytes.clone();
            async move {
                connection.request().await;
                let _ = connection.raw(bytes.as_bytes()).await;
                sleep(Duration::from_secs(10)).await;
            }
        });
        let error = peer.client().version().await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{head}: {error:?}");
        assert_eq!(peer.dial_count(), 1, "{head}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_json_breaks_the_protocol() {
    let peer = Peer::new(|mut connection: Connection| async move {
        while connection.request().await.is_some() {
            connection.answer(200, "<html>").await;
        }
    });
    let error = peer.client().version().await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Protocol { reason, .. } if reason.contains("/api2/json/version")),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up_after_the_limit_of_each_phase() {
    // (bytes sent before the silence, is a listing, seconds until the error)
    for (sent, is_listing, seconds) in
        [("", false, 120), ("", true, 900), ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", true, 120)]
    {
        let peer = Peer::new(move |mut connection: Connection| async move {
            connection.request().await;
            let _ = connection.raw(sent.as_bytes()).await;
            sleep(Duration::from_secs(100_000)).await;
        });
        let client = peer.client();
        let start = Instant::now();
        let error =
            if is_listing { client.datastores().await.unwrap_err() } else { client.version().await.unwrap_err() };
        let ClientError::Silent { peer: name, waited, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!((&**name, waited.as_secs()), ("pbs.example:8007", seconds));
        assert_eq!(start.elapsed().as_secs(), seconds, "silence is not waited for again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_never_ends_is_given_up() {
    struct Mute;
    impl farhold_client::Dialer for Mute {
        fn dial<'a>(&'a self, _: &'a str, _: u16, _: Duration) -> farhold_client::DialFuture<'a> {
            Box::pin(async {
                let (near, far) = tokio::io::duplex(1024);
                tokio::spawn(async move {
                    let _kept = far;
                    sleep(Duration::from_secs(1000)).await;
                });
                Ok(Box::new(near) as Box<dyn farhold_client::ByteStream>)
            })
        }
    }
    let config = Peer::new(answer_all).config();
    let client = farhold_client::Client::with_dialer(config, Arc::new(Mute)).unwrap();
    let start = Instant::now();
    let error = client.version().await.unwrap_err();
    assert!(matches!(error, ClientError::Silent { .. }), "{error:?}");
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_limited_client_is_slow_but_not_silent() {
    let peer = Peer::new(|mut connection: Connection| async move {
        while connection.request().await.is_some() {
            connection.data(&format!("\"{}\"", "x".repeat(100_000))).await;
        }
    });
    let mut config = peer.config();
    config.rates.rate_in = Some("100".parse().unwrap());
    let client = peer.client_with(config);
    let start = Instant::now();
    let text: String = client.get("/x", &Query::new()).await.unwrap();
    assert_eq!(text.len(), 100_000);
    // 100 kB at 100 B/s, less what the last read overshoots.
    assert!((500..1100).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stored_file_can_be_fetched_without_a_session() {
    let peer = Peer::new(|mut connection: Connection| async move {
        while connection.request().await.is_some() {
            connection.answer(200, "0123456789").await;
        }
    });
    let client = peer.client();
    let (store, ns) = ("tank".parse().unwrap(), "site-a/rack1".parse().unwrap());
    let manifest = farhold_types::ArchiveName::manifest();
    let body = client.download_file(&store, &ns, &snapshot(), &manifest, 10).await.unwrap();
    assert_eq!(&body[..], b"0123456789");
    assert_eq!(
        peer.seen()[0].target,
        "/api2/json/admin/datastore/tank/download?backup-id=101&backup-time=1767261600&backup-type=ct\
         &file-name=index.json.blob&ns=site-a%2Frack1"
    );
    let error = client.download_file(&store, &ns, &snapshot(), &manifest, 9).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { limit_bytes: 9, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_login_ahead_gives_the_ticket_that_the_calls_then_use_and_is_nothing_for_a_token() {
    let peer = Peer::new(answer_all);
    let mut config = peer.config();
    config.credentials = password();
    let client = peer.client_with(config);
    let ticket = client.log_in().await.unwrap().unwrap();
    assert_eq!(ticket.ticket.expose(), "PBS:sync@pbs:6B035D89::s<1>");
    assert_eq!(ticket.csrf_token.as_ref().unwrap().expose(), "c:1");
    assert!(!format!("{ticket:?}").contains("6B035D89"));
    client.version().await.unwrap();
    assert_eq!(peer.seen().iter().filter(|seen| seen.is_login()).count(), 1);

    let token = Peer::new(answer_all);
    assert!(token.client().log_in().await.unwrap().is_none());
    assert!(token.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_list_can_be_had_as_it_was_sent() {
    let peer = Peer::new(|mut connection: Connection| async move {
        while connection.request().await.is_some() {
            connection.data(r#"[{"ns":"a","new-member":7},{"ns":"../x"}]"#).await;
        }
    });
    let items = peer.client().list("/admin/datastore/tank/namespace", &Query::new()).await.unwrap();
    assert_eq!(serde_json::to_string(&items).unwrap(), r#"[{"new-member":7,"ns":"a"},{"ns":"../x"}]"#);
}
