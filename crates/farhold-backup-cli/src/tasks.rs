//! Commands that start tasks on the server and follow them, and those about tasks.
//!
//! They are carried out by the server's own command line, which asks the server of the repository in place of its own.

use std::time::Duration;

use farhold_cli::catalogue::{LOCAL_NODE, task_table};
use farhold_cli::command::{Action, Command, Output, TaskMode};
use farhold_cli::{ApiCall, ApiCaller, ApiFailure, ApiReply, Console, Request};
use farhold_client::{Client, ClientError};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Method;
use serde_json::{Map, Value, json};

use crate::connect::Connection;
use crate::error::CommandError;
use crate::given::Given;
use crate::outside::Outside;

/// Pause before a running task is asked for new lines. Source: `docs/spec/cli.md` 2.1.
const POLL: Duration = Duration::from_secs(1);

/// Tasks that a list shows without further wishes.
pub const TASKS_LISTED: i64 = 50;

/// Calls a server as the client does.
struct Server(Client);

impl ApiCaller for Server {
    fn call(&self, call: ApiCall) -> BoxFuture<'_, Result<ApiReply, ApiFailure>> {
        async move {
            let (path, params) = call.target();
            let mut answer = match self.0.envelope(call.method.clone(), &path, &params).await {
                Ok(answer) => answer,
                Err(ClientError::Status { status, text, .. }) => return Err(ApiFailure::Refused { status, text }),
                Err(error) => {
                    let problem = error.to_string();
                    return Err(ApiFailure::BadAnswer { method: call.method, path: call.path, problem });
                }
            };
            let data = answer.remove("data").unwrap_or_default();
            Ok(ApiReply { data, attributes: answer })
        }
        .boxed()
    }

    fn runs_tasks_here(&self) -> bool {
        false
    }
}

/// What a command of this file asks of a server.
struct Asked {
    action: Action,
    output: Output,
    params: Map<String, Value>,
    /// Whether the datastore of the repository is one of the parameters.
    names_store: bool,
}

/// Carries out a command of this file, and returns the exit code; errors of the server have been told then. None for the
/// words of other commands.
///
/// # Errors
/// As all commands that ask a server, until the server lets us in.
pub async fn run(words: &[&str], outside: &mut Outside, given: &Given) -> Result<Option<u8>, CommandError> {
    let Some(asked) = asked(words, outside, given)? else { return Ok(None) };
    let Asked { action, output, mut params, names_store } = asked;
    let Connection { client, store } = given.connect(outside).await?;
    if names_store {
        params.insert("store".to_owned(), json!(store));
    }
    let command = Command::special(&[], action, "").output(output);
    let mut console = Console {
        out: &mut *outside.out,
        err: &mut *outside.err,
        settings: &outside.settings,
        interrupts: (outside.interrupts)()?,
        poll: POLL,
        progress_width: None,
    };
    let request = Request { command, params, format: given.format.clone() };
    Ok(Some(farhold_cli::execute(request, &Server(client), &mut console).await))
}

fn asked(words: &[&str], outside: &Outside, given: &Given) -> Result<Option<Asked>, CommandError> {
    let start = |path| Action::Call { method: Method::POST, path };
    let follow = Output::Task(TaskMode::Follow);
    let mut params = Map::new();
    let (action, output, names_store) = match words {
        ["garbage-collect"] => (start("/admin/datastore/{store}/gc"), follow, true),
        ["group", "move"] => {
            let group = given.required_group()?;
            params.insert("backup-type".to_owned(), json!(group.backup_type));
            params.insert("backup-id".to_owned(), json!(group.backup_id));
            let ns = given.namespace(outside)?;
            if !ns.is_root() {
                params.insert("ns".to_owned(), json!(ns));
            }
            copy(&mut params, given, &["target-ns", "merge-group"]);
            (start("/admin/datastore/{store}/move-group"), follow, true)
        }
        ["namespace", "move"] => {
            copy(&mut params, given, &["ns", "target-ns", "max-depth", "delete-source", "merge-groups"]);
            (start("/admin/datastore/{store}/move-namespace"), follow, true)
        }
        ["task", "list"] => {
            params.insert("node".to_owned(), LOCAL_NODE.into());
            params.insert("running".to_owned(), Value::Bool(!given.is_set("all")));
            params.insert("limit".to_owned(), given.number("limit").unwrap_or(TASKS_LISTED).into());
            // Only what this account did with this datastore.
            let account = given.repository(outside)?.authid.to_string();
            params.insert("userfilter".to_owned(), account.into());
            (Action::Call { method: Method::GET, path: "/nodes/{node}/tasks" }, task_table(), true)
        }
        ["task", "log"] => {
            copy(&mut params, given, &["upid"]);
            (Action::FollowTask, Output::Plain, false)
        }
        ["task", "stop"] => {
            params.insert("node".to_owned(), LOCAL_NODE.into());
            copy(&mut params, given, &["upid"]);
            (Action::Call { method: Method::DELETE, path: "/nodes/{node}/tasks/{upid}" }, Output::Plain, false)
        }
        _ => return Ok(None),
    };
    Ok(Some(Asked { action, output, params, names_store }))
}

/// Takes over what was given of these.
fn copy(params: &mut Map<String, Value>, given: &Given, names: &[&str]) {
    for name in names {
        if let Some(value) = given.params.get(*name) {
            params.insert((*name).to_owned(), value.clone());
        }
    }
}
