//! Somebody who types commands of the client: an environment, folders, answers, and what was printed.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use farhold::system::SystemRandomness;
use farhold_backup_cli::{Folders, Outside, Terminal, run};
use farhold_cli::{Interrupts, OutputSettings};
use farhold_types::{Clock, Role, Secret};
use jiff::tz::TimeZone;

use crate::scratch::scratch;
use crate::site::{Ran, Site};

/// Name of the desk's host.
pub const HOST: &str = "desk.example";

/// The user that most tests are about, its password and its token.
pub const USER: &str = "sync@pbs";
pub const PASSWORD: &str = "a password";
pub const TOKEN: &str = "sync@pbs!t1";

/// Returns a listening server with an empty store `store1` that [`USER`] and [`TOKEN`] may do anything with, and the
/// token's secret.
pub async fn server() -> (Site, String) {
    let mut site = Site::new();
    site.add_store("store1");
    let secret = open_to_all(&site);
    site.listen().await;
    (site, secret)
}

/// Gives a server the accounts.
pub fn open_to_all(site: &Site) -> String {
    site.add_user(USER, PASSWORD);
    let secret = site.add_token(TOKEN);
    site.grant("/datastore/store1", USER, Role::DatastoreAdmin);
    site.grant("/datastore/store1", TOKEN, Role::DatastoreAdmin);
    secret
}

/// Bytes that somebody else looks at later.
#[derive(Clone, Default)]
pub struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The desk.
pub struct Desk {
    folder: tempfile::TempDir,
    pub variables: BTreeMap<String, String>,
    /// What is typed at the terminal, question by question; none if nobody sits there.
    pub typed: Option<Vec<&'static str>>,
    /// Standard input.
    pub input: Vec<u8>,
    /// Width of the terminal behind standard error.
    pub width: Option<usize>,
    pub clock: Arc<dyn Clock>,
}

impl Desk {
    /// Returns a desk without any environment but folders of its own.
    pub fn new() -> Self {
        let folder = scratch();
        let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let variables = [
            ("XDG_RUNTIME_DIR", place("run")),
            ("XDG_CONFIG_HOME", place("config")),
            ("XDG_CACHE_HOME", place("cache")),
            ("LANG", "C.UTF-8".to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
        let clock = Arc::new(farhold::system::SystemClock);
        Self { folder, variables, typed: None, input: Vec::new(), width: None, clock }
    }

    /// Returns a desk whose environment names the store of a server and says everything about it.
    pub fn at(site: &Site, account: &str, secret: &str) -> Self {
        let mut desk = Self::new();
        desk.set("PBS_REPOSITORY", &format!("{account}@127.0.0.1:{}:store1", site.port()));
        desk.set("PBS_PASSWORD", secret);
        desk.set("PBS_FINGERPRINT", &site.fingerprint());
        desk
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    pub fn unset(&mut self, name: &str) {
        self.variables.remove(name);
    }

    /// Returns a path in the desk's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file into the desk's folder and returns its path.
    pub fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Returns where a local file of the client is.
    pub fn folders(&self) -> Folders {
        Folders::from_environment(|name| self.variables.get(name).cloned(), u32::MAX)
    }

    /// Carries out a command.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_interruptible(arguments, Interrupts::never()).await
    }

    /// Carries out a command while somebody may press Ctrl-C.
    pub async fn run_interruptible(&self, arguments: &[&str], interrupts: Interrupts) -> Ran {
        let (code, out, err) = self.run_raw(arguments, interrupts).await;
        Ran { code, out: String::from_utf8(out).unwrap(), err }
    }

    /// Carries out a command whose standard output is no text; returns exit code, output and messages.
    pub async fn run_raw(&self, arguments: &[&str], interrupts: Interrupts) -> (u8, Vec<u8>, String) {
        let (out, err, content) = (Paper::default(), Paper::default(), Paper::default());
        let variables = self.variables.clone();
        let settings = OutputSettings::from_environment(|name| variables.get(name).cloned(), None, TimeZone::UTC);
        let (content_out, input) = (content.clone(), self.input.clone());
        let mut outside = Outside {
            folders: self.folders(),
            variable: Box::new(move |name| variables.get(name).cloned()),
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
            content_out: Box::new(move || Box::new(content_out.clone())),
            content_in: Box::new(move || Box::new(Cursor::new(input.clone()))),
            answers: Box::new(Cursor::new(self.input.clone())),
            terminal: Box::new(Typist { typed: self.typed.clone().map(VecDeque::from), paper: err.clone() }),
            settings,
            progress_width: self.width,
            interrupts: Box::new(move || Ok(interrupts.clone())),
            host_name: HOST.to_owned(),
            clock: Arc::clone(&self.clock),
            randomness: Arc::new(SystemRandomness),
        };
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let code = run("farhold client", arguments, &mut outside).await;
        let printed = if content.bytes().is_empty() { out.bytes() } else { content.bytes() };
        (code, printed, err.text())
    }
}

/// Answers as was agreed, and remembers the questions.
struct Typist {
    typed: Option<VecDeque<&'static str>>,
    paper: Paper,
}

impl Typist {
    fn answer(&mut self, question: &str) -> io::Result<&'static str> {
        writeln!(self.paper, "{question}")?;
        let answers = self.typed.as_mut().expect("nobody is asked where nobody sits");
        answers.pop_front().ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "one question too many"))
    }
}

impl Terminal for Typist {
    fn is_interactive(&self) -> bool {
        self.typed.is_some()
    }

    fn secret(&mut self, prompt: &str) -> io::Result<Secret> {
        self.answer(prompt).map(Secret::new)
    }

    fn is_yes(&mut self, question: &str) -> io::Result<bool> {
        Ok(self.answer(question)? == "y")
    }
}

/// Asserts that nothing in a folder holds the text.
#[track_caller]
pub fn assert_nowhere(folder: &Path, text: &str) {
    for (path, content) in crate::site::files(folder, &[]) {
        let found = content.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!found, "{} holds it", path.display());
    }
}
