//! Touching chunks: some threads set access times while one reads indexes, or that one does both.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use farhold_storage::StorageError;
use farhold_types::Digest;

use super::event::{GcEvent, GcWatch};
use crate::chunk_repair::{MAX_BAD_FILES, bad_chunk};
use crate::layout;
use crate::store::Datastore;

/// Chunks of one piece of work: some milliseconds, so that a request to stop is heard soon.
pub(super) const BLOCK: usize = 1024;

/// Chunks to touch.
pub(super) struct Work {
    /// Path of the index that names them.
    pub(super) index: Arc<str>,
    pub(super) digests: Vec<Digest>,
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
    Own(&'a Datastore, &'a GcWatch<'a>),
}

/// Gives work to the threads, or does it.
pub(super) struct Touchers<'a> {
    hands: Hands<'a>,
    state: &'a State,
}

impl Touchers<'_> {
    /// Hands over work, waiting for a free thread. Returns whether there is any use in going on.
    pub(super) fn touch(&self, work: Work) -> bool {
        if self.state.is_over() {
            return false;
        }
        match &self.hands {
            // Sending fails only if all threads panicked.
            Hands::Threads(sender) => sender.send(work).is_ok(),
            Hands::Own(store, watch) => {
                do_work(store, &work, self.state, watch);
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
    store: &Datastore,
    threads: NonZero<usize>,
    watch: &GcWatch<'_>,
    read: impl FnOnce(Touchers<'_>) -> T,
) -> Result<T, StorageError> {
    let state = State::default();
    let outcome = if threads.get() == 1 {
        read(Touchers { hands: Hands::Own(store, watch), state: &state })
    } else {
        with_threads(store, threads, watch, &state, read)
    };
    match state.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => Ok(outcome),
    }
}

fn with_threads<T>(
    store: &Datastore,
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
            scope.spawn(move || run(store, &receiver, state, watch));
        }
        drop(receiver);
        read(Touchers { hands: Hands::Threads(sender), state })
    })
}

fn run(store: &Datastore, receiver: &Mutex<Receiver<Work>>, state: &State, watch: &GcWatch<'_>) {
    loop {
        let received = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = received else { return };
        if !state.is_over() {
            do_work(store, &work, state, watch);
        }
    }
}

fn do_work(store: &Datastore, work: &Work, state: &State, watch: &GcWatch<'_>) {
    match touch_all(store, work, watch) {
        Ok(Done::All) => {}
        Ok(Done::Stopped) => state.is_over.store(true, Ordering::Relaxed),
        Err(error) => {
            state.is_over.store(true, Ordering::Relaxed);
            state.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}

fn touch_all(store: &Datastore, work: &Work, watch: &GcWatch<'_>) -> Result<Done, StorageError> {
    for digest in &work.digests {
        if watch.check().is_err() {
            return Ok(Done::Stopped);
        }
        match store.storage().touch_atime(&layout::chunk(digest)) {
            Ok(()) => {}
            Err(error) if error.is_not_found() => {
                touch_bad(store, digest)?;
                watch.tell(&GcEvent::MissingChunk { digest: *digest, index: &work.index });
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
