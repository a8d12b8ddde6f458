//! Output formats: which one is wanted, and answers written in it.
//!
//! Source: `docs/spec/cli.md` 1.3 (`Result:`), 1.4 to 1.6.

use std::cmp::Ordering;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::command::{Align, Column, ObjectSpec, TableSpec};
use crate::render::Renderer;
use crate::table::{EmptyTable, Table};

/// The three output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// Tables and texts.
    Text,
    /// JSON in one line.
    Json,
    /// JSON indented by two blanks.
    JsonPretty,
}

impl OutputFormat {
    /// Returns the format of this name.
    pub fn from_name(name: &str) -> Option<OutputFormat> {
        match name {
            "text" => Some(OutputFormat::Text),
            "json" => Some(OutputFormat::Json),
            "json-pretty" => Some(OutputFormat::JsonPretty),
            _ => None,
        }
    }
}

/// What the environment of the process says about the output.
#[derive(Clone, Debug)]
pub struct OutputSettings {
    /// Name of the default format, not checked yet.
    pub default_format: Option<String>,
    /// How tables are drawn.
    pub table: TableStyle,
    /// Zone of times in tables.
    pub zone: TimeZone,
}

/// How tables are drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStyle {
    /// True for lines around the cells. Without them there is no header either.
    pub has_border: bool,
    /// True for a header.
    pub has_header: bool,
    /// True if the locale's character set is UTF-8.
    pub is_utf8: bool,
    /// Width of the terminal in columns; none if the output is no terminal.
    pub width_limit: Option<usize>,
}

impl OutputSettings {
    /// Reads the settings from environment variables.
    ///
    /// `variable`: returns the value of one; `terminal_width`: of stdout, none if it is no terminal.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
        terminal_width: Option<usize>,
        zone: TimeZone,
    ) -> OutputSettings {
        // The first of these that is set and not empty decides about the character set, as in the C library.
        let locale =
            ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        let is_utf8 = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        OutputSettings {
            default_format: variable("PROXMOX_OUTPUT_FORMAT"),
            table: TableStyle {
                has_border: variable("PROXMOX_OUTPUT_NO_BORDER").is_none(),
                has_header: variable("PROXMOX_OUTPUT_NO_HEADER").is_none(),
                is_utf8,
                width_limit: terminal_width,
            },
            zone,
        }
    }

    /// Returns the format to use.
    ///
    /// `chosen`: value of `--output-format`, which beats the environment.
    ///
    /// # Errors
    /// The name, if the environment names a format that does not exist.
    pub fn format(&self, chosen: Option<&str>) -> Result<OutputFormat, String> {
        match chosen.or(self.default_format.as_deref()) {
            None => Ok(OutputFormat::Text),
            Some(name) => OutputFormat::from_name(name).ok_or_else(|| name.to_owned()),
        }
    }
}

/// Returns the value as JSON with a line break behind it. Keys are in alphabetical order.
pub fn json_text(value: &Value, format: OutputFormat) -> String {
    let text = if format == OutputFormat::JsonPretty {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    // A `Value` has no keys or numbers that cannot be written.
    text.unwrap_or_default() + "\n"
}

/// Returns what a command without formats prints about its result: nothing for null.
pub fn result_text(value: &Value) -> String {
    if value.is_null() { String::new() } else { format!("Result: {}", json_text(value, OutputFormat::JsonPretty)) }
}

/// Returns a list as table.
///
/// Rows are sorted by the value of the first column, unless the table keeps the server's order.
pub fn table_text(rows: &[Value], spec: &TableSpec, settings: &OutputSettings) -> String {
    let mut rows = rows.to_vec();
    if let Some(reshape) = spec.reshape_text {
        rows.iter_mut().filter_map(Value::as_object_mut).for_each(reshape);
    }
    if let Some(first) = spec.columns.first().filter(|_| !spec.is_unsorted) {
        rows.sort_by(|a, b| compare(a.get(first.name), b.get(first.name)));
    }
    let cells = |row: &Value| -> Vec<String> {
        spec.columns.iter().map(|column| column.renderer.render(row.get(column.name), &settings.zone)).collect()
    };
    let table = Table {
        columns: spec.columns.iter().map(|Column { name, align, .. }| ((*name).to_owned(), *align)).collect(),
        rows: rows.iter().map(cells).collect(),
        empty: EmptyTable::Nothing,
    };
    let mut style = settings.table.clone();
    style.has_border &= !spec.is_plain;
    table.draw(&style)
}

/// Returns one object as table of names and values.
pub fn object_text(object: &Map<String, Value>, spec: &ObjectSpec, settings: &OutputSettings) -> String {
    let rows = object_order(object, spec)
        .into_iter()
        .map(|name| {
            let renderer =
                spec.renderers.iter().find(|(of, _)| *of == name).map_or(Renderer::Plain, |(_, renderer)| *renderer);
            vec![name.to_owned(), renderer.render(object.get(name), &settings.zone)]
        })
        .collect();
    let columns = vec![("Name".to_owned(), Align::Left), ("Value".to_owned(), Align::Left)];
    Table { columns, rows, empty: EmptyTable::Header }.draw(&settings.table)
}

/// Returns the names of the properties in the order in which they are shown.
fn object_order<'a>(object: &'a Map<String, Value>, spec: &'a ObjectSpec) -> Vec<&'a str> {
    let is_in_group = |name: &str| spec.groups.iter().any(|group| group.contains(&name));
    let first = spec.first.iter().copied().filter(|name| object.contains_key(*name));
    let mut own: Vec<&str> =
        object.keys().map(String::as_str).filter(|name| !spec.first.contains(name) && !is_in_group(name)).collect();
    own.sort_unstable();
    let mut names: Vec<&str> = first.chain(own).collect();
    for group in spec.groups {
        let mut members: Vec<&str> = group.iter().copied().filter(|name| object.contains_key(*name)).collect();
        members.sort_unstable();
        names.extend(members);
    }
    names
}

/// Order of two values of a column: missing ones first, numbers by value, texts by bytes.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    let rank = |value: Option<&Value>| match value {
        None | Some(Value::Null) => 0,
        Some(Value::Bool(_)) => 1,
        Some(Value::Number(_)) => 2,
        Some(Value::String(_)) => 3,
        Some(_) => 4,
    };
    rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (Some(Value::Number(a)), Some(Value::Number(b))) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
        },
        (Some(Value::String(a)), Some(Value::String(b))) => a.as_bytes().cmp(b.as_bytes()),
        _ => Ordering::Equal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{number, text};
    use serde_json::json;

    fn settings(variables: &'static [(&'static str, &'static str)]) -> OutputSettings {
        let variable =
            move |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        OutputSettings::from_environment(variable, None, TimeZone::UTC)
    }

    #[test]
    fn the_option_beats_the_environment_and_unknown_names_are_reported() {
        let from_json = settings(&[("PROXMOX_OUTPUT_FORMAT", "json")]);
        assert_eq!(from_json.format(None), Ok(OutputFormat::Json));
        assert_eq!(from_json.format(Some("text")), Ok(OutputFormat::Text));
        assert_eq!(settings(&[("PROXMOX_OUTPUT_FORMAT", "xml")]).format(None), Err("xml".to_owned()));
        assert_eq!(settings(&[]).format(None), Ok(OutputFormat::Text));
    }

    #[test]
    fn the_first_locale_variable_that_is_set_decides_about_the_character_set() {
        let cases: [(&[(&str, &str)], bool); 6] = [
            (&[("LANG", "C.UTF-8")], true),
            (&[("LANG", "de_AT.utf8")], true),
            (&[("LANG", "C")], false),
            (&[], false),
            (&[("LC_ALL", "C"), ("LANG", "C.UTF-8")], false),
            (&[("LC_ALL", ""), ("LC_CTYPE", "C.UTF-8"), ("LANG", "C")], true),
        ];
        for (variables, is_utf8) in cases {
            let variable =
                |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(
                OutputSettings::from_environment(variable, None, TimeZone::UTC).table.is_utf8,
                is_utf8,
                "{variables:?}"
            );
        }
    }

    #[test]
    fn rows_are_sorted_by_value_with_missing_ones_first_and_equal_ones_as_they_came() {
        let spec = TableSpec { columns: vec![number("n"), text("t")], ..TableSpec::default() };
        let rows =
            [json!({"n": 10, "t": "a"}), json!({"n": 9, "t": "b"}), json!({"t": "c"}), json!({"n": 9, "t": "a"})];
        let drawn = table_text(&rows, &spec, &settings(&[("PROXMOX_OUTPUT_NO_BORDER", "1")]));
        assert_eq!(drawn, "   c\n 9 b\n 9 a\n10 a\n");
    }

    #[test]
    fn an_object_without_properties_has_no_closing_line() {
        let drawn = object_text(&Map::new(), &ObjectSpec::default(), &settings(&[("LANG", "C.UTF-8")]));
        assert_eq!(drawn, "┌──────┬───────┐\n│ Name │ Value │\n╞══════╪═══════╡\n");
    }
}
