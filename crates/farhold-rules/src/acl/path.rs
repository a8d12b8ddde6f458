//! Paths of the access control tree.

use std::fmt;
use std::str::FromStr;

use farhold_types::{DatastoreName, KeyId, Namespace, RemoteName, is_safe_id};
use thiserror::Error;

/// Largest length of a path's text, in characters. Source: `docs/spec/rest-api.md` 2.1, `acl-path`.
const MAX_LENGTH: usize = 128;

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AclPathError {
    /// Empty or too long.
    #[error("path must have 1 to {MAX_LENGTH} characters")]
    Length,
    /// Not `/`, nor names each with a `/` before it.
    #[error("path must be '/' or names joined by '/', such as /datastore/store1")]
    Form,
}

/// A path whose permissions can be asked about. Each component is a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AclPath {
    components: Vec<String>,
}

impl AclPath {
    /// Returns `/`.
    pub const fn root() -> Self {
        Self { components: Vec::new() }
    }

    /// Returns `/datastore`.
    pub fn datastores() -> Self {
        Self::of(["datastore"])
    }

    /// Returns `/datastore/<store>` and the namespace's components.
    pub fn datastore(store: &DatastoreName, ns: &Namespace) -> Self {
        Self::of(["datastore", store.as_str()].into_iter().chain(ns.components().iter().map(String::as_str)))
    }

    /// Returns `/remote`.
    pub fn remotes() -> Self {
        Self::of(["remote"])
    }

    /// Returns `/remote/<remote>`.
    pub fn remote(remote: &RemoteName) -> Self {
        Self::of(["remote", remote.as_str()])
    }

    /// Returns `/remote/<remote>/<store>` and the namespace's components.
    pub fn remote_store(remote: &RemoteName, store: &DatastoreName, ns: &Namespace) -> Self {
        let parts = ["remote", remote.as_str(), store.as_str()];
        Self::of(parts.into_iter().chain(ns.components().iter().map(String::as_str)))
    }

    /// Returns `/access` and further parts, which are fixed words.
    pub fn access(parts: &[&'static str]) -> Self {
        Self::of(["access"].into_iter().chain(parts.iter().copied()))
    }

    /// Returns `/system` and further parts, which are fixed words.
    pub fn system(parts: &[&'static str]) -> Self {
        Self::of(["system"].into_iter().chain(parts.iter().copied()))
    }

    /// Returns `/system/encryption-keys/<key>`.
    pub fn encryption_key(key: &KeyId) -> Self {
        Self::of(["system", "encryption-keys", key.as_str()])
    }

    /// Returns the components; none for `/`.
    pub fn components(&self) -> &[String] {
        &self.components
    }

    fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        Self { components: parts.into_iter().map(str::to_owned).collect() }
    }
}

impl FromStr for AclPath {
    type Err = AclPathError;
    /// Reads `/` or `/a/b`. Names need not exist, nor does the place have to make sense.
    fn from_str(text: &str) -> Result<Self, AclPathError> {
        let length = text.chars().count();
        if length == 0 || MAX_LENGTH < length {
            return Err(AclPathError::Length);
        }
        if text == "/" {
            return Ok(Self::root());
        }
        let parts: Vec<&str> = text.strip_prefix('/').ok_or(AclPathError::Form)?.split('/').collect();
        if parts.iter().all(|part| is_safe_id(part)) { Ok(Self::of(parts)) } else { Err(AclPathError::Form) }
    }
}

impl fmt::Display for AclPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.components.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constructors_spell_the_documented_paths() {
        let (store, ns) = ("local1".parse().unwrap(), "a/b".parse().unwrap());
        let remote = "offsite".parse().unwrap();
        for (path, text) in [
            (AclPath::root(), "/"),
            (AclPath::datastores(), "/datastore"),
            (AclPath::datastore(&store, &Namespace::root()), "/datastore/local1"),
            (AclPath::datastore(&store, &ns), "/datastore/local1/a/b"),
            (AclPath::remotes(), "/remote"),
            (AclPath::remote(&remote), "/remote/offsite"),
            (AclPath::remote_store(&remote, &store, &ns), "/remote/offsite/local1/a/b"),
            (AclPath::access(&["users"]), "/access/users"),
            (AclPath::system(&[]), "/system"),
            (AclPath::system(&["tasks"]), "/system/tasks"),
            (AclPath::encryption_key(&"key1".parse().unwrap()), "/system/encryption-keys/key1"),
        ] {
            assert_eq!(path.to_string(), text);
            assert_eq!(text.parse::<AclPath>().unwrap(), path);
        }
        for bad in ["", "datastore", "//", "/a/", "/a//b", "/a b", "/..", "/-a"] {
            assert!(bad.parse::<AclPath>().is_err(), "{bad}");
        }
        assert!(format!("/{}", "a".repeat(128)).parse::<AclPath>().is_err());
    }
}
