//! What each cell expects, and whether the server does it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::rules::{Line, any_below, owns, privileges, user_of};
use crate::scene::{CALLERS, OTHER, OWNERS, Scene, USER};
use crate::table::{Need, Row, Rule};

/// Privileges that show that a namespace exists.
const NS_ANY: &[&str] = &["Datastore.Modify", "Datastore.Read", "Datastore.Backup", "Datastore.Audit"];

/// Counts cells and collects those that differ.
#[derive(Default)]
pub struct Sheet {
    pub cells: usize,
    /// Call, and who was answered what.
    pub wrong: Vec<(String, String)>,
    /// Calls that were both allowed and refused in some cell.
    pub allowed: BTreeSet<String>,
    pub refused: BTreeSet<String>,
}

impl Sheet {
    fn note(&mut self, call: &str, is_allowed: bool, is_right: bool, told: impl FnOnce() -> String) {
        self.cells += 1;
        let seen = if is_allowed { &mut self.allowed } else { &mut self.refused };
        if !seen.contains(call) {
            seen.insert(call.to_owned());
        }
        // Two of each call are enough to see what is wrong.
        if !is_right && self.wrong.iter().filter(|(wrong, _)| wrong == call).count() < 2 {
            self.wrong.push((call.to_owned(), told()));
        }
    }
}

/// Somebody with the lines that count now.
#[derive(Clone, Copy)]
struct Caller<'a> {
    who: &'a str,
    lines: &'a [Line],
}

impl Caller<'_> {
    fn has(&self, path: &str, privilege: &str) -> bool {
        privileges(self.lines, self.who, path).contains(privilege)
    }

    fn has_any(&self, path: &str, wanted: &[&str]) -> bool {
        wanted.iter().any(|privilege| self.has(path, privilege))
    }

    fn meets(&self, need: &Need, values: &BTreeMap<String, String>) -> bool {
        let parts = need.path.split('/').map(|part| match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
            Some(name) => values[name].clone(),
            None => part.to_owned(),
        });
        let path = parts.collect::<Vec<_>>().join("/");
        let has = |privilege: &String| self.has(&path, privilege);
        if need.any { need.privileges.iter().any(has) } else { need.privileges.iter().all(has) }
    }

    /// Returns what somebody may do with a group in the root namespace of `golden`.
    fn with_group(&self, full: &[String], part: &[String], owner: &str) -> Outcome {
        let has = |wanted: &[String]| wanted.iter().any(|privilege| self.has("/datastore/golden", privilege));
        if has(full) || has(part) && owns(self.who, owner) {
            Outcome::Allowed
        } else if has(part) {
            Outcome::NotOwner
        } else {
            Outcome::Forbidden
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Allowed,
    NotOwner,
    Forbidden,
}

/// Returns the row of a declared call: the one with the fewest variables where the call has words.
pub fn row_of<'a>(rows: &'a [Row], method: &str, path: &str) -> Option<&'a Row> {
    let is_variable = |part: &str| part.starts_with('{');
    let fits = |row: &&Row| {
        let (theirs, ours) = (row.path.split('/'), path.split('/'));
        row.method == method
            && theirs.clone().count() == ours.clone().count()
            && theirs.zip(ours).all(|(theirs, ours)| is_variable(theirs) || theirs == ours)
    };
    rows.iter().filter(fits).min_by_key(|row| row.path.split('/').filter(|part| is_variable(part)).count())
}

/// Returns values for the path's variables, and the same by the names that the specification uses.
fn filled(row: &Row, path: &str, userid: &str) -> (Map<String, Value>, BTreeMap<String, String>) {
    let (mut params, mut values) = (Map::new(), BTreeMap::new());
    for (theirs, ours) in row.path.split('/').zip(path.split('/')) {
        let name = |part: &str| part.strip_prefix('{').and_then(|p| p.strip_suffix('}')).map(str::to_owned);
        let value = match name(ours).as_deref() {
            Some("store") => "tank",
            Some("name") if path.starts_with("/config/datastore") => "tank",
            Some("name") => "far",
            Some("id") if path.contains("encryption-keys") => "key-far",
            Some("id") => "job-tank",
            Some("userid") => userid,
            Some("node") => "localhost",
            Some(_) => "x1",
            None => ours,
        };
        if let Some(name) = name(ours) {
            params.insert(name, json!(value));
        }
        if let Some(name) = name(theirs) {
            values.insert(name, value.to_owned());
        }
    }
    (params, values)
}

/// Tries declared permissions. A parameter that does not exist makes sure that an allowed call does nothing: permissions
/// come before parameters.
pub async fn declared(scene: &Scene, rows: &[Row], lines: &[Line], sheet: &mut Sheet) {
    for (method, path) in scene.declared() {
        let Some(row) = row_of(rows, &method, &path) else { continue };
        if matches!(row.rule, Rule::Text(_) | Rule::Own(..) | Rule::World) {
            continue;
        }
        for who in CALLERS {
            for userid in [USER, OTHER] {
                if userid == OTHER && !path.contains("{userid}") {
                    continue;
                }
                let caller = Caller { who, lines };
                let (mut params, values) = filled(row, &path, userid);
                params.insert("no-such-parameter".to_owned(), json!(1));
                let is_allowed = match &row.rule {
                    Rule::Declared(needs) => needs.iter().all(|need| caller.meets(need, &values)),
                    Rule::SelfOr(need) => *who == userid || caller.meets(need, &values),
                    _ => true,
                };
                let expected = if is_allowed { 400 } else { 403 };
                let answer = scene.call(who, &method, &path, Value::Object(params)).await;
                let status = answer.as_ref().map_or_else(|(status, _)| *status, |_| 200);
                sheet.note(&format!("{method} {path}"), is_allowed, status == expected, || {
                    format!("{who} {method} {path} ({userid}): {status} instead of {expected}, with {lines:?}")
                });
            }
        }
    }
}

/// A call about one group: method, path, further parameters, and which backup it names.
type OnGroup = (&'static str, &'static str, fn() -> Value, Names);

/// Those that can be made without changing anything.
const ON_GROUPS: &[OnGroup] = &[
    ("GET", "/admin/datastore/{store}/group-notes", || json!({}), Names::Group),
    ("PUT", "/admin/datastore/{store}/group-notes", || json!({ "notes": "" }), Names::Group),
    ("POST", "/admin/datastore/{store}/prune", || json!({ "dry-run": true, "keep-last": 1 }), Names::Group),
    ("GET", "/admin/datastore/{store}/files", || json!({}), Names::Snapshot),
    ("GET", "/admin/datastore/{store}/notes", || json!({}), Names::Snapshot),
    ("PUT", "/admin/datastore/{store}/notes", || json!({ "notes": "" }), Names::Snapshot),
    ("GET", "/admin/datastore/{store}/protected", || json!({}), Names::Snapshot),
    ("PUT", "/admin/datastore/{store}/protected", || json!({ "protected": false }), Names::Snapshot),
    ("DELETE", "/admin/datastore/{store}/snapshots", || json!({}), Names::Missing),
    ("POST", "/admin/datastore/{store}/upload-backup-log", || json!({}), Names::Missing),
    ("GET", "/admin/datastore/{store}/download", || json!({ "file-name": "none.blob" }), Names::Missing),
    ("GET", "/admin/datastore/{store}/download-decoded", || json!({ "file-name": "none.blob" }), Names::Missing),
    ("GET", "/admin/datastore/{store}/catalog", || json!({ "filepath": "/" }), Names::Missing),
    ("GET", "/admin/datastore/{store}/pxar-file-download", || json!({ "filepath": "Lw==" }), Names::Missing),
];

/// Which backup a call names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Group,
    Snapshot,
    /// A snapshot that is not there, so that nothing happens.
    Missing,
}

/// Returns the newest snapshot's time of each group of [`OWNERS`].
pub async fn newest_times(scene: &Scene) -> BTreeMap<String, i64> {
    let groups = scene.call("root@pam", "GET", "/admin/datastore/{store}/groups", json!({ "store": "golden" })).await;
    let groups = groups.unwrap();
    let time = |group: &Value| {
        let name = format!("{}/{}", group["backup-type"].as_str().unwrap(), group["backup-id"].as_str().unwrap());
        (name, group["last-backup"].as_i64().unwrap())
    };
    groups.as_array().unwrap().iter().map(time).collect()
}

/// Tries the rules of ownership.
pub async fn groups(scene: &Scene, rows: &[Row], times: &BTreeMap<String, i64>, lines: &[Line], sheet: &mut Sheet) {
    for (method, path, params, names) in ON_GROUPS {
        let Some(Row { rule: Rule::Own(full, part), .. }) = row_of(rows, method, path) else {
            panic!("{method} {path} is no call with an owner in the specification");
        };
        for who in CALLERS {
            for (group, owner) in OWNERS {
                let (kind, id) = group.split_once('/').unwrap();
                let mut params = params();
                params["store"] = json!("golden");
                params["backup-type"] = json!(kind);
                params["backup-id"] = json!(id);
                match names {
                    Names::Group => {}
                    Names::Snapshot => params["backup-time"] = json!(times[*group]),
                    Names::Missing => params["backup-time"] = json!(1),
                }
                let expected = Caller { who, lines }.with_group(full, part, owner);
                let answer = scene.call(who, method, path, params).await;
                let is_right = match (&answer, expected) {
                    (Err((403, _)), Outcome::Forbidden) => true,
                    (Err((400, _)), Outcome::NotOwner) => true,
                    (Ok(_), Outcome::Allowed) => *names != Names::Missing,
                    (Err((400, text)), Outcome::Allowed) => *names == Names::Missing && !text.contains("owner"),
                    _ => false,
                };
                sheet.note(&format!("{method} {path}"), expected == Outcome::Allowed, is_right, || {
                    format!("{who} {method} {path} on {group} of {owner}: {answer:?}, not {expected:?}, with {lines:?}")
                });
            }
        }
    }
}

/// Returns the members `name` of a list, or the status of its refusal.
fn names(answer: &Result<Value, (u16, String)>, name: fn(&Value) -> String) -> Result<BTreeSet<String>, u16> {
    match answer {
        Ok(list) => Ok(list.as_array().unwrap().iter().map(name).collect()),
        Err((status, _)) => Err(*status),
    }
}

fn member(item: &Value, name: &str) -> String {
    item[name].as_str().unwrap_or_default().to_owned()
}

fn group_name(item: &Value) -> String {
    format!("{}/{}", member(item, "backup-type"), member(item, "backup-id"))
}

fn chosen<T: AsRef<str>>(all: impl IntoIterator<Item = T>, is_seen: impl Fn(&str) -> bool) -> BTreeSet<String> {
    all.into_iter().filter(|name| is_seen(name.as_ref())).map(|name| name.as_ref().to_owned()).collect()
}

/// A list: path, parameters, what names an item, and the names that are seen, or the status of the refusal.
type OfList = (&'static str, Value, fn(&Value) -> String, Result<BTreeSet<String>, u16>);

/// Where the stored jobs work: their id and their place in the access control list.
const JOBS: &[(&str, &str)] = &[("job-golden", "/datastore/golden"), ("job-tank", "/datastore/tank/a/b")];

/// Tries what lists show.
pub async fn lists(scene: &Scene, lines: &[Line], sheet: &mut Sheet) {
    for who in CALLERS {
        let caller = Caller { who, lines };
        let user = user_of(who).unwrap_or(who);
        let jobs = |wanted: &[&str]| {
            let place = |id: &str| JOBS.iter().find(|(job, _)| *job == id).unwrap().1;
            chosen(JOBS.iter().map(|(id, _)| *id), |id| caller.has_any(place(id), wanted))
        };
        let store = |name: &str| format!("/datastore/{name}");
        let remotes = chosen(["far", "near"], |name| caller.has(&format!("/remote/{name}"), "Remote.Audit"));
        let sync = if remotes.contains("far") { jobs(&["Datastore.Audit"]) } else { BTreeSet::new() };
        let sees_namespace = |ns: &str| caller.has_any(&format!("/datastore/tank/{ns}"), NS_ANY);
        let namespaces = chosen(["", "a", "a/b"], sees_namespace);
        let namespaces = if namespaces.is_empty() { Err(403) } else { Ok(namespaces) };
        let owned = |group: &str| OWNERS.iter().any(|(name, owner)| *name == group && owns(who, owner));
        let groups = if caller.has("/datastore/golden", "Datastore.Audit") {
            Ok(None)
        } else if caller.has("/datastore/golden", "Datastore.Backup") {
            Ok(Some(chosen(OWNERS.iter().map(|(name, _)| *name), owned)))
        } else {
            Err(403)
        };
        let listed = chosen(["golden", "tank"], |name| {
            caller.has_any(&store(name), &["Datastore.Audit", "Datastore.Backup"])
                || any_below(lines, who, &store(name), NS_ANY)
        });
        let users = ["root@pam", USER, OTHER];
        let users = chosen(users, |name| caller.has("/access/users", "Sys.Audit") || name == user);
        let keys =
            chosen(["key-far", "key-near"], |id| caller.has(&format!("/system/encryption-keys/{id}"), "Sys.Audit"));
        let cases: Vec<OfList> = vec![
            ("/config/remote", json!({}), |item| member(item, "name"), Ok(remotes)),
            ("/config/sync", json!({}), |item| member(item, "id"), Ok(sync.clone())),
            ("/admin/sync", json!({}), |item| member(item, "id"), Ok(sync)),
            ("/config/prune", json!({}), |item| member(item, "id"), Ok(jobs(&["Datastore.Audit", "Datastore.Modify"]))),
            ("/admin/prune", json!({}), |item| member(item, "id"), Ok(jobs(&["Datastore.Audit", "Datastore.Modify"]))),
            (
                "/config/verify",
                json!({}),
                |item| member(item, "id"),
                Ok(jobs(&["Datastore.Audit", "Datastore.Verify"])),
            ),
            ("/admin/verify", json!({}), |item| member(item, "id"), Ok(jobs(&["Datastore.Audit", "Datastore.Verify"]))),
            (
                "/config/datastore",
                json!({}),
                |item| member(item, "name"),
                Ok(chosen(["golden", "tank"], |name| caller.has(&store(name), "Datastore.Audit"))),
            ),
            ("/admin/datastore", json!({}), |item| member(item, "store"), Ok(listed)),
            ("/config/encryption-keys", json!({}), |item| member(item, "id"), Ok(keys)),
            ("/access/users", json!({}), |item| member(item, "userid"), Ok(users)),
            ("/admin/datastore/{store}/namespace", json!({ "store": "tank" }), |item| member(item, "ns"), namespaces),
        ];
        for (path, params, name, expected) in cases {
            let answer = scene.call(who, "GET", path, params).await;
            let seen = names(&answer, name);
            // Everybody sees at least oneself.
            let always = usize::from(path == "/access/users");
            let is_allowed = expected.as_ref().is_ok_and(|seen| always < seen.len());
            sheet.note(&format!("GET {path}"), is_allowed, seen == expected, || {
                format!("{who} GET {path}: {seen:?} instead of {expected:?}, with {lines:?}")
            });
        }
        for path in ["/admin/datastore/{store}/groups", "/admin/datastore/{store}/snapshots"] {
            let answer = scene.call(who, "GET", path, json!({ "store": "golden" })).await;
            let seen = names(&answer, group_name);
            let is_right = match (&seen, &groups) {
                // Those of the recording are there too.
                (Ok(seen), Ok(None)) => {
                    OWNERS.iter().all(|(name, _)| seen.contains(*name)) && OWNERS.len() < seen.len()
                }
                (Ok(seen), Ok(Some(expected))) => seen == expected,
                (Err(seen), Err(expected)) => seen == expected,
                _ => false,
            };
            sheet.note(&format!("GET {path}"), groups.is_ok(), is_right, || {
                format!("{who} GET {path}: {seen:?} instead of {groups:?}, with {lines:?}")
            });
        }
        entries(scene, caller, sheet).await;
        status(scene, caller, sheet).await;
        changes(scene, caller, sheet).await;
    }
}

/// What one sees of the access control list itself.
async fn entries(scene: &Scene, caller: Caller<'_>, sheet: &mut Sheet) {
    let (who, lines) = (caller.who, caller.lines);
    let sees_all = caller.has("/access/acl", "Sys.Audit");
    let is_own = |line: &&Line| user_of(&line.who) == Some(who);
    let seen = lines.iter().filter(|line| sees_all || is_own(line));
    let expected: BTreeSet<String> = seen.map(|line| format!("{} {}", line.path, line.who)).collect();
    let answer = scene.call(who, "GET", "/access/acl", json!({})).await;
    let found = names(&answer, |item| format!("{} {}", member(item, "path"), member(item, "ugid")));
    sheet.note("GET /access/acl", sees_all, found.as_ref() == Ok(&expected), || {
        format!("{who} GET /access/acl: {found:?} instead of {expected:?}, with {lines:?}")
    });
}

/// The status of a store: whole, without numbers, or nothing.
async fn status(scene: &Scene, caller: Caller<'_>, sheet: &mut Sheet) {
    let (who, lines) = (caller.who, caller.lines);
    let is_full = caller.has_any("/datastore/tank", &["Datastore.Audit", "Datastore.Backup"]);
    let is_reduced =
        caller.has("/datastore/tank", "Datastore.Read") || any_below(lines, who, "/datastore/tank", NS_ANY);
    let params = json!({ "store": "tank" });
    let answer = scene.call(who, "GET", "/admin/datastore/{store}/status", params).await;
    let is_right = match &answer {
        Ok(status) if is_full => status["total"].as_u64() != Some(0),
        Ok(status) => is_reduced && status["total"].as_u64() == Some(0),
        Err((status, _)) => !is_full && !is_reduced && *status == 403,
    };
    sheet.note("GET /admin/datastore/{store}/status", is_full || is_reduced, is_right, || {
        format!("{who} status of tank: {answer:?}, full {is_full}, reduced {is_reduced}, with {lines:?}")
    });
}

/// Changes that change nothing: who may change the stored jobs. Their owner is `root@pam`, since none is set.
async fn changes(scene: &Scene, caller: Caller<'_>, sheet: &mut Sheet) {
    let (who, lines) = (caller.who, caller.lines);
    for (id, place) in JOBS {
        let has = |privilege| caller.has(place, privilege);
        let sync = has("Datastore.Audit")
            && has("Datastore.Backup")
            && (who == "root@pam" || has("Datastore.Modify"))
            && caller.has("/remote/far/vault", "Remote.Read");
        let cases = [
            ("/config/sync/{id}", sync),
            ("/config/prune/{id}", has("Datastore.Modify")),
            ("/config/verify/{id}", has("Datastore.Verify")),
        ];
        for (path, is_allowed) in cases {
            let answer = scene.call(who, "PUT", path, json!({ "id": id })).await;
            let is_right = match &answer {
                Ok(_) => is_allowed,
                Err((status, _)) => !is_allowed && [400, 403].contains(status),
            };
            sheet.note(&format!("PUT {path}"), is_allowed, is_right, || {
                format!("{who} PUT {path} of {id}: {answer:?}, allowed {is_allowed}, with {lines:?}")
            });
        }
    }
}
