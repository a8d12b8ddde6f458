//! Chunks that should be in the store already: marking them as used, and looking at what is really there.

use std::sync::Arc;

use bytes::Bytes;
use farhold_types::Digest;
use tokio::task::JoinSet;

use crate::chunks::check_pool::Bench;
use crate::context::RunContext;
use crate::outcome::ArchiveFailure;
use crate::source::Source;
use crate::target::Target;

/// Chunks whose access time is set in one blocking job.
const TOUCH_BATCH: usize = 1024;

/// Marks the chunks as used; returns those that are in the store, and those that are not.
///
/// `digest`: under which digest a chunk lies in the store.
pub(crate) async fn touch_all<S: Source, T: Target, C: Copy>(
    run: &Arc<RunContext<S, T>>,
    chunks: Vec<C>,
    digest: impl Fn(&C) -> Digest,
) -> Result<(Vec<C>, Vec<C>), ArchiveFailure> {
    let (mut present, mut lost) = (Vec::with_capacity(chunks.len()), Vec::new());
    for batch in chunks.chunks(TOUCH_BATCH) {
        let store = run.chunks.clone();
        let digests: Vec<Digest> = batch.iter().map(&digest).collect();
        let job = move |_: &mut _| digests.iter().map(|digest| store.touch(digest)).collect::<Result<Vec<bool>, _>>();
        let is_present = run.pool.run(job).await??;
        for (chunk, is_present) in batch.iter().zip(is_present) {
            if is_present { present.push(*chunk) } else { lost.push(*chunk) }
        }
    }
    Ok((present, lost))
}

/// Reads the chunks and marks those as used for which `is_sound` holds; returns these, and the others.
///
/// `digest`: under which digest a chunk lies in the store. `is_sound` gets the stored bytes, on a blocking thread.
pub(crate) async fn check_all<S: Source, T: Target, C: Copy + Send + 'static>(
    run: &Arc<RunContext<S, T>>,
    chunks: Vec<C>,
    digest: fn(&C) -> Digest,
    is_sound: impl Fn(&mut Bench, &C, &Bytes) -> bool + Send + Sync + 'static,
) -> Result<(Vec<C>, Vec<C>), ArchiveFailure> {
    let is_sound = Arc::new(is_sound);
    let mut chunks = chunks.into_iter();
    let (mut sound, mut others) = (Vec::new(), Vec::new());
    let mut checks = JoinSet::new();
    loop {
        while checks.len() < run.pool.size() * 2 {
            let Some(chunk) = chunks.next() else { break };
            let (run, is_sound) = (run.clone(), is_sound.clone());
            checks.spawn(async move {
                let store = run.chunks.clone();
                let is_sound = run.pool.run(move |bench| {
                    let stored = store.read(&digest(&chunk));
                    let is_sound = stored.is_some_and(|encoded| is_sound(bench, &chunk, &encoded));
                    Ok::<bool, ArchiveFailure>(is_sound && store.touch(&digest(&chunk))?)
                });
                Ok::<_, ArchiveFailure>((chunk, is_sound.await??))
            });
        }
        match checks.join_next().await {
            None => return Ok((sound, others)),
            Some(Err(_)) => return Err(ArchiveFailure::Crashed),
            Some(Ok(result)) => match result? {
                (chunk, true) => sound.push(chunk),
                (chunk, false) => others.push(chunk),
            },
        }
    }
}
