//! Bodies that arrive in parts, break off, stall and need more memory than there is.

use std::path::Path;

use farhold_datastore::backup::{BackupKind, BackupWriter};
use farhold_datastore::{Datastore, OpenOptions};
use farhold_types::{Authid, Clock, Epoch, Namespace, Randomness};
use futures::SinkExt;
use futures::channel::mpsc;
use tokio::time::Instant;

use super::*;

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Epoch {
        Epoch(1_795_000_000)
    }
}

impl Randomness for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(1);
    }
}

/// Starts a backup in a store of its own.
pub(in super::super) fn writer(folder: &Path) -> BackupWriter {
    let root = folder.join("store");
    std::fs::create_dir_all(root.join(".chunks")).unwrap();
    let clock = Arc::new(Fixed);
    let options = OpenOptions::local("tank".parse().unwrap(), root, folder.join("locks"), clock, Arc::new(Fixed));
    let store = Datastore::open(options).unwrap();
    let snapshot = "vm/100/2026-01-31T10:00:00Z".parse().unwrap();
    store.begin_backup(&Namespace::root(), &snapshot, &Authid::root(), BackupKind::Normal).unwrap()
}

fn intake(folder: &Path, budget: &WriteBudget) -> Arc<Intake> {
    let writer = writer(folder);
    let make = move || writer.scratch_file().map_err(ApiError::from);
    Arc::new(Intake::new(budget, Activity::new(farhold_client::Pauses::default()), Box::new(make)))
}

type Parts = mpsc::Sender<Result<hyper::body::Frame<Bytes>, crate::declare::BodyError>>;

fn body() -> (Parts, Body) {
    let (sender, parts) = mpsc::channel(4);
    (sender, Body::new(http_body_util::StreamBody::new(parts)))
}

async fn send(parts: &mut Parts, bytes: &[u8]) {
    parts.send(Ok(hyper::body::Frame::data(Bytes::copy_from_slice(bytes)))).await.unwrap();
}

fn text(error: &ApiError) -> String {
    error.to_string()
}

const BODY: usize = 64 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_half_sent_bodies_neither_lock_each_other_out_nor_take_more_than_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let budget = WriteBudget::new(1 << 20, 2);
    let intake = intake(folder.path(), &budget);
    let (mut senders, mut bodies) = (Vec::new(), Vec::new());
    for number in 0..200_u8 {
        let (mut parts, body) = body();
        let intake = Arc::clone(&intake);
        bodies.push(tokio::spawn(async move {
            let received = intake.receive(body, BODY).await?;
            intake.work(received, move |bytes, _| Ok(bytes.iter().all(|byte| *byte == number))).await
        }));
        send(&mut parts, &vec![number; BODY / 2]).await;
        senders.push(parts);
    }
    // A body has all its memory or is on disk: 16 of 64 KiB fit.
    let deadline = Instant::now() + Duration::from_secs(60);
    while intake.spill.slots_in_use() < 184 {
        assert!(Instant::now() < deadline, "only {} bodies went to disk", intake.spill.slots_in_use());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(budget.memory.available_permits(), 0);
    for (number, mut parts) in (0..200_u8).zip(senders).rev() {
        send(&mut parts, &vec![number; BODY / 2]).await;
    }
    for body in bodies {
        assert!(body.await.unwrap().unwrap(), "content of one body is content of another");
    }
    assert_eq!(intake.spill.slots_in_use(), 0);
    assert_eq!(budget.memory.available_permits(), 1024);
    assert_eq!(intake.share.available_permits(), SESSION_KIB as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_work_goes_on_a_body_waits_for_memory_instead_of_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let budget = WriteBudget::new(BODY as u64, 2);
    let intake = intake(folder.path(), &budget);
    let (mut parts, first) = body();
    send(&mut parts, &[1; BODY]).await;
    drop(parts);
    let received = intake.receive(first, BODY).await.unwrap();
    let (mut parts, second) = body();
    send(&mut parts, &[2; BODY]).await;
    drop(parts);
    let waiting = {
        let intake = Arc::clone(&intake);
        tokio::spawn(async move { intake.receive(second, BODY).await.map(drop) })
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!waiting.is_finished(), "there is no memory, and a body in work");
    assert_eq!(intake.spill.slots_in_use(), 0);
    intake.work(received, |_, _| Ok(())).await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_of_another_length_is_refused_a_longer_one_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let intake = intake(folder.path(), &WriteBudget::new(1 << 20, 2));
    let (mut parts, longer) = body();
    send(&mut parts, &[0; 11]).await;
    let refused = intake.receive(longer, 10).await.err().unwrap();
    assert!(text(&refused).contains("longer"), "{refused}");
    let (mut parts, shorter) = body();
    send(&mut parts, &[0; 9]).await;
    drop(parts);
    let refused = intake.receive(shorter, 10).await.err().unwrap();
    assert!(text(&refused).contains("body has 9 bytes"), "{refused}");
    let (mut parts, broken) = body();
    parts.send(Err("gone".into())).await.unwrap();
    let refused = intake.receive(broken, 10).await.err().unwrap();
    assert!(text(&refused).contains("broke off"), "{refused}");
    assert!(intake.receive(body().1, MAX_ENCODED_BLOB_BYTES + 1).await.is_err());
}

#[tokio::test]
async fn what_is_given_up_gives_memory_and_disk_back() {
    let folder = tempfile::tempdir().unwrap();
    let budget = WriteBudget::new(BODY as u64, 2);
    let intake = intake(folder.path(), &budget);
    let mut senders = Vec::new();
    let mut bodies = Vec::new();
    for _ in 0..3 {
        let (mut parts, body) = body();
        send(&mut parts, &[0; 100]).await;
        let intake = Arc::clone(&intake);
        bodies.push(tokio::spawn(async move { intake.receive(body, BODY).await.map(drop) }));
        senders.push(parts);
    }
    while intake.spill.slots_in_use() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for body in bodies {
        body.abort();
        let _ = body.await;
    }
    assert_eq!(intake.spill.slots_in_use(), 0);
    assert_eq!(budget.memory.available_permits(), BODY / 1024);
}

#[tokio::test(start_paused = true)]
async fn a_body_without_progress_fails_unless_others_of_the_session_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let intake = intake(folder.path(), &WriteBudget::new(1 << 20, 2));
    let begin = Instant::now();
    let (_parts, stalled) = body();
    let refused = intake.receive(stalled, 10).await.err().unwrap();
    assert!(text(&refused).contains("nothing of the body"), "{refused}");
    assert_eq!(begin.elapsed(), STALL_LIMIT);

    let begin = Instant::now();
    let (_parts, stalled) = body();
    let busy = async {
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            intake.activity.note_body();
        }
    };
    let refused = tokio::select! {
        result = intake.receive(stalled, 10) => result.err().unwrap(),
        () = busy => unreachable!(),
    };
    assert!(text(&refused).contains("nothing of the body"), "{refused}");
    assert_eq!(begin.elapsed(), OWN_STALL_LIMIT);
}
