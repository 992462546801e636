//! What holds the house up: rooms import only what the map in `src/lib.rs` has above them, files do not import each other in
//! circles, functions, files and comment lines stay short, and no colour or sentence is written twice.

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

/// The lines of a file up to its tests.
fn untested(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let is_test = |line: &str| line.starts_with("#[cfg(") && line.contains("test");
    let opens = |line: &str| line.starts_with("mod ") && line.ends_with('{');
    let tests = lines.iter().enumerate().position(|(at, line)| {
        let module = lines[at..].iter().find(|line| !line.starts_with("#["));
        is_test(line) && module.is_some_and(|line| opens(line))
    });
    lines[..tests.unwrap_or(lines.len())].to_vec()
}

/// The code of a file without its comments and its tests.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = untested(&text).into_iter().map(|line| line.split("//").next().unwrap_or_default());
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

/// Every source file that is no test, by its path below `src`.
fn house() -> BTreeMap<String, PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let named = |path: PathBuf| (path.strip_prefix(&root).unwrap().display().to_string(), path);
    let files = sources(&root).into_iter().map(named);
    files.filter(|(name, _)| !name.ends_with("tests.rs") && !name.ends_with("testing.rs")).collect()
}

/// The path of a file's module: `engine::targets::search` of `engine/targets/search.rs`.
fn module(name: &str) -> String {
    let name = name.trim_end_matches(".rs").trim_end_matches("/mod");
    if name == "lib" { String::new() } else { name.replace('/', "::") }
}

/// The end of the first identifier of a text.
fn identifier(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// Every path that a text after `use`, or a path in code, stands for: braces are taken apart.
fn paths(text: &str, before: &str, found: &mut Vec<String>) -> usize {
    let mut at = 0;
    let mut path = before.to_owned();
    loop {
        let rest = &text[at..];
        if let Some(inside) = rest.strip_prefix('{') {
            at += 1;
            let mut inside = inside;
            loop {
                let space = inside.len() - inside.trim_start_matches([' ', '\n', ',']).len();
                (at, inside) = (at + space, &inside[space..]);
                if inside.is_empty() || inside.starts_with('}') {
                    return at + 1;
                }
                let read = paths(inside, &path, found).max(1).min(inside.len());
                (at, inside) = (at + read, &inside[read..]);
            }
        }
        let end = identifier(rest);
        if end == 0 {
            break;
        }
        path = if path.is_empty() { rest[..end].to_owned() } else { format!("{path}::{}", &rest[..end]) };
        at += end;
        match text[at..].strip_prefix("::") {
            Some(_) => at += 2,
            None => break,
        }
    }
    found.push(path);
    at
}

/// A path as written in `module`, from the crate's root; nothing for what another crate has.
fn absolute(path: &str, module: &str) -> Option<String> {
    if path == "crate" || path.starts_with("crate::") {
        return Some(path.trim_start_matches("crate").trim_start_matches("::").to_owned());
    }
    if let Some(path) = path.strip_prefix("self::") {
        return Some(if module.is_empty() { path.to_owned() } else { format!("{module}::{path}") });
    }
    let (mut module, mut path) = (module, path);
    let mut climbed = false;
    while let Some(rest) = path.strip_prefix("super") {
        module = module.rsplit_once("::").map_or("", |(parent, _)| parent);
        path = rest.trim_start_matches("::");
        climbed = true;
    }
    climbed.then(|| format!("{module}::{path}").trim_matches(':').to_owned())
}

/// What modules bring into scope: for each, the names and where they come from.
type Scopes = BTreeMap<String, BTreeMap<String, String>>;

/// The module that defines what an absolute path names, as far as texts tell: the longest module of the path, or where that
/// module has the next name from.
fn defining(path: &str, scopes: &Scopes, depth: usize) -> String {
    let mut module = path;
    while !scopes.contains_key(module) {
        module = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    }
    let rest = path[module.len()..].trim_start_matches("::");
    let name = rest.split("::").next().unwrap_or_default();
    match scopes.get(module).and_then(|scope| scope.get(name)) {
        Some(from) if depth > 0 && !name.is_empty() => defining(from, scopes, depth - 1),
        _ => module.to_owned(),
    }
}

/// Which module imports which; a child that imports its parent is left out.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let files: Vec<(String, String)> = house()
        .iter()
        .filter(|(name, _)| !name.starts_with("bin/") && *name != "main.rs")
        .map(|(name, path)| (module(name), code(path)))
        .collect();
    let mut scopes: Scopes = files.iter().map(|(module, _)| (module.clone(), BTreeMap::new())).collect();
    let modules: Vec<String> = scopes.keys().cloned().collect();
    let mut named = Vec::new();
    for (module, code) in &files {
        for (at, _) in code.match_indices("use ") {
            let mut found = Vec::new();
            paths(&code[at + 4..], "", &mut found);
            for path in found {
                let first = path.split("::").next().unwrap_or_default();
                let child = format!("{module}::{first}").trim_matches(':').to_owned();
                let path = if modules.contains(&child) { format!("self::{path}") } else { path };
                let Some(path) = absolute(&path, module) else { continue };
                let name = path.rsplit("::").next().unwrap_or_default().to_owned();
                scopes.get_mut(module).unwrap().insert(name, path);
            }
        }
        for prefix in ["crate::", "super::"] {
            for (at, _) in code.match_indices(prefix) {
                // `super::super::x` is read from its first word, and a tree of `use` above.
                let mut found = Vec::new();
                paths(&code[at..], "", &mut found);
                let is_inside = code[..at].ends_with("::");
                named.extend(found.into_iter().filter(|_| !is_inside).map(|path| (module.clone(), path)));
            }
        }
        // Of a child: `child::name`.
        for child in modules.iter().filter_map(|other| other.strip_prefix(&format!("{module}::"))) {
            if !child.contains("::") && code.contains(&format!("{child}::")) {
                named.push((module.clone(), format!("self::{child}")));
            }
        }
    }
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, path) in named {
        let Some(path) = absolute(&path, &module) else { continue };
        let other = defining(&path, &scopes, 4);
        let is_ancestor = other.is_empty() || module.starts_with(&format!("{other}::"));
        if other != module && !is_ancestor && !module.is_empty() {
            imports.entry(module).or_default().insert(other);
        }
    }
    imports
}

/// Every module that one imports, or that those import, and so on.
fn reached<'a>(imports: &'a BTreeMap<String, BTreeSet<String>>, from: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut ahead = vec![from];
    while let Some(module) = ahead.pop() {
        let others = imports.get(module).into_iter().flatten().map(String::as_str);
        ahead.extend(others.filter(|other| reached.insert(*other)));
    }
    reached
}

#[test]
fn no_files_import_each_other_in_a_circle_but_parent_and_child() {
    let imports = imports();
    assert!(
        imports["engine::passes"].contains("engine::plan")
            && imports["cli::network"].contains("network::measure")
    );
    let mut circles = Vec::new();
    for (module, others) in &imports {
        let back = others.iter().filter(|other| reached(&imports, other).contains(module.as_str()));
        circles.extend(back.map(|other| format!("{module} imports {other}")));
    }
    assert!(circles.is_empty(), "on circles: {circles:#?}");
}

/// Functions that may be longer than [`LONGEST_FUNCTION`], each with why.
const LONG_FUNCTIONS: &[(&str, &str)] = &[
    ("derivatives", "a table: an operator's derivatives in each row"),
    ("positions", "a table: how each operator moves elements"),
    ("step", "a loop over opcodes: what each does to the stack of a pickle"),
];

/// Lines of the longest function.
const LONGEST_FUNCTION: usize = 60;

/// Lines of the longest file before its tests.
const LONGEST_FILE: usize = 600;

/// Columns of the longest line of comment.
const WIDEST_COMMENT: usize = 130;

/// The function that a line of formatted code begins, with the line's indentation.
fn function(line: &str) -> Option<(&str, &str)> {
    let (indent, code) = line.split_at(line.len() - line.trim_start().len());
    let words = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "unsafe "];
    let code = words.iter().fold(code, |code, word| code.strip_prefix(word).unwrap_or(code));
    let name = code.strip_prefix("fn ")?;
    Some((indent, &name[..identifier(name)]))
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let mut long = Vec::new();
    for (file, path) in house() {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = untested(&text);
        for (at, (indent, name)) in
            lines.iter().enumerate().filter_map(|(at, line)| Some((at, function(line)?)))
        {
            let ends = |line: &&&str| {
                line.strip_prefix(indent).is_some_and(|rest| rest.starts_with('}') || rest.ends_with(';'))
                    && !line.starts_with(&format!("{indent} "))
            };
            if lines[at].ends_with('}') || lines[at].ends_with(';') {
                continue;
            }
            let length = lines[at + 1..].iter().take_while(|line| !ends(line)).count() + 2;
            if length > LONGEST_FUNCTION && !LONG_FUNCTIONS.iter().any(|(known, _)| *known == name) {
                long.push(format!("{file}: {name} has {length} lines"));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn no_file_is_longer_than_can_be_kept_in_mind() {
    let lines = |path: &Path| untested(&std::fs::read_to_string(path).unwrap()).len();
    let long: Vec<String> = house()
        .into_iter()
        .map(|(file, path)| (file, lines(&path)))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .map(|(file, lines)| format!("{file} has {lines} lines before its tests"))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn no_line_of_comment_is_wider_than_the_code() {
    let mut wide = Vec::new();
    for (file, path) in house() {
        let text = std::fs::read_to_string(&path).unwrap();
        for (at, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("//") && line.chars().count() > WIDEST_COMMENT {
                wide.push(format!("{file}:{}", at + 1));
            }
        }
    }
    assert!(wide.is_empty(), "{wide:#?}");
}

/// Texts in quotes in code, without escapes being read.
fn texts(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside: Option<String> = None;
    let mut letters = code.chars().peekable();
    while let Some(letter) = letters.next() {
        match (&mut inside, letter) {
            (None, '\'') => {
                // A character, which may be a quote: 'x' or '\x'; else a lifetime.
                let mut ahead = letters.clone();
                let first = ahead.next();
                let escaped = first == Some('\\');
                if escaped {
                    ahead.next();
                }
                if ahead.next() == Some('\'') {
                    letters = ahead;
                }
            }
            (None, '"') => inside = Some(String::new()),
            (None, _) => {}
            (Some(_), '"') => found.extend(inside.take()),
            (Some(text), '\\') => {
                text.push(letter);
                text.extend(letters.next());
            }
            (Some(text), _) => text.push(letter),
        }
    }
    found
}

/// Sentences that may stand twice, each with why.
const SHARED_TEXTS: &[(&str, &str)] =
    &[("{part}: expected {expected}, found {found}", "the shape of an error, in the enum of each area")];

/// Letters from which on a text is a sentence.
const SENTENCE: usize = 40;

#[test]
fn no_colour_and_no_sentence_is_written_twice() {
    let is_colour = |text: &str| {
        text.len() == 7 && text.starts_with('#') && text[1..].chars().all(|c| c.is_ascii_hexdigit())
    };
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, path) in house() {
        let text = std::fs::read_to_string(&path).unwrap();
        let code: Vec<&str> =
            untested(&text).into_iter().filter(|line| !line.trim_start().starts_with("//")).collect();
        for text in texts(&code.join("\n")) {
            if text.chars().count() >= SENTENCE || is_colour(&text) {
                places.entry(text).or_default().push(file.clone());
            }
        }
    }
    assert!(places.len() > 100, "{} sentences", places.len());
    places.retain(|text, files| files.len() > 1 && !SHARED_TEXTS.iter().any(|(shared, _)| shared == text));
    assert!(places.is_empty(), "{places:#?}");
}

#[test]
fn no_panel_of_the_page_imports_a_panel() {
    const PANELS: &str = "web::page::panels";
    let panel = |module: &str| {
        let name = module.strip_prefix(PANELS)?.strip_prefix("::")?;
        Some(name.split("::").next().unwrap_or(name).to_owned())
    };
    let imports = imports();
    let panels: BTreeSet<String> = imports.keys().filter_map(|module| panel(module)).collect();
    assert!(panels.len() > 10, "panels are looked for in the wrong place: {panels:?}");
    let mut found = Vec::new();
    for (module, others) in &imports {
        let Some(own) = panel(module) else { continue };
        let are_others = |other: &&String| panel(other).map_or(*other == PANELS, |other| other != own);
        found.extend(others.iter().filter(are_others).map(|other| format!("{module} imports {other}")));
    }
    assert!(found.is_empty(), "{found:#?}");
}
