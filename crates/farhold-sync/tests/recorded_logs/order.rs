//! The order of lines, as the recorded pulls have it. Source: `docs/spec/sync.md` 14.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::shapes::Shapes;

/// Lines of a whole run, those of groups left out.
static RUN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        "^(begin (schedule )?ends |once )\
    (key )*(compat compat-hint )?\
    (dashes namespace (created )?(refused |unlisted |found (removed-group |kept-group |storage )*(finished )?))*\
    (removed-namespace |kept-namespace |removal-failed |storage )*\
    ((nothing |summary )(removed )?end |once-end )?\
    (warning )*(queued )?(result )?$",
    )
    .unwrap()
});

/// Lines of a group. Where a snapshot fails, nothing but its progress and its error follows; the reference then gives up
/// the group, and we go on with the next snapshot (W23).
static GROUP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        "^(in-progress )*(in-progress-more )?(skipped )*\
    ((new |again )(key |no-key |mixed )?((changed )?(blob |index downloaded ))*\
    ((log )?(unchanged )?(done |vanished |filtered )?(progress |within )|\
    (changed )?(blob |index )?(progress |within )?(failed |unfinished )))*\
    (removed-snapshot |kept-snapshot |storage )*\
    (failed )?(failed-more )?(group-done )?$",
    )
    .unwrap()
});

/// One line, as far as order goes.
#[derive(Debug, Clone)]
pub struct Word {
    pub word: &'static str,
    /// The group in its prefix.
    pub group: Option<String>,
}

/// Returns the words of a log; lines without times.
///
/// # Errors
/// A line of no kind.
pub fn words(shapes: &Shapes, lines: &[String]) -> Result<Vec<Word>, String> {
    let word = |line: &String| {
        let word = shapes.word(line).ok_or_else(|| format!("no line of ours: {line}"))?;
        let group = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        Ok(Word { word, group: group.map(|(group, _)| group.to_owned()) })
    };
    lines.iter().map(word).collect()
}

/// Checks the order of a log; lines without times.
///
/// # Errors
/// The words of what does not fit, and where.
pub fn check(shapes: &Shapes, lines: &[String]) -> Result<(), String> {
    check_with(shapes, lines, &RUN, &GROUP)
}

/// Checks the order of a log by other rules; lines without times.
///
/// # Errors
/// As [`check`].
pub fn check_with(shapes: &Shapes, lines: &[String], run: &Regex, group: &Regex) -> Result<(), String> {
    let is_cut = !lines.last().is_some_and(|line| line.starts_with("TASK") || line.ends_with(" end"))
        || lines.iter().any(|line| line == "TASK ERROR: sync aborted");
    check_words_with(&words(shapes, lines)?, is_cut, run, group)
}

/// Checks the order of a log, which may have been cut off anywhere.
///
/// # Errors
/// As [`check`].
pub fn check_words(words: &[Word], is_cut: bool) -> Result<(), String> {
    check_words_with(words, is_cut, &RUN, &GROUP)
}

fn check_words_with(words: &[Word], is_cut: bool, of_run: &Regex, of_group: &Regex) -> Result<(), String> {
    let mut run = String::new();
    let mut groups: BTreeMap<(usize, &str), String> = BTreeMap::new();
    let mut namespace = 0;
    for Word { word, group } in words {
        namespace += usize::from(*word == "dashes");
        let words = match group {
            Some(group) => groups.entry((namespace, group)).or_default(),
            None => &mut run,
        };
        words.push_str(word);
        words.push(' ');
    }
    if !of_run.is_match(&run) {
        return Err(format!("order of the run: {run}"));
    }
    // The last line of a run that was cut off can be any.
    let fits = |words: &str| of_group.is_match(words) || (is_cut && of_group.is_match(&format!("{words}unfinished ")));
    match groups.iter().find(|(_, words)| !fits(words)) {
        None => Ok(()),
        Some(((namespace, group), words)) => Err(format!("order of {group} in namespace {namespace}: {words}")),
    }
}
