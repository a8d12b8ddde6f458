//! The fields of a datastore: as parameters, as an answer, and how changes set them.

use farhold_format::property_string::PropertySchema;
use farhold_rules::calendar::CalendarEvent;
use farhold_settings::{DatastoreConfig, NotificationMode, schemas};
use farhold_types::Userid;
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::schema::named::{COMMENT, USERID, flag};
use crate::schema::{Field, Param, ParamKind, Params, Shape, TextCheck, shapes};

const fn checked(check: TextCheck, hint: &'static str) -> ParamKind {
    ParamKind::Text { min_length: 0, max_length: None, check: Some(check), hint }
}

const SCHEDULE_KIND: ParamKind = checked(calendar_event, "<calendar-event>");
const NOTIFICATION_MODES: ParamKind =
    ParamKind::Enumeration { values: &["legacy-sendmail", "notification-system"], strict: false };

/// `path`.
pub(super) const PATH: Param = Param::required(
    "path",
    ParamKind::Text { min_length: 1, max_length: Some(4096), check: None, hint: "<string>" },
    "Directory of the datastore, absolute",
);
/// `backing-device`.
pub(super) const BACKING_DEVICE: Param =
    Param::optional("backing-device", checked(uuid, "<string>"), "UUID of a file system for a removable datastore");
/// `backend`.
pub(super) const BACKEND: Param = Param::optional("backend", checked(backend, "<backend-config>"), "Kind of storage");
/// `prune-schedule`, which makes a prune job.
pub(super) const PRUNE_SCHEDULE: Param =
    Param::optional("prune-schedule", SCHEDULE_KIND, "When to prune; makes a prune job");

/// Fields that an update can reset; those of former versions and of object storages have no effect.
pub(super) const DELETABLE: ParamKind = ParamKind::Enumeration {
    values: &[
        "comment",
        "gc-schedule",
        "gc-on-unmount",
        "prune-schedule",
        "keep-last",
        "keep-hourly",
        "keep-daily",
        "keep-weekly",
        "keep-monthly",
        "keep-yearly",
        "verify-new",
        "notify-user",
        "notify",
        "notification-mode",
        "tuning",
        "maintenance-mode",
        "notification-thresholds",
        "counter-reset-schedule",
    ],
    strict: true,
};

/// A datastore as lists and reads show it; what is not set is absent.
pub(super) const STORE: Shape = Shape::Object(&[
    Field::required("name", shapes::STORE, "Name of the datastore"),
    Field::required("path", Shape::Text("path"), "Its directory; relative to its device for removable ones"),
    Field::optional("comment", shapes::TEXT, "Comment"),
    Field::optional("gc-schedule", shapes::CALENDAR_EVENT, "When garbage is collected"),
    Field::optional("gc-on-unmount", Shape::Boolean, "Whether garbage is collected before unmounting"),
    Field::optional("verify-new", Shape::Boolean, "Whether each new backup is verified"),
    Field::optional("notify-user", shapes::USERID, "Who gets notifications"),
    Field::optional("notify", shapes::PROPERTY_STRING, "When notifications are sent"),
    Field::optional(
        "notification-mode",
        Shape::Word(&["legacy-sendmail", "notification-system"]),
        "How notifications are sent",
    ),
    Field::optional("tuning", shapes::PROPERTY_STRING, "Expert settings"),
    Field::optional("maintenance-mode", shapes::PROPERTY_STRING, "How far its use is restricted"),
    Field::optional("backing-device", Shape::Text("UUID"), "File system of a removable datastore"),
    Field::optional("backend", shapes::PROPERTY_STRING, "Kind of its storage"),
]);

/// Whether fields are set for the first time or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Texts are kept as they were sent.
    Create,
    /// Empty ones remove the field, and some are written in the usual form.
    Update,
}

/// Returns the parameters that both creation and update take.
pub(super) fn options() -> Vec<Param> {
    vec![
        COMMENT,
        Param::optional("gc-schedule", SCHEDULE_KIND, "When to collect garbage"),
        flag("gc-on-unmount", "Collect garbage before unmounting a removable datastore"),
        flag("verify-new", "Verify each new backup"),
        USERID.named("notify-user").described("User who gets notifications").is_optional(),
        Param::optional("notify", checked(notify, "[[gc=<enum>] [,...]]"), "When to send notifications"),
        Param::optional("notification-mode", NOTIFICATION_MODES, "How notifications are sent"),
        Param::optional("tuning", checked(tuning, "[[chunk-order=<enum>] [,...]]"), "Expert settings"),
        Param::optional(
            "maintenance-mode",
            checked(maintenance, "[type=]<read-only|offline>[,message=<string>]"),
            "Restrict what can be done with the datastore",
        ),
        Param::optional("notification-thresholds", checked(only_s3, "<calendar-event>"), "Only for object storages"),
        Param::optional("counter-reset-schedule", checked(only_s3, "<calendar-event>"), "Only for object storages"),
    ]
}

fn calendar_event(text: &str) -> Result<(), String> {
    CalendarEvent::parse(text).map(|_| ()).map_err(|error| error.to_string())
}

fn uuid(text: &str) -> Result<(), String> {
    let groups: Vec<&str> = text.split('-').collect();
    let is_hex = |group: &str| group.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    if lengths == [8, 4, 4, 4, 12] && groups.iter().all(|group| is_hex(group)) {
        Ok(())
    } else {
        Err("value is no UUID".into())
    }
}

/// Checks a property string; `words` are the keys that admit certain words only, which stored files may break.
fn properties(schema: &PropertySchema, text: &str, words: &[(&str, &[&str])]) -> Result<(), String> {
    let parsed = schema.parse(text).map_err(|error| error.to_string())?;
    for (key, allowed) in words {
        if let Some(value) = parsed.get(key).filter(|value| !allowed.contains(value)) {
            return Err(format!("'{key}' must be one of {}, not '{value}'", allowed.join(", ")));
        }
    }
    Ok(())
}

fn backend(text: &str) -> Result<(), String> {
    properties(&schemas::BACKEND, text, &[("type", &["filesystem", "s3"])])
}

fn notify(text: &str) -> Result<(), String> {
    const WHEN: &[&str] = &["never", "always", "error"];
    properties(&schemas::NOTIFY, text, &[("gc", WHEN), ("verify", WHEN), ("sync", WHEN), ("prune", WHEN)])
}

fn tuning(text: &str) -> Result<(), String> {
    let words: [(&str, &[&str]); 2] =
        [("chunk-order", &["none", "inode"]), ("sync-level", &["none", "file", "filesystem"])];
    properties(&schemas::TUNING, text, &words)
}

/// Modes that the server sets by itself are refused: by hand they would only lock the store up.
fn maintenance(text: &str) -> Result<(), String> {
    properties(&schemas::MAINTENANCE, text, &[("type", &["read-only", "offline"])])
}

fn only_s3(_text: &str) -> Result<(), String> {
    Err("only for datastores in an object storage, which are not supported".into())
}

/// Sets the fields that the parameters name.
pub(super) fn set_options(config: &mut DatastoreConfig, params: &Params, purpose: Purpose) -> Result<(), ApiError> {
    let text = |name: &str| params.text(name).map(str::to_owned);
    let is_update = purpose == Purpose::Update;
    if let Some(comment) = params.text("comment").map(str::trim) {
        config.comment = (!is_update || !comment.is_empty()).then(|| comment.to_owned());
    }
    if let Some(schedule) = text("gc-schedule") {
        config.gc_schedule = Some(schedule);
    }
    if let Some(on_unmount) = params.boolean("gc-on-unmount") {
        if on_unmount && config.backing_device.is_none() {
            return Err(ApiError::parameter("gc-on-unmount", "only for removable datastores"));
        }
        config.gc_on_unmount = Some(on_unmount);
    }
    if let Some(verify_new) = params.boolean("verify-new") {
        config.verify_new = Some(verify_new);
    }
    if let Some(user) = params.parse::<Userid>("notify-user")? {
        config.notify_user = Some(user);
    }
    match params.text("notification-mode") {
        Some("legacy-sendmail") => config.notification_mode = Some(NotificationMode::LegacySendmail),
        Some("notification-system") => config.notification_mode = Some(NotificationMode::NotificationSystem),
        _ => {}
    }
    if let Some(tuning) = text("tuning") {
        config.tuning = Some(tuning);
    }
    if let Some(notify) = text("notify") {
        let notify = if is_update { rewritten(&schemas::NOTIFY, "notify", &notify)? } else { notify };
        config.notify = (!is_update || !notify.is_empty()).then_some(notify);
    }
    if let Some(mode) = text("maintenance-mode") {
        config.maintenance_mode =
            Some(if is_update { rewritten(&schemas::MAINTENANCE, "maintenance-mode", &mode)? } else { mode });
    }
    Ok(())
}

/// Returns a property string in the form in which the server writes it.
fn rewritten(schema: &PropertySchema, name: &str, text: &str) -> Result<String, ApiError> {
    let properties = schema.parse(text).map_err(|error| ApiError::parameter(name, error.to_string()))?;
    let written = schema.write(&properties);
    // Values are written without quotes, as the reference does it; a comma in one would begin the next property.
    if schema.parse(&written).is_err() {
        return Err(ApiError::parameter(name, "a comma in a text must be written as %2C"));
    }
    Ok(written)
}

/// Resets a field. Those that stores do not have any more have no effect.
pub(super) fn unset(config: &mut DatastoreConfig, key: &str) {
    match key {
        "comment" => config.comment = None,
        "gc-schedule" => config.gc_schedule = None,
        "gc-on-unmount" => config.gc_on_unmount = None,
        "verify-new" => config.verify_new = None,
        "notify-user" => config.notify_user = None,
        "notify" => config.notify = None,
        "notification-mode" => config.notification_mode = None,
        "tuning" => config.tuning = None,
        "maintenance-mode" => config.maintenance_mode = None,
        _ => {}
    }
}

/// Returns a datastore as lists and reads show it.
pub(super) fn item(config: &DatastoreConfig) -> Value {
    let mut item = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            item.insert(name.to_owned(), value);
        }
    };
    let text = |field: &Option<String>| field.clone().map(Value::from);
    put("name", Some(config.name.to_string().into()));
    put("path", Some(config.path.clone().into()));
    put("comment", config.comment.as_deref().map(|comment| comment.trim().into()));
    put("gc-schedule", text(&config.gc_schedule));
    put("gc-on-unmount", config.gc_on_unmount.map(Value::from));
    put("verify-new", config.verify_new.map(Value::from));
    put("notify-user", config.notify_user.as_ref().map(|user| user.to_string().into()));
    put("notify", text(&config.notify));
    put("notification-mode", config.notification_mode.map(|mode| mode.as_str().into()));
    put("tuning", text(&config.tuning));
    put("maintenance-mode", text(&config.maintenance_mode));
    put("backing-device", text(&config.backing_device));
    put("backend", text(&config.backend));
    Value::Object(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_message_is_refused_with_what_to_do() {
        let write = |text: &str| rewritten(&schemas::MAINTENANCE, "maintenance-mode", text);
        assert_eq!(write(r#"type=read-only,message="disk swap""#).unwrap(), "read-only,message=disk swap");
        assert_eq!(write("read-only,message=ask%2C Ann").unwrap(), "read-only,message=ask%2C Ann");
        let refused = write(r#"read-only,message="disk swap, ask Ann""#).unwrap_err().to_string();
        assert!(refused.contains("'maintenance-mode'") && refused.contains("%2C"), "{refused}");
    }
}
