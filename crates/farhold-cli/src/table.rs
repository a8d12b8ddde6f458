//! Text tables as the reference draws them.
//!
//! The writer knows texts, widths and lines only; which property becomes which cell is decided elsewhere.
//!
//! Source: `docs/spec/cli.md` 1.4 (border and header), 1.5 (layout).

use unicode_width::UnicodeWidthStr;

use crate::command::Align;
use crate::output::TableStyle;

/// A table of texts.
#[derive(Clone, Debug)]
pub struct Table {
    /// Header text and side of each column.
    pub columns: Vec<(String, Align)>,
    /// Rows of as many cells; a cell may have several lines.
    pub rows: Vec<Vec<String>>,
    /// What to draw around an empty table.
    pub empty: EmptyTable,
}

/// What is drawn if there are no rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyTable {
    /// Nothing at all.
    Nothing,
    /// The header and the line below it.
    Header,
}

/// One kind of horizontal line: left end, stroke, crossing, right end.
struct Rule(char, char, char, char);

struct Strokes {
    top: Rule,
    header: Rule,
    row: Rule,
    bottom: Rule,
    column: char,
}

const BOX_STROKES: Strokes = Strokes {
    top: Rule('┌', '─', '┬', '┐'),
    header: Rule('╞', '═', '╪', '╡'),
    row: Rule('├', '─', '┼', '┤'),
    bottom: Rule('└', '─', '┴', '┘'),
    column: '│',
};

const ASCII_STROKES: Strokes = Strokes {
    top: Rule('+', '=', '+', '+'),
    header: Rule('+', '=', '+', '+'),
    row: Rule('+', '-', '+', '+'),
    bottom: Rule('+', '=', '+', '+'),
    column: '|',
};

impl Table {
    /// Returns the table as text, each line ending with a line break.
    pub fn draw(&self, style: &TableStyle) -> String {
        if self.rows.is_empty() && self.empty == EmptyTable::Nothing {
            return String::new();
        }
        let lines = if style.has_border { self.bordered(style) } else { self.borderless() };
        let mut text = String::new();
        for line in lines {
            text.push_str(style.width_limit.map_or(line.as_str(), |limit| cut(&line, limit)));
            text.push('\n');
        }
        text
    }

    fn borderless(&self) -> Vec<String> {
        // Headers do not count here: a column without any text has no width.
        let widths = self.widths(false);
        self.rows.iter().flat_map(|row| self.row_lines(row, &widths, |cells| cells.join(" "))).collect()
    }

    fn bordered(&self, style: &TableStyle) -> Vec<String> {
        let strokes = if style.is_utf8 { &BOX_STROKES } else { &ASCII_STROKES };
        let widths = self.widths(style.has_header);
        let join = |cells: &[String]| {
            let mut line = String::new();
            for cell in cells {
                line.push(strokes.column);
                line.push(' ');
                line.push_str(cell);
                line.push(' ');
            }
            line.push(strokes.column);
            line
        };
        let mut lines = vec![rule(&strokes.top, &widths)];
        if style.has_header {
            let header: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
            lines.extend(self.row_lines(&header, &widths, join));
            lines.push(rule(&strokes.header, &widths));
        }
        for (index, row) in self.rows.iter().enumerate() {
            if 0 < index {
                lines.push(rule(&strokes.row, &widths));
            }
            lines.extend(self.row_lines(row, &widths, join));
        }
        if !self.rows.is_empty() {
            lines.push(rule(&strokes.bottom, &widths));
        }
        lines
    }

    fn widths(&self, counts_header: bool) -> Vec<usize> {
        let mut widths: Vec<usize> =
            self.columns.iter().map(|(name, _)| if counts_header { name.width() } else { 0 }).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.lines().map(UnicodeWidthStr::width).max().unwrap_or(0).max(*width);
            }
        }
        widths
    }

    fn row_lines(&self, row: &[String], widths: &[usize], join: impl Fn(&[String]) -> String) -> Vec<String> {
        let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or(0).max(1);
        let line_at = |index: usize| {
            let cells: Vec<String> = row
                .iter()
                .zip(widths)
                .zip(&self.columns)
                .map(|((cell, width), (_, align))| pad(cell.lines().nth(index).unwrap_or(""), *width, *align))
                .collect();
            join(&cells)
        };
        (0..height).map(line_at).collect()
    }
}

fn rule(Rule(left, stroke, crossing, right): &Rule, widths: &[usize]) -> String {
    let mut line = String::new();
    for (index, width) in widths.iter().enumerate() {
        line.push(if index == 0 { *left } else { *crossing });
        // One blank of padding on both sides of the cell.
        line.extend(std::iter::repeat_n(*stroke, width + 2));
    }
    line.push(*right);
    line
}

fn pad(text: &str, width: usize, align: Align) -> String {
    let blanks = " ".repeat(width.saturating_sub(text.width()));
    match align {
        Align::Left => format!("{text}{blanks}"),
        Align::Right => format!("{blanks}{text}"),
    }
}

/// Returns as much of the line as fits into `limit` columns of a terminal.
fn cut(line: &str, limit: usize) -> &str {
    let mut end = 0;
    for (index, character) in line.char_indices() {
        let next = index + character.len_utf8();
        if limit < line[..next].width() {
            break;
        }
        end = next;
    }
    &line[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style() -> TableStyle {
        TableStyle { has_border: true, has_header: true, is_utf8: true, width_limit: None }
    }

    fn table(rows: &[&[&str]]) -> Table {
        Table {
            columns: vec![("name".to_owned(), Align::Left), ("size".to_owned(), Align::Right)],
            rows: rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect(),
            empty: EmptyTable::Nothing,
        }
    }

    #[test]
    fn cells_with_line_breaks_take_several_lines() {
        let drawn = table(&[&["one\ntwo", "7"]]).draw(&style());
        assert_eq!(
            drawn,
            "┌──────┬──────┐\n│ name │ size │\n╞══════╪══════╡\n│ one  │    7 │\n│ two  │      │\n└──────┴──────┘\n"
        );
    }

    #[test]
    fn wide_characters_count_two_columns() {
        let drawn = table(&[&["日本語", "1"], &["a", "2"]]).draw(&style());
        assert!(drawn.contains("│ 日本語 │    1 │"), "{drawn}");
        assert!(drawn.contains("│ a      │    2 │"), "{drawn}");
    }

    #[test]
    fn lines_are_cut_at_the_width_of_the_terminal() {
        let drawn = table(&[&["日本語", "1"]]).draw(&TableStyle { width_limit: Some(7), ..style() });
        // The third wide character would need columns 7 and 8.
        assert_eq!(drawn.lines().nth(3), Some("│ 日本"));
        assert_eq!(drawn.lines().next(), Some("┌──────"));
    }

    #[test]
    fn without_locale_the_lines_are_ascii() {
        let drawn = table(&[&["a", "1"], &["b", "2"]]).draw(&TableStyle { is_utf8: false, ..style() });
        assert_eq!(
            drawn,
            "+======+======+\n| name | size |\n+======+======+\n| a    |    1 |\n+------+------+\n| b    |    2 |\n+======+======+\n"
        );
    }

    #[test]
    fn a_list_without_rows_draws_nothing() {
        assert_eq!(table(&[]).draw(&style()), "");
    }
}
