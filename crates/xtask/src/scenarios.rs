//! The table of scenarios and faults of the sync specification, and of the tests that show them: `docs/scenarios.md`.
//!
//! A test belongs to a scenario by its name: `scenario_49a_...` or `fault_3_...`. What has no test is missing. Two things
//! are not looked at: whether a test passes (the tests tell), and whether it shows all of what the line says (the reader
//! tells, in [`NOT_SHOWN`]).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};

/// Where the text of the scenarios stands, from the root of the workspace.
const SPECIFICATION: &str = "docs/spec/sync.md";

/// Where the table goes, from the root of the workspace.
const TABLE: &str = "docs/scenarios.md";

/// What the tests of a line leave out: kind, number, and what no test shows.
const NOT_SHOWN: &[LeftOut] = &[];

type LeftOut = (Kind, &'static str, &'static str);

/// Annex B or annex C.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Scenario,
    Fault,
}

impl Kind {
    /// How names of tests begin.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Scenario => "scenario_",
            Self::Fault => "fault_",
        }
    }
}

/// One line of the specification.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    kind: Kind,
    /// Such as `49a`.
    number: String,
    /// Heading in the table.
    section: String,
    /// What it says, in one line.
    text: String,
}

/// One test function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Test {
    name: String,
    /// Path from the root of the workspace.
    file: String,
}

/// Tests by what they show.
type Tests = BTreeMap<(Kind, String), Vec<Test>>;

/// Writes the table.
///
/// # Errors
/// Unreadable files; a test or an entry of [`NOT_SHOWN`] that names what the specification does not have.
pub fn write(root: &Path) -> anyhow::Result<()> {
    let (text, missing) = generate(root)?;
    fs::write(root.join(TABLE), text).with_context(|| format!("failed to write {TABLE}"))?;
    println!(
        "{TABLE} written, without a test: {}",
        if missing.is_empty() { "none".into() } else { missing.join(", ") }
    );
    Ok(())
}

/// Compares the committed table with the sources.
///
/// # Errors
/// As [`write`]; the table differs; something has no test.
pub fn check(root: &Path) -> anyhow::Result<()> {
    let (text, missing) = generate(root)?;
    let committed = fs::read_to_string(root.join(TABLE)).unwrap_or_default();
    ensure!(committed == text, "{TABLE} is out of date: run `cargo xtask scenarios`");
    ensure!(missing.is_empty(), "without a test: {}", missing.join(", "));
    Ok(())
}

/// Returns the table, and what has no test.
fn generate(root: &Path) -> anyhow::Result<(String, Vec<String>)> {
    let specification =
        fs::read_to_string(root.join(SPECIFICATION)).with_context(|| format!("failed to read {SPECIFICATION}"))?;
    let rows = rows(&specification)?;
    let mut tests = Tests::new();
    collect(root, &root.join("crates"), &mut tests)?;
    table(&rows, tests, NOT_SHOWN)
}

/// Returns the scenarios and faults, in the order of the text.
fn rows(specification: &str) -> anyhow::Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    let (mut part, mut section) = (None, String::new());
    for line in specification.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            let heading = heading.trim_start_matches(['#', ' ']);
            part = match heading.split_whitespace().next() {
                Some("B.") => Some(Kind::Scenario),
                Some("C.1") => Some(Kind::Fault),
                _ => None,
            };
            "Faults of the reference that we do not copy".clone_into(&mut section);
        } else if let Some(title) = line.strip_prefix("**").and_then(|rest| rest.strip_suffix("**")) {
            title.clone_into(&mut section);
        } else if let Some((kind, (number, text))) =
            part.and_then(|kind| Some((kind, numbered(kind, line).filter(|(number, _)| is_number(number))?)))
        {
            ensure!(
                !rows.iter().any(|row| row.kind == kind && row.number == number),
                "{}{number} stands twice in {SPECIFICATION}",
                kind.prefix()
            );
            rows.push(Row { kind, number, section: section.clone(), text });
        }
    }
    ensure!(
        [Kind::Scenario, Kind::Fault].iter().all(|kind| rows.iter().any(|row| row.kind == *kind)),
        "no scenarios or no faults found in {SPECIFICATION}"
    );
    Ok(rows)
}

/// Splits `49a. text`, or `| 3 | what the reference does | what we do |`.
fn numbered(kind: Kind, line: &str) -> Option<(String, String)> {
    match kind {
        Kind::Scenario => line.split_once(". ").map(|(number, text)| (number.to_owned(), text.to_owned())),
        Kind::Fault => {
            let mut cells = line.strip_prefix('|')?.split(" | ").map(|cell| cell.trim_matches([' ', '|']));
            let (number, theirs, ours) = (cells.next()?, cells.next()?, cells.next()?);
            Some((number.to_owned(), format!("{theirs} We: {ours}")))
        }
    }
}

/// Digits, then at most one letter.
fn is_number(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && text.len() <= digits.len() + 1
}

/// Adds the tests of all source files below `folder`.
fn collect(root: &Path, folder: &Path, tests: &mut Tests) -> anyhow::Result<()> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))? {
        paths.push(entry?.path());
    }
    paths.sort();
    for path in paths {
        // This crate talks about such names, and tests none of them.
        if path.is_dir() && !path.ends_with("crates/xtask") {
            collect(root, &path, tests)?;
        } else if !path.is_dir() && path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
            let file = path.strip_prefix(root)?.to_string_lossy().into_owned();
            for (what, name) in tests_of(&source).with_context(|| file.clone())? {
                tests.entry(what).or_default().push(Test { name, file: file.clone() });
            }
        }
    }
    Ok(())
}

/// Returns the functions of one file that are named after a scenario or a fault.
fn tests_of(source: &str) -> anyhow::Result<Vec<((Kind, String), String)>> {
    let mut found = Vec::new();
    let mut attributes: Vec<&str> = Vec::new();
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            attributes.push(line);
            continue;
        }
        if line.starts_with("//") {
            continue;
        }
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let Some(name) = function.and_then(|rest| rest.split(['(', '<']).next())
            && let Some((kind, number)) = shown(name)
        {
            let is_test = |attribute: &&str| attribute.starts_with("#[test]") || attribute.contains("::test");
            ensure!(attributes.iter().any(is_test), "{name} is named like a test and is none");
            ensure!(
                !attributes.iter().any(|attribute| attribute.contains("ignore")),
                "{name} is ignored and shows nothing"
            );
            found.push(((kind, number), name.to_owned()));
        }
        attributes.clear();
    }
    Ok(found)
}

/// Returns what a function of this name shows.
fn shown(name: &str) -> Option<(Kind, String)> {
    [Kind::Scenario, Kind::Fault].into_iter().find_map(|kind| {
        let (number, _) = name.strip_prefix(kind.prefix())?.split_once('_')?;
        is_number(number).then(|| (kind, number.to_owned()))
    })
}

/// Returns the table and what is missing in it.
fn table(rows: &[Row], mut tests: Tests, not_shown: &[LeftOut]) -> anyhow::Result<(String, Vec<String>)> {
    for (kind, number, _) in not_shown {
        let is_known = rows.iter().any(|row| row.kind == *kind && row.number == *number);
        ensure!(is_known, "what is not shown names {}{number}, which {SPECIFICATION} does not have", kind.prefix());
    }
    let mut text = String::from(
        "# Scenarios and faults of sync, and the tests that show them\n\n\
         Made by `cargo xtask scenarios` from annex B and C.1 of [the specification](spec/sync.md) and from the names\n\
         of tests; not edited by hand. State: `tested`; `tested in part`, with what is not shown; or `missing`.\n",
    );
    let (mut section, mut missing) = ("", Vec::new());
    for row in rows {
        if row.section != section {
            section = &row.section;
            write!(text, "\n## {section}\n\n| Nr | What it says | Tests | State |\n|---|---|---|---|\n")?;
        }
        let mut shown_by = tests.remove(&(row.kind, row.number.clone())).unwrap_or_default();
        shown_by.sort();
        let left_out = not_shown.iter().find(|(kind, number, _)| *kind == row.kind && *number == row.number);
        let state = match (shown_by.is_empty(), left_out) {
            (false, None) => "tested".to_owned(),
            (false, Some((.., what))) => format!("tested in part; not shown: {what}"),
            (true, _) => {
                missing.push(format!("{}{}", row.kind.prefix(), row.number));
                "**missing**".to_owned()
            }
        };
        let cell: Vec<String> = shown_by.iter().map(|test| format!("`{}`<br>{}", test.name, test.file)).collect();
        let (number, said) = (&row.number, row.text.replace('|', "\\|"));
        writeln!(text, "| {number} | {said} | {} | {state} |", cell.join("<br>"))?;
    }
    if let Some(((kind, number), tests)) = tests.first_key_value() {
        let name = tests.first().map(|test| format!("{} in {}", test.name, test.file)).unwrap_or_default();
        bail!("{SPECIFICATION} has no {}{number}: {name}", kind.prefix());
    }
    Ok((text, missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Title
1. no scenario, since it stands before annex B
## B. Scenarios
Given / when / then.

**First**
1. One. With / a | bar.
49a. Two
22. Three
**Second**
2 of these are no scenario. Really.

### C.1 Faults
| Fault | What | We do |
|---|---|---|
| 3 | Bad a. OK | good |
| 7 | Bad b. | better |
### C.2 Improvements
| 8 | none | none |
";

    fn numbers(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|row| row.number.as_str()).collect()
    }

    const LEFT_OUT: &[LeftOut] = &[(Kind::Scenario, "9", "the end"), (Kind::Scenario, "45", "the beginning")];

    /// The rows that [`LEFT_OUT`] names, so that the table can be made.
    fn named_rows() -> Vec<Row> {
        let row = |kind, number: &str| Row { kind, number: number.into(), section: "s".into(), text: "t".into() };
        LEFT_OUT.iter().map(|(kind, number, _)| row(*kind, number)).collect()
    }

    #[test]
    fn the_committed_table_is_up_to_date_and_nothing_is_missing() {
        check(&crate::layers::workspace_root(Path::new(env!("CARGO_MANIFEST_DIR")))).unwrap();
    }

    #[test]
    fn scenarios_and_faults_are_read_from_their_annexes_only() {
        let rows = rows(TEXT).unwrap();
        assert_eq!(numbers(&rows), ["1", "49a", "22", "3", "7"]);
        assert_eq!((rows[0].section.as_str(), rows[0].text.as_str()), ("First", "One. With / a | bar."));
        assert_eq!((rows[3].kind, rows[3].text.as_str()), (Kind::Fault, "Bad a. OK We: good"));
        assert!(super::rows("# nothing\n").is_err());
        assert!(super::rows(&TEXT.replace("49a.", "1.")).unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn tests_are_found_by_name_and_attribute() {
        let source = "
    #[test]
    // Why it is here.
    fn scenario_49a_keeps_the_copy() {}
    #[tokio::test(start_paused = true)]
    async fn fault_3_stays() {}
    #[test]
    fn scenario_of_something_else() {}
    #[test]
    fn ordinary() {}
    fn helper() { scenario_49a_keeps_the_copy(); }
";
        let found = tests_of(source).unwrap();
        let names: Vec<&str> = found.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["scenario_49a_keeps_the_copy", "fault_3_stays"]);
        assert_eq!(found[0].0, (Kind::Scenario, "49a".to_owned()));
        assert!(tests_of("fn scenario_1_looks_like_a_test() {}").is_err(), "it never runs");
        assert!(tests_of("#[test]\n#[ignore = \"slow\"]\nfn scenario_1_is_ignored() {}").is_err());
    }

    #[test]
    fn the_table_tells_what_is_tested_as_a_whole_in_part_or_missing() {
        let mut rows = named_rows();
        for number in ["1", "2"] {
            rows.push(Row { kind: Kind::Scenario, number: number.into(), section: "s".into(), text: "a|b".into() });
        }
        let test = |name: &str| vec![Test { name: name.to_owned(), file: "crates/x/src/lib.rs".to_owned() }];
        let shown = |number: &str| (Kind::Scenario, number.to_owned());
        let tests = Tests::from([(shown("1"), test("scenario_1_x")), (shown("9"), test("scenario_9_x"))]);
        let (text, missing) = table(&rows, tests, LEFT_OUT).unwrap();
        assert!(missing.contains(&"scenario_2".to_owned()) && !missing.contains(&"scenario_9".to_owned()));
        assert!(missing.contains(&"scenario_45".to_owned()), "something of it must be shown");
        assert!(text.contains(r"| 1 | a\|b | `scenario_1_x`<br>crates/x/src/lib.rs | tested |"), "{text}");
        assert!(
            text.contains("| 9 | t | `scenario_9_x`<br>crates/x/src/lib.rs | tested in part; not shown: the end |"),
            "{text}"
        );
        assert!(text.contains("| 45 | t |  | **missing** |"), "{text}");

        let unknown = Tests::from([(shown("102"), test("scenario_102_x"))]);
        assert!(table(&rows, unknown, LEFT_OUT).unwrap_err().to_string().contains("scenario_102"));
        assert!(table(&rows[1..], Tests::new(), LEFT_OUT).unwrap_err().to_string().contains("what is not shown names"));
    }
}
