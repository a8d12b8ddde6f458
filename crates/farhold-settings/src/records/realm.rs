//! `domains.cfg`: authentication realms. Only what every realm has is typed; the rest is kept.
//!
//! Source: `docs/spec/config-and-access.md` 3.12.

use farhold_format::config_schema::FileSchema;
use farhold_format::section_config::Section;
use farhold_types::Realm;

use crate::entries::{ConfigFile, Fields, put, put_comment};
use crate::error::FieldError;
use crate::schemas;

/// How a realm checks passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RealmKind {
    /// Accounts of the operating system.
    Pam,
    /// The server's own passwords.
    Pbs,
    /// An LDAP directory.
    Ldap,
    /// An Active Directory.
    Ad,
    /// An OpenID Connect provider.
    Openid,
}

impl RealmKind {
    const ALL: [Self; 5] = [Self::Pam, Self::Pbs, Self::Ldap, Self::Ad, Self::Openid];

    /// Returns the section type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pam => "pam",
            Self::Pbs => "pbs",
            Self::Ldap => "ldap",
            Self::Ad => "ad",
            Self::Openid => "openid",
        }
    }
}

/// A realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealmConfig {
    /// Name.
    pub realm: Realm,
    /// How it checks passwords.
    pub kind: RealmKind,
    /// Free text.
    pub comment: Option<String>,
    /// Offered first on login.
    pub default: Option<bool>,
}

/// The file `domains.cfg`.
#[derive(Debug)]
pub struct Realms;

impl ConfigFile for Realms {
    type Entry = RealmConfig;
    const FILE: &'static str = "domains.cfg";
    const LOCK: &'static str = ".domains.lck";
    const SCHEMA: FileSchema = schemas::DOMAINS;

    fn read(section: &Section) -> Result<RealmConfig, FieldError> {
        let fields = Fields::new(Self::FILE, section);
        let kind = RealmKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == section.section_type())
            .ok_or_else(|| fields.error("type", "unknown realm type"))?;
        Ok(RealmConfig { realm: fields.id()?, kind, comment: fields.text("comment"), default: fields.flag("default") })
    }

    fn header(entry: &RealmConfig) -> (&'static str, String) {
        (entry.kind.as_str(), entry.realm.to_string())
    }

    fn write(entry: &RealmConfig, section: &mut Section) {
        if matches!(entry.kind, RealmKind::Pam | RealmKind::Pbs) && section.get("type").is_none() {
            section.set("type", Some(entry.kind.as_str().to_owned()));
        }
        put_comment(section, entry.comment.as_deref());
        put(section, "default", entry.default.as_ref());
    }

    /// The two built-in realms are always there; without any realm, `pam` is the default.
    fn complete(sections: &mut Vec<Section>) {
        let is_fresh = sections.is_empty();
        for (name, comment) in
            [("pam", "Linux PAM accounts of this host"), ("pbs", "Accounts with a password kept here")]
        {
            if sections.iter().any(|section| section.id() == name) {
                continue;
            }
            let mut section = Section::new(name, name);
            section.set("type", Some(name.to_owned()));
            section.set("comment", Some(comment.to_owned()));
            section.set("default", (is_fresh && name == "pam").then(|| "true".to_owned()));
            sections.push(section);
        }
    }
}
