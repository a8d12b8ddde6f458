//! Documented and recorded key files, round trips, and what is refused.

use farhold_crypto::{CryptError, EncryptionKey};
use farhold_types::{Epoch, Randomness, Secret};
use proptest::prelude::*;

use super::{Kdf, KeyFile, KeyFileError, LocalTime, MAX_KEY_FILE_BYTES};

const FINGERPRINT: &str =
    "0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b";
const SALT: &str = "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=";
const TIME: &str = "2020-06-26T15:56:05+02:00";

/// Fills a salt with 40.. and an IV with 20.., as the documented key files have them.
struct Documented;

impl Randomness for Documented {
    fn fill(&self, buffer: &mut [u8]) {
        let first = if buffer.len() == 32 { 0x40 } else { 0x20 };
        buffer.iter_mut().zip(first..).for_each(|(byte, n)| *byte = n);
    }
}

fn counting_key() -> EncryptionKey {
    EncryptionKey::new(std::array::from_fn(|i| u8::try_from(i).unwrap()))
}

fn hunter2() -> Secret {
    Secret::new("hunter2")
}

fn text(kdf: &str, data: &str) -> String {
    format!(r#"{{"kdf":{kdf},"created":"{TIME}","modified":"{TIME}","data":"{data}","fingerprint":"{FINGERPRINT}"}}"#)
}

/// The three key files of the specification.
fn documented() -> [(Kdf, String); 3] {
    [
        (Kdf::None, text("null", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")),
        (
            Kdf::Scrypt,
            text(
                &format!(r#"{{"Scrypt":{{"n":65536,"r":8,"p":1,"salt":"{SALT}"}}}}"#),
                "ICEiIyQlJicoKSorLC0uLwae/kw5K4mZk11i9K8n60mE1FapBEKUEzi3QBQTd93LRzBw6JkyAfN4zAPuGFcC5A==",
            ),
        ),
        (
            Kdf::Pbkdf2,
            text(
                &format!(r#"{{"PBKDF2":{{"iter":65535,"salt":"{SALT}"}}}}"#),
                "ICEiIyQlJicoKSorLC0uLwa++jcRHwhpQG0zW3BD2wLlMMQjLKkm9SGddT7Z5fe2EICZF20WKP1exf4MhyaNzg==",
            ),
        ),
    ]
}

#[test]
fn documented_key_files_open_to_the_documented_key_and_are_written_alike() {
    let created: LocalTime = TIME.parse().unwrap();
    for (kdf, text) in documented() {
        let file = KeyFile::parse(text.as_bytes()).unwrap();
        assert_eq!((file.kdf(), file.created.epoch()), (kdf, Epoch(1_593_179_765)));
        assert_eq!(file.decrypt(Some(&hunter2())).unwrap(), counting_key(), "{kdf}");
        assert_eq!(file.to_json().expose(), text);
        let made = KeyFile::protected(counting_key(), kdf, &hunter2(), None, created, &Documented).unwrap();
        assert_eq!(made, file);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads golden files")]
fn recorded_key_files_open_and_are_written_alike() {
    for name in ["client.key", "key0.json"] {
        let path = format!("{}/../../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let file = KeyFile::parse(text.as_bytes()).unwrap();
        assert!(file.fingerprint.is_some());
        file.decrypt(None).unwrap();
        assert_eq!(file.to_json().expose(), text);
    }
}

#[test]
fn wrong_missing_and_short_passphrases_are_told_apart() {
    let decrypt = |kdf: usize, passphrase: Option<&str>| {
        let file = KeyFile::parse(documented()[kdf].1.as_bytes()).unwrap();
        file.decrypt(passphrase.map(Secret::new).as_ref()).unwrap_err()
    };
    assert!(matches!(decrypt(2, None), KeyFileError::PassphraseMissing));
    assert!(matches!(decrypt(1, Some("1234")), KeyFileError::PassphraseTooShort));
    assert!(matches!(decrypt(2, Some("1234")), KeyFileError::PassphraseTooShort));
    assert!(matches!(decrypt(2, Some("hunter3")), KeyFileError::WrongPassphrase));
    let plain = KeyFile::parse(documented()[0].1.as_bytes()).unwrap();
    assert_eq!(plain.decrypt(None).unwrap(), counting_key());
}

#[test]
fn a_changed_fingerprint_makes_opening_fail() {
    for (kdf, text) in documented() {
        let file = KeyFile::parse(text.replace("0e:ab", "0f:ab").as_bytes()).unwrap();
        let result = file.decrypt(Some(&hunter2()));
        assert!(
            matches!(result, Err(KeyFileError::Fingerprint { found, .. }) if found.to_string() == FINGERPRINT),
            "{kdf}"
        );
    }
}

#[test]
fn fingerprint_and_hint_are_optional() {
    let (_, text) = &documented()[2];
    let old = text.replace(&format!(",\"fingerprint\":\"{FINGERPRINT}\""), "");
    let file = KeyFile::parse(old.as_bytes()).unwrap();
    assert_eq!((file.fingerprint, &file.hint), (None, &None));
    assert_eq!(file.decrypt(Some(&hunter2())).unwrap(), counting_key());
    assert_eq!(file.to_json().expose(), old);
    let hinted = format!(r#"{},"hint":"the usual"}}"#, text.strip_suffix('}').unwrap());
    let file = KeyFile::parse(hinted.as_bytes()).unwrap();
    assert_eq!(file.hint.as_deref(), Some("the usual"));
    assert_eq!(file.to_json().expose(), hinted);
}

#[test]
fn wrong_forms_are_refused() {
    let [(_, plain), _, (_, protected)] = documented();
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    for (what, text) in [
        ("short key", plain.replace(key, "AAEC")),
        ("long key", plain.replace(key, &format!("AAEC{key}"))),
        ("no base64", plain.replace(key, "?")),
        ("no padding", plain.replace("Hh8=", "Hh8")),
        ("protected data without key", protected.replace("wLlMMQjLKkm9SGddT7Z5fe2EICZF20WKP1exf4MhyaNzg==", "wI=")),
        ("protected data too short", protected.replace("ICEiIyQlJico", "ICEiIyQl")),
        ("no salt", protected.replace(SALT, "?")),
        ("time with fraction", plain.replace("05+02:00", "05.5+02:00")),
        ("time without zone", plain.replace("05+02:00", "05")),
        ("time with month 13", plain.replace("2020-06", "2020-13")),
    ] {
        assert!(text != plain && text != protected, "{what}");
        assert!(matches!(KeyFile::parse(text.as_bytes()), Err(KeyFileError::Member { .. })), "{what}");
    }
    for (what, text) in [
        ("empty", String::new()),
        ("other kdf", protected.replace("PBKDF2", "Argon2")),
        ("negative rounds", protected.replace("65535", "-1")),
        ("no data", plain.replace("\"data\"", "\"date\"")),
        ("no time", plain.replace("\"created\"", "\"born\"")),
        ("short fingerprint", plain.replace("0e:ab:", "")),
    ] {
        assert!(matches!(KeyFile::parse(text.as_bytes()), Err(KeyFileError::Json { .. })), "{what}");
    }
    let long = " ".repeat(MAX_KEY_FILE_BYTES + 1);
    assert!(matches!(KeyFile::parse(long.as_bytes()), Err(KeyFileError::TooLong { .. })));
}

#[test]
fn errors_never_quote_the_text() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    for text in [
        format!("\"{key}\""),
        format!(r#"{{"kdf":"{key}"}}"#),
        format!(r#"{{"kdf":{{"{key}":1}}}}"#),
        format!(r#"{{"created":["{key}"]}}"#),
        format!(r#"{{"data":"{key}"}}"#),
        key.to_owned(),
    ] {
        let error = KeyFile::parse(text.as_bytes()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("AAEC"), "{error:?}");
    }
}

#[test]
fn excessive_derivation_parameters_are_refused_when_opening() {
    let [_, (_, scrypt), (_, pbkdf2)] = documented();
    for text in [
        scrypt.replace("65536", "65535"),
        scrypt.replace("65536", "4294967296"),
        scrypt.replace("\"r\":8", "\"r\":18446744073709551615"),
        scrypt.replace("\"p\":1", "\"p\":0"),
        pbkdf2.replace("65535", "0"),
        pbkdf2.replace("65535", "4294967295"),
    ] {
        let result = KeyFile::parse(text.as_bytes()).unwrap().decrypt(Some(&hunter2()));
        assert!(matches!(result, Err(KeyFileError::Derivation { source: CryptError::KdfParameters { .. } })), "{text}");
    }
}

#[test]
fn new_files_take_sensible_hints_and_passphrases_only() {
    let created = LocalTime::utc(Epoch(0));
    let make = |kdf, passphrase: &str, hint: Option<&str>| {
        KeyFile::protected(counting_key(), kdf, &Secret::new(passphrase), hint, created, &Documented)
    };
    assert!(matches!(make(Kdf::Pbkdf2, "1234", None), Err(KeyFileError::PassphraseTooShort)));
    assert!(matches!(make(Kdf::Pbkdf2, "12345", Some("")), Err(KeyFileError::Hint)));
    assert!(matches!(make(Kdf::Pbkdf2, "12345", Some("a\nb")), Err(KeyFileError::Hint)));
    assert!(matches!(make(Kdf::Pbkdf2, "12345", Some(&"ü".repeat(65))), Err(KeyFileError::Hint)));
    assert!(matches!(make(Kdf::None, "12345", Some("hint")), Err(KeyFileError::Hint)));
    let file = make(Kdf::Pbkdf2, "12345", Some(&"ü".repeat(64))).unwrap();
    assert_eq!(KeyFile::parse(file.to_json().expose().as_bytes()).unwrap(), file);
}

#[test]
fn debug_output_hides_the_key() {
    let text = format!("{:?}", KeyFile::plain(counting_key(), LocalTime::utc(Epoch(0))));
    assert!(text.contains("EncryptionKey(***)") && !text.contains("30, 31"), "{text}");
}

#[test]
fn names_of_derivations_are_the_documented_ones() {
    for (kdf, name) in [(Kdf::None, "none"), (Kdf::Scrypt, "scrypt"), (Kdf::Pbkdf2, "pbkdf2")] {
        assert_eq!(kdf.to_string(), name);
        assert_eq!(name.parse(), Ok(kdf));
        assert_eq!(serde_json::to_value(kdf).unwrap(), name);
    }
    assert_eq!(Kdf::default(), Kdf::Scrypt);
}

#[test]
fn times_are_read_in_both_forms_and_written_with_an_offset() {
    for (text, time, written) in [
        ("2020-06-26T13:56:05Z", 1_593_179_765, "2020-06-26T13:56:05+00:00"),
        ("2020-06-26T15:56:05+02:00", 1_593_179_765, "2020-06-26T15:56:05+02:00"),
        ("2020-06-26T08:26:05-05:30", 1_593_179_765, "2020-06-26T08:26:05-05:30"),
    ] {
        let read: LocalTime = text.parse().unwrap();
        assert_eq!((read.epoch(), read.to_string().as_str()), (Epoch(time), written));
    }
    for text in [
        "",
        "2020-06-26T15:56:05",
        "2020-06-26T15:56:05+0200",
        "2020-06-26T15:56:05+24:00",
        "2020-06-26T15:56:05+02:60",
        "2020-06-26T15:56:05*02:00",
        "2020-06-26T15:56:05+02-00",
        "2020-06-26T15:56:05z",
        "2020-06-26T15:56:0５",
        "2020-06-26T15:56:05+02:00Z",
    ] {
        assert!(text.parse::<LocalTime>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn every_plain_key_file_reads_back(
        key: [u8; 32], time in 0i64..Epoch::MAX.0 - 100_000, offset in -900i32..900, fraction in "\\PC{0,40}",
    ) {
        let file = KeyFile::plain(EncryptionKey::new(key), LocalTime::new(Epoch(time), offset));
        let read = KeyFile::parse(file.to_json().expose().as_bytes()).unwrap();
        prop_assert_eq!(read.decrypt(None).unwrap(), EncryptionKey::new(key));
        prop_assert_eq!(read, file);
        let _ = fraction.parse::<LocalTime>();
        let _ = KeyFile::parse(fraction.as_bytes());
    }
}
