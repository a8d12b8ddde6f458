//! `key create` and `key show`.

use std::io;
use std::path::PathBuf;

use farhold_cli::command::Output;
use farhold_cli::output::object_text;
use farhold_crypto::EncryptionKey;
use farhold_format::key_file::{Kdf, KeyFile, LocalTime};
use farhold_types::{Epoch, Secret};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::given::Given;
use crate::keys::{self, KeyOrigin};
use crate::local_files;
use crate::outside::Outside;
use crate::secrets::{ENCRYPTION_PASSWORD, Sources};
use crate::show::show;

/// `key create`: makes a key, protected by a password that is asked twice.
///
/// # Errors
/// The file exists; a password that is too short, or typed differently; nobody to ask.
pub fn create(outside: &mut Outside, given: &Given) -> Result<(), CommandError> {
    let kdf: Kdf = given.text("kdf").and_then(|name| name.parse().ok()).unwrap_or_default();
    let hint = given.text("hint");
    if kdf == Kdf::None && hint.is_some() {
        return Err(CommandError::parameter("password hint not allowed for kdf 'none'"));
    }
    let path = path(outside, given)?;
    if path.exists() {
        return Err(exists(path));
    }
    let now = local_now(outside.clock.now(), &outside.settings.zone);
    let key = EncryptionKey::generate(&*outside.randomness);
    let file = if kdf == Kdf::None {
        KeyFile::plain(key, now)
    } else {
        let password = new_password(outside)?;
        KeyFile::protected(key, kdf, &password, hint, now, &*outside.randomness)?
    };
    match local_files::create(&path, file.to_json().expose().as_bytes()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(exists(path)),
        Err(source) => return Err(CommandError::Write { path, source }),
    }
    outside.tell(&format!(
        "key written to '{}'; without it nobody can read the backups: keep a copy elsewhere",
        path.display()
    ));
    Ok(())
}

/// `key show`: what the file tells without a password.
///
/// # Errors
/// The file cannot be read or is no key file.
pub fn show_key(outside: &mut Outside, given: &Given, output: &Output) -> Result<(), CommandError> {
    let path = path(outside, given)?;
    let file = keys::read(&KeyOrigin::File(path.clone()))?;
    let mut answer = json!({
        // With quotes inside, as the reference shows it.
        "path": format!("\"{}\"", path.display()),
        "kdf": file.kdf().to_string(),
        "created": file.created.epoch().0,
        "modified": file.modified.epoch().0,
    });
    if let Some(fingerprint) = &file.fingerprint {
        answer["fingerprint"] = Value::from(fingerprint.to_string());
    }
    if let Some(hint) = &file.hint {
        answer["hint"] = Value::from(hint.as_str());
    }
    show(outside, given, &answer, |settings| match (output, answer.as_object()) {
        (Output::Object(spec), Some(object)) => Ok(object_text(object, spec, settings)),
        _ => Err(CommandError::Answer { problem: "an object was expected" }),
    })
}

fn path(outside: &Outside, given: &Given) -> Result<PathBuf, CommandError> {
    if let Some(path) = given.text("path") {
        return Ok(path.into());
    }
    outside
        .folders
        .default_key()
        .ok_or(CommandError::NoFolder { what: "the default key", hint: "name a file, or set XDG_CONFIG_HOME or HOME" })
}

fn exists(path: PathBuf) -> CommandError {
    CommandError::Parameter {
        text: format!("'{}' exists already", path.display()),
        hint: Some("a key is never overwritten; name another file, or move that one away if no backup needs it"),
    }
}

/// Returns the password for a new key: from the environment, else typed twice.
fn new_password(outside: &mut Outside) -> Result<Secret, CommandError> {
    if let Some(password) = Sources::new(&*outside.variable).secret(ENCRYPTION_PASSWORD)? {
        return Ok(password);
    }
    if !outside.terminal.is_interactive() {
        return Err(CommandError::Parameter {
            text: "unable to read passphrase - no tty".to_owned(),
            hint: Some("run the command in a terminal, set PBS_ENCRYPTION_PASSWORD_FILE, or use --kdf none"),
        });
    }
    let password = outside.terminal.secret("Encryption Key Password: ").map_err(CommandError::Terminal)?;
    let again = outside.terminal.secret("Verify Password: ").map_err(CommandError::Terminal)?;
    if password == again { Ok(password) } else { Err(CommandError::parameter("Password verification fail!")) }
}

/// Returns the time with the offset of its zone.
fn local_now(now: Epoch, zone: &TimeZone) -> LocalTime {
    match Timestamp::from_second(now.0) {
        Ok(time) => LocalTime::new(now, zone.to_offset(time).seconds() / 60),
        Err(_) => LocalTime::utc(now),
    }
}
