//! A line of text split into words as a shell does it: blanks, quotes, backslashes; nothing is expanded.

/// A line in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// The words. The last one is the one being typed: empty if the line is, or ends with a blank.
    pub words: Vec<String>,
    /// True if the last word has begun, be it only with a quote.
    pub has_last: bool,
    /// True if a quote is still open at the end.
    pub is_quote_open: bool,
}

/// Splits a line into words.
pub fn split(line: &str) -> Split {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    // An empty pair of quotes is a word as well.
    let mut is_inside = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some('\''), _) => word.push(character),
            (_, '\\') => word.extend(characters.next()),
            (Some(_), _) => word.push(character),
            (None, '"' | '\'') => quote = Some(character),
            (None, ' ' | '\t' | '\n') if is_inside => {
                words.push(std::mem::take(&mut word));
                is_inside = false;
                continue;
            }
            (None, ' ' | '\t' | '\n') => continue,
            (None, _) => word.push(character),
        }
        is_inside = true;
    }
    words.push(word);
    Split { words, has_last: is_inside, is_quote_open: quote.is_some() }
}

/// Returns the words of a whole line; none if a quote is left open.
pub fn split_complete(line: &str) -> Option<Vec<String>> {
    let Split { mut words, has_last, is_quote_open } = split(line);
    if !has_last {
        words.pop();
    }
    (!is_quote_open).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_a_shell_splits_it() {
        for (line, words) in [
            ("a b", &["a", "b"][..]),
            ("a  b ", &["a", "b", ""]),
            ("a 'b c", &["a", "b c"]),
            (r#"a "b\" c" d"#, &["a", "b\" c", "d"]),
            (r"a b\ c '' ", &["a", "b c", "", ""]),
            ("", &[""]),
        ] {
            assert_eq!(split(line).words, words, "{line:?}");
        }
    }

    #[test]
    fn a_whole_line_has_no_word_behind_its_last_blank_and_no_open_quote() {
        for (line, words) in [
            ("pass show 'my key' ", Some(&["pass", "show", "my key"][..])),
            ("a ''", Some(&["a", ""])),
            ("", Some(&[])),
            ("a 'b", None),
        ] {
            let words = words.map(|words| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
            assert_eq!(split_complete(line), words, "{line:?}");
        }
    }
}
