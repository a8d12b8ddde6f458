//! What changed at the source after a snapshot was pushed: its notes, and a client log that came late.
//!
//! Only the newest snapshot that both sides have is looked at, and only if nothing newer was pushed, since a new snapshot
//! brings both. The listings say whether anything differs, so an unchanged group costs no request. A failure is a warning:
//! no content is at stake.
//!
//! Source: `docs/spec/sync.md` C.2 W26.

use farhold_format::manifest::Manifest;
use farhold_rules::encrypt_plan::{KeyAtHand, PushForm, encrypt_plan};
use farhold_rules::sync_plan::GroupPlan;
use farhold_types::{ArchiveName, CLIENT_LOG_NAME, MANIFEST_NAME, SnapshotItem};

use crate::ahead::prepare::MAX_BLOB_BYTES;
use crate::encrypt::form::ChunkForm;
use crate::event::GroupEvent;
use crate::options::Encryption;
use crate::outcome::chain;
use crate::push::context::PushRun;
use crate::push::group::{GroupState, newest_common};
use crate::push::listing::TargetGroup;
use crate::push::snapshot::lists_client_log;
use crate::push::target::PushTarget;
use crate::source::{Source, SourceSnapshot};

/// Brings notes and log of the newest common snapshot to the target, if they differ.
pub(crate) async fn follow<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    state: &GroupState,
    plan: &GroupPlan,
    target: &TargetGroup,
) {
    let Some(source) = newest_common(plan, target) else { return };
    let Some(there) = target.snapshot(source.backup_time) else { return };
    if source.comment != there.comment && source.comment.is_some() {
        follow_notes(run, state, source).await;
    }
    if lists_client_log(source)
        && !lists_client_log(there)
        && let Some(form) = form_of_log(run.options.encryption.as_ref(), source, there)
    {
        follow_log(run, state, source, &form).await;
    }
}

/// Returns the form in which a late client log goes to the copy of its snapshot; none if it stays here. What the target
/// says about the copy must not be able to make a log leave in the clear that would have been encrypted with its snapshot.
fn form_of_log(encryption: Option<&Encryption>, source: &SnapshotItem, there: &SnapshotItem) -> Option<ChunkForm> {
    let archives =
        source.files.iter().filter(|file| ![MANIFEST_NAME, CLIENT_LOG_NAME].contains(&file.filename.as_str()));
    let modes = archives.map(|file| file.crypt_mode.unwrap_or_default());
    match (encrypt_plan(modes, encryption.map_or(KeyAtHand::None, |_| KeyAtHand::Active)), encryption) {
        // The same key, or none on both sides.
        (PushForm::AsStored | PushForm::AlreadyEncrypted, _) => {
            (source.fingerprint == there.fingerprint).then_some(ChunkForm::AsStored)
        }
        (PushForm::Encrypt, Some(encryption)) => {
            let is_ours = there.fingerprint == Some(encryption.key.config.fingerprint());
            is_ours.then(|| ChunkForm::encrypted(encryption))
        }
        (PushForm::Encrypt | PushForm::SkipMixed, _) => None,
    }
}

async fn follow_notes<S: Source, T: PushTarget>(run: &PushRun<S, T>, state: &GroupState, source: &SnapshotItem) {
    let (time, snapshot) = (source.backup_time, source.snapshot());
    let raw = run.source.peek_manifest(&state.source_ns, &snapshot, MAX_BLOB_BYTES).await;
    // Whatever is wrong with the manifest is found when it matters.
    let Ok(manifest) = raw.map(|raw| Manifest::from_blob(&raw)) else { return };
    let Some(notes) = manifest.ok().and_then(|manifest| manifest.notes().map(str::to_owned)) else { return };
    match run.retry.run(|| run.target.set_notes(&state.target_ns, &snapshot, &notes)).await {
        Ok(()) => state.events.emit(GroupEvent::NotesPushed(time)),
        Err(error) => warn(state, format!("{time}: cannot change the notes on the target - {}", chain(&error))),
    }
}

async fn follow_log<S: Source, T: PushTarget>(
    run: &PushRun<S, T>,
    state: &GroupState,
    source: &SnapshotItem,
    form: &ChunkForm,
) {
    let (time, snapshot) = (source.backup_time, source.snapshot());
    let read = async {
        let reader = run.source.open(&state.source_ns, &snapshot).await?;
        reader.file(&ArchiveName::client_log(), MAX_BLOB_BYTES).await
    };
    // It may have vanished since it was listed.
    let Ok(stored) = read.await else { return };
    let form = form.clone();
    let log = match run.pool.run(move |bench| form.client_log(bench, stored)).await {
        Ok(Ok(log)) => log,
        Ok(Err(error)) => return warn(state, format!("{time}: the client log is damaged and stays behind - {error}")),
        Err(_) => return,
    };
    match run.retry.run(|| run.target.upload_log(&state.target_ns, &snapshot, log.clone())).await {
        Ok(()) => {
            run.count_file(&log);
            state.events.emit(GroupEvent::LogPushed(time));
        }
        Err(error) => warn(state, format!("{time}: cannot add the client log on the target - {}", chain(&error))),
    }
}

fn warn(state: &GroupState, text: String) {
    state.events.emit(GroupEvent::Warning(text));
}
