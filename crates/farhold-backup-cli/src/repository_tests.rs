//! Repository texts, and where the parts come from.

use std::collections::BTreeMap;

use super::*;

fn shown(repository: &Repository) -> String {
    format!("{} {} {} {}", repository.authid, repository.host, repository.port, repository.store)
}

#[test]
fn texts_mean_what_the_specification_says() {
    for (text, expected, server, short) in [
        ("store1", "root@pam localhost 8007 store1", "localhost", "store1"),
        ("host1:store1", "root@pam host1 8007 store1", "host1", "host1:store1"),
        ("u@pbs@host1:store1", "u@pbs host1 8007 store1", "host1", "u@pbs@host1:store1"),
        ("u@pbs!tok@host1:8010:store1", "u@pbs!tok host1 8010 store1", "host1:8010", "u@pbs!tok@host1:8010:store1"),
        ("[fd00::1]:1234:store1", "root@pam fd00::1 1234 store1", "[fd00::1]:1234", "[fd00::1]:1234:store1"),
        ("[fd00::1]:store1", "root@pam fd00::1 8007 store1", "[fd00::1]", "[fd00::1]:store1"),
        ("u@pbs@[::1]:8007:store1", "u@pbs ::1 8007 store1", "[::1]", "u@pbs@[::1]:store1"),
        ("10.0.0.1:store1", "root@pam 10.0.0.1 8007 store1", "10.0.0.1", "10.0.0.1:store1"),
        ("a@b@pbs@host1:store1", "a@b@pbs host1 8007 store1", "host1", "a@b@pbs@host1:store1"),
    ] {
        let repository: Repository = text.parse().unwrap();
        assert_eq!(shown(&repository), expected, "{text}");
        assert_eq!(repository.server(), server, "{text}");
        assert_eq!(repository.to_string(), short, "{text}");
        assert_eq!(repository.to_string().parse(), Ok(repository), "{text}");
    }
}

#[test]
fn other_texts_are_refused() {
    for text in [
        "",
        "a/b",
        "host1:",
        ":store1",
        "host1:x:store1",
        "host1:0:store1",
        "host1:65536:store1",
        "host1:+80:store1",
        "fd00::1:store1",
        "[fd00::1:store1",
        "[host]:store1",
        "u@host1:store1",
        "@host1:store1",
        "u@pbs@:store1",
        "u@pbs!@host1:store1",
        "ho st:store1",
        "host1..example:store1",
        "-h:store1",
        "h-:store1",
        "u@pbs@store1",
    ] {
        assert_eq!(text.parse::<Repository>(), Err(RepositoryTextError::Form), "{text}");
    }
    assert_eq!(format!("{}:store1", "a".repeat(250)).parse::<Repository>(), Err(RepositoryTextError::TooLong));
}

/// Options and variables in short: `o:` an option, `v:` a variable, `c:` the credential.
fn resolved(given: &[(&str, &str)]) -> Result<String, String> {
    let mut options = RepositoryOptions::default();
    let mut variables = BTreeMap::new();
    let mut credential = None;
    for (name, value) in given {
        let value = (*value).to_owned();
        match *name {
            "--repository" => options.repository = Some(value),
            "--server" => options.server = Some(value),
            "--port" => options.port = value.parse().ok(),
            "--datastore" => options.datastore = Some(value),
            "--auth-id" => options.auth_id = Some(value),
            "credential" => credential = Some(value),
            variable => drop(variables.insert(variable.to_owned(), value)),
        }
    }
    let resolved = resolve(&options, |name| variables.get(name).cloned(), || credential);
    resolved.map(|repository| shown(&repository)).map_err(|error| error.to_string())
}

#[test]
fn options_beat_variables_and_parts_are_completed_one_by_one() {
    let exclusive = "--repository and --server/--port/--datastore/--auth-id are mutually exclusive";
    let no_store = "--datastore is required when not using --repository";
    let ok = |text: &str| Ok(text.to_owned());
    let fails = |text: &str| Err(text.to_owned());
    let cases: Vec<(Vec<(&str, &str)>, _)> = vec![
        (vec![], fails("unable to get (default) repository")),
        (vec![("--repository", "h:s11"), ("--server", "x")], fails(exclusive)),
        (vec![("--repository", "h:s11"), ("--port", "1")], fails(exclusive)),
        // A whole repository takes nothing from the environment.
        (vec![("--repository", "h:s11"), ("PBS_SERVER", "x"), ("PBS_PORT", "1")], ok("root@pam h 8007 s11")),
        (vec![("--server", "x")], fails(no_store)),
        (vec![("--server", "x"), ("PBS_REPOSITORY", "h:s11")], fails(no_store)),
        (vec![("--server", "x"), ("PBS_DATASTORE", "s22"), ("PBS_AUTH_ID", "u@pbs")], ok("u@pbs x 8007 s22")),
        (vec![("--datastore", "s33"), ("PBS_SERVER", "x"), ("PBS_PORT", "99")], ok("root@pam x 99 s33")),
        (vec![("--datastore", "s33"), ("--server", "fd00::1")], ok("root@pam fd00::1 8007 s33")),
        (vec![("--datastore", "s33"), ("--server", "[fd00::1]")], ok("root@pam fd00::1 8007 s33")),
        (vec![("PBS_REPOSITORY", "h:s11"), ("PBS_SERVER", "x"), ("credential", "c:s44")], ok("root@pam h 8007 s11")),
        (vec![("credential", "c:s44\n"), ("PBS_SERVER", "x")], ok("root@pam c 8007 s44")),
        (vec![("PBS_DATASTORE", "s55")], ok("root@pam localhost 8007 s55")),
        (vec![("PBS_SERVER", "x")], fails(no_store)),
        (vec![("PBS_REPOSITORY", "a/b")], fails("PBS_REPOSITORY is wrong")),
        (vec![("PBS_DATASTORE", "s55"), ("PBS_PORT", "many")], fails("PBS_PORT is wrong: 'many'")),
        (vec![("--datastore", "s33"), ("PBS_AUTH_ID", "nobody")], fails("PBS_AUTH_ID is wrong: 'nobody'")),
    ];
    for (given, expected) in cases {
        assert_eq!(resolved(&given), expected, "{given:?}");
    }
}
