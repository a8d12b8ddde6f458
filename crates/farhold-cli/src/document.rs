//! The reference of all commands as a document: reStructuredText, or a manual page.
//!
//! Both are made of what the usage texts are made of, so that they cannot say anything else.
//!
//! Source: `docs/spec/cli.md` 1.2 (`printdoc`).

use std::fmt::Write as _;

use farhold_api::schema::Param;

use crate::catalogue::{Catalogue, Entry};
use crate::command::{Action, Origin};
use crate::usage::{command_line, optional, required};

/// First word of a command line that asks for the document.
pub const DOCUMENT_WORD: &str = "printdoc";

/// What a program is, for its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// One line, as the lists of manual pages show it; no full stop.
    pub summary: &'static str,
    /// What it is for, in paragraphs.
    pub description: &'static [&'static str],
    /// Variables of the environment, and what they do.
    pub environment: &'static [(&'static str, &'static str)],
    /// Files, and what they hold.
    pub files: &'static [(&'static str, &'static str)],
}

/// Variables that every program with these commands has.
pub const COMMON_ENVIRONMENT: [(&str, &str); 4] = [
    (
        "PROXMOX_OUTPUT_FORMAT",
        "Output format of commands without the option --output-format: text, json or json-pretty.",
    ),
    ("PROXMOX_OUTPUT_NO_BORDER", "If set, tables have neither borders nor a header."),
    ("PROXMOX_OUTPUT_NO_HEADER", "If set, tables have no header."),
    ("PBS_LOG", "Level of the messages on standard error: off, error, warn, info, debug or trace."),
];

/// Exit codes, and what they mean. Source: `docs/spec/cli.md` 1.3.
const EXIT_CODES: [(&str, &str); 2] =
    [("0", "The command did what it was told."), ("255", "An error, which standard error tells.")];

/// Form of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// reStructuredText.
    Text,
    /// A page for `man`, in the classic macros.
    Manual,
}

/// Returns the document of all commands that a program offers.
///
/// `program`: as it is called.
pub fn document(catalogue: &Catalogue, program: &str, form: Form) -> String {
    let mut writer: Box<dyn Writer> = match form {
        Form::Text => Box::new(Restructured(String::new())),
        Form::Manual => Box::new(Manual(String::new())),
    };
    let about = catalogue.about();
    writer.title(program, about.summary);
    writer.section("Synopsis");
    writer.code(&[&format!("{program} COMMAND [ARGUMENTS] [OPTIONS]"), &format!("{program} help [COMMAND]")]);
    writer.section("Description");
    for paragraph in about.description {
        writer.paragraph(paragraph);
    }
    writer.paragraph(CONVENTIONS);
    writer.section("Commands");
    for own in catalogue.pass_through() {
        writer.command(format!("{} {}", own.word, own.usage).trim_end());
        writer.paragraph(own.summary);
    }
    for entry in catalogue.offered() {
        command(&mut *writer, program, entry);
    }
    writer.section("Environment");
    for (name, text) in about.environment.iter().chain(&COMMON_ENVIRONMENT) {
        writer.item(name, "", text);
    }
    writer.section("Exit status");
    for (code, text) in EXIT_CODES {
        writer.item(code, "", text);
    }
    if !about.files.is_empty() {
        writer.section("Files");
        for (name, text) in about.files {
            writer.item(name, "", text);
        }
    }
    writer.text()
}

const CONVENTIONS: &str = "Command words may be shortened as long as they stay unique. Options are written --name VALUE or \
    --name=VALUE; a list option is repeated, once for each element. Commands that list or show something have the option \
    --output-format with the values text, json and json-pretty.";

fn command(writer: &mut dyn Writer, program: &str, entry: &Entry) {
    let signature = &entry.signature;
    writer.command(&command_line(&entry.command.words.join(" "), signature));
    let mut summary = format!("{}.", entry.command.summary);
    if entry.command.origin == Origin::Extension && entry.command.action != Action::Own {
        summary.push_str(" Proxmox Backup Server has no such command.");
    }
    writer.paragraph(&summary);
    let positional = signature.positionals.iter().filter_map(|name| signature.param(name));
    for param in positional {
        writer.item(&format!("<{}>", param.name), &kind(param), param.description);
    }
    for param in required(signature).chain(optional(signature)) {
        writer.item(&format!("--{}", param.name), &kind(param), param.description);
    }
    if !entry.command.examples.is_empty() {
        let lines: Vec<String> = entry.command.examples.iter().map(|line| renamed(line, program)).collect();
        writer.code(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// Returns an example with the program's name as it is called.
fn renamed(line: &str, program: &str) -> String {
    match line.strip_prefix("farhold ") {
        Some(rest) if !program.starts_with("farhold") => {
            let rest = rest.strip_prefix("client ").unwrap_or(rest);
            format!("{program} {rest}")
        }
        _ => line.to_owned(),
    }
}

fn kind(param: &Param) -> String {
    let mut text = param.kind.type_text();
    if let Some(default) = &param.default {
        let _ = write!(text, " (default {default})");
    }
    text
}

/// Writes the parts of a document in one form.
trait Writer {
    fn title(&mut self, program: &str, summary: &str);
    fn section(&mut self, name: &str);
    fn command(&mut self, line: &str);
    fn paragraph(&mut self, text: &str);
    /// A name, perhaps with a type, and what it means.
    fn item(&mut self, name: &str, kind: &str, text: &str);
    fn code(&mut self, lines: &[&str]);
    fn text(&mut self) -> String;
}

struct Restructured(String);

impl Restructured {
    fn heading(&mut self, text: &str, line: char) {
        let _ = write!(self.0, "{text}\n{}\n\n", line.to_string().repeat(text.chars().count()));
    }
}

/// Escapes what reStructuredText takes for markup.
fn restructured(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if matches!(character, '*' | '`' | '|' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

impl Writer for Restructured {
    fn title(&mut self, program: &str, summary: &str) {
        self.heading(program, '=');
        self.paragraph(summary);
    }

    fn section(&mut self, name: &str) {
        self.heading(name, '-');
    }

    fn command(&mut self, line: &str) {
        let _ = write!(self.0, "``{line}``\n\n");
    }

    fn paragraph(&mut self, text: &str) {
        let _ = write!(self.0, "{}\n\n", restructured(text));
    }

    fn item(&mut self, name: &str, kind: &str, text: &str) {
        let name = format!("{name} {kind}");
        let _ = write!(self.0, "``{}``\n  {}\n\n", name.trim_end(), restructured(&text.replace('\n', " ")));
    }

    fn code(&mut self, lines: &[&str]) {
        self.0.push_str("::\n\n");
        for line in lines {
            let _ = writeln!(self.0, "  {line}");
        }
        self.0.push('\n');
    }

    fn text(&mut self) -> String {
        std::mem::take(&mut self.0)
    }
}

struct Manual(String);

/// Escapes what the formatter of manual pages takes for a command, and keeps dashes as they are typed.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-").replace('\n', " ");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

impl Writer for Manual {
    fn title(&mut self, program: &str, summary: &str) {
        let page = program.replace(' ', "-");
        let version = env!("CARGO_PKG_VERSION");
        let _ = writeln!(self.0, ".TH \"{}\" \"1\" \"\" \"farhold {version}\" \"Farhold\"", roff(&page.to_uppercase()));
        let _ = writeln!(self.0, ".nh\n.ad l\n.SH NAME\n{} \\- {}", roff(&page), roff(summary));
    }

    fn section(&mut self, name: &str) {
        let _ = writeln!(self.0, ".SH {}", name.to_uppercase());
    }

    fn command(&mut self, line: &str) {
        let _ = writeln!(self.0, ".SS \"{}\"", roff(line).replace('"', "\\(dq"));
    }

    fn paragraph(&mut self, text: &str) {
        let _ = writeln!(self.0, ".PP\n{}", roff(text));
    }

    fn item(&mut self, name: &str, kind: &str, text: &str) {
        // Long lists of words may be broken in front of each bar.
        let kind = if kind.is_empty() { String::new() } else { format!(" {}", roff(kind).replace('|', "\\:|")) };
        let _ = writeln!(self.0, ".TP\n\\fB{}\\fR{kind}\n{}", roff(name), roff(text));
    }

    fn code(&mut self, lines: &[&str]) {
        self.0.push_str(".PP\n.EX\n");
        for line in lines {
            let _ = writeln!(self.0, "{}", roff(line));
        }
        self.0.push_str(".EE\n");
    }

    fn text(&mut self) -> String {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::fixture::endpoints;
    use farhold_api::schema::named;

    fn small() -> Catalogue {
        let fetch = Command::own(&["shelf", "fetch"], "Fetch a book")
            .positional(&["book"])
            .extra(Param::required("book", named::ANY_TEXT, "Title, without *stars*"))
            .extra(named::flag("dry-run", ".starts with a dot"))
            .examples(&["farhold client shelf fetch -x"]);
        let about = About {
            summary: "keep books",
            description: &["Keeps books."],
            environment: &[("SHELF", "Where they are.")],
            files: &[],
        };
        Catalogue::of_own([fetch]).with_about(about)
    }

    #[test]
    fn documents_of_both_forms_show_every_parameter() {
        insta::assert_snapshot!("document_text", document(&small(), "library", Form::Text));
        insta::assert_snapshot!("document_manual", document(&small(), "library", Form::Manual));
    }

    #[test]
    fn the_formatter_of_manual_pages_finds_nothing_wrong() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};

        let mut groff = Command::new("groff");
        groff.args(["-mandoc", "-Tutf8", "-ww", "-z"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let Ok(mut running) = groff.spawn() else {
            println!("not run: there is no groff here");
            return;
        };
        let text = document(&Catalogue::new(&endpoints(), &[]), "farhold", Form::Manual);
        running.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("a reader");
        let output = running.wait_with_output().expect("its end");
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn every_command_is_in_the_document() {
        let catalogue = Catalogue::new(&endpoints(), &[]);
        let text = document(&catalogue, "farhold", Form::Manual);
        for entry in catalogue.offered() {
            let heading = format!(".SS \"{}", roff(&entry.command.words.join(" ")));
            assert!(text.contains(&heading), "{heading}");
        }
    }
}
