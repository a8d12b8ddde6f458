//! `/access`: logins, passwords, users, API tokens, permissions. Source: `docs/spec/rest-api.md` 5.
//!
//! Second factors can be shown and taken away, but not asked for; logins by LDAP and OpenID and terminal tickets are
//! refused with a clear text.

mod acl;
mod check;
mod not_offered;
mod realm_config;
mod realms;
mod second_factors;
#[cfg(test)]
mod tests;
mod ticket;
mod tokens;
mod users;

use farhold_access::AccountEdit;
use farhold_jobs::App;
use farhold_settings::Validity;
use farhold_types::Privileges;
use serde_json::{Map, Value};

use crate::declare::{Access, Endpoint, Need};
use crate::schema::{DefaultValue, Field, Param, ParamKind, Params, Shape, named, shapes};

const USERS_AUDIT: Need = Need::all(Privileges::SYS_AUDIT, "/access/users");
const USERS_MODIFY: Need = Need::all(Privileges::PERMISSIONS_MODIFY, "/access/users");
/// Reading a user, its tokens or its second factors.
const SELF_OR_AUDIT: Access = Access::SelfOr(USERS_AUDIT);
/// Changing them.
const SELF_OR_MODIFY: Access = Access::SelfOr(USERS_MODIFY);

const ENABLE: Param = named::flag("enable", "Whether it may log in or be used").or_default(DefaultValue::Boolean(true));
const EXPIRE: Param = Param::optional(
    "expire",
    ParamKind::Integer { min: Some(0), max: None },
    "When it expires, in seconds since 1970-01-01 UTC; 0 is never",
)
.or_default(DefaultValue::Integer(0));

/// The members that users and tokens share.
const ACCOUNT: &[Field] = &[
    Field::optional("comment", shapes::TEXT, "Comment"),
    Field::optional("enable", Shape::Boolean, "Whether it may be used; true if absent"),
    Field::optional("expire", shapes::EPOCH, "When it expires; never if 0 or absent"),
];

pub fn endpoints() -> Vec<Endpoint<App>> {
    let mut all = acl::endpoints();
    all.extend(check::endpoints());
    all.extend(not_offered::endpoints());
    all.extend(realm_config::endpoints());
    all.extend(realms::endpoints());
    all.extend(second_factors::endpoints());
    all.extend(ticket::endpoints());
    all.extend(tokens::endpoints());
    all.extend(users::endpoints());
    all
}

/// Returns what a new user or token was given; what was not given is not stored.
fn validity(params: &Params) -> Validity {
    Validity { enable: params.boolean("enable"), expire: params.integer("expire") }
}

fn owned(params: &Params, name: &str) -> Option<String> {
    params.text(name).map(str::to_owned)
}

/// Returns the fields of an update call.
fn edit(params: &Params) -> AccountEdit {
    AccountEdit {
        delete: params.texts("delete").unwrap_or_default().into_iter().map(str::to_owned).collect(),
        comment: owned(params, "comment"),
        enable: params.boolean("enable"),
        expire: params.integer("expire"),
        firstname: owned(params, "firstname"),
        lastname: owned(params, "lastname"),
        email: owned(params, "email"),
    }
}

/// Returns the members that users and tokens share; what is not stored is left out.
fn common_members(comment: Option<&String>, validity: &Validity) -> Map<String, Value> {
    let members = [
        ("comment", comment.map(|text| Value::from(text.trim()))),
        ("enable", validity.enable.map(Value::from)),
        ("expire", validity.expire.map(Value::from)),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}
