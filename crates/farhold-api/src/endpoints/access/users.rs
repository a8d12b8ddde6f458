//! `/access/users` and `/access/users/{userid}`.

use std::sync::Arc;

use farhold_access::ListedUser;
use farhold_jobs::App;
use farhold_settings::UserConfig;
use farhold_types::{Digest, Secret, Userid};
use serde_json::{Map, Value, json};

use super::super::blocking;
use super::{
    ACCOUNT, ENABLE, EXPIRE, SELF_OR_AUDIT, SELF_OR_MODIFY, USERS_MODIFY, common_members, edit, owned, second_factors,
    tokens, validity,
};
use crate::declare::{Access, CONFIG_DIGEST, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Param, ParamKind, Shape, named, shapes};

const DELETABLE: ParamKind =
    ParamKind::Enumeration { values: &["comment", "firstname", "lastname", "email"], strict: true };
const SETTINGS: [Param; 6] = [
    named::COMMENT,
    ENABLE,
    EXPIRE,
    named::PERSON_NAME.described("First name"),
    named::PERSON_NAME.named("lastname").described("Last name"),
    named::PERSON_NAME.named("email").described("E-mail address"),
];
/// The one parameter with an underscore.
const INCLUDE_TOKENS: Param = named::flag("include_tokens", "List the API tokens of each user too");

const USER: &[Field] = &[
    Field::required("userid", shapes::USERID, "The user"),
    Field::optional("firstname", shapes::TEXT, "First name"),
    Field::optional("lastname", shapes::TEXT, "Last name"),
    Field::optional("email", Shape::Text("e-mail address"), "E-mail address"),
];
const LISTED: &[Field] =
    &[Field::optional("tokens", Shape::List(&tokens::TOKEN), "API tokens of the user, if asked for and there are any")];

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/access/users", "List users", list)
            .params(&[INCLUDE_TOKENS])
            .access(Access::InHandler("Users with Sys.Audit on /access/users see all, others themselves"))
            .returns(Shape::List(&Shape::Joined(&[USER, ACCOUNT, LISTED, second_factors::LOCKS])))
            .attributes(CONFIG_DIGEST),
        Endpoint::post("/access/users", "Create a user", create)
            .params(&[named::USERID])
            .params(&SETTINGS)
            .params(&[named::USER_PASSWORD])
            .access(Access::Declared(USERS_MODIFY))
            .returns(Shape::Null)
            .fails_with(&[501]),
        Endpoint::get("/access/users/{userid}", "Show a user", read)
            .params(&[named::USERID])
            .access(SELF_OR_AUDIT)
            .returns(Shape::Joined(&[USER, ACCOUNT]))
            .attributes(CONFIG_DIGEST),
        Endpoint::put("/access/users/{userid}", "Change a user", update)
            .params(&[named::USERID])
            .params(&SETTINGS)
            .params(&[named::PASSWORD.described("Ignored; passwords are changed by /access/password")])
            .params(&[named::delete(&DELETABLE), named::DIGEST])
            .access(SELF_OR_MODIFY)
            .returns(Shape::Null),
        Endpoint::delete("/access/users/{userid}", "Remove a user and its API tokens", remove)
            .params(&[named::USERID, named::DIGEST])
            .access(SELF_OR_MODIFY)
            .returns(Shape::Null),
    ]
}

fn item(user: &UserConfig) -> Map<String, Value> {
    let mut item = common_members(user.comment.as_ref(), &user.validity);
    item.insert("userid".to_owned(), json!(user.userid));
    let names = [("firstname", &user.firstname), ("lastname", &user.lastname), ("email", &user.email)];
    item.extend(names.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value.clone()?)))));
    item
}

fn listed(user: &ListedUser, with_tokens: bool) -> Value {
    let mut item = item(&user.user);
    if with_tokens && !user.tokens.is_empty() {
        let tokens: Vec<Value> = user.tokens.iter().map(|token| Value::Object(tokens::item(token))).collect();
        item.insert("tokens".to_owned(), tokens.into());
    }
    item.extend(second_factors::lock_members(&user.factors));
    Value::Object(item)
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let caller = request.caller()?.clone();
    let with_tokens = request.params.boolean_or_default("include_tokens");
    blocking(move || {
        let (users, digest) = app.access.visible_users(&caller)?;
        let items: Vec<Value> = users.iter().map(|user| listed(user, with_tokens)).collect();
        Ok::<_, ApiError>(Reply::value(items).with_digest(&digest))
    })
    .await
}

async fn read(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let userid: Userid = request.params.require("userid")?;
    blocking(move || {
        let loaded = app.settings.users().load()?;
        let unknown = || ApiError::bad_request(format!("no such user '{userid}'"));
        let user = loaded.entries.user(&userid).ok_or_else(unknown)?;
        Ok::<_, ApiError>(Reply::value(item(user)).with_digest(&loaded.digest))
    })
    .await
}

async fn create(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (caller, params) = (request.caller()?.clone(), request.params);
    let user = UserConfig {
        comment: owned(&params, "comment"),
        validity: validity(&params),
        firstname: owned(&params, "firstname"),
        lastname: owned(&params, "lastname"),
        email: owned(&params, "email"),
        ..UserConfig::new(params.require("userid")?)
    };
    let password = params.text("password").map(Secret::new);
    blocking(move || app.access.create_user(&caller, user, password.as_ref())).await?;
    Ok(Reply::null())
}

async fn update(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let params = request.params;
    let (userid, digest): (Userid, Option<Digest>) = (params.require("userid")?, params.parse("digest")?);
    blocking(move || app.access.update_user(&userid, edit(&params), digest)).await?;
    Ok(Reply::null())
}

async fn remove(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (userid, digest): (Userid, _) = (request.params.require("userid")?, request.params.parse("digest")?);
    blocking(move || app.settings.remove_user(&userid, digest)).await?;
    Ok(Reply::null())
}
