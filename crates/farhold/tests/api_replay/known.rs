//! Where our answers differ from the recorded ones on purpose, or because a later issue brings what is missing.

/// Sessions end as soon as they begin. Whether what they left is gone when the next call looks for it is chance, so such
/// a call may also answer as recorded.
pub const NO_CONNECTION: &str = "Calls in this process hold no connection open, so no session runs";

/// Such a call may also answer as recorded.
pub const EITHER: &str = "Of two tasks that wait to unmount one datastore, either may come first";

/// How well a manifest is compressed depends on the name of the task in it. Such a call may also answer as recorded.
pub const LENGTH: &str = "The manifest holds the name of our own task, so it may have another length";

/// File, sequence numbers, reason.
pub const DIFFERENCES: &[(&str, &[u64], &str)] = &[
    ("access", &[288, 290, 291], "Descriptions of roles and realms are ours"),
    ("access", &[56, 58, 64, 66], "Needs the key of the recorded server, or the tickets it made"),
    (
        "access",
        &[339, 341, 342, 344, 348, 349, 353, 357, 358, 359, 362, 367],
        "Second factors cannot be added here, and what depends on that",
    ),
    ("access", &[81], "The recorded path of this secret is encoded in a way that cannot be translated"),
    (
        "access",
        &[138, 139, 193, 194, 195],
        "rest-api.md 19.10 and 19.14: an API token needs an existing user, a failed creation leaves none",
    ),
    ("config-datastore", &[249, 274, 303], "rest-api.md 19.27: no digest of an empty file"),
    (
        "config-datastore",
        &[
            198, 199, 200, 201, 202, 203, 258, 260, 261, 262, 264, 266, 267, 268, 276, 279, 288, 289, 290, 291, 292,
            293, 296, 297, 298, 299, 300, 302,
        ],
        "rest-api.md 19.7, 19.24: values a datastore cannot have are refused at once, so nothing is left behind",
    ),
    ("config-jobs", &[218, 219, 221, 223], "Descriptions of roles and realms are ours"),
    ("config-jobs", &[225], "rest-api.md 19.15: an update that does not name the default realm leaves it"),
    ("config-jobs", &[237], "No digest: the recorded one is that of another file"),
    ("config-jobs", &[194, 195, 196], "rest-api.md 19.12: only for who may audit or collect the datastore"),
    ("errors", &[115], "rest-api.md 19.12: only for who may audit or collect the datastore"),
    ("removable", &[33], "rest-api.md 19.12: datastores that are not mounted are shown to who may know them"),
    ("removable", &[102, 111], "rest-api.md 19.27: no digest of an empty file"),
    ("removable", &[71], NO_CONNECTION),
    ("removable", &[73, 75], EITHER),
    ("tasks", &[168, 175], "The whole text of a log: its times, and the sizes of our own chunks"),
    ("config-sync", &[267, 268, 269, 270], "A new random key"),
    ("config-sync", &[287], "rest-api.md 19.6: an archived key may stay with a job whose owner changes"),
    ("config-sync", &[299, 300], "A pull job never has an active key, also if only its direction is deleted"),
    ("config-sync", &[308], "rest-api.md 19.20: the former active key stays with the job"),
    (
        "config-sync",
        &[320, 321, 322, 323, 324, 329],
        "rest-api.md 19.4, 19.26: lists without the jobs that are refused here",
    ),
    ("encryption-keys", &[5, 73], "A new random key"),
    (
        "config-sync",
        &[86, 87, 215, 219, 220, 222, 223, 228, 236, 237, 244, 245, 253, 254, 262, 263, 369, 389],
        "rest-api.md 19.3, 19.4, 19.26: checked on create and update; resync-corrupt can be deleted; what follows",
    ),
    (
        "config-sync",
        &[356, 357],
        "rest-api.md 19.5: who updates a sync job must be allowed to modify its old version too",
    ),
    (
        "datastore-change",
        &[22, 64, 127, 136],
        "The first line of group notes is given without its line feed, and not at all if it is empty",
    ),
    (
        "datastore-read",
        &[257, 258, 259, 260, 268, 269, 270, 271, 274, 276, 277, 279, 280, 282, 285],
        "The formats of catalogs and file archives are known to clients only, so nobody can look into them here",
    ),
    ("datastore-change", &[277], LENGTH),
    ("datastore-read", &[132, 136], "rest-api.md 19.22: an empty list"),
    ("errors", &[236, 238, 239, 240, 245, 283, 284, 285, 286, 287, 290], NO_CONNECTION),
    ("errors", &[15], "Descriptions of roles and realms are ours"),
    ("errors", &[130], "The identity of the server is its own"),
    ("errors", &[136], "There are no subscriptions"),
    ("errors", &[121], "rest-api.md 19.11: any user may"),
    ("formats", &[7, 8, 9], "Our own branch of the tree"),
    ("formats", &[261, 263, 264], "rest-api.md 19.23: a rule without networks is refused, so the file stays readable"),
    ("formats", &[255, 256, 257, 259], "rest-api.md 19.25: the reference drops the connection"),
    ("nodes-status", &[43], "No proxy has the port 99999: refused at once"),
    ("nodes-status", &[64], "Name, kind of key and alternative names of the certificate are our own"),
    ("nodes-status", &[17, 18], "The identity of the server is its own"),
    ("nodes-status", &[28, 29, 30], "There are no subscriptions"),
    ("nodes-status", &[2, 3, 4], "rest-api.md 19.11: any user may"),
    (
        "pull-push",
        &[220, 221],
        "Lists with limits, and counts of tasks: the recorded ones contain tasks of later issues",
    ),
    ("pull-push", &[199], "sync.md W28: the verification of a snapshot stays with the server that made it"),
    (
        "pull-push",
        &[207, 209, 210, 215, 217, 218],
        "sync.md B 70: a vanished namespace with a child below max-depth stays, and every one that stays is a warning",
    ),
    ("setup", &[15, 16], "Name, kind of key and alternative names of the certificate are our own"),
    ("tasks", &[207, 216], "Lists with limits, and counts of tasks: the recorded ones contain tasks of later issues"),
    ("tasks", &[49], "rest-api.md 19.21: deleting a running job succeeds"),
];

/// Returns why an exchange is expected to differ.
pub fn reason(area: &str, seq: u64) -> Option<&'static str> {
    DIFFERENCES.iter().find(|(file, seqs, _)| *file == area && seqs.contains(&seq)).map(|(_, _, reason)| *reason)
}
