//! Authentication and permission checks.
//!
//! [`Access`] says who sent a request and hands out an [`AccessSnapshot`] that says what they may do. It reads the
//! configuration anew for each question, so changes count at once.
//!
//! Checking a password or a token secret for the first time costs 50 to 70 ms of computing, and files are read:
//! everything here blocks and belongs on a thread where that is fine.
//!
//! Refusals look all the same from outside. Waiting before the answer is sent is left to the API.

mod account;
mod acl_change;
mod auth_log;
mod check;
pub mod credentials;
mod crypt;
mod failure;
mod hash_slots;
mod hash_threads;
mod keys;
mod password;
mod pem;
mod places;
mod realms;
mod snapshot;
mod ticket;
mod token;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use farhold_rules::acl::AclTree;
use farhold_settings::{RealmKind, Settings, SettingsError};
use farhold_types::{Authid, Clock, Secret, Userid};

pub use account::{AccountEdit, AccountError, ListedUser, TokenSecret};
pub use acl_change::{AclAction, AclChange, AclChangeError};
pub use auth_log::AuthLog;
pub use check::{Check, CheckError};
pub use credentials::Credentials;
pub use crypt::verify_password;
pub use failure::{AuthFailure, AuthFailureReason};
pub use hash_slots::{HashSlot, Turn};
pub use keys::{KeyError, Keys};
pub use password::{PasswordChangeError, check_new_password};
pub use places::Asker;
pub use realms::RealmEdit;
pub use snapshot::AccessSnapshot;
pub use ticket::{IssuedTicket, TICKET_PREFIX, TicketError};

use hash_slots::HashSlots;
use hash_threads::HashThreads;
use snapshot::Content;
use token::VerifiedSecret;

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// User or API token.
    pub authid: Authid,
}

/// Checks and sets passwords of accounts of the operating system. Blocking, perhaps for long.
pub trait SystemAccounts: Send + Sync {
    /// Checks the password of the account `name`.
    ///
    /// `remote_host`: where the caller is, if it is the network.
    ///
    /// # Errors
    /// Why not, for the authentication log.
    fn check(&self, name: &str, password: &Secret, remote_host: Option<IpAddr>) -> Result<(), String>;

    /// Sets the password of the account `name`.
    ///
    /// # Errors
    /// Why not, for the caller.
    fn set(&self, name: &str, password: &Secret) -> Result<(), String>;
}

/// What a successful login gives.
#[derive(Debug)]
pub struct Login {
    /// Who logged in.
    pub userid: Userid,
    /// The ticket.
    pub ticket: IssuedTicket,
    /// The anti-forgery token that goes with it.
    pub csrf_token: String,
    /// Why the stored hash of an older form could not be replaced, for the log; the login is good all the same.
    pub upgrade_error: Option<SettingsError>,
}

/// What may be given as password at a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The password, or a ticket that is still valid.
    PasswordOrTicket,
    /// The password only.
    PasswordOnly,
    /// A ticket only.
    TicketOnly,
}

/// Most characters of a password at a login. Source: `docs/spec/config-and-access.md` 5.11.
const MAX_LOGIN_PASSWORD_LENGTH: usize = 1024;

/// Authentication of one server; cheap to clone.
#[derive(Clone)]
pub struct Access {
    inner: Arc<Inner>,
    auth_log: Option<Arc<AuthLog>>,
}

struct Inner {
    settings: Settings,
    clock: Arc<dyn Clock>,
    keys: Keys,
    system_accounts: Option<Arc<dyn SystemAccounts>>,
    content: Mutex<Option<Arc<Content>>>,
    verified: Mutex<HashMap<Authid, VerifiedSecret>>,
    hash_slots: HashSlots,
    hash_threads: HashThreads,
    /// Makes what the memory of verified secrets holds useless elsewhere.
    memory_key: [u8; 32],
}

impl Access {
    /// Returns the authentication of a server with these settings and keys. `system_accounts` checks passwords of realm
    /// `pam`; without it they are refused.
    pub fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        keys: Keys,
        system_accounts: Option<Arc<dyn SystemAccounts>>,
    ) -> Self {
        let mut memory_key = [0; 32];
        settings.dir().randomness().fill(&mut memory_key);
        let (content, verified, hash_slots) = (Mutex::default(), Mutex::default(), HashSlots::default());
        let hash_threads = HashThreads::default();
        let inner =
            Inner { settings, clock, keys, system_accounts, content, verified, hash_slots, hash_threads, memory_key };
        Self { inner: Arc::new(inner), auth_log: None }
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Returns users and permissions as they are now.
    ///
    /// # Errors
    /// `user.cfg` or `acl.cfg` is not usable.
    pub fn snapshot(&self) -> Result<AccessSnapshot, SettingsError> {
        let now = self.inner.clock.now();
        let (users, acl) = (self.inner.settings.users(), self.inner.settings.acl());
        // Every request asks, so the files are parsed only when they changed.
        let present = (users.digest()?, acl.digest()?);
        let kept = self.inner.content.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(content) = kept.filter(|content| content.digests == present) {
            return Ok(AccessSnapshot { content, now });
        }
        let (users, acl) = (users.load()?, acl.load()?);
        let digests = (users.digest, acl.digest);
        let tree = Arc::new(snapshot::tree_of(&acl.entries));
        let content = Arc::new(Content { users: users.entries, tree, digests });
        *self.inner.content.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&content));
        Ok(AccessSnapshot { content, now })
    }

    /// Returns the access control tree as it is now.
    ///
    /// # Errors
    /// As [`Self::snapshot`].
    pub fn acl(&self) -> Result<Arc<AclTree>, SettingsError> {
        Ok(Arc::clone(self.snapshot()?.acl()))
    }

    /// Returns who sent a request. May compute a hash; see [`Self::authenticate_at_once`].
    ///
    /// `csrf_token`: the header's value. It is needed with a ticket unless `is_get`.
    ///
    /// # Errors
    /// [`AuthFailure`], with the reason for the log.
    pub fn authenticate(
        &self,
        credentials: &Credentials,
        is_get: bool,
        csrf_token: Option<&str>,
    ) -> Result<Caller, AuthFailure> {
        if let Some(caller) = self.authenticate_at_once(credentials, is_get, csrf_token)? {
            return Ok(caller);
        }
        let Credentials::Token { tokenid, secret } = credentials else {
            return Err(AuthFailure { who: None, reason: AuthFailureReason::NoCredentials });
        };
        let tokenid = parse_tokenid(tokenid)?;
        self.verify_token(&tokenid, secret)?;
        Ok(Caller { authid: tokenid })
    }

    /// Returns who sent a request, or `None` if only the hash of a token's secret can tell: then take a
    /// [`Self::hash_slot`] and call [`Self::authenticate`]. Computes no hash itself.
    ///
    /// # Errors
    /// As [`Self::authenticate`].
    pub fn authenticate_at_once(
        &self,
        credentials: &Credentials,
        is_get: bool,
        csrf_token: Option<&str>,
    ) -> Result<Option<Caller>, AuthFailure> {
        match credentials {
            Credentials::None => Err(AuthFailure { who: None, reason: AuthFailureReason::NoCredentials }),
            Credentials::Ticket(ticket) => {
                let userid = self.verify_ticket(ticket.expose())?;
                if !is_get {
                    self.verify_csrf(&userid, csrf_token)?;
                }
                Ok(Some(Caller { authid: userid.into() }))
            }
            Credentials::Token { tokenid, secret } => {
                let tokenid = parse_tokenid(tokenid)?;
                Ok(self.is_verified(&tokenid, secret)?.then_some(Caller { authid: tokenid }))
            }
        }
    }

    /// Returns the user of a full, valid ticket, if the user is active.
    ///
    /// # Errors
    /// [`AuthFailure`].
    pub fn verify_ticket(&self, text: &str) -> Result<Userid, AuthFailure> {
        let userid = ticket::verify_ticket(&self.inner.keys, text, self.inner.clock.now())
            .map_err(|e| AuthFailure { who: None, reason: AuthFailureReason::Ticket(e) })?;
        self.require_active(&Authid::from(userid.clone()))?;
        Ok(userid)
    }

    /// Checks the anti-forgery token of a user.
    ///
    /// # Errors
    /// [`AuthFailure`].
    pub fn verify_csrf(&self, userid: &Userid, csrf_token: Option<&str>) -> Result<(), AuthFailure> {
        let fail = |reason| AuthFailure::new(userid, reason);
        let csrf_token = csrf_token.ok_or_else(|| fail(AuthFailureReason::CsrfMissing))?;
        ticket::verify_csrf(&self.inner.keys, userid, csrf_token, self.inner.clock.now())
            .map_err(|e| fail(AuthFailureReason::Csrf(e)))
    }

    /// Logs a user in by password, or by a ticket that is still valid.
    ///
    /// A password costs about the same time whether the user exists or not. `remote_host`: where the caller is, if it is
    /// the network.
    ///
    /// # Errors
    /// [`AuthFailure`]; the same for all causes outwardly.
    ///
    /// Source: `docs/spec/wire-protocol.md` 3.2, decision order.
    pub fn login(
        &self,
        userid: &Userid,
        password: &Secret,
        proof: Proof,
        remote_host: Option<IpAddr>,
    ) -> Result<Login, AuthFailure> {
        if let Err(failure) = self.require_active(&Authid::from(userid.clone())) {
            if proof != Proof::TicketOnly {
                self.spend_a_check(password);
            }
            return Err(failure);
        }
        let mut upgrade_error = None;
        if proof == Proof::PasswordOnly || !self.is_own_ticket(userid, password, proof)? {
            upgrade_error = self.check_password(userid, password, remote_host)?;
            let factors = self.inner.settings.second_factors().load();
            let has_factor = factors.map_err(|e| AuthFailure::new(userid, e.into()))?.entries.has_any(userid);
            if has_factor {
                return Err(AuthFailure::new(userid, AuthFailureReason::SecondFactor));
            }
        }
        Ok(self.issue(userid, upgrade_error))
    }

    fn issue(&self, userid: &Userid, upgrade_error: Option<SettingsError>) -> Login {
        let (keys, now) = (&self.inner.keys, self.inner.clock.now());
        Login {
            userid: userid.clone(),
            ticket: IssuedTicket::new(keys, userid, now),
            csrf_token: ticket::csrf_token(keys, userid, now),
            upgrade_error,
        }
    }

    /// Returns whether `password` is a valid ticket of `userid`; a valid one of somebody else is an error.
    fn is_own_ticket(&self, userid: &Userid, password: &Secret, proof: Proof) -> Result<bool, AuthFailure> {
        match ticket::verify_ticket(&self.inner.keys, password.expose(), self.inner.clock.now()) {
            Ok(found) if found == *userid => Ok(true),
            Ok(_) => Err(AuthFailure::new(userid, AuthFailureReason::OtherUsersTicket)),
            Err(error) if proof == Proof::TicketOnly => Err(AuthFailure::new(userid, AuthFailureReason::Ticket(error))),
            Err(_) => Ok(false),
        }
    }

    /// Checks a password by the user's realm; upgrades the stored hash if it has an older form.
    fn check_password(
        &self,
        userid: &Userid,
        password: &Secret,
        remote_host: Option<IpAddr>,
    ) -> Result<Option<SettingsError>, AuthFailure> {
        let fail = |reason| AuthFailure::new(userid, reason);
        let length = password.expose().chars().count();
        let is_text = !password.expose().chars().any(|c| c.is_ascii_control());
        if length == 0 || MAX_LOGIN_PASSWORD_LENGTH < length || !is_text {
            return Err(fail(AuthFailureReason::PasswordForm));
        }
        match self.realm_kind(userid).map_err(|e| fail(e.into()))? {
            Some(RealmKind::Pbs) => self.check_own_password(userid, password),
            Some(RealmKind::Pam) => {
                let refused = |reason: String| fail(AuthFailureReason::Pam(reason));
                let Some(accounts) = &self.inner.system_accounts else {
                    return Err(refused("this server cannot check passwords of system accounts".to_owned()));
                };
                accounts.check(userid.name(), password, remote_host).map_err(refused)?;
                Ok(None)
            }
            other => {
                self.spend_a_check(password);
                let realm = userid.realm().to_owned();
                Err(fail(match other {
                    Some(_) => AuthFailureReason::UnsupportedRealm(realm),
                    None => AuthFailureReason::UnknownRealm(realm),
                }))
            }
        }
    }

    /// Returns whether a password is the one of a hash, computed where hashes are.
    fn is_password(&self, password: &Secret, hash: &Secret) -> bool {
        let (password, hash) = (password.clone(), hash.clone());
        self.inner.hash_threads.run(move || crypt::verify_password(&password, &hash))
    }

    /// Returns a new hash, computed where hashes are.
    fn new_hash(&self, password: &Secret) -> Secret {
        let (password, salt) = (password.clone(), crypt::Salt::new(self.settings().dir().randomness()));
        self.inner.hash_threads.run(move || crypt::hash_password(&password, &salt))
    }

    fn spend_a_check(&self, password: &Secret) {
        let password = password.clone();
        self.inner.hash_threads.run(move || crypt::spend_a_check(&password));
    }

    /// Returns the kind of a user's realm; the two built-in ones exist whatever the file says.
    fn realm_kind(&self, userid: &Userid) -> Result<Option<RealmKind>, SettingsError> {
        match userid.realm() {
            "pam" => Ok(Some(RealmKind::Pam)),
            "pbs" => Ok(Some(RealmKind::Pbs)),
            other => Ok(self.inner.settings.realms().load()?.entries.get(other)?.map(|realm| realm.kind)),
        }
    }

    fn require_active(&self, authid: &Authid) -> Result<(), AuthFailure> {
        let snapshot = self.snapshot().map_err(|e| AuthFailure::new(authid, e.into()))?;
        if snapshot.is_active(authid) { Ok(()) } else { Err(AuthFailure::new(authid, AuthFailureReason::Inactive)) }
    }
}

fn parse_tokenid(text: &str) -> Result<Authid, AuthFailure> {
    text.parse().map_err(|_| AuthFailure::new(text, AuthFailureReason::TokenId))
}
