//! What the commands expect of the endpoints, and what the endpoints declare.

use farhold_api::declare::Declaration;
use farhold_api::endpoints;
use farhold_cli::Catalogue;

fn declarations() -> Vec<Declaration> {
    endpoints::all().into_iter().map(|endpoint| endpoint.declaration).collect()
}

/// Words of the reference that this program has no command for. Source: `docs/spec/cli.md` 3.14.
const OUT_OF_SCOPE: &[&str] =
    &["acme", "ad", "datastore s3-refresh", "disk", "dns", "ldap", "network", "openid", "s3", "subscription"];

#[test]
fn every_command_finds_its_endpoint_and_all_its_parameters() {
    let catalogue = Catalogue::new(&declarations(), &[]);
    assert!(catalogue.mismatches().is_empty(), "{:#?}", catalogue.mismatches());
    let mut not_offered: Vec<String> = catalogue.not_offered().map(|command| command.words.join(" ")).collect();
    not_offered.sort_unstable();
    assert_eq!(not_offered, OUT_OF_SCOPE);
}

#[test]
fn usage_shows_the_defaults_and_types_of_account_parameters() {
    let declarations = declarations();
    let shown = |method: &str, path: &str, name: &str| {
        let declaration = declarations.iter().find(|d| d.method.as_str() == method && d.path == path).expect(path);
        let param = declaration.param(name).expect(name);
        (param.kind.type_text(), param.default.map(|default| default.to_string()))
    };
    let default = |text: &str| Some(text.to_owned());
    for (method, path) in [
        ("POST", "/access/users"),
        ("PUT", "/access/users/{userid}"),
        ("POST", "/access/users/{userid}/token/{token-name}"),
        ("PUT", "/access/users/{userid}/token/{token-name}"),
    ] {
        assert_eq!(shown(method, path, "enable"), ("<boolean>".to_owned(), default("true")));
        assert_eq!(shown(method, path, "expire"), ("<integer> (0 - N)".to_owned(), default("0")));
    }
    assert_eq!(shown("PUT", "/access/acl", "propagate"), ("<boolean>".to_owned(), default("true")));
    assert_eq!(shown("PUT", "/access/acl", "role"), ("<role>".to_owned(), None));
}
