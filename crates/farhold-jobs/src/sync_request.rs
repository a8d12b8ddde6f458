//! What a run is asked to do, whichever direction it has and whether a stored job or a single call asks.
//!
//! Source: `docs/spec/sync.md` 2.1 and 2.2.

use std::sync::Arc;

use farhold_client::Throttles;
use farhold_rules::namespace_map::{MapError, check_depth_rule};
use farhold_rules::sync_plan::SelectionOptions;
use farhold_sync::{Encryption, LogNames, SyncKey, SyncOptions};
use farhold_types::{
    Authid, DatastoreName, GroupFilter, JobOptions, KeyId, Namespace, RateLimits, RemoteName, SyncDirection, SyncJob,
};
use thiserror::Error;

use crate::app::App;

/// What a run is asked to do.
#[derive(Debug, Clone)]
pub struct SyncRequest {
    /// Names the private notes on unfinished snapshots: the job, or the caller of a one-shot run.
    pub name: String,
    /// Direction, and what only one of them has.
    pub work: SyncWork,
    /// Local datastore: target of a pull, source of a push.
    pub store: DatastoreName,
    /// Local anchor.
    pub ns: Namespace,
    /// Identity of the run-time checks on this side; owner of what is pulled.
    pub owner: Authid,
    /// Datastore on the remote, or the other local datastore.
    pub remote_store: DatastoreName,
    /// Anchor on the remote.
    pub remote_ns: Namespace,
    /// Remove what vanished from the source.
    pub remove_vanished: bool,
    /// Levels below the anchor; none means all.
    pub max_depth: Option<u8>,
    /// Which groups are in scope.
    pub group_filter: Vec<GroupFilter>,
    /// Which snapshots are in scope.
    pub selection: SelectionOptions,
    /// Bandwidth limits.
    pub limits: RateLimits,
    /// Whether the connections to the remote fall under the traffic-control rules of this server, as those of the owner's
    /// user.
    pub follows_traffic_control: bool,
    /// Groups handled at once.
    pub worker_threads: u8,
}

/// The direction of a run.
#[derive(Debug, Clone)]
pub enum SyncWork {
    /// Into the local datastore.
    Pull {
        /// Remote; none means another local datastore.
        remote: Option<RemoteName>,
        /// Keys that decrypt.
        decryption_keys: Vec<KeyId>,
    },
    /// Out of the local datastore.
    Push {
        /// Remote.
        remote: RemoteName,
        /// Key that encrypts what is not encrypted.
        encryption_key: Option<KeyId>,
    },
}

/// What no run can do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Source and target are the same datastore.
    #[error("source and target of a local sync must be different datastores")]
    SameStore,
    /// There is nothing to push to. Only a job that was not made through this server can be so.
    #[error("a push job needs a remote")]
    PushWithoutRemote,
    /// The namespaces are too deep.
    #[error(transparent)]
    Depth(#[from] MapError),
}

/// The keys of a run, loaded.
#[derive(Debug, Default)]
pub(crate) struct RunKeys {
    pub(crate) decryption_keys: Vec<SyncKey>,
    pub(crate) encryption_key: Option<SyncKey>,
}

impl SyncRequest {
    /// Returns what a stored job asks for.
    ///
    /// # Errors
    /// [`RequestError::PushWithoutRemote`], [`RequestError::SameStore`].
    pub fn of_job(job: &SyncJob) -> Result<Self, RequestError> {
        let work = match job.direction() {
            SyncDirection::Pull => {
                SyncWork::Pull { remote: job.remote.clone(), decryption_keys: job.associated_key.clone() }
            }
            SyncDirection::Push => SyncWork::Push {
                remote: job.remote.clone().ok_or(RequestError::PushWithoutRemote)?,
                encryption_key: job.active_encryption_key.clone(),
            },
        };
        let request = Self {
            name: format!("job {}", job.id),
            work,
            store: job.store.clone(),
            ns: job.local_anchor(),
            owner: job.effective_owner(),
            remote_store: job.remote_store.clone(),
            remote_ns: job.remote_anchor(),
            remove_vanished: job.remove_vanished.unwrap_or(false),
            max_depth: job.max_depth,
            group_filter: job.group_filter.clone(),
            selection: SelectionOptions {
                transfer_last: job.transfer_last,
                verified_only: job.verified_only.unwrap_or(false),
                encrypted_only: job.encrypted_only.unwrap_or(false),
                resync_corrupt: job.resync_corrupt.unwrap_or(false),
            },
            limits: job.limits.clone(),
            follows_traffic_control: false,
            worker_threads: job.worker_threads.unwrap_or(SyncJob::DEFAULT_WORKER_THREADS),
        };
        request.check_stores()?;
        Ok(request)
    }

    /// Returns what a stored job asks for that has these options of ours besides.
    #[must_use]
    pub fn with_options(self, options: &JobOptions) -> Self {
        Self { follows_traffic_control: options.follows_traffic_control(), ..self }
    }

    /// Returns what holds for the connections of the run besides its own limits.
    pub(crate) fn throttles(&self, app: &App) -> Option<Throttles> {
        self.follows_traffic_control.then(|| app.traffic.throttles(self.owner.user()))
    }

    /// Returns the direction.
    pub const fn direction(&self) -> SyncDirection {
        match self.work {
            SyncWork::Pull { .. } => SyncDirection::Pull,
            SyncWork::Push { .. } => SyncDirection::Push,
        }
    }

    /// Returns the remote; none means another local datastore.
    pub const fn remote(&self) -> Option<&RemoteName> {
        match &self.work {
            SyncWork::Pull { remote, .. } => remote.as_ref(),
            SyncWork::Push { remote, .. } => Some(remote),
        }
    }

    fn check_stores(&self) -> Result<(), RequestError> {
        let is_same = self.remote().is_none() && self.store == self.remote_store;
        if is_same { Err(RequestError::SameStore) } else { Ok(()) }
    }

    /// Checks what no run can do. A stored job that is too deep fails in its task instead.
    pub(crate) fn check(&self) -> Result<(), RequestError> {
        self.check_stores()?;
        Ok(check_depth_rule(&self.ns, &self.remote_ns, self.max_depth)?)
    }

    /// Returns how the log names the ends.
    pub(crate) fn log_names(&self) -> LogNames {
        let (source_store, target_store) = match self.direction() {
            SyncDirection::Pull => (&self.remote_store, &self.store),
            SyncDirection::Push => (&self.store, &self.remote_store),
        };
        LogNames {
            direction: self.direction(),
            remote: self.remote().cloned(),
            source_store: source_store.clone(),
            target_store: target_store.clone(),
        }
    }

    /// Returns the first and the last line of a run that no stored job asks for, where the reference writes them.
    pub(crate) fn frame(&self) -> Option<[String; 2]> {
        let SyncWork::Pull { remote, .. } = &self.work else { return None };
        let remote = remote.as_ref().map(|remote| format!("{remote}/")).unwrap_or_default();
        let store = &self.store;
        Some([
            format!("pull datastore '{store}' from '{remote}{}'", self.remote_store),
            format!("pull datastore '{store}' end"),
        ])
    }

    /// Returns the options of the engine.
    pub(crate) fn options(&self, app: &App, keys: RunKeys) -> SyncOptions {
        let (source_anchor, target_anchor) = match self.direction() {
            SyncDirection::Pull => (&self.remote_ns, &self.ns),
            SyncDirection::Push => (&self.ns, &self.remote_ns),
        };
        SyncOptions {
            source_anchor: source_anchor.clone(),
            target_anchor: target_anchor.clone(),
            max_depth: self.max_depth,
            group_filter: self.group_filter.clone(),
            selection: self.selection,
            remove_vanished: self.remove_vanished,
            worker_threads: usize::from(self.worker_threads),
            state_dir: Some(app.sync_state_directory.clone()),
            pause_seed: pause_seed(app),
            room: Some(app.chunk_room.clone()),
            decryption_keys: keys.decryption_keys,
            encryption: keys.encryption_key.map(|key| Encryption { key, randomness: Arc::clone(&app.randomness) }),
            ..SyncOptions::new(self.name.clone(), self.owner.clone())
        }
    }
}

fn pause_seed(app: &App) -> u64 {
    let mut bytes = [0; 8];
    app.randomness.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(direction: SyncDirection) -> SyncJob {
        let mut job = SyncJob::new("job1".parse().unwrap(), "local".parse().unwrap(), "tank".parse().unwrap());
        job.remote = Some("pbs2".parse().unwrap());
        job.ns = Some("here".parse().unwrap());
        job.remote_ns = Some("there".parse().unwrap());
        job.active_encryption_key = Some("key1".parse().unwrap());
        job.associated_key = vec!["key0".parse().unwrap()];
        job.sync_direction = Some(direction);
        job
    }

    #[test]
    fn each_direction_takes_its_own_keys_and_ends() {
        let pull = SyncRequest::of_job(&job(SyncDirection::Pull)).unwrap();
        assert!(matches!(&pull.work, SyncWork::Pull { decryption_keys, .. } if decryption_keys.len() == 1));
        assert_eq!(pull.log_names().opening("w")[1], "sync datastore 'local' from 'pbs2/tank'");
        assert_eq!(pull.frame().unwrap()[0], "pull datastore 'local' from 'pbs2/tank'");
        let push = SyncRequest::of_job(&job(SyncDirection::Push)).unwrap();
        assert!(matches!(&push.work, SyncWork::Push { encryption_key: Some(_), .. }));
        assert_eq!(push.log_names().opening("w")[1], "sync datastore 'local' to 'pbs2/tank'");
        assert_eq!(push.frame(), None);
        let server = crate::testing::TestServer::new();
        let anchors = |request: &SyncRequest| {
            let options = request.options(&server.app, RunKeys::default());
            [options.source_anchor.to_string(), options.target_anchor.to_string()]
        };
        assert_eq!(anchors(&pull), ["there", "here"]);
        assert_eq!(anchors(&push), ["here", "there"]);
    }

    #[test]
    fn what_no_run_can_do_is_found_before_there_is_a_task() {
        let without_remote = |direction| SyncJob { remote: None, ..job(direction) };
        let push = SyncRequest::of_job(&without_remote(SyncDirection::Push));
        assert_eq!(push.unwrap_err(), RequestError::PushWithoutRemote);
        let mut local = without_remote(SyncDirection::Pull);
        assert!(SyncRequest::of_job(&local).is_ok());
        local.remote_store = local.store.clone();
        assert_eq!(SyncRequest::of_job(&local).unwrap_err(), RequestError::SameStore);
        let mut deep = SyncRequest::of_job(&job(SyncDirection::Push)).unwrap();
        deep.check().unwrap();
        deep.max_depth = Some(7);
        assert!(matches!(deep.check().unwrap_err(), RequestError::Depth(_)));
    }
}
