//! What an encrypting push needs besides a push: chunks, blobs, logs and manifests in their encrypted form, and what is
//! known of the encrypted form of a chunk without reading it.
//!
//! [`form`] makes the bytes; the same interface passes everything on unchanged when nothing is to be encrypted. [`digests`]
//! remembers from run to run which encrypted chunk belongs to which plain one, and [`proof`] finds that out from what the
//! target has, if it can prove it.
//!
//! Source: `docs/spec/sync.md` 10.4, C.2 W4 to W6, W27 and W28.

pub(crate) mod digests;
pub(crate) mod form;
pub(crate) mod pairing;
pub(crate) mod proof;
