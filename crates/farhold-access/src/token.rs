//! Secrets of API tokens.
//!
//! Checking a hash is expensive, and a client sends its token with every request. A secret that was verified once is
//! remembered, as a keyed hash over secret and stored entry, until the entry changes.
//!
//! Source: `docs/spec/wire-protocol.md` 3.6, `docs/spec/config-and-access.md` 3.10.

use std::sync::PoisonError;

use farhold_settings::SettingsError;
use farhold_types::{Authid, Secret};
use hmac::{KeyInit as _, Mac as _, SimpleHmac};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::Access;
use crate::failure::{AuthFailure, AuthFailureReason};

/// Most secrets that are remembered; far more tokens than one server has. Beyond it the memory starts anew.
const MAX_VERIFIED: usize = 4096;

/// What is remembered of a secret that was right.
pub(crate) struct VerifiedSecret([u8; 32]);

impl Access {
    /// Checks the secret of an API token that exists and is active.
    ///
    /// # Errors
    /// [`AuthFailure`].
    pub fn verify_token(&self, tokenid: &Authid, secret: &Secret) -> Result<(), AuthFailure> {
        let hash = self.token_hash(tokenid)?;
        let mark = self.mark(secret, &hash);
        if self.is_remembered(tokenid, &mark) {
            return Ok(());
        }
        if !self.is_password(secret, &hash) {
            return Err(AuthFailure::new(tokenid, AuthFailureReason::WrongTokenSecret));
        }
        let mut verified = self.inner.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if MAX_VERIFIED <= verified.len() {
            verified.clear();
        }
        verified.insert(tokenid.clone(), VerifiedSecret(mark));
        Ok(())
    }

    /// Returns whether this secret of an active token was verified before, so that no hash is needed.
    pub(crate) fn is_verified(&self, tokenid: &Authid, secret: &Secret) -> Result<bool, AuthFailure> {
        let hash = self.token_hash(tokenid)?;
        Ok(self.is_remembered(tokenid, &self.mark(secret, &hash)))
    }

    /// Returns the stored hash of an active token.
    fn token_hash(&self, tokenid: &Authid) -> Result<Secret, AuthFailure> {
        let fail = |reason| AuthFailure::new(tokenid, reason);
        if !tokenid.is_token() {
            return Err(fail(AuthFailureReason::TokenId));
        }
        self.require_active(tokenid)?;
        let hashes = self.settings().token_hashes().load().map_err(|e| fail(e.into()))?.entries;
        hashes.get(tokenid).cloned().ok_or_else(|| fail(AuthFailureReason::TokenSecretMissing))
    }

    /// Makes a new secret for a token and stores its hash in place of an older one. The token's section is not touched.
    ///
    /// Returns the secret, a random UUID in lower case. It cannot be read again.
    ///
    /// # Errors
    /// `token.shadow` cannot be changed.
    pub fn create_token_secret(&self, tokenid: &Authid) -> Result<Secret, SettingsError> {
        let mut random = [0; 16];
        self.settings().dir().randomness().fill(&mut random);
        let secret = Secret::new(uuid::Builder::from_random_bytes(random).into_uuid().to_string());
        let hash = self.new_hash(&secret);
        self.settings().token_hashes().edit::<_, SettingsError>(None, |hashes| {
            hashes.set(tokenid.clone(), hash);
            Ok(())
        })?;
        Ok(secret)
    }

    fn is_remembered(&self, tokenid: &Authid, mark: &[u8; 32]) -> bool {
        let verified = self.inner.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.get(tokenid).is_some_and(|known| known.0.ct_eq(mark).into())
    }

    fn mark(&self, secret: &Secret, hash: &Secret) -> [u8; 32] {
        let mut mac = SimpleHmac::<Sha256>::new_from_slice(&self.inner.memory_key).expect("a key may have any length");
        // The length keeps the two texts apart.
        mac.update(&(hash.expose().len() as u64).to_le_bytes());
        mac.update(hash.expose().as_bytes());
        mac.update(secret.expose().as_bytes());
        mac.finalize().into_bytes().into()
    }
}
