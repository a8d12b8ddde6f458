//! How many tasks have ended since the program started, by type and result.

use std::collections::BTreeMap;

use farhold_format::task_log::TaskStatus;

use crate::filter::StatusKind;

/// Most worker types that are told apart; ours are some dozens.
const MAX_TYPES: usize = 200;

/// Under which type the tasks beyond that are counted.
const OTHER: &str = "other";

/// Ended tasks by worker type and kind of result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndedCounts(BTreeMap<String, BTreeMap<StatusKind, u64>>);

impl EndedCounts {
    pub(crate) fn add(&mut self, worker_type: &str, status: &TaskStatus) {
        let is_full = MAX_TYPES <= self.0.len() && !self.0.contains_key(worker_type);
        let name = if is_full { OTHER } else { worker_type };
        *self.0.entry(name.to_owned()).or_default().entry(StatusKind::of(status)).or_default() += 1;
    }

    /// Returns worker type, kind of result and count, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, StatusKind, u64)> {
        self.0.iter().flat_map(|(name, counts)| counts.iter().map(move |(kind, count)| (name.as_str(), *kind, *count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_bounded_and_results_told_apart() {
        let mut counts = EndedCounts::default();
        counts.add("sync", &TaskStatus::Ok);
        counts.add("sync", &TaskStatus::Ok);
        counts.add("sync", &TaskStatus::Error("x".to_owned()));
        let found: Vec<_> = counts.iter().collect();
        assert_eq!(found, [("sync", StatusKind::Ok, 2), ("sync", StatusKind::Error, 1)]);
        for number in 0..2 * MAX_TYPES {
            counts.add(&format!("t{number}"), &TaskStatus::Warnings(1));
        }
        counts.add("sync", &TaskStatus::Unknown);
        assert_eq!(counts.0.len(), MAX_TYPES + 1);
        let others = counts.iter().find(|(name, ..)| *name == OTHER).unwrap();
        assert_eq!(others.2 as usize, MAX_TYPES + 1);
        assert!(counts.iter().any(|(name, kind, _)| (name, kind) == ("sync", StatusKind::Unknown)));
    }
}
