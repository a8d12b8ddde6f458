//! What a command is: its words, the endpoint behind it, and how the answer is shown.
//!
//! A command names an endpoint and adds only what the command line does differently: which parameters are given by
//! position, which are fixed, left out or added, and how the answer is printed. Types, ranges and defaults come
//! from the endpoint's own declaration.

use http::Method;
use serde_json::{Map, Value};

use farhold_api::declare::Declaration;
use farhold_api::schema::{Param, ParamKind, Requirement};

use crate::parse::Signature;
use crate::render::Renderer;

/// Name of the option that chooses the output format.
pub const OUTPUT_FORMAT: &str = "output-format";

/// One command of the program.
#[derive(Clone, Debug)]
pub struct Command {
    /// The words that name it, for example `remote`, `create`.
    pub words: &'static [&'static str],
    /// One imperative line for the help text.
    pub summary: &'static str,
    /// What it does.
    pub action: Action,
    /// Names of the parameters given by position.
    pub positionals: &'static [&'static str],
    /// Which of the endpoint's parameters become options.
    pub options: OptionChoice,
    /// Parameters that only the command line has, or that replace the endpoint's of the same name.
    pub extra: Vec<Param>,
    /// Parameters that always have this value; no options.
    pub fixed: Vec<(&'static str, Value)>,
    /// Other names for options: other name, real name.
    pub synonyms: &'static [(&'static str, &'static str)],
    /// Changes the checked parameters before the call.
    pub prepare: Option<fn(&mut Map<String, Value>)>,
    /// Options that name a file, and the parameter that gets its content.
    pub files: &'static [(&'static str, &'static str)],
    /// Chooses another endpoint by the given parameters.
    pub route: Option<Route>,
    /// How the answer is shown.
    pub output: Output,
    /// Returns what standard error tells after success, by the parameters that were given.
    pub tells: Option<Told>,
    /// Lines to type, shown by its help.
    pub examples: &'static [&'static str],
    /// Whether the reference has it.
    pub origin: Origin,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Calls an endpoint; the path may hold variables in braces.
    Call {
        /// Method of the endpoint.
        method: Method,
        /// Path below the format.
        path: &'static str,
    },
    /// Follows the log of the task given as `upid`.
    FollowTask,
    /// Prints usage.
    Help,
    /// Prints a script for the completion of a shell.
    Completion,
    /// Is carried out by the program that has the command; all its parameters are its own.
    Own,
    /// A word of the reference that this program does not offer. It takes part in the look-up, so that an
    /// abbreviation that is ambiguous there never gets another meaning here.
    NotOffered,
}

/// Which parameters of the endpoint become options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionChoice {
    /// All of them.
    All,
    /// All but these.
    Except(&'static [&'static str]),
    /// Only these, and the positional ones.
    Only(&'static [&'static str]),
}

/// How the answer of a call is shown.
#[derive(Clone, Debug)]
pub enum Output {
    /// A value other than null is printed as `Result: ` and JSON; there is no choice of format.
    Plain,
    /// The answer is a list.
    Table(TableSpec),
    /// The answer is one object.
    Object(ObjectSpec),
    /// The answer is a task's UPID; what happens then is in the mode.
    Task(TaskMode),
    /// The answer is a secret: printed as JSON in one line, or written to the new file that this option names, which
    /// only its owner can read. The file is made before the call, so that the secret is not lost for want of it.
    Secret {
        /// Name of the option.
        file_option: &'static str,
    },
    /// The answer is turned into text lines by this function, and decides on the exit code; JSON can be chosen instead.
    Report {
        /// Returns the text, ending with a line break.
        render: fn(&Value) -> String,
        /// True if the command succeeded.
        is_good: fn(&Value) -> bool,
    },
    /// The answer is turned into text lines by this function.
    Text {
        /// Returns the text, ending with a line break.
        render: fn(&Value) -> String,
        /// True if JSON can be chosen instead.
        has_formats: bool,
    },
}

/// What happens after a command has started a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskMode {
    /// Its log is followed.
    Follow,
    /// Its log is followed, and on a terminal a line shows the progress of the transfer.
    FollowWithProgress,
    /// Only its end is awaited, and only a failure is shown.
    Wait,
}

/// How a list is shown.
#[derive(Clone, Debug, Default)]
pub struct TableSpec {
    /// The columns from left to right.
    pub columns: Vec<Column>,
    /// True if the rows keep the server's order.
    pub is_unsorted: bool,
    /// True if there is never a border or a header.
    pub is_plain: bool,
    /// Changes the answer before it is shown, in every format.
    pub reshape: Option<Reshape>,
    /// Changes each row before it is drawn.
    pub reshape_text: Option<fn(&mut Map<String, Value>)>,
}

/// Returns a line for standard error, by the parameters that were given.
pub type Told = fn(&Map<String, Value>) -> String;

/// Turns an answer into the list to show, by the parameters that were given.
pub type Reshape = fn(Value, &Map<String, Value>) -> Value;

/// Chooses another endpoint, and how its answer is shown, by the given parameters; none keeps the command's own.
/// The error is a name of a parameter and what is wrong with it.
pub type Route = fn(&mut Map<String, Value>) -> Result<Option<Routed>, (&'static str, &'static str)>;

/// Another endpoint than the command's own; it has the same permissions.
#[derive(Clone, Debug)]
pub struct Routed {
    /// Its method.
    pub method: Method,
    /// Its path, variables in braces.
    pub path: &'static str,
    /// How its answer is shown.
    pub output: Output,
}

/// One column of a table.
#[derive(Clone, Debug)]
pub struct Column {
    /// The property shown; also the header.
    pub name: &'static str,
    /// Side to which cells and header are set.
    pub align: Align,
    /// How a value becomes text.
    pub renderer: Renderer,
}

/// Side of a column on which its texts start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers and booleans.
    Right,
}

/// How one object is shown.
#[derive(Clone, Debug, Default)]
pub struct ObjectSpec {
    /// Properties that come first, in this order.
    pub first: &'static [&'static str],
    /// Properties that come last, group by group, each sorted by name.
    pub groups: &'static [&'static [&'static str]],
    /// Properties that are not shown as they are.
    pub renderers: &'static [(&'static str, Renderer)],
}

/// Whether a command belongs to the reference's command set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is there too.
    Reference,
    /// It is ours. It never changes what an abbreviation means.
    Extension,
}

impl Command {
    /// Makes a command that calls an endpoint with all its parameters and prints what comes back.
    pub fn call(words: &'static [&'static str], method: Method, path: &'static str, summary: &'static str) -> Command {
        Command {
            words,
            summary,
            action: Action::Call { method, path },
            positionals: &[],
            options: OptionChoice::All,
            extra: Vec::new(),
            fixed: Vec::new(),
            synonyms: &[],
            prepare: None,
            files: &[],
            route: None,
            output: Output::Plain,
            tells: None,
            examples: &[],
            origin: Origin::Reference,
        }
    }

    /// Makes a command with an action of its own.
    pub fn special(words: &'static [&'static str], action: Action, summary: &'static str) -> Command {
        let mut command = Command::call(words, Method::GET, "/", summary);
        command.action = action;
        command
    }

    /// Makes a command that the program itself carries out.
    pub fn own(words: &'static [&'static str], summary: &'static str) -> Command {
        Command::special(words, Action::Own, summary)
    }

    /// Makes a word of the reference that this program does not offer.
    pub fn not_offered(words: &'static [&'static str]) -> Command {
        Command::special(words, Action::NotOffered, "")
    }

    /// Returns the command with these positional parameters.
    #[must_use]
    pub fn positional(mut self, names: &'static [&'static str]) -> Command {
        self.positionals = names;
        self
    }

    /// Returns the command with this choice of options.
    #[must_use]
    pub fn options(mut self, options: OptionChoice) -> Command {
        self.options = options;
        self
    }

    /// Returns the command with a parameter that the endpoint does not have, or has differently.
    #[must_use]
    pub fn extra(mut self, param: Param) -> Command {
        self.extra.push(param);
        self
    }

    /// Returns the command with a parameter of fixed value.
    #[must_use]
    pub fn fixed(mut self, name: &'static str, value: impl Into<Value>) -> Command {
        self.fixed.push((name, value.into()));
        self
    }

    /// Returns the command with this change of the checked parameters.
    #[must_use]
    pub fn prepare(mut self, prepare: fn(&mut Map<String, Value>)) -> Command {
        self.prepare = Some(prepare);
        self
    }

    /// Returns the command with these options that name files, and the parameters that get the content.
    #[must_use]
    pub fn files(mut self, files: &'static [(&'static str, &'static str)]) -> Command {
        self.files = files;
        self
    }

    /// Returns the command with this choice of another endpoint.
    #[must_use]
    pub fn route(mut self, route: Route) -> Command {
        self.route = Some(route);
        self
    }

    /// Returns the command with this way of showing the answer.
    #[must_use]
    pub fn output(mut self, output: Output) -> Command {
        self.output = output;
        self
    }

    /// Returns the command with the answer shown as a table.
    #[must_use]
    pub fn table(self, columns: Vec<Column>) -> Command {
        self.output(Output::Table(TableSpec { columns, ..TableSpec::default() }))
    }

    /// Returns the command with the answer shown as an object with these properties first.
    #[must_use]
    pub fn object(self, first: &'static [&'static str], groups: &'static [&'static [&'static str]]) -> Command {
        self.output(Output::Object(ObjectSpec { first, groups, renderers: &[] }))
    }

    /// Returns the command with a line that standard error tells after success.
    #[must_use]
    pub fn tells(mut self, text: Told) -> Command {
        self.tells = Some(text);
        self
    }

    /// Returns the command with lines to type, which its help shows.
    #[must_use]
    pub fn examples(mut self, lines: &'static [&'static str]) -> Command {
        self.examples = lines;
        self
    }

    /// Returns the command as one that the reference does not have.
    #[must_use]
    pub fn extension(mut self) -> Command {
        self.origin = Origin::Extension;
        self
    }

    /// True if the command takes `--output-format`.
    pub fn has_output_format(&self) -> bool {
        match &self.output {
            Output::Plain | Output::Secret { .. } => false,
            Output::Text { has_formats, .. } => *has_formats,
            Output::Table(_) | Output::Object(_) | Output::Task(_) | Output::Report { .. } => true,
        }
    }

    /// Returns the names that the command uses and the signature does not have.
    pub(crate) fn unknown_names<'a>(&'a self, signature: &'a Signature) -> impl Iterator<Item = &'static str> + 'a {
        let chosen = if let OptionChoice::Only(names) = self.options { names } else { &[] };
        let real = self.synonyms.iter().map(|(_, real)| *real);
        let names = self.positionals.iter().chain(chosen).copied().chain(real);
        names.filter(|name| signature.param(name).is_none())
    }

    /// Returns the parameters as the parser and the usage texts need them; none if the server does not have the
    /// endpoint or the command is not offered.
    pub fn signature(&self, source: &dyn ParamSource) -> Option<Signature> {
        let declared = match &self.action {
            Action::Call { method, path } => source.params(method, path)?,
            Action::FollowTask => source.params(&Method::GET, TASK_LOG_PATH)?,
            Action::Help | Action::Completion | Action::Own => Vec::new(),
            Action::NotOffered => return None,
        };
        let mut params: Vec<Param> = declared
            .into_iter()
            .filter(|param| {
                let name = param.name;
                let is_chosen = match self.options {
                    OptionChoice::All => true,
                    OptionChoice::Except(names) => !names.contains(&name),
                    OptionChoice::Only(names) => names.contains(&name) || self.positionals.contains(&name),
                };
                is_chosen && !self.fixed.iter().any(|(fixed, _)| *fixed == name)
            })
            .collect();
        for extra in &self.extra {
            params.retain(|param| param.name != extra.name);
            params.push(*extra);
        }
        if self.has_output_format() {
            params.push(OUTPUT_FORMAT_PARAM);
        }
        params.sort_by_key(|param| param.name);
        let is_last_optional = self
            .positionals
            .last()
            .and_then(|last| self.extra.iter().find(|param| param.name == *last))
            .is_some_and(|param| param.requirement == Requirement::Optional);
        for param in &mut params {
            // What must be given by position is required, whatever the endpoint says.
            if self.positionals.contains(&param.name) && !self.extra.iter().any(|extra| extra.name == param.name) {
                param.requirement = Requirement::Required;
            }
            // A word that the endpoint only refuses later is refused here with the parameter's name.
            *param = param.strict();
        }
        Some(Signature {
            params,
            positionals: self.positionals.to_vec(),
            is_last_optional,
            synonyms: self.synonyms.to_vec(),
        })
    }
}

/// Path of the endpoint that returns lines of a task's log.
pub const TASK_LOG_PATH: &str = "/nodes/{node}/tasks/{upid}/log";

const OUTPUT_FORMAT_PARAM: Param = Param::optional(
    OUTPUT_FORMAT,
    ParamKind::Enumeration { values: &["text", "json", "json-pretty"], strict: true },
    "Output format",
);

/// Where the declared parameters of endpoints come from.
pub trait ParamSource {
    /// Returns the parameters of the endpoint, path variables included; none if the server has no such endpoint.
    ///
    /// `path`: below the format, with variables in braces: `/config/remote/{name}`.
    fn params(&self, method: &Method, path: &str) -> Option<Vec<Param>>;
}

impl ParamSource for [Declaration] {
    fn params(&self, method: &Method, path: &str) -> Option<Vec<Param>> {
        let declaration = self.iter().find(|declaration| declaration.method == method && declaration.path == path)?;
        Some(declaration.params.clone())
    }
}

impl ParamSource for Vec<Declaration> {
    fn params(&self, method: &Method, path: &str) -> Option<Vec<Param>> {
        self.as_slice().params(method, path)
    }
}

/// Returns a left-aligned column that shows the property as it is.
pub fn text(name: &'static str) -> Column {
    Column { name, align: Align::Left, renderer: Renderer::Plain }
}

/// Returns a right-aligned column that shows the property as it is, for numbers and booleans.
pub fn number(name: &'static str) -> Column {
    Column { name, align: Align::Right, renderer: Renderer::Plain }
}

/// Returns a column with a renderer.
pub fn rendered(name: &'static str, align: Align, renderer: Renderer) -> Column {
    Column { name, align, renderer }
}
