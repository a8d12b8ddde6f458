//! Commands that show what is there.

use farhold_cli::command::{Align, Column, TableSpec, number, rendered, text};
use farhold_cli::output::{OutputSettings, table_text};
use farhold_cli::render::Renderer;
use farhold_cli::table::{EmptyTable, Table};
use farhold_protocol::query::Query;
use farhold_types::{BackupType, Epoch, Group, Namespace, Snapshot, format_bytes};
use serde_json::{Value, json};

use crate::connect::Connection;
use crate::error::CommandError;
use crate::given::Given;
use crate::outside::Outside;
use crate::show::show;

/// Endings that tables leave out.
const ENDINGS: [&str; 3] = [".didx", ".fidx", ".blob"];

/// `list`: the groups of a namespace.
///
/// # Errors
/// As all commands that ask a server.
pub async fn groups(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let ns = given.namespace(outside)?;
    let Connection { client, store } = given.connect(outside).await?;
    let query = Query::new().with_option("ns", not_root(&ns));
    let items = client.list(&format!("/admin/datastore/{store}/groups"), &query).await?;
    let columns = vec![text("group"), text("last snapshot"), number("backup-count"), text("files")];
    show(outside, given, &Value::Array(items.clone()), |settings| {
        let mut rows = Vec::with_capacity(items.len());
        for item in &items {
            let group = group_of(item)?;
            let last = item["last-backup"].as_i64().filter(|time| *time != 0);
            let last = last.map_or_else(String::new, |time| group.at(Epoch(time)).to_string());
            let row = json!({
                "group": group.to_string(),
                "last snapshot": last,
                "backup-count": item["backup-count"],
                "files": file_names(item),
            });
            rows.push((key_of(&group, 0), row));
        }
        Ok(sorted_table(rows, columns, settings))
    })
}

/// `snapshot list`: the snapshots of a group, or of all groups of a namespace.
///
/// # Errors
/// As all commands that ask a server; a text that is no group.
pub async fn snapshots(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let group = given.group()?;
    let ns = given.namespace(outside)?;
    let Connection { client, store } = given.connect(outside).await?;
    let query = Query::new()
        .with_option("backup-id", group.as_ref().map(|group| &group.backup_id))
        .with_option("backup-type", group.as_ref().map(|group| group.backup_type))
        .with_option("ns", not_root(&ns));
    let items = client.list(&format!("/admin/datastore/{store}/snapshots"), &query).await?;
    let columns = vec![text("snapshot"), rendered("size", Align::Right, Renderer::Bytes), text("files")];
    show(outside, given, &Value::Array(items.clone()), |settings| {
        let mut rows = Vec::with_capacity(items.len());
        for item in &items {
            let group = group_of(item)?;
            let time =
                item["backup-time"].as_i64().ok_or(CommandError::Answer { problem: "a backup time is missing" })?;
            let row = json!({
                "snapshot": group.at(Epoch(time)).to_string(),
                "size": item.get("size"),
                "files": file_names(item),
            });
            rows.push((key_of(&group, time), row));
        }
        Ok(sorted_table(rows, columns, settings))
    })
}

/// `snapshot files`: the files of a snapshot.
///
/// # Errors
/// As all commands that ask a server; a text that is no snapshot.
pub async fn files(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let snapshot = given.snapshot()?;
    let ns = given.namespace(outside)?;
    let Connection { client, store } = given.connect(outside).await?;
    let items = client.list(&format!("/admin/datastore/{store}/files"), &snapshot_query(&ns, &snapshot)).await?;
    let spec =
        TableSpec { columns: vec![text("filename"), text("crypt-mode"), number("size")], ..TableSpec::default() };
    show(outside, given, &Value::Array(items.clone()), |settings| Ok(table_text(&items, &spec, settings)))
}

/// `namespace list`: namespaces, one a line.
///
/// # Errors
/// As all commands that ask a server.
pub async fn namespaces(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let parent = given.namespace(outside)?;
    let Connection { client, store } = given.connect(outside).await?;
    let query =
        Query::new().with_option("max-depth", given.number("max-depth")).with_option("parent", not_root(&parent));
    let items = client.list(&format!("/admin/datastore/{store}/namespace"), &query).await?;
    show(outside, given, &json!({ "data": items }), |_| {
        let mut lines = String::new();
        for item in &items {
            let ns = item["ns"].as_str().ok_or(CommandError::Answer { problem: "a namespace is missing" })?;
            if ns.is_empty() {
                continue;
            }
            lines.push_str(&printable(ns));
            if let Some(comment) = item["comment"].as_str() {
                lines.push_str(&format!(" ({})", printable(comment)));
            }
            lines.push('\n');
        }
        Ok(lines)
    })
}

/// `status`: how full the datastore is.
///
/// # Errors
/// As all commands that ask a server.
pub async fn status(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let Connection { client, store } = given.connect(outside).await?;
    let status: Value = client.get(&format!("/admin/datastore/{store}/status"), &Query::new()).await?;
    show(outside, given, &status, |settings| {
        let total = status["total"].as_u64();
        let rows = ["total", "used", "avail"].iter().map(|name| {
            let value = status[*name].as_u64().map_or_else(String::new, |bytes| share_of(bytes, total));
            vec![(*name).to_owned(), value]
        });
        let columns = vec![("Name".to_owned(), Align::Left), ("Value".to_owned(), Align::Right)];
        let table = Table { columns, rows: rows.collect(), empty: EmptyTable::Nothing };
        let mut style = settings.table.clone();
        style.has_header = false;
        Ok(table.draw(&style))
    })
}

/// `version`: of this program, and of the server if there is one that answers.
///
/// # Errors
/// The output cannot be written. A server that does not answer is told and is no error.
pub async fn version(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let own = env!("CARGO_PKG_VERSION");
    let (version, release) = own.rsplit_once('.').unwrap_or((own, "0"));
    let mut answer = json!({
        "client": { "version": version, "release": release, "repoid": concat!("farhold-", env!("CARGO_PKG_VERSION")) },
    });
    match server_version(outside, given).await {
        Ok(server) => answer["server"] = server,
        // Without any repository the question is only about this program.
        Err(CommandError::Repository(crate::repository::RepositoryError::Unknown)) => {}
        Err(error) => outside.tell(&format!("could not connect to server - {error}")),
    }
    show(outside, given, &answer, |_| {
        let mut lines = String::new();
        for side in ["client", "server"] {
            let Some(of) = answer.get(side) else { continue };
            let part = |name: &str| printable(of[name].as_str().unwrap_or_default());
            lines.push_str(&format!("{side} version: {}.{}\n", part("version"), part("release")));
        }
        Ok(lines)
    })
}

async fn server_version(outside: &mut Outside, given: &Given) -> Result<Value, CommandError> {
    let connection = given.connect(outside).await?;
    Ok(connection.client.get("/version", &Query::new()).await?)
}

/// Returns the query that names a snapshot.
pub fn snapshot_query(ns: &Namespace, snapshot: &Snapshot) -> Query {
    Query::new()
        .with("backup-id", &snapshot.group.backup_id)
        .with("backup-time", snapshot.time.0)
        .with("backup-type", snapshot.group.backup_type)
        .with_option("ns", not_root(ns))
}

fn not_root(ns: &Namespace) -> Option<&Namespace> {
    Some(ns).filter(|ns| !ns.is_root())
}

/// Returns what a peer sent without characters that a terminal obeys.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn group_of(item: &Value) -> Result<Group, CommandError> {
    let text = format!(
        "{}/{}",
        item["backup-type"].as_str().unwrap_or_default(),
        item["backup-id"].as_str().unwrap_or_default()
    );
    text.parse().map_err(|_| CommandError::Answer { problem: "a group is missing" })
}

/// Rows are sorted by type, then by ID as text, then by time.
fn key_of(group: &Group, time: i64) -> (BackupType, String, i64) {
    (group.backup_type, group.backup_id.to_string(), time)
}

/// Returns the names of an item's files without endings, sorted, in one line. They are texts or objects.
fn file_names(item: &Value) -> String {
    let files = item["files"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |file: &Value| file.as_str().or_else(|| file["filename"].as_str()).map(printable);
    let mut names: Vec<String> = files.iter().filter_map(name).map(|name| without_ending(&name).to_owned()).collect();
    names.sort_unstable();
    names.join(" ")
}

/// Returns a file name without the ending that says how it is stored.
pub fn without_ending(name: &str) -> &str {
    ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

fn sorted_table<K: Ord>(mut rows: Vec<(K, Value)>, columns: Vec<Column>, settings: &OutputSettings) -> String {
    rows.sort_by(|(a, _), (b, _)| a.cmp(b));
    let rows: Vec<Value> = rows.into_iter().map(|(_, row)| row).collect();
    table_text(&rows, &TableSpec { columns, is_unsorted: true, ..TableSpec::default() }, settings)
}

/// Returns an amount, and which part of the whole it is.
fn share_of(bytes: u64, total: Option<u64>) -> String {
    match total.filter(|total| 0 < *total) {
        // Hundredths of a percent, rounded down: nothing that is not full shows as full.
        Some(total) => {
            let hundredths = u128::from(bytes) * 10_000 / u128::from(total);
            format!("{} ({}.{:02}%)", format_bytes(bytes), hundredths / 100, hundredths % 100)
        }
        None => format_bytes(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_down_and_missing_totals_left_out() {
        for (bytes, total, expected) in [
            (0, Some(1024), "0 B (0.00%)"),
            (1023, Some(1024), "1023 B (99.90%)"),
            (1024, Some(1024), "1 KiB (100.00%)"),
            (u64::MAX, Some(u64::MAX), "16384 PiB (100.00%)"),
            (1024, Some(0), "1 KiB"),
            (1024, None, "1 KiB"),
        ] {
            assert_eq!(share_of(bytes, total), expected);
        }
    }

    #[test]
    fn file_names_lose_one_ending_and_everything_a_terminal_obeys() {
        let item =
            json!({ "files": ["b.img.fidx", { "filename": "a\u{1b}[31m.conf.blob" }, "c.blob.blob", "plain", 7] });
        assert_eq!(file_names(&item), "a [31m.conf b.img c.blob plain");
        assert_eq!(file_names(&json!({})), "");
    }
}
