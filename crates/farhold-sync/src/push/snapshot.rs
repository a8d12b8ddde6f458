//! One snapshot: from the local manifest to a finished copy on the target.
//!
//! Everything is read under the source's shared lock and checked before it is sent. A session that broke is begun anew
//! with the whole snapshot; the target keeps the chunks but does not tell, so they are sent again.
//!
//! Source: `docs/spec/sync.md` 10.4, C.2 W25 and W29.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farhold_format::manifest::Manifest;
use farhold_rules::encrypt_plan::{KeyAtHand, PushForm, encrypt_plan};
use farhold_rules::sync_plan::Action;
use farhold_types::{ArchiveName, CLIENT_LOG_NAME, MANIFEST_NAME, Snapshot, SnapshotItem, VerifyState};
use tokio::sync::Semaphore;

use crate::ahead::prepare::MAX_BLOB_BYTES;
use crate::chunks::check_pool::Bench;
use crate::decrypt::plan::content_hash;
use crate::encrypt::digests::PushDigests;
use crate::encrypt::form::ChunkForm;
use crate::encrypt::pairing::Pairing;
use crate::event::{GroupEvent, StartState};
use crate::fault::RequestFault;
use crate::notes::pair_file::MadeFrom;
use crate::outcome::GroupFailure;
use crate::push::context::PushRun;
use crate::push::group::GroupState;
use crate::push::known::SessionChunks;
use crate::push::previous::{Newest, Previous};
use crate::push::sender::{Sender, UPLOADS_AT_ONCE};
use crate::push::target::{PushSession, PushTarget, RemoteError};
use crate::retry::Tries;
use crate::source::{Source, SourceSnapshot};

/// How often a snapshot is begun after its session broke. Each time all of it is sent again.
const MOST_SESSIONS: u32 = 5;

/// Pauses before a session is opened again that was refused after one broke: the target may not have noticed yet, and
/// holds its locks for a moment longer.
const LINGERING_LOCKS: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];

/// What became of a snapshot.
pub(crate) enum Pushed {
    /// The target has it.
    Sent(Newest),
    /// It vanished, or does not pass the filters any more.
    LeftOut,
    /// It is encrypted only in part, so that the job must not push it.
    Mixed,
}

/// Pushes one snapshot.
pub(crate) async fn push_snapshot<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    group: &mut GroupState,
    action: &Action,
) -> Result<Pushed, GroupFailure> {
    let time = action.item.backup_time;
    group.events.emit(GroupEvent::SnapshotStarted { time, state: StartState::New });
    let pushed = run.cancel.run_until_cancelled(try_push(run, group, action)).await;
    let pushed = pushed.unwrap_or(Err(GroupFailure::Cancelled))?;
    if let Pushed::Sent(_) = &pushed {
        group.events.emit(GroupEvent::SnapshotDone(time));
    }
    Ok(pushed)
}

async fn try_push<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    group: &mut GroupState,
    action: &Action,
) -> Result<Pushed, GroupFailure> {
    let snapshot = action.item.snapshot();
    let time = snapshot.time;
    let opened = match run.source.open(&group.source_ns, &snapshot).await {
        Ok(reader) => reader.file(&ArchiveName::manifest(), MAX_BLOB_BYTES).await.map(|raw| (reader, raw)),
        Err(error) => Err(error),
    };
    let (reader, raw) = match opened {
        Ok(opened) => opened,
        Err(error) if error.fault == RequestFault::NotFound => {
            group.events.emit(GroupEvent::VanishedOnSource(time));
            return Ok(Pushed::LeftOut);
        }
        Err(error) => return Err(error.into()),
    };
    let parsed = run.pool.run(move |_| Manifest::from_blob(&raw)).await.map_err(|_| GroupFailure::Crashed)?;
    let manifest = parsed.map_err(|source| GroupFailure::Manifest { snapshot: snapshot.clone(), source })?;
    if manifest.snapshot() != snapshot {
        let found = manifest.snapshot().to_string();
        return Err(GroupFailure::WrongManifest { expected: snapshot, found });
    }
    if !passes_filters(run, &manifest) {
        group.events.emit(GroupEvent::FilteredOut(time));
        return Ok(Pushed::LeftOut);
    }
    let encryption = run.options.encryption.as_ref();
    let modes = manifest.files.iter().map(|file| file.crypt_mode);
    let form = match encrypt_plan(modes, encryption.map_or(KeyAtHand::None, |_| KeyAtHand::Active)) {
        PushForm::AsStored => ChunkForm::AsStored,
        PushForm::AlreadyEncrypted => {
            group.events.emit(GroupEvent::AlreadyEncrypted(snapshot.clone()));
            ChunkForm::AsStored
        }
        PushForm::Encrypt => {
            group.events.emit(GroupEvent::EncryptOnPush(snapshot.clone()));
            ChunkForm::encrypted(encryption.ok_or(GroupFailure::Crashed)?)
        }
        PushForm::SkipMixed => {
            group.events.emit(GroupEvent::MixedSkipped(snapshot.clone()));
            group.events.emit(GroupEvent::SnapshotDone(time));
            return Ok(Pushed::Mixed);
        }
    };
    let content = Content { manifest, reader, form, has_log: lists_client_log(&action.item) };
    let mut tries = Tries::default();
    for number in 1.. {
        match send(run, group, &snapshot, &content, number).await {
            Ok(newest) => return Ok(Pushed::Sent(newest)),
            Err(error) if MOST_SESSIONS <= number => return Err(error),
            Err(error) => run.retry.failed(&mut tries, error).await?,
        }
    }
    Err(GroupFailure::Crashed)
}

fn passes_filters<S: Source, T: PushTarget>(run: &PushRun<S, T>, manifest: &Manifest) -> bool {
    let selection = &run.options.selection;
    let is_verified = || manifest.verify_state().is_some_and(|item| item.state == VerifyState::Ok);
    (!selection.verified_only || is_verified()) && (!selection.encrypted_only || manifest.is_fully_encrypted())
}

/// Returns whether a listing shows a client log.
pub(crate) fn lists_client_log(item: &SnapshotItem) -> bool {
    item.files.iter().any(|file| file.filename == CLIENT_LOG_NAME)
}

/// What is sent of a snapshot.
struct Content<R> {
    manifest: Manifest,
    reader: R,
    form: ChunkForm,
    has_log: bool,
}

/// Sends a snapshot through a new session. `number`: of the session, from 1. Returns what the target has then.
async fn send<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    group: &mut GroupState,
    snapshot: &Snapshot,
    content: &Content<S::Snapshot>,
    number: u32,
) -> Result<Newest, GroupFailure> {
    let Some(session) = open_session(run, group, snapshot, number).await? else {
        return Ok(Newest::Listed);
    };
    run.retry.succeeded();
    if group.has_more {
        run.warm(1);
    }
    let digests = Mutex::new(group.take_digests(run, &content.form).await?);
    let sent = transfer(run, group, snapshot, content, session, &digests).await;
    let mut digests = digests.into_inner().unwrap_or_else(PoisonError::into_inner);
    if sent.is_ok() {
        digests = settle(run, digests, &content.manifest).await?;
    }
    group.keep_digests(digests);
    sent
}

/// Sends a snapshot through a session that was opened for it.
async fn transfer<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    group: &GroupState,
    snapshot: &Snapshot,
    content: &Content<S::Snapshot>,
    session: T::Session,
    digests: &Mutex<PushDigests>,
) -> Result<Newest, GroupFailure> {
    let pairing = match &content.form {
        ChunkForm::AsStored => None,
        ChunkForm::Encrypted(sealer) => Some(Pairing::new(&*run.source, &run.pool, &group.source_ns, sealer)),
    };
    let sender = Sender {
        run,
        events: &group.events,
        reader: &content.reader,
        session: &session,
        time: snapshot.time,
        manifest: &content.manifest,
        form: content.form.clone(),
        chunks: SessionChunks::default(),
        digests,
        pairing,
        uploads: Semaphore::new(UPLOADS_AT_ONCE),
    };
    let previous = Previous::find(&sender, &group.newest, &snapshot.group).await?;
    let manifest = sender.send(&previous, content.has_log).await?;
    session.finish().await?;
    run.retry.succeeded();
    run.closing.spawn(async move { session.close().await });
    Ok(Newest::Sent(Arc::new(manifest)))
}

/// Keeps what was found out about the chunks of the snapshot that is finished now. Without it the next one is read whole.
async fn settle<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    mut digests: PushDigests,
    manifest: &Manifest,
) -> Result<PushDigests, GroupFailure> {
    let made = MadeFrom { time: manifest.backup_time, content: content_hash(manifest) };
    let job = move |_: &mut Bench| {
        if let Err(error) = digests.settle(made) {
            tracing::warn!(%error, "cannot note the chunks of an encrypted snapshot");
        }
        digests
    };
    run.pool.run(job).await.map_err(|_| GroupFailure::Crashed)
}

/// Begins the snapshot on the target, where an unfinished one of the same time must make room first. Returns none if the
/// session before this one was finished after all, and only the answer was lost.
///
/// Source: `docs/spec/sync.md` C.1 FAULT 11, C.2 W25.
async fn open_session<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    group: &mut GroupState,
    snapshot: &Snapshot,
    number: u32,
) -> Result<Option<T::Session>, GroupFailure> {
    // It was listed long ago, perhaps: what was being written then may be finished now.
    if group.unfinished.remove(&snapshot.time)
        && look_at_target(run, group, snapshot).await?.is_some_and(|item| is_unfinished(&item))
    {
        remove_unfinished(run, group, snapshot).await?;
    }
    let ns = &group.target_ns.clone();
    let mut lingering = LINGERING_LOCKS.iter();
    let attempts = AtomicU32::new(number - 1);
    let open = || {
        attempts.fetch_add(1, Ordering::Relaxed);
        run.target.open(ns, snapshot)
    };
    // Whether the target may still be busy with a session of ours: one that broke, or whose beginning was not heard of.
    let mut has_broken = false;
    loop {
        let refused = match run.retry.run(open).await {
            Ok(session) => return Ok(Some(session)),
            Err(error) if error.fault == RequestFault::Refused => error,
            Err(error) => return Err(error.into()),
        };
        has_broken |= 1 < attempts.swap(0, Ordering::Relaxed);
        // What was listed may be old, or the target may have crashed since.
        match look_at_target(run, group, snapshot).await? {
            Some(item) if item.is_finished() && 1 < number => return Ok(None),
            Some(item) if is_unfinished(&item) && group.has_not_removed(snapshot.time) => {
                match remove_unfinished(run, group, snapshot).await {
                    Ok(()) => continue,
                    // It may just be in use.
                    Err(GroupFailure::Remote(error)) if error.fault == RequestFault::Refused => {}
                    Err(error) => return Err(error),
                }
            }
            _ => {}
        }
        let Some(pause) = lingering.next().filter(|_| has_broken) else { return Err(refused.into()) };
        tokio::time::sleep(*pause).await;
    }
}

/// Returns what the target has of the time of a snapshot, if that is the job's.
async fn look_at_target<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    group: &GroupState,
    snapshot: &Snapshot,
) -> Result<Option<SnapshotItem>, RemoteError> {
    let listed = run.retry.run(|| run.target.snapshots(&group.target_ns, &snapshot.group)).await?;
    let account = run.target.account();
    let is_ours = |item: &SnapshotItem| item.owner.as_ref().is_none_or(|owner| owner == account);
    Ok(listed.items.into_iter().find(|item| item.snapshot() == *snapshot && is_ours(item)))
}

/// Returns whether a snapshot of the target has no manifest at all. One whose manifest cannot be read is another matter:
/// somebody may still want to look at it.
pub(crate) fn is_unfinished(item: &SnapshotItem) -> bool {
    !item.is_finished() && !item.files.iter().any(|file| file.filename == MANIFEST_NAME)
}

async fn remove_unfinished<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    group: &mut GroupState,
    snapshot: &Snapshot,
) -> Result<(), GroupFailure> {
    let allowed = run.rights.may_prune(&group.target_ns);
    allowed.map_err(|source| GroupFailure::UnfinishedStays { snapshot: snapshot.clone(), source })?;
    run.remove_snapshot(&group.target_ns, snapshot).await?;
    group.removed_unfinished.insert(snapshot.time);
    group.events.emit(GroupEvent::UnfinishedRemoved(snapshot.time));
    Ok(())
}
