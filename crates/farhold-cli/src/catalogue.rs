//! All commands of the program, and how command words find theirs.
//!
//! Words are looked up level by level: exact match first, else a unique prefix. Words that only this program has are
//! considered after those of the reference, so that they never change what an abbreviation means there.
//!
//! Source: `docs/spec/cli.md` 1.2, 2.2, 4.

mod access;
mod acl_check;
mod backup;
mod dry_run;
mod examples;
mod job_options;
mod job_runs;
mod jobs;
mod keys;
mod node;
mod notifications;
mod probe;
mod remotes;

pub use node::{LOCAL_NODE, task_table};

use std::collections::BTreeMap;

use farhold_api::declare::Declaration;
use farhold_api::schema::{Param, ParamKind, named};

use crate::command::{Action, Command, Origin, ParamSource};
use crate::document::About;
use crate::parse::Signature;
use crate::shells::SHELLS;

/// A command with the parameters its endpoint declares.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The command.
    pub command: Command,
    /// Its parameters.
    pub signature: Signature,
}

/// The commands of the program.
#[derive(Clone, Debug)]
pub struct Catalogue {
    entries: Vec<Entry>,
    about: About,
    pass_through: Vec<PassThrough>,
    mismatches: Vec<String>,
}

/// A first word that the program itself handles; it must be written in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassThrough {
    /// The word, for example `server`.
    pub word: &'static str,
    /// What may follow it, for the overview.
    pub usage: &'static str,
    /// What it does, a sentence for help and the document of all commands.
    pub summary: &'static str,
    /// Whether it answers `help` and `--help` itself; otherwise usage and summary are its help.
    pub explains_itself: bool,
}

/// What command words lead to.
#[derive(Clone, Debug)]
pub enum Found<'a> {
    /// A command; `rest` are the arguments behind its words.
    Command {
        /// The command.
        entry: &'a Entry,
        /// Its words as they were typed.
        typed: Vec<String>,
        /// The arguments behind the words.
        rest: &'a [String],
    },
    /// A group of commands, at the end of the words.
    Group(Level<'a>),
    /// A word that names nothing at its level.
    Unknown {
        /// The word.
        word: String,
        /// The level at which it was looked up.
        level: Level<'a>,
    },
    /// A word of the reference that this program does not offer.
    NotOffered {
        /// The words in full.
        words: String,
    },
}

/// The commands below some command words.
#[derive(Clone, Debug)]
pub struct Level<'a> {
    /// The words that lead here, as typed.
    pub typed: Vec<String>,
    /// The same words in full.
    pub words: Vec<&'static str>,
    /// The commands below, sorted by their words.
    pub entries: Vec<&'a Entry>,
}

impl Level<'_> {
    /// Returns the words that can follow, in alphabetical order.
    pub fn next_words(&self) -> Vec<&'static str> {
        let mut words: Vec<&'static str> =
            self.entries.iter().filter_map(|entry| entry.command.words.get(self.typed.len()).copied()).collect();
        words.dedup();
        words
    }
}

/// What the administrator's program is.
const ABOUT: About = About {
    summary: "backup server that keeps a second, far-away copy of backups, and its administration",
    description: &[
        "The word server starts the server; every other command administers it. Commands talk to the server that runs \
         here; if none runs they do the same work themselves, with the same locks and checks.",
        "Called as proxmox-backup-manager the program is the same; called as proxmox-backup-client it is the client, \
         which is also reached by the word client.",
        "The option --root DIRECTORY in front of the command puts all files of the server below one directory.",
    ],
    environment: &[("FARHOLD_ROOT", "Directory that all files of the server are below, as with --root.")],
    files: &[
        ("/etc/proxmox-backup", "Configuration, keys and certificate of a server that root runs."),
        ("/var/lib/proxmox-backup", "What the server remembers between its runs."),
        ("/var/log/proxmox-backup", "Logs of tasks and of logins."),
        ("/run/proxmox-backup", "Socket and locks of the running server."),
    ],
};

/// Words of the reference that have no command here.
const NOT_OFFERED: &[&[&str]] = &[
    &["acme"],
    &["ad"],
    &["disk"],
    &["dns"],
    &["ldap"],
    &["network"],
    &["openid"],
    &["s3"],
    &["subscription"],
    &["datastore", "s3-refresh"],
];

impl Catalogue {
    /// Returns the commands whose endpoints the server has.
    ///
    /// `pass_through`: words that the program itself handles.
    pub fn new(source: &dyn ParamSource, pass_through: &[PassThrough]) -> Catalogue {
        let commands = [
            remotes::commands(),
            jobs::commands(),
            job_options::commands(),
            job_runs::commands(),
            keys::commands(),
            backup::commands(),
            access::commands(),
            node::commands(),
            notifications::commands(),
        ]
        .into_iter()
        .flatten()
        .chain(NOT_OFFERED.iter().map(|words| Command::not_offered(words)));
        Catalogue::of(commands, examples::EXAMPLES, source, pass_through)
    }

    /// Returns the commands of a program that carries all of them out itself, and `help`.
    pub fn of_own(commands: impl IntoIterator<Item = Command>) -> Catalogue {
        let no_endpoints: Vec<Declaration> = Vec::new();
        Catalogue::of(commands, &[], &no_endpoints, &[])
    }

    /// `examples`: lines for commands that do not say theirs themselves.
    fn of(
        commands: impl IntoIterator<Item = Command>,
        examples: &[examples::Examples],
        source: &dyn ParamSource,
        pass_through: &[PassThrough],
    ) -> Catalogue {
        let help = Command::special(&["help"], Action::Help, "Show how commands are used")
            .positional(&["command"])
            .extra(Param::optional("command", ParamKind::List(&named::ANY_TEXT), "Command words, as far as wanted"))
            .extra(named::flag("verbose", "Show descriptions and options of each command"));
        let completion = Command::special(
            &["completion"],
            Action::Completion,
            "Print a script that connects a shell's completion with this program",
        )
        .positional(&["shell"])
        .extra(Param::required("shell", ParamKind::Enumeration { values: SHELLS, strict: true }, "Shell"))
        .extension();
        let mut entries = Vec::new();
        let mut mismatches = Vec::new();
        for mut command in [help, completion].into_iter().chain(commands) {
            let words = command.words.join(" ");
            if let Some((_, lines)) = examples.iter().find(|(of, _)| *of == command.words) {
                command.examples = lines;
            }
            if let Some(signature) = command.signature(source) {
                let missing = command.unknown_names(&signature);
                mismatches.extend(missing.map(|name| format!("'{words}' knows no parameter '{name}'")));
                entries.push(Entry { command, signature });
                continue;
            }
            if let Action::Call { method, path } = &command.action {
                mismatches.push(format!("'{words}' has no endpoint {method} {path}"));
            }
            // The word stays known if it is one of the reference.
            if command.origin == Origin::Reference {
                command.action = Action::NotOffered;
                entries.push(Entry { command, signature: Signature::default() });
            }
        }
        entries.sort_by(|a, b| a.command.words.cmp(b.command.words));
        Catalogue { entries, about: ABOUT, pass_through: pass_through.to_vec(), mismatches }
    }

    /// Returns the catalogue of a program that is something else than the administrator's.
    #[must_use]
    pub fn with_about(mut self, about: About) -> Catalogue {
        self.about = about;
        self
    }

    /// Returns what the program is.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Returns the commands that can be carried out, in alphabetical order.
    pub fn offered(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.command.action != Action::NotOffered)
    }

    /// Returns the words that the program itself handles.
    pub fn pass_through(&self) -> &[PassThrough] {
        &self.pass_through
    }

    /// Returns what the commands expect of the endpoints in vain: endpoints and parameters that are not declared, one
    /// sentence each. A test of the composed program shows with it whether both sides still fit.
    pub fn mismatches(&self) -> &[String] {
        &self.mismatches
    }

    /// Returns the commands that the server's endpoints do not carry: words of the reference that stay reserved.
    pub fn not_offered(&self) -> impl Iterator<Item = &Command> {
        self.entries.iter().map(|entry| &entry.command).filter(|command| command.action == Action::NotOffered)
    }

    /// Returns the command that these arguments begin with, or how far they lead.
    pub fn find<'a>(&'a self, arguments: &'a [String]) -> Found<'a> {
        let mut words: Vec<&'static str> = Vec::new();
        for (depth, typed) in arguments.iter().enumerate() {
            let Some(word) = self.resolve(&words, typed) else {
                return Found::Unknown { word: typed.clone(), level: self.level(&words, &arguments[..depth]) };
            };
            words.push(word);
            let Some(entry) = self.entries.iter().find(|entry| entry.command.words == words) else { continue };
            if entry.command.action == Action::NotOffered {
                return Found::NotOffered { words: words.join(" ") };
            }
            let (typed, rest) = arguments.split_at(depth + 1);
            return Found::Command { entry, typed: typed.to_vec(), rest };
        }
        Found::Group(self.level(&words, arguments))
    }

    /// Returns the one word below `above` that `typed` means.
    fn resolve(&self, above: &[&str], typed: &str) -> Option<&'static str> {
        let mut candidates: BTreeMap<&'static str, Origin> = BTreeMap::new();
        for Entry { command, .. } in self.below(above) {
            if let Some(word) = command.words.get(above.len()) {
                let origin = candidates.entry(word).or_insert(command.origin);
                if command.origin == Origin::Reference {
                    *origin = Origin::Reference;
                }
            }
        }
        if let Some((word, _)) = candidates.get_key_value(typed) {
            return Some(word);
        }
        for wanted in [Origin::Reference, Origin::Extension] {
            let mut matches = candidates
                .iter()
                .filter(|(word, origin)| **origin == wanted && word.starts_with(typed))
                .map(|(word, _)| *word);
            match (matches.next(), matches.next()) {
                (Some(word), None) => return Some(word),
                (Some(_), Some(_)) => return None,
                (None, _) => {}
            }
        }
        None
    }

    fn below<'a>(&'a self, words: &[&str]) -> impl Iterator<Item = &'a Entry> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        self.entries.iter().filter(move |entry| {
            words.len() < entry.command.words.len() && words.iter().zip(entry.command.words).all(|(a, b)| a == b)
        })
    }

    fn level<'a>(&'a self, words: &[&'static str], typed: &[String]) -> Level<'a> {
        let entries = self.below(words).filter(|entry| entry.command.action != Action::NotOffered).collect();
        Level { typed: typed.to_vec(), words: words.to_vec(), entries }
    }
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
