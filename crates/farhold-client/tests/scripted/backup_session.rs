//! Backup sessions: good answers, wrong answers, early ones, silence, and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use farhold_client::{BackupSession, BackupSessionOptions, ClientError, WriterId};
use farhold_protocol::upgrade::BACKUP_PROTOCOL;
use farhold_types::{ArchiveName, Digest, Epoch, Namespace};
use futures::future::join_all;
use h2::Reason;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::peer::{Connection, Peer, Reply, snapshot};
use crate::upload_peer::{Order, Upload, WINDOWS, Windows, backup_peer, open_backup};

const MIB: usize = 1024 * 1024;

fn digest(number: usize) -> Digest {
    Digest([u8::try_from(number).unwrap(); 32])
}

fn image() -> ArchiveName {
    "drive-scsi0.img.fidx".parse().unwrap()
}

/// A session with one fixed index.
async fn begun(peer: &Arc<Peer>) -> (BackupSession, WriterId) {
    let session = open_backup(&peer.client()).await;
    let writer = session.create_fixed(&image(), Some(1), None).await.unwrap();
    (session, writer)
}

async fn upload(session: &BackupSession, writer: WriterId, number: usize, bytes: usize) -> Result<(), ClientError> {
    let body = Bytes::from(vec![u8::try_from(number).unwrap(); bytes]);
    session.upload_chunk(writer, &digest(number), bytes as u64, body).await
}

/// Returns the error of a chunk's upload whose request the peer handles by `script`.
async fn error_of<F, R>(bytes: usize, script: F) -> ClientError
where
    F: Fn(Upload) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let peer = backup_peer(WINDOWS, move |request: Upload| {
        let handled = (request.path() == "/fixed_chunk").then(|| script.clone());
        async move {
            match handled {
                Some(script) => script(request).await,
                None => request.good().await,
            }
        }
    });
    let (session, writer) = begun(&peer).await;
    upload(&session, writer, 1, bytes).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn sixty_four_large_uploads_pass_through_a_small_window() {
    for windows in [
        Windows { stream: 64 * 1024, connection: 64 * 1024, streams: 200 },
        Windows { stream: 1000, connection: 65_535, streams: 200 },
        Windows { stream: 32 * 1024 * 1024, connection: 65_535, streams: 200 },
        Windows { stream: 64 * 1024, connection: 1024 * 1024, streams: 3 },
    ] {
        let peer = backup_peer(windows, |request: Upload| request.good());
        let (session, writer) = begun(&peer).await;
        let size = if windows.stream == 1000 { 100_000 } else { MIB };
        let uploads = (0..64).map(|number| upload(&session, writer, number, size));
        for (number, result) in join_all(uploads).await.into_iter().enumerate() {
            assert!(result.is_ok(), "{windows:?} {number}: {result:?}");
        }
        session.finish().await.unwrap();
        let seen = peer.seen();
        let chunks: Vec<_> = seen.iter().filter(|s| s.target.starts_with("/fixed_chunk")).collect();
        assert_eq!(chunks.len(), 64);
        for chunk in chunks {
            let number = u8::from_str_radix(&chunk.target[20..22], 16).unwrap();
            assert!(chunk.body.len() == size && chunk.body.iter().all(|b| *b == number), "{}", chunk.target);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn few_large_bodies_are_half_sent_at_once_and_short_requests_pass_them() {
    let started = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&started);
    let windows = Windows { stream: 64 * 1024, ..WINDOWS };
    let peer = backup_peer(windows, move |request: Upload| {
        let is_chunk = request.path() == "/fixed_chunk";
        if is_chunk {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        async move {
            if is_chunk {
                // Reads nothing for a minute.
                sleep(Duration::from_secs(60)).await;
            }
            request.good().await;
        }
    });
    let (session, writer) = begun(&peer).await;
    let running: Vec<_> = (0..20)
        .map(|number| {
            let session = session.clone();
            tokio::spawn(async move { upload(&session, writer, number, MIB).await })
        })
        .collect();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(started.load(Ordering::SeqCst), 4);
    let begin = Instant::now();
    session.append(writer, &[(digest(1), 0); 600]).await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 0);
    for upload in running {
        upload.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_given_up_makes_room_for_the_next() {
    let windows = Windows { stream: 64 * 1024, ..WINDOWS };
    let peer = backup_peer(windows, |request: Upload| async move {
        match request.path() {
            // Keeps the request and reads nothing of it.
            "/fixed_chunk" if request.parameter("digest").starts_with("00") => {
                let _kept = request;
                std::future::pending().await
            }
            _ => request.good().await,
        }
    });
    let (session, writer) = begun(&peer).await;
    for _ in 0..10 {
        let stuck = join_all((0..4).map(|_| upload(&session, writer, 0, MIB)));
        assert!(timeout(Duration::from_secs(5), stuck).await.is_err());
        upload(&session, writer, 1, MIB).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_comes_before_the_body_is_read_reaches_the_caller() {
    for bytes in [100, 8 * MIB] {
        for windows in [WINDOWS, Windows { stream: 64 * 1024, ..WINDOWS }] {
            let peer = backup_peer(windows, |request: Upload| async move {
                match request.path() {
                    "/fixed_chunk" => request.reply(Reply::error(400, "wrong digest")).await,
                    _ => request.good().await,
                }
            });
            let (session, writer) = begun(&peer).await;
            let error = upload(&session, writer, 1, bytes).await.unwrap_err();
            assert!(
                matches!(&error, ClientError::Status { status: 400, method: "POST", path, text }
                    if text == "wrong digest" && path.starts_with("/fixed_chunk?digest=0101")),
                "{bytes} {windows:?}: {error:?}"
            );
            session.blob(&ArchiveName::manifest(), Bytes::from_static(b"still usable")).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_confirmation_of_what_was_not_sent_yet_breaks_the_protocol() {
    let windows = Windows { stream: 64 * 1024, ..WINDOWS };
    let peer = backup_peer(windows, |request: Upload| async move {
        match request.path() {
            "/fixed_chunk" => {
                let data = format!("\"{}\"", request.parameter("digest"));
                request.reply(Reply::data(&data)).await;
            }
            _ => request.good().await,
        }
    });
    let (session, writer) = begun(&peer).await;
    let error = upload(&session, writer, 1, MIB).await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn wrong_answers_are_no_success() {
    let other = format!("\"{}\"", digest(9));
    for data in ["null", "1", "\"\"", &other, "{}", "[1]"] {
        let data = data.to_owned();
        let error = error_of(100, move |mut request: Upload| {
            let reply = Reply::data(&data);
            async move {
                request.read().await;
                request.reply(reply).await;
            }
        })
        .await;
        assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
    }
    for body in ["", "ok", "\"0101\"", "{\"data\":}"] {
        let error = error_of(100, move |mut request: Upload| async move {
            request.read().await;
            request.reply(Reply::bytes(body)).await;
        })
        .await;
        assert!(matches!(error, ClientError::Protocol { .. }), "{body}: {error:?}");
    }
    for (path, data) in [
        ("/dynamic_index", "0"),
        ("/dynamic_index", "257"),
        ("/dynamic_index", "-1"),
        ("/dynamic_index", "null"),
        ("/dynamic_index", "\"1\""),
        ("/previous_backup_time", "0"),
        ("/previous_backup_time", "253402300800"),
        ("/previous_backup_time", "\"soon\""),
    ] {
        let peer = backup_peer(WINDOWS, move |request: Upload| request.reply(Reply::data(data)));
        let session = open_backup(&peer.client()).await;
        let error = match path {
            "/dynamic_index" => session.create_dynamic(&"root.pxar.didx".parse().unwrap()).await.unwrap_err(),
            _ => session.previous_backup_time().await.unwrap_err(),
        };
        assert!(matches!(error, ClientError::Protocol { .. }), "{path} {data}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_too_long_cost_only_their_request() {
    let peer = backup_peer(WINDOWS, |request: Upload| async move {
        match request.path() {
            "/finish" => request.reply(Reply::Endless(64 * 1024)).await,
            "/previous" => request.reply(Reply::Stall(1001, Vec::new())).await,
            _ => request.good().await,
        }
    });
    let (session, writer) = begun(&peer).await;
    let error = session.finish().await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { .. }), "{error:?}");
    let error = session.previous(&image(), 1000).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { limit_bytes: 1000, .. }), "{error:?}");
    upload(&session, writer, 1, MIB).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_missing_base_is_told_from_a_missing_blob() {
    let peer = backup_peer(WINDOWS, |request: Upload| async move {
        let reply = match request.seen.target.as_str() {
            "/previous?archive-name=index.json.blob" => Reply::error(404, "no such blob"),
            "/previous?archive-name=root.pxar.didx" => Reply::bytes(vec![7; 3 * MIB]),
            "/previous_backup_time" => Reply::data("1767261600"),
            _ => Reply::error(400, "no base"),
        };
        request.reply(reply).await;
    });
    let session = open_backup(&peer.client()).await;
    assert_eq!(session.previous_backup_time().await.unwrap(), Some(Epoch(1_767_261_600)));
    assert_eq!(session.previous(&ArchiveName::manifest(), 1000).await.unwrap_err().status(), Some(404));
    assert_eq!(session.previous(&image(), 1000).await.unwrap_err().status(), Some(400));
    let index = session.previous(&"root.pxar.didx".parse().unwrap(), 3 * MIB).await.unwrap();
    assert!(index.len() == 3 * MIB && index.iter().all(|b| *b == 7));
}

#[tokio::test(start_paused = true)]
async fn resets_and_broken_connections_in_the_middle_of_an_upload_are_transient() {
    for bytes in [100, 8 * MIB] {
        let error = error_of(bytes, |mut request: Upload| async move {
            request.part().await;
            request.reply(Reply::Reset(Vec::new(), Reason::INTERNAL_ERROR)).await;
        })
        .await;
        assert!(matches!(error, ClientError::Broken { .. }) && error.is_transient(), "reset: {error:?}");
        for order in [Order::Cut, Order::GoAway] {
            let error = error_of(bytes, move |mut request: Upload| async move {
                request.part().await;
                request.order(order);
                std::future::pending().await
            })
            .await;
            assert!(matches!(error, ClientError::Broken { .. }) && error.is_transient(), "{order:?}: {error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_farewell_of_the_peer_every_request_fails_at_once() {
    let peer = backup_peer(WINDOWS, |request: Upload| async move {
        request.order(Order::GoAway);
    });
    let session = open_backup(&peer.client()).await;
    let begin = Instant::now();
    for _ in 0..3 {
        let error = session.finish().await.unwrap_err();
        assert!(matches!(error, ClientError::Broken { .. }) && error.is_transient(), "{error:?}");
    }
    assert_eq!(begin.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_was_refused_unseen_is_sent_again_as_a_whole() {
    let refusals = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&refusals);
    let peer = backup_peer(WINDOWS, move |request: Upload| {
        let is_refused = request.path() == "/fixed_chunk" && counter.fetch_add(1, Ordering::SeqCst) < 3;
        async move {
            if is_refused {
                request.reply(Reply::Reset(Vec::new(), Reason::REFUSED_STREAM)).await;
            } else {
                request.good().await;
            }
        }
    });
    let (session, writer) = begun(&peer).await;
    upload(&session, writer, 1, 3 * MIB).await.unwrap();
    assert_eq!((refusals.load(Ordering::SeqCst), peer.seen().last().unwrap().body.len()), (4, 3 * MIB));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_any_more_is_given_up_after_two_minutes() {
    let peer = backup_peer(Windows { stream: 64 * 1024, ..WINDOWS }, |request: Upload| async move {
        match request.path() {
            "/fixed_chunk" => {
                let _kept = request;
                std::future::pending().await
            }
            _ => request.good().await,
        }
    });
    let (session, writer) = begun(&peer).await;
    let begin = Instant::now();
    let error = upload(&session, writer, 1, MIB).await.unwrap_err();
    assert!(matches!(error, ClientError::Silent { during: "inside a backup session", .. }), "{error:?}");
    // Once more for what was sent at the beginning.
    assert!((120..=240).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    // The peer answered our pings, so the session itself lives.
    session.finish().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_pings_ends_the_session_also_during_an_upload() {
    let begin = Instant::now();
    let error = error_of(8 * MIB, |mut request: Upload| async move {
        request.part().await;
        request.order(Order::Freeze);
        std::future::pending().await
    })
    .await;
    assert!(matches!(error, ClientError::Silent { .. }), "{error:?}");
    assert!((60..=121).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_works_slowly_through_many_uploads_is_not_silent() {
    // One every 100 s: the last answer comes after more than half an hour, with hardly a byte in between.
    let turn = Arc::new(tokio::sync::Mutex::new(()));
    let peer = backup_peer(WINDOWS, move |request: Upload| {
        let turn = Arc::clone(&turn);
        async move {
            if request.path() == "/fixed_chunk" {
                let turn = turn.lock().await;
                sleep(Duration::from_secs(100)).await;
                drop(turn);
            }
            request.good().await;
        }
    });
    let (session, writer) = begun(&peer).await;
    let begin = Instant::now();
    for result in join_all((0..20).map(|number| upload(&session, writer, number, 64))).await {
        result.unwrap();
    }
    assert_eq!(begin.elapsed().as_secs(), 2000);
}

#[tokio::test(start_paused = true)]
async fn over_a_slow_line_uploads_wait_for_each_other_without_being_given_up() {
    // 20 chunks of 1 MiB at 10 KiB/s take half an hour, and nothing but pings comes back.
    let peer = backup_peer(WINDOWS, |request: Upload| request.good());
    let mut config = peer.config();
    config.rates.rate_out = Some("10 KiB".parse().unwrap());
    let session = open_backup(&peer.client_with(config)).await;
    let writer = session.create_fixed(&image(), Some(1), None).await.unwrap();
    let begin = Instant::now();
    for result in join_all((0..20).map(|number| upload(&session, writer, number, MIB))).await {
        result.unwrap();
    }
    assert!((1900..2200).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_is_waited_for() {
    // 64 KiB every 100 s.
    let peer = backup_peer(Windows { stream: 64 * 1024, ..WINDOWS }, |mut request: Upload| async move {
        if request.path() == "/fixed_chunk" {
            while let Some(part) = request.part().await {
                sleep(Duration::from_secs(100 * part.len() as u64 / (64 * 1024))).await;
            }
        }
        request.good().await;
    });
    let (session, writer) = begun(&peer).await;
    let begin = Instant::now();
    upload(&session, writer, 1, MIB).await.unwrap();
    assert!(1000 < begin.elapsed().as_secs(), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn rate_out_is_kept_by_uploads() {
    for connections in [1, 4] {
        let peer = backup_peer(WINDOWS, |request: Upload| request.good());
        let mut config = peer.config();
        config.rates.rate_out = Some("1MiB".parse().unwrap());
        let client = peer.client_with(config);
        let begin = Instant::now();
        let each = 20 / connections;
        let sessions = (0..connections).map(|_| async {
            let session = open_backup(&client).await;
            let writer = session.create_fixed(&image(), Some(1), None).await.unwrap();
            join_all((0..each).map(|number| upload(&session, writer, number, MIB))).await
        });
        assert!(join_all(sessions).await.iter().flatten().all(Result::is_ok));
        let took = begin.elapsed().as_secs_f64();
        assert!((19.0..=21.0).contains(&took), "{connections}: {took} s");
        assert!(client.traffic().sent_bytes < 21 << 20);
    }
}

#[tokio::test(start_paused = true)]
async fn finishing_may_take_minutes_while_the_peer_lives_but_not_for_ever() {
    for (minutes, is_good) in [(10, true), (16, false)] {
        let peer = backup_peer(WINDOWS, move |request: Upload| async move {
            if request.path() == "/finish" {
                sleep(Duration::from_secs(minutes * 60)).await;
            }
            request.good().await;
        });
        let (session, _) = begun(&peer).await;
        let result = session.finish().await;
        assert!(result.is_ok() == is_good, "{minutes}: {result:?}");
        if let Err(error) = result {
            assert!(matches!(error, ClientError::Silent { .. }), "{error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_stays_usable_for_hours() {
    let peer = backup_peer(WINDOWS, |request: Upload| request.good());
    let (session, writer) = begun(&peer).await;
    sleep(Duration::from_secs(3 * 3600)).await;
    upload(&session, writer, 1, MIB).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn appends_are_bounded_before_anything_is_sent() {
    let peer = backup_peer(WINDOWS, |request: Upload| request.good());
    let (session, writer) = begun(&peer).await;
    session.append(writer, &[]).await.unwrap();
    let error = session.append(writer, &[(digest(1), 0); 8000]).await.unwrap_err();
    assert!(matches!(error, ClientError::Configuration { .. }), "{error:?}");
    assert_eq!(peer.seen().len(), 2, "the upgrade and the new index");
    session.append(writer, &[(digest(1), u64::MAX); 5584]).await.unwrap();
}

/// A peer for one session that tells whether the client left in order.
fn peer_that_tells() -> (Arc<Peer>, oneshot::Receiver<bool>) {
    let (tell, told) = oneshot::channel();
    let tell = Arc::new(std::sync::Mutex::new(Some(tell)));
    let peer = Peer::new(move |mut connection: Connection| {
        let tell = tell.lock().unwrap().take();
        async move {
            connection.request().await;
            connection.switch_to(BACKUP_PROTOCOL).await;
            let in_order = connection.uploads(WINDOWS, |request| request.good()).await;
            let _ = tell.unwrap().send(in_order);
        }
    });
    (peer, told)
}

#[tokio::test(start_paused = true)]
async fn closing_after_the_end_waits_for_nothing() {
    let (peer, told) = peer_that_tells();
    let (session, writer) = begun(&peer).await;
    session.finish().await.unwrap();
    let begin = Instant::now();
    session.close().await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert!(timeout(Duration::from_secs(1), told).await.unwrap().unwrap(), "the peer saw no clean end");
    assert!(matches!(upload(&session, writer, 1, 100).await, Err(ClientError::Closed { .. })));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_clone_ends_the_connection() {
    let (peer, told) = peer_that_tells();
    let (session, writer) = begun(&peer).await;
    let clone = session.clone();
    drop(session);
    upload(&clone, writer, 1, MIB).await.unwrap();
    drop(clone);
    timeout(Duration::from_secs(1), told).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refused_upgrade_carries_status_and_text_and_keeps_the_connection() {
    for (status, text) in [(400, "group is locked"), (403, "permission check failed"), (404, "no such namespace")] {
        let peer = Peer::new(move |mut connection: Connection| async move {
            while connection.request().await.is_some() {
                connection.answer(status, text).await;
            }
        });
        let client = peer.client();
        let (store, root) = ("tank".parse().unwrap(), Namespace::root());
        let options = BackupSessionOptions { debug: true, benchmark: false, no_cache: true };
        for _ in 0..2 {
            let error = client.open_backup(&store, &root, &snapshot(), options).await.unwrap_err();
            assert!(
                matches!(&error, ClientError::Status { status: s, text: t, .. } if *s == status && t == text),
                "{error:?}"
            );
        }
        assert_eq!(client.traffic().connections, 1);
        let query = "backup-id=101&backup-time=1767261600&backup-type=ct&benchmark=false&debug=true&no-cache=true";
        assert_eq!(peer.seen()[0].target, format!("//api2/json/backup?{query}&store=tank"));
    }
}
