//! In which form a push sends a snapshot: as it is stored, or encrypted on the way.
//!
//! Pure. Nothing is ever encrypted twice, and no snapshot leaves with some files under the job's key and others under
//! somebody else's: one signature covers all of them.
//!
//! Source: `docs/spec/sync.md` 10.4 step 3 and A.2; `docs/spec/datastore-format.md` 10.2.

use farhold_types::CryptMode;

/// Whether the job has a key to encrypt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAtHand {
    /// It has none.
    None,
    /// It has an active key.
    Active,
}

/// The form in which a snapshot is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushForm {
    /// There is no key: every file as it is, with its mode, and the signature of the source.
    AsStored,
    /// There is a key, but every file is encrypted already, so it goes as it is.
    AlreadyEncrypted,
    /// Every file is encrypted with the job's key, and the manifest signed with it.
    Encrypt,
    /// Only some files are encrypted: nothing is sent, with a warning.
    SkipMixed,
}

/// Decides about one snapshot by the modes of its files, in any order.
///
/// A file that is only signed is plain. A snapshot without files is encrypted, which signs its manifest.
pub fn encrypt_plan(modes: impl IntoIterator<Item = CryptMode>, key: KeyAtHand) -> PushForm {
    if key == KeyAtHand::None {
        return PushForm::AsStored;
    }
    let (mut has_plain, mut has_encrypted) = (false, false);
    for mode in modes {
        match mode {
            CryptMode::Encrypt => has_encrypted = true,
            CryptMode::None | CryptMode::SignOnly => has_plain = true,
        }
    }
    match (has_plain, has_encrypted) {
        (true, true) => PushForm::SkipMixed,
        (false, true) => PushForm::AlreadyEncrypted,
        (_, false) => PushForm::Encrypt,
    }
}

#[cfg(test)]
mod tests {
    use CryptMode::{Encrypt, None as Plain, SignOnly};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_modes_of_all_files_decide() {
        let rows: [(&[CryptMode], PushForm); 9] = [
            (&[], PushForm::Encrypt),
            (&[Plain], PushForm::Encrypt),
            (&[SignOnly, SignOnly], PushForm::Encrypt),
            (&[Plain, SignOnly], PushForm::Encrypt),
            (&[Encrypt], PushForm::AlreadyEncrypted),
            (&[Encrypt, Encrypt], PushForm::AlreadyEncrypted),
            (&[Encrypt, Plain], PushForm::SkipMixed),
            (&[SignOnly, Encrypt], PushForm::SkipMixed),
            (&[Plain, SignOnly, Encrypt], PushForm::SkipMixed),
        ];
        for (modes, expected) in rows {
            assert_eq!(encrypt_plan(modes.iter().copied(), KeyAtHand::Active), expected, "{modes:?}");
            assert_eq!(encrypt_plan(modes.iter().copied(), KeyAtHand::None), PushForm::AsStored, "{modes:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_encrypted_is_encrypted_again_and_nothing_plain_leaves_unencrypted(
            modes in proptest::collection::vec(prop_oneof![Just(Plain), Just(SignOnly), Just(Encrypt)], 0..6),
            seed in any::<usize>(),
        ) {
            let form = encrypt_plan(modes.iter().copied(), KeyAtHand::Active);
            let has = |wanted| modes.iter().any(|mode| (*mode == Encrypt) == wanted);
            match form {
                PushForm::Encrypt => prop_assert!(!has(true)),
                PushForm::AlreadyEncrypted => prop_assert!(!has(false)),
                PushForm::SkipMixed => prop_assert!(has(true) && has(false)),
                PushForm::AsStored => prop_assert!(false, "there is a key"),
            }
            let mut turned = modes.clone();
            turned.rotate_left(if modes.is_empty() { 0 } else { seed % modes.len() });
            prop_assert_eq!(encrypt_plan(turned, KeyAtHand::Active), form);
        }
    }
}
