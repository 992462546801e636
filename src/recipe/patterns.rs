//! Lists as a recipe writes them: patterns of names, roles, steps that are finer for some.

use super::{Finer, refused};
use crate::number;
use crate::quantize::SettingsError;
use crate::role::Role;

/// Patterns as a recipe writes them: commas between them, and `\\,` for a comma in one.
pub fn patterns_text(patterns: &[String]) -> String {
    let escaped = |pattern: &String| pattern.replace('\\', "\\\\").replace(',', "\\,");
    patterns.iter().map(escaped).collect::<Vec<_>>().join(",")
}

/// Reads [`patterns_text`]; a backslash takes the next character as it is.
pub fn patterns_from(text: &str) -> Vec<String> {
    let mut patterns = vec![String::new()];
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            ',' => patterns.push(String::new()),
            '\\' => patterns.last_mut().into_iter().for_each(|last| last.extend(characters.next())),
            c => patterns.last_mut().into_iter().for_each(|last| last.push(c)),
        }
    }
    patterns.retain(|pattern| !pattern.is_empty());
    patterns
}

/// Roles as a recipe writes them: a list, `trained` or `all`.
pub fn roles_text(roles: &[Role]) -> String {
    if Role::ALL.iter().all(|role| roles.contains(role)) {
        return "all".to_owned();
    }
    if roles == Role::TRAINED {
        return "trained".to_owned();
    }
    roles.iter().map(|role| role.id()).collect::<Vec<_>>().join(",")
}

/// Reads [`roles_text`]; `trained` is what training moves: weights, biases, normalisation.
pub(super) fn roles_from(text: &str) -> Result<Vec<Role>, SettingsError> {
    let mut wanted = Vec::new();
    for word in text.split(',') {
        match word {
            "all" => wanted.extend(Role::ALL),
            "trained" => wanted.extend(Role::TRAINED),
            _ => wanted.push(Role::from_id(word).ok_or_else(|| {
                let ids: Vec<&str> = Role::ALL.iter().map(|role| role.id()).collect();
                refused("roles", format!("some of {}, or trained, or all", ids.join(", ")), word)
            })?),
        }
    }
    Ok(Role::ALL.into_iter().filter(|role| wanted.contains(role)).collect())
}

/// Finer steps as a recipe writes them: `PATTERN:BITS`, commas between, with a backslash before a comma in a pattern.
pub fn finer_text(finer: &[Finer]) -> String {
    patterns_text(
        &finer.iter().map(|Finer { pattern, bits }| format!("{pattern}:{bits}")).collect::<Vec<_>>(),
    )
}

/// Reads [`finer_text`].
pub fn finer_from(text: &str) -> Result<Vec<Finer>, SettingsError> {
    let read = |part: String| {
        let (pattern, bits) = part.rsplit_once(':').unwrap_or((&part, ""));
        let bits = number::parse(bits)
            .ok_or_else(|| refused("finer", "PATTERN:BITS, commas between", part.clone()))?;
        Ok(Finer { pattern: pattern.trim().to_owned(), bits })
    };
    patterns_from(text).into_iter().map(read).collect()
}

/// Whether `name` matches a pattern of literal characters, `*` (any run) and `?` (any one character).
///
/// Time is at most |pattern|·|name|.
pub fn matches(pattern: &str, name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    // reach[i]: the pattern read so far matches the first i characters.
    let mut reach = vec![false; name.len() + 1];
    if let Some(first) = reach.first_mut() {
        *first = true;
    }
    for p in pattern.chars() {
        let mut next = vec![false; reach.len()];
        let mut any = false;
        for (i, slot) in next.iter_mut().enumerate() {
            let here = reach.get(i).copied().unwrap_or(false);
            any |= here;
            let before = i > 0 && reach.get(i - 1).copied().unwrap_or(false);
            let same = i > 0 && (p == '?' || name.get(i - 1) == Some(&p));
            *slot = if p == '*' { any } else { before && same };
        }
        reach = next;
    }
    reach.last().copied().unwrap_or(false)
}
