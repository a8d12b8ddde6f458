//! Creating and changing users and API tokens. Asks for no permission unless a function says so.
//!
//! Source: `docs/spec/rest-api.md` 5.3 and 5.4, `docs/spec/config-and-access.md` 3.8.

use farhold_rules::acl::AclPath;
use farhold_settings::{
    ConfigFile as _, SettingsError, TokenConfig, UserConfig, UserEntry, UserFactors, Users, Validity,
};
use farhold_types::{Authid, Digest, Privileges, Secret, Userid};
use thiserror::Error;

use crate::Access;
use crate::password::{PasswordChangeError, check_new_password};

/// Why a user or token was not created or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AccountError {
    /// No realm of this name.
    #[error("unknown realm '{realm}'")]
    UnknownRealm {
        /// The realm.
        realm: String,
    },
    /// Passwords of system accounts are the superuser's business.
    #[error("only root@pam may set passwords of realm 'pam'")]
    SystemPassword,
    /// No such user.
    #[error("user '{userid}' does not exist")]
    UnknownUser {
        /// The user.
        userid: Userid,
    },
    /// The password cannot be set.
    #[error(transparent)]
    Password(#[from] PasswordChangeError),
    /// The stored configuration could not be changed.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// New values for a user or token; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountEdit {
    /// Fields to clear first, by name: `comment`, and for users `firstname`, `lastname` and `email`.
    pub delete: Vec<String>,
    /// Free text; blank clears it.
    pub comment: Option<String>,
    /// Switch.
    pub enable: Option<bool>,
    /// End in Unix seconds; 0 is never.
    pub expire: Option<i64>,
    /// First name, users only.
    pub firstname: Option<String>,
    /// Last name, users only.
    pub lastname: Option<String>,
    /// E-mail address, users only.
    pub email: Option<String>,
}

impl AccountEdit {
    fn apply_to_user(self, user: &mut UserConfig) {
        for (name, field, value) in [
            ("firstname", &mut user.firstname, self.firstname.clone()),
            ("lastname", &mut user.lastname, self.lastname.clone()),
            ("email", &mut user.email, self.email.clone()),
        ] {
            if self.delete.iter().any(|deleted| deleted == name) {
                *field = None;
            }
            if value.is_some() {
                *field = value;
            }
        }
        self.apply_to_common(&mut user.comment, &mut user.validity);
    }

    fn apply_to_common(self, comment: &mut Option<String>, validity: &mut Validity) {
        if self.delete.iter().any(|deleted| deleted == "comment") {
            *comment = None;
        }
        if let Some(text) = self.comment {
            *comment = new_comment(&text);
        }
        if let Some(enable) = self.enable {
            validity.update_enable(enable);
        }
        if let Some(expire) = self.expire {
            validity.update_expire(expire);
        }
    }
}

impl Access {
    /// Creates a user, with a password if one is given. Nothing is left behind if that fails.
    ///
    /// Values are stored as given, but for blanks around the comment. A password that a removed user of this name has
    /// left is dropped.
    ///
    /// # Errors
    /// Unknown realm, a password of realm `pam` from anybody but `root@pam`, a password that breaks the rules or whose
    /// realm keeps none here, an existing user, wrong values.
    pub fn create_user(
        &self,
        caller: &Authid,
        mut user: UserConfig,
        password: Option<&Secret>,
    ) -> Result<(), AccountError> {
        if self.realm_kind(&user.userid)?.is_none() {
            return Err(AccountError::UnknownRealm { realm: user.userid.realm().to_owned() });
        }
        if password.is_some() && user.userid.realm() == "pam" && !caller.is_root() {
            return Err(AccountError::SystemPassword);
        }
        password.map_or(Ok(()), check_new_password)?;
        user.comment = trimmed(user.comment);
        let userid = user.userid.clone();
        self.settings().users().edit::<_, AccountError>(None, |users| {
            users.insert(UserEntry::User(user))?;
            match password {
                Some(password) => self.set_password(&userid, password)?,
                None if userid.realm() == "pbs" => {
                    self.settings()
                        .passwords()
                        .edit::<_, SettingsError>(None, |kept| Ok(kept.remove(userid.name())))?;
                }
                None => {}
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Changes a user.
    ///
    /// # Errors
    /// `expected` is not the digest of `user.cfg`, no such user, wrong values.
    pub fn update_user(
        &self,
        userid: &Userid,
        edit: AccountEdit,
        expected: Option<Digest>,
    ) -> Result<(), SettingsError> {
        self.settings().users().edit::<_, SettingsError>(expected, |users| {
            let UserEntry::User(user) = users.require(userid.as_str())? else { return Err(not_found(userid)) };
            let mut user = user.clone();
            edit.apply_to_user(&mut user);
            users.update(UserEntry::User(user))
        })?;
        Ok(())
    }

    /// Creates an API token of an existing user and returns its secret, which cannot be read again.
    ///
    /// # Errors
    /// `expected` is not the digest of `user.cfg`, unknown user, existing token, wrong values.
    pub fn create_token(&self, mut token: TokenConfig, expected: Option<Digest>) -> Result<Secret, AccountError> {
        token.comment = trimmed(token.comment);
        let tokenid = token.tokenid.clone();
        let edited = self.settings().users().edit::<_, AccountError>(expected, |users| {
            if users.user(tokenid.user()).is_none() {
                return Err(AccountError::UnknownUser { userid: tokenid.user().clone() });
            }
            users.insert(UserEntry::Token(token))?;
            Ok(self.create_token_secret(&tokenid)?)
        })?;
        Ok(edited.value)
    }

    /// Changes an API token. Returns the new secret if `secret` asks for one; the old one is void then.
    ///
    /// # Errors
    /// `expected` is not the digest of `user.cfg`, no such token, wrong values.
    pub fn update_token(
        &self,
        tokenid: &Authid,
        edit: AccountEdit,
        secret: TokenSecret,
        expected: Option<Digest>,
    ) -> Result<Option<Secret>, SettingsError> {
        let edited = self.settings().users().edit::<_, SettingsError>(expected, |users| {
            let UserEntry::Token(token) = users.require(&tokenid.to_string())? else { return Err(not_found(tokenid)) };
            let mut token = token.clone();
            edit.apply_to_common(&mut token.comment, &mut token.validity);
            users.update(UserEntry::Token(token))?;
            match secret {
                TokenSecret::Keep => Ok(None),
                TokenSecret::Replace => self.create_token_secret(tokenid).map(Some),
            }
        })?;
        Ok(edited.value)
    }

    /// Returns the users that `caller` may see, with the digest of `user.cfg`: all with `Sys.Audit` on `/access/users`,
    /// otherwise only itself, or its user if it is a token.
    ///
    /// # Errors
    /// `user.cfg` or `acl.cfg` is not usable.
    pub fn visible_users(&self, caller: &Authid) -> Result<(Vec<ListedUser>, Digest), SettingsError> {
        let path = AclPath::access(&["users"]);
        let sees_all = self.snapshot()?.require_all(caller, &path, Privileges::SYS_AUDIT).is_ok();
        let loaded = self.settings().users().load()?;
        // A file that cannot be read refuses logins; that is no reason to hide users.
        let factors = self.settings().second_factors().load().map(|loaded| loaded.entries).unwrap_or_default();
        let users = loaded.entries.all_users()?.into_iter().filter(|user| sees_all || user.userid == *caller.user());
        let listed = users.map(|user| ListedUser {
            user: user.clone(),
            tokens: loaded.entries.tokens_of(&user.userid).into_iter().cloned().collect(),
            factors: factors.of(&user.userid),
        });
        Ok((listed.collect(), loaded.digest))
    }
}

/// A user with its API tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUser {
    /// The user.
    pub user: UserConfig,
    /// Its tokens, in file order.
    pub tokens: Vec<TokenConfig>,
    /// Its second factors and their locks.
    pub factors: UserFactors,
}

/// What happens to a token's secret when the token is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSecret {
    /// It stays.
    Keep,
    /// A new one takes its place.
    Replace,
}

/// Returns what an update that says `text` makes of a comment: nothing if it is blank.
pub(crate) fn new_comment(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn trimmed(comment: Option<String>) -> Option<String> {
    comment.map(|text| text.trim().to_owned())
}

fn not_found(id: &impl ToString) -> SettingsError {
    SettingsError::NotFound { file: Users::FILE.to_owned(), id: id.to_string() }
}
