//! Help and overviews.

use super::*;
use crate::PassThrough;
use crate::fixture::{arguments, endpoints};
use farhold_api::schema::{Param, ParamKind, named};

fn printed(line: &[&str]) -> Printed {
    let own = [
        PassThrough { word: "server", usage: "[OPTIONS]", summary: "Run the server.", explains_itself: false },
        PassThrough { word: "demo", usage: "", summary: "", explains_itself: false },
    ];
    match plan(&Catalogue::new(&endpoints(), &own), "farhold", &arguments(line)) {
        Plan::Print(printed) => printed,
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn help_of_a_command_shows_all_its_parameters() {
    insta::assert_snapshot!("help_sync_job_run", printed(&["help", "sync-job", "run"]).out);
    insta::assert_snapshot!("help_acl_update", printed(&["help", "acl", "update"]).out);
}

#[test]
fn help_of_everything_lists_the_words_of_the_program_last() {
    let help = printed(&["help"]);
    assert!(help.out.ends_with("versions [OPTIONS]\nserver [OPTIONS]\ndemo\n"), "{}", help.out);
    assert!(
        help.out.contains("\nsync-job create <id> --remote-store <string> --store <string> [OPTIONS]\n"),
        "{}",
        help.out
    );
}

#[test]
fn the_usual_help_options_are_understood() {
    for (line, same_as) in [
        (&["--help"][..], &["help"][..]),
        (&["-h"], &["help"]),
        (&["remote", "--help"], &["help", "remote"]),
        (&["rem", "-h"], &["help", "remote"]),
        (&["remote", "list", "--help"], &["help", "remote", "list"]),
        (&["remote", "create", "pbs2", "-h"], &["help", "remote", "create"]),
    ] {
        assert_eq!(printed(line), printed(same_as), "{line:?}");
        assert_eq!(printed(line).exit, SUCCESS);
    }
    // Behind `--` it is an argument like any other.
    assert_eq!(printed(&["remote", "list", "--", "--help"]).exit, FAILURE);
}

#[test]
fn words_of_the_program_itself_have_help_like_commands() {
    for line in [&["help", "server"][..], &["server", "--help"], &["server", "--listen", "[::1]:1", "-h"]] {
        let help = printed(line);
        assert_eq!(
            (help.out.as_str(), help.exit),
            ("Usage: server [OPTIONS]\n\nRun the server.\n", SUCCESS),
            "{line:?}"
        );
    }
    let client = [PassThrough { word: "client", usage: "COMMAND...", summary: "", explains_itself: true }];
    let catalogue = Catalogue::new(&endpoints(), &client);
    for (line, passed_on) in [
        (&["help", "client"][..], &["help"][..]),
        (&["help", "client", "backup"], &["help", "backup"]),
        (&["client", "backup", "--help"], &["backup", "--help"]),
    ] {
        match plan(&catalogue, "farhold", &arguments(line)) {
            Plan::PassThrough { word: "client", arguments } => assert_eq!(arguments, passed_on, "{line:?}"),
            other => panic!("{line:?}: {other:?}"),
        }
    }
}

#[test]
fn words_of_the_program_itself_are_passed_through_only_in_full_and_in_front() {
    let own = [PassThrough { word: "server", usage: "", summary: "", explains_itself: false }];
    let catalogue = Catalogue::new(&endpoints(), &own);
    let plan_of = |line: &[&str]| plan(&catalogue, "farhold", &arguments(line));
    match plan_of(&["server", "--root", "/x"]) {
        Plan::PassThrough { word, arguments } => {
            assert_eq!((word, arguments.as_slice()), ("server", &arguments_of(&["--root", "/x"])[..]))
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(plan_of(&["serve"]), Plan::Print(_)));
    assert!(matches!(plan_of(&["remote", "server"]), Plan::Print(_)));
}

fn arguments_of(texts: &[&str]) -> Vec<String> {
    arguments(texts)
}

#[test]
fn missing_words_name_what_is_possible() {
    let error = printed(&[]);
    assert_eq!(error.exit, FAILURE);
    assert!(
        error.err.starts_with("Error: no command specified.\nPossible commands: acl, cert, completion, datastore, demo, encryption-key, garbage-collection, help, "),
        "{}",
        error.err
    );
    assert!(error.err.contains("\nfarhold server [OPTIONS]\n"), "{}", error.err);
    assert!(error.out.is_empty());
}

#[test]
fn words_of_the_reference_that_are_missing_here_say_so() {
    let error = printed(&["acme", "account", "list"]);
    assert_eq!((error.exit, error.err.as_str()), (FAILURE, "Error: this program has no command 'acme'\n"));
}

#[test]
fn a_program_with_commands_of_its_own_gets_requests_help_with_examples_and_the_same_refusals() {
    let fetch = Command::own(&["shelf", "fetch"], "Fetch a book")
        .positional(&["book", "page"])
        .extra(Param::required("book", named::ANY_TEXT, "Title"))
        .extra(Param::optional("page", ParamKind::Integer { min: Some(1), max: None }, "Page"))
        .examples(&["library shelf fetch Emma 7"]);
    let catalogue = Catalogue::of_own([fetch, Command::not_offered(&["shelf", "burn"])]);
    let plan_of = |line: &[&str]| plan(&catalogue, "library", &arguments(line));
    match plan_of(&["sh", "f", "Emma", "7"]) {
        Plan::Run(request) => {
            assert_eq!(request.command.words, ["shelf", "fetch"]);
            assert_eq!(Value::Object(request.params), serde_json::json!({ "book": "Emma", "page": 7 }));
        }
        other => panic!("{other:?}"),
    }
    match plan_of(&["help", "shelf", "fetch"]) {
        Plan::Print(printed) => insta::assert_snapshot!("help_with_example", printed.out),
        other => panic!("{other:?}"),
    }
    match plan_of(&["shelf", "fetch"]) {
        Plan::Print(printed) => assert!(
            printed.err.starts_with("Error: parameter verification failed - 'book': missing argument\nUsage: library shelf fetch <book> [<page>]\n"),
            "{}",
            printed.err
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn scripts_for_shells_and_the_document_need_no_server() {
    let script = printed(&["completion", "zsh"]);
    assert!(script.out.starts_with("#compdef farhold\n"), "{}", script.out);
    assert_eq!(printed(&["completion", "tcsh"]).exit, FAILURE);
    assert!(printed(&["printdoc", "--man"]).out.starts_with(".TH \"FARHOLD\" \"1\""));
    assert!(printed(&["printdoc"]).out.contains("\n``remote show <name> [OPTIONS]``\n"));
    assert_eq!(printed(&["printdoc", "--pdf"]).exit, FAILURE);
    // It must be written in full, and takes no part in the look-up.
    assert_eq!(printed(&["printd"]).exit, FAILURE);
}
