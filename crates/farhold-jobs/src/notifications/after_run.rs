//! What the end of a job's run makes known. Nothing here changes the result of the run. Blocking.

use farhold_notify::{Event, EventId};
use farhold_settings::{NotificationMode, NotifyLevels, NotifyWhen, SettingsError};
use farhold_tasks::{TaskContext, TaskFailure};
use farhold_types::{DatastoreName, Epoch, JobKind};
use thiserror::Error;

use super::event::{error_of, of_ping, of_run};
use super::host_names::HostNames;
use super::{PingOutcome, QueueError, Recipient};
use crate::app::App;
use crate::job_end::JobEnded;

/// Why nobody will be told of something.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TellError {
    /// It cannot be queued.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The configuration cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// Queues the notification and the ping of a run that has ended; the task's log tells of the former.
pub(crate) fn tell(app: &App, ended: &JobEnded, context: &TaskContext) {
    match notify(app, ended) {
        Ok(Some(id)) => context.log(&format!("queued notification (id={id})")),
        Ok(None) => {}
        Err(error) => context.warn(&kept_or_lost(app, "notification", error)),
    }
    if let Err(error) = ping(app, ended) {
        context.warn(&kept_or_lost(app, "ping", error));
    }
}

/// Keeps what could not be written, and returns what the task's log says of it.
fn kept_or_lost(app: &App, what: &str, error: TellError) -> String {
    let text = format!("failed to queue {what}: {}", TaskFailure::from_error(&error));
    let TellError::Queue(QueueError::Io { unwritten, .. }) = error else { return text };
    app.notifications.keep(unwritten);
    format!("{text}; this is tried again as long as the program runs")
}

fn notify(app: &App, ended: &JobEnded) -> Result<Option<EventId>, TellError> {
    let Some(event) = of_run(ended, EventId::random(&*app.randomness), &HostNames::of(app)) else { return Ok(None) };
    let outcome = if error_of(&ended.status).is_some() { Worth::Failure } else { Worth::Success };
    queue(app, &ended.store, ended.kind(), outcome, event, ended.ended)
}

/// How much an event matters to somebody who is told by `legacy-sendmail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// A run succeeded.
    Success,
    /// A run failed.
    Failure,
    /// A job has become stale, or healthy again.
    Staleness,
}

/// Returns whether an event is sent in mode `legacy-sendmail`.
///
/// With `error`, failures of verify jobs are sent too: the reference keeps silent about them, which its own manual does
/// not say and nobody wants who asks for errors. Source: `docs/spec/schedules-and-tasks.md` 10.2.
fn is_wanted(levels: NotifyLevels, kind: JobKind, worth: Worth) -> bool {
    let level = match kind {
        JobKind::Sync => levels.sync,
        JobKind::Prune => levels.prune,
        JobKind::Verify => levels.verify,
        JobKind::Gc => levels.gc,
    };
    match level {
        NotifyWhen::Always => true,
        NotifyWhen::Error => worth != Worth::Success,
        NotifyWhen::Never => false,
    }
}

/// Queues an event about a job of a datastore as the datastore's mode says. Returns the event's id, or `None` if nobody
/// is to be told.
pub(super) fn queue(
    app: &App,
    store: &DatastoreName,
    kind: JobKind,
    worth: Worth,
    event: Event,
    now: Epoch,
) -> Result<Option<EventId>, TellError> {
    let id = event.id;
    let loaded = app.settings.datastores().load()?;
    // Of a store that was removed meanwhile the default mode still tells.
    let legacy = loaded
        .entries
        .get(store.as_str())
        .ok()
        .flatten()
        .filter(|config| config.notification_mode == Some(NotificationMode::LegacySendmail));
    let Some(config) = legacy else {
        app.notifications.queue(&event)?;
        return Ok(Some(id));
    };
    if !is_wanted(config.notify_levels(), kind, worth) {
        return Ok(None);
    }
    let user = config.effective_notify_user();
    let users = app.settings.users().load()?;
    if users.entries.user(&user).is_none_or(|user| user.email.is_none()) {
        return Ok(None);
    }
    app.notifications.queue_for(Recipient::MailOfUser(user), event, now)?;
    Ok(Some(id))
}

/// Queues the call of the address that the job pings after such a run, if it has one.
fn ping(app: &App, ended: &JobEnded) -> Result<(), TellError> {
    if ended.is_called_off() {
        return Ok(());
    }
    let options = app.job_options.of(&ended.key);
    if options.ping_success.is_none() && options.ping_failure.is_none() {
        return Ok(());
    }
    let (address, outcome) = match error_of(&ended.status) {
        None => (options.ping_success, PingOutcome::Success),
        Some(_) => (options.ping_failure, PingOutcome::Failure),
    };
    let (kind, name) = (ended.kind(), ended.key.name().to_owned());
    if address.is_none() {
        // What still waits to be told of an earlier run is not true any more.
        app.notifications.forget_pings(kind, &name)?;
        return Ok(());
    }
    let event = of_ping(ended, EventId::random(&*app.randomness));
    Ok(app.notifications.queue_ping(kind, &name, outcome, event, ended.ended)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_decide_by_kind_and_outcome() {
        let levels = NotifyLevels {
            gc: NotifyWhen::Always,
            verify: NotifyWhen::Error,
            sync: NotifyWhen::Never,
            prune: NotifyWhen::Error,
        };
        let wanted =
            |kind| [Worth::Success, Worth::Failure, Worth::Staleness].map(|worth| is_wanted(levels, kind, worth));
        assert_eq!(wanted(JobKind::Gc), [true; 3]);
        assert_eq!(wanted(JobKind::Verify), [false, true, true]);
        assert_eq!(wanted(JobKind::Prune), [false, true, true]);
        assert_eq!(wanted(JobKind::Sync), [false; 3]);
    }
}
