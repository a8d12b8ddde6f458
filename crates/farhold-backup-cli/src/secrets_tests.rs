//! Where secrets come from, in which order, and what errors do not say.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;

use super::*;

fn found(variables: &[(&str, &str)]) -> Result<Option<String>, SecretError> {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let variable = |name: &str| variables.get(name).cloned();
    let secret = Sources::new(&variable).secret(PASSWORD)?;
    Ok(secret.map(|secret| secret.expose().to_owned()))
}

#[test]
fn the_first_place_that_is_defined_wins_and_only_its_first_line_counts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "from file\r\nmore\n").unwrap();
    fs::write(folder.path().join(PASSWORD.credential), "from credential").unwrap();
    let opened = File::open(&file).unwrap();
    let descriptor = opened.as_raw_fd().to_string();
    let (file, folder) = (file.to_str().unwrap(), folder.path().to_str().unwrap());
    let all = [
        ("PBS_PASSWORD", "plain\nmore", "plain"),
        ("PBS_PASSWORD_FD", &descriptor, "from file"),
        ("PBS_PASSWORD_FILE", file, "from file"),
        ("PBS_PASSWORD_CMD", "printf 'from %s\\nmore\\n' 'a command'", "from a command"),
        ("CREDENTIALS_DIRECTORY", folder, "from credential"),
    ];
    for first in 0..all.len() {
        let defined: Vec<_> = all[first..].iter().map(|(name, value, _)| (*name, *value)).collect();
        assert_eq!(found(&defined).unwrap().as_deref(), Some(all[first].2), "{first}");
    }
    assert_eq!(found(&[("PBS_PASSWORD", ""), ("PBS_PASSWORD_FILE", file)]).unwrap().as_deref(), Some("from file"));
    assert_eq!(found(&[]).unwrap(), None);
    assert_eq!(found(&[("CREDENTIALS_DIRECTORY", "/nonexistent")]).unwrap(), None);
}

#[test]
fn a_place_that_holds_nothing_usable_is_an_error_that_does_not_show_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let empty = write("empty", b"\nsecond line\n");
    let binary = write("binary", b"hunter\xff2\n");
    let long = write("long", &vec![b'x'; 65_537]);
    let cases = [
        ("PBS_PASSWORD_FILE", "/nonexistent/secret", "cannot read what PBS_PASSWORD_FILE names"),
        ("PBS_PASSWORD_FILE", &empty, "PBS_PASSWORD_FILE gives an empty text"),
        ("PBS_PASSWORD_FILE", &binary, "PBS_PASSWORD_FILE gives no readable line of text"),
        ("PBS_PASSWORD_FILE", &long, "PBS_PASSWORD_FILE gives no readable line of text"),
        ("PBS_PASSWORD_FD", "../../etc/passwd", "PBS_PASSWORD_FD must be the number of an open file descriptor"),
        ("PBS_PASSWORD_CMD", "echo 'hunter2", "PBS_PASSWORD_CMD is no complete command line"),
        ("PBS_PASSWORD_CMD", " ", "PBS_PASSWORD_CMD is no complete command line"),
        ("PBS_PASSWORD_CMD", "/nonexistent/program hunter2", "cannot read what PBS_PASSWORD_CMD names"),
        ("PBS_PASSWORD_CMD", "true hunter2", "PBS_PASSWORD_CMD gives an empty text"),
        (
            "PBS_PASSWORD_CMD",
            "sh -c 'echo hunter2; exit 3'",
            "the command 'sh' of PBS_PASSWORD_CMD failed: exit status: 3",
        ),
    ];
    for (variable, value, expected) in cases {
        let error = found(&[(variable, value)]).unwrap_err();
        assert_eq!(error.to_string(), expected, "{value}");
        assert!(!format!("{error:?}").contains("hunter"), "{error:?}");
    }
}
