//! Listings in which a wrong item does not hide the others.

use std::fmt::Display;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::peer_text;

/// Most skipped items that are kept with text and reason; the rest is only counted.
pub const MAX_SKIPPED: usize = 100;
/// Longest text of a skipped item, in characters.
const MAX_ITEM_TEXT: usize = 200;

/// An item of a listing that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedItem {
    /// The item as the peer sent it, shortened, without control characters.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A listing: the items that are valid, in the peer's order, and what was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// Valid items.
    pub items: Vec<T>,
    /// The first [`MAX_SKIPPED`] items that are not.
    pub skipped: Vec<SkippedItem>,
    /// How many are not.
    pub skipped_count: usize,
}

impl<T> Listing<T> {
    /// Returns whether nothing was left out. Only then does an absent name prove that the remote does not have it:
    /// never remove anything as vanished because of an incomplete listing.
    pub const fn is_complete(&self) -> bool {
        self.skipped_count == 0
    }
}

/// The part of an answer that holds the result.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// Returns the result of an answer; an empty body means null.
///
/// Source: `docs/spec/wire-protocol.md` 2.2.
pub(crate) fn read_data<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    if body.is_empty() {
        return serde_json::from_str("null");
    }
    let envelope: Envelope<'_> = serde_json::from_slice(body)?;
    serde_json::from_str(envelope.data.map_or("null", RawValue::get))
}

/// Returns the items of an answer. `check` says why a well-formed item is still wrong.
///
/// # Errors
/// The body as a whole is no listing.
pub(crate) fn read_listing<T, E>(
    body: &[u8],
    check: impl Fn(&T) -> Result<(), E>,
) -> Result<Listing<T>, serde_json::Error>
where
    T: DeserializeOwned,
    E: Display,
{
    let envelope: Envelope<'_> = serde_json::from_slice(body)?;
    let items: Vec<&RawValue> = serde_json::from_str(envelope.data.map_or("null", RawValue::get))?;
    let mut listing = Listing { items: Vec::with_capacity(items.len()), skipped: Vec::new(), skipped_count: 0 };
    for raw in items {
        let item = serde_json::from_str::<T>(raw.get()).map_err(|e| e.to_string());
        let item = item.and_then(|item| check(&item).map(|()| item).map_err(|e| e.to_string()));
        match item {
            Ok(item) => listing.items.push(item),
            Err(reason) => {
                listing.skipped_count += 1;
                if listing.skipped.len() < MAX_SKIPPED {
                    let text: String = peer_text(raw.get().as_bytes()).chars().take(MAX_ITEM_TEXT).collect();
                    // The reason may repeat what the peer sent.
                    let reason = peer_text(reason.as_bytes());
                    listing.skipped.push(SkippedItem { text, reason });
                }
            }
        }
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use farhold_types::NamespaceItem;

    use super::*;

    fn any(_: &NamespaceItem) -> Result<(), String> {
        Ok(())
    }

    #[test]
    fn a_wrong_item_is_named_and_the_others_stay() {
        let body = br#"{"data":[{"ns":""},{"ns":"../etc"},{"ns":"a"},7,{"ns":"b\u001b[31m/"}],"total":5}"#;
        let listing = read_listing(body, any).unwrap();
        let names: Vec<String> = listing.items.iter().map(|i| i.ns.to_string()).collect();
        assert_eq!(names, ["", "a"]);
        assert_eq!(listing.skipped_count, 3);
        assert!(!listing.is_complete());
        assert_eq!(listing.skipped[0].text, r#"{"ns":"../etc"}"#);
        assert!(listing.skipped.iter().all(|s| !s.text.contains('\x1b') && !s.reason.contains('\x1b')));
    }

    #[test]
    fn many_wrong_items_are_counted_but_not_all_kept() {
        let body = format!(r#"{{"data":[{}0]}}"#, "0,".repeat(500));
        let listing = read_listing(body.as_bytes(), any).unwrap();
        assert_eq!((listing.skipped_count, listing.skipped.len()), (501, MAX_SKIPPED));
    }

    #[test]
    fn what_is_no_listing_at_all_is_an_error() {
        for body in ["", "null", "[]", r#"{"data":null}"#, r#"{"data":{}}"#, r#"{"data":[}"#, "permission denied"] {
            assert!(read_listing(body.as_bytes(), any).is_err(), "{body}");
        }
    }

    #[test]
    fn an_empty_answer_is_null() {
        assert_eq!(read_data::<Option<u8>>(b"").unwrap(), None);
        assert_eq!(read_data::<u8>(br#"{"data":7,"digest":"x"}"#).unwrap(), 7);
        assert!(read_data::<u8>(br#"{"data":"x"}"#).is_err());
        read_data::<()>(br#"{"data":null}"#).unwrap();
    }
}
