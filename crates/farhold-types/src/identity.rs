//! Users, realms and API tokens by name.

use std::fmt;
use std::str::FromStr;

use crate::name::{NameError, check_safe_id, is_safe_id, safe_id_type, text_value};

safe_id_type!(
    /// Name of an authentication realm, 2 to 32 characters.
    Realm, 2, 32
);
safe_id_type!(
    /// Name of an API token within its user.
    TokenName, 1, 64
);

/// Largest length of a user id or auth id, in characters. Source: `docs/spec/config-and-access.md` 5.1.
const MAX_AUTHID_LENGTH: usize = 64;

/// A user: `name@realm`, 3 to 64 characters. The name may contain `@` and `!`; the last `@` separates.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Userid {
    text: String,
    at: usize,
}

impl Userid {
    /// Returns `root@pam`, who may do everything.
    pub fn root() -> Self {
        Self { text: "root@pam".to_owned(), at: 4 }
    }

    /// Returns the part before the realm.
    pub fn name(&self) -> &str {
        &self.text[..self.at]
    }

    /// Returns the realm.
    pub fn realm(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// Returns the whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether this is `root@pam`.
    pub fn is_root(&self) -> bool {
        self.text == "root@pam"
    }
}

impl FromStr for Userid {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        const FORM: NameError = NameError::Form("user id must have the form <name>@<realm>");
        let length = text.chars().count();
        if length < 3 {
            return Err(NameError::TooShort { min: 3 });
        }
        if MAX_AUTHID_LENGTH < length {
            return Err(NameError::TooLong { max: MAX_AUTHID_LENGTH });
        }
        let (name, realm) = text.rsplit_once('@').ok_or(FORM)?;
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == ':' || c == '/';
        if name.is_empty() || name.chars().any(forbidden) {
            return Err(FORM);
        }
        check_safe_id(realm, 2, 32)?;
        Ok(Self { text: text.to_owned(), at: name.len() })
    }
}

impl fmt::Display for Userid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

text_value!(Userid);

/// A user or one of its API tokens: `name@realm` or `name@realm!token`, at most 64 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Authid {
    user: Userid,
    token: Option<TokenName>,
}

impl Authid {
    /// Returns `root@pam`.
    pub fn root() -> Self {
        Self { user: Userid::root(), token: None }
    }

    /// Returns the token `token` of `user`.
    pub const fn token(user: Userid, token: TokenName) -> Self {
        Self { user, token: Some(token) }
    }

    /// Returns the user, or the user that the token belongs to.
    pub const fn user(&self) -> &Userid {
        &self.user
    }

    /// Returns the token's name, or `None` for a user.
    pub const fn token_name(&self) -> Option<&TokenName> {
        self.token.as_ref()
    }

    /// Returns whether this is an API token.
    pub const fn is_token(&self) -> bool {
        self.token.is_some()
    }

    /// Returns whether this is the user `root@pam`; a token of it is not.
    pub fn is_root(&self) -> bool {
        !self.is_token() && self.user.is_root()
    }

    /// Returns whether `self` owns what belongs to `owner`: they are equal, or `owner` is a token of the user `self`.
    ///
    /// Never the other way round: a token does not own its user's groups.
    ///
    /// Source: `docs/spec/config-and-access.md` 5.7.
    pub fn owns(&self, owner: &Self) -> bool {
        self == owner || (!self.is_token() && owner.user == self.user)
    }
}

impl From<Userid> for Authid {
    fn from(user: Userid) -> Self {
        Self { user, token: None }
    }
}

impl FromStr for Authid {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let at = text.rfind('@').ok_or(NameError::Form("auth id must have the form <name>@<realm>[!<token>]"))?;
        // A `!` counts only behind the last `@`.
        match text.rfind('!').filter(|bang| at < *bang) {
            None => Ok(Self { user: text.parse()?, token: None }),
            Some(bang) => {
                if MAX_AUTHID_LENGTH < text.chars().count() {
                    return Err(NameError::TooLong { max: MAX_AUTHID_LENGTH });
                }
                if !is_safe_id(&text[bang + 1..]) {
                    return Err(NameError::Pattern);
                }
                Ok(Self { user: text[..bang].parse()?, token: Some(text[bang + 1..].parse()?) })
            }
        }
    }
}

impl fmt::Display for Authid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.token {
            None => write!(f, "{}", self.user),
            Some(token) => write!(f, "{}!{token}", self.user),
        }
    }
}

text_value!(Authid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_at_separates_and_a_bang_counts_only_behind_it() {
        let authid: Authid = "a@b!c@pbs!t1".parse().unwrap();
        assert_eq!((authid.user().name(), authid.user().realm()), ("a@b!c", "pbs"));
        assert_eq!(authid.token_name().unwrap().as_str(), "t1");
        assert!("root@pam".parse::<Authid>().unwrap().is_root());
        assert!(!"root@pam!t1".parse::<Authid>().unwrap().is_root());
        for bad in ["root", "@pam", "a b@pbs", "a:b@pbs", "a@p", "a@pbs!", "a@pbs!x/y"] {
            assert!(bad.parse::<Authid>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_user_owns_what_its_tokens_own_but_not_the_reverse() {
        let user: Authid = "sync@pbs".parse().unwrap();
        let token: Authid = "sync@pbs!t1".parse().unwrap();
        let sibling: Authid = "sync@pbs!t2".parse().unwrap();
        assert!(user.owns(&user) && user.owns(&token) && token.owns(&token));
        assert!(!token.owns(&user) && !token.owns(&sibling));
    }
}
