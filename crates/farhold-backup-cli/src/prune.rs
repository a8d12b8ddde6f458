//! `prune` and `change-owner`: what an owner does with a whole group.

use farhold_api::schema::named::KEEP;
use farhold_cli::command::{Align, TableSpec, rendered, text};
use farhold_cli::output::table_text;
use farhold_cli::render::Renderer;
use farhold_types::{Authid, Epoch};
use serde_json::{Map, Value, json};

use crate::connect::Connection;
use crate::error::CommandError;
use crate::given::Given;
use crate::outside::Outside;
use crate::show::show;

/// `prune`: removes the snapshots of a group that the keep options do not keep, or shows which those are.
///
/// # Errors
/// As all commands that ask a server; a text that is no group.
pub async fn prune(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let group = given.required_group()?;
    let ns = given.namespace(outside)?;
    let Connection { client, store } = given.connect(outside).await?;
    let mut body = Map::new();
    body.insert("backup-type".to_owned(), json!(group.backup_type));
    body.insert("backup-id".to_owned(), json!(group.backup_id));
    body.insert("dry-run".to_owned(), given.is_set("dry-run").into());
    if !ns.is_root() {
        body.insert("ns".to_owned(), json!(ns));
    }
    let kept = KEEP.iter().filter_map(|keep| Some((keep.name.to_owned(), given.number(keep.name)?.into())));
    body.extend(kept);
    let answer: Value = client.post(&format!("/admin/datastore/{store}/prune"), &body).await?;
    let items = answer.as_array().ok_or(CommandError::Answer { problem: "a list was expected" })?;
    let is_quiet = given.is_set("quiet");
    show(outside, given, &answer, |settings| {
        let mut rows = Vec::with_capacity(items.len());
        for item in items {
            let time = item["backup-time"].as_i64();
            let time = time.ok_or(CommandError::Answer { problem: "a backup time is missing" })?;
            let is_kept = item["keep"] == true || item["protected"] == true;
            if !(is_quiet && is_kept) {
                rows.push(json!({
                    "snapshot": group.at(Epoch(time)).to_string(),
                    "date": time,
                    "action": if is_kept { "keep" } else { "remove" },
                }));
            }
        }
        let columns = vec![
            text("snapshot"),
            rendered("date", Align::Right, Renderer::Epoch),
            rendered("action", Align::Right, Renderer::Plain),
        ];
        Ok(table_text(&rows, &TableSpec { columns, ..TableSpec::default() }, settings))
    })
}

/// `change-owner`: gives a group to somebody else.
///
/// # Errors
/// As all commands that ask a server; a text that is no group, or no user or API token.
pub async fn change_owner(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let group = given.required_group()?;
    let owner: Authid = given
        .required("new-owner")
        .parse()
        .map_err(|error| CommandError::parameter(format!("'new-owner' is no user or API token: {error}")))?;
    let ns = given.namespace(outside)?;
    let Connection { client, store } = given.connect(outside).await?;
    Ok(client.change_owner(&store, &ns, &group, &owner).await?)
}
