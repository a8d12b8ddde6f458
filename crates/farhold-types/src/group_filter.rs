//! Group filters of sync jobs: which backup groups are in scope.
//!
//! Source: `docs/spec/sync.md` 5, `docs/spec/config-and-access.md` 2.8.

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use crate::backup::{BackupType, Group};
use crate::name::{NameError, text_value};

/// Whether matching groups are taken or left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterAction {
    /// Groups that match are in scope.
    Include,
    /// Groups that match are not in scope.
    Exclude,
}

/// What a filter looks at.
#[derive(Debug, Clone)]
pub enum FilterKind {
    /// All groups of one type.
    Type(BackupType),
    /// One group.
    Group(Group),
    /// Groups whose text form `<type>/<id>` the expression matches anywhere.
    Regex(Regex),
}

/// One filter. Text form: `[include:|exclude:]` then `type:vm`, `group:vm/100` or `regex:<expr>`; written without
/// `include:`.
#[derive(Clone)]
pub struct GroupFilter {
    /// Include or exclude.
    pub action: FilterAction,
    /// What it looks at.
    pub kind: FilterKind,
}

/// Bound on the compiled size of one expression, so that a configuration file cannot exhaust memory.
const MAX_REGEX_BYTES: usize = 1 << 20;

impl GroupFilter {
    /// Returns whether the filter's expression matches `group`, whatever its action.
    pub fn matches(&self, group: &Group) -> bool {
        match &self.kind {
            FilterKind::Type(backup_type) => group.backup_type == *backup_type,
            FilterKind::Group(wanted) => group == wanted,
            FilterKind::Regex(regex) => regex.is_match(&group.to_string()),
        }
    }

    /// Returns whether `group` is in the scope of `filters`: no include filter or one that matches, and no exclude
    /// filter that matches. Order does not matter.
    pub fn in_scope(filters: &[Self], group: &Group) -> bool {
        let of = |action| filters.iter().filter(move |f| f.action == action);
        let included =
            of(FilterAction::Include).next().is_none() || of(FilterAction::Include).any(|f| f.matches(group));
        included && !of(FilterAction::Exclude).any(|f| f.matches(group))
    }
}

impl FromStr for GroupFilter {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (action, rest) = match text.split_once(':') {
            Some(("include", rest)) => (FilterAction::Include, rest),
            Some(("exclude", rest)) => (FilterAction::Exclude, rest),
            _ => (FilterAction::Include, text),
        };
        let kind = match rest.split_once(':') {
            Some(("type", value)) => FilterKind::Type(value.parse()?),
            Some(("group", value)) => FilterKind::Group(value.parse()?),
            Some(("regex", value)) => FilterKind::Regex(
                regex::RegexBuilder::new(value)
                    .size_limit(MAX_REGEX_BYTES)
                    .build()
                    .map_err(|_| NameError::Form("invalid regular expression in group filter"))?,
            ),
            _ => {
                return Err(NameError::Form("group filter must start with type:, group: or regex:"));
            }
        };
        Ok(Self { action, kind })
    }
}

impl fmt::Display for GroupFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.action == FilterAction::Exclude {
            f.write_str("exclude:")?;
        }
        match &self.kind {
            FilterKind::Type(backup_type) => write!(f, "type:{backup_type}"),
            FilterKind::Group(group) => write!(f, "group:{group}"),
            FilterKind::Regex(regex) => write!(f, "regex:{regex}"),
        }
    }
}

impl PartialEq for GroupFilter {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for GroupFilter {}

text_value!(GroupFilter);

#[cfg(test)]
mod tests {
    use super::*;

    fn in_scope(filters: &[&str], group: &str) -> bool {
        let filters: Vec<GroupFilter> = filters.iter().map(|f| f.parse().unwrap()).collect();
        GroupFilter::in_scope(&filters, &group.parse().unwrap())
    }

    #[test]
    fn a_group_needs_an_include_if_there_is_one_and_no_exclude() {
        assert!(in_scope(&[], "vm/100"));
        assert!(in_scope(&["type:vm", "exclude:group:vm/100"], "vm/101"));
        assert!(!in_scope(&["type:vm", "exclude:group:vm/100"], "vm/100"));
        assert!(!in_scope(&["exclude:group:vm/100", "type:vm"], "ct/1"));
        assert!(in_scope(&["exclude:type:ct"], "host/a"));
        assert!(in_scope(&["regex:1"], "vm/21"), "expressions are not anchored");
        assert!(in_scope(&["regex:"], "vm/21"), "the empty expression matches everything");
    }

    #[test]
    fn filters_read_and_write_in_canonical_form() {
        for (text, canonical) in
            [("include:type:vm", "type:vm"), ("exclude:regex:^vm/9\\d:x$", "exclude:regex:^vm/9\\d:x$")]
        {
            assert_eq!(text.parse::<GroupFilter>().unwrap().to_string(), canonical);
        }
        for bad in ["", "type:qemu", "group:vm", "group:vm/a/b", "regex:(", "exclude:foo:bar", "vm", "regex:(?=a)"] {
            assert!(bad.parse::<GroupFilter>().is_err(), "{bad}");
        }
    }
}
