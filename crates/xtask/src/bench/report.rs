//! The figures of a benchmark and how they are shown.

use std::fmt;

const MIB: f64 = 1_048_576.0;

/// One pull and the one after it that found nothing new.
#[derive(Debug, Clone)]
pub(super) struct Measurement {
    pub(super) line: &'static str,
    pub(super) seconds: f64,
    pub(super) again_seconds: f64,
    pub(super) source_cpu: f64,
    pub(super) target_cpu: f64,
    /// CPU seconds of everything else on the machine: the relay, the kernel, and strangers.
    pub(super) other_cpu: f64,
    pub(super) source_peak_bytes: u64,
    pub(super) target_peak_bytes: u64,
    /// Most connections that were seen at once.
    pub(super) connections: usize,
    /// Bytes through the relay in both directions, TLS included.
    pub(super) wire_bytes: Option<u64>,
    pub(super) again_wire_bytes: Option<u64>,
}

/// All measurements of one benchmark.
#[derive(Debug)]
pub(super) struct Report {
    content_bytes: u64,
    stored_bytes: u64,
    /// CPU seconds of decoding and hashing all chunks on one thread, each time it was measured.
    pub(super) yardsticks: Vec<f64>,
    pub(super) measurements: Vec<Measurement>,
}

impl Report {
    pub(super) const fn new(content_bytes: u64, stored_bytes: u64) -> Self {
        Self { content_bytes, stored_bytes, yardsticks: Vec::new(), measurements: Vec::new() }
    }

    /// One line of the table from what `figure` returns for a column's number.
    fn row(&self, f: &mut fmt::Formatter<'_>, name: &str, m: &[&Measurement]) -> fmt::Result {
        let of = |figure: fn(&Measurement) -> f64| median(m.iter().map(|m| figure(m)));
        let seconds = of(|m| m.seconds);
        let yardstick = median(self.yardsticks.iter().copied());
        write!(
            f,
            "| {name:<12} | {seconds:>7.2} | {:>5.2} | {:>8.0} | {:>8.0} | {:>5.0} |",
            seconds / yardstick,
            mib(self.stored_bytes) / seconds,
            mib(self.content_bytes) / seconds,
            of(|m| whole(m.connections as u64)),
        )?;
        match m.iter().map(|m| m.wire_bytes).collect::<Option<Vec<_>>>() {
            Some(bytes) => write!(f, " {:>8.1} |", median(bytes.into_iter().map(mib)))?,
            None => write!(f, " {:>8} |", "-")?,
        }
        write!(
            f,
            " {:>7.2} | {:>7.2} | {:>7.2} | {:>7.0} | {:>7.0} | {:>7.2} |",
            of(|m| m.source_cpu),
            of(|m| m.target_cpu),
            of(|m| m.other_cpu),
            of(|m| mib(m.source_peak_bytes)),
            of(|m| mib(m.target_peak_bytes)),
            of(|m| m.again_seconds),
        )?;
        match m.iter().map(|m| m.again_wire_bytes).collect::<Option<Vec<_>>>() {
            Some(bytes) => writeln!(f, " {:>6.1} |", median(bytes.into_iter().map(whole)) / 1024.0),
            None => writeln!(f, " {:>6} |", "-"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yardsticks: Vec<_> = self.yardsticks.iter().map(|seconds| format!("{seconds:.2}")).collect();
        writeln!(
            f,
            "image: {:.0} MiB, stored {:.1} MiB\nT = {:.2} CPU s to decode and hash it on one thread (measured: {})\n",
            mib(self.content_bytes),
            mib(self.stored_bytes),
            median(self.yardsticks.iter().copied()),
            yardsticks.join(", ")
        )?;
        writeln!(
            f,
            "| {:<12} | {:>7} | {:>5} | {:>8} | {:>8} | {:>5} | {:>8} | {:>7} | {:>7} | {:>7} | {:>7} | {:>7} | {:>7} | {:>6} |",
            "",
            "seconds",
            "/ T",
            "stored",
            "content",
            "conn.",
            "wire",
            "CPU s",
            "CPU s",
            "CPU s",
            "peak",
            "peak",
            "again",
            "wire",
        )?;
        writeln!(
            f,
            "| {:<12} | {:>7} | {:>5} | {:>8} | {:>8} | {:>5} | {:>8} | {:>7} | {:>7} | {:>7} | {:>7} | {:>7} | {:>7} | {:>6} |",
            "", "", "", "MiB/s", "MiB/s", "", "MiB", "source", "target", "others", "src MiB", "tgt MiB", "s", "KiB",
        )?;
        let mut lines: Vec<&str> = self.measurements.iter().map(|m| m.line).collect();
        lines.dedup();
        for line in lines {
            let all: Vec<_> = self.measurements.iter().filter(|m| m.line == line).collect();
            for (i, measurement) in all.iter().enumerate() {
                self.row(f, &format!("{line} {}", i + 1), &[measurement])?;
            }
            self.row(f, &format!("{line} median"), &all)?;
        }
        Ok(())
    }
}

fn mib(bytes: u64) -> f64 {
    whole(bytes) / MIB
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
const fn whole(number: u64) -> f64 {
    number as f64
}

/// The middle value; of two middle ones the smaller. 0 for no values.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios_are_shown() {
        let mut report = Report::new(2048 << 20, 337 << 20);
        report.yardsticks = vec![4.0, 2.0, 9.0];
        for seconds in [2.0, 8.0, 6.0] {
            report.measurements.push(Measurement {
                line: "near",
                seconds,
                again_seconds: 0.25,
                source_cpu: 1.0,
                target_cpu: 3.0,
                other_cpu: 0.5,
                source_peak_bytes: 10 << 20,
                target_peak_bytes: 20 << 20,
                connections: 5,
                wire_bytes: None,
                again_wire_bytes: None,
            });
        }
        let shown = report.to_string();
        assert!(shown.contains("T = 4.00 CPU s"), "{shown}");
        let last: Vec<&str> = shown.lines().last().unwrap().split('|').map(str::trim).collect();
        assert_eq!(&last[1..8], ["near median", "6.00", "1.50", "56", "341", "5", "-"]);
        assert_eq!(shown.lines().filter(|line| line.starts_with("| near")).count(), 4);
    }

    #[test]
    fn the_middle_value_is_the_median() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0].into_iter()), 1.0);
        assert_eq!(median(std::iter::empty()), 0.0);
    }
}
