//! The table of `docs/spec/cli.md` 1.8 and the rules of 1.1.

use farhold_api::schema::named::{self, ANY_TEXT};
use serde_json::{Value, json};

use super::*;
use crate::Catalogue;
use crate::fixture::{arguments, endpoints};
use crate::plan::{Plan, plan};

/// Runs a command line through look-up and parser; returns the parameters or the text on stderr.
fn parse(line: &[&str]) -> Result<Value, String> {
    match plan(&Catalogue::new(&endpoints(), &[]), "farhold", &arguments(line)) {
        Plan::Run(request) => Ok(Value::Object(request.params)),
        Plan::Print(printed) => Err(printed.err),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_worked_examples_of_the_specification_parse_as_stated() {
    let accepted: &[(&[&str], Value)] = &[
        (&["rem", "l"], json!({})),
        (&["sync", "l"], json!({})),
        (&["sync-job", "l"], json!({})),
        (&["remote", "update", "pbs2", "--comment=-draft"], json!({"name": "pbs2", "comment": "-draft"})),
        (&["remote", "update", "pbs2", "--comment", ""], json!({"name": "pbs2", "comment": ""})),
        (&["sync-job", "update", "job1", "--remove-vanished"], json!({"id": "job1", "remove-vanished": true})),
        (
            &["sync-job", "update", "job1", "--remove-vanished", "--comment", "x"],
            json!({"id": "job1", "remove-vanished": true, "comment": "x"}),
        ),
        (&["sync-job", "update", "job1", "--remove-vanished", "no"], json!({"id": "job1", "remove-vanished": false})),
        (&["sync-job", "update", "--remove-vanished", "job1"], json!({"id": "job1", "remove-vanished": true})),
        (&["verify", "st1", "--ignore-verified", "off"], json!({"store": "st1", "ignore-verified": false})),
        (
            &["sync-job", "update", "job1", "--group-filter", "type:vm", "--group-filter", "exclude:group:vm/100"],
            json!({"id": "job1", "group-filter": ["type:vm", "exclude:group:vm/100"]}),
        ),
        (
            &["sync-job", "update", "job1", "--delete", "comment", "--delete", "schedule"],
            json!({"id": "job1", "delete": ["comment", "schedule"]}),
        ),
        (&["sync-job", "update", "job1", "--rate-in", "20MiB"], json!({"id": "job1", "rate-in": "20MiB"})),
        // The choice of the specification: the `--` is dropped.
        (&["pull", "pbs2", "src", "--", "dst"], json!({"remote": "pbs2", "remote-store": "src", "store": "dst"})),
        (
            &["remote", "update", "-comment", "x", "pbs2", "-port=+08"],
            json!({"name": "pbs2", "comment": "x", "port": 8}),
        ),
        (
            &["remote", "create", "pbs2", "--host", "h", "--userid", "a@pbs", "--password", "p"],
            json!({"name": "pbs2", "host": "h", "auth-id": "a@pbs", "password": "p"}),
        ),
    ];
    for (line, params) in accepted {
        assert_eq!(parse(line).as_ref(), Ok(params), "{line:?}");
    }

    // Command line, what the error names.
    let refused: &[(&[&str], &[&str])] = &[
        (&[], &["no command specified", "Possible commands: acl, cert, "]),
        (&["-output-format", "json", "remote", "list"], &["no such command '-output-format'"]),
        (&["s"], &["no such command 's'"]),
        (&["ver"], &["no such command 'ver'"]),
        (&["p"], &["no such command 'p'"]),
        (&["Remote", "list"], &["no such command 'Remote'"]),
        (
            &["remote", "show"],
            &["verification failed - 'name': missing argument", "\nUsage: farhold remote show <name> [OPTIONS]"],
        ),
        (&["remote", "show", "--name", "pbs2"], &["- 'name': missing argument"]),
        (&["remote", "show", "pbs2", "x"], &["got additional arguments: [\"x\"]"]),
        (
            &["remote", "show", "pbs2", "--outputformat", "text"],
            &["- 'outputformat': additional properties are not allowed"],
        ),
        (
            &["remote", "create", "rem1", "--host", "h1", "--auth-id", "a@pbs"],
            &["- 'password': ", "missing and it is not optional"],
        ),
        (&["remote", "update", "pbs2", "--comment", "-draft"], &[":\n- 'comment': missing", "\n- 'draft': missing"]),
        (&["remote", "update", "pbs2", "--port", "0x1F"], &["- 'port': "]),
        (&["remote", "update", "pbs2", "--host", "a", "--host", "b"], &["- 'host': duplicate parameter"]),
        (&["sync-job", "update", "--remove-vanished", "on"], &["- 'id': missing argument"]),
        (&["verify", "st1", "--ignore-verified"], &["- 'ignore-verified': missing boolean value"]),
        (&["sync-job", "update", "job1", "--delete", "comment,schedule"], &["- 'delete': "]),
        (&["task", "list", "--limit", "0"], &["- 'limit': "]),
        (&["task", "list", "--limit", "1001"], &["- 'limit': "]),
        (&["remote", "update", "pbs2", "--use-node-proxy", "maybe"], &["got additional arguments: [\"maybe\"]"]),
        (&["remote", "list", ""], &["got additional arguments: [\"\"]"]),
        (&["remote", "update", "pbs2", "--use-node-proxy="], &["- 'use-node-proxy': "]),
        (&["remote", "show", "-"], &["- 'name': value must be at least 3 characters"]),
        (&["pull", "pbs2", "src", "dst", "--worker-threads", "2"], &["- 'worker-threads': additional"]),
    ];
    for (line, parts) in refused {
        let error = parse(line).expect_err("refused");
        for part in *parts {
            assert!(error.contains(part), "{line:?}: {part:?} is not in {error}");
        }
    }
}

fn signature(positionals: &[&'static str], params: &[Param]) -> Signature {
    Signature { params: params.to_vec(), positionals: positionals.to_vec(), ..Signature::default() }
}

#[test]
fn problems_of_the_second_stage_show_only_when_nothing_is_missing() {
    let signature = signature(&["name"], &[named::DATASTORE_NAME, named::COMMENT]);
    let names = |line: &[&str]| match parse_arguments(&signature, &arguments(line)) {
        Err(ArgumentError::Parameters { problems }) => {
            problems.into_iter().map(|problem| problem.name).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(names(&["--bogus", "1", "--comment"]), ["comment", "name"]);
    assert_eq!(names(&["x", "--bogus", "1", "--other=2", "surplus"]), ["bogus", "other", "name"]);
}

#[test]
fn a_list_in_the_last_place_takes_all_remaining_arguments() {
    let list = Param::required("words", ParamKind::List(&ANY_TEXT), "Words");
    let mut signature = signature(&["words"], &[list]);
    let parsed = parse_arguments(&signature, &arguments(&["a", "b", "--", "-c"])).map(Value::Object);
    assert_eq!(parsed, Ok(json!({"words": ["a", "b", "-c"]})));
    signature.is_last_optional = true;
    signature.params[0] = list.is_optional();
    assert_eq!(parse_arguments(&signature, &[]).map(Value::Object), Ok(json!({})));
    // An optional last parameter may be given as an option as well.
    assert_eq!(parse_arguments(&signature, &arguments(&["--words=x"])).map(Value::Object), Ok(json!({"words": ["x"]})));
}

#[test]
fn values_that_look_like_options_need_the_equals_form() {
    let signature = signature(&[], &[named::COMMENT]);
    let comment = |line: &[&str]| {
        parse_arguments(&signature, &arguments(line)).ok().and_then(|params| params.get("comment").cloned())
    };
    assert_eq!(comment(&["--comment", "-"]), Some(json!("-")));
    assert_eq!(comment(&["--comment=--x=y"]), Some(json!("--x=y")));
    assert_eq!(comment(&["--comment="]), Some(json!("")));
    assert_eq!(comment(&["--comment", "-x"]), None);
    assert_eq!(comment(&["--comment", "--"]), None);
}
