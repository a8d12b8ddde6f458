//! The threads on which password hashes are computed.
//!
//! One hash needs 16 MiB. Memory that a thread has used and given back may stay with what the system's allocator keeps for
//! that thread, so hashes computed on whichever thread of a large pool is free make a server grow by 16 MiB for each of
//! them. Here they are always computed on the same two.

use std::fmt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Hashes that are computed at once, as many as there are slots; more would only help whoever guesses.
pub(crate) const THREADS: usize = 2;

type Work = Box<dyn FnOnce() + Send>;

/// The threads of one server, started when the first hash is computed. They end with this value.
#[derive(Default)]
pub(crate) struct HashThreads {
    sender: OnceLock<SyncSender<Work>>,
}

impl HashThreads {
    /// Carries out work on one of the threads and waits for its result. Blocking.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (result_sender, result) = sync_channel(1);
        let work: Work = Box::new(move || {
            // Fails only if nobody waits any more.
            let _ = result_sender.send(work());
        });
        if let Err(refused) = self.sender.get_or_init(start).send(work) {
            // No thread could be started.
            (refused.0)();
        }
        result.recv().expect("hashing does not panic")
    }
}

impl fmt::Debug for HashThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashThreads").finish_non_exhaustive()
    }
}

fn start() -> SyncSender<Work> {
    let (sender, receiver) = sync_channel::<Work>(THREADS);
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..THREADS {
        let receiver = Arc::clone(&receiver);
        // Without any thread those who ask compute themselves.
        let _ = std::thread::Builder::new().name("password-hash".to_owned()).spawn(move || serve(&receiver));
    }
    sender
}

fn serve(receiver: &Mutex<Receiver<Work>>) {
    loop {
        let received = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = received else { return };
        work();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_work_is_done_by_the_same_two_threads() {
        let threads = Arc::new(HashThreads::default());
        let callers: Vec<_> = (0..20)
            .map(|number| {
                let threads = Arc::clone(&threads);
                std::thread::spawn(move || threads.run(move || (number, std::thread::current().id())))
            })
            .collect();
        let done: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        assert_eq!(done.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
        let used: HashSet<_> = done.iter().map(|(_, thread)| *thread).collect();
        assert!(used.len() <= THREADS && !used.contains(&std::thread::current().id()));
    }
}
