//! `/access/tfa`: second factors of users. They can be shown, unlocked and taken away; this server cannot ask for them, so
//! it adds and changes none and refuses logins of users who have one.
//!
//! Source: `docs/spec/rest-api.md` 5.6.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_rules::acl::AclPath;
use farhold_settings::{Factor, UserFactors};
use farhold_types::{Authid, Privileges, Secret, Userid};
use serde_json::{Map, Value, json};

use super::super::blocking;
use super::ticket::confirmed;
use super::{SELF_OR_MODIFY, USERS_MODIFY};
use crate::declare::{Access, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Param, ParamKind, Shape, named, shapes};

const KINDS: &[&str] = &["totp", "u2f", "webauthn", "recovery", "yubico"];
const FACTOR: &[Field] = &[
    Field::required("type", Shape::Word(KINDS), "Kind of the factor"),
    Field::required("id", Shape::Text("ID"), "Names it among the factors of the user"),
    Field::optional("description", shapes::TEXT, "What it is"),
    Field::required("created", shapes::EPOCH, "When it was added"),
    Field::optional("enable", Shape::Boolean, "Whether it counts; true if absent"),
];
const FACTORS: Shape = Shape::List(&Shape::Object(FACTOR));
/// What keeps a user from using second factors.
pub(super) const LOCKS: &[Field] = &[
    Field::optional("totp-locked", Shape::Boolean, "Whether one-time passwords are locked"),
    Field::optional("tfa-locked-until", shapes::EPOCH, "Until when all second factors are locked"),
];
const USER: &[Field] = &[
    Field::required("userid", shapes::USERID, "The user"),
    Field::required("entries", FACTORS, "Second factors of the user"),
];
const ADDED: Shape = Shape::Object(&[
    Field::required("id", Shape::Text("ID"), "Names it among the factors of the user"),
    Field::optional("recovery", Shape::List(&shapes::TEXT), "Recovery keys, shown once"),
]);

const ID: Param = Param::required("id", named::ANY_TEXT, "Names the factor among those of the user");
const TYPE: Param =
    Param::required("type", ParamKind::Enumeration { values: KINDS, strict: true }, "Kind of the factor");
const DESCRIPTION: Param = Param::optional("description", named::ANY_TEXT, "What it is");
const OWN_PASSWORD: Param = Param::optional(
    "password",
    ParamKind::Text { min_length: 1, max_length: Some(1024), check: None, hint: "<string>" },
    "Password of the caller; not needed by root@pam",
);

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/access/tfa", "List users with a second factor", list)
            .access(Access::InHandler("Users with Sys.Audit on /access/users see all, others themselves"))
            .returns(Shape::List(&Shape::Joined(&[USER, LOCKS]))),
        Endpoint::get("/access/tfa/{userid}", "List the second factors of a user", read)
            .params(&[named::USERID])
            .access(SELF_OR_MODIFY)
            .returns(FACTORS),
        Endpoint::post("/access/tfa/{userid}", "Add a second factor; refused by this server", add)
            .params(&[named::USERID, TYPE, DESCRIPTION, OWN_PASSWORD])
            .params(&[
                Param::optional("totp", named::ANY_TEXT, "URI of one-time passwords"),
                Param::optional("value", named::ANY_TEXT, "A code, or the answer to a challenge"),
                Param::optional("challenge", named::ANY_TEXT, "The challenge that is answered"),
            ])
            .access(SELF_OR_MODIFY)
            .returns(ADDED),
        Endpoint::get("/access/tfa/{userid}/{id}", "Show a second factor", read_one)
            .params(&[named::USERID, ID])
            .access(SELF_OR_MODIFY)
            .returns(Shape::Object(FACTOR)),
        Endpoint::put("/access/tfa/{userid}/{id}", "Change a second factor; refused by this server", change)
            .params(&[named::USERID, ID, DESCRIPTION, named::flag("enable", "Whether it counts"), OWN_PASSWORD])
            .access(SELF_OR_MODIFY)
            .returns(Shape::Null),
        Endpoint::delete("/access/tfa/{userid}/{id}", "Remove a second factor", remove)
            .params(&[named::USERID, ID, OWN_PASSWORD])
            .access(SELF_OR_MODIFY)
            .returns(Shape::Null),
        Endpoint::put("/access/users/{userid}/unlock-tfa", "Unlock the second factors of a user", unlock)
            .params(&[named::USERID])
            .access(Access::Declared(USERS_MODIFY))
            .returns(Shape::Boolean),
    ]
}

fn item(factor: &Factor) -> Value {
    let mut item = Map::new();
    item.insert("type".to_owned(), factor.kind.as_str().into());
    item.insert("id".to_owned(), factor.id.as_str().into());
    item.insert("created".to_owned(), factor.created.0.into());
    let optional =
        [("description", factor.description.clone().map(Value::from)), ("enable", factor.enable.map(Value::from))];
    item.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Value::Object(item)
}

fn items(user: &UserFactors) -> Vec<Value> {
    user.factors.iter().map(item).collect()
}

/// Returns the members that tell of locks; none if there are none.
pub(super) fn lock_members(user: &UserFactors) -> Map<String, Value> {
    let members = [
        ("totp-locked", user.is_totp_locked.then_some(Value::Bool(true))),
        ("tfa-locked-until", user.locked_until.map(|until| until.0.into())),
    ];
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    blocking(move || {
        let path = AclPath::access(&["users"]);
        let sees_all = app.access.snapshot()?.require_all(&caller, &path, Privileges::SYS_AUDIT).is_ok();
        let users = app.settings.second_factors().load()?.entries.users();
        let is_visible = |userid: &Userid| sees_all || caller == Authid::from(userid.clone());
        let visible = users.iter().filter(|(userid, _)| is_visible(userid));
        let listed = visible.map(|(userid, user)| {
            let mut listed = lock_members(user);
            listed.insert("userid".to_owned(), json!(userid));
            listed.insert("entries".to_owned(), items(user).into());
            Value::Object(listed)
        });
        Ok::<_, ApiError>(Reply::value(listed.collect::<Vec<_>>()))
    })
    .await
}

async fn factors_of(app: Arc<App>, userid: Userid) -> Result<UserFactors, ApiError> {
    blocking(move || app.settings.second_factors().load().map(|loaded| loaded.entries.of(&userid))).await
}

async fn read(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let user = factors_of(app, request.params.require("userid")?).await?;
    Ok(Reply::value(items(&user)))
}

async fn read_one(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (userid, id) = place(&request)?;
    let user = factors_of(app, userid.clone()).await?;
    let factor = user.factors.iter().find(|factor| factor.id == id).ok_or_else(|| missing(&userid, &id))?;
    Ok(Reply::value(item(factor)))
}

fn place(request: &Request<App>) -> Result<(Userid, String), ApiError> {
    Ok((request.params.require("userid")?, request.params.text("id").unwrap_or_default().to_owned()))
}

fn missing(userid: &Userid, id: &str) -> ApiError {
    ApiError::not_found(format!("no such tfa entry: {userid}/{}", id.escape_debug()))
}

/// Returns what checks that the caller knows its own password.
fn confirm(app: &App, request: &Request<App>) -> Result<impl Future<Output = Result<(), ApiError>> + use<>, ApiError> {
    let password = request.params.text("password").map(Secret::new);
    Ok(confirmed(app.access.clone(), request.caller()?.clone(), password, request.connection.peer))
}

async fn add(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    confirm(&app, &request)?.await?;
    Err(ApiError::bad_request("this server cannot ask for second factors, so it adds none; use API tokens"))
}

async fn change(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    confirm(&app, &request)?.await?;
    let (userid, id) = place(&request)?;
    let user = factors_of(app, userid.clone()).await?;
    if user.factors.iter().all(|factor| factor.id != id) {
        return Err(missing(&userid, &id));
    }
    Err(ApiError::bad_request("this server does not change second factors; they can only be removed"))
}

async fn remove(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    confirm(&app, &request)?.await?;
    let (userid, id) = place(&request)?;
    blocking(move || {
        app.settings.second_factors().edit::<_, ApiError>(None, |factors| {
            if factors.remove_factor(&userid, &id) { Ok(()) } else { Err(missing(&userid, &id)) }
        })
    })
    .await?;
    Ok(Reply::null())
}

async fn unlock(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let userid: Userid = request.params.require("userid")?;
    let edited = blocking(move || {
        app.settings.second_factors().edit::<_, ApiError>(None, |factors| {
            let none = || ApiError::bad_request(format!("user '{userid}' has no second factor on this server"));
            factors.unlock(&userid).ok_or_else(none)
        })
    });
    Ok(Reply::value(edited.await?.value))
}
