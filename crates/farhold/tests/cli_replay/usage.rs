//! Usage texts and messages, reduced to what must be the same.

use crate::recorded::PACKING;

/// Stands in the recording for the overview of all commands.
const ALL_COMMANDS: &str = "<one usage line for each of all 154 commands>";

/// Returns a usage text without its descriptions, which the recording leaves out too.
pub fn without_descriptions(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut follows_usage_line = false;
    let mut is_example = false;
    for line in text.lines() {
        // Help shows examples below the parameters; the reference has none.
        is_example = line.starts_with("Example") || is_example && (line.is_empty() || line.starts_with(' '));
        if is_example {
            continue;
        }
        let is_description = line.starts_with("             ");
        if is_description {
            // A description of several paragraphs counts once.
            let last = lines.iter().rposition(|line| !line.is_empty());
            match last.filter(|last| lines[*last] == "             <text>") {
                Some(last) => lines.truncate(last + 1),
                None => lines.push("             <text>".to_owned()),
            }
            continue;
        }
        let words = line.split_whitespace().collect::<Vec<_>>();
        if follows_usage_line && !line.is_empty() {
            // The command's own description: neither a parameter nor a heading.
            let is_text = !line.starts_with(' ') && line != "Optional parameters:";
            lines.push(if is_text { "<text>".to_owned() } else { line.to_owned() });
            follows_usage_line = false;
            continue;
        }
        lines.push(parameter(line, &words));
        follows_usage_line |= line.starts_with("Usage: ") || line.ends_with("[OPTIONS]");
    }
    // So does that of a command.
    lines.join("\n").trim_end().replace("<text>\n\n             <text>", "<text>")
}

/// Returns a usage text without the options of packing.
pub fn without_packing(usage: &str) -> String {
    let mut lines = Vec::new();
    let mut is_left_out = false;
    for line in usage.lines() {
        if !line.starts_with("             ") {
            is_left_out = line.split_whitespace().next().is_some_and(|word| PACKING.contains(&word));
        }
        let is_second_blank = line.is_empty() && lines.last().is_some_and(|last: &&str| last.is_empty());
        if !is_left_out && !is_second_blank {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// Returns whether a usage text has one line for each of several commands and nothing else.
pub fn is_overview(usage: &str) -> bool {
    usage.starts_with("Usage:\n\n") && usage.lines().skip(2).all(|line| !line.is_empty() && !line.starts_with(' '))
}

/// Which lines an overview has that say the same in both programs.
pub struct Overview<'a> {
    /// Commands that only ours has.
    pub ours: &'a [String],
    /// Commands that only the reference has.
    pub theirs: &'a [String],
}

impl Overview<'_> {
    /// Returns the lines of commands that both programs have; what the recording shortens stays open.
    pub fn shared(&self, usage: &str, typed: &str) -> String {
        let begins = |line: &str, words: &String| {
            let line = line.strip_prefix("proxmox-backup-manager ").unwrap_or(line);
            // The first word stands there as it was typed.
            let is_first = !typed.is_empty() && line.split(' ').next() == Some(typed);
            let full = words.split(' ').next().filter(|word| is_first && word.starts_with(typed));
            let line = full.map_or(line.to_owned(), |word| line.replacen(typed, word, 1));
            line.strip_prefix(words.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let lines = usage.lines().filter(|line| !self.ours.iter().chain(self.theirs).any(|words| begins(line, words)));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Returns whether the recording only says that there was an overview of all commands.
pub fn is_of_all_commands(text: &str) -> bool {
    text.contains(ALL_COMMANDS)
}

/// Returns the line of a parameter; the texts that stand for some types are our own.
fn parameter(line: &str, words: &[&str]) -> String {
    match words {
        ["--group-filter", ..] => " --group-filter <filter>".to_owned(),
        [option, _, ..] if option.starts_with("--notif") || matches!(*option, "--tuning" | "--maintenance-mode") => {
            format!(" {option} <property string>")
        }
        // rest-api.md 19.3: an extension.
        ["--delete", ..] => line.trim_end().replace("|resync-corrupt", ""),
        _ => line.trim_end().to_owned(),
    }
}

/// Returns the usage behind a message; none if there is none.
pub fn usage_of(stderr: &str) -> Option<String> {
    let (_, usage) = stderr.split_once("\nUsage:")?;
    let usage = format!("Usage:{usage}");
    Some(if is_overview(&usage) { usage } else { without_descriptions(&usage) })
}

/// Returns the names of the parameters that a message complains about, in order.
pub fn problem_names(stderr: &str) -> Vec<String> {
    let message = stderr.split("\nUsage:").next().unwrap_or_default();
    if message.starts_with("Error: task failed") {
        // What a task says is its own affair.
        return Vec::new();
    }
    let of_line = |line: &str| {
        let rest = line
            .strip_prefix("- '")
            .or_else(|| line.split_once("parameter verification failed - '").map(|(_, rest)| rest))?;
        Some(rest.split_once("':")?.0.to_owned())
    };
    message.lines().filter_map(of_line).collect()
}
