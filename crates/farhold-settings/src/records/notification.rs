//! `notifications.cfg` and `notifications-priv.cfg`: where notifications go, and which. Source:
//! `docs/spec/config-and-access.md` 3.13.
//!
//! Targets and matchers share one name space and one file; the passwords and tokens of targets stand in the second
//! file, in sections of the same names. Both are changed under one lock.

use farhold_format::config_schema::{FileSchema, Key, SectionSchema, Value};
use farhold_format::property_string::PropertySchema;
use farhold_format::section_config::Section;
use farhold_types::Digest;

use crate::Settings;
use crate::checkers::{COMMENT, DAILY_WINDOW, FILLED_LINE, LINE, PERSON, one_line, safe_id};
use crate::config_dir::Protection;
use crate::entries::{ConfigFile, Entries};
use crate::error::{FieldError, SettingsError};
use crate::store::Edited;

/// Name of a target or matcher.
pub const ENTITY: Value = Value::Text { min: 2, max: 32, check: Some(safe_id) };
/// How a mail server is spoken to.
pub const SMTP_MODES: &[&str] = &["insecure", "starttls", "tls"];
/// How a web hook is called.
pub const WEBHOOK_METHODS: &[&str] = &["post", "put", "get"];
/// How the rules of a matcher are joined.
pub const MATCHER_MODES: &[&str] = &["all", "any"];
/// A password or token.
pub const SECRET: Value = Value::Text { min: 1, max: 1024, check: Some(one_line) };

/// `header` and `secret` of a web hook: a name with a value in base64.
pub const NAMED_VALUE: PropertySchema = PropertySchema {
    default_key: None,
    keys: &[Key::required("name", FILLED_LINE), Key::optional("value", LINE)],
    check: None,
};
const NAMED_VALUES: Value = Value::Properties(&NAMED_VALUE);

const ORIGIN: Key = Key::optional("origin", Value::Enum(&["user-created", "builtin", "modified-builtin"]));

/// The file `notifications.cfg`.
#[derive(Debug)]
pub struct Notifications;

/// Where an entry comes from. Wire names: `builtin`, `modified-builtin`, `user-created`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It is always there.
    Builtin,
    /// It is always there, but was changed.
    ModifiedBuiltin,
    /// Somebody made it.
    UserCreated,
}

impl Origin {
    /// Returns the wire name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::ModifiedBuiltin => "modified-builtin",
            Self::UserCreated => "user-created",
        }
    }
}

/// Returns the entries that are always there.
///
/// Their comments are those of the reference product, letter for letter: it tells a changed entry from an original one
/// by comparing all values, and so do we with a file that it wrote.
fn builtins() -> [Section; 2] {
    let section = |kind: &str, name: &str, values: &[(&str, &str)]| {
        let mut section = Section::new(kind, name);
        values.iter().for_each(|(key, value)| section.set(key, Some((*value).to_owned())));
        section
    };
    [
        section(
            "sendmail",
            "mail-to-root",
            &[("comment", "Send mails to root@pam's email address"), ("mailto-user", "root@pam")],
        ),
        section(
            "matcher",
            "default-matcher",
            &[
                ("comment", "Route everything but successful prune job notifications to mail-to-root"),
                ("invert-match", "true"),
                ("match-field", "exact:type=prune"),
                ("match-severity", "info"),
                ("mode", "all"),
                ("target", "mail-to-root"),
            ],
        ),
    ]
}

impl Notifications {
    /// Returns where an entry comes from.
    pub fn origin(section: &Section) -> Origin {
        match builtins().iter().find(|builtin| builtin.id() == section.id()) {
            None => Origin::UserCreated,
            Some(builtin) if builtin == section => Origin::Builtin,
            Some(_) => Origin::ModifiedBuiltin,
        }
    }
}

impl ConfigFile for Notifications {
    type Entry = Section;
    const FILE: &'static str = "notifications.cfg";
    const LOCK: &'static str = ".notifications.lck";
    const SCHEMA: FileSchema = FileSchema {
        sections: &[
            SectionSchema {
                name: "sendmail",
                id: ENTITY,
                keys: &[
                    Key::list("mailto", PERSON),
                    Key::list("mailto-user", PERSON),
                    Key::optional("from-address", LINE),
                    Key::optional("author", LINE),
                    Key::optional("comment", COMMENT),
                    Key::optional("disable", Value::Bool),
                    Key::optional("filter", LINE),
                    ORIGIN,
                ],
            },
            SectionSchema {
                name: "smtp",
                id: ENTITY,
                keys: &[
                    Key::required("server", FILLED_LINE),
                    Key::required("from-address", FILLED_LINE),
                    Key::optional("port", Value::Int { min: 0, max: 65_535 }),
                    Key::optional("mode", Value::Enum(SMTP_MODES)),
                    Key::optional("username", LINE),
                    Key::list("mailto", PERSON),
                    Key::list("mailto-user", PERSON),
                    Key::optional("author", LINE),
                    Key::optional("comment", COMMENT),
                    Key::optional("disable", Value::Bool),
                    ORIGIN,
                ],
            },
            SectionSchema {
                name: "gotify",
                id: ENTITY,
                keys: &[
                    Key::required("server", FILLED_LINE),
                    Key::optional("comment", COMMENT),
                    Key::optional("disable", Value::Bool),
                    Key::optional("filter", LINE),
                    ORIGIN,
                ],
            },
            SectionSchema {
                name: "webhook",
                id: ENTITY,
                keys: &[
                    Key::required("method", Value::Enum(WEBHOOK_METHODS)),
                    Key::required("url", FILLED_LINE),
                    Key::list("header", NAMED_VALUES),
                    Key::optional("body", LINE),
                    Key::list("secret", NAMED_VALUES),
                    Key::optional("comment", COMMENT),
                    Key::optional("disable", Value::Bool),
                    ORIGIN,
                ],
            },
            SectionSchema {
                name: "matcher",
                id: ENTITY,
                keys: &[
                    Key::list("match-field", FILLED_LINE),
                    Key::list("match-severity", FILLED_LINE),
                    Key::list("match-calendar", DAILY_WINDOW),
                    Key::optional("mode", Value::Enum(MATCHER_MODES)),
                    Key::optional("invert-match", Value::Bool),
                    Key::list("target", ENTITY),
                    Key::optional("comment", COMMENT),
                    Key::optional("disable", Value::Bool),
                    ORIGIN,
                ],
            },
        ],
    };

    fn read(section: &Section) -> Result<Section, FieldError> {
        Ok(section.clone())
    }

    fn header(entry: &Section) -> (&str, String) {
        (entry.section_type(), entry.id().to_owned())
    }

    fn write(entry: &Section, section: &mut Section) {
        *section = entry.clone();
    }

    fn complete(sections: &mut Vec<Section>) {
        for builtin in builtins() {
            if sections.iter().all(|section| section.id() != builtin.id()) {
                sections.push(builtin);
            }
        }
    }
}

/// The file `notifications-priv.cfg`.
#[derive(Debug)]
pub struct NotificationSecrets;

/// The secrets of one target. The debug text names the target only.
#[derive(Clone, PartialEq, Eq)]
pub struct TargetSecrets {
    /// What stands in the file.
    pub section: Section,
}

impl std::fmt::Debug for TargetSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TargetSecrets({}: {})", self.section.section_type(), self.section.id())
    }
}

impl ConfigFile for NotificationSecrets {
    type Entry = TargetSecrets;
    const FILE: &'static str = "notifications-priv.cfg";
    const LOCK: &'static str = Notifications::LOCK;
    const PROTECTION: Protection = Protection::Private;
    const SCHEMA: FileSchema = FileSchema {
        sections: &[
            SectionSchema { name: "smtp", id: ENTITY, keys: &[Key::optional("password", SECRET)] },
            SectionSchema { name: "gotify", id: ENTITY, keys: &[Key::required("token", SECRET)] },
            SectionSchema { name: "webhook", id: ENTITY, keys: &[Key::list("secret", NAMED_VALUES)] },
        ],
    };

    fn read(section: &Section) -> Result<TargetSecrets, FieldError> {
        Ok(TargetSecrets { section: section.clone() })
    }

    fn header(entry: &TargetSecrets) -> (&str, String) {
        (entry.section.section_type(), entry.section.id().to_owned())
    }

    fn write(entry: &TargetSecrets, section: &mut Section) {
        *section = entry.section.clone();
    }
}

impl Settings {
    /// Changes targets and matchers, and the secrets of targets with them.
    ///
    /// `expected`: digest of `notifications.cfg` that the caller has seen. The secrets are written first: a crash in
    /// between leaves secrets that no target uses, or after a removal a target that can be removed again.
    ///
    /// # Errors
    /// As [`crate::ConfigStore::edit`].
    pub fn edit_notifications<R, E: From<SettingsError>>(
        &self,
        expected: Option<Digest>,
        change: impl FnOnce(&mut Entries<Notifications>, &mut Entries<NotificationSecrets>) -> Result<R, E>,
    ) -> Result<Edited<R>, E> {
        let lock = self.notifications().lock()?;
        self.notifications().edit_locked(&lock, expected, |entries| {
            let edited = self.notification_secrets().edit_locked(&lock, None, |secrets| change(entries, secrets))?;
            Ok(edited.value)
        })
    }
}
