//! What the next run of a sync job would do, as text.
//!
//! The answers are those of `/farhold/sync/{id}/plan` and `/farhold/sync/{id}/explain`.

use std::fmt::Write as _;

use farhold_types::{Epoch, format_bytes};
use serde_json::Value;

/// From so many on, neighbours that are skipped for the same reason share a line.
const MIN_SHARED: usize = 3;

/// Returns the plan: by namespace and group one line a snapshot, then the totals.
pub(super) fn plan_text(plan: &Value) -> String {
    let mut text = String::new();
    let mut totals = Totals::default();
    for namespace in items(plan, "namespaces") {
        namespace_text(&mut text, namespace, &mut totals);
    }
    for removed in items(plan, "removed-namespaces") {
        let name = namespace_name(string(removed, "namespace"));
        match removed.get("kept").and_then(Value::as_str) {
            Some(reason) => line(&mut text, 0, &format!("vanished {name}: stays ({reason})")),
            None => {
                totals.removed_namespaces += 1;
                line(&mut text, 0, &format!("vanished {name}: remove"));
            }
        }
        vanished_groups(&mut text, removed, "groups", &mut totals);
    }
    failure(&mut text, 0, plan, "removal-failure", &mut totals);
    for item in strings(plan, "unreadable") {
        line(&mut text, 0, &format!("warning: the source lists something that makes no sense: {item}"));
    }
    if flag(plan, "is-compatibility-mode") {
        line(
            &mut text,
            0,
            "warning: the remote has no namespaces; only its root would be synced, and the run would fail",
        );
    }
    let fetch = if is_push(plan) { "push" } else { "fetch" };
    let fetched = plan.get("snapshots-to-fetch").and_then(Value::as_u64).unwrap_or(totals.fetched);
    let estimate = plan.get("bytes-estimate").and_then(Value::as_u64).unwrap_or_default();
    let _ = writeln!(
        text,
        "total: {fetch} {}, at most {} of content; compare {}; skip {}",
        count(fetched, "snapshot"),
        format_bytes(estimate),
        totals.compared,
        totals.skipped,
    );
    let _ = writeln!(
        text,
        "       remove {}, {}, {}; {}",
        count(totals.removed_snapshots, "snapshot"),
        count(totals.removed_groups, "group"),
        count(totals.removed_namespaces, "namespace"),
        if totals.failures == 0 { "nothing fails".to_owned() } else { count(totals.failures, "failure") },
    );
    text
}

/// Returns why a snapshot is taken or not: one sentence, then the facts.
pub(super) fn explanation_text(answer: &Value) -> String {
    let snapshot = string(answer, "snapshot");
    let namespace = namespace_name(string(answer, "namespace"));
    let removal = answer.get("removal").filter(|removal| !removal.is_null());
    let is_removed = removal.is_some_and(|removal| !flag(removal, "is-protected"));
    let action = string(answer, "action");
    let fetches = if is_push(answer) { "pushes" } else { "fetches" };
    let what = match action {
        _ if is_removed => format!("removes the copy of {snapshot}"),
        "transfer" => format!("{fetches} {snapshot}"),
        "refetch" => format!("{fetches} {snapshot} again"),
        "compare" => format!("compares {snapshot} with its copy"),
        _ => format!("leaves {snapshot} alone"),
    };
    let mut text = format!("The next run {what}: {}.\n", string(answer, "reason"));
    let _ = writeln!(text, "  source:  {namespace}");
    let _ = writeln!(text, "  action:  {action}");
    if let Some(removal) = removal {
        let what = if flag(removal, "is-protected") { "vanished, protected, stays" } else { "vanished, is removed" };
        let _ = writeln!(text, "  copy:    {what}");
    }
    text
}

#[derive(Default)]
struct Totals {
    fetched: u64,
    compared: u64,
    skipped: u64,
    removed_snapshots: u64,
    removed_groups: u64,
    removed_namespaces: u64,
    failures: u64,
}

fn namespace_text(text: &mut String, namespace: &Value, totals: &mut Totals) {
    let (source, target) = (string(namespace, "source"), string(namespace, "target"));
    let created = if flag(namespace, "is-missing-on-target") { " (to be created)" } else { "" };
    let groups: Vec<&Value> = items(namespace, "groups").collect();
    let total = namespace.get("groups-total").and_then(Value::as_u64).unwrap_or_default();
    let scope = format!("{} of {} in scope", groups.len(), count(total, "group"));
    let (source, target) = (namespace_name(source), namespace_name(target));
    line(text, 0, &format!("{source} -> {target}{created}: {scope}"));
    failure(text, 1, namespace, "failure", totals);
    for item in strings(namespace, "unreadable") {
        line(text, 1, &format!("warning: the source lists something that makes no sense: {item}"));
    }
    for group in groups {
        line(text, 1, string(group, "group"));
        failure(text, 2, group, "failure", totals);
        let mut rows = snapshot_rows(group, totals);
        rows.extend(removal_rows(group, "removals", totals));
        draw(text, &rows);
        for item in strings(group, "unreadable") {
            line(text, 2, &format!("warning: the source lists something that makes no sense: {item}"));
        }
    }
    failure(text, 1, namespace, "removal-failure", totals);
    vanished_groups(text, namespace, "removed-groups", totals);
    text.push('\n');
}

fn vanished_groups(text: &mut String, item: &Value, member: &str, totals: &mut Totals) {
    for removed in items(item, member) {
        let name = string(removed, "group");
        if let Some(reason) = removed.get("kept").and_then(Value::as_str) {
            line(text, 1, &format!("{name}: vanished, stays ({reason})"));
            continue;
        }
        line(text, 1, &format!("{name}: vanished"));
        let rows = removal_rows(removed, "snapshots", totals);
        // A group with something protected stays with that.
        totals.removed_groups += u64::from(!rows.iter().any(|row| row.action == "keep"));
        draw(text, &rows);
    }
}

fn failure(text: &mut String, depth: usize, item: &Value, member: &str, totals: &mut Totals) {
    if let Some(reason) = item.get(member).and_then(Value::as_str) {
        totals.failures += 1;
        line(text, depth, &format!("fails: {reason}"));
    }
}

/// One line of a group: a snapshot, or several.
struct Row {
    snapshot: String,
    action: String,
    size: String,
    reason: String,
}

fn snapshot_rows(group: &Value, totals: &mut Totals) -> Vec<Row> {
    let snapshots: Vec<&Value> = items(group, "snapshots").collect();
    let same = |a: &&Value, b: &&Value| {
        string(a, "action") == "skip" && string(b, "action") == "skip" && string(a, "reason") == string(b, "reason")
    };
    let mut rows = Vec::new();
    for neighbours in snapshots.chunk_by(same) {
        match neighbours {
            [first, .., last] if MIN_SHARED <= neighbours.len() => {
                totals.skipped += neighbours.len() as u64;
                rows.push(Row {
                    snapshot: format!("{} .. {}", time(first), time(last)),
                    action: format!("skip {}", neighbours.len()),
                    size: String::new(),
                    reason: reason_text(string(first, "reason")).to_owned(),
                });
            }
            _ => rows.extend(neighbours.iter().map(|snapshot| snapshot_row(snapshot, totals))),
        }
    }
    rows
}

fn snapshot_row(snapshot: &Value, totals: &mut Totals) -> Row {
    let action = string(snapshot, "action");
    match action {
        "transfer" | "refetch" => totals.fetched += 1,
        "compare" => totals.compared += 1,
        _ => totals.skipped += 1,
    }
    Row {
        snapshot: time(snapshot),
        action: action.to_owned(),
        size: snapshot.get("size-bytes").and_then(Value::as_u64).map(format_bytes).unwrap_or_default(),
        reason: reason_text(string(snapshot, "reason")).to_owned(),
    }
}

fn removal_rows(item: &Value, name: &str, totals: &mut Totals) -> Vec<Row> {
    let mut row = |removal: &Value| {
        let is_kept = flag(removal, "is-protected");
        totals.removed_snapshots += u64::from(!is_kept);
        Row {
            snapshot: time(removal),
            action: if is_kept { "keep" } else { "remove" }.to_owned(),
            size: String::new(),
            reason: if is_kept { "vanished from the source, protected" } else { "vanished from the source" }.to_owned(),
        }
    };
    items(item, name).map(&mut row).collect()
}

fn draw(text: &mut String, rows: &[Row]) {
    let widest = |of: fn(&Row) -> &String| rows.iter().map(|row| of(row).len()).max().unwrap_or_default();
    let (snapshot, action, size) = (widest(|row| &row.snapshot), widest(|row| &row.action), widest(|row| &row.size));
    for row in rows {
        let cells = format!("{:snapshot$}  {:action$}  {:>size$}  {}", row.snapshot, row.action, row.size, row.reason);
        line(text, 2, cells.trim_end());
    }
}

fn line(text: &mut String, depth: usize, content: &str) {
    let _ = writeln!(text, "{:width$}{content}", "", width = 2 * depth);
}

/// Returns a reason in few words; one that is not known here as it came.
fn reason_text(word: &str) -> &str {
    match word {
        "first-of-group" => "the target has nothing finished of the group",
        "newer" => "newer than all on the target",
        "failed-before" => "an earlier run failed on it",
        "newest-on-target" => "newest on the target; notes, verification or log may have changed",
        "corrupt" => "its copy is corrupt",
        "in-progress" => "in progress or unreadable on the source",
        "not-verified" => "not verified, and verified-only is set",
        "not-encrypted" => "not fully encrypted, and encrypted-only is set",
        "already-synced" => "older than the newest on the target",
        "transfer-last" => "not among the newest that transfer-last allows",
        other => other,
    }
}

fn is_push(answer: &Value) -> bool {
    string(answer, "direction") == "push"
}

fn namespace_name(ns: &str) -> String {
    if ns.is_empty() { "root namespace".to_owned() } else { format!("namespace '{ns}'") }
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn time(item: &Value) -> String {
    item.get("time").and_then(Value::as_i64).map(|time| Epoch(time).to_string()).unwrap_or_default()
}

fn flag(item: &Value, name: &str) -> bool {
    item.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn string<'a>(item: &'a Value, name: &str) -> &'a str {
    item.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(item: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    item.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn strings<'a>(item: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    items(item, name).filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_shows_every_decision_with_its_reason_and_the_totals() {
        let at = |day: i64| 1_767_261_600 + day * 86_400;
        let skip = |day| json!({ "time": at(day), "action": "skip", "reason": "already-synced", "size-bytes": 5 });
        let plan = json!({
            "is-compatibility-mode": false,
            "namespaces": [{
                "source": "", "target": "site-a", "is-missing-on-target": false, "groups-total": 3,
                "groups": [
                    {
                        "group": "vm/100",
                        "snapshots": [
                            skip(0), skip(1), skip(2),
                            { "time": at(3), "action": "compare", "reason": "newest-on-target", "size-bytes": 1 << 20 },
                            { "time": at(4), "action": "transfer", "reason": "newer", "size-bytes": 3_u64 << 30 },
                        ],
                        "removals": [
                            { "time": at(-2), "is-protected": true },
                            { "time": at(-1), "is-protected": false },
                        ],
                    },
                    { "group": "vm/101", "failure": "owned by somebody else", "snapshots": [], "removals": [] },
                ],
                "removed-groups": [
                    { "group": "ct/1", "snapshots": [{ "time": at(0), "is-protected": false }] },
                    { "group": "ct/2", "kept": "owner is root@pam", "snapshots": [] },
                ],
            }, {
                "source": "a", "target": "site-a/a", "is-missing-on-target": true, "groups-total": 1, "groups": [],
                "removed-groups": [],
            }],
            "removed-namespaces": [{
                "namespace": "site-a/old",
                "groups": [{ "group": "vm/9", "snapshots": [{ "time": at(0), "is-protected": false }] }],
            }],
            "snapshots-to-fetch": 1, "bytes-estimate": 3_u64 << 30, "unreadable": [],
        });
        insta::assert_snapshot!(plan_text(&plan));
    }

    #[test]
    fn the_plan_of_a_push_pushes() {
        let plan = json!({ "direction": "push", "namespaces": [], "snapshots-to-fetch": 2, "bytes-estimate": 5 });
        assert!(
            plan_text(&plan).starts_with("total: push 2 snapshots, at most 5 B of content;"),
            "{}",
            plan_text(&plan)
        );
    }

    #[test]
    fn an_explanation_is_one_sentence_and_facts() {
        let answer = |action: &str, removal: Value| {
            json!({
                "namespace": "", "snapshot": "vm/100/2026-01-01T10:00:00Z", "action": action, "reason": "because of it",
                "removal": removal,
            })
        };
        assert_eq!(
            explanation_text(&answer("transfer", Value::Null)),
            "The next run fetches vm/100/2026-01-01T10:00:00Z: because of it.\n  source:  root namespace\n  action:  \
             transfer\n"
        );
        let mut pushed = answer("transfer", Value::Null);
        pushed["direction"] = json!("push");
        let pushed = explanation_text(&pushed);
        assert!(pushed.starts_with("The next run pushes vm/100/2026-01-01T10:00:00Z: because of it."), "{pushed}");
        let removed = explanation_text(&answer("skip", json!({ "time": 0, "is-protected": false })));
        assert!(removed.starts_with("The next run removes the copy of vm/100"), "{removed}");
        let kept = explanation_text(&answer("skip", json!({ "time": 0, "is-protected": true })));
        assert!(
            kept.starts_with("The next run leaves vm/100/2026-01-01T10:00:00Z alone: ") && kept.contains("protected"),
            "{kept}"
        );
    }
}
