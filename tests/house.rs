//! What holds the house up: rooms import only what the map in `src/lib.rs` has above them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every source file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code of a file without its comments and its tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The word that a text starts with.
fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap_or_default()
}

/// Every room with its line in the map.
fn map(library: &str) -> BTreeMap<String, usize> {
    let lines = library.lines().filter_map(|line| line.strip_prefix("//! - "));
    let rooms = lines.enumerate().flat_map(|(rank, line)| {
        let names = line
            .split(';')
            .flat_map(|part| part.split(": ").next().into_iter().flat_map(|names| names.split(", ")));
        names
            .filter_map(|name| name.trim().trim_start_matches('[').strip_prefix('`'))
            .map(move |name| (word(name).to_owned(), rank))
            .collect::<Vec<_>>()
    });
    rooms.collect()
}

#[test]
fn no_room_imports_one_that_the_map_has_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let library = std::fs::read_to_string(root.join("lib.rs")).unwrap();
    let map = map(&library);
    let declared = code(&root.join("lib.rs"));
    for room in declared.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")) {
        assert!(map.contains_key(word(room)), "the map does not have {room}");
    }
    let mut climbing = Vec::new();
    for path in sources(&root) {
        let inside = path.strip_prefix(&root).unwrap();
        let room = word(inside.iter().next().and_then(|part| part.to_str()).unwrap_or_default());
        let Some(own) = map.get(room) else { continue };
        let code = code(&path);
        for (at, prefix) in code.match_indices("crate::") {
            let other = word(&code[at + prefix.len()..]);
            if map.get(other).is_some_and(|rank| rank > own) {
                climbing.push(format!("{} imports {other}", inside.display()));
            }
        }
    }
    assert!(climbing.is_empty(), "{climbing:#?}");
}
