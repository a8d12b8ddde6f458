use std::path::Path;

use super::*;

fn dist(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    folder
}

#[test]
fn a_folder_is_listed_by_path_with_each_gzip_beside_its_file() {
    let folder = dist(&[
        ("index.html", b"<p>"),
        ("assets/index-4fe1.js", b"let a"),
        ("assets/index-4fe1.js.gz", b"\x1f\x8b"),
        ("assets/deep/font-1.woff2", b"w"),
        ("favicon.svg", b"<svg/>"),
        (".vite/manifest.json", b"{}"),
        ("alone.txt.gz", b"\x1f\x8b"),
    ]);
    let entries = embed::entries(folder.path()).unwrap();
    let listed: Vec<(&str, bool)> = entries.iter().map(|entry| (entry.path.as_str(), entry.gzip.is_some())).collect();
    let expected = [
        ("assets/deep/font-1.woff2", false),
        ("assets/index-4fe1.js", true),
        ("favicon.svg", false),
        ("index.html", false),
    ];
    assert_eq!(listed, expected);
    assert_eq!(entries[1].gzip.as_deref(), Some(&*folder.path().join("assets/index-4fe1.js.gz")));
}

#[test]
fn a_tag_changes_with_the_content_and_with_nothing_else() {
    let tags = |content: &[u8]| {
        let folder = dist(&[("a.txt", content)]);
        embed::entries(folder.path()).unwrap().remove(0).tag
    };
    assert_eq!(tags(b"one"), tags(b"one"));
    assert_ne!(tags(b"one"), tags(b"onf"));
    // The published test value of FNV-1a for "a".
    assert_eq!(tags(b"a"), "af63dc4c8601ec8c");
}

#[test]
fn the_source_names_type_and_place_of_every_file() {
    let entry = |path: &str, gzip: bool| embed::Entry {
        path: path.to_owned(),
        source: Path::new("/d").join(path),
        gzip: gzip.then(|| Path::new("/d").join(format!("{path}.gz"))),
        tag: "0".to_owned(),
    };
    let source = embed::source(&[entry("a\"b.js", true), entry("c.css", false), entry("d.unknown", false)]);
    let expected = r#"&[
    File { path: "a\"b.js", content_type: "text/javascript; charset=utf-8", bytes: include_bytes!("/d/a\"b.js"), gzip: Some(include_bytes!("/d/a\"b.js.gz")), tag: "0" },
    File { path: "c.css", content_type: "text/css; charset=utf-8", bytes: include_bytes!("/d/c.css"), gzip: None, tag: "0" },
    File { path: "d.unknown", content_type: "application/octet-stream", bytes: include_bytes!("/d/d.unknown"), gzip: None, tag: "0" },
]
"#;
    assert_eq!(source, expected);
}

#[test]
fn without_the_interface_nothing_is_embedded_and_the_index_says_how_to_get_it() {
    let folder = dist(&[]);
    assert_eq!(embed::source(&embed::entries(folder.path()).unwrap()), "&[\n]\n");
    assert_eq!(embed::entries(&folder.path().join("missing")).unwrap(), []);
    let page = index_of(&[], "n0nce");
    assert!(page.contains("cargo xtask ui build") && page.contains("<style nonce=\"n0nce\">"), "{page}");
    assert!(!page.contains(NONCE_MARK) && !page.contains("<script") && !page.contains("://"), "{page}");
}

#[test]
fn the_index_gets_a_nonce_and_is_no_file_of_its_own() {
    const fn made(path: &'static str, bytes: &'static [u8]) -> File {
        File { path, content_type: "", bytes, gzip: None, tag: "" }
    }
    static MADE: &[File] = &[
        made("assets/a.js", b"a"),
        made("index.html", b"<meta name=\"csp-nonce\" content=\"__CSP_NONCE__\">"),
        made("robots.txt", b"r"),
    ];
    assert_eq!(index_of(MADE, "x+/="), "<meta name=\"csp-nonce\" content=\"x+/=\">");
    assert_eq!(file_of(MADE, "assets/a.js").map(|file| (file.bytes, file.is_immutable())), Some((&b"a"[..], true)));
    assert_eq!(file_of(MADE, "robots.txt").map(|file| file.is_immutable()), Some(false));
    assert_eq!(file_of(MADE, "assets"), None);
    assert_eq!(file("index.html"), None);
}

#[test]
fn what_this_build_embeds_is_found_by_its_path() {
    for file in files().filter(|file| file.path != "index.html") {
        assert_eq!(super::file(file.path), Some(file));
    }
    assert_eq!(is_built(), files().any(|file| file.path == "index.html"));
}
