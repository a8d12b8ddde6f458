//! What stays behind when a backup fails: nothing; and what it says.

use std::io::{self, Read};
use std::sync::Arc;

use farhold_backup::{ArchiveInput, BackupArchive, BackupError, BackupRequest, Observer, Protection, backup_into};
use farhold_testkit::SeededRandomness;
use tokio_util::sync::CancellationToken;

use crate::memory::{Fault, Step};
use crate::{MIB, Machine, noise};

const ARCHIVES: [&str; 3] = ["disk.img:disk", "root.pxar:root", "etc.conf:etc"];

fn machine() -> Machine {
    let machine = Machine::new(Protection::None);
    machine.write("disk", &noise(1, 20 * MIB));
    machine.write("root", &noise(2, 2 * MIB));
    machine.write("etc", b"a = 1\n");
    machine
}

/// Returns the error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_refused_request_fails_the_backup_and_names_what_it_was_for() {
    const FULL: &str = "insert chunk failed: No space left on device (os error 28)";
    for (step, after, expected) in [
        (Step::Create, 0, "archive disk.img.fidx cannot be stored: beginning an index failed: POST"),
        (Step::Upload, 0, "archive disk.img.fidx cannot be stored: uploading a chunk failed: POST"),
        (Step::Upload, 4, "archive disk.img.fidx cannot be stored: uploading a chunk failed: POST"),
        (Step::Append, 0, "archive disk.img.fidx cannot be stored: appending to an index failed: POST"),
        (Step::Close, 0, "archive disk.img.fidx cannot be stored: closing an index failed: POST"),
        (Step::Upload, 7, "archive root.pxar.didx cannot be stored: uploading a chunk failed: POST"),
        (Step::Append, 1, "archive root.pxar.didx cannot be stored: appending to an index failed: POST"),
        (Step::Close, 1, "archive root.pxar.didx cannot be stored: closing an index failed: POST"),
        (Step::Blob, 0, "archive etc.conf.blob cannot be stored: storing a small file failed: POST"),
        (Step::Blob, 1, "storing the manifest failed: POST"),
        (Step::Finish, 0, "finishing the snapshot failed: POST"),
    ] {
        let mut machine = machine();
        machine.server.fail(step, after, Fault::Refused(400, FULL));
        let error = machine.back_up(&ARCHIVES).await.unwrap_err();
        let text = chain(&error);
        assert!(text.starts_with(expected) && text.contains("No space left"), "{step:?} {after}: {text}");
        assert!(error.hint().unwrap().contains("is full"), "{step:?} {after}");
        assert!(machine.server.state().snapshots.is_empty(), "{step:?} {after}");
        // Nothing is left that could be in the way of the next one.
        machine.server.count_anew();
        machine.back_up(&ARCHIVES).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_connection_fails_the_backup_at_any_request() {
    for (step, after) in [
        (Step::PreviousTime, 0),
        (Step::Previous, 0),
        (Step::Previous, 1),
        (Step::Create, 0),
        (Step::Upload, 2),
        (Step::Append, 0),
        (Step::Close, 1),
        (Step::Blob, 0),
        (Step::Blob, 1),
    ] {
        let mut machine = machine();
        machine.back_up(&ARCHIVES[1..]).await.unwrap();
        machine.server.fail(step, after, Fault::Broken);
        let error = machine.back_up(&ARCHIVES).await.unwrap_err();
        assert!(error.client_error().unwrap().is_transient(), "{step:?} {after}: {error:?}");
        assert!(error.hint().unwrap().contains("task log"), "{step:?} {after}");
        assert_eq!(machine.server.state().snapshots.len(), 1, "{step:?} {after}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_connection_breaks_while_the_server_finishes_the_outcome_is_called_uncertain() {
    let mut machine = machine();
    machine.server.fail(Step::Finish, 0, Fault::Broken);
    let error = machine.back_up(&ARCHIVES).await.unwrap_err();
    assert!(matches!(error, BackupError::Uncertain { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("list the snapshots"));
}

/// Content that ends with an error.
struct Failing(io::Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::from_raw_os_error(5)),
            count => Ok(count),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_cannot_be_read_to_its_end_fails_the_backup() {
    for name in ["disk.img.fidx", "root.pxar.didx", "etc.conf.blob"] {
        let mut machine = machine();
        let input = ArchiveInput::Reader(Box::new(Failing(io::Cursor::new(noise(3, 5 * MIB)))));
        let archives = vec![BackupArchive { name: name.parse().unwrap(), input }];
        let template = machine.request(&[]);
        let error = machine.run(BackupRequest { archives, ..template }).await.unwrap_err();
        let BackupError::Archive { source, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(**source, BackupError::Read { position, .. } if position == 5 << 20), "{error:?}");
        assert!(machine.server.state().snapshots.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_without_content_fails_the_backup_unless_it_is_a_small_file() {
    for (name, is_possible) in [("disk.img.fidx", false), ("root.pxar.didx", false), ("etc.conf.blob", true)] {
        let mut machine = machine();
        let input = ArchiveInput::Reader(Box::new(io::empty()));
        let archives = vec![BackupArchive { name: name.parse().unwrap(), input }];
        let template = machine.request(&[]);
        let result = machine.run(BackupRequest { archives, ..template }).await;
        assert_eq!(result.is_ok(), is_possible, "{name}");
        assert_eq!(machine.server.state().snapshots.len(), usize::from(is_possible), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_shrinks_meanwhile_fails_the_backup_and_is_not_filled_with_zeros() {
    for new_bytes in [13 * MIB, 4 * MIB, 0] {
        let mut machine = machine();
        let request = machine.request(&ARCHIVES[..1]);
        let session = machine.server.open(&request.snapshot);
        let open = request.open().unwrap();
        std::fs::File::options().write(true).open(machine.path("disk")).unwrap().set_len(new_bytes as u64).unwrap();
        let randomness = Arc::new(SeededRandomness::new(1));
        let error =
            backup_into(session, open, randomness, Observer::silent(), CancellationToken::new()).await.unwrap_err();
        let BackupError::Archive { source, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(**source, BackupError::Shrank { .. }), "{error:?}");
        assert!(error.hint().is_some());
        assert!(machine.server.state().snapshots.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_file_that_is_too_large_is_refused_with_advice() {
    let mut machine = machine();
    machine.write("etc", &noise(1, 17 * MIB));
    let error = machine.back_up(&ARCHIVES[2..]).await.unwrap_err();
    assert!(chain(&error).contains("too large for a single blob of 16777260 bytes"), "{error:?}");
    assert!(error.hint().unwrap().contains(".img"));
    // What compresses well enough fits.
    machine.write("etc", &vec![b'a'; 17 * MIB]);
    machine.back_up(&ARCHIVES[2..]).await.unwrap();
    assert!(crate::is_same(&machine.restore("etc.conf").await.unwrap(), &vec![b'a'; 17 * MIB]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_backup_ends_at_once_and_leaves_nothing() {
    struct Endless;
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(7);
            Ok(buffer.len())
        }
    }
    let mut machine = machine();
    let input = ArchiveInput::Reader(Box::new(Endless));
    let archives = vec![BackupArchive { name: "root.pxar.didx".parse().unwrap(), input }];
    let request = BackupRequest { archives, ..machine.request(&[]) };
    let session = machine.server.open(&request.snapshot);
    let cancel = CancellationToken::new();
    let observer = Observer::silent();
    let running = tokio::spawn(backup_into(
        session,
        request.open().unwrap(),
        Arc::new(SeededRandomness::new(1)),
        observer.clone(),
        cancel.clone(),
    ));
    while observer.progress.look().done_bytes == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    cancel.cancel();
    let error = running.await.unwrap().unwrap_err();
    assert!(error.is_cancelled(), "{error:?}");
    assert!(machine.server.state().snapshots.is_empty());
}
