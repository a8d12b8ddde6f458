//! One cell of the table: what is seen of a damage, and what mends it.

use std::error::Error;
use std::num::NonZero;
use std::sync::{Arc, Mutex};

use farhold_datastore::gc::{GcOptions, GcWatch};
use farhold_datastore::verify::{
    ChunkProblem, ReadOrder, Reverify, SnapshotVerdict, Verifier, VerifyEvent, VerifyOptions, VerifyWatch,
};
use farhold_datastore::{AccessTimeCheck, Datastore};
use farhold_format::upid::Upid;
use farhold_rules::sync_plan::SelectionOptions;
use farhold_sync::repair::{RepairEnds, RepairError, RepairEvent, RepairOptions, RepairReach, RepairReport, repair};
use farhold_sync::{DEFAULT_PATIENCE, LocalSource, LocalTarget, SyncEvent, SyncOptions, Unrestricted};
use farhold_types::{Authid, Namespace};
use tokio_util::sync::CancellationToken;

use crate::world::{Damage, Kind, OTHERS, VICTIM, World, owner, snapshot};

const UPID: &str = "UPID:pbs:00000001:00000001:00000001:69000000:verify:tank:root@pam:";

/// What was seen in a cell.
#[derive(Debug)]
pub struct Seen {
    pub verification: String,
    pub collection: String,
    pub repair: String,
    pub resync: String,
}

fn verify_options() -> VerifyOptions {
    VerifyOptions { readers: NonZero::<usize>::MIN, workers: NonZero::<usize>::MIN, order: ReadOrder::Index }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

/// Makes a text the same in each run.
fn masked(world: &World, text: &str) -> String {
    let base = world.base().display().to_string();
    let text = text.replace(&format!("{base}/"), "").replace(&base, "BASE");
    let words = text.split(' ').map(|word| {
        let hex: String = word.chars().filter(char::is_ascii_hexdigit).collect();
        if hex.len() < 64 || word.contains('/') {
            return word.to_owned();
        }
        let bare = word.trim_matches(|letter: char| letter.is_ascii_punctuation());
        word.replace(bare, "DIGEST")
    });
    words.collect::<Vec<_>>().join(" ").replace('|', "/")
}

/// Verifies a whole store as the task does. Returns what was told, and which snapshots failed.
fn verify(store: &Datastore) -> (Vec<String>, Vec<String>) {
    let told = Mutex::new(Vec::new());
    let mut failed = Vec::new();
    let tell = |text: String| told.lock().unwrap().push(text);
    let on_event = |event: &VerifyEvent<'_>| match event {
        VerifyEvent::Unreadable { snapshot, error, .. } => tell(format!("{snapshot} failed: {}", chain(*error))),
        VerifyEvent::FileFailed { snapshot, archive, problem, .. } => {
            tell(format!("{snapshot}/{archive} failed: {}", chain(*problem)));
        }
        VerifyEvent::Chunk { problem: ChunkProblem::KnownBad, .. } => {}
        VerifyEvent::Chunk { archive, problem, .. } => tell(format!("chunk of '{archive}': {}", chain(*problem))),
        VerifyEvent::NotSetAside { error, .. } => tell(format!("not set aside: {}", chain(*error))),
        VerifyEvent::NotNoted { error, .. } => tell(format!("not noted: {}", chain(*error))),
        _ => {}
    };
    let watch = VerifyWatch { on_event: &on_event, is_stopped: &|| false };
    let verifier = Verifier::new(store.clone(), verify_options());
    let (root, upid): (Namespace, Upid) = (Namespace::root(), UPID.parse().unwrap());
    for (group, _) in store.groups_and_owners(&root).unwrap() {
        for problem in store.group_problems(&root, &group) {
            tell(format!("{group}: {}: {}", problem.advice(), chain(&problem.error)));
        }
        for info in store.snapshots(&root, &group).unwrap().into_iter().rev() {
            let snapshot = group.at(info.time);
            let verdict = verifier.verify_snapshot(&root, &snapshot, &upid, &Reverify::Always, &watch).unwrap();
            if verdict != SnapshotVerdict::Ok {
                failed.push(snapshot.to_string());
            }
        }
    }
    (told.into_inner().unwrap(), failed)
}

/// All that a listing shows is shown, whatever is damaged.
fn check_listing(store: &Datastore, kind: Kind) {
    let root = Namespace::root();
    let groups = store.groups_and_owners(&root).unwrap();
    assert_eq!(groups.len(), 2, "both groups are there");
    let with_owner = store.groups(&root).unwrap().len();
    assert!(with_owner == 2 || kind == Kind::Owner, "a group is hidden only without its owner");
    for (group, _) in groups {
        let items = store.snapshot_items(&root, &group).unwrap();
        assert_eq!(items.len(), 2, "all snapshots of {group} are listed");
        for item in items {
            let is_victim = item.snapshot() == snapshot(VICTIM);
            assert!(item.is_finished() || (is_victim && kind == Kind::Manifest), "{}", item.snapshot());
        }
    }
}

fn collect(world: &World, store: &Datastore) -> String {
    masked(world, &collect_with(store))
}

/// Collects garbage once, and returns what came of it.
pub fn collect_with(store: &Datastore) -> String {
    let options = GcOptions {
        cutoff_seconds: 86_400,
        cache_capacity: 100,
        // The check waits, and is the matter of other tests.
        access_time_check: AccessTimeCheck::Skip,
        threads: NonZero::<usize>::MIN,
    };
    let watch = GcWatch { on_event: &|_| {}, is_stopped: &|| false };
    match store.collect_garbage(&options, &UPID.parse().unwrap(), &watch) {
        Ok(status) if status.removed_chunks == 0 => "goes on".to_owned(),
        Ok(status) => format!("goes on, removes {} chunk(s)", status.removed_chunks),
        Err(error) => format!("refuses: {}", chain(&error)),
    }
}

pub fn repair_options(verifies_all: bool) -> RepairOptions {
    RepairOptions {
        anchor: Namespace::root(),
        max_depth: None,
        source_anchor: Namespace::root(),
        groups: Vec::new(),
        owner: None,
        keys: Vec::new(),
        reach: if verifies_all { RepairReach::Everything } else { RepairReach::Suspects },
        verify: verify_options(),
        is_dry: false,
        patience: DEFAULT_PATIENCE,
        pause_seed: 1,
    }
}

/// Repairs from the other store.
pub async fn repaired(world: &World, store: &Datastore, options: RepairOptions) -> Result<RepairReport, RepairError> {
    let source = LocalSource::new(world.copy.clone(), Arc::new(|_: &Namespace, _: &Authid| true));
    let ends = RepairEnds { store: store.clone(), source: Arc::new(source), may_mend: Arc::new(|_: &Namespace| true) };
    let events = Arc::new(|_: &RepairEvent<'_>| {});
    repair(options, ends, UPID.parse().unwrap(), events, CancellationToken::new()).await
}

/// Verifies all snapshots, and returns those that failed.
pub fn failed_snapshots(store: &Datastore) -> Vec<String> {
    verify(store).1
}

async fn mend(world: &World, store: &Datastore) -> String {
    let report = repaired(world, store, repair_options(false)).await.unwrap();
    let unmended: Vec<_> = report.unmended.iter().map(|left| format!("{}: {}", left.what, left.why)).collect();
    if !unmended.is_empty() {
        return format!("told: {}", masked(world, &unmended.join("; ")));
    }
    if report.mended == 0 { "finds nothing".to_owned() } else { "mended".to_owned() }
}

async fn resync(world: &World, store: &Datastore) -> String {
    let source = LocalSource::new(world.copy.clone(), Arc::new(|_: &Namespace, _: &Authid| true));
    let target = match LocalTarget::open(store.clone()) {
        Ok(target) => target,
        Err(error) => return format!("refused: {}", masked(world, &chain(&error))),
    };
    let mut options = SyncOptions::new("copy:tank::job", owner());
    options.selection = SelectionOptions { resync_corrupt: true, ..SelectionOptions::default() };
    let (rights, events) = (Arc::new(Unrestricted), Arc::new(|_: &SyncEvent| {}));
    let cancel = CancellationToken::new();
    match farhold_sync::run(options, Arc::new(source), Arc::new(target), rights, events, cancel).await {
        Ok(_) => "runs".to_owned(),
        Err(error) => format!("told: {}", masked(world, &chain(&error))),
    }
}

/// Whether nothing of a backup is damaged.
fn check_whole(world: &World, store: &Datastore, seen: &str) {
    let (told, failed) = verify(store);
    assert_eq!(failed, Vec::<String>::new(), "{seen}: {told:#?}");
    assert!((1..=5).all(|seed| world.has_chunk(seed)));
}

/// Plays a cell: the damage is verified and then mended, once in each way.
pub async fn play(kind: Kind, damage: Damage) -> Seen {
    let cell = format!("{} {}", kind.word(), damage.word());
    let world = World::hurt(kind, damage);
    let store = match &world.store {
        Ok(store) => store.clone(),
        Err(error) => {
            assert_eq!(kind, Kind::Lock, "{cell}: {error}");
            let told = masked(&world, &chain(error));
            let same = "the store stays closed".to_owned();
            return Seen { verification: told, collection: same.clone(), repair: same.clone(), resync: same };
        }
    };
    check_listing(&store, kind);
    let (told, failed) = verify(&store);
    let expected: &[&str] = if kind.is_backup() { &[VICTIM] } else { &[] };
    assert_eq!(failed, expected, "{cell}: {told:#?}");
    check_listing(&store, kind);
    let collection = collect(&world, &store);
    // Those of other snapshots stay, and of the damaged one what nobody can tell to be unused.
    let is_lost = |seed: u8| kind == Kind::Chunk && seed == 1;
    let missing: Vec<u8> = (1..=5).filter(|seed| !is_lost(*seed) && !world.has_chunk(*seed)).collect();
    // An index that is not there names nothing.
    let is_gone = kind == Kind::Index && damage == Damage::Missing;
    let may_go: &[u8] = if is_gone { &[1] } else { &[] };
    assert!(missing.iter().all(|seed| may_go.contains(seed)), "{cell}: {missing:?} removed, {collection}");
    let repaired = mend(&world, &store).await;
    if kind.is_backup() {
        check_whole(&world, &store, &format!("{cell}: {repaired}"));
    }
    give_back(kind, &store, &cell);

    let again = World::hurt(kind, damage);
    let store = again.store.as_ref().unwrap();
    verify(store);
    let mut resynced = resync(&again, store).await;
    if kind.is_backup() && resynced == "runs" {
        check_whole(&again, store, &cell);
        resynced = "mended".to_owned();
    }
    let (_, failed) = verify(store);
    assert!(OTHERS.iter().all(|other| !failed.contains(&(*other).to_owned())), "{cell}");
    let verification = match told.is_empty() {
        true => "nothing to be seen".to_owned(),
        false => told.iter().map(|text| masked(&world, text)).collect::<Vec<_>>().join("; "),
    };
    Seen { verification, collection, repair: repaired, resync: resynced }
}

/// Owner and notes are set anew, whatever lies there.
fn give_back(kind: Kind, store: &Datastore, cell: &str) {
    let (root, group) = (Namespace::root(), snapshot(VICTIM).group);
    match kind {
        Kind::Owner => {
            let lock = store.lock_group(&root, &group).unwrap();
            store.set_owner(&lock, &owner()).unwrap_or_else(|error| panic!("{cell}: {}", chain(&error)));
            assert_eq!(store.owner(&root, &group).unwrap(), owner(), "{cell}");
        }
        Kind::Notes => {
            let lock = store.lock_group(&root, &group).unwrap();
            store.set_group_notes(&lock, "new").unwrap_or_else(|error| panic!("{cell}: {}", chain(&error)));
            assert_eq!(store.group_notes(&root, &group).unwrap(), "new", "{cell}");
        }
        _ => {}
    }
}
