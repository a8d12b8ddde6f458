//! The outside world of a command, as values: environment, streams, terminal, clock.
//!
//! The program fills this in once; tests put in what they want to see happen.

use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;

use farhold_cli::{Interrupts, OutputSettings};
use farhold_types::{Clock, Randomness, Secret};

use crate::folders::Folders;

/// Somebody who answers questions.
pub trait Terminal {
    /// Returns whether anybody is there to answer.
    fn is_interactive(&self) -> bool;

    /// Asks for a secret, which is not shown while it is typed.
    ///
    /// # Errors
    /// Nobody answers, or the terminal cannot be used.
    fn secret(&mut self, prompt: &str) -> io::Result<Secret>;

    /// Asks a question whose answer is yes or no.
    ///
    /// # Errors
    /// As above.
    fn is_yes(&mut self, question: &str) -> io::Result<bool>;
}

/// Tells the value of an environment variable, none if it is not set.
pub type Variables = Box<dyn Fn(&str) -> Option<String>>;

/// Everything outside.
pub struct Outside {
    /// The environment.
    pub variable: Variables,
    /// Where local files are.
    pub folders: Folders,
    /// Standard output, for results.
    pub out: Box<dyn Write>,
    /// Standard error, for everything else.
    pub err: Box<dyn Write>,
    /// Makes another writer to standard output, for restored content.
    pub content_out: Box<dyn Fn() -> Box<dyn Write + Send>>,
    /// Makes a reader of standard input, for content to back up.
    pub content_in: Box<dyn Fn() -> Box<dyn Read + Send>>,
    /// Standard input, for answers.
    pub answers: Box<dyn BufRead>,
    /// Whom to ask for secrets and consent.
    pub terminal: Box<dyn Terminal>,
    /// Formats and tables.
    pub settings: OutputSettings,
    /// Width of the terminal behind standard error; none if it is no terminal.
    pub progress_width: Option<usize>,
    /// Begins to count presses of Ctrl-C. Called when there is something to end in order; before that, and while a
    /// secret is typed, Ctrl-C ends the process.
    pub interrupts: Box<dyn Fn() -> io::Result<Interrupts>>,
    /// Name of this host, the default backup ID.
    pub host_name: String,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// For keys and encryption.
    pub randomness: Arc<dyn Randomness>,
}

impl Outside {
    /// Returns an environment variable that is set and not empty.
    pub fn set_variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// Writes a line for the user to standard error. That it cannot be written is no reason to fail.
    pub fn tell(&mut self, line: &str) {
        let _ = writeln!(self.err, "{line}");
    }
}
