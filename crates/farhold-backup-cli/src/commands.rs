//! The commands, their parameters and their help.
//!
//! Parameters have the names, types and defaults of the reference's client, as far as they mean something here. Options
//! that only steer how a directory becomes an archive, or an archive a directory, are left out: nothing here does that.
//!
//! Source: `docs/spec/cli.md` 5.

use farhold_api::schema::{DefaultValue, Param, ParamKind, named};
use farhold_backup::BackupArchive;
use farhold_cli::Catalogue;
use farhold_cli::command::{Command, ObjectSpec, Output, TableSpec, TaskMode};
use farhold_cli::document::About;
use farhold_cli::render::Renderer;
use farhold_types::{BackupId, Namespace};

use crate::repository::Repository;
use crate::tasks::TASKS_LISTED;

/// Words that stand for a command; they must be written in full.
const ALIASES: &[(&str, &[&str])] = &[
    ("snapshots", &["snapshot", "list"]),
    ("files", &["snapshot", "files"]),
    ("forget", &["snapshot", "forget"]),
    ("upload-log", &["snapshot", "upload-log"]),
];

/// Commands of the reference's client that are not offered.
const NOT_OFFERED: &[&[&str]] = &[
    &["benchmark"],
    &["catalog"],
    &["key", "change-passphrase"],
    &["key", "create-master-key"],
    &["key", "import-master-pubkey"],
    &["key", "import-with-master-key"],
    &["key", "paperkey"],
    &["key", "show-master-pubkey"],
    &["map"],
    &["mount"],
    &["unmap"],
];

/// What the program is.
const ABOUT: About = About {
    summary: "back up disk images, archives and files to a backup server, and bring them back",
    description: &[
        "The commands work on a datastore of a server, the repository: with the option --repository, with its parts in \
         options of their own, or in the environment.",
        "Backups are encrypted if there is a key: given with --keyfile, or the default key that key create makes.",
    ],
    environment: &[
        ("PBS_REPOSITORY", "Repository: [[USER@REALM[!TOKEN]@]SERVER[:PORT]:]DATASTORE."),
        ("PBS_SERVER, PBS_PORT, PBS_DATASTORE, PBS_AUTH_ID", "The same in parts."),
        ("PBS_NAMESPACE", "Namespace of commands without --ns."),
        ("PBS_PASSWORD", "Password, or secret of the API token; also PBS_PASSWORD_FD, _FILE and _CMD."),
        ("PBS_ENCRYPTION_PASSWORD", "Password of the encryption key; also with _FD, _FILE and _CMD."),
        ("PBS_FINGERPRINT", "Fingerprint of the server's certificate."),
        ("ALL_PROXY", "HTTP proxy on the way to the server: [http://][USER:PASSWORD@]HOST[:PORT]."),
    ],
    files: &[
        ("~/.config/proxmox-backup", "The default encryption key, and fingerprints that were accepted."),
        ("~/.cache/proxmox-backup", "Repositories that were used, for completion."),
    ],
};

const STRING: &str = "<string>";

/// What a command shows of an object that it makes itself.
const KEY_PROPERTIES: ObjectSpec = ObjectSpec {
    first: &["path", "kdf", "created", "modified", "fingerprint", "hint"],
    groups: &[],
    renderers: &[("created", Renderer::Epoch), ("modified", Renderer::Epoch)],
};

fn repository_text(text: &str) -> Result<(), String> {
    text.parse::<Repository>().map(drop).map_err(|error| error.to_string())
}

fn namespace_text(text: &str) -> Result<(), String> {
    text.parse::<Namespace>().map(drop).map_err(|error| error.to_string())
}

fn backup_id_text(text: &str) -> Result<(), String> {
    text.parse::<BackupId>().map(drop).map_err(|error| error.to_string())
}

fn backup_spec(text: &str) -> Result<(), String> {
    let parsed = BackupArchive::parse(text, || Box::new(std::io::empty()));
    parsed.map(drop).map_err(|error| error.to_string())
}

const fn checked(check: fn(&str) -> Result<(), String>, max_length: usize) -> ParamKind {
    ParamKind::Text { min_length: 0, max_length: Some(max_length), check: Some(check), hint: STRING }
}

const fn number(min: i64, max: Option<i64>) -> ParamKind {
    ParamKind::Integer { min: Some(min), max }
}

const SPEC_KIND: ParamKind = checked(backup_spec, 4096 + 300);

/// Parameters of every command that talks to a server.
const SERVER: [Param; 5] = [
    Param::optional(
        "repository",
        checked(repository_text, 256),
        "Repository: [[<auth-id>@]<server>[:<port>]:]<datastore>",
    ),
    Param::optional("server", named::ANY_TEXT, "Name or address of the server"),
    Param::optional("port", number(1, Some(65_535)), "Port of the server").or_default(DefaultValue::Integer(8007)),
    Param::optional("datastore", named::ANY_TEXT, "Name of the datastore"),
    Param::optional("auth-id", named::ANY_TEXT, "User or API token"),
];

const NS: Param = Param::optional("ns", checked(namespace_text, 256), "Namespace; PBS_NAMESPACE if not given");

/// Parameters of every command that needs a key.
const KEY: [Param; 3] = [
    Param::optional("keyfile", named::ANY_TEXT, "File of the encryption key"),
    Param::optional("keyfd", number(0, None), "Open file descriptor from which the encryption key is read"),
    Param::optional(
        "crypt-mode",
        ParamKind::Enumeration { values: &["none", "encrypt", "sign-only"], strict: true },
        "Whether content is encrypted, or only the manifest signed. 'encrypt' if there is a key, 'none' otherwise",
    )
    .or_default(DefaultValue::Text("encrypt")),
];

const RATES: [Param; 2] = [
    Param::optional("rate", named::BYTES_KIND, "Most bytes per second, in both directions"),
    Param::optional("burst", named::BYTES_KIND, "Most bytes at once, in both directions"),
];

const SNAPSHOT: Param =
    Param::required("snapshot", named::ANY_TEXT, "Snapshot: <type>/<id>/<time>, the time as 2026-01-31T10:00:00Z");
const GROUP: Param = Param::required("group", named::ANY_TEXT, "Backup group: <type>/<id>");

/// Returns the commands.
pub fn catalogue() -> Catalogue {
    let commands = [snapshots(), namespaces_and_groups(), whole_groups(), tasks(), backups(), keys_and_logins()];
    let not_offered = NOT_OFFERED.iter().map(|words| Command::not_offered(words));
    Catalogue::of_own(commands.into_iter().flatten().chain(not_offered)).with_about(ABOUT)
}

/// Returns the arguments with an alias in front replaced by what it stands for.
pub fn without_alias(arguments: Vec<String>) -> Vec<String> {
    let alias = arguments.first().and_then(|first| ALIASES.iter().find(|(alias, _)| alias == first));
    match alias {
        Some((_, words)) => words.iter().map(|word| (*word).to_owned()).chain(arguments.into_iter().skip(1)).collect(),
        None => arguments,
    }
}

/// Returns the words that stand for a command.
pub fn aliases() -> impl Iterator<Item = &'static str> {
    ALIASES.iter().map(|(alias, _)| *alias)
}

fn server(command: Command) -> Command {
    with(command, &SERVER)
}

fn content(command: Command) -> Command {
    server(command).extra(NS)
}

fn with(command: Command, params: &[Param]) -> Command {
    params.iter().fold(command, |command, param| command.extra(*param))
}

fn table(command: Command) -> Command {
    command.output(Output::Table(TableSpec::default()))
}

/// The answer is a text, or JSON.
fn text(command: Command) -> Command {
    command.output(Output::Text { render: |_| String::new(), has_formats: true })
}

fn snapshots() -> Vec<Command> {
    let list = Command::own(&["snapshot", "list"], "List the snapshots of a group, or of all groups")
        .positional(&["group"])
        .extra(GROUP.is_optional())
        .examples(&["farhold client snapshot list host/web1"]);
    let files = Command::own(&["snapshot", "files"], "List the files of a snapshot")
        .positional(&["snapshot"])
        .extra(SNAPSHOT)
        .examples(&["farhold client snapshot files host/web1/2026-01-31T10:00:00Z"]);
    let forget = Command::own(&["snapshot", "forget"], "Remove a snapshot")
        .positional(&["snapshot"])
        .extra(SNAPSHOT)
        .examples(&["farhold client snapshot forget host/web1/2026-01-31T10:00:00Z"]);
    let upload_log = Command::own(&["snapshot", "upload-log"], "Store a log beside a snapshot that has none")
        .positional(&["snapshot", "logfile"])
        .extra(SNAPSHOT)
        .extra(Param::required("logfile", named::ANY_TEXT, "File of the log"))
        .examples(&["farhold client snapshot upload-log host/web1/2026-01-31T10:00:00Z backup.log"]);
    let show_notes = Command::own(&["snapshot", "notes", "show"], "Show the notes of a snapshot")
        .positional(&["snapshot"])
        .extra(SNAPSHOT)
        .examples(&["farhold client snapshot notes show host/web1/2026-01-31T10:00:00Z"]);
    let update_notes = Command::own(&["snapshot", "notes", "update"], "Replace the notes of a snapshot")
        .positional(&["snapshot", "notes"])
        .extra(SNAPSHOT)
        .extra(Param::required("notes", named::ANY_TEXT, "The notes, of one or more lines"))
        .examples(&["farhold client snapshot notes update host/web1/2026-01-31T10:00:00Z 'before the upgrade'"]);
    let show_protected = Command::own(&["snapshot", "protected", "show"], "Show whether a snapshot is protected")
        .positional(&["snapshot"])
        .extra(SNAPSHOT)
        .examples(&["farhold client snapshot protected show host/web1/2026-01-31T10:00:00Z"]);
    let update_protected = Command::own(
        &["snapshot", "protected", "update"],
        "Protect a snapshot against removal and pruning, or end that",
    )
    .positional(&["snapshot", "protected"])
    .extra(SNAPSHOT)
    .extra(Param::required("protected", ParamKind::Boolean, "Whether it is protected"))
    .examples(&["farhold client snapshot protected update host/web1/2026-01-31T10:00:00Z true"]);
    vec![
        table(content(list)),
        table(content(files)),
        content(forget),
        with(content(upload_log), &KEY),
        text(content(show_notes)),
        content(update_notes),
        text(content(show_protected)),
        content(update_protected),
    ]
}

fn namespaces_and_groups() -> Vec<Command> {
    let ns = |description| Param::required("ns", checked(namespace_text, 256), description);
    let list = Command::own(&["list"], "List the backup groups of a namespace")
        .examples(&["farhold client list --repository 'ann@pbs!laptop@backup.example:store1'"]);
    let forget = Command::own(&["group", "forget"], "Remove a group with all its snapshots, after asking")
        .positional(&["group"])
        .extra(GROUP)
        .examples(&["farhold client group forget host/web1"]);
    let list_ns = Command::own(&["namespace", "list"], "List namespaces")
        .positional(&["ns"])
        .extra(ns("Where to begin").is_optional())
        .extra(Param::optional("max-depth", number(0, Some(7)), "How many levels below that to list"))
        .examples(&["farhold client namespace list", "farhold client namespace list site-a --max-depth 1"]);
    let create_ns = Command::own(&["namespace", "create"], "Create a namespace; the one above must exist")
        .positional(&["ns"])
        .extra(ns("The new namespace"))
        .examples(&["farhold client namespace create site-a/office"]);
    let delete_ns = Command::own(&["namespace", "delete"], "Remove a namespace and those below it")
        .positional(&["ns"])
        .extra(ns("The namespace"))
        .extra(
            named::flag("delete-groups", "Remove it with the groups in it, instead of refusing that")
                .or_default(DefaultValue::Boolean(false)),
        )
        .examples(&["farhold client namespace delete site-a/office"]);
    vec![table(content(list)), content(forget), text(server(list_ns)), server(create_ns), server(delete_ns)]
}

fn whole_groups() -> Vec<Command> {
    let prune = Command::own(&["prune"], "Remove the snapshots of a group that the keep options do not keep")
        .positional(&["group"])
        .extra(GROUP)
        .extra(
            named::flag("dry-run", "Show what would be removed, and remove nothing")
                .or_default(DefaultValue::Boolean(false)),
        )
        .extra(named::flag("quiet", "Show only what is removed").or_default(DefaultValue::Boolean(false)))
        .examples(&["farhold client prune host/web1 --keep-daily 7 --keep-weekly 4 --dry-run"]);
    let change_owner = Command::own(&["change-owner"], "Give a group to another user or API token")
        .positional(&["group", "new-owner"])
        .extra(GROUP)
        .extra(Param::required("new-owner", named::ANY_TEXT, "The new owner"))
        .examples(&["farhold client change-owner host/web1 'ann@pbs!laptop'"]);
    vec![table(with(content(prune), &named::KEEP)), content(change_owner)]
}

fn tasks() -> Vec<Command> {
    const TARGET: Param = Param::required("target-ns", checked(namespace_text, 256), "Where it goes");
    let yes = |name, description| named::flag(name, description).or_default(DefaultValue::Boolean(true));
    let followed = |command: Command| command.output(Output::Task(TaskMode::Follow));
    let collect = Command::own(&["garbage-collect"], "Remove unused chunks from the datastore now")
        .examples(&["farhold client garbage-collect"]);
    let move_group = Command::own(&["group", "move"], "Move a group to another namespace of the datastore")
        .positional(&["group"])
        .extra(GROUP)
        .extra(TARGET)
        .extra(yes("merge-group", "Add to a group of the same name that is there, instead of refusing"))
        .examples(&["farhold client group move host/web1 --target-ns site-a"]);
    let move_ns = Command::own(&["namespace", "move"], "Move a namespace with all groups to another place")
        .positional(&["ns"])
        .extra(Param::required("ns", checked(namespace_text, 256), "The namespace"))
        .extra(TARGET)
        .extra(Param::optional("max-depth", number(0, Some(7)), "How many levels below it go along"))
        .extra(yes("delete-source", "Remove the namespaces that it leaves empty"))
        .extra(yes("merge-groups", "Add to groups of the same name that are there, instead of leaving them"))
        .examples(&["farhold client namespace move site-a --target-ns site-b"]);
    let list = Command::own(&["task", "list"], "List running tasks of this account, or all of them")
        .extra(named::flag("all", "Also list tasks that have ended"))
        .extra(
            Param::optional("limit", number(1, Some(1000)), "Show at most this many tasks, the newest ones")
                .or_default(DefaultValue::Integer(TASKS_LISTED)),
        )
        .examples(&["farhold client task list --all"]);
    let log = Command::own(&["task", "log"], "Show the log of a task and follow it until the task ends")
        .positional(&["upid"])
        .extra(named::UPID)
        .examples(&["farhold client task log 'UPID:node1:00000D5D:00A2893F:00000004:6B035D38:backup:s1:ann@pbs:'"]);
    let stop = Command::own(&["task", "stop"], "Ask a task to stop")
        .positional(&["upid"])
        .extra(named::UPID)
        .examples(&["farhold client task stop 'UPID:node1:00000D5D:00A2893F:00000004:6B035D38:backup:s1:ann@pbs:'"]);
    vec![
        followed(server(collect)),
        followed(content(move_group)),
        followed(server(move_ns)),
        table(server(list)),
        server(log),
        server(stop),
    ]
}

fn backups() -> Vec<Command> {
    let backup = Command::own(&["backup"], "Back up images, archives and small files as one snapshot")
        .positional(&["backupspec"])
        .extra(Param::required(
            "backupspec",
            ParamKind::List(&SPEC_KIND),
            "What to back up: <name>.<type>:<source>. Type img: a disk image, block device or named pipe. Type pxar: an \
             existing archive, whatever its format; directories cannot be archived here. Types conf and log: a small \
             file. Source -: standard input",
        ))
        .extra(Param::optional("backup-id", checked(backup_id_text, 255), "Backup ID; the host name if not given"))
        .extra(Param::optional(
            "backup-type",
            ParamKind::Enumeration { values: &["vm", "ct", "host"], strict: true },
            "Backup type; host if not given",
        ))
        .extra(Param::optional("backup-time", number(1, None), "Backup time in seconds since 1970; now if not given"))
        .extra(
            Param::optional(
                "chunk-size",
                number(64, Some(4096)),
                "Average size of the pieces of a pxar archive in KiB, a power of two. With another size than the \
                 usual one, nothing is shared with other backups",
            )
            .or_default(DefaultValue::Integer(4096)),
        )
        .extra(
            named::flag("dry-run", "Show what would be done and check the sources, without talking to a server")
                .or_default(DefaultValue::Boolean(false)),
        )
        .extra(
            named::flag("no-cache", "Bypass the server's cache of a datastore on object storage")
                .or_default(DefaultValue::Boolean(false)),
        )
        .examples(&[
            "farhold client backup disk.img:/dev/vg0/root-snapshot etc.pxar:/tmp/etc.tar",
            "tar -C / -cf - etc | farhold client backup etc.pxar:- --keyfile key.json",
        ]);
    let restore = Command::own(&["restore"], "Bring back an image, an archive or a small file")
        .positional(&["snapshot", "archive-name", "target"])
        .extra(Param::required(
            "snapshot",
            named::ANY_TEXT,
            "Snapshot: <type>/<id>/<time>; or a group: <type>/<id>, for its newest snapshot",
        ))
        .extra(Param::required(
            "archive-name",
            named::ANY_TEXT,
            "Name of the archive, such as disk.img, with or without its ending; index.json for the manifest",
        ))
        .extra(Param::required(
            "target",
            named::ANY_TEXT,
            "New file to write, or - for standard output. Archives of type pxar are written as they are, not unpacked",
        ))
        .examples(&[
            "farhold client restore host/web1 disk.img /mnt/disk.img",
            "farhold client restore host/web1/2026-01-31T10:00:00Z etc.pxar - | tar -xf - -C /mnt",
        ]);
    let status = Command::own(&["status"], "Show how full the datastore is")
        .output(Output::Object(ObjectSpec::default()))
        .examples(&["farhold client status"]);
    vec![with(with(content(backup), &KEY), &RATES), with(with(content(restore), &KEY), &RATES), server(status)]
}

fn keys_and_logins() -> Vec<Command> {
    let path = |description| Param::optional("path", named::ANY_TEXT, description);
    let create = Command::own(&["key", "create"], "Make a new encryption key")
        .positional(&["path"])
        .extra(path("New file of the key; the place of the default key if not given"))
        .extra(
            Param::optional(
                "kdf",
                ParamKind::Enumeration { values: &["none", "scrypt", "pbkdf2"], strict: true },
                "How the password protects the key; none for a key without password",
            )
            .or_default(DefaultValue::Text("scrypt")),
        )
        .extra(Param::optional("hint", named::ANY_TEXT, "What reminds of the password"))
        .examples(&["farhold client key create", "farhold client key create key.json --kdf none"]);
    let show = Command::own(&["key", "show"], "Show what is known about an encryption key")
        .positional(&["path"])
        .extra(path("File of the key; the default key if not given"))
        .output(Output::Object(KEY_PROPERTIES))
        .examples(&["farhold client key show", "farhold client key show key.json --output-format json"]);
    let login =
        Command::own(&["login"], "Log in and keep the ticket, so that the password is not needed for two hours")
            .examples(&["farhold client login --repository 'ann@pbs@backup.example:store1'"]);
    let logout = Command::own(&["logout"], "Forget the ticket of an earlier login")
        .examples(&["farhold client logout --repository 'ann@pbs@backup.example:store1'"]);
    let version = Command::own(&["version"], "Show the versions of this program and of the server")
        .examples(&["farhold client version"]);
    vec![create, show, server(login), server(logout), text(server(version))]
}
