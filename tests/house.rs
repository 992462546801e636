//! What holds the house up: rooms import only what the map in `src/lib.rs` has above them, the page's files import each other in
//! one direction, and none of its panels knows another.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
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

/// A file's module, as the names on its path from `src`.
fn module(inside: &Path) -> Vec<String> {
    let names = inside.with_extension("");
    let names = names.iter().filter_map(|name| name.to_str()).filter(|name| !matches!(*name, "mod" | "lib"));
    names.map(str::to_owned).collect()
}

/// Every path of a `use` tree, such as `a::{b, c::d}`.
fn use_paths(tree: &str) -> Vec<String> {
    let Some(open) = tree.find('{') else { return vec![tree.to_owned()] };
    let (before, inner) = (&tree[..open], tree[open + 1..].trim_end_matches('}'));
    let (mut paths, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in inner.char_indices().chain([(inner.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                // A closing brace of this tree may have been taken for one of an inner tree.
                let part = &inner[start..at];
                let missing = part.matches('{').count().saturating_sub(part.matches('}').count());
                paths.extend(use_paths(&format!("{part}{}", "}".repeat(missing))));
                start = at + 1;
            }
            _ => {}
        }
    }
    paths.iter().map(|path| format!("{before}{path}")).collect()
}

/// The modules that a file names, out of those that there are.
fn imports(own: &[String], code: &str, modules: &[Vec<String>]) -> Vec<usize> {
    let squeezed: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let uses = squeezed.split(';').filter_map(|line| line.rsplit_once("use ").map(|(_, tree)| tree));
    let named = uses.flat_map(|tree| use_paths(&tree.replace(' ', "")));
    let inline = squeezed.match_indices("crate::").map(|(at, _)| {
        let end = squeezed[at..].find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        squeezed[at..at + end.unwrap_or(squeezed.len() - at)].to_owned()
    });
    let mut found = Vec::new();
    for path in named.chain(inline) {
        let mut module = own.to_vec();
        for (index, name) in path.split("::").enumerate() {
            match name {
                "crate" => module.clear(),
                "self" if index == 0 => {}
                "super" => drop(module.pop()),
                name => module.push(name.to_owned()),
            }
        }
        let longest = (1..=module.len())
            .rev()
            .find_map(|length| modules.iter().position(|known| known.as_slice() == &module[..length]));
        found.extend(longest);
    }
    found
}

/// Whether one module holds the other.
fn are_kin(a: &[String], b: &[String]) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// The files below a folder of `src`, as modules with what each imports, but for those that hold it and those that it holds.
fn graph(folder: &str) -> (Vec<Vec<String>>, Vec<Vec<usize>>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&root.join(folder));
    let modules: Vec<Vec<String>> =
        files.iter().map(|file| module(file.strip_prefix(&root).unwrap())).collect();
    let edges = files.iter().zip(&modules).map(|(file, own)| {
        let all = imports(own, &code(file), &modules);
        all.into_iter().filter(|other| !are_kin(own, &modules[*other])).collect()
    });
    let edges = edges.collect();
    (modules, edges)
}

/// What can be reached from a module by imports.
fn reachable(from: usize, edges: &[Vec<usize>]) -> BTreeSet<usize> {
    let (mut seen, mut next) = (BTreeSet::new(), edges[from].clone());
    while let Some(module) = next.pop() {
        if seen.insert(module) {
            next.extend(&edges[module]);
        }
    }
    seen
}

#[test]
fn no_files_of_the_web_import_each_other_in_a_circle() {
    let (modules, edges) = graph("web");
    let circular = (0..modules.len()).filter(|module| reachable(*module, &edges).contains(module));
    let circular: Vec<String> = circular.map(|module| modules[module].join("::")).collect();
    assert!(circular.is_empty(), "{circular:#?}");
}

#[test]
fn no_panel_of_the_page_imports_a_panel() {
    let (modules, edges) = graph("web");
    let panel = |module: usize| match modules[module].as_slice() {
        [web, page, panels, name, ..] if web == "web" && page == "page" && panels == "panels" => Some(name),
        _ => None,
    };
    let panels: BTreeSet<&String> = (0..modules.len()).filter_map(panel).collect();
    assert!(panels.len() > 10, "panels are looked for in the wrong place: {panels:?}");
    let mut found = Vec::new();
    for (module, imports) in edges.iter().enumerate() {
        let (Some(own), name) = (panel(module), modules[module].join("::")) else { continue };
        for other in imports.iter().filter_map(|other| panel(*other)).filter(|other| *other != own) {
            found.push(format!("{name} imports {other}"));
        }
        // Nothing of the page may name the table of panels but the page.
        let table = ["web", "page", "panels"];
        assert!(imports.iter().all(|other| modules[*other] != table), "{name} imports the panels");
    }
    assert!(found.is_empty(), "{found:#?}");
}
