//! Measurements over time: at which steps they are kept, how fine rows become coarse ones, and what they foretell.
//!
//! A row is what one step of time gave: for each measure the average and the largest value. Coarse rows are made of
//! fine ones, so that nothing has to be remembered between two measurements. Where the rows lie is not this file's
//! business. Source of the steps: `docs/spec/rest-api.md` 12.11.

use farhold_types::Epoch;

/// Rows of one length in time, of which only the latest are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// Seconds that one row covers.
    pub step_s: i64,
    /// How many rows are kept.
    pub rows: u32,
}

/// All resolutions, the finest first. Each step is a multiple of the one before.
///
/// A day of minutes, a month of half hours, nearly a year of quarter days, ten years of weeks: every timeframe below
/// fits into its resolution.
pub const RESOLUTIONS: [Resolution; 4] = [
    Resolution { step_s: 60, rows: 1_441 },
    Resolution { step_s: 1_800, rows: 1_441 },
    Resolution { step_s: 21_600, rows: 1_465 },
    Resolution { step_s: 604_800, rows: 530 },
];

impl Resolution {
    /// Returns the start of the row that `time` falls into.
    pub const fn start_of(self, time: Epoch) -> Epoch {
        Epoch(time.0.div_euclid(self.step_s) * self.step_s)
    }

    /// Returns the place of the row that starts at `start`; it takes the place of an older row.
    pub const fn place_of(self, start: Epoch) -> u32 {
        // The remainder is below `rows`, which is a u32.
        (start.0 / self.step_s).rem_euclid(self.rows as i64) as u32
    }
}

/// How far a look back goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeframe {
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
    /// 30 days.
    Month,
    /// 365 days.
    Year,
    /// 3650 days.
    Decade,
}

impl Timeframe {
    /// Returns the timeframe of a word of the API.
    pub fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "year" => Self::Year,
            "decade" => Self::Decade,
            _ => return None,
        })
    }

    /// Returns its length in seconds.
    pub const fn seconds(self) -> i64 {
        let days = match self {
            Self::Hour => return 3_600,
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
            Self::Year => 365,
            Self::Decade => 3_650,
        };
        days * 86_400
    }

    /// Returns the index in [`RESOLUTIONS`] of the rows it is shown in.
    pub const fn resolution(self) -> usize {
        match self {
            Self::Hour | Self::Day => 0,
            Self::Week | Self::Month => 1,
            Self::Year => 2,
            Self::Decade => 3,
        }
    }

    /// Returns the starts of the rows that it covers, oldest first; the last is the one that is being filled at `now`.
    pub fn starts(self, now: Epoch) -> impl ExactSizeIterator<Item = Epoch> {
        let resolution = RESOLUTIONS[self.resolution()];
        let last = resolution.start_of(now);
        let count = u32::try_from(self.seconds() / resolution.step_s).unwrap_or(0);
        (0..count).rev().map(move |back| Epoch(last.0 - i64::from(back) * resolution.step_s))
    }
}

/// What one measure was during one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// The average.
    pub average: f64,
    /// The largest value.
    pub max: f64,
}

impl Cell {
    /// Returns the cell of one measurement.
    pub const fn of(value: f64) -> Self {
        Self { average: value, max: value }
    }
}

/// Returns the cell of a row that consists of `finer` ones: averages weigh alike, unknown ones do not count.
pub fn consolidate(finer: impl IntoIterator<Item = Option<Cell>>) -> Option<Cell> {
    let (mut count, mut sum, mut max) = (0_u32, 0.0, f64::NEG_INFINITY);
    for cell in finer.into_iter().flatten() {
        count += 1;
        sum += cell.average;
        max = cell.max.max(max);
    }
    (count != 0).then(|| Cell { average: sum / f64::from(count), max })
}

/// Returns how fast a counter grew per second, between two readings `seconds` apart.
///
/// `None` if no time passed or the counter began anew, as after a restart of what it counts.
pub fn rate(earlier: u64, later: u64, seconds: f64) -> Option<f64> {
    let grown = later.checked_sub(earlier)?;
    (0.0 < seconds).then(|| grown as f64 / seconds)
}

/// Fewest points that a forecast needs. Source: `docs/spec/rest-api.md` 16.
const FEWEST_POINTS: usize = 7;

/// A growth below this part of the whole over all points is none: it is the noise of the arithmetic.
const FLAT: f64 = 1e-9;

/// Returns when something will be full (1.0) if it goes on as in `points` (time, filled part), by linear regression.
///
/// A time in the past means that it shrinks, 0 that it stays as it is, `None` that there are too few points to tell.
pub fn estimated_full_date(points: &[(Epoch, f64)]) -> Option<Epoch> {
    let (first, _) = *points.first()?;
    if points.len() < FEWEST_POINTS {
        return None;
    }
    let count = points.len() as f64;
    // Seconds since the first point: squares of epochs would lose what matters.
    let x = |time: Epoch| (time.0 - first.0) as f64;
    let mean_x = points.iter().map(|(time, _)| x(*time)).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, part)| part).sum::<f64>() / count;
    let spread = points.iter().map(|(time, _)| (x(*time) - mean_x).powi(2)).sum::<f64>();
    let together = points.iter().map(|(time, part)| (x(*time) - mean_x) * (part - mean_y)).sum::<f64>();
    let slope = if spread == 0.0 { 0.0 } else { together / spread };
    let span = points.iter().map(|(time, _)| x(*time)).fold(0.0, f64::max);
    if (slope * span).abs() < FLAT {
        return Some(Epoch(0));
    }
    let full_at = mean_x + (1.0 - mean_y) / slope + first.0 as f64;
    // So slow that it is beyond any calendar: as good as not at all.
    let is_a_date = full_at.abs() <= Epoch::MAX.0 as f64;
    Some(if is_a_date { Epoch(full_at as i64) } else { Epoch(0) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Epoch = Epoch(1_795_383_149);

    #[test]
    fn every_timeframe_fits_into_its_rows_and_ends_now() {
        use Timeframe::{Day, Decade, Hour, Month, Week, Year};
        let shown = [(Hour, 60), (Day, 1_440), (Week, 336), (Month, 1_440), (Year, 1_460), (Decade, 521)];
        for (timeframe, count) in shown {
            let resolution = RESOLUTIONS[timeframe.resolution()];
            let starts: Vec<Epoch> = timeframe.starts(NOW).collect();
            assert_eq!(starts.len(), count, "{timeframe:?}");
            assert!(starts.len() <= resolution.rows as usize);
            let last = *starts.last().unwrap();
            assert!(last <= NOW && NOW.0 < last.0 + resolution.step_s);
            assert!(starts.windows(2).all(|pair| pair[1].0 - pair[0].0 == resolution.step_s));
            let mut places: Vec<u32> = starts.iter().map(|start| resolution.place_of(*start)).collect();
            assert!(places.iter().all(|place| *place < resolution.rows));
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), count, "{timeframe:?}: rows of one timeframe have places of their own");
        }
        assert!(RESOLUTIONS.windows(2).all(|pair| pair[1].step_s % pair[0].step_s == 0));
    }

    #[test]
    fn coarse_rows_have_the_mean_of_what_is_known_and_its_peak() {
        let cell = |average, max| Some(Cell { average, max });
        assert_eq!(consolidate([None, None]), None);
        assert_eq!(consolidate([cell(1.0, 4.0), None, cell(3.0, 3.0)]), cell(2.0, 4.0));
    }

    #[test]
    fn a_counter_that_began_anew_has_no_rate() {
        assert_eq!(rate(10, 40, 10.0), Some(3.0));
        assert_eq!(rate(40, 10, 10.0), None);
        assert_eq!(rate(10, 40, 0.0), None);
    }

    #[test]
    fn the_forecast_follows_the_line() {
        let line = |count: i64, slope: f64| -> Vec<(Epoch, f64)> {
            (0..count).map(|n| (Epoch(NOW.0 + n * 1_800), 0.5 + slope * (n * 1_800) as f64)).collect()
        };
        assert_eq!(estimated_full_date(&line(6, 1e-6)), None, "six points tell nothing");
        let full = estimated_full_date(&line(100, 1e-6)).unwrap();
        assert!((full.0 - (NOW.0 + 500_000)).abs() <= 1, "half is left, a millionth a second: {full:?}");
        let shrinking = estimated_full_date(&line(100, -1e-6)).unwrap();
        assert!(shrinking < NOW);
        assert_eq!(estimated_full_date(&line(100, 0.0)), Some(Epoch(0)));
        assert_eq!(estimated_full_date(&line(100, 1e-17)), Some(Epoch(0)));
        assert_eq!(estimated_full_date(&[(NOW, 0.5); 10]), Some(Epoch(0)), "all at one time");
    }

    proptest! {
        #[test]
        fn consolidating_keeps_averages_between_the_extremes(
            values in proptest::collection::vec(proptest::option::of(-1e12..1e12_f64), 0..40)
        ) {
            let known: Vec<f64> = values.iter().flatten().copied().collect();
            let cell = consolidate(values.iter().map(|value| value.map(Cell::of)));
            prop_assert_eq!(cell.is_some(), !known.is_empty());
            if let Some(cell) = cell {
                let (low, high) = known.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
                prop_assert_eq!(cell.max, high);
                let slack = 1e-9 * (1.0 + low.abs().max(high.abs()));
                prop_assert!(low - slack <= cell.average && cell.average <= high + slack);
            }
        }

        #[test]
        fn forecasts_never_panic(points in proptest::collection::vec((0..4_000_000_000_i64, -1.0..2.0_f64), 0..60)) {
            let points: Vec<_> = points.into_iter().map(|(time, part)| (Epoch(time), part)).collect();
            let _ = estimated_full_date(&points);
        }
    }
}
