//! Texts of others, such as errors of a remote, with everything visible that they hold.
//!
//! Characters that show nothing, or turn the direction of what stands beside them, make a name look like another one, and
//! control characters do what they like with a terminal. They are written out, as `\\u{202e}`, rather than left out: whoever
//! looks for the cause must be able to see them.

use serde_json::Value;

/// Returns whether a character is a control character, shows nothing, or turns the direction of writing.
///
/// Source: Unicode Standard Annex 44, `Default_Ignorable_Code_Point`, without the selectors of variants, which emoji need,
/// and `Bidi_Control`.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Returns a text with its hidden characters written out. Ends of lines and tabs stay.
pub(crate) fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\r' if characters.peek() == Some(&'\n') => {}
            c if is_hidden(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Returns a value in which all texts are visible; names of members stay.
pub(crate) fn value(value: Value) -> Value {
    match value {
        Value::String(hidden) => Value::String(text(&hidden)),
        Value::Array(list) => list.into_iter().map(self::value).collect(),
        Value::Object(map) => map.into_iter().map(|(name, value)| (name, self::value(value))).collect(),
        other => other,
    }
}
