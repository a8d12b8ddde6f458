//! One server in a folder of its own, and commands for it as `main` carries them out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farhold::certificate::KeyKind;
use farhold::compose::{Composed, Housekeeping, Parts, compose};
use farhold::daemon::Running;
use farhold::directories::Directories;
use farhold::system::SystemClock;
use farhold_api::declare::{Endpoint, Reply, Request};
use farhold_api::{Router, endpoints};
use farhold_cli::{
    ApiCaller, Catalogue, Console, InProcessCaller, Interrupts, OutputSettings, Plan, SUCCESS, SocketCaller, execute,
    plan,
};
use farhold_datastore::Datastore;
use farhold_jobs::{App, Operation};
use farhold_settings::{
    AclEntry, AclSubject, DatastoreConfig, Entries, SettingsError, TokenConfig, UserConfig, UserEntry, Validity,
};
use farhold_types::{Authid, Clock, Role, Secret};
use jiff::tz::TimeZone;

use crate::scratch::scratch;

/// What a command printed, and its exit code.
#[derive(Debug)]
pub struct Ran {
    pub code: u8,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Returns the standard output of a command that must have worked.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, SUCCESS, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self.out
    }

    /// Returns all output of a command that must have failed without a crash.
    #[track_caller]
    pub fn failed(self) -> String {
        let text = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, farhold_cli::FAILURE, "{text}");
        assert!(!text.contains("panicked") && !text.contains("internal error"), "{text}");
        text
    }
}

/// A server; it listens after [`Site::listen`].
pub struct Site {
    pub app: Arc<App>,
    router: Arc<Router<App>>,
    directories: Directories,
    composed: Option<Composed>,
    running: Option<Running>,
    folder: tempfile::TempDir,
}

impl Site {
    /// Returns a server without any configuration.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// Returns a server without any configuration that takes the time from `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self::with(|parts| Parts { clock, ..parts })
    }

    /// Returns a server without any configuration, with some of its parts exchanged.
    pub fn with(exchange: impl FnOnce(Parts) -> Parts) -> Self {
        let folder = scratch();
        let directories = Directories::below(&folder.path().join("root"));
        let composed = compose(exchange(parts(directories.clone()))).unwrap();
        let (app, router) = (Arc::clone(&composed.app), Arc::clone(&composed.router));
        Self { app, router, directories, composed: Some(composed), running: None, folder }
    }

    /// Returns a server without any configuration that tells another version than it has.
    pub fn telling_version(version: &'static str, release: &'static str) -> Self {
        let mut site = Self::new();
        let mut all = endpoints::all();
        all.retain(|endpoint| endpoint.declaration.path != "/version");
        let told = serde_json::json!({ "version": version, "release": release, "repoid": "told" });
        let tell = move |_: Arc<App>, _: Request<App>| {
            let told = told.clone();
            async move { Ok(Reply::value(told)) }
        };
        all.push(Endpoint::get("/version", "Tell another version", tell));
        site.router = Arc::new(Router::new(Arc::clone(&site.app), all).unwrap());
        site.composed.as_mut().unwrap().router = Arc::clone(&site.router);
        site
    }

    /// Returns the folder given as `--root`.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Returns the folder around everything of this server, its stores included.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the notes on unfinished snapshots. What is remembered about groups between runs is none.
    pub fn notes(&self) -> Vec<PathBuf> {
        let all = files(&self.root().join("lib/farhold/sync"), &[]).into_keys();
        let is_kept = |path: &Path| path.iter().any(|part| part == "groups" || part == "pairs");
        all.filter(|path| !is_kept(path)).collect()
    }

    /// Returns where a store lies.
    pub fn store_path(&self, name: &str) -> PathBuf {
        self.folder.path().join("stores").join(name)
    }

    pub async fn listen(&mut self) {
        let composed = self.composed.take().unwrap();
        self.running = Some(Running::start(composed, vec!["127.0.0.1:0".parse().unwrap()]).await.unwrap());
    }

    /// Stops listening, and ends as the daemon does.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    pub fn port(&self) -> String {
        self.running.as_ref().unwrap().addresses()[0].port().to_string()
    }

    pub fn fingerprint(&self) -> String {
        self.running.as_ref().unwrap().fingerprint().to_string()
    }

    /// Carries a command out as `main` does: through the daemon if one runs, otherwise in this process.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        let declarations: Vec<_> = endpoints::all().into_iter().map(|endpoint| endpoint.declaration).collect();
        let catalogue = Catalogue::new(&declarations, &[]);
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let request = match plan(&catalogue, "farhold", &arguments) {
            Plan::Run(request) => *request,
            Plan::Print(printed) => return Ran { code: printed.exit, out: printed.out, err: printed.err },
            _ => panic!("no command of this test"),
        };
        match SocketCaller::find(&self.directories.socket()).await.unwrap() {
            Some(daemon) => carry_out(request, &daemon, &BTreeMap::new()).await,
            None => carry_out(request, &self.caller("root@pam"), &BTreeMap::new()).await,
        }
    }

    /// Returns a way to call the server in this process as somebody.
    pub fn caller(&self, authid: &str) -> InProcessCaller<App> {
        InProcessCaller::new(Arc::clone(&self.router), authid.parse().unwrap())
    }

    /// Configures a store. An empty one is made if there is none in its place; chunk folders are made when needed,
    /// which is much faster than all 65,536 at once.
    pub fn add_store(&self, name: &str) -> PathBuf {
        let path = self.store_path(name);
        fs::create_dir_all(path.join(".chunks")).unwrap();
        self.configure_store(name, &path);
        path
    }

    /// Configures a store that lies in `path`.
    pub fn configure_store(&self, name: &str, path: &Path) {
        let config = DatastoreConfig::new(name.parse().unwrap(), path.to_str().unwrap().to_owned());
        let add = |stores: &mut Entries<_>| stores.insert(config);
        self.app.settings.datastores().edit::<_, SettingsError>(None, add).unwrap();
    }

    /// Returns the server's own handle of a store.
    pub fn store(&self, name: &str) -> Datastore {
        (*self.app.stores.open(&name.parse().unwrap(), Operation::Lookup).unwrap()).clone()
    }

    /// Adds a user with a password.
    pub fn add_user(&self, userid: &str, password: &str) {
        let user = UserEntry::User(UserConfig::new(userid.parse().unwrap()));
        self.app.settings.users().edit::<_, SettingsError>(None, |users| users.insert(user)).unwrap();
        self.app.access.set_password(&userid.parse().unwrap(), &Secret::new(password)).unwrap();
    }

    /// Adds an API token and returns its secret.
    pub fn add_token(&self, tokenid: &str) -> String {
        let authid: Authid = tokenid.parse().unwrap();
        let token = TokenConfig { tokenid: authid.clone(), comment: None, validity: Validity::default() };
        let add = |users: &mut Entries<_>| users.insert(UserEntry::Token(token));
        self.app.settings.users().edit::<_, SettingsError>(None, add).unwrap();
        self.app.access.create_token_secret(&authid).unwrap().expose().to_owned()
    }

    /// Gives somebody a propagating role on an access control path.
    pub fn grant(&self, path: &str, authid: &str, role: Role) {
        let path = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let subject = AclSubject::Authid(authid.parse().unwrap());
        let set = |acl: &mut farhold_settings::Acl| {
            acl.set(AclEntry { path, subject, role, is_propagated: true });
            Ok(())
        };
        self.app.settings.acl().edit::<_, SettingsError>(None, set).unwrap();
    }
}

/// Carries a command out through `caller`, with these variables in the environment.
pub async fn carry_out(
    request: farhold_cli::Request,
    caller: &dyn ApiCaller,
    variables: &BTreeMap<String, String>,
) -> Ran {
    let variable = |name: &str| variables.get(name).cloned().or_else(|| (name == "LANG").then(|| "C.UTF-8".to_owned()));
    let settings = OutputSettings::from_environment(variable, None, TimeZone::UTC);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        settings: &settings,
        interrupts: Interrupts::never(),
        poll: Duration::from_millis(10),
        progress_width: None,
    };
    let code = execute(request, caller, &mut console).await;
    Ran { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

fn parts(directories: Directories) -> Parts {
    // An RSA key takes seconds.
    Parts {
        node: "site".to_owned(),
        key_kind: KeyKind::EcdsaP256,
        time_zone: TimeZone::UTC,
        // No mail of a test leaves the host.
        mail_program: directories.run.join("sendmail"),
        housekeeping: Housekeeping::Off,
        ..Parts::of_this_host(directories)
    }
}

/// Returns every file below `folder` with its content, except below the folders in `without`.
pub fn files(folder: &Path, without: &[PathBuf]) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if without.contains(&path) {
            } else if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), Vec::new());
            }
        }
    }
    found
}
