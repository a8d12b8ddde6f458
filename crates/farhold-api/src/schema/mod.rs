//! Parameters: what an endpoint or a command accepts, declared once and checked in one place.
//!
//! A [`Param`] has a name, a [`ParamKind`] and says whether it is required. The REST dispatcher checks form data and
//! JSON bodies against it; the command line parses its options with it and prints its type text. Nothing here reads a
//! request or the environment. Source of the rules: `docs/spec/rest-api.md` 1.2 and 2, `docs/spec/cli.md` 1.
//!
//! Checking has two stages. The first one is the schema (type, range, length, pattern): all problems are collected
//! into [`ParameterErrors`]. The second stage turns a value into its type ([`Param::typed`]); it runs only when the
//! first found nothing, and its failure is one plain text.

pub mod named;
mod params;
pub mod pattern;
mod shape;
pub mod shapes;
mod value;
mod verify;

pub use params::Params;
pub use shape::{Field, Shape, Undeclared};
pub use verify::{Input, ParameterErrors, Rejected, verify_form, verify_json};

use serde_json::Value;

/// A default that is documented with a parameter and used where the parameter is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// For [`ParamKind::Boolean`].
    Boolean(bool),
    /// For [`ParamKind::Integer`].
    Integer(i64),
    /// For texts and enumerations.
    Text(&'static str),
}

impl std::fmt::Display for DefaultValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}

/// Whether a parameter must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// Its absence is a parameter error.
    Required,
    /// It may be absent.
    Optional,
}

/// Checks one text beyond its length; returns the reason why it is refused.
pub type TextCheck = fn(&str) -> Result<(), String>;

/// Checks one value against its typed form; returns the reason why it is refused.
pub type ValueCheck = fn(&Value) -> Result<(), String>;

/// The type of a parameter and the limits its value must keep.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum ParamKind {
    /// `true` or `false`; as text also `1 on yes` and `0 off no`, in any case.
    Boolean,
    /// A whole number; `None` leaves that end open.
    Integer {
        /// Smallest allowed value.
        min: Option<i64>,
        /// Largest allowed value.
        max: Option<i64>,
    },
    /// A decimal number, not infinite and not "not a number".
    Number,
    /// A text.
    Text {
        /// Smallest length in Unicode characters.
        min_length: usize,
        /// Largest length in Unicode characters; `None` leaves it to the limit of the whole request.
        max_length: Option<usize>,
        /// Check beyond the length, normally a parser of `farhold-types`.
        check: Option<TextCheck>,
        /// Type text for usage lines, such as `<calendar-event>`.
        hint: &'static str,
    },
    /// One of a few words.
    Enumeration {
        /// The words, in the order they are shown.
        values: &'static [&'static str],
        /// Whether an unknown word is a parameter error. If not, it is refused in the second stage.
        strict: bool,
    },
    /// Any number of values of one kind; the inner kind is not a list.
    List(&'static ParamKind),
}

/// One parameter of an endpoint or command.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Wire name, `kebab-case` with few exceptions.
    pub name: &'static str,
    /// Type and limits.
    pub kind: ParamKind,
    /// Whether it must be given.
    pub requirement: Requirement,
    /// What an absent parameter means; documentation and [`Params`]' `*_or_default` getters.
    pub default: Option<DefaultValue>,
    /// What it is for: a sentence without full stop.
    pub description: &'static str,
    /// Second-stage check of the value (of each element, for lists); its failure is a plain text, no parameter error.
    pub typed: Option<ValueCheck>,
    /// What the value (each element, for lists) looks like, as a regular expression for documentation; values are
    /// checked by [`ParamKind`] alone.
    pub pattern: Option<&'static str>,
}

impl Param {
    /// Returns an optional parameter without default.
    pub const fn optional(name: &'static str, kind: ParamKind, description: &'static str) -> Self {
        Self { name, kind, requirement: Requirement::Optional, default: None, description, typed: None, pattern: None }
    }

    /// Returns a parameter that must be given.
    pub const fn required(name: &'static str, kind: ParamKind, description: &'static str) -> Self {
        Self { name, kind, requirement: Requirement::Required, default: None, description, typed: None, pattern: None }
    }

    /// Returns the same parameter, required.
    pub const fn is_required(mut self) -> Self {
        self.requirement = Requirement::Required;
        self
    }

    /// Returns the same parameter, optional.
    pub const fn is_optional(mut self) -> Self {
        self.requirement = Requirement::Optional;
        self
    }

    /// Returns the same parameter under another name.
    pub const fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Returns the same parameter with another description.
    pub const fn described(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// Returns the same parameter with a default; it is optional then.
    pub const fn or_default(mut self, default: DefaultValue) -> Self {
        self.default = Some(default);
        self.requirement = Requirement::Optional;
        self
    }

    /// Returns the same parameter with a pattern for its documentation.
    pub const fn looks_like(mut self, pattern: &'static str) -> Self {
        self.pattern = Some(pattern);
        self
    }

    /// Returns the same parameter with a second-stage check.
    pub const fn typed_by(mut self, check: ValueCheck) -> Self {
        self.typed = Some(check);
        self
    }

    /// Returns the same parameter; an unknown word of its enumeration is a parameter error then.
    pub const fn strict(mut self) -> Self {
        if let ParamKind::Enumeration { values, .. } = self.kind {
            self.kind = ParamKind::Enumeration { values, strict: true };
        }
        self
    }

    /// Returns whether the parameter takes any number of values.
    pub const fn is_list(&self) -> bool {
        matches!(self.kind, ParamKind::List(_))
    }

    /// Returns whether the parameter is `true` or `false`.
    pub const fn is_boolean(&self) -> bool {
        matches!(self.kind, ParamKind::Boolean)
    }
}
