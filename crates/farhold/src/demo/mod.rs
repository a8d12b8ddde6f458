//! `farhold demo`: two servers in a temporary folder, a sync between them, and everything shown.
//!
//! Nothing here is special: the servers listen on loopback as real ones do, and every command that is printed is the
//! one that is carried out.

mod compare;
mod data;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use farhold_api::endpoints;
use farhold_cli::{
    Catalogue, Console, FAILURE, InProcessCaller, Interrupts, OutputSettings, Plan, SUCCESS, execute, plan,
};
use farhold_jobs::Operation;
use farhold_storage::file_system_space;
use farhold_types::{Authid, Epoch};
use jiff::tz::TimeZone;

use crate::certificate::KeyKind;
use crate::compose::{Parts, compose};
use crate::daemon::Running;
use crate::directories::Directories;

/// Pause before the running sync is asked for new log lines.
const POLL: Duration = Duration::from_millis(50);

/// Time of the made-up image's snapshot: 2026-01-01T10:00:00Z.
const IMAGE_TIME: Epoch = Epoch(1_767_261_600);

/// Free memory file system from which on the demo lives there; it needs about 600 MiB.
const MEMORY_BYTES: u64 = 2 << 30;

/// Mode of the folders for chunks. Source: `docs/spec/datastore-format.md` 3.
const CHUNK_FOLDER_MODE: u32 = 0o750;

/// Administrator of both servers, made only if they run on.
const ADMIN: &str = "admin@pbs";

/// Password of the demo's accounts. It protects nothing: the servers listen on loopback, for the demo's time.
const PASSWORD: &str = "demo-password-1";

/// Runs the demo; `arguments` are those behind the word.
///
/// # Errors
/// Anything that does not work as it must: a command that fails, or a copy that differs.
pub async fn run(arguments: Vec<String>, progress_width: Option<usize>) -> anyhow::Result<u8> {
    let keep = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--keep"] => true,
        _ => {
            eprintln!("Error: unknown argument (usage: farhold demo [--keep])");
            return Ok(FAILURE);
        }
    };
    let folder = tempfile::Builder::new().prefix("farhold-demo-").tempdir_in(place())?;
    let root = folder.path().to_owned();
    let mut demo = Demo { root: root.clone(), servers: BTreeMap::new(), progress_width };
    let outcome = demo.show().await;
    if keep && outcome.is_ok() {
        demo.wait().await?;
    }
    for (_, server) in std::mem::take(&mut demo.servers) {
        server.stop().await;
    }
    if outcome.is_err() {
        // What went wrong can be looked at.
        println!("\nThe folder {} is left as it is.", folder.keep().display());
    }
    outcome.map(|()| SUCCESS)
}

/// Returns where the demo's folder goes: in memory where there is plenty, since two datastores have 131,072 folders, and
/// making and removing those takes a disk far longer than the sync. `TMPDIR` decides if it is set.
fn place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let has_room = file_system_space(memory).is_ok_and(|space| MEMORY_BYTES <= space.available_bytes);
    if std::env::var_os("TMPDIR").is_none() && has_room { memory.to_owned() } else { std::env::temp_dir() }
}

struct Demo {
    root: PathBuf,
    servers: BTreeMap<char, Running>,
    progress_width: Option<usize>,
}

impl Demo {
    async fn show(&mut self) -> anyhow::Result<()> {
        say("Two servers on loopback, A and B, below one temporary folder.");
        for name in ['a', 'b'] {
            self.start(name).await?;
        }
        let (port, fingerprint) = {
            let a = self.server('a')?;
            let address = a.addresses().first().context("server A has an address")?;
            (address.port().to_string(), a.fingerprint().to_string())
        };

        let store_a = self.root.join("a-store");
        say(
            "Server A gets a datastore that Proxmox Backup Server wrote, with a made-up disk image added, and an account.",
        );
        let (root, store) = (self.root.clone(), store_a.clone());
        let files = tokio::task::spawn_blocking(move || prepare_store(&root, &store)).await??;
        println!("(unpacked {files} files to {})", store_a.display());
        self.command('a', &["datastore", "create", "local", &text(&store_a), "--reuse-datastore", "true"]).await?;
        {
            let app = &self.server('a')?.composed().app;
            let store = app.stores.open(&"local".parse()?, Operation::Write)?;
            tokio::task::spawn_blocking(move || data::add_image(&store, IMAGE_TIME)).await??;
        }
        self.command('a', &["user", "create", "sync@pbs", "--password", PASSWORD]).await?;
        self.command('a', &["acl", "update", "/datastore/local", "DatastoreReader", "--auth-id", "sync@pbs"]).await?;
        self.command('a', &["cert", "info"]).await?;

        say("Server B gets an empty datastore, A as a remote, and a sync job.");
        let store_b = self.root.join("b-store");
        self.command('b', &["datastore", "create", "local", &text(&store_b)]).await?;
        self.command(
            'b',
            &[
                "remote",
                "create",
                "pbs2",
                "--host",
                "127.0.0.1",
                "--port",
                &port,
                "--userid",
                "sync@pbs",
                "--password",
                PASSWORD,
                "--fingerprint",
                &fingerprint,
            ],
        )
        .await?;
        self.command('b', &["remote", "list"]).await?;
        self.command(
            'b',
            &[
                "sync-job",
                "create",
                "pbs2-local",
                "--remote",
                "pbs2",
                "--remote-store",
                "local",
                "--store",
                "local",
                "--schedule",
                "Wed 02:30",
                "--worker-threads",
                "4",
            ],
        )
        .await?;
        self.command('b', &["sync-job", "list"]).await?;

        say("The first run fetches everything.");
        self.command('b', &["sync-job", "run", "pbs2-local"]).await?;
        say("The second run finds nothing new.");
        self.command('b', &["sync-job", "run", "pbs2-local"]).await?;

        say("Are both the same?");
        let name = "local".parse()?;
        let left = self.server('a')?.composed().app.stores.open(&name, Operation::Read)?;
        let right = self.server('b')?.composed().app.stores.open(&name, Operation::Read)?;
        let same = tokio::task::spawn_blocking(move || compare::compare(&left, &right)).await??;
        println!(
            "Yes: {} namespaces, {} groups, {} snapshots with {} files, and {} chunks, byte for byte.",
            same.namespaces, same.groups, same.snapshots, same.files, same.chunks
        );
        self.show_push(&port, &fingerprint).await
    }

    /// The other direction: what B has goes to a machine that need not be trusted.
    async fn show_push(&self, port: &str, fingerprint: &str) -> anyhow::Result<()> {
        say(
            "The other way round: A is a rented machine now, with an empty datastore and an account that may write there.",
        );
        self.command('a', &["datastore", "create", "offsite", &text(&self.root.join("a-offsite"))]).await?;
        self.command('a', &["user", "create", "push@pbs", "--password", PASSWORD]).await?;
        self.command('a', &["acl", "update", "/datastore/offsite", "DatastoreAdmin", "--auth-id", "push@pbs"]).await?;

        say("B makes a key, which stays there, and a job that encrypts what it pushes.");
        let remote = ["remote", "create", "rented", "--host", "127.0.0.1", "--port", port];
        let account = ["--userid", "push@pbs", "--password", PASSWORD, "--fingerprint", fingerprint];
        self.command('b', &[&remote[..], &account[..]].concat()).await?;
        self.command('b', &["encryption-key", "create", "key1"]).await?;
        let job = ["sync-job", "create", "local-rented", "--sync-direction", "push", "--store", "local"];
        let to = ["--remote", "rented", "--remote-store", "offsite", "--active-encryption-key", "key1"];
        self.command('b', &[&job[..], &to[..]].concat()).await?;
        say("One snapshot is encrypted in part only. No key can mend that, so it stays here, with a warning.");
        self.command('b', &["sync-job", "run", "local-rented"]).await?;

        say("Is there anything on A that A can read?");
        let store = self.server('a')?.composed().app.stores.open(&"offsite".parse()?, Operation::Read)?;
        let snapshots = tokio::task::spawn_blocking(move || compare::count_encrypted(&store)).await??;
        println!("No: all files of its {snapshots} snapshots are encrypted.");
        Ok(())
    }

    fn directories(&self, name: char) -> Directories {
        Directories::below(&self.root.join(name.to_string()))
    }

    fn server(&self, name: char) -> anyhow::Result<&Running> {
        self.servers.get(&name).context("the server runs")
    }

    async fn start(&mut self, name: char) -> anyhow::Result<()> {
        // A P-256 key is made at once; a server of its own makes an RSA key, which takes some seconds.
        let parts = Parts { key_kind: KeyKind::EcdsaP256, ..Parts::of_this_host(self.directories(name)) };
        let composed = tokio::task::spawn_blocking(move || compose(parts)).await??;
        let running = Running::start(composed, vec!["127.0.0.1:0".parse()?]).await?;
        let address = running.addresses().first().context("the server has an address")?.to_string();
        println!("$ farhold --root {} server --listen {address} &", self.root.join(name.to_string()).display());
        self.servers.insert(name, running);
        Ok(())
    }

    /// Prints a command and carries it out.
    async fn command(&self, name: char, arguments: &[&str]) -> anyhow::Result<()> {
        let root = self.root.join(name.to_string());
        let shown: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
        println!("\n$ farhold --root {} {}", root.display(), shown.join(" "));
        let declarations: Vec<_> = endpoints::all().into_iter().map(|endpoint| endpoint.declaration).collect();
        let catalogue = Catalogue::new(&declarations, &[]);
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let request = match plan(&catalogue, "farhold", &arguments) {
            Plan::Run(request) => *request,
            Plan::Print(printed) => bail!("{}", printed.err),
            _ => bail!("the demo uses ordinary commands only"),
        };
        let settings = OutputSettings::from_environment(|name| std::env::var(name).ok(), None, TimeZone::system());
        let mut console = Console {
            out: &mut std::io::stdout(),
            err: &mut std::io::stderr(),
            settings: &settings,
            interrupts: Interrupts::never(),
            poll: POLL,
            progress_width: self.progress_width,
        };
        let caller = InProcessCaller::new(self.server(name)?.composed().router.clone(), Authid::root());
        let code = execute(request, &caller, &mut console).await;
        std::io::stdout().flush()?;
        if code == SUCCESS { Ok(()) } else { bail!("the command failed with exit code {code}") }
    }

    /// Lets both servers run on until somebody presses Ctrl-C.
    async fn wait(&mut self) -> anyhow::Result<()> {
        say("An administrator for the web interface.");
        for name in ['a', 'b'] {
            self.command(name, &["user", "create", ADMIN, "--password", PASSWORD]).await?;
            self.command(name, &["acl", "update", "/", "Admin", "--auth-id", ADMIN]).await?;
        }
        say("Both servers run on. Go on in a browser, which has to be told that their certificates are right:");
        for name in ['a', 'b'] {
            let server = self.server(name)?;
            let address = server.addresses().first().context("the server has an address")?;
            println!("    https://{address}/    server {}, fingerprint {}", name.to_uppercase(), server.fingerprint());
        }
        println!("    log in as {ADMIN} with the password {PASSWORD}");
        if !farhold_ui::is_built() {
            println!(
                "    This program was built without the interface; `cargo xtask ui build` makes it, then build again."
            );
        }
        say("Or go on by hand with the commands above, in another terminal; for example:");
        let root = self.root.join("b");
        println!("    farhold --root {} task list --all true", root.display());
        println!("    farhold --root {} sync-job show pbs2-local", root.display());
        println!("\nCtrl-C ends both and removes the folder.");
        tokio::signal::ctrl_c().await?;
        Ok(())
    }
}

fn prepare_store(folder: &Path, store: &Path) -> anyhow::Result<u64> {
    let files = data::unpack_recorded_store(folder, store)?;
    // A packed store leaves out empty folders; adopting a store wants all of them, as the reference does.
    complete_skeleton(store)?;
    Ok(files)
}

/// Makes what adopting a store demands and a packed store leaves out: all chunk folders, the lock, the modes.
fn complete_skeleton(store: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let set_mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    let mut folder = std::fs::DirBuilder::new();
    folder.mode(CHUNK_FOLDER_MODE);
    let chunks = store.join(".chunks");
    for number in 0..=0xffff_u32 {
        let path = chunks.join(format!("{number:04x}"));
        match folder.create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => set_mode(&path, CHUNK_FOLDER_MODE)?,
            Err(error) => return Err(error.into()),
        }
    }
    let lock = store.join(".lock");
    if !lock.exists() {
        std::fs::write(&lock, "")?;
    }
    set_mode(store, 0o755)?;
    set_mode(&chunks, CHUNK_FOLDER_MODE)?;
    set_mode(&lock, 0o644)?;
    Ok(())
}

fn say(text: &str) {
    println!("\n# {text}");
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Returns an argument as it is typed in a shell.
fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@=".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) { argument.to_owned() } else { format!("'{argument}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_shown_as_they_are_typed() {
        assert_eq!(quoted("sync@pbs"), "sync@pbs");
        assert_eq!(quoted("Wed 02:30"), "'Wed 02:30'");
        assert_eq!(quoted(""), "''");
    }
}
