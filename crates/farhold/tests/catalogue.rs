//! What the commands expect of the endpoints, and what the endpoints declare.

use farhold_api::declare::Declaration;
use farhold_api::endpoints;
use farhold_cli::Catalogue;

fn declarations() -> Vec<Declaration> {
    endpoints::all().into_iter().map(|endpoint| endpoint.declaration).collect()
}

#[test]
fn commands_about_users_and_access_control_find_their_endpoints_and_parameters() {
    let catalogue = Catalogue::new(&declarations(), &[]);
    let expected_in_vain: Vec<&String> = catalogue
        .mismatches()
        .iter()
        .filter(|mismatch| mismatch.starts_with("'user ") || mismatch.starts_with("'acl "))
        .filter(|mismatch| !mismatch.starts_with("'user tfa delete'"))
        .collect();
    assert!(expected_in_vain.is_empty(), "{expected_in_vain:#?}");
    let offered = ["user list", "user create", "user generate-token", "user permissions", "acl update"];
    for command in catalogue.not_offered() {
        assert!(!offered.contains(&command.words.join(" ").as_str()), "{:?}", command.words);
    }
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
