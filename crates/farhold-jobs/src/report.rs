//! A report on the whole server as one text, for whoever is asked to help. It holds no secrets.

use std::fmt::Write as _;

use farhold_rules::acl::Granted;
use farhold_tasks::TaskFilter;

use crate::App;
use crate::host::{mounts, node_status};

/// Configuration files that are shown. Those that hold nothing but secrets are not among them.
const FILES: &[&str] = &[
    "datastore.cfg",
    "remote.cfg",
    "sync.cfg",
    "prune.cfg",
    "verification.cfg",
    "traffic-control.cfg",
    "user.cfg",
    "acl.cfg",
    "domains.cfg",
    "notifications.cfg",
    "metricserver.cfg",
    "node.cfg",
];

/// First words of lines whose values are secret, wherever they stand. Those of web hooks often are: whoever knows the
/// address of one, or the headers that it wants, can send in its name.
const SECRET_KEYS: &[&str] =
    &["password", "token", "secret", "client-key", "key", "http-proxy", "http-proxy:", "url", "header", "body"];

/// Longest configuration file that is shown, in bytes.
const MAX_FILE_BYTES: usize = 64 * 1024;

/// How many finished tasks are listed.
const TASKS: u64 = 50;

/// Returns the report. Blocking.
///
/// `proof`: `Sys.Audit` on `/system/status`; the whole configuration without secrets goes with it, as in the reference.
pub fn report(app: &App, proof: &Granted) -> String {
    let mut text = String::new();
    let mut section = |title: &str, content: &str| {
        let content = if content.trim().is_empty() { "none" } else { content.trim_end() };
        // Writing into a text does not fail.
        let _ = write!(text, "==== {title} ====\n\n{content}\n\n");
    };
    section("report", &format!("made at {} for {}", app.clock.now(), proof.authid()));
    section("version", &format!("farhold {} on node {}", env!("CARGO_PKG_VERSION"), app.node.name));
    section("host", &host(app));
    section("certificate", &certificate(app));
    for name in FILES {
        section(name, &file(app, name));
    }
    section("datastores", &datastores(app));
    section("tasks", &tasks(app));
    text
}

fn host(app: &App) -> String {
    let status = node_status(&*app.host, app.history.recent_cpu_times(app.clock.now()));
    let mut text = String::new();
    let kernel = &status.kernel;
    let _ = writeln!(text, "kernel: {} {} {} {}", kernel.sysname, kernel.release, kernel.version, kernel.machine);
    if let Some(processors) = &status.processors {
        let _ = writeln!(text, "processors: {} ({})", processors.count, processors.model);
    }
    if let Some(memory) = status.memory {
        let _ = writeln!(text, "memory: {} of {} bytes used", memory.used, memory.total);
        let _ = writeln!(text, "swap: {} of {} bytes used", memory.swap_used(), memory.swap_total);
    }
    if let Some(root) = status.root {
        let _ = writeln!(text, "root file system: {} of {} bytes used", root.used_bytes, root.total_bytes);
    }
    if let Some([one, five, fifteen]) = status.load {
        let _ = writeln!(text, "load: {one} {five} {fifteen}");
    }
    if let Some(uptime) = status.uptime_s {
        let _ = writeln!(text, "uptime: {uptime} s");
    }
    let _ = writeln!(text, "time zone: {}", app.time_zone.iana_name().unwrap_or("unknown"));
    for mount in mounts(&*app.host) {
        let _ = writeln!(text, "mount: {} on {} ({}, {})", mount.source, mount.place, mount.file_system, mount.options);
    }
    text
}

fn certificate(app: &App) -> String {
    let Some(facts) = app.certificate.facts() else { return String::new() };
    format!(
        "subject: {}\nissuer: {}\nvalid from {} to {} (seconds since 1970)\nfingerprint: {}\n",
        facts.subject, facts.issuer, facts.not_before, facts.not_after, facts.fingerprint
    )
}

/// Returns the text of a configuration file without its secrets.
fn file(app: &App, name: &str) -> String {
    match app.settings.dir().read(name) {
        Ok(None) => String::new(),
        Ok(Some(bytes)) if MAX_FILE_BYTES < bytes.len() => format!("{} bytes, too long to be shown", bytes.len()),
        Ok(Some(bytes)) => without_secrets(&String::from_utf8_lossy(&bytes)),
        Err(error) => format!("cannot be read: {error}"),
    }
}

fn without_secrets(text: &str) -> String {
    let shown = |line: &str| {
        let trimmed = line.trim_start();
        let word = trimmed.split_whitespace().next().unwrap_or_default();
        let is_secret = SECRET_KEYS.contains(&word) || word.to_ascii_lowercase().contains("password");
        let front = &line[..line.len() - trimmed.len()];
        if is_secret { format!("{front}{word} ***") } else { line.to_owned() }
    };
    text.lines().map(shown).collect::<Vec<_>>().join("\n")
}

fn datastores(app: &App) -> String {
    let loaded = match app.settings.datastores().load() {
        Ok(loaded) => loaded,
        Err(error) => return format!("cannot be read: {error}"),
    };
    let mut text = String::new();
    for store in loaded.entries.usable() {
        let space = match app.stores.open(&store.name, crate::Operation::Lookup).map(|datastore| datastore.space()) {
            Ok(Ok(Some(space))) => format!("{} of {} bytes used", space.used_bytes, space.total_bytes),
            Ok(Ok(None)) => "size not known".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let (readers, writers) = app.stores.active_operations(&store.name);
        let _ = writeln!(text, "{}: {space}; {readers} reading, {writers} writing", store.name);
    }
    text
}

fn tasks(app: &App) -> String {
    let filter = TaskFilter { limit: TASKS, ..TaskFilter::default() };
    match app.tasks.list(&filter, |_| true) {
        Ok(page) => {
            let line = |item: &farhold_tasks::TaskItem| {
                format!("{} {}\n", item.upid, item.status.as_deref().unwrap_or("running"))
            };
            page.items.iter().map(line).collect()
        }
        Err(error) => format!("cannot be listed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use farhold_rules::acl::{AclPath, AclTree};
    use farhold_types::{Authid, Privileges};

    use super::*;
    use crate::testing::TestServer;

    #[test]
    fn a_report_tells_what_is_configured_and_no_secret() {
        let server = TestServer::new();
        server.add_datastore_without_chunks("local");
        let write = |name: &str, text: &str| std::fs::write(server.folder().join("etc").join(name), text).unwrap();
        write("remote.cfg", "remote: far\n\tauth-id sync@pbs\n\thost far.example\n\tpassword aHVudGVyMg==\n");
        write("node.cfg", "#notes\nemail-from: a@b.c\nhttp-proxy: http://me:hunter2@proxy:8080\n");
        write("domains.cfg", "openid: sso\n\tclient-id x\n\tclient-key hunter2\n");
        write(
            "notifications.cfg",
            "webhook: chat\n\tbody aHVudGVyMg==\n\theader name=Authorization,value=aHVudGVyMg==\n\tmethod post\n\turl https://chat.example/hunter2\n",
        );
        let path = AclPath::system(&["status"]);
        let proof = AclTree::default().require_all(&Authid::root(), &path, Privileges::SYS_AUDIT).unwrap();
        let text = report(&server.app, &proof);
        for told in ["far.example", "password ***", "http-proxy: ***", "client-key ***", "email-from: a@b.c", "local: "]
        {
            assert!(text.contains(told), "{told} is missing in:\n{text}");
        }
        for secret in ["hunter2", "aHVudGVyMg"] {
            assert!(!text.contains(secret), "{secret} is in:\n{text}");
        }
        assert!(text.contains("==== sync.cfg ====\n\nnone\n"));
    }
}
