//! Going through what is to be verified, snapshot by snapshot. Blocking.

use farhold_datastore::backup::is_benchmark_group;
use farhold_datastore::verify::{Reverify, Verifier, VerifyEvent, VerifyOptions, VerifyStopped, VerifyWatch};
use farhold_datastore::{Datastore, DatastoreError};
use farhold_rules::acl::{AclTree, GroupAccess};
use farhold_tasks::{TaskContext, TaskFailure};
use farhold_types::{Group, MAX_NAMESPACE_DEPTH, Namespace, Snapshot};

use super::log::{Done, VerifyLog, chain, group_path, progress, snapshot_path};
use super::progress::VerifyProgress;
use super::{FAILED, VERIFY_NEEDS, VerifyScope};
use crate::job_end::VerifyFindings;
use crate::namespace_walk::reachable;
use crate::progress::ProgressBoard;
use crate::task_work::{ABORTED, SHUTDOWN};
use crate::work_progress::Work;

/// Last line of a job that somebody asked to stop. Source: `docs/spec/schedules-and-tasks.md` 6.4.
const JOB_ABORTED: &str = "verification failed - job aborted";

/// Which groups below a namespace are verified.
#[derive(Clone, Copy)]
pub(crate) enum Reach<'a> {
    /// All.
    Everything,
    /// Those that somebody reaches.
    ByRights {
        /// The rights.
        acl: &'a AclTree,
        /// What the caller reaches in the namespace in which verification starts.
        access: &'a GroupAccess,
    },
}

/// How a run ends that was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As a call's.
    OfCall,
    /// As a stored job's.
    OfJob,
}

/// A verification that runs as a task.
pub(crate) struct Run<'a> {
    store: &'a Datastore,
    verifier: Verifier,
    options: VerifyOptions,
    reverify: Reverify,
    context: &'a TaskContext,
    log: VerifyLog,
    progress: VerifyProgress,
    /// Snapshots and groups with a failure, as the end of the log lists them.
    failed: Vec<String>,
    /// Whether it ended early because somebody asked for that.
    is_aborted: bool,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        store: &'a Datastore,
        options: VerifyOptions,
        reverify: Reverify,
        context: &'a TaskContext,
        board: &ProgressBoard,
    ) -> Self {
        let log = VerifyLog::new(store.name().clone(), context.clone());
        let progress = VerifyProgress::new(board, context.upid().clone());
        let verifier = Verifier::new(store.clone(), options);
        Self { store, verifier, options, reverify, context, log, progress, failed: Vec::new(), is_aborted: false }
    }

    /// Verifies everything in scope. What fails does not keep the rest from being verified.
    pub(crate) fn run(&mut self, scope: &VerifyScope, reach: Reach<'_>, ending: Ending) -> Result<(), TaskFailure> {
        let outcome = match scope {
            VerifyScope::Snapshot(ns, snapshot) => self.snapshots([(ns, snapshot)]),
            VerifyScope::Group(ns, group) => self.group(ns, group, 0, 1),
            VerifyScope::Below(ns, max_depth) => self.below(ns, *max_depth, reach),
            VerifyScope::Arrived { snapshots, .. } => {
                self.snapshots(snapshots.iter().map(|(ns, snapshot)| (ns, snapshot)))
            }
        };
        if outcome.is_err() {
            self.is_aborted = self.context.is_cancelled();
            let text = match (self.is_aborted, ending) {
                (false, _) => SHUTDOWN,
                (true, Ending::OfCall) => ABORTED,
                (true, Ending::OfJob) => JOB_ABORTED,
            };
            return Err(TaskFailure::new(text));
        }
        if self.failed.is_empty() {
            return Ok(());
        }
        self.context.log("Failed to verify the following snapshots/groups:");
        for failed in &self.failed {
            self.context.log(&format!("\t{failed}"));
        }
        Err(TaskFailure::new(FAILED))
    }

    /// Returns what was found.
    pub(crate) fn into_findings(self) -> VerifyFindings {
        VerifyFindings { failed: self.failed, is_aborted: self.is_aborted }
    }

    fn below(&mut self, anchor: &Namespace, max_depth: Option<u8>, reach: Reach<'_>) -> Result<(), VerifyStopped> {
        let store = self.store.name();
        self.context.log(&format!("verify datastore {store}"));
        if let Reach::ByRights { access: GroupAccess::Owned(granted), .. } = reach {
            self.context.log(&format!("limiting to backups owned by {}", granted.authid()));
        }
        let groups = self.groups_below(anchor, max_depth, reach);
        let (readers, workers) = (self.options.readers, self.options.workers);
        self.context.log(&format!("found {} groups", groups.len()));
        self.context.log(&format!("using {readers} read and {workers} verify thread(s)"));
        self.progress.begin(Work::VerifyGroups, groups.len());
        for (number, (ns, group)) in groups.iter().enumerate() {
            self.group(ns, group, number, groups.len())?;
        }
        Ok(())
    }

    /// Returns the groups in the order of their names, wherever they lie. Namespaces that cannot be listed have failed.
    fn groups_below(&mut self, anchor: &Namespace, max_depth: Option<u8>, reach: Reach<'_>) -> Vec<(Namespace, Group)> {
        let depth = max_depth.map_or(MAX_NAMESPACE_DEPTH, usize::from);
        let namespaces = match self.store.namespaces(anchor, depth) {
            Ok(namespaces) => namespaces,
            Err(error) => {
                self.fail_namespace(anchor, &error);
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for ns in namespaces {
            let access = match reach {
                Reach::Everything => None,
                // What the caller reaches here was checked before the task began.
                Reach::ByRights { access, .. } if ns == *anchor => Some(access.clone()),
                Reach::ByRights { acl, access } => {
                    let (GroupAccess::All(granted) | GroupAccess::Owned(granted)) = access;
                    match reachable(acl, granted.authid(), self.store.name(), &ns, VERIFY_NEEDS) {
                        Some(access) => Some(access),
                        None => continue,
                    }
                }
            };
            let groups = match self.store.groups_and_owners(&ns) {
                Ok(groups) => groups,
                // Removed meanwhile; the namespace that was asked for has to be there.
                Err(DatastoreError::NamespaceMissing { .. }) if ns != *anchor => continue,
                Err(error) => {
                    self.fail_namespace(&ns, &error);
                    continue;
                }
            };
            let is_covered = |owner: Option<&farhold_types::Authid>| match &access {
                None | Some(GroupAccess::All(_)) => true,
                Some(owned) => owner.is_some_and(|owner| owned.covers(owner)),
            };
            let groups =
                groups.into_iter().filter(|(group, owner)| is_covered(owner.as_ref()) && !is_benchmark_group(group));
            found.extend(groups.map(|(group, _)| (ns.clone(), group)));
        }
        found.sort_by(|one, other| one.1.cmp(&other.1));
        found
    }

    /// Tells what cannot be read beside a group's snapshots. Without an owner the group has failed; notes are no backup.
    fn check_group(&mut self, ns: &Namespace, group: &Group, path: &str) {
        for problem in self.store.group_problems(ns, group) {
            self.context.warn(&format!("group {path}: {}: {}", problem.advice(), chain(&problem.error)));
            if problem.is_owner {
                self.failed.push(group_path(ns, group));
            }
        }
    }

    fn fail_namespace(&mut self, ns: &Namespace, error: &DatastoreError) {
        self.context.warn(&format!("groups of {} cannot be listed: {}", ns.log_name(), chain(error)));
        self.failed.push(ns.log_name());
    }

    /// Verifies a group, newest snapshots first; it is number `number` of `count`.
    fn group(&mut self, ns: &Namespace, group: &Group, number: usize, count: usize) -> Result<(), VerifyStopped> {
        let path = format!("{}:{}", self.store.name(), group_path(ns, group));
        self.check_group(ns, group, &path);
        let mut snapshots = match self.store.snapshots(ns, group) {
            Ok(snapshots) => snapshots,
            Err(DatastoreError::GroupMissing { .. }) => {
                self.context.log(&format!("SKIPPED: verify group {path} - group does not exist (anymore)."));
                return Ok(());
            }
            Err(error) => {
                self.context.warn(&format!("snapshots of group {path} cannot be listed: {}", chain(&error)));
                self.failed.push(group_path(ns, group));
                return Ok(());
            }
        };
        snapshots.reverse();
        let of_snapshots = snapshots.len();
        self.context.log(&format!("verify group {path} ({of_snapshots} snapshots)"));
        for (done, info) in snapshots.into_iter().enumerate() {
            self.progress.in_group(number, done, of_snapshots);
            self.snapshot(ns, &group.at(info.time))?;
            let done = Done { groups: number, of_groups: count, snapshots: done + 1, of_snapshots };
            self.context.log(&progress(done));
        }
        Ok(())
    }

    /// Verifies snapshots that were named one by one.
    fn snapshots<'s>(
        &mut self,
        snapshots: impl IntoIterator<Item = (&'s Namespace, &'s Snapshot), IntoIter: ExactSizeIterator>,
    ) -> Result<(), VerifyStopped> {
        let snapshots = snapshots.into_iter();
        self.progress.begin(Work::VerifySnapshots, snapshots.len());
        for (number, (ns, snapshot)) in snapshots.enumerate() {
            self.progress.at_snapshot(number);
            self.snapshot(ns, snapshot)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, ns: &Namespace, snapshot: &Snapshot) -> Result<(), VerifyStopped> {
        let (context, log, progress) = (self.context, &self.log, &self.progress);
        let on_event = |event: &VerifyEvent<'_>| {
            progress.tell(event);
            log.tell(event);
        };
        let is_stopped = || context.is_cancelled() || context.shutdown().is_cancelled();
        let watch = VerifyWatch { on_event: &on_event, is_stopped: &is_stopped };
        let verdict = self.verifier.verify_snapshot(ns, snapshot, context.upid(), &self.reverify, &watch)?;
        if verdict.is_failure() {
            self.failed.push(snapshot_path(ns, snapshot));
        }
        Ok(())
    }
}
