//! What an endpoint answers: the shape of its `data` member, declared beside its parameters.
//!
//! A [`Shape`] is written down as a constant, so that it can stand next to the handler that makes the value. The OpenAPI
//! document is generated from it, and debug builds hold every answer against it, so that no member leaves the server
//! undeclared. Source of the members: the tables of `docs/spec/rest-api.md`.

use serde_json::{Map, Value};

/// The type of a JSON value in an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Shape {
    /// Nobody has said yet; everything fits.
    Undeclared,
    /// Always null: the call has no result.
    Null,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A number, whole or not.
    Number,
    /// A text; what it contains, such as `user ID` or `UPID of the task`.
    Text(&'static str),
    /// One of a few words.
    Word(&'static [&'static str]),
    /// A value of the inner shape, or null.
    Nullable(&'static Shape),
    /// An array.
    List(&'static Shape),
    /// An object with exactly these members.
    Object(&'static [Field]),
    /// An object with the members of all of these lists, such as the settings of a job and its state.
    Joined(&'static [&'static [Field]]),
    /// An object whose member names are data; all values have the inner shape.
    Map(&'static Shape),
    /// A value of one of these shapes.
    Either(&'static [Shape]),
    /// Any JSON, where the content is not ours to describe.
    Free,
    /// No JSON: a body of this media type; of none if it is empty.
    Bytes(&'static str),
}

/// A member of an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// Wire name.
    pub name: &'static str,
    /// Its value.
    pub shape: Shape,
    /// Whether it is always there.
    pub is_required: bool,
    /// What it is: a phrase without full stop; empty where the name says it all.
    pub description: &'static str,
}

impl Field {
    /// Returns a member that is always there.
    pub const fn required(name: &'static str, shape: Shape, description: &'static str) -> Self {
        Self { name, shape, is_required: true, description }
    }

    /// Returns a member that may be absent.
    pub const fn optional(name: &'static str, shape: Shape, description: &'static str) -> Self {
        Self { name, shape, is_required: false, description }
    }
}

/// An answer that is not what its endpoint declares: a fault of the program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} is {problem}")]
pub struct Undeclared {
    /// Where in the answer, such as `data[2].port`.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
}

impl Undeclared {
    fn new(place: &str, problem: impl Into<String>) -> Self {
        Self { place: place.to_owned(), problem: problem.into() }
    }
}

impl Shape {
    /// Returns the members of an object; of other shapes none.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> + Clone + use<> {
        let lists: &'static [&'static [Field]] = match *self {
            Self::Joined(lists) => lists,
            _ => &[],
        };
        let own: &'static [Field] = match *self {
            Self::Object(fields) => fields,
            _ => &[],
        };
        lists.iter().flat_map(|list| list.iter()).chain(own)
    }

    /// Checks a value against this shape.
    ///
    /// # Errors
    /// The first place where they differ.
    pub fn check(&self, value: &Value, place: &str) -> Result<(), Undeclared> {
        let fits = match self {
            Self::Undeclared | Self::Free => true,
            Self::Bytes(_) => false,
            Self::Null => value.is_null(),
            Self::Boolean => value.is_boolean(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Text(_) => value.is_string(),
            Self::Word(words) => value.as_str().is_some_and(|text| words.contains(&text)),
            Self::Nullable(inner) => return if value.is_null() { Ok(()) } else { inner.check(value, place) },
            Self::List(inner) => match value {
                Value::Array(items) => {
                    let mut numbered = items.iter().enumerate();
                    return numbered.try_for_each(|(n, item)| inner.check(item, &format!("{place}[{n}]")));
                }
                _ => false,
            },
            Self::Map(inner) => match value {
                Value::Object(map) => {
                    return map.iter().try_for_each(|(name, item)| inner.check(item, &format!("{place}.{name}")));
                }
                _ => false,
            },
            Self::Object(_) | Self::Joined(_) => match value {
                Value::Object(map) => return self.check_members(map, place),
                _ => false,
            },
            Self::Either(shapes) => shapes.iter().any(|shape| shape.check(value, place).is_ok()),
        };
        if fits { Ok(()) } else { Err(Undeclared::new(place, format!("{value}, which is not {self:?}"))) }
    }

    fn check_members(&self, map: &Map<String, Value>, place: &str) -> Result<(), Undeclared> {
        for field in self.fields() {
            match map.get(field.name) {
                Some(value) => field.shape.check(value, &format!("{place}.{}", field.name))?,
                None if field.is_required => {
                    return Err(Undeclared::new(&format!("{place}.{}", field.name), "missing"));
                }
                None => {}
            }
        }
        match map.keys().find(|name| self.fields().all(|field| field.name != name.as_str())) {
            Some(name) => Err(Undeclared::new(&format!("{place}.{name}"), "not declared")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const JOB: &[Field] =
        &[Field::required("id", Shape::Text("job"), ""), Field::optional("port", Shape::Nullable(&Shape::Integer), "")];
    const STATE: &[Field] = &[Field::optional("state", Shape::Word(&["ok", "failed"]), "")];
    const LIST: Shape = Shape::List(&Shape::Joined(&[JOB, STATE]));

    #[test]
    fn answers_fit_their_shapes_or_the_place_is_named() {
        let good = [json!([]), json!([{"id": "a", "port": null, "state": "ok"}, {"id": "b", "port": 1}])];
        for value in good {
            assert_eq!(LIST.check(&value, "data"), Ok(()));
        }
        let bad = [
            (json!({}), "data"),
            (json!([{"port": 1}]), "data[0].id"),
            (json!([{"id": "a", "port": 1.5}]), "data[0].port"),
            (json!([{"id": "a", "state": "new"}]), "data[0].state"),
            (json!([{"id": "a"}, {"id": "b", "secret": 1}]), "data[1].secret"),
        ];
        for (value, place) in bad {
            assert_eq!(LIST.check(&value, "data").expect_err("it differs").place, place);
        }
    }

    #[test]
    fn values_of_every_kind_are_told_apart() {
        let shapes = [
            (Shape::Null, json!(null), json!(false)),
            (Shape::Boolean, json!(true), json!(1)),
            (Shape::Number, json!(1.5), json!("1.5")),
            (Shape::Map(&Shape::Integer), json!({"a": 1}), json!({"a": "1"})),
            (Shape::Either(&[Shape::Null, Shape::Integer]), json!(3), json!("3")),
        ];
        for (shape, good, bad) in shapes {
            assert!(shape.check(&good, "data").is_ok(), "{shape:?}");
            assert!(shape.check(&bad, "data").is_err(), "{shape:?}");
        }
    }
}
