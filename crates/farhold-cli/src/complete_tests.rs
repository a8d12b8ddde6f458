//! Completion beyond the recorded lines.

use super::*;
use crate::PassThrough;
use crate::fixture::{block_on, endpoints};

fn candidates(line: &str) -> Vec<String> {
    let own = [PassThrough { word: "server", usage: "", summary: "" }];
    let catalogue = Catalogue::new(&endpoints(), &own);
    block_on(complete(&catalogue, line, line.chars().count(), None))
}

#[test]
fn words_options_and_values_are_offered_where_they_belong() {
    for (line, expected) in [
        ("farhold se", &["server"][..]),
        ("farhold help remote sh", &["show"]),
        ("farhold sync-job list ", &["--output-format", "--sync-direction"]),
        ("farhold sync-job list --sync-direction p", &["pull", "push"]),
        ("farhold remote update pbs2 --delete port --delete c", &["comment"]),
        // Given already, and no list.
        ("farhold sync-job list --sync-direction all --s", &[]),
        // After a bare boolean both its words and a positional may follow; the words are offered.
        ("farhold sync-job update --remove-vanished o", &["off", "on"]),
        ("farhold sync-job update --remove-vanished job1 --remote-s", &["--remote-store"]),
        ("farhold sync-job list --sync-direction=p", &[]),
        ("farhold acme ", &[]),
        ("farh", &[]),
        ("", &[]),
    ] {
        assert_eq!(candidates(line), expected, "{line:?}");
    }
}

#[test]
fn only_what_stands_before_the_cursor_counts() {
    let catalogue = Catalogue::new(&endpoints(), &[]);
    let found = block_on(complete(&catalogue, "farhöld rem list", "farhöld rem".chars().count(), None));
    assert_eq!(found, ["remote"]);
}
