//! Paths inside a store, which cannot leave it.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Why a text is not a path inside a store.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathError {
    /// A component is empty, `.` or `..`, or contains `/` or a NUL byte.
    #[error("path component {component:?} is not allowed")]
    Component {
        /// The refused component.
        component: String,
    },
}

/// A path relative to the root of a store. The empty path is the root itself.
///
/// A value that exists never leaves the root by its text: no component is `.` or `..`, none is empty, and the path is
/// never absolute. Names that are too long for the backend are its business. That no symbolic link leads out is the backend's duty, see [`crate::Storage`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StorePath(String);

impl StorePath {
    /// Returns the root of the store.
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// Returns the entry `component` of this directory.
    ///
    /// # Errors
    /// [`PathError::Component`] if it is not a plain file name.
    pub fn join(&self, component: &str) -> Result<Self, PathError> {
        let refused = component.is_empty() || component == "." || component == ".." || component.contains(['/', '\0']);
        if refused {
            return Err(PathError::Component { component: component.to_owned() });
        }
        Ok(if self.0.is_empty() { Self(component.to_owned()) } else { Self(format!("{}/{component}", self.0)) })
    }

    /// Returns the directory that holds this path, or `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        Some(Self(self.0.rsplit_once('/').map_or_else(String::new, |(parent, _)| parent.to_owned())))
    }

    /// Returns the last component, or `None` for the root.
    pub fn file_name(&self) -> Option<&str> {
        if self.0.is_empty() {
            return None;
        }
        Some(self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name))
    }

    /// Returns whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the components, topmost first; none for the root.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|component| !component.is_empty())
    }

    /// Returns whether `self` lies below `directory`, at any depth.
    pub fn is_below(&self, directory: &Self) -> bool {
        if directory.is_root() {
            return !self.is_root();
        }
        self.0.strip_prefix(&directory.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Returns the path as text: components joined by `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StorePath {
    type Err = PathError;
    /// Reads components joined by `/`; the empty text is the root.
    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Ok(Self::root());
        }
        text.split('/').try_fold(Self::root(), |path, component| path.join(component))
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_that_leaves_the_store_is_a_path() {
        for bad in ["/", "/etc", "..", "a/..", "a/../b", ".", "a/./b", "a//b", "a/", "a\0b"] {
            assert!(bad.parse::<StorePath>().is_err(), "{bad:?}");
        }
        assert!(StorePath::root().join("a/b").is_err());
    }

    #[test]
    fn parents_and_names_come_apart_and_together() {
        let path: StorePath = "ns/a/vm".parse().unwrap();
        assert_eq!((path.file_name(), path.parent().unwrap().as_str()), (Some("vm"), "ns/a"));
        assert_eq!(StorePath::root().parent(), None);
        let top = StorePath::root().join("vm").unwrap();
        assert_eq!(top.parent(), Some(StorePath::root()));
        assert!(path.is_below(&"ns".parse().unwrap()) && !path.is_below(&"n".parse().unwrap()));
        assert!(top.is_below(&StorePath::root()) && !top.is_below(&top));
    }

    proptest! {
        #[test]
        fn every_accepted_path_stays_inside(text in "[a./\\x00]{0,12}") {
            if let Ok(path) = text.parse::<StorePath>() {
                prop_assert!(path.components().all(|c| !c.is_empty() && c != "." && c != ".."));
                prop_assert!(!path.as_str().starts_with('/'));
                prop_assert_eq!(path.as_str(), text);
            }
        }
    }
}
