//! `user.cfg`: users and API tokens. Source: `docs/spec/config-and-access.md` 3.8.

use farhold_format::config_schema::FileSchema;
use farhold_format::section_config::Section;
use farhold_types::{Authid, Epoch, Userid};

use crate::entries::{ConfigFile, Entries, Fields, put, put_comment};
use crate::error::{FieldError, SettingsError};
use crate::schemas;

/// What switches a user or a token off.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validity {
    /// Switched on, default true.
    pub enable: Option<bool>,
    /// End in Unix seconds; 0 or absent is never.
    pub expire: Option<i64>,
}

impl Validity {
    /// Returns whether it is switched on and not expired at `now`.
    pub fn is_active(&self, now: Epoch) -> bool {
        let expire = self.expire.unwrap_or(0);
        self.enable.unwrap_or(true) && (expire == 0 || now.0 < expire)
    }

    /// Sets `enable` as an update does: only a switch off is stored.
    pub fn update_enable(&mut self, enable: bool) {
        self.enable = (!enable).then_some(false);
    }

    /// Sets `expire` as an update does: 0 removes it.
    pub fn update_expire(&mut self, expire: i64) {
        self.expire = Some(expire).filter(|expire| *expire != 0);
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserConfig {
    /// User id.
    pub userid: Userid,
    /// Free text.
    pub comment: Option<String>,
    /// Switch and end.
    pub validity: Validity,
    /// First name.
    pub firstname: Option<String>,
    /// Last name.
    pub lastname: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
}

impl UserConfig {
    /// Returns an active user without further data.
    pub const fn new(userid: Userid) -> Self {
        Self {
            userid,
            comment: None,
            validity: Validity { enable: None, expire: None },
            firstname: None,
            lastname: None,
            email: None,
        }
    }
}

/// An API token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenConfig {
    /// Token id; always one with a token name.
    pub tokenid: Authid,
    /// Free text.
    pub comment: Option<String>,
    /// Switch and end.
    pub validity: Validity,
}

/// One section of `user.cfg`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserEntry {
    /// A user.
    User(UserConfig),
    /// An API token.
    Token(TokenConfig),
}

/// The file `user.cfg`.
#[derive(Debug)]
pub struct Users;

impl ConfigFile for Users {
    type Entry = UserEntry;
    const FILE: &'static str = "user.cfg";
    const LOCK: &'static str = ".user.lck";
    const SCHEMA: FileSchema = schemas::USER;

    fn read(section: &Section) -> Result<UserEntry, FieldError> {
        let fields = Fields::new(Self::FILE, section);
        let comment = fields.text("comment");
        let validity = Validity { enable: fields.flag("enable"), expire: fields.optional("expire")? };
        if section.section_type() == "token" {
            return Ok(UserEntry::Token(TokenConfig { tokenid: fields.id()?, comment, validity }));
        }
        Ok(UserEntry::User(UserConfig {
            userid: fields.id()?,
            comment,
            validity,
            firstname: fields.text("firstname"),
            lastname: fields.text("lastname"),
            email: fields.text("email"),
        }))
    }

    fn header(entry: &UserEntry) -> (&'static str, String) {
        match entry {
            UserEntry::User(user) => ("user", user.userid.to_string()),
            UserEntry::Token(token) => ("token", token.tokenid.to_string()),
        }
    }

    fn write(entry: &UserEntry, section: &mut Section) {
        let (comment, validity) = match entry {
            UserEntry::User(user) => {
                section.set("firstname", user.firstname.clone());
                section.set("lastname", user.lastname.clone());
                section.set("email", user.email.clone());
                (&user.comment, &user.validity)
            }
            UserEntry::Token(token) => (&token.comment, &token.validity),
        };
        put_comment(section, comment.as_deref());
        put(section, "enable", validity.enable.as_ref());
        put(section, "expire", validity.expire.as_ref());
    }

    /// The superuser is always there.
    fn complete(sections: &mut Vec<Section>) {
        let root = Userid::root();
        if sections.iter().all(|section| section.id() != root.as_str()) {
            let mut section = Section::new("user", root.as_str());
            section.set("comment", Some("Superuser".to_owned()));
            sections.push(section);
        }
    }
}

impl Entries<Users> {
    /// Returns a user, or `None` if there is none with this id or its section is wrong.
    pub fn user(&self, userid: &Userid) -> Option<&UserConfig> {
        match self.get(userid.as_str()) {
            Ok(Some(UserEntry::User(user))) => Some(user),
            _ => None,
        }
    }

    /// Returns a token, or `None` if there is none with this id or its section is wrong.
    pub fn token(&self, tokenid: &Authid) -> Option<&TokenConfig> {
        match self.get(&tokenid.to_string()) {
            Ok(Some(UserEntry::Token(token))) => Some(token),
            _ => None,
        }
    }

    /// Returns all users, in file order.
    ///
    /// # Errors
    /// A section that makes no record.
    pub fn all_users(&self) -> Result<Vec<&UserConfig>, SettingsError> {
        Ok(self
            .all()?
            .into_iter()
            .filter_map(|e| if let UserEntry::User(user) = e { Some(user) } else { None })
            .collect())
    }

    /// Returns the tokens of a user, in file order.
    pub fn tokens_of(&self, userid: &Userid) -> Vec<&TokenConfig> {
        self.usable()
            .filter_map(|e| if let UserEntry::Token(token) = e { Some(token) } else { None })
            .filter(|token| token.tokenid.user() == userid)
            .collect()
    }

    /// Returns whether `authid` exists and is active at `now`; a token needs an active user too.
    pub fn is_active(&self, authid: &Authid, now: Epoch) -> bool {
        let user_is_active = self.user(authid.user()).is_some_and(|user| user.validity.is_active(now));
        let token_is_active =
            !authid.is_token() || self.token(authid).is_some_and(|token| token.validity.is_active(now));
        user_is_active && token_is_active
    }
}
