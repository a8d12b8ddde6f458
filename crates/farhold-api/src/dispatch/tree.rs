//! The tree of paths made from the endpoint declarations: look-up and directory indexes.

use std::collections::BTreeMap;

use http::Method;

use crate::declare::Declaration;
use crate::schema::{Input, Requirement};

/// Why a set of declarations does not make a tree; a fault of the program, found when it starts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeclarationError {
    /// Two endpoints have the same method and path.
    #[error("endpoint {method} {path} is declared twice")]
    Twice {
        /// The method.
        method: Method,
        /// The path.
        path: &'static str,
    },
    /// A path variable has no required parameter of its name.
    #[error("path variable '{variable}' of {method} {path} is no required parameter")]
    Variable {
        /// The method.
        method: Method,
        /// The path.
        path: &'static str,
        /// The variable.
        variable: &'static str,
    },
    /// A parameter is declared twice.
    #[error("parameter '{name}' of {method} {path} is declared twice")]
    Parameter {
        /// The method.
        method: Method,
        /// The path.
        path: &'static str,
        /// The parameter.
        name: &'static str,
    },
}

#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<&'static str, Node>,
    /// Child that takes any component. Its variable's name may differ by endpoint, so endpoints know their names.
    variable: Option<Box<Node>>,
    endpoints: Vec<(Method, usize)>,
}

/// What lies at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An endpoint (its number) and the values of its path variables.
    Endpoint(usize, Vec<Input>),
    /// An inner node: the names below it.
    Index(Vec<&'static str>),
    Nothing,
}

/// All paths.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Node,
}

fn variable(part: &'static str) -> Option<&'static str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

impl Tree {
    /// Builds the tree; endpoints are numbered in the order given.
    pub(super) fn new<'a>(declarations: impl Iterator<Item = &'a Declaration>) -> Result<Self, DeclarationError> {
        let mut tree = Self::default();
        for (number, declaration) in declarations.enumerate() {
            check(declaration)?;
            let mut node = &mut tree.root;
            for part in declaration.path.split('/').filter(|part| !part.is_empty()) {
                node = match variable(part) {
                    Some(_) => node.variable.get_or_insert_with(Box::default),
                    None => node.children.entry(part).or_default(),
                };
            }
            if node.endpoints.iter().any(|(method, _)| *method == declaration.method) {
                return Err(DeclarationError::Twice { method: declaration.method.clone(), path: declaration.path });
            }
            node.endpoints.push((declaration.method.clone(), number));
        }
        Ok(tree)
    }

    /// Looks up decoded components; a named child goes before the variable one, which is tried if nothing lies below the
    /// named one. `names` gives the variables of an endpoint.
    pub(super) fn find<'a, N>(&self, method: &Method, components: &[String], names: N) -> Found
    where
        N: Fn(usize) -> &'a Declaration,
    {
        let mut values = Vec::new();
        match self.root.find(method, components, &mut values) {
            Found::Endpoint(number, _) => {
                let names = names(number).path_variables().map(str::to_owned);
                Found::Endpoint(number, names.zip(values).collect())
            }
            other => other,
        }
    }
}

impl Node {
    /// Finds what lies below; of an endpoint the values of its variables are in `values`.
    fn find(&self, method: &Method, components: &[String], values: &mut Vec<String>) -> Found {
        let Some((component, rest)) = components.split_first() else {
            return self.here(method);
        };
        if let Some(child) = self.children.get(component.as_str()) {
            let found = child.find(method, rest, values);
            if found != Found::Nothing {
                return found;
            }
        }
        let Some(child) = &self.variable else {
            return Found::Nothing;
        };
        let before = values.len();
        values.push(component.clone());
        let found = child.find(method, rest, values);
        if found == Found::Nothing {
            values.truncate(before);
        }
        found
    }

    fn here(&self, method: &Method) -> Found {
        if let Some((_, number)) = self.endpoints.iter().find(|(m, _)| m == method) {
            return Found::Endpoint(*number, Vec::new());
        }
        let is_inner = !self.children.is_empty() || self.variable.is_some();
        if method == Method::GET && is_inner {
            return Found::Index(self.children.keys().copied().collect());
        }
        Found::Nothing
    }
}

fn check(declaration: &Declaration) -> Result<(), DeclarationError> {
    let (method, path) = (&declaration.method, declaration.path);
    for variable in declaration.path_variables() {
        if declaration.param(variable).is_none_or(|p| p.requirement != Requirement::Required) {
            return Err(DeclarationError::Variable { method: method.clone(), path, variable });
        }
    }
    for (index, param) in declaration.params.iter().enumerate() {
        if declaration.params[..index].iter().any(|other| other.name == param.name) {
            return Err(DeclarationError::Parameter { method: method.clone(), path, name: param.name });
        }
    }
    Ok(())
}
