//! Removing what other files refer to.
//!
//! Each step can be repeated: what names the object in the first place goes last, so that an interrupted removal can
//! simply be started again.

use farhold_format::acl_file::Acl;
use farhold_types::{Authid, DatastoreName, Digest, JobId, KeyId, RemoteName, SyncJob, Userid};

use crate::Settings;
use crate::entries::{ConfigFile, Entries};
use crate::error::SettingsError;
use crate::records::remote::Remotes;
use crate::records::sync::SyncJobs;
use crate::records::user::Users;

/// Returns the sync jobs that use a remote, in file order. Sections without a record are read as text.
pub fn jobs_using_remote(jobs: &Entries<SyncJobs>, remote: &RemoteName) -> Vec<String> {
    let uses = |id: &&str| jobs.section(id).and_then(|s| s.get("remote")) == Some(remote.as_str());
    jobs.ids().filter(uses).map(str::to_owned).collect()
}

/// Returns the sync jobs that read or write a datastore here, in file order.
pub fn jobs_using_datastore<'j>(jobs: &'j Entries<SyncJobs>, store: &DatastoreName) -> Vec<&'j JobId> {
    let uses = |job: &&SyncJob| job.store == *store || (job.remote.is_none() && job.remote_store == *store);
    jobs.usable().filter(uses).map(|job| &job.id).collect()
}

/// The sync jobs that name an encryption key, in file order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobsOfKey {
    /// Jobs that encrypt with it.
    pub active: Vec<String>,
    /// Jobs that decrypt with it, or keep it because they once encrypted with it.
    pub associated: Vec<String>,
}

/// Returns the sync jobs that name an encryption key. Sections without a record are read as text.
pub fn jobs_using_key(jobs: &Entries<SyncJobs>, key: &KeyId) -> JobsOfKey {
    let mut found = JobsOfKey::default();
    for section in jobs.ids().filter_map(|id| jobs.section(id)) {
        if section.get("active-encryption-key") == Some(key.as_str()) {
            found.active.push(section.id().to_owned());
        } else if section.list("associated-key").iter().any(|associated| associated == key.as_str()) {
            found.associated.push(section.id().to_owned());
        }
    }
    found
}

impl Settings {
    /// Removes a remote.
    ///
    /// # Errors
    /// [`SettingsError::InUse`] if a sync job names it, then a wrong digest, then [`SettingsError::NotFound`].
    pub fn remove_remote(&self, remote: &RemoteName, expected: Option<Digest>) -> Result<Digest, SettingsError> {
        let lock = self.remotes().lock()?;
        let users = jobs_using_remote(&self.sync_jobs().load()?.entries, remote);
        if !users.is_empty() {
            return Err(SettingsError::InUse {
                id: remote.to_string(),
                users: format!("sync job {}", users.join(", ")),
            });
        }
        let edited = self.remotes().edit_locked(&lock, expected, |remotes| {
            if remotes.remove(remote.as_str()) { Ok(()) } else { Err(not_found(Remotes::FILE, remote)) }
        })?;
        Ok(edited.digest)
    }

    /// Removes a token: its secret, its access control entries, its section.
    ///
    /// # Errors
    /// A wrong digest of `user.cfg`, or [`SettingsError::NotFound`]; then nothing was changed.
    pub fn remove_token(&self, tokenid: &Authid, expected: Option<Digest>) -> Result<Digest, SettingsError> {
        let acl_lock = self.acl().lock()?;
        let edited = self.users().edit(expected, |users| {
            if !tokenid.is_token() || !users.remove(&tokenid.to_string()) {
                return Err(not_found(Users::FILE, tokenid));
            }
            self.token_hashes().edit::<_, SettingsError>(None, |hashes| Ok(hashes.remove(tokenid)))?;
            self.acl().edit_locked::<_, SettingsError>(&acl_lock, None, |acl| Ok(acl.remove_authid(tokenid)))?;
            Ok(())
        })?;
        Ok(edited.digest)
    }

    /// Removes a user: password, second factors, all tokens with their secrets and access control entries, its section.
    ///
    /// Access control entries of the user itself stay, as in the reference product. `root@pam` loses its section and is
    /// still there afterwards.
    ///
    /// # Errors
    /// A wrong digest of `user.cfg`, or [`SettingsError::NotFound`]; then nothing was changed.
    pub fn remove_user(&self, userid: &Userid, expected: Option<Digest>) -> Result<Digest, SettingsError> {
        let edited = self.users().edit(expected, |users| {
            let tokens: Vec<Authid> = users.tokens_of(userid).iter().map(|token| token.tokenid.clone()).collect();
            if !users.remove(userid.as_str()) {
                return Err(not_found(Users::FILE, userid));
            }
            tokens.iter().for_each(|token| {
                users.remove(&token.to_string());
            });
            let factors_lock = self.second_factors().lock()?;
            let acl_lock = self.acl().lock()?;
            if self.second_factors().load()?.entries.has_any(userid) {
                self.second_factors().edit_locked::<_, SettingsError>(&factors_lock, None, |f| Ok(f.remove(userid)))?;
            }
            if userid.realm() == "pbs" {
                self.passwords().edit::<_, SettingsError>(None, |hashes| Ok(hashes.remove(userid.name())))?;
            }
            self.token_hashes().edit::<_, SettingsError>(None, |hashes| {
                hashes.remove_tokens_of(userid);
                Ok(())
            })?;
            self.acl().edit_locked::<_, SettingsError>(&acl_lock, None, |acl| {
                tokens.iter().for_each(|token| {
                    acl.remove_authid(token);
                });
                Ok(())
            })?;
            Ok(())
        })?;
        Ok(edited.digest)
    }

    /// Removes the access control entries of a datastore and of everything in it.
    ///
    /// # Errors
    /// As [`crate::ConfigStore::edit`].
    pub fn remove_datastore_acl(&self, store: &DatastoreName) -> Result<(), SettingsError> {
        let path = ["datastore".to_owned(), store.to_string()];
        self.acl().edit::<_, SettingsError>(None, |acl: &mut Acl| Ok(acl.remove_subtree(&path)))?;
        Ok(())
    }
}

fn not_found(file: &str, id: &impl ToString) -> SettingsError {
    SettingsError::NotFound { file: file.to_owned(), id: id.to_string() }
}
