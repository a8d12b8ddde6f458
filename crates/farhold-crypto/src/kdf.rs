//! Keys from passphrases: scrypt and PBKDF2.
//!
//! Source of the parameters: `docs/spec/datastore-format.md` 6.2. The upper limits keep a crafted key file from taking
//! the machine's memory or time.

use crate::CryptError;
use crate::key::EncryptionKey;

/// Most memory that scrypt may use, as the reference allows.
const MAX_SCRYPT_MEMORY_BYTES: u64 = 1025 << 20;
/// Most block mixes (n x r x p) of one scrypt run: 128 times the default, some 40 seconds. Our own limit.
const MAX_SCRYPT_WORK: u64 = 1 << 26;
/// Most rounds of PBKDF2: about 150 times the default, a few seconds. Our own limit.
pub const MAX_PBKDF2_ROUNDS: u32 = 10_000_000;

/// Cost of a scrypt derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScryptCost {
    /// Cost factor, a power of two of at least 2.
    pub n: u64,
    /// Block size.
    pub r: u64,
    /// Parallelism.
    pub p: u64,
}

impl ScryptCost {
    /// What new key files use: 64 MiB of memory, about a third of a second.
    pub const STANDARD: Self = Self { n: 65_536, r: 8, p: 1 };

    fn checked(self) -> Result<scrypt::Params, CryptError> {
        const RANGE: CryptError = CryptError::KdfParameters { reason: "scrypt n, r and p are out of range" };
        if !self.n.is_power_of_two() || self.n < 2 || self.r == 0 || self.p == 0 {
            return Err(RANGE);
        }
        // Table, input blocks and two temporary blocks, each of 128 x r bytes.
        let blocks = self.n.checked_add(self.p).and_then(|b| b.checked_add(2)).ok_or(RANGE)?;
        let memory = blocks.checked_mul(128).and_then(|b| b.checked_mul(self.r)).ok_or(RANGE)?;
        if MAX_SCRYPT_MEMORY_BYTES < memory {
            return Err(CryptError::KdfParameters { reason: "scrypt would need more than 1025 MiB of memory" });
        }
        let work = self.n.checked_mul(self.r).and_then(|w| w.checked_mul(self.p)).ok_or(RANGE)?;
        if MAX_SCRYPT_WORK < work {
            return Err(CryptError::KdfParameters { reason: "scrypt would take too long" });
        }
        let log_n = u8::try_from(self.n.trailing_zeros()).map_err(|_| RANGE)?;
        let (r, p) = (u32::try_from(self.r).map_err(|_| RANGE)?, u32::try_from(self.p).map_err(|_| RANGE)?);
        scrypt::Params::new(log_n, r, p).map_err(|_| RANGE)
    }
}

/// Returns the key that scrypt derives from a passphrase. Takes as long as `cost` says: call it on a blocking thread.
///
/// # Errors
/// [`CryptError::KdfParameters`] if `cost` is invalid, needs more than 1025 MiB or would take minutes.
pub fn scrypt(passphrase: &[u8], salt: &[u8], cost: ScryptCost) -> Result<EncryptionKey, CryptError> {
    let mut key = EncryptionKey::new([0; 32]);
    scrypt::scrypt(passphrase, salt, &cost.checked()?, key.expose_mut())
        .map_err(|_| CryptError::KdfParameters { reason: "scrypt refused them" })?;
    Ok(key)
}

/// Returns the key that PBKDF2 with HMAC-SHA-256 derives from a passphrase.
///
/// # Errors
/// [`CryptError::KdfParameters`] if `rounds` is 0 or above [`MAX_PBKDF2_ROUNDS`].
pub fn pbkdf2(passphrase: &[u8], salt: &[u8], rounds: u32) -> Result<EncryptionKey, CryptError> {
    if !(1..=MAX_PBKDF2_ROUNDS).contains(&rounds) {
        return Err(CryptError::KdfParameters { reason: "the number of PBKDF2 rounds is out of range" });
    }
    Ok(pbkdf2_hmac_sha256(passphrase, salt, rounds))
}

pub(crate) fn pbkdf2_hmac_sha256(passphrase: &[u8], salt: &[u8], rounds: u32) -> EncryptionKey {
    let mut key = EncryptionKey::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<sha2::Sha256>(passphrase, salt, rounds, key.expose_mut());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(key: &EncryptionKey) -> String {
        key.expose().iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn documented_passphrases_give_the_documented_keys() {
        let salt: Vec<u8> = (0x40..=0x5f).collect();
        assert_eq!(
            hex(&scrypt(b"hunter2", &salt, ScryptCost::STANDARD).unwrap()),
            "2dfb79a229483fcf639b298c799eb3a9fc839a9af1e7ca83ebcca7e0275fb9e8"
        );
        assert_eq!(
            hex(&scrypt(b"test", b"", ScryptCost::STANDARD).unwrap()),
            "28cdb1a3bef39396c3860e00d448fe7a0efd8244486ab6feb30457681d31597e"
        );
        assert_eq!(
            hex(&pbkdf2(b"hunter2", &salt, 65_535).unwrap()),
            "15dac370c088217ba15808b3a85c48e874826d93921d11e9f021049c10dd034c"
        );
    }

    #[test]
    fn excessive_or_invalid_costs_are_refused_before_any_work() {
        for (n, r, p) in [
            (0, 8, 1),
            (1, 8, 1),
            (65_535, 8, 1),
            (65_536, 0, 1),
            (65_536, 8, 0),
            (1 << 21, 8, 1),
            (1 << 63, 8, 1),
            (2, u64::MAX, 1),
            (2, 8, u64::MAX),
            (2, 1 << 32, 1),
            (1 << 20, 8, 16),
            (65_536, 1, 1 << 20),
        ] {
            let cost = ScryptCost { n, r, p };
            assert!(matches!(cost.checked(), Err(CryptError::KdfParameters { .. })), "{cost:?}");
        }
        assert!(ScryptCost { n: 1 << 20, r: 8, p: 1 }.checked().is_ok());
        assert!(pbkdf2(b"hunter2", b"salt", 0).is_err());
        assert!(pbkdf2(b"hunter2", b"salt", MAX_PBKDF2_ROUNDS + 1).is_err());
    }
}
