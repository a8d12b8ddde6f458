//! Round trips, documented samples and damage.

use farhold_crypto::{CryptConfig, CryptError, EncryptionKey, Iv};
use proptest::prelude::*;

use super::{BlobDecoder, BlobEncoder, BlobError, BlobKind, Compression, MAX_INPUT_BYTES, check, kind, seal};

const LIMIT: usize = 1 << 20;

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

fn counting_key() -> CryptConfig {
    CryptConfig::new(EncryptionKey::new(std::array::from_fn(|i| u8::try_from(i).unwrap())))
}

const SAMPLE_IV: Iv = [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f];

/// The blobs of the specification with their kind and content.
fn samples() -> [(BlobKind, Vec<u8>, Vec<u8>); 5] {
    let many = vec![b'A'; 1000];
    [
        (BlobKind::Plain, bytes("42ab3807be8370a1 86a61036 68656c6c6f"), b"hello".to_vec()),
        (BlobKind::Plain, bytes("42ab3807be8370a1 00000000"), Vec::new()),
        (BlobKind::Zstd, bytes("31b958426fb6a37f 19e21cc5 28b52ffd60e8024d00001041410100e32b8005"), many.clone()),
        (
            BlobKind::Encrypted,
            bytes(
                "7b6785be222d4cf0 499d991b 101112131415161718191a1b1c1d1e1f
                 bbe022b70269e0f0d9e91942ac3d0c83 e23f560c88",
            ),
            b"hello".to_vec(),
        ),
        (
            BlobKind::EncryptedZstd,
            bytes(
                "e6591bbf0bbfd80b f7122d7a 101112131415161718191a1b1c1d1e1f
                 7123a9e321920d55f73390f9306ac327 a2ef159d879939e26b0b8e28f6a111e29b0564",
            ),
            many,
        ),
    ]
}

#[test]
fn magic_numbers_start_the_hash_of_their_texts() {
    for (kind, text) in [
        (BlobKind::Plain, "Proxmox Backup uncompressed blob v1.0"),
        (BlobKind::Zstd, "Proxmox Backup zstd compressed blob v1.0"),
        (BlobKind::Encrypted, "Proxmox Backup encrypted blob v1.0"),
        (BlobKind::EncryptedZstd, "Proxmox Backup zstd compressed encrypted blob v1.0"),
    ] {
        assert_eq!(kind.magic(), farhold_crypto::sha256(text.as_bytes()).0[..8]);
    }
}

#[test]
fn documented_samples_decode_to_the_documented_content() {
    let (key, mut decoder) = (counting_key(), BlobDecoder::new());
    for (expected_kind, encoded, content) in samples() {
        assert_eq!(check(&encoded).unwrap(), expected_kind);
        assert_eq!(kind(&encoded).unwrap(), expected_kind);
        assert_eq!(decoder.decode(&encoded, Some(&key), LIMIT).unwrap(), content);
    }
}

#[test]
fn encoding_gives_the_documented_samples() {
    let (key, mut encoder) = (counting_key(), BlobEncoder::new());
    for (kind, encoded, content) in samples() {
        let encryption = kind.is_encrypted().then_some((&key, SAMPLE_IV));
        if kind.is_compressed() {
            // The compressed bytes may change with the library's version, so only the kind is promised.
            let found = encoder.encode(&content, Compression::On, encryption).unwrap();
            assert_eq!(check(&found).unwrap(), kind);
        } else {
            assert_eq!(encoder.encode(&content, Compression::Off, encryption).unwrap(), encoded);
        }
    }
}

#[test]
fn content_that_does_not_shrink_stays_uncompressed() {
    let mut encoder = BlobEncoder::new();
    for content in [&b""[..], b"x", b"hello", &(0..=255).collect::<Vec<u8>>()] {
        let encoded = encoder.encode(content, Compression::On, None).unwrap();
        assert_eq!(check(&encoded).unwrap(), BlobKind::Plain);
        assert_eq!(encoded[12..], *content);
    }
    let encoded = encoder.encode(&vec![0; 4096], Compression::Off, None).unwrap();
    assert_eq!(encoded.len(), 12 + 4096);
}

#[test]
fn more_than_the_largest_input_is_refused() {
    let content = vec![0; MAX_INPUT_BYTES + 1];
    let result = BlobEncoder::new().encode(&content, Compression::On, None);
    assert!(matches!(result, Err(BlobError::InputTooLong { size_bytes }) if size_bytes == content.len()));
}

#[test]
fn every_flipped_byte_is_noticed_by_the_layer_that_covers_it() {
    let (key, mut decoder) = (counting_key(), BlobDecoder::new());
    for (kind, encoded, _) in samples() {
        for position in 0..encoded.len() {
            let mut damaged = encoded.clone();
            damaged[position] ^= 0x40;
            let load = check(&damaged);
            match position {
                0..8 => assert!(matches!(load, Err(BlobError::UnknownMagic { .. })), "{kind:?} {position}"),
                12..44 if kind.is_encrypted() => {
                    assert_eq!(load.unwrap(), kind);
                    let decoded = decoder.decode(&damaged, Some(&key), LIMIT);
                    let Err(BlobError::Crypt { source }) = decoded else { panic!("{kind:?} {position}") };
                    assert_eq!(source, CryptError::NotAuthentic);
                }
                _ => assert!(matches!(load, Err(BlobError::Damaged { .. })), "{kind:?} {position}"),
            }
            assert!(decoder.decode(&damaged, Some(&key), LIMIT).is_err(), "{kind:?} {position}");
        }
    }
}

#[test]
fn sealing_writes_the_crc_whatever_stood_there_and_changes_nothing_else() {
    for (kind, right, _) in samples() {
        let mut blob = right.clone();
        blob[8..12].fill(0xff);
        assert_eq!(seal(&mut blob).unwrap(), kind);
        assert_eq!(blob, right);
    }
    assert!(matches!(seal(&mut [0; 20]), Err(BlobError::UnknownMagic { .. })));
    assert!(matches!(seal(&mut BlobKind::Plain.magic()), Err(BlobError::TooShort { .. })));
}

#[test]
fn every_cut_and_every_extra_byte_is_noticed() {
    for (kind, encoded, content) in samples() {
        for length in 0..encoded.len() {
            let result = check(&encoded[..length]);
            if length < kind.header_bytes() {
                assert!(matches!(result, Err(BlobError::TooShort { .. })), "{kind:?} {length}");
            } else {
                assert!(matches!(result, Err(BlobError::Damaged { .. })), "{kind:?} {length}");
            }
        }
        let longer = [&encoded[..], &[0]].concat();
        assert!(matches!(check(&longer), Err(BlobError::Damaged { .. })), "{kind:?} {}", content.len());
    }
}

#[test]
fn an_encrypted_blob_needs_the_right_key() {
    let mut decoder = BlobDecoder::new();
    let other = CryptConfig::new(EncryptionKey::new([1; 32]));
    for (kind, encoded, _) in samples().into_iter().filter(|(kind, _, _)| kind.is_encrypted()) {
        assert!(matches!(decoder.decode(&encoded, None, LIMIT), Err(BlobError::KeyMissing)), "{kind:?}");
        let wrong = decoder.decode(&encoded, Some(&other), LIMIT);
        assert!(matches!(wrong, Err(BlobError::Crypt { source: CryptError::NotAuthentic })), "{kind:?}");
    }
}

#[test]
fn taking_the_encryption_off_keeps_content_and_compressed_form() {
    let (key, mut decoder, mut encoder) = (counting_key(), BlobDecoder::new(), BlobEncoder::new());
    let mut plain = b"left over".to_vec();
    for (kind, encoded, content) in samples() {
        let result = decoder.decrypt_into(&encoded, &key, LIMIT, &mut plain, &mut encoder);
        if !kind.is_encrypted() {
            assert!(matches!(result, Err(BlobError::NotEncrypted)) && plain.is_empty(), "{kind:?}");
            continue;
        }
        let unwrapped = result.unwrap();
        assert_eq!(plain, content);
        let expected = if kind.is_compressed() { BlobKind::Zstd } else { BlobKind::Plain };
        assert_eq!(check(&unwrapped).unwrap(), expected);
        assert_eq!(decoder.decode(&unwrapped, None, LIMIT).unwrap(), content);
        let other = CryptConfig::new(EncryptionKey::new([1; 32]));
        assert!(decoder.decrypt_into(&encoded, &other, LIMIT, &mut plain, &mut encoder).is_err() && plain.is_empty());
        let short = decoder.decrypt_into(&encoded, &key, content.len() - 1, &mut plain, &mut encoder);
        assert!(matches!(short, Err(BlobError::TooLarge { .. })), "{kind:?}");
    }
    // Content that was encrypted without compression is compressed now.
    let encoded = encoder.encode(&[7; 5000], Compression::Off, Some((&key, SAMPLE_IV))).unwrap();
    let unwrapped = decoder.decrypt_into(&encoded, &key, LIMIT, &mut plain, &mut encoder).unwrap();
    assert_eq!((check(&unwrapped).unwrap(), unwrapped.len() < 100), (BlobKind::Zstd, true));
    assert_eq!(plain, [7; 5000]);
}

#[test]
fn putting_the_encryption_on_keeps_content_and_compressed_form() {
    let (key, mut decoder, mut encoder) = (counting_key(), BlobDecoder::new(), BlobEncoder::new());
    for (kind, stored, content) in samples() {
        let result = encoder.encrypt(&stored, &content, &key, SAMPLE_IV);
        if kind.is_encrypted() {
            assert!(matches!(result, Err(BlobError::IsEncrypted)), "{kind:?}");
            continue;
        }
        let sealed = result.unwrap();
        let expected = if kind.is_compressed() { BlobKind::EncryptedZstd } else { BlobKind::Encrypted };
        assert_eq!(check(&sealed).unwrap(), expected);
        assert_eq!(decoder.decode(&sealed, Some(&key), LIMIT).unwrap(), content);
        assert_eq!(sealed[12..28], SAMPLE_IV);
        assert_eq!(decoder.decrypt_into(&sealed, &key, LIMIT, &mut Vec::new(), &mut encoder).unwrap(), stored);
    }
    // Content that was stored without compression is compressed now.
    let stored = encoder.encode(&[7; 5000], Compression::Off, None).unwrap();
    let sealed = encoder.encrypt(&stored, &[7; 5000], &key, SAMPLE_IV).unwrap();
    assert_eq!((check(&sealed).unwrap(), sealed.len() < 200), (BlobKind::EncryptedZstd, true));
    // A compressed form that is longer than the content, as no reader would take it, is not kept.
    let content: Vec<u8> = (0..50).collect();
    let stored = container(BlobKind::Zstd, &zstd::bulk::compress(&content, 1).unwrap());
    assert!(12 + content.len() < stored.len());
    let sealed = encoder.encrypt(&stored, &content, &key, SAMPLE_IV).unwrap();
    assert_eq!((check(&sealed).unwrap(), sealed.len()), (BlobKind::Encrypted, 44 + content.len()));
    for broken in [&stored[..11], b"no blob at all, but long enough to be one"] {
        assert!(encoder.encrypt(broken, &content, &key, SAMPLE_IV).is_err());
    }
}

/// Wraps a payload in an unencrypted container with a right CRC.
fn container(kind: BlobKind, payload: &[u8]) -> Vec<u8> {
    super::encode::wrap(kind, payload)
}

#[test]
fn invalid_zstd_streams_with_a_right_crc_are_refused() {
    let stream = zstd::bulk::compress(&[7; 5000], 3).unwrap();
    let mut decoder = BlobDecoder::new();
    for (what, payload) in [
        ("empty", Vec::new()),
        ("no stream", b"hello".to_vec()),
        ("cut", stream[..stream.len() - 1].to_vec()),
        ("header only", stream[..6].to_vec()),
        ("garbage behind", [&stream[..], b"hello"].concat()),
        ("garbage inside", [&stream[..8], &[0xff; 20], &stream[8..]].concat()),
    ] {
        let result = decoder.decode(&container(BlobKind::Zstd, &payload), None, LIMIT);
        assert!(matches!(result, Err(BlobError::Compression { .. })), "{what}: {result:?}");
    }
}

/// A stream that does not announce its size, as streaming writers make them.
fn stream_without_size(content: &[u8], level: i32) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), level).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn streams_of_other_levels_and_without_announced_size_decode() {
    let content: Vec<u8> = (0..200_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
    let mut decoder = BlobDecoder::new();
    for level in [-5, 1, 3, 19] {
        let announced = container(BlobKind::Zstd, &zstd::bulk::compress(&content, level).unwrap());
        let silent = container(BlobKind::Zstd, &stream_without_size(&content, level));
        assert_eq!(decoder.decode(&announced, None, content.len()).unwrap(), content);
        let decoded = decoder.decode(&silent, None, LIMIT).unwrap();
        assert_eq!(decoded, content);
        assert!(decoded.capacity() < LIMIT);
    }
}

#[test]
fn content_beyond_the_limit_is_refused_without_taking_its_memory() {
    let content = vec![0u8; 32 << 20];
    let mut decoder = BlobDecoder::new();
    let mut plain = Vec::new();
    for (what, payload) in [
        ("announced", zstd::bulk::compress(&content, 1).unwrap()),
        ("silent", stream_without_size(&content, 1)),
        ("two streams", zstd::bulk::compress(&content[..700_000], 1).unwrap().repeat(2)),
        ("announced, then silent", {
            let first = zstd::bulk::compress(&content[..700_000], 1).unwrap();
            [first, stream_without_size(&content, 1)].concat()
        }),
    ] {
        assert!(payload.len() < 8192, "{what}");
        let blob = container(BlobKind::Zstd, &payload);
        let result = decoder.decode_into(&blob, None, LIMIT, &mut plain);
        assert!(matches!(result, Err(BlobError::TooLarge { max_plain_bytes: LIMIT })), "{what}: {result:?}");
        assert!(plain.is_empty() && plain.capacity() <= LIMIT, "{what}");
    }
    let blob = container(BlobKind::Plain, &content[..=LIMIT]);
    assert!(matches!(decoder.decode(&blob, None, LIMIT), Err(BlobError::TooLarge { .. })));
    // The header claims 2^60 bytes, the stream holds none of them.
    let lie = bytes("28b52ffd e0 0000000000000010 010000");
    let result = decoder.decode(&container(BlobKind::Zstd, &lie), None, LIMIT);
    assert!(matches!(result, Err(BlobError::TooLarge { .. })), "{result:?}");
}

#[test]
fn a_buffer_with_more_room_than_allowed_does_not_widen_the_limit() {
    let mut plain = Vec::with_capacity(100_000);
    let mut decoder = BlobDecoder::new();
    let blob = container(BlobKind::Zstd, &stream_without_size(&[5; 60_000], 1));
    assert!(matches!(
        decoder.decode_into(&blob, None, 50_000, &mut plain),
        Err(BlobError::TooLarge { max_plain_bytes: 50_000 })
    ));
    assert!(plain.is_empty());
    decoder.decode_into(&blob, None, 60_000, &mut plain).unwrap();
    assert_eq!(plain, [5; 60_000]);
}

#[test]
fn a_used_buffer_holds_only_the_new_content() {
    let mut plain = b"something older and longer".to_vec();
    let (key, mut decoder) = (counting_key(), BlobDecoder::new());
    for (_, encoded, content) in samples() {
        decoder.decode_into(&encoded, Some(&key), LIMIT, &mut plain).unwrap();
        assert_eq!(plain, content);
    }
    assert!(decoder.decode_into(b"no blob", None, LIMIT, &mut plain).is_err());
    assert!(plain.is_empty());
}

proptest! {
    #[test]
    fn decoding_gives_back_what_was_encoded(
        content in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3000),
            (any::<u8>(), 0usize..20_000).prop_map(|(byte, n)| vec![byte; n]),
        ],
        compress: bool,
        encrypt: bool,
        iv: Iv,
    ) {
        let key = counting_key();
        let compression = if compress { Compression::On } else { Compression::Off };
        let encoded = BlobEncoder::new().encode(&content, compression, encrypt.then_some((&key, iv))).unwrap();
        let kind = check(&encoded).unwrap();
        prop_assert_eq!(kind.is_encrypted(), encrypt);
        prop_assert!(encoded.len() <= kind.header_bytes() + content.len());
        prop_assert_eq!(BlobDecoder::new().decode(&encoded, Some(&key), content.len()).unwrap(), content);
    }

    #[test]
    fn arbitrary_bytes_never_panic(payload in prop::collection::vec(any::<u8>(), 0..200), which in 0usize..4) {
        let key = counting_key();
        let mut decoder = BlobDecoder::new();
        let _ = decoder.decode(&payload, Some(&key), LIMIT);
        let _ = decoder.decode(&container(BlobKind::ALL[which], &payload), Some(&key), LIMIT);
    }
}
