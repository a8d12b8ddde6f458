//! The values that one field of a calendar event allows.

/// Numbers `first`, `first + step`, ... up to `last`, or without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub first: i64,
    pub last: Option<i64>,
    /// At least 1.
    pub step: i64,
}

impl Range {
    fn contains(self, value: i64) -> bool {
        self.first <= value && self.last.is_none_or(|last| value <= last) && (value - self.first) % self.step == 0
    }

    /// Returns the smallest number of the range above `value`.
    fn next_above(self, value: i64) -> Option<i64> {
        let next = if value < self.first {
            self.first
        } else {
            self.first + ((value - self.first) / self.step + 1) * self.step
        };
        self.last.is_none_or(|last| next <= last).then_some(next)
    }
}

/// What one field allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Values {
    /// Empty: every value.
    ranges: Vec<Range>,
}

impl Values {
    /// Returns a field without limits.
    pub const fn every() -> Self {
        Self { ranges: Vec::new() }
    }

    /// Returns a field that allows one value.
    pub fn only(value: i64) -> Self {
        Self::of(vec![Range { first: value, last: Some(value), step: 1 }])
    }

    /// Returns a field that allows the values of all `ranges`; none: every value.
    pub const fn of(ranges: Vec<Range>) -> Self {
        Self { ranges }
    }

    /// Returns whether the field allows `value`.
    pub fn contains(&self, value: i64) -> bool {
        self.ranges.is_empty() || self.ranges.iter().any(|range| range.contains(value))
    }

    /// Returns the smallest listed value above `value`.
    ///
    /// A step without end goes on beyond what the field can hold: the caller carries into the next larger unit. The
    /// specification wants it so (1.3, "steps that do not divide the unit").
    pub fn next_above(&self, value: i64) -> Option<i64> {
        if self.ranges.is_empty() {
            return Some(value + 1);
        }
        self.ranges.iter().filter_map(|range| range.next_above(value)).min()
    }
}
