//! Which namespaces a sync covers, where each one goes, and in which order.
//!
//! The remote answers what it likes; what lies outside the asked-for scope is dropped here, so that nothing behind this
//! module can touch a namespace that the job does not name. No IO: the caller asks the remote and brings the answer.
//!
//! Source: `docs/spec/sync.md` 2.3 rule 5 and 4.

use std::collections::BTreeSet;

use farhold_types::{MAX_NAMESPACE_DEPTH, Namespace, NamespaceError};
use thiserror::Error;

/// Why the namespaces of a sync cannot be mapped.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MapError {
    /// An anchor's depth and the configured `max-depth` exceed the limit together.
    #[error(
        "namespace depth limit exceeded: depth of namespace '{anchor}' + max-depth ({max_depth}) is above {MAX_NAMESPACE_DEPTH}"
    )]
    ConfiguredDepth {
        /// The anchor that leaves too little room.
        anchor: Namespace,
        /// Configured number of levels below it.
        max_depth: u8,
    },
    /// What was discovered below the source anchor does not fit below the target anchor.
    #[error(
        "namespace depth limit exceeded: source subtree depth ({subtree}) + target depth ({target}) would exceed max \
         ({MAX_NAMESPACE_DEPTH})"
    )]
    DiscoveredDepth {
        /// Levels below the source anchor.
        subtree: usize,
        /// Depth of the target anchor.
        target: usize,
    },
    /// A mapped name is too long.
    #[error("namespace '{namespace}' has no valid name on the target")]
    Name {
        /// The source namespace.
        namespace: Namespace,
        /// What is wrong with the mapped name.
        #[source]
        source: NamespaceError,
    },
    /// The source shows nothing at or below the anchor: it does not exist or is hidden.
    #[error("source has no namespace at or below '{anchor}', or hides it")]
    NothingInScope {
        /// The source anchor.
        anchor: Namespace,
    },
    /// The remote has no namespaces and the job needs them.
    #[error("remote does not support namespaces, but the job needs them")]
    Unsupported,
}

/// How the namespaces of a source are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// The root only; the source's namespace listing is not asked, so it works with remotes that have none.
    RootOnly,
    /// Ask the source for the anchor and what lies below.
    Ask,
}

/// What a run does when the source answers that it has no namespace listing (HTTP 404).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    /// Sync the root without recursion and without removing namespaces, warn, and end in error.
    CompatibilityMode,
    /// The run fails at once with [`MapError::Unsupported`].
    Fail,
}

/// Returns how to find the namespaces of a job. Source: `docs/spec/sync.md` 4.1 steps 1 and 2.
pub fn discovery(source_anchor: &Namespace, max_depth: Option<u8>) -> Discovery {
    if source_anchor.is_root() && max_depth == Some(0) { Discovery::RootOnly } else { Discovery::Ask }
}

/// Returns what to do with a source that has no namespaces. Source: `docs/spec/sync.md` 4.1 step 3.
pub fn when_unsupported(source_anchor: &Namespace, max_depth: Option<u8>) -> Unsupported {
    if source_anchor.is_root() && max_depth.is_none() { Unsupported::CompatibilityMode } else { Unsupported::Fail }
}

/// Checks that both anchors leave room for `max_depth` levels; holds trivially when it is not set.
///
/// # Errors
/// [`MapError::ConfiguredDepth`] names the anchor that does not.
///
/// Source: `docs/spec/sync.md` 2.3 rule 5, checked again at the start of each run (4.2).
pub fn check_depth_rule(local: &Namespace, remote: &Namespace, max_depth: Option<u8>) -> Result<(), MapError> {
    let Some(max_depth) = max_depth else {
        return Ok(());
    };
    match [local, remote].into_iter().find(|a| MAX_NAMESPACE_DEPTH < a.depth() + usize::from(max_depth)) {
        Some(anchor) => Err(MapError::ConfiguredDepth { anchor: anchor.clone(), max_depth }),
        None => Ok(()),
    }
}

/// A source namespace and where its groups go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacePair {
    /// Namespace on the source.
    pub source: Namespace,
    /// Namespace on the target.
    pub target: Namespace,
}

/// Maps the namespaces that the source reported, in processing order: ascending length of the text form, which puts
/// parents before children; equal lengths by name.
///
/// `discovered`: as the source listed them, in any order. Those outside the anchor or deeper than `max_depth` and
/// duplicates are dropped.
///
/// # Errors
/// Nothing left in scope; a tree too deep for the target anchor; a mapped name too long. All before anything is synced.
///
/// Source: `docs/spec/sync.md` 4.2.
pub fn map_namespaces(
    discovered: impl IntoIterator<Item = Namespace>,
    source_anchor: &Namespace,
    target_anchor: &Namespace,
    max_depth: Option<u8>,
) -> Result<Vec<NamespacePair>, MapError> {
    let levels = |ns: &Namespace| ns.depth() - source_anchor.depth();
    let in_scope: BTreeSet<Namespace> = discovered
        .into_iter()
        .filter(|ns| ns.is_at_or_below(source_anchor))
        .filter(|ns| max_depth.is_none_or(|max| levels(ns) <= usize::from(max)))
        .collect();
    let Some(subtree) = in_scope.iter().map(levels).max() else {
        return Err(MapError::NothingInScope { anchor: source_anchor.clone() });
    };
    if MAX_NAMESPACE_DEPTH < subtree + target_anchor.depth() {
        return Err(MapError::DiscoveredDepth { subtree, target: target_anchor.depth() });
    }
    let mut pairs = Vec::with_capacity(in_scope.len());
    for source in in_scope {
        match source.remap(source_anchor, target_anchor) {
            Ok(target) => pairs.push(NamespacePair { source, target }),
            Err(error) => return Err(MapError::Name { namespace: source, source: error }),
        }
    }
    pairs.sort_by_key(|pair| pair.source.to_string().len());
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ns(text: &str) -> Namespace {
        text.parse().unwrap()
    }

    fn map(discovered: &[&str], from: &str, to: &str, max_depth: Option<u8>) -> Result<Vec<String>, MapError> {
        let pairs = map_namespaces(discovered.iter().map(|t| ns(t)), &ns(from), &ns(to), max_depth)?;
        Ok(pairs.iter().map(|p| format!("{}>{}", p.source, p.target)).collect())
    }

    #[test]
    fn the_manuals_tree_is_mapped_and_nothing_beside_it() {
        let tree = [
            "",
            "location_a",
            "location_a/department_x/team_two",
            "location_a/department_x",
            "location_a/department_x/team_one",
            "location_a/department_y",
            "location_b",
        ];
        let found = map(&tree, "location_a/department_x", "location_a_dep_x", None).unwrap();
        assert_eq!(
            found,
            [
                "location_a/department_x>location_a_dep_x",
                "location_a/department_x/team_one>location_a_dep_x/team_one",
                "location_a/department_x/team_two>location_a_dep_x/team_two",
            ]
        );
        assert_eq!(map(&tree, "location_a/department_x", "x", Some(0)).unwrap(), ["location_a/department_x>x"]);
        assert_eq!(map(&tree, "", "", Some(1)).unwrap(), [">", "location_a>location_a", "location_b>location_b"]);
    }

    #[test]
    fn a_tree_too_deep_for_the_target_fails_before_anything() {
        let error = map(&["", "a/b/c/d/e/f/g"], "", "xx", None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "namespace depth limit exceeded: source subtree depth (7) + target depth (1) would exceed max (7)"
        );
        assert!(map(&["a/b/c/d/e/f/g"], "a/b", "xx", None).is_ok());
    }

    #[test]
    fn an_answer_without_the_anchor_is_an_error_only_if_nothing_is_left() {
        assert!(matches!(map(&["other"], "gone", "", None), Err(MapError::NothingInScope { .. })));
        assert_eq!(map(&["gone/child"], "gone", "t", None).unwrap(), ["gone/child>t/child"]);
    }

    #[test]
    fn the_configured_depth_counts_from_both_anchors() {
        assert!(check_depth_rule(&ns("a"), &ns(""), Some(6)).is_ok());
        assert!(check_depth_rule(&ns("a"), &ns(""), Some(7)).is_err());
        assert!(check_depth_rule(&ns(""), &ns("a"), Some(7)).is_err());
        assert!(check_depth_rule(&ns("a/b/c/d/e/f/g"), &ns(""), None).is_ok());
    }

    #[test]
    fn only_a_root_job_without_depth_tolerates_a_remote_without_namespaces() {
        assert_eq!(discovery(&ns(""), Some(0)), Discovery::RootOnly);
        assert_eq!(discovery(&ns("a"), Some(0)), Discovery::Ask);
        assert_eq!(discovery(&ns(""), None), Discovery::Ask);
        assert_eq!(when_unsupported(&ns(""), None), Unsupported::CompatibilityMode);
        assert_eq!(when_unsupported(&ns(""), Some(1)), Unsupported::Fail);
        assert_eq!(when_unsupported(&ns("a"), None), Unsupported::Fail);
        assert_eq!(when_unsupported(&ns("a"), Some(0)), Unsupported::Fail);
    }

    proptest! {
        #[test]
        fn mapping_stays_in_scope_puts_parents_first_and_never_maps_two_to_one(
            found in proptest::collection::vec(proptest::collection::vec("[ab]", 0..5), 0..20),
            from in proptest::collection::vec("[ab]", 0..3),
            to in proptest::collection::vec("[xy]", 0..3),
            max_depth in proptest::option::of(0u8..4),
        ) {
            let make = |c: &[String]| Namespace::from_components(c.to_vec()).unwrap();
            let (from, to) = (make(&from), make(&to));
            let Ok(pairs) = map_namespaces(found.iter().map(|c| make(c)), &from, &to, max_depth) else {
                return Ok(());
            };
            let mut targets = BTreeSet::new();
            for (i, pair) in pairs.iter().enumerate() {
                prop_assert!(pair.source.is_at_or_below(&from) && pair.target.is_at_or_below(&to));
                let levels = pair.source.depth() - from.depth();
                prop_assert!(max_depth.is_none_or(|max| levels <= usize::from(max)));
                prop_assert_eq!(pair.target.depth(), to.depth() + levels);
                prop_assert!(targets.insert(pair.target.clone()));
                prop_assert!(pairs[i + 1..].iter().all(|later| !pair.source.is_at_or_below(&later.source)));
            }
        }
    }
}
