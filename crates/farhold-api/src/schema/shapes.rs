//! Shapes that the answers of several endpoints share.
//!
//! Source: `docs/spec/rest-api.md` 2, and the tables of the sections named beside the constants.

use super::{Field, Shape};

/// A free text.
pub const TEXT: Shape = Shape::Text("text");
/// Seconds since 1970-01-01 UTC.
pub const EPOCH: Shape = Shape::Integer;
/// UPID of a task.
pub const UPID: Shape = Shape::Text("UPID of a task");
/// A user ID, such as `root@pam`.
pub const USERID: Shape = Shape::Text("user ID");
/// A user ID or the ID of an API token.
pub const AUTHID: Shape = Shape::Text("user ID or API token ID");
/// Name of a datastore.
pub const STORE: Shape = Shape::Text("name of a datastore");
/// A namespace.
pub const NAMESPACE: Shape = Shape::Text("namespace, empty for the root");
/// SHA-256 with colons.
pub const FINGERPRINT: Shape = Shape::Text("SHA-256 in hex, pairs of digits joined by colons");
/// A number of bytes with its unit.
pub const BYTES: Shape = Shape::Text("bytes with a unit, such as 20 MiB");
/// When something runs by itself.
pub const CALENDAR_EVENT: Shape = Shape::Text("calendar event");
/// Settings in one text, `key=value` with commas.
pub const PROPERTY_STRING: Shape = Shape::Text("property string");
/// Type of a backup group.
pub const BACKUP_TYPE: Shape = Shape::Word(&["vm", "ct", "host"]);
/// Whether a removable datastore is there. 2.3.
pub const MOUNT_STATUS: Shape = Shape::Word(&["mounted", "notmounted", "nonremovable"]);
/// Kind of a datastore's storage. 2.3.
pub const BACKEND_TYPE: Shape = Shape::Word(&["filesystem", "s3"]);

const BACKUP_TYPE_FIELD: Field = Field::required("backup-type", BACKUP_TYPE, "Type of the backup group");
const BACKUP_ID_FIELD: Field = Field::required("backup-id", Shape::Text("backup ID"), "ID of the backup group");
const BACKUP_TIME_FIELD: Field = Field::required("backup-time", EPOCH, "Time of the snapshot");
const COMMENT_FIELD: Field = Field::optional("comment", TEXT, "Comment");

/// The members that name a group.
pub const GROUP: &[Field] = &[BACKUP_TYPE_FIELD, BACKUP_ID_FIELD];
/// The members that name a snapshot.
pub const SNAPSHOT: &[Field] = &[BACKUP_TYPE_FIELD, BACKUP_ID_FIELD, BACKUP_TIME_FIELD];
/// The comment of something configured.
pub const COMMENT: &[Field] = &[COMMENT_FIELD];

/// How many snapshots pruning keeps, as far as it is set. 2.2.
pub const KEEP: &[Field] = &[
    Field::optional("keep-last", Shape::Integer, "Newest snapshots to keep"),
    Field::optional("keep-hourly", Shape::Integer, "Hours to keep a snapshot of"),
    Field::optional("keep-daily", Shape::Integer, "Days to keep a snapshot of"),
    Field::optional("keep-weekly", Shape::Integer, "Weeks to keep a snapshot of"),
    Field::optional("keep-monthly", Shape::Integer, "Months to keep a snapshot of"),
    Field::optional("keep-yearly", Shape::Integer, "Years to keep a snapshot of"),
];

/// Bandwidth limits, as far as they are set. 2.2.
pub const RATES: &[Field] = &[
    Field::optional("rate-in", BYTES, "Incoming bytes per second"),
    Field::optional("burst-in", BYTES, "Incoming bytes that may come at once"),
    Field::optional("rate-out", BYTES, "Outgoing bytes per second"),
    Field::optional("burst-out", BYTES, "Outgoing bytes that may go at once"),
];

/// What the lists of jobs tell about their runs. 13.
pub const JOB_STATE: &[Field] = &[
    Field::optional("next-run", EPOCH, "When it runs next; absent without a schedule"),
    Field::optional("last-run-state", Shape::Text("result of a task"), "Result; absent while it runs"),
    Field::optional("last-run-upid", UPID, "Task of the last run, or of the one that is under way"),
    Field::optional("last-run-endtime", EPOCH, "When the last run ended; absent while it runs"),
];

/// Result of a garbage collection; all zero for a datastore that had none. 12.9.
pub const GC_STATUS: &[Field] = &[
    Field::required("upid", Shape::Nullable(&UPID), "Task of the last run"),
    Field::required("index-file-count", Shape::Integer, "Indexes that were read"),
    Field::required("index-data-bytes", Shape::Integer, "Bytes that the indexes stand for"),
    Field::required("disk-bytes", Shape::Integer, "Bytes that chunks in use take on disk"),
    Field::required("disk-chunks", Shape::Integer, "Chunks in use"),
    Field::required("removed-bytes", Shape::Integer, "Bytes that were freed"),
    Field::required("removed-chunks", Shape::Integer, "Chunks that were removed"),
    Field::required("pending-bytes", Shape::Integer, "Bytes of unused chunks that are too young to go"),
    Field::required("pending-chunks", Shape::Integer, "Unused chunks that are too young to go"),
    Field::required("removed-bad", Shape::Integer, "Damaged chunks that were removed"),
    Field::required("still-bad", Shape::Integer, "Damaged chunks that are left"),
    Field::optional(
        "cache-stats",
        Shape::Object(&[
            Field::required("hits", Shape::Integer, "Chunks that need not be touched again"),
            Field::required("misses", Shape::Integer, "Chunks that had to be touched"),
        ]),
        "Work that was saved",
    ),
];

/// Directory index of an inner node.
pub const INDEX: Shape =
    Shape::List(&Shape::Object(&[Field::required("subdir", Shape::Text("path component"), "Name below this path")]));

/// A namespace of a list. 12.3.
pub const NAMESPACE_ITEM: Shape =
    Shape::Object(&[Field::required("ns", NAMESPACE, "The namespace"), Field::optional("comment", TEXT, "Reserved")]);

/// A group of a list. 12.4.
pub const GROUP_ITEM: Shape = Shape::Object(&[
    BACKUP_TYPE_FIELD,
    BACKUP_ID_FIELD,
    Field::required("last-backup", EPOCH, "Time of the newest finished snapshot; 0 if there is none"),
    Field::required("backup-count", Shape::Integer, "Snapshots, finished or not"),
    Field::required("files", Shape::List(&Shape::Text("file name")), "Files of the newest finished snapshot"),
    Field::optional("owner", AUTHID, "Who owns the group"),
    Field::optional("comment", TEXT, "First line of the notes"),
]);

/// A file of a snapshot. 12.5.
pub const FILE_ITEM: Shape = Shape::Object(&[
    Field::required("filename", Shape::Text("file name"), "Name with extension"),
    Field::optional(
        "crypt-mode",
        Shape::Word(&["none", "encrypt", "sign-only"]),
        "Encryption; absent if the manifest does not list the file",
    ),
    Field::optional("size", Shape::Integer, "Bytes of its content; absent as above"),
]);

/// A snapshot of a list. 12.5.
pub const SNAPSHOT_ITEM: Shape = Shape::Object(&[
    BACKUP_TYPE_FIELD,
    BACKUP_ID_FIELD,
    BACKUP_TIME_FIELD,
    Field::optional("comment", TEXT, "First line of the notes"),
    Field::optional(
        "verification",
        Shape::Object(&[
            Field::required("upid", UPID, "Task that verified it"),
            Field::required("state", Shape::Word(&["ok", "failed"]), "Result"),
        ]),
        "Last verification",
    ),
    Field::optional("fingerprint", FINGERPRINT, "Key that encrypted or signed it"),
    Field::required("files", Shape::List(&FILE_ITEM), "Its files"),
    Field::optional("size", Shape::Integer, "Bytes of all files; absent while the backup is in progress"),
    Field::optional("owner", AUTHID, "Who owns the group"),
    Field::required("protected", Shape::Boolean, "Whether it is protected from removal"),
]);

/// What a removal of a group or namespace removed and left. 12.3.
pub const REMOVED: Shape = Shape::Object(&[
    Field::required("removed-groups", Shape::Integer, "Groups that are gone"),
    Field::required("removed-snapshots", Shape::Integer, "Snapshots that are gone"),
    Field::required("protected-snapshots", Shape::Integer, "Snapshots that stayed because they are protected"),
]);

/// A numbered line of a log. 15.3.
pub const LOG_LINE: Shape = Shape::Object(&[
    Field::required("n", Shape::Integer, "Number of the line, from 1"),
    Field::required("t", Shape::Text("line"), "The line"),
]);
