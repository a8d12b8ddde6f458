//! Shell completion for the client's commands.
//!
//! Source: `docs/spec/cli.md` 1.7 and 5.2 (recently used repositories).

use farhold_api::schema::Param;
use farhold_cli::complete::{Typed, ValueSource, complete_with};
use farhold_cli::shell_words;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::commands::{aliases, catalogue, without_alias};
use crate::folders::Folders;
use crate::local_files::recent;

/// Returns what can stand at the cursor, sorted. Asks no server.
///
/// `line`: the command line, whose first word is the program; `point`: characters in front of the cursor.
pub async fn complete(line: &str, point: usize, folders: &Folders) -> Vec<String> {
    let before: String = line.chars().take(point).collect();
    let words = shell_words::split(&before).words;
    let recent = Recent(folders.recent().map(|path| recent::list(&path)).unwrap_or_default());
    if let [_, first, _, ..] = words.as_slice() {
        let expanded = without_alias(vec![first.clone()]);
        if expanded != [first.as_str()] {
            let line = before.replacen(first.as_str(), &expanded.join(" "), 1);
            return complete_with(&catalogue(), &line, line.chars().count(), &recent).await;
        }
    }
    let mut candidates = complete_with(&catalogue(), &before, before.chars().count(), &recent).await;
    if let [_, first] = words.as_slice() {
        candidates.extend(aliases().filter(|alias| alias.starts_with(first.as_str())).map(str::to_owned));
        candidates.sort();
    }
    candidates
}

/// Repositories that were used.
struct Recent(Vec<String>);

impl ValueSource for Recent {
    fn values<'a>(&'a self, _: &'a [&'static str], param: &'a Param, _: &'a Typed) -> BoxFuture<'a, Vec<String>> {
        async move { if param.name == "repository" { self.0.clone() } else { Vec::new() } }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn candidates(line: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders { cache: Some(folder.path().to_owned()), ..Folders::default() };
        recent::count(&folders.recent().unwrap(), "ann@pbs!t1@backup:store1").unwrap();
        complete(line, line.chars().count(), &folders).await
    }

    #[tokio::test]
    async fn words_aliases_options_and_recent_repositories_are_offered() {
        for (line, expected) in [
            ("client sna", &["snapshot", "snapshots"][..]),
            ("client snapshot n", &["notes"]),
            ("client snapshots --ou", &["--output-format"]),
            ("client files --ns x --po", &["--port"]),
            ("client backup --crypt-mode e", &["encrypt"]),
            ("client list --repository a", &["ann@pbs!t1@backup:store1"]),
            ("client mou", &[]),
            ("client restore host/", &[]),
        ] {
            assert_eq!(candidates(line).await, expected, "{line}");
        }
    }
}
