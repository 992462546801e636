//! Why a weight file could not be read.

use std::io;

/// Why a weight file could not be read; says what its kind says.
///
/// A pointer, since every `?` on a reader's way moves what may be one: results stay as small as what they hold.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct FormatError(Box<FormatErrorKind>);

/// What is wrong with a weight file; variants are by who must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatErrorKind {
    /// The medium failed before the file could be judged.
    #[error("reading {part} at byte {offset} failed")]
    Io {
        /// What was being read.
        part: String,
        /// Where.
        offset: u64,
        /// The medium's own error.
        #[source]
        source: io::Error,
    },
    /// A file could not be written.
    #[error("writing {file}: {reason}")]
    Write {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// The file ends before the part named here does.
    #[error("{part} needs {needed} bytes at byte {offset} but the file has {found} there")]
    Truncated {
        /// What was being read.
        part: String,
        /// Where it starts.
        offset: u64,
        /// How many bytes it needs.
        needed: u64,
        /// How many there are.
        found: u64,
    },
    /// The file contradicts itself or its format.
    #[error("{part}: expected {expected}, found {found}")]
    Damaged {
        /// What was being read, with where.
        part: String,
        /// What the format asks for.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// The file declares something that this reader refuses to allocate for.
    #[error("{part} declares {declared}, over the limit of {limit}")]
    TooLarge {
        /// What was being read.
        part: String,
        /// The declared number.
        declared: u64,
        /// The largest accepted.
        limit: u64,
    },
    /// The file is sound as far as it was read, and uses something that is not supported.
    #[error("{part} is not supported: {found}")]
    Unsupported {
        /// What was met.
        part: String,
        /// What it is.
        found: String,
    },
    /// Data lies in another file, which must be opened together with this one.
    #[error("{part}: its data is in the file {file}, which is not open: choose both files together")]
    Companion {
        /// The tensor.
        part: String,
        /// The file's name.
        file: String,
    },
    /// Files that hold a part of the model are not there.
    #[error("{part} needs {files} as well: they belong beside it, or are chosen together with it")]
    Missing {
        /// The file that names them.
        part: String,
        /// Their names.
        files: String,
    },
    /// The file is of another kind than the ones read here.
    #[error("this is {found}, not a weight file that can be read here: {hint}")]
    Foreign {
        /// What the file is.
        found: String,
        /// What to do about it.
        hint: String,
    },
}

impl From<FormatErrorKind> for FormatError {
    #[cold]
    fn from(kind: FormatErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

impl FormatError {
    /// What is wrong.
    pub fn kind(&self) -> &FormatErrorKind {
        &self.0
    }

    /// A part that the medium failed to give.
    pub(crate) fn io(part: impl Into<String>, offset: u64, source: io::Error) -> Self {
        FormatErrorKind::Io { part: part.into(), offset, source }.into()
    }

    /// A file that could not be written.
    #[cfg(feature = "cli")]
    pub(crate) fn write(file: String, reason: impl Into<String>) -> Self {
        FormatErrorKind::Write { file, reason: reason.into() }.into()
    }

    /// A part of `needed` bytes at `offset`, where the file has `found`.
    pub(crate) fn truncated(part: impl Into<String>, offset: u64, needed: u64, found: u64) -> Self {
        FormatErrorKind::Truncated { part: part.into(), offset, needed, found }.into()
    }

    /// A part that contradicts itself or its format.
    pub(crate) fn damaged(
        part: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        FormatErrorKind::Damaged { part: part.into(), expected: expected.into(), found: found.into() }.into()
    }

    /// A sound part that uses something this reader does not support.
    pub(crate) fn unsupported(part: impl Into<String>, found: impl Into<String>) -> Self {
        FormatErrorKind::Unsupported { part: part.into(), found: found.into() }.into()
    }

    /// A part that declares more than `limit`.
    pub(crate) fn too_large(part: impl Into<String>, declared: u64, limit: u64) -> Self {
        FormatErrorKind::TooLarge { part: part.into(), declared, limit }.into()
    }

    /// Files that `part` names and that are not there.
    pub(crate) fn missing(part: impl Into<String>, names: &[&str]) -> Self {
        FormatErrorKind::Missing { part: part.into(), files: several(names) }.into()
    }

    /// The same error, of a file inside the one that was opened.
    #[must_use]
    pub(crate) fn inside(mut self, file: &str) -> Self {
        use FormatErrorKind as Kind;
        match &mut *self.0 {
            Kind::Io { part, .. }
            | Kind::Truncated { part, .. }
            | Kind::Damaged { part, .. }
            | Kind::TooLarge { part, .. }
            | Kind::Unsupported { part, .. }
            | Kind::Companion { part, .. }
            | Kind::Missing { part, .. }
            | Kind::Write { file: part, .. } => *part = format!("{}: {part}", shown(file)),
            Kind::Foreign { found, .. } => *found = format!("{}, which is {found}", shown(file)),
        }
        self
    }

    /// A file of another kind.
    pub(crate) fn foreign(found: impl Into<String>, hint: impl Into<String>) -> Self {
        FormatErrorKind::Foreign { found: found.into(), hint: hint.into() }.into()
    }
}

/// Names as a sentence lists them, three at most: `a, b and c`, `a, b, c and 4 more`.
pub(crate) fn several(names: &[&str]) -> String {
    let mut words: Vec<String> = names.iter().take(3).map(|name| shown(name)).collect();
    match names.len() {
        4.. => format!("{} and {} more", words.join(", "), names.len() - words.len()),
        _ => match words.pop() {
            Some(last) if !words.is_empty() => format!("{} and {last}", words.join(", ")),
            last => last.unwrap_or_default(),
        },
    }
}

/// `text` as it can stand inside one sentence: control characters escaped, shortened to 80 characters.
pub(crate) fn shown(text: &str) -> String {
    shortened(text, 80)
}

/// Text of any length without what a terminal would obey.
#[cfg(feature = "cli")]
pub(crate) fn escaped(text: &str) -> String {
    shortened(text, text.len())
}

/// A sentence of someone else's, on one line, shortened to 300 characters.
#[cfg(feature = "network")]
pub(crate) fn quoted(text: &str) -> String {
    shortened(&text.split_whitespace().collect::<Vec<_>>().join(" "), 300)
}

/// Whether a terminal or a page would obey the character instead of showing it: controls, line ends, changes of direction.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn shortened(text: &str, most: usize) -> String {
    let mut short = String::new();
    for c in text.chars().take(most) {
        if is_obeyed(c) {
            short.extend(c.escape_default());
        } else {
            short.push(c);
        }
    }
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    short
}
