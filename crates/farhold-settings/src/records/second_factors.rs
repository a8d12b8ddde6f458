//! `tfa.json`: the second factors of users. Farhold cannot ask for them: it knows who has any, shows them, and can take
//! them away. Everything else in the file is kept as it is.
//!
//! Source: `docs/spec/config-and-access.md` 3.16, `docs/spec/rest-api.md` 5.6.

use std::collections::BTreeMap;

use farhold_types::{Epoch, Userid};
use serde_json::{Map, Value};

use super::secrets::{json_error, read_object};
use crate::config_dir::Protection;
use crate::error::SettingsError;
use crate::store::Document;

/// Id of a user's recovery keys, which are one factor.
const RECOVERY: &str = "recovery";
/// Members of a user that are no factors.
const TOTP_LOCKED: &str = "totp_locked";
const LOCKED_UNTIL: &str = "tfa_locked_until";

/// The second factors of users.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecondFactors {
    content: BTreeMap<String, Value>,
}

/// A kind of second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactorKind {
    /// Time-based one-time passwords.
    Totp,
    /// The predecessor of WebAuthn.
    U2f,
    /// Security keys.
    Webauthn,
    /// One-time keys on paper.
    Recovery,
    /// One-time passwords of a Yubico device.
    Yubico,
}

impl FactorKind {
    /// Kinds of which a user may have several, in the order in which they are listed.
    const LISTS: [Self; 4] = [Self::Totp, Self::U2f, Self::Webauthn, Self::Yubico];

    /// Returns the wire name, which is the member in the file too.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::U2f => "u2f",
            Self::Webauthn => "webauthn",
            Self::Recovery => RECOVERY,
            Self::Yubico => "yubico",
        }
    }
}

/// A second factor, as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factor {
    /// What it is.
    pub kind: FactorKind,
    /// Names it among the factors of its user; `recovery` for the recovery keys.
    pub id: String,
    /// Free text.
    pub description: Option<String>,
    /// When it was made; the epoch's begin if the file does not say.
    pub created: Epoch,
    /// Whether it counts; `None` is yes.
    pub enable: Option<bool>,
}

/// What a user has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserFactors {
    /// The factors that are understood.
    pub factors: Vec<Factor>,
    /// One-time passwords are not looked at any more.
    pub is_totp_locked: bool,
    /// No factor is looked at before.
    pub locked_until: Option<Epoch>,
}

impl UserFactors {
    fn of(user: &Map<String, Value>) -> Self {
        let factor = |kind: FactorKind, entry: &Value| {
            let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
            Some(Factor {
                kind,
                id: if kind == FactorKind::Recovery { RECOVERY.to_owned() } else { text("id")? },
                description: text("description").filter(|text| !text.is_empty()),
                created: Epoch(entry.get("created").and_then(Value::as_i64).unwrap_or_default()),
                enable: entry.get("enable").and_then(Value::as_bool).filter(|is_enabled| !is_enabled),
            })
        };
        let recovery = user.get(RECOVERY).filter(|entry| entry.is_object());
        let mut factors: Vec<Factor> =
            recovery.and_then(|entry| factor(FactorKind::Recovery, entry)).into_iter().collect();
        for kind in FactorKind::LISTS {
            let entries = user.get(kind.as_str()).and_then(Value::as_array).into_iter().flatten();
            factors.extend(entries.filter_map(|entry| factor(kind, entry)));
        }
        Self {
            factors,
            is_totp_locked: user.get(TOTP_LOCKED).and_then(Value::as_bool).unwrap_or_default(),
            locked_until: user.get(LOCKED_UNTIL).and_then(Value::as_i64).map(Epoch),
        }
    }

    /// Returns whether something keeps the user from using factors.
    pub const fn is_locked(&self) -> bool {
        self.is_totp_locked || self.locked_until.is_some()
    }
}

impl std::fmt::Debug for SecondFactors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecondFactors(***)")
    }
}

impl SecondFactors {
    /// Returns whether a user has a second factor. What is there but not understood counts as one.
    pub fn has_any(&self, userid: &Userid) -> bool {
        let users = match self.content.get("users") {
            None | Some(Value::Null) => return false,
            Some(Value::Object(users)) => users,
            Some(_) => return true,
        };
        match users.get(userid.as_str()) {
            None | Some(Value::Null) => false,
            Some(Value::Object(user)) => has_factor(user),
            Some(_) => true,
        }
    }

    /// Returns what a user has; nothing for one that the file does not name.
    pub fn of(&self, userid: &Userid) -> UserFactors {
        self.user(userid).map(UserFactors::of).unwrap_or_default()
    }

    /// Returns the users who have a factor or are locked, with what they have, by name.
    pub fn users(&self) -> Vec<(Userid, UserFactors)> {
        let users = self.content.get("users").and_then(Value::as_object).into_iter().flatten();
        let known = users.filter_map(|(name, user)| Some((name.parse().ok()?, UserFactors::of(user.as_object()?))));
        known.filter(|(_, user)| !user.factors.is_empty() || user.is_locked()).collect()
    }

    /// Lifts the locks of a user. Returns whether there was one; `None` if the user has no second factor.
    pub fn unlock(&mut self, userid: &Userid) -> Option<bool> {
        let user = self.user_mut(userid).filter(|user| has_factor(user))?;
        let was_locked = UserFactors::of(user).is_locked();
        user.remove(TOTP_LOCKED);
        user.remove(LOCKED_UNTIL);
        Some(was_locked)
    }

    /// Removes one factor of a user, and with the last one what else is noted about the user. Returns whether it was there.
    pub fn remove_factor(&mut self, userid: &Userid, id: &str) -> bool {
        let Some(user) = self.user_mut(userid) else { return false };
        let mut is_found = id == RECOVERY && user.remove(RECOVERY).is_some_and(|keys| !keys.is_null());
        for kind in FactorKind::LISTS {
            if let Some(entries) = user.get_mut(kind.as_str()).and_then(Value::as_array_mut) {
                let count = entries.len();
                entries.retain(|entry| entry.get("id").and_then(Value::as_str) != Some(id));
                is_found |= entries.len() < count;
            }
        }
        let is_last = is_found && !has_factor(user);
        if is_last {
            self.remove(userid);
        }
        is_found
    }

    /// Removes a user; returns whether it was there.
    pub fn remove(&mut self, userid: &Userid) -> bool {
        let users = self.content.get_mut("users").and_then(Value::as_object_mut);
        users.is_some_and(|users| users.remove(userid.as_str()).is_some())
    }

    /// Returns the settings of WebAuthn, which hold no secret.
    pub fn webauthn(&self) -> Option<&Map<String, Value>> {
        self.content.get("webauthn").and_then(Value::as_object)
    }

    fn user(&self, userid: &Userid) -> Option<&Map<String, Value>> {
        self.content.get("users")?.get(userid.as_str())?.as_object()
    }

    fn user_mut(&mut self, userid: &Userid) -> Option<&mut Map<String, Value>> {
        self.content.get_mut("users")?.get_mut(userid.as_str())?.as_object_mut()
    }
}

/// Returns whether there is anything that may be a factor.
fn has_factor(user: &Map<String, Value>) -> bool {
    user.iter()
        .filter(|(kind, _)| !matches!(kind.as_str(), TOTP_LOCKED | LOCKED_UNTIL))
        .any(|(_, entries)| !(entries.is_null() || entries.as_array().is_some_and(Vec::is_empty)))
}

impl Document for SecondFactors {
    const FILE: &'static str = "tfa.json";
    const LOCK: &'static str = "tfa.json.lock";
    const PROTECTION: Protection = Protection::Private;

    fn parse(bytes: Option<&[u8]>) -> Result<Self, SettingsError> {
        Ok(Self { content: read_object(Self::FILE, bytes)? })
    }

    fn to_bytes(&self) -> Result<Vec<u8>, SettingsError> {
        serde_json::to_vec(&self.content).map_err(|e| json_error(Self::FILE, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn userid(text: &str) -> Userid {
        text.parse().unwrap()
    }

    #[test]
    fn a_second_factor_is_anything_that_is_not_empty() {
        let text = br#"{"webauthn":null,"users":{"a@pbs":{"totp":[{"id":"x"}]},"b@pbs":{"totp":[],"totp_locked":true},
            "c@pbs":{"recovery":{"entries":[]}},"d@pbs":{"future":"x"},"e@pbs":{}}}"#;
        let factors = SecondFactors::parse(Some(text)).unwrap();
        let has = |user: &str| factors.has_any(&userid(user));
        assert!(has("a@pbs") && has("c@pbs") && has("d@pbs"));
        assert!(!has("b@pbs") && !has("e@pbs") && !has("f@pbs"));
        assert!(!SecondFactors::default().has_any(&Userid::root()));
        assert_eq!(factors.of(&userid("d@pbs")), UserFactors::default(), "shown is what is understood");
    }

    const FILE: &str = r#"{"future":1,"users":{
        "a@pbs":{"totp":[{"id":"t1","description":"phone","created":7,"entry":"otpauth://secret"},
            {"id":"t2","enable":false}],"recovery":{"secret":"s","entries":["x"],"created":5},
            "totp_locked":true,"tfa_locked_until":99,"new":"kept"},
        "b@pbs":{"yubico":[{"id":"y"}],"totp_locked":true},"c@pbs":{"totp":[]}},
        "webauthn":{"rp":"pbs","origin":"https://pbs.example","id":"pbs.example"}}"#;

    #[test]
    fn factors_are_shown_without_what_is_secret() {
        let factors = SecondFactors::parse(Some(FILE.as_bytes())).unwrap();
        let users = factors.users();
        let names: Vec<&str> = users.iter().map(|(userid, _)| userid.as_str()).collect();
        assert_eq!(names, ["a@pbs", "b@pbs"]);
        let a = &users[0].1;
        let shown: Vec<(&str, &str, i64)> =
            a.factors.iter().map(|factor| (factor.kind.as_str(), factor.id.as_str(), factor.created.0)).collect();
        assert_eq!(shown, [("recovery", "recovery", 5), ("totp", "t1", 7), ("totp", "t2", 0)]);
        assert_eq!((a.factors[1].description.as_deref(), a.factors[2].enable), (Some("phone"), Some(false)));
        assert!(a.is_totp_locked && a.locked_until == Some(Epoch(99)));
        assert!(!format!("{users:?}").contains("secret"));
        assert_eq!(factors.webauthn().unwrap().len(), 3);
    }

    #[test]
    fn locks_are_lifted_and_factors_removed_and_all_else_stays() {
        let mut factors = SecondFactors::parse(Some(FILE.as_bytes())).unwrap();
        let (a, b) = (userid("a@pbs"), userid("b@pbs"));
        assert_eq!(factors.unlock(&a), Some(true));
        assert_eq!(factors.unlock(&a), Some(false));
        assert_eq!((factors.unlock(&userid("c@pbs")), factors.unlock(&userid("x@pbs"))), (None, None));
        assert!(factors.remove_factor(&a, "t1") && !factors.remove_factor(&a, "t1"));
        assert!(factors.remove_factor(&a, "recovery") && factors.remove_factor(&a, "t2"));
        assert!(factors.has_any(&a), "what is not understood stays, and counts");
        assert!(factors.remove_factor(&b, "y") && !factors.has_any(&b));
        assert!(!factors.remove_factor(&b, "y") && !factors.remove_factor(&b, "recovery"));
        let written: Value = serde_json::from_slice(&factors.to_bytes().unwrap()).unwrap();
        let expected = serde_json::json!({
            "future": 1,
            "users": {"a@pbs": {"totp": [], "new": "kept"}, "c@pbs": {"totp": []}},
            "webauthn": {"rp": "pbs", "origin": "https://pbs.example", "id": "pbs.example"},
        });
        assert_eq!(written, expected);
    }
}
