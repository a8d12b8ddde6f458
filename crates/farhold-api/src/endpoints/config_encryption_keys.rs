//! `/config/encryption-keys`: the server's own encryption keys, for sync jobs. Source: `docs/spec/rest-api.md` 10.
//!
//! A key itself is in the answer of its creation or import, and nowhere else.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_jobs::encryption_keys::{NewKeyError, create_key, import_key};
use farhold_rules::acl::AclPath;
use farhold_settings::{Archiving, EncryptionKeyConfig, KeyFileState, KeyStoreError};
use farhold_types::{Digest, KeyId, Privileges, Secret};
use serde_json::{Map, Value, json};

use super::blocking;
use crate::declare::{Access, CONFIG_DIGEST, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Param, Shape, named, shapes};

const ID: Param = Param::required("id", named::KEY_ID_KIND, "Encryption key");
const KEY: Param =
    Param::optional("key", named::ANY_TEXT, "Key file without a password, as JSON text; none makes a random key");
const INCLUDE_ARCHIVED: Param = named::flag("include-archived", "Also list archived keys");
const ARCHIVED: Param = named::flag("archived", "Archive the key, or make it active again").is_required();

const ENTRY: &[Field] = &[
    Field::required("id", Shape::Text("name of a key"), "Name of the key"),
    Field::optional("path", Shape::Text("path"), "Its file"),
    Field::required("kdf", Shape::Word(&["none", "scrypt", "pbkdf2"]), "How its file is protected; always none"),
    Field::required("created", shapes::EPOCH, "When it was made"),
    Field::required("modified", shapes::EPOCH, "When its file was made"),
    Field::optional("fingerprint", shapes::FINGERPRINT, "Fingerprint of the key"),
    Field::optional("hint", shapes::TEXT, "Hint for the password it once had"),
    Field::optional("archived-at", shapes::EPOCH, "When it was archived; absent if it is active"),
];
const USE: &[Field] = &[
    Field::optional("active-in", Shape::List(&Shape::Text("name of a job")), "Sync jobs that encrypt with it"),
    Field::optional("associated-with", Shape::List(&Shape::Text("name of a job")), "Sync jobs that it belongs to"),
    Field::optional("problem", shapes::TEXT, "What is wrong with its file"),
];
const KEY_FILE: Shape = Shape::Object(&[
    Field::required("kdf", Shape::Null, "The file is not protected"),
    Field::required("created", Shape::Text("RFC 3339 time"), "When the key was made"),
    Field::required("modified", Shape::Text("RFC 3339 time"), "When the file was made"),
    Field::required("data", Shape::Text("base64"), "The secret key"),
    Field::optional("fingerprint", shapes::FINGERPRINT, "Fingerprint of the key"),
    Field::optional("hint", shapes::TEXT, "Hint for the password it once had"),
]);

const MODIFY_KEY: Access = Access::Declared(Need::all(Privileges::SYS_MODIFY, "/system/encryption-keys/{id}"));

pub fn endpoints() -> Vec<Endpoint<App>> {
    let modify_all = Access::Declared(Need::all(Privileges::SYS_MODIFY, "/system/encryption-keys"));
    let audit_key = Access::Declared(Need::all(Privileges::SYS_AUDIT, "/system/encryption-keys/{id}"));
    vec![
        Endpoint::get("/config/encryption-keys", "List encryption keys", list)
            .params(&[INCLUDE_ARCHIVED])
            .access(Access::InHandler("Keys on which the caller has Sys.Audit"))
            .returns(Shape::List(&Shape::Object(ENTRY)))
            .attributes(CONFIG_DIGEST),
        Endpoint::post("/config/encryption-keys", "Create or import an encryption key and return it once", create)
            .params(&[ID, KEY])
            .access(modify_all)
            .returns(KEY_FILE),
        Endpoint::post("/config/encryption-keys/{id}", "Archive an encryption key, or make it active again", toggle)
            .params(&[ID, named::DIGEST])
            .access(MODIFY_KEY)
            .returns(Shape::Null),
        Endpoint::delete("/config/encryption-keys/{id}", "Remove an archived encryption key", remove)
            .params(&[ID, named::DIGEST])
            .access(MODIFY_KEY)
            .returns(Shape::Null),
        Endpoint::get("/farhold/encryption-keys/{id}", "Show an encryption key, its use and its state", show)
            .params(&[ID])
            .access(audit_key)
            .returns(Shape::Joined(&[ENTRY, USE]))
            .attributes(CONFIG_DIGEST),
        Endpoint::put("/farhold/encryption-keys/{id}", "Set whether an encryption key is archived", set_archived)
            .params(&[ID, ARCHIVED, named::DIGEST])
            .access(MODIFY_KEY)
            .returns(Shape::Null),
    ]
}

impl From<KeyStoreError> for ApiError {
    fn from(error: KeyStoreError) -> Self {
        Self::from_chain(&error)
    }
}

impl From<NewKeyError> for ApiError {
    fn from(error: NewKeyError) -> Self {
        Self::from_chain(&error)
    }
}

/// Returns what is known of a key, without the key.
fn item(key: &EncryptionKeyConfig) -> Map<String, Value> {
    let mut item = Map::new();
    let mut put = |name: &str, value: Value| item.insert(name.to_owned(), value);
    put("id", json!(key.id));
    put("kdf", json!(key.kdf));
    put("created", json!(key.created));
    put("modified", json!(key.modified));
    for (name, value) in [
        ("path", key.path.as_ref().map(|path| json!(path))),
        ("fingerprint", key.fingerprint.map(|fingerprint| json!(fingerprint))),
        ("hint", key.hint.as_ref().map(|hint| json!(hint))),
        ("archived-at", key.archived_at.map(|time| json!(time))),
    ] {
        if let Some(value) = value {
            put(name, value);
        }
    }
    item
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let include_archived = request.params.boolean_or_default("include-archived");
    blocking(move || {
        let loaded = app.settings.encryption_keys().load()?;
        let acl = app.acl()?;
        let is_shown = |key: &&EncryptionKeyConfig| {
            let path = AclPath::encryption_key(&key.id);
            (include_archived || !key.is_archived()) && acl.require_all(&caller, &path, Privileges::SYS_AUDIT).is_ok()
        };
        let items: Vec<Value> =
            loaded.entries.all()?.into_iter().filter(is_shown).map(|key| item(key).into()).collect();
        Ok::<_, ApiError>(Reply::value(items).with_digest(&loaded.digest))
    })
    .await
}

async fn create(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let id: KeyId = request.params.require("id")?;
    let text = request.params.text("key").map(Secret::new);
    let file = blocking(move || match text {
        None => create_key(&app, &id),
        Some(text) => import_key(&app, &id, &text),
    })
    .await?;
    let value: Value = serde_json::from_str(file.to_json().expose())
        .map_err(|_| ApiError::internal("the stored key has no JSON form"))?;
    Ok(Reply::value(value))
}

async fn toggle(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    change(app, request, Archiving::Toggle).await
}

async fn set_archived(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let is_archived = request.params.boolean_or_default("archived");
    change(app, request, if is_archived { Archiving::Archive } else { Archiving::Restore }).await
}

async fn change(app: Arc<App>, request: Request<App>, change: Archiving) -> Result<Reply, ApiError> {
    let id: KeyId = request.params.require("id")?;
    let digest: Option<Digest> = request.params.parse("digest")?;
    blocking(move || app.settings.archive_key(&id, change, app.clock.now(), digest)).await?;
    Ok(Reply::null())
}

async fn remove(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let id: KeyId = request.params.require("id")?;
    let digest: Option<Digest> = request.params.parse("digest")?;
    blocking(move || app.settings.remove_key(&id, digest)).await?;
    Ok(Reply::null())
}

/// Answers the members of the list, and: the jobs that encrypt with the key (`active-in`), those it is associated with
/// (`associated-with`), and what is wrong with its file, if anything (`problem`).
async fn show(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let id: KeyId = request.params.require("id")?;
    blocking(move || {
        let loaded = app.settings.encryption_keys().load()?;
        let key = loaded.entries.require(id.as_str())?;
        let mut answer = item(key);
        let jobs = app.settings.jobs_of_key(&id)?;
        for (name, jobs) in [("active-in", jobs.active), ("associated-with", jobs.associated)] {
            if !jobs.is_empty() {
                answer.insert(name.to_owned(), json!(jobs));
            }
        }
        if let KeyFileState::Broken(problem) = app.settings.key_file_state(key) {
            answer.insert("problem".to_owned(), json!(ApiError::from(problem).text()));
        }
        Ok::<_, ApiError>(Reply::value(answer).with_digest(&loaded.digest))
    })
    .await
}
