//! Who may see and stop worker tasks.
//!
//! Pure decisions over the ACL tree and what a UPID says. Source: `docs/spec/rest-api.md` 15.1.

use farhold_format::upid::Upid;
use farhold_rules::acl::{AclPath, AclTree, Denied};
use farhold_types::{Authid, DatastoreName, Namespace, Privileges, RemoteName};
use thiserror::Error;

use crate::permission::{Ends, may_pull_once};

/// The caller may not see the task.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{caller}' may not see this task")]
pub struct TaskHidden {
    /// Who asked.
    pub caller: Authid,
}

/// Checks whether `caller` may read the state and the log of a task.
///
/// Its own tasks and those of its tokens; all with `Sys.Audit` on `/system/tasks`; runs of jobs that the caller could
/// start itself.
///
/// # Errors
/// [`TaskHidden`].
pub fn may_see_task(acl: &AclTree, caller: &Authid, upid: &Upid) -> Result<(), TaskHidden> {
    let is_visible = caller.owns(upid.authid())
        || acl.require_all(caller, &AclPath::system(&["tasks"]), Privileges::SYS_AUDIT).is_ok()
        || could_start(acl, caller, upid);
    if is_visible { Ok(()) } else { Err(TaskHidden { caller: caller.clone() }) }
}

/// Checks whether `caller` may stop a task: exactly its own ones, so not those of its tokens, or any with `Sys.Modify`.
///
/// # Errors
/// [`Denied`].
pub fn may_stop_task(acl: &AclTree, caller: &Authid, upid: &Upid) -> Result<(), Denied> {
    if caller == upid.authid() {
        return Ok(());
    }
    acl.require_all(caller, &AclPath::system(&["tasks"]), Privileges::SYS_MODIFY).map(drop)
}

/// Returns whether the task is a job's run that `caller` could start; a worker id that makes no sense gives no access.
fn could_start(acl: &AclTree, caller: &Authid, upid: &Upid) -> bool {
    let Some(id) = upid.worker_id() else { return false };
    let parts: Vec<&str> = id.split(':').collect();
    let holds = |store: &str, ns: &str, needed: Privileges| {
        let (Ok(store), Ok(ns)) = (store.parse::<DatastoreName>(), ns.parse::<Namespace>()) else { return false };
        acl.require_all(caller, &AclPath::datastore(&store, &ns), needed).is_ok()
    };
    match upid.worker_type() {
        "verificationjob" => holds(parts[0], "", Privileges::DATASTORE_VERIFY),
        "garbage_collection" => holds(id, "", Privileges::DATASTORE_MODIFY),
        "prune" | "prunejob" => {
            holds(parts[0], parts.get(1).copied().unwrap_or_default(), Privileges::DATASTORE_MODIFY)
        }
        "syncjob" => could_pull(acl, caller, &parts).unwrap_or(false),
        _ => false,
    }
}

/// `{remote or -}:{remote-store}:{store}:{ns}:{job}`; pull rules also for pushes. `None`: not of this form.
fn could_pull(acl: &AclTree, caller: &Authid, parts: &[&str]) -> Option<bool> {
    let [remote, remote_store, store, ns, _job] = parts else { return None };
    let remote: Option<RemoteName> = if *remote == "-" { None } else { Some(remote.parse().ok()?) };
    let (store, ns, remote_store) = (store.parse().ok()?, ns.parse().ok()?, remote_store.parse().ok()?);
    let ends = Ends { store: &store, ns: &ns, remote: remote.as_ref(), remote_store: &remote_store };
    Some(may_pull_once(acl, caller, ends, false).is_ok())
}

#[cfg(test)]
mod tests {
    use farhold_types::Role;

    use super::*;

    fn task(worker: &str, authid: &str) -> Upid {
        format!("UPID:pbs1:00002707:000C6548:00000000:6B0362C6:{worker}:{authid}:").parse().unwrap()
    }

    fn tree(entries: &[(&[&str], Role)]) -> (AclTree, Authid) {
        let caller: Authid = "caller@pbs".parse().unwrap();
        let mut acl = AclTree::new();
        for (path, role) in entries {
            acl.set(path, caller.clone(), *role, true);
        }
        (acl, caller)
    }

    #[test]
    fn users_see_tasks_of_their_tokens_and_stop_only_their_own() {
        let (acl, caller) = tree(&[]);
        let token: Authid = "caller@pbs!t1".parse().unwrap();
        let (by_user, by_token) = (task("sync:tank", "caller@pbs"), task("sync:tank", "caller@pbs!t1"));
        assert!(may_see_task(&acl, &caller, &by_user).is_ok() && may_see_task(&acl, &caller, &by_token).is_ok());
        assert!(may_see_task(&acl, &token, &by_user).is_err() && may_see_task(&acl, &token, &by_token).is_ok());
        assert!(may_stop_task(&acl, &caller, &by_user).is_ok() && may_stop_task(&acl, &caller, &by_token).is_err());
        let (acl, caller) = tree(&[(&[], Role::Audit)]);
        assert!(may_see_task(&acl, &caller, &task("x:", "root@pam")).is_ok());
        assert!(may_stop_task(&acl, &caller, &task("x:", "root@pam")).is_err());
        let (acl, caller) = tree(&[(&[], Role::Admin)]);
        assert!(may_stop_task(&acl, &caller, &task("x:", "root@pam")).is_ok());
    }

    #[test]
    fn runs_of_jobs_show_to_those_who_could_start_them() {
        let store = [(["datastore", "tank"].as_slice(), Role::DatastoreAdmin)];
        let reader = [(["datastore", "tank"].as_slice(), Role::DatastoreReader)];
        let space = [(["datastore", "tank", "a"].as_slice(), Role::DatastoreAdmin)];
        let puller = [
            (["datastore", "tank", "a"].as_slice(), Role::DatastoreBackup),
            (["remote", "pbs2"].as_slice(), Role::RemoteSyncOperator),
        ];
        for (worker, to_admin, to_reader, to_space_admin, to_puller) in [
            (r"verificationjob:tank\x3aweekly", true, true, false, false),
            (r"garbage_collection:tank", true, false, false, false),
            (r"prune:tank\x3aa\x3avm-100", true, false, true, false),
            (r"prunejob:tank", true, false, false, false),
            (r"syncjob:pbs2\x3aother\x3atank\x3aa\x3ajob", false, false, false, true),
            (r"syncjob:pbs2\x3aother\x3atank\x3a\x3ajob", false, false, false, false),
            (r"syncjob:\x2d\x3atank\x3atank\x3a\x3ajob", true, false, false, false),
            (r"syncjob:pbs2\x3aother", false, false, false, false),
            (r"verify:tank", false, false, false, false),
        ] {
            let upid = task(worker, "root@pam");
            let seen = [&store[..], &reader, &space, &puller].map(|entries| {
                let (acl, caller) = tree(entries);
                may_see_task(&acl, &caller, &upid).is_ok()
            });
            assert_eq!(seen, [to_admin, to_reader, to_space_admin, to_puller], "{worker}");
        }
    }
}
