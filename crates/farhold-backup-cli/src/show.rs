//! Results on standard output, as text or JSON.
//!
//! Source: `docs/spec/cli.md` 1.4 to 1.6.

use farhold_cli::output::{OutputFormat, OutputSettings, json_text};
use serde_json::Value;

use crate::error::CommandError;
use crate::given::Given;
use crate::outside::Outside;

/// Prints an answer: `text` makes the text form, JSON shows the value as it is.
///
/// A format that the environment names and that does not exist is told, and is no error.
///
/// # Errors
/// The answer has another form than `text` expects; the output cannot be written.
pub fn show(
    outside: &mut Outside,
    given: &Given,
    answer: &Value,
    text: impl FnOnce(&OutputSettings) -> Result<String, CommandError>,
) -> Result<(), CommandError> {
    let printed = match outside.settings.format(given.format.as_deref()) {
        Ok(OutputFormat::Text) => text(&outside.settings)?,
        Ok(format) => json_text(answer, format),
        Err(name) => {
            outside.tell(&format!("undefined output format '{name}'"));
            return Ok(());
        }
    };
    print(outside, &printed)
}

/// Prints a text.
///
/// # Errors
/// The output cannot be written.
pub fn print(outside: &mut Outside, text: &str) -> Result<(), CommandError> {
    outside.out.write_all(text.as_bytes())?;
    outside.out.flush()?;
    Ok(())
}
