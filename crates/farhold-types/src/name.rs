//! Short names: datastores, remotes, jobs, keys. All follow one pattern and differ only in their length limits.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text contains a character that names may not contain, or starts with a wrong one, or is empty.
    #[error("value does not match the pattern [A-Za-z0-9_][A-Za-z0-9._-]*")]
    Pattern,
    /// The text is shorter than allowed.
    #[error("value must be at least {min} characters long")]
    TooShort {
        /// Smallest allowed number of characters.
        min: usize,
    },
    /// The text is longer than allowed.
    #[error("value may only be {max} characters long")]
    TooLong {
        /// Largest allowed number of characters.
        max: usize,
    },
    /// The text has another form than this kind of value needs.
    #[error("{0}")]
    Form(&'static str),
}

/// Returns whether `text` matches `[A-Za-z0-9_][A-Za-z0-9._-]*` as a whole.
///
/// Source: `docs/spec/rest-api.md` 2.1, SAFE_ID.
pub fn is_safe_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((first, rest)) = bytes.split_first() else {
        return false;
    };
    let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    word(first) && rest.iter().all(|b| word(b) || *b == b'.' || *b == b'-')
}

pub(crate) fn check_safe_id(text: &str, min: usize, max: usize) -> Result<(), NameError> {
    let length = text.chars().count();
    if length < min {
        return Err(NameError::TooShort { min });
    }
    if length > max {
        return Err(NameError::TooLong { max });
    }
    if is_safe_id(text) { Ok(()) } else { Err(NameError::Pattern) }
}

/// Implements the text conversions that all name types share: `Display`, `FromStr`, `AsRef<str>`, serde as string.
macro_rules! text_value {
    ($type:ty) => {
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", self.to_string())
            }
        }
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_value;

macro_rules! safe_id_type {
    ($(#[$doc:meta])* $name:ident, $min:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check_safe_id(text, $min, $max)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        text_value!($name);
    };
}
pub(crate) use safe_id_type;

safe_id_type!(
    /// Name of a datastore, 3 to 32 characters.
    DatastoreName, 3, 32
);
safe_id_type!(
    /// Name of a configured remote, 3 to 32 characters.
    RemoteName, 3, 32
);
safe_id_type!(
    /// Id of a sync, verify or prune job, 3 to 32 characters.
    JobId, 3, 32
);
safe_id_type!(
    /// Id of an encryption key that the server holds for sync jobs, 3 to 32 characters.
    KeyId, 3, 32
);
safe_id_type!(
    /// Id of a traffic-control rule, 3 to 32 characters.
    RuleName, 3, 32
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_pattern_and_a_length() {
        assert!("tank".parse::<DatastoreName>().is_ok());
        assert_eq!("ab".parse::<DatastoreName>(), Err(NameError::TooShort { min: 3 }));
        assert_eq!("a".repeat(33).parse::<JobId>(), Err(NameError::TooLong { max: 32 }));
        assert_eq!("-abc".parse::<RemoteName>(), Err(NameError::Pattern));
        assert_eq!("a/b1".parse::<RemoteName>(), Err(NameError::Pattern));
        assert_eq!("../..".parse::<RemoteName>(), Err(NameError::Pattern));
    }

    #[test]
    fn names_read_and_write_as_json_strings() {
        let name: DatastoreName = serde_json::from_str("\"tank\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"tank\"");
        assert!(serde_json::from_str::<DatastoreName>("\"a b c\"").is_err());
    }
}
