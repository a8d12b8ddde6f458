//! Command words against the catalogue.

use super::*;
use crate::fixture::{arguments, endpoints};

fn words_of(catalogue: &Catalogue, line: &[&str]) -> Option<String> {
    match catalogue.find(&arguments(line)) {
        Found::Command { entry, .. } => Some(entry.command.words.join(" ")),
        _ => None,
    }
}

#[test]
fn an_exact_word_wins_over_longer_ones() {
    let catalogue = Catalogue::new(&endpoints(), &[]);
    assert_eq!(words_of(&catalogue, &["verify", "store1"]).as_deref(), Some("verify"));
    assert_eq!(words_of(&catalogue, &["verify-", "l"]).as_deref(), Some("verify-job list"));
    assert_eq!(words_of(&catalogue, &["tr", "tr"]).as_deref(), Some("traffic-control traffic"));
    assert_eq!(words_of(&catalogue, &["user", "list"]).as_deref(), Some("user list"));
    assert_eq!(words_of(&catalogue, &["user", "list-"]).as_deref(), Some("user list-tokens"));
}

#[test]
fn words_that_are_not_offered_keep_abbreviations_ambiguous() {
    let catalogue = Catalogue::new(&endpoints(), &[]);
    // `datastore u` may mean unmount, update or uuid-mount; `d` disk, dns or datastore.
    assert_eq!(words_of(&catalogue, &["datastore", "u", "x"]), None);
    assert_eq!(words_of(&catalogue, &["d", "list"]), None);
    assert!(matches!(catalogue.find(&arguments(&["acme", "x"])), Found::NotOffered { words } if words == "acme"));
    assert!(matches!(catalogue.find(&arguments(&["datastore", "mount", "x"])), Found::NotOffered { .. }));
}

#[test]
fn our_own_words_never_change_an_abbreviation_of_the_reference() {
    let catalogue = Catalogue::new(&endpoints(), &[]);
    assert_eq!(words_of(&catalogue, &["remote", "s", "x"]).as_deref(), Some("remote show"));
    assert_eq!(words_of(&catalogue, &["remote", "scan", "x"]).as_deref(), Some("remote scan"));
    assert_eq!(words_of(&catalogue, &["remote", "sc", "x"]).as_deref(), Some("remote scan"));
}

#[test]
fn commands_without_endpoint_are_not_offered() {
    let only_remotes: Vec<_> =
        endpoints().into_iter().filter(|endpoint| endpoint.path.starts_with("/config/remote")).collect();
    let catalogue = Catalogue::new(&only_remotes, &[]);
    assert_eq!(words_of(&catalogue, &["remote", "list"]).as_deref(), Some("remote list"));
    assert!(matches!(catalogue.find(&arguments(&["sync-job", "list"])), Found::NotOffered { .. }));
    assert!(catalogue.not_offered().any(|command| command.words == ["pull"]));
    // Only what exists is listed.
    let Found::Group(level) = catalogue.find(&[]) else { panic!("no words lead to the top") };
    assert_eq!(level.next_words(), ["help", "remote"]);
}

#[test]
fn every_positional_parameter_and_every_choice_exists_at_its_endpoint() {
    let endpoints = endpoints();
    let catalogue = Catalogue::new(&endpoints, &[]);
    for Entry { command, signature } in &catalogue.entries {
        if command.action == Action::NotOffered {
            continue;
        }
        for name in command.positionals {
            assert!(signature.param(name).is_some(), "{:?} has no parameter {name}", command.words);
        }
        for (_, real) in command.synonyms {
            assert!(signature.param(real).is_some(), "{:?} has no parameter {real}", command.words);
        }
        let is_sorted = signature.params.is_sorted_by(|a, b| a.name < b.name);
        assert!(is_sorted, "{:?} has a parameter twice: {:?}", command.words, signature.params);
    }
}
