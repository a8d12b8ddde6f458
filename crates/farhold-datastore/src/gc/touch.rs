//! Work for the threads that help while one reads indexes, or for that one itself: setting the access times of chunks, and
//! comparing the checksums of indexes.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use farhold_storage::StorageError;
use farhold_types::Digest;

use super::Chunks;
use super::event::{GcEvent, GcWatch};
use super::soundness::Check;
use crate::chunk_repair::{MAX_BAD_FILES, bad_chunk};
use crate::layout;
use crate::store::Datastore;

/// Chunks of one piece of work. They stay in the order of their index: chunks that came one after the other often lie so on
/// the disk, and in the memory of the system.
pub(super) const BLOCK: usize = 1024;
/// Chunks that are touched between two looks whether to stop: all threads look at the same place, which costs about as much
/// as touching a chunk in memory does.
const LOOK_EVERY: usize = 16;

/// One piece of work.
pub(super) enum Work {
    /// Chunks to touch.
    Touch {
        /// Path of the index that names them.
        index: Arc<str>,
        digests: Vec<Digest>,
    },
    /// An index to be looked at.
    Check(Check),
}

/// What became of one piece of work.
enum Done {
    All,
    Stopped,
}

/// The threads' common state.
#[derive(Default)]
struct State {
    /// Whether the rest of the work is of no use any more.
    is_over: AtomicBool,
    failure: Mutex<Option<StorageError>>,
}

impl State {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// Who does the work.
enum Hands<'a> {
    /// Threads that wait for it.
    Threads(SyncSender<Work>),
    /// Whoever has it.
    Own(Chunks<'a>, &'a GcWatch<'a>),
}

/// Gives work to the threads, or does it.
pub(super) struct Touchers<'a> {
    hands: Hands<'a>,
    state: &'a State,
}

impl Touchers<'_> {
    /// Hands over work, waiting for a free thread. Returns whether there is any use in going on.
    pub(super) fn take(&self, work: Work) -> bool {
        if self.state.is_over() {
            return false;
        }
        match &self.hands {
            // Sending fails only if all threads panicked.
            Hands::Threads(sender) => sender.send(work).is_ok(),
            Hands::Own(chunks, watch) => {
                do_work(*chunks, &work, self.state, watch);
                !self.state.is_over()
            }
        }
    }
}

/// Runs `read` with threads that touch chunks for it. Returns when all of them are done. With one thread there is only the
/// caller's, so that all happens in one order, the same each time.
///
/// # Errors
/// The first chunk that could not be touched.
pub(super) fn touching<T>(
    chunks: Chunks<'_>,
    threads: NonZero<usize>,
    watch: &GcWatch<'_>,
    read: impl FnOnce(Touchers<'_>) -> T,
) -> Result<T, StorageError> {
    let state = State::default();
    let outcome = if threads.get() == 1 {
        read(Touchers { hands: Hands::Own(chunks, watch), state: &state })
    } else {
        with_threads(chunks, threads, watch, &state, read)
    };
    match state.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => Ok(outcome),
    }
}

fn with_threads<T>(
    chunks: Chunks<'_>,
    threads: NonZero<usize>,
    watch: &GcWatch<'_>,
    state: &State,
    read: impl FnOnce(Touchers<'_>) -> T,
) -> T {
    let (sender, receiver) = sync_channel::<Work>(threads.get());
    // Owned by the threads alone: should all of them panic, nobody waits for ever.
    let receiver = Arc::new(Mutex::new(receiver));
    std::thread::scope(|scope| {
        for _ in 0..threads.get() {
            let receiver = Arc::clone(&receiver);
            scope.spawn(move || run(chunks, &receiver, state, watch));
        }
        drop(receiver);
        read(Touchers { hands: Hands::Threads(sender), state })
    })
}

fn run(chunks: Chunks<'_>, receiver: &Mutex<Receiver<Work>>, state: &State, watch: &GcWatch<'_>) {
    loop {
        let received = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = received else { return };
        if !state.is_over() {
            do_work(chunks, &work, state, watch);
        }
    }
}

fn do_work(chunks: Chunks<'_>, work: &Work, state: &State, watch: &GcWatch<'_>) {
    let done = match work {
        Work::Touch { index, digests } => touch_all(chunks, index, digests, watch),
        Work::Check(check) => {
            check.run();
            Ok(Done::All)
        }
    };
    match done {
        Ok(Done::All) => {}
        Ok(Done::Stopped) => state.is_over.store(true, Ordering::Relaxed),
        Err(error) => {
            state.is_over.store(true, Ordering::Relaxed);
            state.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}

fn touch_all(chunks: Chunks<'_>, index: &str, digests: &[Digest], watch: &GcWatch<'_>) -> Result<Done, StorageError> {
    for (number, digest) in digests.iter().enumerate() {
        if number % LOOK_EVERY == 0 && watch.check().is_err() {
            return Ok(Done::Stopped);
        }
        let name = digest.to_string();
        match chunks.folders.touch_atime(&name[..layout::CHUNK_FOLDER_DIGITS], &name) {
            Ok(()) => {}
            Err(error) if error.is_not_found() => {
                touch_bad(chunks.store, digest)?;
                watch.tell(&GcEvent::MissingChunk { digest: *digest, index });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Done::All)
}

/// Touches what was set aside as damaged, so that it survives as long as nothing better is there.
fn touch_bad(store: &Datastore, digest: &Digest) -> Result<(), StorageError> {
    for number in 0..MAX_BAD_FILES {
        match store.storage().touch_atime(&bad_chunk(digest, number)) {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
