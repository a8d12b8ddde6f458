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
fn what_commands_expect_of_endpoints_in_vain_is_named() {
    // The endpoints of the fixture are those of the specification but for the optional parts of two extensions.
    let catalogue = Catalogue::new(&endpoints(), &[]);
    let missing: Vec<&str> = catalogue.mismatches().iter().map(String::as_str).collect();
    assert_eq!(
        missing,
        [
            "'sync-job explain' has no endpoint GET /farhold/sync/{id}/explain",
            "'sync-job progress' has no endpoint GET /farhold/sync/progress",
            "'encryption-key list' has no endpoint GET /config/encryption-keys",
            "'encryption-key show' has no endpoint GET /farhold/encryption-keys/{id}",
            "'encryption-key archive' has no endpoint PUT /farhold/encryption-keys/{id}",
            "'encryption-key restore' has no endpoint PUT /farhold/encryption-keys/{id}",
            "'encryption-key toggle-archive' has no endpoint POST /config/encryption-keys/{id}",
            "'encryption-key remove' has no endpoint DELETE /config/encryption-keys/{id}",
        ]
    );

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
