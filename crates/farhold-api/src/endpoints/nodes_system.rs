//! What clients ask about the system around the server: packages, services, name servers.
//!
//! This server looks after none of them; it tells what it can read and nothing else. Source: `docs/spec/rest-api.md` 15.

use std::sync::Arc;

use farhold_jobs::App;
use farhold_types::Privileges;
use serde_json::{Map, Value, json};

use super::blocking;
use crate::declare::{Access, Endpoint, Need, Reply, Request};
use crate::error::ApiError;
use crate::schema::named::NODE;
use crate::schema::{Field, Shape, shapes};

/// Most name servers that are told: as many as have a member.
const MAX_NAME_SERVERS: usize = 3;

const ON_ROOT_AUDIT: Access = Access::Declared(Need::all(Privileges::SYS_AUDIT, "/"));

const UPDATES: Shape = Shape::List(&Shape::Object(&[
    Field::required("Package", shapes::TEXT, "Name of the package"),
    Field::required("Version", shapes::TEXT, "Version that could be installed"),
    Field::optional("OldVersion", shapes::TEXT, "Version that is installed"),
    Field::optional("Title", shapes::TEXT, "What it is"),
]));
const VERSIONS: Shape = Shape::List(&Shape::Object(&[
    Field::required("Package", shapes::TEXT, "Name of the program"),
    Field::required("Version", shapes::TEXT, "Its version"),
    Field::required("ExtraInfo", shapes::TEXT, "The version that runs"),
]));
const SERVICES: Shape = Shape::List(&Shape::Object(&[
    Field::required("service", shapes::TEXT, "Name of the service"),
    Field::required("state", shapes::TEXT, "Whether it runs"),
]));
const DNS: Shape = Shape::Object(&[
    Field::required("digest", Shape::Text("SHA-256 of resolv.conf, hex"), "State of the file"),
    Field::optional("search", shapes::TEXT, "Domain that is added to short names"),
    Field::optional("dns1", Shape::Text("IP address"), "First name server"),
    Field::optional("dns2", Shape::Text("IP address"), "Second name server"),
    Field::optional("dns3", Shape::Text("IP address"), "Third name server"),
]);

pub fn endpoints() -> Vec<Endpoint<App>> {
    vec![
        Endpoint::get(
            "/nodes/{node}/apt/update",
            "List updates of packages: none, since we look after no packages",
            none,
        )
        .params(&[NODE])
        .access(ON_ROOT_AUDIT)
        .returns(UPDATES),
        Endpoint::get("/nodes/{node}/apt/versions", "Show the version of this program", versions)
            .params(&[NODE])
            .access(ON_ROOT_AUDIT)
            .returns(VERSIONS),
        Endpoint::get("/nodes/{node}/certificates/acme", "List what there is about ACME: nothing", none)
            .params(&[NODE])
            .returns(shapes::INDEX),
        Endpoint::get("/nodes/{node}/services", "List services: none, since we look after no services", none)
            .params(&[NODE])
            .access(Access::Declared(Need::all(Privileges::SYS_AUDIT, "/system/services")))
            .returns(SERVICES),
        Endpoint::get("/nodes/{node}/dns", "Show the name servers of the host", dns)
            .params(&[NODE])
            .access(Access::Declared(Need::all(Privileges::SYS_AUDIT, "/system/network/dns")))
            .returns(DNS),
    ]
}

async fn none(_app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    Ok(Reply::value(Vec::<Value>::new()))
}

async fn versions(_app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    let version = env!("CARGO_PKG_VERSION");
    let running = format!("running version: {version}");
    Ok(Reply::value(json!([{ "Package": "farhold", "Version": version, "ExtraInfo": running }])))
}

async fn dns(app: Arc<App>, _request: Request<App>) -> Result<Reply, ApiError> {
    blocking(move || {
        let text = app.host.text("/etc/resolv.conf").unwrap_or_default();
        Ok::<_, ApiError>(Reply::value(name_servers(&text)))
    })
    .await
}

/// Returns what a `resolv.conf` says.
fn name_servers(text: &str) -> Value {
    let mut data = Map::new();
    data.insert("digest".to_owned(), json!(farhold_crypto::sha256(text.as_bytes()).to_string()));
    let mut count = 0;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("nameserver"), Some(address)) if count < MAX_NAME_SERVERS => {
                count += 1;
                data.insert(format!("dns{count}"), json!(address));
            }
            (Some("search" | "domain"), Some(domain)) => {
                data.insert("search".to_owned(), json!(domain));
            }
            _ => {}
        }
    }
    data.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_name_servers_and_a_domain_are_told() {
        let text = "# x\nnameserver 192.0.2.1\nsearch lab.example other.example\nnameserver 192.0.2.2\nnameserver ::1\nnameserver 192.0.2.3\noptions edns0\n";
        let digest = "ca23a64b7f28426a29f1c37ab2313a55fab0d78a47b47d3a4ebedce60e96a30e";
        let expected = json!({ "digest": digest, "dns1": "192.0.2.1", "dns2": "192.0.2.2", "dns3": "::1", "search": "lab.example" });
        assert_eq!(name_servers(text), expected);
        let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(name_servers(""), json!({ "digest": of_nothing }));
    }
}
