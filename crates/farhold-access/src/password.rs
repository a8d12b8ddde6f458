//! Passwords: checking, setting, changing. Those of realm `pbs` are kept here, those of `pam` by the operating system.
//!
//! Source: `docs/spec/config-and-access.md` 3.11 and 5.11, `docs/spec/rest-api.md` 5.2.

use std::net::IpAddr;

use farhold_rules::acl::AclPath;
use farhold_settings::{RealmKind, SettingsError};
use farhold_types::{Authid, Privileges, Secret, Userid};
use thiserror::Error;

use crate::failure::{AuthFailure, AuthFailureReason};
use crate::{Access, crypt};

/// Fewest characters of a new password.
const MIN_LENGTH: usize = 8;
/// Most characters of a new password.
const MAX_LENGTH: usize = 64;

/// Why a password was not set.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PasswordChangeError {
    /// The caller did not give its own password.
    #[error("missing password")]
    ConfirmationMissing,
    /// The caller's own password is wrong.
    #[error("invalid credentials")]
    ConfirmationWrong(#[source] AuthFailure),
    /// No such user.
    #[error("user '{userid}' does not exist")]
    UnknownUser {
        /// The user.
        userid: Userid,
    },
    /// API tokens may not change passwords.
    #[error("API tokens cannot change passwords")]
    TokenCaller,
    /// The caller may not change this user's password.
    #[error("you are not authorized to change the password")]
    NotAllowed,
    /// The new password breaks a rule.
    #[error("new password must have {MIN_LENGTH} to {MAX_LENGTH} characters and no control characters")]
    Form,
    /// The realm keeps its passwords elsewhere.
    #[error("passwords of realm '{realm}' cannot be set by this server")]
    UnsupportedRealm {
        /// The realm.
        realm: String,
    },
    /// The operating system refused.
    #[error("password of the system account could not be set: {reason}")]
    System {
        /// Why.
        reason: String,
    },
    /// The stored configuration could not be used.
    #[error("password could not be stored")]
    Settings(#[from] SettingsError),
}

/// Checks the rules for a new password.
///
/// # Errors
/// [`PasswordChangeError::Form`].
pub fn check_new_password(password: &Secret) -> Result<(), PasswordChangeError> {
    let text = password.expose();
    let is_fine =
        (MIN_LENGTH..=MAX_LENGTH).contains(&text.chars().count()) && !text.chars().any(|c| c.is_ascii_control());
    if is_fine { Ok(()) } else { Err(PasswordChangeError::Form) }
}

impl Access {
    /// Changes a user's password as `caller` asks for, who has [confirmed](Self::confirm) it.
    ///
    /// # Errors
    /// In this order: unknown user, token as caller, not allowed, form, realm, storage.
    pub fn change_password(
        &self,
        caller: &Authid,
        userid: &Userid,
        password: &Secret,
    ) -> Result<(), PasswordChangeError> {
        let snapshot = self.snapshot()?;
        if snapshot.users().user(userid).is_none() {
            return Err(PasswordChangeError::UnknownUser { userid: userid.clone() });
        }
        if caller.is_token() {
            return Err(PasswordChangeError::TokenCaller);
        }
        let may_modify = || {
            userid.realm() != "pam"
                && snapshot.require_all(caller, &AclPath::root(), Privileges::PERMISSIONS_MODIFY).is_ok()
        };
        if caller.user() != userid && !caller.is_root() && !may_modify() {
            return Err(PasswordChangeError::NotAllowed);
        }
        self.set_password(userid, password)
    }

    /// Checks that it is really `caller` who asks for something that must not be done by whoever finds a browser open.
    ///
    /// `confirmation`: the current password, of a token's user if the caller is a token. `root@pam` and its tokens need
    /// none.
    ///
    /// # Errors
    /// [`PasswordChangeError::ConfirmationMissing`] or [`PasswordChangeError::ConfirmationWrong`].
    pub fn confirm(
        &self,
        caller: &Authid,
        confirmation: Option<&Secret>,
        remote_host: Option<IpAddr>,
    ) -> Result<(), PasswordChangeError> {
        if caller.user().is_root() {
            return Ok(());
        }
        let confirmation = confirmation.ok_or(PasswordChangeError::ConfirmationMissing)?;
        let checked = self.check_password(caller.user(), confirmation, remote_host);
        checked.map(drop).map_err(PasswordChangeError::ConfirmationWrong)
    }

    /// Stores a new password, or has the operating system do it in realm `pam`. Asks for no permission.
    ///
    /// # Errors
    /// A password that breaks the rules, a realm that keeps its passwords elsewhere, or a file that cannot be changed.
    pub fn set_password(&self, userid: &Userid, password: &Secret) -> Result<(), PasswordChangeError> {
        check_new_password(password)?;
        match (self.realm_kind(userid)?, &self.inner.system_accounts) {
            (Some(RealmKind::Pbs), _) => {}
            (Some(RealmKind::Pam), Some(accounts)) => {
                let set = accounts.set(userid.name(), password);
                return set.map_err(|reason| PasswordChangeError::System { reason });
            }
            _ => return Err(PasswordChangeError::UnsupportedRealm { realm: userid.realm().to_owned() }),
        }
        // Hashing takes long, so it is done before the lock is taken.
        let hash = self.new_hash(password);
        self.settings().passwords().edit::<_, SettingsError>(None, |hashes| {
            hashes.set(userid.name(), &hash);
            Ok(())
        })?;
        Ok(())
    }

    /// Checks a password against `shadow.json`. Returns why an upgrade of its hash failed, if it did.
    pub(crate) fn check_own_password(
        &self,
        userid: &Userid,
        password: &Secret,
    ) -> Result<Option<SettingsError>, AuthFailure> {
        let fail = |reason| AuthFailure::new(userid, reason);
        let hashes = self.settings().passwords().load().map_err(|e| fail(e.into()))?.entries;
        let Some(hash) = hashes.get(userid.name()) else {
            self.spend_a_check(password);
            return Err(fail(AuthFailureReason::NoPassword));
        };
        if !self.is_password(password, &hash) {
            return Err(fail(AuthFailureReason::WrongPassword));
        }
        if !crypt::needs_upgrade(&hash) {
            return Ok(None);
        }
        let new_hash = self.new_hash(password);
        let stored = self.settings().passwords().edit::<_, SettingsError>(None, |hashes| {
            // Somebody may have set another password in between.
            if hashes.get(userid.name()).as_ref() == Some(&hash) {
                hashes.set(userid.name(), &new_hash);
            }
            Ok(())
        });
        Ok(stored.err())
    }
}
