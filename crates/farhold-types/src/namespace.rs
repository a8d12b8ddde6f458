//! Namespaces: the tree inside a datastore.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::name::{is_safe_id, text_value};

/// Largest depth of a namespace; the root has depth 0.
///
/// Source: `docs/spec/datastore-format.md` 2.
pub const MAX_NAMESPACE_DEPTH: usize = 7;
/// Largest length of a namespace's text form, in characters. Source: as above.
pub const MAX_NAMESPACE_LENGTH: usize = 256;

/// Why a text is not a namespace, or a namespace cannot be made from its parts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// A component does not match the name pattern.
    #[error("namespace component '{0}' does not match the pattern [A-Za-z0-9_][A-Za-z0-9._-]*")]
    Component(String),
    /// More components than a namespace may have.
    #[error("namespace is {depth} levels deep, the limit is {MAX_NAMESPACE_DEPTH}")]
    TooDeep {
        /// Number of components found.
        depth: usize,
    },
    /// The text form is too long.
    #[error("namespace may only be {MAX_NAMESPACE_LENGTH} characters long")]
    TooLong,
    /// The namespace does not lie below the anchor it should be mapped from.
    #[error("namespace '{namespace}' does not lie below '{anchor}'")]
    NotBelow {
        /// The namespace to be mapped.
        namespace: String,
        /// The anchor it was expected to lie below.
        anchor: String,
    },
}

/// A namespace: up to 7 components; none of them is the root.
///
/// Text form: components joined by `/`, the root is the empty string. Ordered by component, parents before children.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Namespace {
    components: Vec<String>,
}

impl Namespace {
    /// Returns the root namespace.
    pub const fn root() -> Self {
        Self { components: Vec::new() }
    }

    /// Returns the namespace with these components.
    ///
    /// # Errors
    /// A wrong component, more than 7 of them, or a text form above 256 characters.
    pub fn from_components<I, S>(components: I) -> Result<Self, NamespaceError>
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let components: Vec<String> = components.into_iter().map(Into::into).collect();
        if let Some(bad) = components.iter().find(|c| !is_safe_id(c)) {
            return Err(NamespaceError::Component(bad.clone()));
        }
        if MAX_NAMESPACE_DEPTH < components.len() {
            return Err(NamespaceError::TooDeep { depth: components.len() });
        }
        let length = components.iter().map(String::len).sum::<usize>() + components.len().saturating_sub(1);
        if MAX_NAMESPACE_LENGTH < length {
            return Err(NamespaceError::TooLong);
        }
        Ok(Self { components })
    }

    /// Returns whether this is the root.
    pub fn is_root(&self) -> bool {
        self.components.is_empty()
    }

    /// Returns the number of components, 0 for the root.
    pub fn depth(&self) -> usize {
        self.components.len()
    }

    /// Returns the components, topmost first.
    pub fn components(&self) -> &[String] {
        &self.components
    }

    /// Returns the namespace one level up, or `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, parents) = self.components.split_last()?;
        Some(Self { components: parents.to_vec() })
    }

    /// Returns the child of this name.
    ///
    /// # Errors
    /// As [`Self::from_components`].
    pub fn child(&self, name: &str) -> Result<Self, NamespaceError> {
        Self::from_components(self.components.iter().map(String::as_str).chain([name]))
    }

    /// Returns whether `self` is `anchor` or lies below it.
    pub fn is_at_or_below(&self, anchor: &Self) -> bool {
        self.components.starts_with(&anchor.components)
    }

    /// Returns this namespace with the prefix `from` replaced by `to`.
    ///
    /// # Errors
    /// [`NamespaceError::NotBelow`] if it does not lie below `from`; too deep or too long results.
    ///
    /// Source: `docs/spec/sync.md` 4.2.
    pub fn remap(&self, from: &Self, to: &Self) -> Result<Self, NamespaceError> {
        let Some(rest) = self.components.strip_prefix(from.components.as_slice()) else {
            return Err(NamespaceError::NotBelow { namespace: self.to_string(), anchor: from.to_string() });
        };
        Self::from_components(to.components.iter().chain(rest).map(String::as_str))
    }

    /// Returns how log lines name this namespace: `root namespace` or `namespace 'a/b'`.
    ///
    /// Source: `docs/spec/sync.md` 14.1.
    pub fn log_name(&self) -> String {
        if self.is_root() { "root namespace".to_owned() } else { format!("namespace '{self}'") }
    }
}

impl FromStr for Namespace {
    type Err = NamespaceError;
    /// Reads `a/b/c`; the empty text is the root. Empty components are errors.
    fn from_str(text: &str) -> Result<Self, NamespaceError> {
        if text.is_empty() {
            return Ok(Self::root());
        }
        Self::from_components(text.split('/'))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, component) in self.components.iter().enumerate() {
            if i != 0 {
                f.write_str("/")?;
            }
            f.write_str(component)?;
        }
        Ok(())
    }
}

text_value!(Namespace);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_levels_are_allowed_and_eight_are_not() {
        assert_eq!("a/b/c/d/e/f/g".parse::<Namespace>().unwrap().depth(), 7);
        assert_eq!("a/b/c/d/e/f/g/h".parse::<Namespace>(), Err(NamespaceError::TooDeep { depth: 8 }));
        assert!("a//b".parse::<Namespace>().is_err());
        assert!("a/../b".parse::<Namespace>().is_err());
        assert!("/a".parse::<Namespace>().is_err());
        assert!(format!("{}/{}", "a".repeat(128), "b".repeat(128)).parse::<Namespace>().is_err());
    }

    #[test]
    fn remap_replaces_the_anchor() {
        let ns: Namespace = "location_a/department_x/desk".parse().unwrap();
        let from: Namespace = "location_a/department_x".parse().unwrap();
        let to: Namespace = "location_a_dep_x".parse().unwrap();
        assert_eq!(ns.remap(&from, &to).unwrap().to_string(), "location_a_dep_x/desk");
        assert_eq!(ns.remap(&Namespace::root(), &Namespace::root()).unwrap(), ns);
        assert!(from.remap(&ns, &to).is_err());
    }
}
