//! Commands about server-side encryption keys; the reference has none.
//!
//! Source: `docs/spec/cli.md` 4; `docs/spec/rest-api.md` 10.

use http::Method;
use serde_json::Value;

use farhold_api::schema::{Param, named};

use crate::command::{Align, Command, ObjectSpec, OptionChoice, Output, rendered, text};
use crate::render::Renderer;

const KEYS: &str = "/config/encryption-keys";
const KEY: &str = "/config/encryption-keys/{id}";
/// Our own view of a key, and our own way to change it.
const OWN_KEY: &str = "/farhold/encryption-keys/{id}";

const KEY_FILE: Param = Param::optional(
    "key-file",
    named::ANY_TEXT,
    "Take the key from this key file, which has no password, instead of making a new one",
);
const IMPORTED_FILE: Param =
    Param::required("key-file", named::ANY_TEXT, "Key file without a password, as backup clients make them");
const TO_FILE: Param = Param::optional(
    "to-file",
    named::ANY_TEXT,
    "Write the key to this new file, readable by its owner only, instead of printing it",
);

pub(super) fn commands() -> Vec<Command> {
    let set_archived = |words, summary, is_archived: bool| {
        Command::call(words, Method::PUT, OWN_KEY, summary).positional(&["id"]).fixed("archived", is_archived)
    };
    let commands = vec![
        Command::call(&["encryption-key", "list"], Method::GET, KEYS, "List the encryption keys of this server").table(
            vec![
                text("id"),
                text("fingerprint"),
                rendered("created", Align::Left, Renderer::Epoch),
                rendered("archived-at", Align::Left, Renderer::Epoch),
                text("hint"),
            ],
        ),
        Command::call(
            &["encryption-key", "show"],
            Method::GET,
            OWN_KEY,
            "Show an encryption key and the jobs that name it",
        )
        .positional(&["id"])
        .output(Output::Object(ObjectSpec {
            first: &["id", "fingerprint", "created", "modified", "archived-at"],
            groups: &[&["problem"]],
            renderers: &[("created", Renderer::Epoch), ("modified", Renderer::Epoch), ("archived-at", Renderer::Epoch)],
        })),
        Command::call(
            &["encryption-key", "create"],
            Method::POST,
            KEYS,
            "Create an encryption key and print it, the only time that it can be seen",
        )
        .positional(&["id"])
        .options(OptionChoice::Except(&["key"]))
        .extra(KEY_FILE)
        .extra(TO_FILE)
        .files(&[("key-file", "key")])
        .output(Output::Secret { file_option: "to-file" }),
        Command::call(&["encryption-key", "import"], Method::POST, KEYS, "Take over an encryption key from a key file")
            .positional(&["id", "key-file"])
            .options(OptionChoice::Except(&["key"]))
            .extra(IMPORTED_FILE)
            .files(&[("key-file", "key")])
            .output(Output::Text { render: imported, has_formats: false }),
        set_archived(
            &["encryption-key", "archive"],
            "Archive an encryption key: it decrypts, but encrypts nothing new",
            true,
        ),
        set_archived(&["encryption-key", "restore"], "Make an archived encryption key active again", false),
        Command::call(
            &["encryption-key", "toggle-archive"],
            Method::POST,
            KEY,
            "Archive an encryption key, or make it active again",
        )
        .positional(&["id"]),
        Command::call(
            &["encryption-key", "remove"],
            Method::DELETE,
            KEY,
            "Remove an archived encryption key that no sync job names",
        )
        .positional(&["id"]),
    ];
    commands.into_iter().map(Command::extension).collect()
}

/// Returns what tells which key was imported; the answer holds the key itself.
fn imported(answer: &Value) -> String {
    let fingerprint = answer.get("fingerprint").and_then(Value::as_str).unwrap_or("not given");
    format!("imported; fingerprint: {fingerprint}\n")
}
