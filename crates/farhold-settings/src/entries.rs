//! The sections of a section-config file, each with its record.
//!
//! A section that is not changed keeps its text. A section that is changed is written from its record; keys that the
//! record does not know keep their text even then.

use std::fmt::Debug;

use farhold_format::config_schema::FileSchema;
use farhold_format::section_config::{self, Section};
use farhold_types::{Digest, RateLimits};

use crate::config_dir::Protection;
use crate::error::{FieldError, SettingsError};
use crate::store::{ConfigStore, Document};

/// A kind of section-config file: its schema and its record type.
pub trait ConfigFile {
    /// The record of one section.
    type Entry: Clone + Debug + PartialEq;
    /// File name.
    const FILE: &'static str;
    /// Name of its lock file.
    const LOCK: &'static str;
    /// What it may contain.
    const SCHEMA: FileSchema;
    /// Who may read it.
    const PROTECTION: Protection = Protection::Shared;

    /// Returns the record of a section that the schema accepts.
    ///
    /// # Errors
    /// A value that only the record refuses.
    fn read(section: &Section) -> Result<Self::Entry, FieldError>;

    /// Returns type and id of the section that holds `entry`.
    fn header(entry: &Self::Entry) -> (&str, String);

    /// Writes the values of `entry` into `section`, and removes the keys of those that are unset.
    fn write(entry: &Self::Entry, section: &mut Section);

    /// Adds sections that are always there, whatever the file says.
    fn complete(_sections: &mut Vec<Section>) {}
}

struct Slot<E> {
    section: Section,
    entry: Result<E, FieldError>,
}

/// All sections of one file, in file order.
pub struct Entries<F: ConfigFile> {
    slots: Vec<Slot<F::Entry>>,
}

impl<F: ConfigFile> Entries<F> {
    /// Returns all records.
    ///
    /// # Errors
    /// The first section that has none.
    pub fn all(&self) -> Result<Vec<&F::Entry>, SettingsError> {
        self.slots.iter().map(Self::entry).collect()
    }

    /// Returns the records of all sections that have one, for callers that go on without the others.
    pub fn usable(&self) -> impl Iterator<Item = &F::Entry> {
        self.slots.iter().filter_map(|slot| slot.entry.as_ref().ok())
    }

    /// Returns the ids of all sections.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().map(|slot| slot.section.id())
    }

    /// Returns whether there is a section with this id.
    pub fn contains(&self, id: &str) -> bool {
        self.slot(id).is_some()
    }

    /// Returns the record of a section, or `None` if there is no such section.
    ///
    /// # Errors
    /// The section does not make a record.
    pub fn get(&self, id: &str) -> Result<Option<&F::Entry>, SettingsError> {
        self.slot(id).map(Self::entry).transpose()
    }

    /// Returns the record of a section.
    ///
    /// # Errors
    /// [`SettingsError::NotFound`], or the section does not make a record.
    pub fn require(&self, id: &str) -> Result<&F::Entry, SettingsError> {
        self.get(id)?.ok_or_else(|| not_found::<F>(id))
    }

    /// Returns the text of a section, also of one without a record.
    pub fn section(&self, id: &str) -> Option<&Section> {
        self.slot(id).map(|slot| &slot.section)
    }

    /// Adds a record at the end.
    ///
    /// # Errors
    /// [`SettingsError::Exists`], or the record breaks a rule of the file.
    pub fn insert(&mut self, entry: F::Entry) -> Result<(), SettingsError> {
        let (section_type, id) = F::header(&entry);
        if self.contains(&id) {
            return Err(SettingsError::Exists { file: F::FILE.to_owned(), id });
        }
        let mut section = Section::new(section_type, id);
        F::write(&entry, &mut section);
        section_config::check(&F::SCHEMA, F::FILE, &section)?;
        self.slots.push(Slot { section, entry: Ok(entry) });
        Ok(())
    }

    /// Writes a record in place of the section with its id. An unchanged record leaves the section's text as it is.
    ///
    /// # Errors
    /// [`SettingsError::NotFound`], or the record breaks a rule of the file.
    pub fn update(&mut self, entry: F::Entry) -> Result<(), SettingsError> {
        let (_, id) = F::header(&entry);
        let slot = self.slots.iter_mut().find(|slot| slot.section.id() == id).ok_or_else(|| not_found::<F>(&id))?;
        if slot.entry.as_ref() == Ok(&entry) {
            return Ok(());
        }
        let mut section = slot.section.clone();
        F::write(&entry, &mut section);
        section_config::check(&F::SCHEMA, F::FILE, &section)?;
        *slot = Slot { section, entry: Ok(entry) };
        Ok(())
    }

    /// Removes a section; returns whether it was there.
    pub fn remove(&mut self, id: &str) -> bool {
        let before = self.slots.len();
        self.slots.retain(|slot| slot.section.id() != id);
        self.slots.len() != before
    }

    fn of(sections: Vec<Section>) -> Self {
        let slot = |section: Section| Slot { entry: F::read(&section), section };
        Self { slots: sections.into_iter().map(slot).collect() }
    }

    fn slot(&self, id: &str) -> Option<&Slot<F::Entry>> {
        self.slots.iter().find(|slot| slot.section.id() == id)
    }

    fn entry(slot: &Slot<F::Entry>) -> Result<&F::Entry, SettingsError> {
        slot.entry.as_ref().map_err(|e| SettingsError::Field(e.clone()))
    }
}

fn not_found<F: ConfigFile>(id: &str) -> SettingsError {
    SettingsError::NotFound { file: F::FILE.to_owned(), id: id.to_owned() }
}

impl<F: ConfigFile> Clone for Entries<F> {
    fn clone(&self) -> Self {
        let copy = |slot: &Slot<F::Entry>| Slot { section: slot.section.clone(), entry: slot.entry.clone() };
        Self { slots: self.slots.iter().map(copy).collect() }
    }
}

impl<F: ConfigFile> Debug for Entries<F> {
    /// Shows ids only: values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl<F: ConfigFile> Document for Entries<F> {
    const FILE: &'static str = F::FILE;
    const LOCK: &'static str = F::LOCK;
    const PROTECTION: Protection = F::PROTECTION;

    fn parse(bytes: Option<&[u8]>) -> Result<Self, SettingsError> {
        let mut sections = section_config::parse(&F::SCHEMA, F::FILE, bytes.unwrap_or_default())?;
        F::complete(&mut sections);
        Ok(Self::of(sections))
    }

    fn to_bytes(&self) -> Result<Vec<u8>, SettingsError> {
        let sections: Vec<Section> = self.slots.iter().map(|slot| slot.section.clone()).collect();
        Ok(section_config::write(&F::SCHEMA, F::FILE, &sections)?.into_bytes())
    }
}

/// What can be used of a file in which something may be wrong.
#[derive(Debug)]
pub struct Usable<F: ConfigFile> {
    /// The sections that nothing is wrong with. They must not be written back: the others would be lost.
    pub entries: Entries<F>,
    /// What is wrong with the others.
    pub faults: Vec<SettingsError>,
    /// SHA-256 of the file's bytes.
    pub digest: Digest,
}

impl<F: ConfigFile> ConfigStore<Entries<F>> {
    /// Returns what can be used of the present content, for readers that must go on when one section is wrong. Takes no
    /// lock.
    ///
    /// # Errors
    /// The file cannot be read, is too large, or is no text.
    pub fn load_usable(&self) -> Result<Usable<F>, SettingsError> {
        let (bytes, digest) = self.read()?;
        let mut salvage = section_config::salvage(&F::SCHEMA, F::FILE, bytes.as_deref().unwrap_or_default())?;
        F::complete(&mut salvage.sections);
        let faults = salvage.faults.into_iter().map(SettingsError::from).collect();
        Ok(Usable { entries: Entries::of(salvage.sections), faults, digest })
    }
}

/// Reads the values of one section into typed fields.
pub(crate) struct Fields<'s> {
    file: &'static str,
    section: &'s Section,
}

impl<'s> Fields<'s> {
    pub(crate) const fn new(file: &'static str, section: &'s Section) -> Self {
        Self { file, section }
    }

    pub(crate) fn error(&self, key: &str, reason: impl ToString) -> FieldError {
        FieldError {
            file: self.file.to_owned(),
            section: self.section.id().to_owned(),
            key: key.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn id<T: std::str::FromStr<Err: ToString>>(&self) -> Result<T, FieldError> {
        self.section.id().parse().map_err(|e: T::Err| self.error("id", e))
    }

    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.section.get(key).map(str::to_owned)
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.section.get(key).map(|text| text == "true")
    }

    pub(crate) fn optional<T: std::str::FromStr<Err: ToString>>(&self, key: &str) -> Result<Option<T>, FieldError> {
        self.section.get(key).map(|text| text.parse().map_err(|e: T::Err| self.error(key, e))).transpose()
    }

    pub(crate) fn required<T: std::str::FromStr<Err: ToString>>(&self, key: &str) -> Result<T, FieldError> {
        self.optional(key)?.ok_or_else(|| self.error(key, "key is missing"))
    }

    pub(crate) fn list<T: std::str::FromStr<Err: ToString>>(&self, key: &str) -> Result<Vec<T>, FieldError> {
        self.section.list(key).iter().map(|text| text.parse().map_err(|e: T::Err| self.error(key, e))).collect()
    }

    pub(crate) fn rate_limits(&self) -> Result<RateLimits, FieldError> {
        Ok(RateLimits {
            rate_in: self.optional("rate-in")?,
            burst_in: self.optional("burst-in")?,
            rate_out: self.optional("rate-out")?,
            burst_out: self.optional("burst-out")?,
        })
    }
}

/// Sets one key from an optional value.
pub(crate) fn put(section: &mut Section, key: &str, value: Option<&impl ToString>) {
    section.set(key, value.map(ToString::to_string));
}

/// Sets the comment, without blanks around it: reading a file drops them anyway, so they could not be kept.
///
/// Source: `docs/spec/rest-api.md` 1.5.
pub(crate) fn put_comment(section: &mut Section, comment: Option<&str>) {
    section.set("comment", comment.map(|comment| comment.trim().to_owned()));
}

/// Sets the four keys of limits.
pub(crate) fn put_rate_limits(section: &mut Section, limits: &RateLimits) {
    put(section, "rate-in", limits.rate_in.as_ref());
    put(section, "burst-in", limits.burst_in.as_ref());
    put(section, "rate-out", limits.rate_out.as_ref());
    put(section, "burst-out", limits.burst_out.as_ref());
}

/// Sets one list key.
pub(crate) fn put_list(section: &mut Section, key: &str, values: &[impl ToString]) {
    section.set_list(key, values.iter().map(ToString::to_string).collect());
}
