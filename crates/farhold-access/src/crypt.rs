//! Password hashes in the forms of crypt(3).
//!
//! New hashes are yescrypt; SHA-256-crypt and SHA-512-crypt are still checked. One hash costs 50 to 70 ms and 16 MiB:
//! call this where blocking is fine.
//!
//! Source: `docs/spec/config-and-access.md` 3.11.

use farhold_types::{Randomness, Secret};
use sha_crypt::ShaCrypt;
use yescrypt::{CustomizedPasswordHasher as _, Params, PasswordVerifier as _, Yescrypt};

/// Only so many bytes of a password count.
const MAX_PASSWORD_BYTES: usize = 511;
/// Setting of new hashes: N = 4096, r = 32, p = 1.
const YESCRYPT_SETTING: &str = "j9T";
/// Random bytes in the salt of new hashes.
const SALT_BYTES: usize = 32;
/// Prefix of hashes that need no upgrade.
const YESCRYPT_PREFIX: &str = "$y$";
/// Most memory that checking one hash may take, in bytes. The file is trusted, but a mistyped setting should not stop
/// the server; the common settings need 16 MiB.
const MAX_YESCRYPT_BYTES: u64 = 1 << 30;
/// Most rounds of a SHA hash that are computed, for the same reason; the common number is 5000.
const MAX_SHA_ROUNDS: u32 = 10_000_000;

/// Random bytes for a new hash.
pub(crate) struct Salt([u8; SALT_BYTES]);

impl Salt {
    pub(crate) fn new(randomness: &dyn Randomness) -> Self {
        let mut salt = [0; SALT_BYTES];
        randomness.fill(&mut salt);
        Self(salt)
    }
}

/// Returns a new hash of `password`.
pub(crate) fn hash_password(password: &Secret, salt: &Salt) -> Secret {
    let params: Params = YESCRYPT_SETTING.parse().expect("the setting is a constant that a test hashes with");
    let hash = Yescrypt::default()
        .hash_password_customized(counting_bytes(password), &salt.0, None, None, params)
        .expect("constant parameters and salt length are valid");
    Secret::new(hash.as_str())
}

/// Returns whether `password` is the one of `hash`. What is no hash, such as the empty text, `*` or `!`, never matches.
pub fn verify_password(password: &Secret, hash: &Secret) -> bool {
    let (password, text) = (counting_bytes(password), hash.expose());
    // The length of the digest is checked first: libraries compare as many bytes as the text has, and no byte at all
    // would match everything.
    match text.split('$').collect::<Vec<_>>().as_slice() {
        ["", "y", setting, _, digest] if digest.len() == 43 && is_affordable(setting) => {
            Yescrypt::default().verify_password(password, text).is_ok()
        }
        ["", kind @ ("5" | "6"), .., digest] if digest.len() == if *kind == "5" { 43 } else { 86 } => {
            rounds(text).is_none_or(|rounds| rounds <= MAX_SHA_ROUNDS)
                && ShaCrypt::default().verify_password(password, text).is_ok()
        }
        _ => false,
    }
}

/// Computes as much as a check of a password does, and forgets the result: whoever asks about somebody who has no password
/// here should not learn that by the time it takes.
pub fn spend_a_check(password: &Secret) {
    // The compiler cannot know that nobody looks: the work is in a library, and its result is passed on.
    std::hint::black_box(verify_password(password, &Secret::new(NOBODYS_HASH)));
}

/// Returns whether a hash should be replaced by a new one once the password is known.
pub fn needs_upgrade(hash: &Secret) -> bool {
    !hash.expose().starts_with(YESCRYPT_PREFIX)
}

/// A hash of the form of new ones, of a password that nobody has.
const NOBODYS_HASH: &str =
    "$y$j9T$.2U.1EE/4Q.07ck0AoU1D.F2GA/3JMl3MYV4PkF5Sw/$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn counting_bytes(password: &Secret) -> &[u8] {
    let bytes = password.expose().as_bytes();
    &bytes[..bytes.len().min(MAX_PASSWORD_BYTES)]
}

fn is_affordable(setting: &str) -> bool {
    let Ok(params) = setting.parse::<Params>() else {
        return false;
    };
    let bytes = 128u64.checked_mul(params.n()).and_then(|bytes| bytes.checked_mul(u64::from(params.r())));
    bytes.is_some_and(|bytes| bytes <= MAX_YESCRYPT_BYTES) && params.p() <= 64
}

fn rounds(text: &str) -> Option<u32> {
    let digits = text.split('$').find_map(|field| field.strip_prefix("rounds="))?;
    Some(digits.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check that is spent on nobody is a whole one, not refused for its form.
    #[test]
    fn nobodys_hash_is_computed_and_matches_nothing() {
        let error = Yescrypt::default().verify_password(b"correct horse 1", NOBODYS_HASH).unwrap_err();
        assert_eq!(error, yescrypt::password_hash::Error::PasswordInvalid);
        assert!(!verify_password(&Secret::new("correct horse 1"), &Secret::new(NOBODYS_HASH)));
    }

    struct Zeros;
    impl Randomness for Zeros {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0);
        }
    }

    #[test]
    fn documented_hashes_match_their_password_only() {
        let password = Secret::new("correct horse 1");
        for hash in [
            "$5$abcdefgh12345678$mPLxD8y3L3/eIlDoYWxx4r7xctS5u63Y6c36tFx1rn2",
            "$y$j9T$.2U.1EE/4Q.07ck0AoU1D.F2GA/3JMl3MYV4PkF5Sw/$ZBxrCHbRAVh/3PmgJmIYXNrQ51mNZ0/KCXwAHn8ygS/",
        ] {
            assert!(verify_password(&password, &Secret::new(hash)), "{hash}");
            assert!(!verify_password(&Secret::new("correct horse 2"), &Secret::new(hash)), "{hash}");
        }
        let token = "$y$j9T$.2U.1EE/4Q.07ck0AoU1D.F2GA/3JMl3MYV4PkF5Sw/$j0VuNwTJWVhbeNvg7xzhr6q2MixLlhu06oKEZCKe8N4";
        assert!(verify_password(&Secret::new("3fbb2bd0-58a9-4a26-a2d9-7b0f6f6c1c11"), &Secret::new(token)));
    }

    #[test]
    fn sha_crypt_hashes_of_another_implementation_match() {
        // Computed with OpenSSL, with and without an explicit number of rounds.
        for (password, hash) in [
            ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
            ("Hello world!", "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"),
            ("x", "$5$abcd$oJn9Si3gzldVsy0.xEA52h89DIAUiW8H2QPfr2NxmnB"),
            (
                "Hello world!",
                "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
            ),
        ] {
            assert!(verify_password(&Secret::new(password), &Secret::new(hash)), "{hash}");
            assert!(!verify_password(&Secret::new("other"), &Secret::new(hash)), "{hash}");
        }
    }

    #[test]
    fn what_is_no_hash_never_matches() {
        for hash in [
            "",
            "*",
            "!",
            "correct horse 1",
            "$y$j9T$.2U.1EE/4Q.07ck0AoU1D.F2GA/3JMl3MYV4PkF5Sw/$",
            "$y$j9T$$",
            "$5$abcdefgh12345678$",
            "$5$$",
            "$1$abc$0123456789012345678901",
            "$y$jzzzzzzT$.2U.1EE/4Q.07ck0AoU1D.F2GA/3JMl3MYV4PkF5Sw/$ZBxrCHbRAVh/3PmgJmIYXNrQ51mNZ0/KCXwAHn8ygS/",
            "$5$rounds=999999999$abcdefgh12345678$mPLxD8y3L3/eIlDoYWxx4r7xctS5u63Y6c36tFx1rn2",
        ] {
            for password in ["", "correct horse 1"] {
                assert!(!verify_password(&Secret::new(password), &Secret::new(hash)), "{hash}");
            }
        }
    }

    #[test]
    fn a_new_hash_has_the_documented_form_and_counts_511_bytes() {
        let long = "x".repeat(511);
        let hash = hash_password(&Secret::new(long.clone()), &Salt::new(&Zeros));
        assert!(hash.expose().starts_with("$y$j9T$") && hash.expose().len() == 94, "{}", hash.expose());
        assert!(!needs_upgrade(&hash) && needs_upgrade(&Secret::new("$5$x")));
        assert!(verify_password(&Secret::new(format!("{long}ignored")), &hash));
        assert!(!verify_password(&Secret::new("x".repeat(510)), &hash));
    }
}
