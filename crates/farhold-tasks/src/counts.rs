//! How many tasks have ended since the program started, by type and result.

use std::collections::BTreeMap;

use farhold_format::task_log::TaskStatus;

/// Most worker types that are told apart; ours are some dozens.
const MAX_TYPES: usize = 200;

/// Under which type the tasks beyond that are counted.
const OTHER: &str = "other";

/// How tasks end, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Success.
    Ok,
    /// Success with warnings.
    Warnings,
    /// Failure.
    Error,
    /// Without a result.
    Unknown,
}

impl Outcome {
    /// Returns the outcome that a status is.
    pub const fn of(status: &TaskStatus) -> Self {
        match status {
            TaskStatus::Ok => Self::Ok,
            TaskStatus::Warnings(_) => Self::Warnings,
            TaskStatus::Error(_) => Self::Error,
            TaskStatus::Unknown => Self::Unknown,
        }
    }

    /// Returns the word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warnings => "warnings",
            Self::Error => "error",
            Self::Unknown => "unknown",
        }
    }
}

/// Ended tasks by worker type and outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndedCounts(BTreeMap<String, BTreeMap<Outcome, u64>>);

impl EndedCounts {
    pub(crate) fn add(&mut self, worker_type: &str, status: &TaskStatus) {
        let is_full = MAX_TYPES <= self.0.len() && !self.0.contains_key(worker_type);
        let name = if is_full { OTHER } else { worker_type };
        *self.0.entry(name.to_owned()).or_default().entry(Outcome::of(status)).or_default() += 1;
    }

    /// Returns worker type, outcome and count, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Outcome, u64)> {
        self.0
            .iter()
            .flat_map(|(name, counts)| counts.iter().map(move |(outcome, count)| (name.as_str(), *outcome, *count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_bounded_and_outcomes_told_apart() {
        let mut counts = EndedCounts::default();
        counts.add("sync", &TaskStatus::Ok);
        counts.add("sync", &TaskStatus::Ok);
        counts.add("sync", &TaskStatus::Error("x".to_owned()));
        let found: Vec<_> = counts.iter().collect();
        assert_eq!(found, [("sync", Outcome::Ok, 2), ("sync", Outcome::Error, 1)]);
        for number in 0..2 * MAX_TYPES {
            counts.add(&format!("t{number}"), &TaskStatus::Warnings(1));
        }
        counts.add("sync", &TaskStatus::Unknown);
        assert_eq!(counts.0.len(), MAX_TYPES + 1);
        let others = counts.iter().find(|(name, ..)| *name == OTHER).unwrap();
        assert_eq!(others.2 as usize, MAX_TYPES + 1);
        assert!(counts.iter().any(|(name, outcome, _)| (name, outcome) == ("sync", Outcome::Unknown)));
    }
}
