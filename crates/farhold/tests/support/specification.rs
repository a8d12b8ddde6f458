//! The tables of endpoints in the specification of the REST interface.

/// The specification.
pub const REST_API: &str = include_str!("../../../../docs/spec/rest-api.md");

/// A row of one of its tables.
#[derive(Debug, Clone)]
pub struct Specified {
    /// `M`, `U` or `O`.
    pub tier: String,
    pub method: String,
    /// With variables in braces; `S`, which stands for a datastore there, is written out.
    pub path: String,
    /// Who may make the call, in the words of the table.
    pub permission: String,
}

/// Returns the rows of a text that has tables like the specification's, in its order.
pub fn rows(text: &str) -> Vec<Specified> {
    let row = |line: &str| {
        // A bar within a cell is escaped.
        let line = line.replace("\\|", "\u{1}");
        let cells: Vec<String> = line.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect();
        let [_, tier, method, path, _, permission, ..] = &cells[..] else { return None };
        if !["M", "U", "O"].contains(&tier.as_str()) || !["GET", "POST", "PUT", "DELETE"].contains(&method.as_str()) {
            return None;
        }
        let path = path.trim_matches('`');
        let path = path.strip_prefix("S/").map_or(path.to_owned(), |rest| format!("/admin/datastore/{{store}}/{rest}"));
        Some(Specified { tier: tier.clone(), method: method.clone(), path, permission: permission.clone() })
    };
    text.lines().filter_map(row).collect()
}
