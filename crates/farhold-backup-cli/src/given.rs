//! The checked parameters of a command, as the types that commands work with.

use std::path::PathBuf;

use farhold_types::{ByteSize, CryptMode, Group, Namespace, RateLimits, Snapshot};
use serde_json::{Map, Value};

use crate::connect::{Connection, Tickets, connect};
use crate::error::CommandError;
use crate::keys::KeyOptions;
use crate::outside::Outside;
use crate::repository::{Repository, RepositoryOptions, resolve};
use crate::secrets::{REPOSITORY_CREDENTIAL, Sources};

/// What the command line says, after the parser has checked it.
#[derive(Debug, Clone)]
pub struct Given {
    /// The parameters.
    pub params: Map<String, Value>,
    /// The output format that was asked for.
    pub format: Option<String>,
}

impl Given {
    /// Returns a text that was given.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.params.get(name).and_then(Value::as_str)
    }

    /// Returns a text that the parser makes sure of.
    pub fn required(&self, name: &str) -> &str {
        self.text(name).unwrap_or_default()
    }

    /// Returns the texts of a list.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        self.params.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Returns a number that was given.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.params.get(name).and_then(Value::as_i64)
    }

    /// Returns whether a flag was given and is true.
    pub fn is_set(&self, name: &str) -> bool {
        self.params.get(name) == Some(&Value::Bool(true))
    }

    /// Returns the namespace: the option's, else the one of the environment, else the root.
    ///
    /// # Errors
    /// The environment's is wrong.
    pub fn namespace(&self, outside: &Outside) -> Result<Namespace, CommandError> {
        let (name, text) = match self.text("ns") {
            Some(text) => ("--ns", Some(text.to_owned())),
            None => ("PBS_NAMESPACE", outside.set_variable("PBS_NAMESPACE")),
        };
        let parse = |text: String| {
            let wrong = |error| CommandError::parameter(format!("{name} is wrong: {error}"));
            text.parse::<Namespace>().map_err(wrong)
        };
        text.map_or_else(|| Ok(Namespace::root()), parse)
    }

    /// Returns the snapshot that is named.
    ///
    /// # Errors
    /// The text is none.
    pub fn snapshot(&self) -> Result<Snapshot, CommandError> {
        let text = self.required("snapshot");
        text.parse().map_err(|_| CommandError::NoSnapshot { text: text.to_owned() })
    }

    /// Returns the group that is named, if one is.
    ///
    /// # Errors
    /// The text is none.
    pub fn group(&self) -> Result<Option<Group>, CommandError> {
        let Some(text) = self.text("group") else { return Ok(None) };
        text.parse().map(Some).map_err(|_| CommandError::NoGroup { text: text.to_owned() })
    }

    /// Returns the group that is named.
    ///
    /// # Errors
    /// None is, or the text is none.
    pub fn required_group(&self) -> Result<Group, CommandError> {
        self.group()?.ok_or(CommandError::NoGroup { text: String::new() })
    }

    /// Returns what the options say about encryption.
    pub fn key_options(&self) -> KeyOptions {
        let mode = self.text("crypt-mode").and_then(|mode| match mode {
            "none" => Some(CryptMode::None),
            "encrypt" => Some(CryptMode::Encrypt),
            "sign-only" => Some(CryptMode::SignOnly),
            _ => None,
        });
        let descriptor = self.number("keyfd").and_then(|number| u32::try_from(number).ok());
        KeyOptions { file: self.text("keyfile").map(PathBuf::from), descriptor, mode }
    }

    /// Returns the limits of bytes on the line; the same in both directions.
    pub fn rates(&self) -> RateLimits {
        let size = |name: &str| self.text(name).and_then(|text| text.parse::<ByteSize>().ok());
        let (rate, burst) = (size("rate"), size("burst"));
        RateLimits { rate_in: rate, burst_in: burst, rate_out: rate, burst_out: burst }
    }

    /// Returns the repository that options and environment mean.
    ///
    /// # Errors
    /// As [`resolve`]; a credential that cannot be read.
    pub fn repository(&self, outside: &Outside) -> Result<Repository, CommandError> {
        let owned = |name: &str| self.text(name).map(str::to_owned);
        let options = RepositoryOptions {
            repository: owned("repository"),
            server: owned("server"),
            port: self.number("port").and_then(|port| u16::try_from(port).ok()),
            datastore: owned("datastore"),
            auth_id: owned("auth-id"),
        };
        let credential = Sources::new(&*outside.variable).credential(REPOSITORY_CREDENTIAL)?;
        Ok(resolve(&options, |name| outside.set_variable(name), || credential)?)
    }

    /// Connects to the repository that options and environment mean.
    ///
    /// # Errors
    /// As [`connect`].
    pub async fn connect(&self, outside: &mut Outside) -> Result<Connection, CommandError> {
        let repository = self.repository(outside)?;
        connect(outside, &repository, self.rates(), Tickets::Use).await
    }
}
