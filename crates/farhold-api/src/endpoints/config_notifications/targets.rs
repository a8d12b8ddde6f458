//! Targets: who is notified, and how.

use std::sync::Arc;

use farhold_format::section_config::Section;
use farhold_jobs::notification_ways::{AddressFault, check_server, check_template, notify_of_test};
use farhold_jobs::{App, NotifyError};
use farhold_settings::records::notification::NAMED_VALUE;
use farhold_settings::{Entries, NotificationSecrets, Notifications, TargetSecrets};
use farhold_types::Digest;
use serde_json::{Map, Value, json};

use super::fields::{KINDS, Kind, NAME, TARGETS};
use super::{AUDIT, MODIFY, check_free, find};
use crate::declare::{CONFIG_DIGEST, Endpoint, Reply, Request};
use crate::endpoints::blocking;
use crate::endpoints::section_fields::{Purpose, members, reset_deleted, set_given};
use crate::error::ApiError;
use crate::schema::{Param, Params, Shape, named};

pub fn endpoints() -> Vec<Endpoint<App>> {
    let mut all = vec![
        Endpoint::get("/config/notifications/targets", "List the notification targets of all kinds", list_all)
            .access(AUDIT)
            .returns(TARGETS),
        Endpoint::post("/config/notifications/targets/{name}/test", "Send a test notification", test)
            .params(&[NAME])
            .access(MODIFY)
            .returns(Shape::Null),
    ];
    all.extend(KINDS.iter().flat_map(of_kind));
    all
}

fn of_kind(kind: &'static Kind) -> Vec<Endpoint<App>> {
    let fields = || kind.fields.iter().chain(kind.secrets).copied();
    let required = |param: Param| if kind.required.contains(&param.name) { param.is_required() } else { param };
    let new: Vec<Param> = fields().map(required).collect();
    let changes: Vec<Param> = fields().collect();
    vec![
        Endpoint::get(kind.list, "List the notification targets of this kind", move |app, _| list(app, kind))
            .access(AUDIT)
            .returns(kind.items),
        Endpoint::post(kind.list, "Create a notification target", move |app, request| create(app, request, kind))
            .params(&[NAME])
            .params(&new)
            .access(MODIFY)
            .returns(Shape::Null),
        Endpoint::get(kind.one, "Show a notification target", move |app, request| read(app, request, kind))
            .params(&[NAME])
            .access(AUDIT)
            .returns(kind.item)
            .attributes(CONFIG_DIGEST),
        Endpoint::put(kind.one, "Change a notification target", move |app, request| update(app, request, kind))
            .params(&[NAME])
            .params(&changes)
            .params(&[named::delete(kind.deletable), named::DIGEST])
            .access(MODIFY)
            .returns(Shape::Null),
        Endpoint::delete(kind.one, "Remove a notification target", move |app, request| remove(app, request, kind))
            .params(&[NAME])
            .access(MODIFY)
            .returns(Shape::Null),
    ]
}

/// Returns a target as answers show it: without secrets, but with the names of those that have one.
fn item(section: &Section, secrets: &Entries<NotificationSecrets>, kind: &Kind) -> Map<String, Value> {
    let mut item = members(section, kind.fields);
    let names: Vec<String> = secrets.section(section.id()).map(secret_names).unwrap_or_default();
    if !names.is_empty() {
        item.insert("secret".to_owned(), json!(names));
    }
    item.insert("name".to_owned(), section.id().into());
    item.insert("origin".to_owned(), Notifications::origin(section).as_str().into());
    item
}

/// Returns `name=...` of each secret of a web hook.
fn secret_names(private: &Section) -> Vec<String> {
    let named = private.list("secret").iter().filter_map(|text| NAMED_VALUE.parse(text).ok());
    named.filter_map(|secret| Some(format!("name={}", secret.get("name")?))).collect()
}

async fn list_all(app: Arc<App>, _: Request<App>) -> Result<Reply, ApiError> {
    blocking(move || {
        let loaded = app.settings.notifications().load()?;
        let mut items = Vec::new();
        for section in loaded.entries.all()? {
            let Some(kind) = KINDS.iter().find(|kind| kind.name == section.section_type()) else { continue };
            let mut shown = members(section, kind.fields);
            shown.retain(|name, _| ["comment", "disable"].contains(&name.as_str()));
            shown.insert("name".to_owned(), section.id().into());
            shown.insert("type".to_owned(), kind.name.into());
            shown.insert("origin".to_owned(), Notifications::origin(section).as_str().into());
            items.push(Value::from(shown));
        }
        Ok::<_, ApiError>(Reply::value(items))
    })
    .await
}

async fn test(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let name: String = request.params.require("name")?;
    match notify_of_test(&app, &name).await {
        Ok(()) => Ok(Reply::null()),
        Err(error @ NotifyError::Unknown { .. }) => Err(ApiError::not_found(error.to_string())),
        Err(NotifyError::Settings(error)) => Err(error.into()),
        Err(error) => Err(ApiError::from_chain(&error)),
    }
}

async fn list(app: Arc<App>, kind: &'static Kind) -> Result<Reply, ApiError> {
    blocking(move || {
        let loaded = app.settings.notifications().load()?;
        let secrets = app.settings.notification_secrets().load()?.entries;
        let of_kind = loaded.entries.all()?.into_iter().filter(|section| section.section_type() == kind.name);
        let items: Vec<Value> = of_kind.map(|section| item(section, &secrets, kind).into()).collect();
        Ok::<_, ApiError>(Reply::value(items))
    })
    .await
}

async fn read(app: Arc<App>, request: Request<App>, kind: &'static Kind) -> Result<Reply, ApiError> {
    let name: String = request.params.require("name")?;
    blocking(move || {
        let loaded = app.settings.notifications().load()?;
        let secrets = app.settings.notification_secrets().load()?.entries;
        let shown = item(find(&loaded.entries, &name, kind.name)?, &secrets, kind);
        Ok::<_, ApiError>(Reply::value(shown).with_digest(&loaded.digest))
    })
    .await
}

fn check_recipients(target: &Section, kind: &Kind) -> Result<(), ApiError> {
    if kind.is_mail && target.list("mailto").is_empty() && target.list("mailto-user").is_empty() {
        return Err(ApiError::bad_request("somebody must get the mail: give mailto or mailto-user"));
    }
    Ok(())
}

/// Refuses an address that can never be called. What is stored already stays as it is.
fn check_address(kind: &Kind, given: &Params) -> Result<(), ApiError> {
    let refused = |name: &str, fault: AddressFault| ApiError::parameter(name, fault.to_string());
    match kind.name {
        "gotify" => given.text("server").map_or(Ok(()), check_server).map_err(|fault| refused("server", fault)),
        "webhook" => given.text("url").map_or(Ok(()), check_template).map_err(|fault| refused("url", fault)),
        _ => Ok(()),
    }
}

/// Puts the secrets that the caller gives in place of the stored ones, and drops those that are deleted.
///
/// A secret of a web hook that is given by its name only, as answers show it, keeps its value.
fn set_secrets(
    secrets: &mut Entries<NotificationSecrets>,
    name: &str,
    kind: &Kind,
    given: &Params,
) -> Result<(), ApiError> {
    if kind.secrets.is_empty() {
        return Ok(());
    }
    let former = secrets.section(name).filter(|section| section.section_type() == kind.name).cloned();
    let mut section = former.clone().unwrap_or_else(|| Section::new(kind.name, name));
    reset_deleted(&mut section, given);
    set_given(&mut section, kind.secrets, given, Purpose::Update);
    let stored = former.as_ref().map(|former| former.list("secret")).unwrap_or_default();
    let whole: Vec<String> =
        section.list("secret").iter().map(|secret| with_value(secret, stored)).collect::<Result<_, _>>()?;
    section.set_list("secret", whole);
    let (was_there, is_empty) = (secrets.contains(name), section.iter().next().is_none());
    match (was_there, is_empty) {
        (false, true) => {}
        (true, true) => {
            secrets.remove(name);
        }
        (_, false) => {
            // A section of another kind may have been left behind by a crash or by hand.
            secrets.remove(name);
            secrets.insert(TargetSecrets { section })?;
        }
    }
    Ok(())
}

/// Returns a secret of a web hook with its value, that of the stored one of the same name if it comes without.
fn with_value(secret: &str, stored: &[String]) -> Result<String, ApiError> {
    let parse = |text: &str| NAMED_VALUE.parse(text).map_err(|error| ApiError::parameter("secret", error.to_string()));
    let properties = parse(secret)?;
    if properties.get("value").is_some() {
        return Ok(secret.to_owned());
    }
    let name = properties.get("name").unwrap_or_default();
    let former = stored.iter().find(|text| parse(text).is_ok_and(|former| former.get("name") == Some(name)));
    former.cloned().ok_or_else(|| ApiError::parameter("secret", format!("secret '{name}' needs a value")))
}

async fn create(app: Arc<App>, request: Request<App>, kind: &'static Kind) -> Result<Reply, ApiError> {
    let params = request.params;
    let name: String = params.require("name")?;
    check_address(kind, &params)?;
    let mut target = Section::new(kind.name, name.clone());
    set_given(&mut target, kind.fields, &params, Purpose::Create);
    blocking(move || {
        app.settings.edit_notifications(None, |entries, secrets| {
            check_free(entries, &name)?;
            check_recipients(&target, kind)?;
            // What is left of a former target of this name is not the new one's.
            secrets.remove(&name);
            set_secrets(secrets, &name, kind, &params)?;
            entries.insert(target)?;
            Ok::<_, ApiError>(())
        })?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

async fn update(app: Arc<App>, request: Request<App>, kind: &'static Kind) -> Result<Reply, ApiError> {
    let params = request.params;
    let name: String = params.require("name")?;
    let digest: Option<Digest> = params.parse("digest")?;
    check_address(kind, &params)?;
    blocking(move || {
        app.settings.edit_notifications(digest, |entries, secrets| {
            let mut target = find(entries, &name, kind.name)?.clone();
            reset_deleted(&mut target, &params);
            set_given(&mut target, kind.fields, &params, Purpose::Update);
            check_recipients(&target, kind)?;
            set_secrets(secrets, &name, kind, &params)?;
            entries.update(target)?;
            Ok::<_, ApiError>(())
        })?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}

/// Removes a target that no matcher names; one that is always there becomes what it was.
async fn remove(app: Arc<App>, request: Request<App>, kind: &'static Kind) -> Result<Reply, ApiError> {
    let name: String = request.params.require("name")?;
    blocking(move || {
        app.settings.edit_notifications(None, |entries, secrets| {
            find(entries, &name, kind.name)?;
            let names_it = |section: &&&Section| section.list("target").contains(&name);
            let users: Vec<&str> = entries.all()?.iter().filter(names_it).map(|section| section.id()).collect();
            if !users.is_empty() {
                let users = users.join(", ");
                return Err(ApiError::bad_request(format!("target '{name}' is still used by the matchers {users}")));
            }
            entries.remove(&name);
            secrets.remove(&name);
            Ok(())
        })?;
        Ok::<_, ApiError>(Reply::null())
    })
    .await
}
