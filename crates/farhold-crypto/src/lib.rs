//! Key derivation, authenticated encryption, signing and fingerprints.
