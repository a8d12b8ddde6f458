//! The size of a terminal.

use std::io::IsTerminal;
use std::os::fd::AsFd;

/// Returns the width in columns of the terminal that `stream` is, or `None` if it is no terminal.
pub fn width(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let (width, _) = terminal_size::terminal_size_of(stream)?;
    Some(usize::from(width.0))
}
