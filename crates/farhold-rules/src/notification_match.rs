//! Rules of notification matchers as they are written: which fields and which severities they let through.
//!
//! Source: `docs/spec/schedules-and-tasks.md` 10.3, `docs/spec/rest-api.md` 11.

use std::str::FromStr;

use regex::Regex;
use thiserror::Error;

/// The severities, in the order of their weight; `unknown` is that of forwarded mail.
pub const SEVERITIES: [&str; 5] = ["info", "notice", "warning", "error", "unknown"];

/// Largest size of a compiled expression, in bytes. Expressions come from administrators; the bound keeps a mistake
/// from taking all memory. Source: our own choice, a tenth of what the library takes by default.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// Why a text is no rule of a matcher.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum MatchRuleError {
    /// The text has another form.
    #[error("expected exact:<field>=<value>[,<value>...] or regex:<field>=<expression>")]
    Form,
    /// The expression does not compile.
    #[error("expression of field '{field}' is not valid")]
    Expression {
        /// The field.
        field: String,
        /// Why.
        #[source]
        source: regex::Error,
    },
    /// The word is no severity.
    #[error("unknown severity '{word}', expected one of info, notice, warning, error, unknown")]
    Severity {
        /// The word.
        word: String,
    },
}

/// What a field of an event must be.
#[derive(Debug, Clone)]
pub enum FieldRule {
    /// One of these values.
    OneOf(Vec<String>),
    /// Something that the expression finds itself in.
    Expression(Regex),
}

/// `match-field`: a field of an event and what it must be.
#[derive(Debug, Clone)]
pub struct MatchField {
    /// Name of the field, such as `type` or `datastore`.
    pub field: String,
    /// What it must be.
    pub rule: FieldRule,
}

impl FromStr for MatchField {
    type Err = MatchRuleError;

    fn from_str(text: &str) -> Result<Self, MatchRuleError> {
        let (kind, rest) = text.split_once(':').ok_or(MatchRuleError::Form)?;
        let (field, value) = rest.split_once('=').ok_or(MatchRuleError::Form)?;
        let rule = match kind {
            "exact" => FieldRule::OneOf(value.split(',').map(|value| value.trim().to_owned()).collect()),
            "regex" => {
                let built = regex::RegexBuilder::new(value).size_limit(MAX_COMPILED_BYTES).build();
                let failed = |source| MatchRuleError::Expression { field: field.to_owned(), source };
                FieldRule::Expression(built.map_err(failed)?)
            }
            _ => return Err(MatchRuleError::Form),
        };
        if field.is_empty() { Err(MatchRuleError::Form) } else { Ok(Self { field: field.to_owned(), rule }) }
    }
}

impl MatchField {
    /// Returns whether the rule lets an event through whose field has this value; a field that is not there never fits.
    pub fn fits(&self, value: Option<&str>) -> bool {
        match (&self.rule, value) {
            (_, None) => false,
            (FieldRule::OneOf(values), Some(value)) => values.iter().any(|one| one == value),
            (FieldRule::Expression(expression), Some(value)) => expression.is_match(value),
        }
    }
}

/// Returns the severities of a `match-severity` list, in the order found.
///
/// # Errors
/// [`MatchRuleError::Severity`] for the first word that is none.
pub fn parse_severities(text: &str) -> Result<Vec<&'static str>, MatchRuleError> {
    let severity = |word: &str| {
        let found = SEVERITIES.iter().copied().find(|severity| *severity == word);
        found.ok_or_else(|| MatchRuleError::Severity { word: word.to_owned() })
    };
    text.split(',').map(|word| severity(word.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Result<MatchField, String> {
        text.parse().map_err(|error: MatchRuleError| error.to_string())
    }

    #[test]
    fn exact_rules_name_values_and_expressions_look_anywhere() {
        let exact = rule("exact:type=sync,gc").unwrap();
        assert_eq!(["sync", "gc", "prune"].map(|value| exact.fits(Some(value))), [true, true, false]);
        assert!(!exact.fits(None));
        let expression = rule("regex:datastore=^gold").unwrap();
        assert_eq!(["golden", "old-gold"].map(|value| expression.fits(Some(value))), [true, false]);
        assert!(rule("regex:datastore=a=b").unwrap().fits(Some("xa=by")), "the first sign of equality ends the field");
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in ["type=sync", "exact:type", "like:type=x", "exact:=x", "", "regex:type=("] {
            assert!(rule(bad).is_err(), "{bad}");
        }
        let huge = format!("regex:type={}", "(a{1000}){1000}");
        assert!(rule(&huge).is_err(), "the size of an expression is bounded");
    }

    #[test]
    fn severities_are_words_of_a_list() {
        assert_eq!(parse_severities("error, warning"), Ok(vec!["error", "warning"]));
        assert!(
            parse_severities("bad").is_err() && parse_severities("").is_err() && parse_severities("Error").is_err()
        );
    }
}
