//! `/access/users/{userid}/token`: API tokens.

use std::sync::Arc;

use farhold_access::TokenSecret;
use farhold_jobs::App;
use farhold_settings::TokenConfig;
use farhold_types::{Authid, Digest, Userid};
use serde_json::{Map, Value, json};

use super::super::blocking;
use super::{ACCOUNT, ENABLE, EXPIRE, SELF_OR_AUDIT, SELF_OR_MODIFY, common_members, edit, owned, validity};
use crate::declare::{CONFIG_DIGEST, Endpoint, Reply, Request};
use crate::error::ApiError;
use crate::schema::{Field, Param, ParamKind, Params, Shape, named};

const PATH: &str = "/access/users/{userid}/token/{token-name}";
const ID: [Param; 2] = [named::USERID, named::TOKEN_NAME];
const DELETABLE: ParamKind = ParamKind::Enumeration { values: &["comment"], strict: true };
const SETTINGS: [Param; 3] = [named::COMMENT, ENABLE, EXPIRE];
const REGENERATE: Param = named::flag("regenerate", "Replace the secret; the old one is void at once");

const TOKENID: &[Field] = &[Field::required("tokenid", Shape::Text("API token ID"), "The token")];
const TOKEN_NAME: &[Field] = &[Field::required("token-name", Shape::Text("token name"), "Its name, without the user")];
/// A token as a user's list shows it.
pub(super) const TOKEN: Shape = Shape::Joined(&[TOKENID, ACCOUNT]);
const CREATED: Shape = Shape::Object(&[
    Field::required("tokenid", Shape::Text("API token ID"), "The token"),
    Field::required("value", Shape::Text("UUID"), "Its secret, which is told only now"),
]);
const REGENERATED: Shape = Shape::Nullable(&Shape::Object(&[Field::required(
    "secret",
    Shape::Text("UUID"),
    "The new secret, which is told only now",
)]));

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get("/access/users/{userid}/token", "List the API tokens of a user", list)
            .params(&[named::USERID])
            .access(SELF_OR_AUDIT)
            .returns(Shape::List(&Shape::Joined(&[TOKENID, TOKEN_NAME, ACCOUNT])))
            .attributes(CONFIG_DIGEST),
        Endpoint::get(PATH, "Show an API token", read)
            .params(&ID)
            .access(SELF_OR_AUDIT)
            .returns(TOKEN)
            .attributes(CONFIG_DIGEST),
        Endpoint::post(PATH, "Create an API token and return its secret once", create)
            .params(&ID)
            .params(&SETTINGS)
            .params(&[named::DIGEST])
            .access(SELF_OR_MODIFY)
            .returns(CREATED),
        Endpoint::put(PATH, "Change an API token", update)
            .params(&ID)
            .params(&SETTINGS)
            .params(&[REGENERATE, named::delete(&DELETABLE), named::DIGEST])
            .access(SELF_OR_MODIFY)
            .returns(REGENERATED),
        Endpoint::delete(PATH, "Remove an API token", remove)
            .params(&ID)
            .params(&[named::DIGEST])
            .access(SELF_OR_MODIFY)
            .returns(Shape::Null),
    ]
}

pub(super) fn item(token: &TokenConfig) -> Map<String, Value> {
    let mut item = common_members(token.comment.as_ref(), &token.validity);
    item.insert("tokenid".to_owned(), json!(token.tokenid));
    item
}

/// Returns the token that the path names.
///
/// # Errors
/// 400: the whole id is too long.
fn tokenid(params: &Params) -> Result<Authid, ApiError> {
    let (userid, name): (Userid, String) = (params.require("userid")?, params.require("token-name")?);
    format!("{userid}!{name}").parse().map_err(|error| ApiError::bad_request(format!("invalid token id: {error}")))
}

fn unknown(tokenid: &Authid) -> ApiError {
    ApiError::bad_request(format!("no such token '{tokenid}'"))
}

async fn list(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let userid: Userid = request.params.require("userid")?;
    blocking(move || {
        let loaded = app.settings.users().load()?;
        let listed = |token: &TokenConfig| {
            let mut item = item(token);
            item.insert("token-name".to_owned(), json!(token.tokenid.token_name()));
            Value::Object(item)
        };
        let items: Vec<Value> = loaded.entries.tokens_of(&userid).into_iter().map(listed).collect();
        Ok::<_, ApiError>(Reply::value(items).with_digest(&loaded.digest))
    })
    .await
}

async fn read(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let tokenid = tokenid(&request.params)?;
    blocking(move || {
        let loaded = app.settings.users().load()?;
        let token = loaded.entries.token(&tokenid).ok_or_else(|| unknown(&tokenid))?;
        Ok::<_, ApiError>(Reply::value(item(token)).with_digest(&loaded.digest))
    })
    .await
}

async fn create(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let params = request.params;
    let token =
        TokenConfig { tokenid: tokenid(&params)?, comment: owned(&params, "comment"), validity: validity(&params) };
    let digest: Option<Digest> = params.parse("digest")?;
    let tokenid = token.tokenid.clone();
    let secret = blocking(move || app.access.create_token(token, digest)).await?;
    Ok(Reply::value(json!({ "tokenid": tokenid, "value": secret.expose() })))
}

async fn update(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let params = request.params;
    let (tokenid, digest) = (tokenid(&params)?, params.parse("digest")?);
    let secret = if params.boolean_or_default("regenerate") { TokenSecret::Replace } else { TokenSecret::Keep };
    let secret = blocking(move || app.access.update_token(&tokenid, edit(&params), secret, digest)).await?;
    Ok(secret.map_or_else(Reply::null, |secret| Reply::value(json!({ "secret": secret.expose() }))))
}

async fn remove(app: Arc<App>, request: Request<App>) -> Result<Reply, ApiError> {
    let (tokenid, digest) = (tokenid(&request.params)?, request.params.parse("digest")?);
    blocking(move || app.settings.remove_token(&tokenid, digest)).await?;
    Ok(Reply::null())
}
