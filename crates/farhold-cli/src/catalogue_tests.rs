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
    assert_eq!(words_of(&catalogue, &["tr", "l"]).as_deref(), Some("traffic-control list"));
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
    assert!(matches!(catalogue.find(&arguments(&["datastore", "s3-refresh", "x"])), Found::NotOffered { .. }));
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
    assert_eq!(level.next_words(), ["completion", "help", "remote"]);
}

#[test]
fn what_commands_expect_of_endpoints_in_vain_is_named() {
    let only_lists: Vec<_> = endpoints().into_iter().filter(|endpoint| endpoint.path == "/config/remote").collect();
    let missing = Catalogue::new(&only_lists, &[]).mismatches().to_vec();
    assert!(missing.contains(&"'remote show' has no endpoint GET /config/remote/{name}".to_owned()), "{missing:#?}");
    assert!(!missing.iter().any(|text| text.starts_with("'remote list'")), "{missing:#?}");

    let mut changed = endpoints();
    for endpoint in changed.iter_mut().filter(|endpoint| endpoint.path == "/config/remote/{name}") {
        endpoint.params.retain(|param| param.name != "name" && param.name != "auth-id");
    }
    let missing = Catalogue::new(&changed, &[]).mismatches().to_vec();
    assert!(missing.contains(&"'remote update' knows no parameter 'auth-id'".to_owned()), "{missing:#?}");
    assert!(missing.contains(&"'remote show' knows no parameter 'name'".to_owned()), "{missing:#?}");
}

#[test]
fn no_command_has_a_parameter_twice() {
    let catalogue = Catalogue::new(&endpoints(), &[]);
    for Entry { command, signature } in &catalogue.entries {
        let is_sorted = signature.params.is_sorted_by(|a, b| a.name < b.name);
        assert!(is_sorted, "{:?}: {:?}", command.words, signature.params);
    }
}

#[test]
fn every_command_has_an_example_that_its_parameters_allow() {
    let catalogue = Catalogue::new(&endpoints(), &[]);
    for Entry { command, .. } in catalogue.offered() {
        assert!(!command.examples.is_empty(), "{:?} has none", command.words);
        for line in command.examples {
            // What follows are the shell's own words.
            let line = line.split(" > ").next().unwrap_or(line);
            let mut words = crate::shell_words::split_complete(line).expect("no open quote");
            assert_eq!(words.remove(0), "farhold");
            match crate::plan(&catalogue, "farhold", &words) {
                crate::Plan::Run(request) => assert_eq!(request.command.words, command.words, "{line}"),
                crate::Plan::Print(printed) => assert_eq!(printed.exit, crate::SUCCESS, "{line}: {}", printed.err),
                other => panic!("{line}: {other:?}"),
            }
        }
    }
}

#[test]
fn every_example_belongs_to_a_command() {
    let all: Vec<&[&str]> = Catalogue::new(&endpoints(), &[]).entries.iter().map(|entry| entry.command.words).collect();
    for (words, _) in examples::EXAMPLES {
        assert!(all.contains(words), "{words:?}");
    }
}
