//! The table of weight-file formats: a row each, which everything else asks.
//!
//! Names in sentences, the choice of a writer by a file's name, what the page says that it opens and `docs/file-formats.md` come
//! from it. A file's kind is told by its content alone: first by signatures, which no two kinds share; then, after the signatures
//! of kinds that are only [recognised](super::foreign), by the form of what the file starts with.

use super::inside::Open;
use super::numpy::{npy, npz};
use super::writer::{Contents, ExportError, Frame, Template};
use super::zip::{Archive, is_zip};
use super::zipped::{is_zipped, open_zipped};
use super::{
    FormatError, Limits, Part, Source, gguf, numpy, onnx, read_part, safetensors, shards, torch, zip,
};
use crate::anatomy::Anatomy;
use crate::model::{FileFormat, Model};
use std::io::Write;

/// Bytes of a file's start that recognition looks at.
const HEAD_BYTES: u64 = 4096;

/// A file whose kind is to be told.
pub(super) struct Unopened<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) limits: &'a Limits,
    /// Its first bytes, as many as recognition looks at.
    pub(super) head: Vec<u8>,
    /// Its directory, where it is a zip archive.
    pub(super) archive: Option<Archive>,
    /// How a file inside it is opened, unless it is itself inside one.
    pub(super) inside: Option<Open>,
}

impl<'a> Unopened<'a> {
    pub(super) fn new(
        source: &'a dyn Source,
        limits: &'a Limits,
        inside: Option<Open>,
    ) -> Result<Self, FormatError> {
        let first = source.parts().first().map_or(source.len(), |part| part.span.len);
        let len = first.min(HEAD_BYTES);
        let head = read_part(source, "the file's start", 0, len, u64::MAX)?;
        // Of several files the first may be one: that is for the reader of several to open.
        let is_archive = is_zip(&head) && source.parts().len() < 2;
        let archive = if is_archive { Some(Archive::open(source, limits)?) } else { None };
        Ok(Self { source, limits, head, archive, inside })
    }

    /// Its directory; refused where it is no archive.
    fn archive(&self) -> Result<&Archive, FormatError> {
        self.archive.as_ref().ok_or_else(|| FormatError::damaged("the file", "a zip archive", "none"))
    }
}

/// A kind of weight file.
pub(super) struct Format {
    id: FileFormat,
    /// What people call it.
    name: &'static str,
    /// What a file of it is called in a list of what can be opened; empty where another row says it, and for what is no
    /// weight file.
    noun: &'static str,
    /// What names of its files end in, lower case, without the dot; several readers may share one, writers do not.
    extensions: &'static [&'static str],
    /// Whether it is told by a signature, or else by its form.
    pub(super) has_signature: bool,
    pub(super) is_told: fn(&Unopened) -> bool,
    pub(super) open: fn(&Unopened) -> Result<Model, FormatError>,
    /// What of a file of it changes with its tensors' numbers beside those numbers, if anything does.
    pub(super) anatomy: Option<Anatomize>,
    /// Whether its reader tells the tensors' roles by what uses them; else they are told by their names.
    pub(super) tells_roles: bool,
    /// The names of other files that hold data of one, sorted; none for a file of another kind.
    pub(super) companions: Option<Companions>,
    writes: Option<Writes>,
}

/// How files of a format are written.
pub(super) struct Writes {
    pub(super) start: Start,
    /// For a format that is written into the file that the weights came from: the files that this gives.
    parts: Option<Parts>,
}

/// Where networks are run, other weights are put into their models; the page gives back the models of compressed files.
#[cfg(feature = "network")]
const INTO_ONNX: Option<Writes> = Some(Writes { start: onnx::start, parts: Some(onnx::parts) });
#[cfg(not(feature = "network"))]
const INTO_ONNX: Option<Writes> = None;

/// Says what of a file changes.
type Anatomize = fn(&Unopened, &Model) -> Result<Anatomy, FormatError>;

/// Names files that belong to one.
type Companions = fn(&dyn Source, &Limits) -> Result<Vec<String>, FormatError>;

/// Names the files that a template gives.
type Parts = fn(&Template) -> Result<Vec<Part>, ExportError>;

/// Starts a file.
type Start = for<'a> fn(&mut dyn Write, &Contents<'a>) -> Result<Box<dyn Frame + 'a>, ExportError>;

/// Of an archive inside an archive the outer one's alone: checksums of checksums are not reckoned.
fn zipped_anatomy(file: &Unopened, model: &Model) -> Result<Anatomy, FormatError> {
    let outer = zip::anatomy(file.source, file.archive()?, model, file.limits)?;
    let is_unknown = model.anatomy != Anatomy::default();
    Ok(Anatomy { is_unknown, ..outer })
}

/// What files of `torch.save` are called, whatever wrote them.
const TORCH_EXTENSIONS: &[&str] = &["pt", "pth", "th", "bin"];

/// Every format, in the order in which a file is asked whether it is one, signatures first.
pub(super) static FORMATS: [Format; 11] = [
    // Before the kinds of its files, the first of which the source begins with where there is no index.
    Format {
        id: FileFormat::Shards,
        name: "sharded safetensors or PyTorch",
        noun: "",
        extensions: &["index.json"],
        has_signature: true,
        // Split GGUF models are read by their own reader.
        is_told: |file| {
            let is_numbered = shards::is_numbered(file.source.parts()) && !gguf::is_gguf(&file.head);
            is_numbered || shards::is_index(&file.head)
        },
        open: |file| shards::open(file.source, &file.head, file.limits),
        anatomy: Some(|_, model| Ok(model.anatomy.clone())),
        tells_roles: false,
        companions: Some(shards::companions),
        writes: None,
    },
    Format {
        id: FileFormat::Safetensors,
        name: "safetensors",
        noun: "safetensors",
        extensions: &["safetensors"],
        has_signature: false,
        is_told: |file| safetensors::is_safetensors(&file.head),
        open: |file| safetensors::open(file.source, file.limits),
        anatomy: None,
        tells_roles: false,
        companions: None,
        writes: Some(Writes { start: safetensors::start, parts: None }),
    },
    Format {
        id: FileFormat::Npy,
        name: "NumPy .npy",
        noun: ".npy",
        extensions: &["npy"],
        has_signature: true,
        is_told: |file| npy::is_npy(&file.head),
        open: |file| npy::open(file.source, file.limits),
        anatomy: None,
        tells_roles: false,
        companions: None,
        writes: None,
    },
    // Before other archives with a pickle, which may stand among its extra files.
    Format {
        id: FileFormat::TorchExport,
        name: "PyTorch (torch.export)",
        noun: "",
        extensions: &["pt2"],
        has_signature: true,
        is_told: |file| file.archive.as_ref().is_some_and(torch::is_export),
        open: |file| torch::open_export(file.source, file.archive()?, file.limits),
        anatomy: Some(|file, model| zip::anatomy(file.source, file.archive()?, model, file.limits)),
        tells_roles: false,
        companions: None,
        writes: None,
    },
    // Before the archives of arrays: one of PyTorch may have an array beside its pickle.
    Format {
        id: FileFormat::TorchZip,
        name: "PyTorch (zip)",
        noun: "",
        extensions: TORCH_EXTENSIONS,
        has_signature: true,
        is_told: |file| file.archive.as_ref().and_then(torch::find_pickle).is_some(),
        open: |file| torch::open_zip(file.source, file.archive()?, file.limits),
        anatomy: Some(|file, model| zip::anatomy(file.source, file.archive()?, model, file.limits)),
        tells_roles: false,
        companions: None,
        writes: None,
    },
    Format {
        id: FileFormat::Npz,
        name: "NumPy .npz",
        noun: ".npz",
        extensions: &["npz"],
        has_signature: true,
        is_told: |file| file.archive.as_ref().is_some_and(npz::is_npz),
        open: |file| npz::open(file.source, file.archive()?, file.limits),
        anatomy: Some(|file, model| zip::anatomy(file.source, file.archive()?, model, file.limits)),
        tells_roles: false,
        companions: None,
        writes: Some(Writes { start: numpy::start, parts: None }),
    },
    // After the kinds that are archives themselves.
    Format {
        id: FileFormat::Zip,
        name: "weight file in a zip archive",
        noun: "",
        extensions: &["zip"],
        has_signature: true,
        is_told: |file| file.archive.as_ref().is_some_and(|archive| is_zipped(archive, is_weight_name)),
        open: |file| open_zipped(file.source, file.archive()?, is_weight_name, file.inside, file.limits),
        anatomy: Some(zipped_anatomy),
        tells_roles: true,
        companions: None,
        writes: None,
    },
    Format {
        id: FileFormat::TorchLegacy,
        name: "PyTorch (legacy pickle)",
        noun: "a PyTorch file",
        extensions: TORCH_EXTENSIONS,
        has_signature: false,
        is_told: |file| torch::is_pickle(&file.head),
        open: |file| torch::open_pickle(file.source, file.limits),
        anatomy: None,
        tells_roles: false,
        companions: None,
        writes: None,
    },
    Format {
        id: FileFormat::Onnx,
        name: "ONNX",
        noun: "an ONNX model",
        extensions: &["onnx"],
        has_signature: false,
        is_told: |file| onnx::is_onnx(file.source),
        open: |file| onnx::open(file.source, file.limits),
        anatomy: Some(|file, model| onnx::anatomy(file.source, model)),
        tells_roles: true,
        companions: Some(onnx::companions),
        writes: INTO_ONNX,
    },
    Format {
        id: FileFormat::Gguf,
        name: "GGUF",
        noun: "a GGUF file",
        extensions: &["gguf"],
        has_signature: true,
        is_told: |file| gguf::is_gguf(&file.head),
        open: |file| gguf::open(file.source, file.limits),
        anatomy: None,
        tells_roles: false,
        companions: Some(gguf::companions),
        writes: None,
    },
    // Compressed, and read by a room of its own, `container`.
    Format {
        id: FileFormat::Qsz,
        name: "Quantscope .qsz",
        noun: "",
        extensions: &["qsz"],
        has_signature: true,
        is_told: |file| file.head.starts_with(b"\x89QSZ\r\n\x1a\n"),
        open: |_| {
            Err(FormatError::foreign("a compressed .qsz file", "decode it first to get at its weights"))
        },
        anatomy: None,
        tells_roles: false,
        companions: None,
        writes: None,
    },
];

impl FileFormat {
    /// Its row. Every format has one, so the last never stands in for another.
    fn row(self) -> &'static Format {
        let [.., last] = &FORMATS;
        FORMATS.iter().find(|row| row.id == self).unwrap_or(last)
    }

    /// The format's name for people.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What the name of a file of it ends in, without the dot.
    pub fn extension(self) -> &'static str {
        self.row().extensions.first().copied().unwrap_or_default()
    }

    /// Whether a file of this name should be one of it; what it is, its content tells.
    pub fn is_name_of(self, name: &str) -> bool {
        self.row().has_extension_of(name)
    }

    /// How it is written, if it is.
    pub(super) fn writes(self) -> Result<&'static Writes, ExportError> {
        self.row().writes.as_ref().ok_or(ExportError::Unwritten(self.name()))
    }

    /// Whether it is written into the file that the weights came from.
    pub fn needs_template(self) -> bool {
        self.writes().is_ok_and(|writes| writes.parts.is_some())
    }

    /// The files that a [`Writer`](super::Writer) with this template writes one behind the other: those of the template,
    /// with their new lengths; none for a file on its own.
    pub fn parts(self, template: &Template) -> Result<Vec<Part>, ExportError> {
        self.writes()?.parts.map_or_else(|| Ok(Vec::new()), |parts| parts(template))
    }
}

impl Format {
    fn has_extension_of(&self, name: &str) -> bool {
        let is_ending = |own: &&str| {
            let at = name.len().checked_sub(own.len() + 1);
            let ending = at.and_then(|at| name.get(at..)?.strip_prefix('.'));
            ending.is_some_and(|ending| ending.eq_ignore_ascii_case(own))
        };
        self.extensions.iter().any(is_ending)
    }
}

/// Whether a file of this name should be a weight file, whole and on its own.
pub(super) fn is_weight_name(name: &str) -> bool {
    let is_other = |row: &&Format| matches!(row.id, FileFormat::Zip | FileFormat::Shards);
    FORMATS.iter().filter(|row| !is_other(row)).any(|row| row.has_extension_of(name))
}

/// The formats that can be written.
#[cfg(any(feature = "cli", test))]
fn written() -> impl Iterator<Item = FileFormat> {
    FORMATS.iter().filter(|row| row.writes.is_some()).map(|row| row.id)
}

/// The format that a file of this name is to be written in.
#[cfg(any(feature = "cli", test))]
pub(crate) fn written_as(name: &str) -> Option<FileFormat> {
    written().find(|format| format.is_name_of(name))
}

/// What names of files may end in that are written, as a sentence lists it: those with a template, or without, or all.
#[cfg(feature = "cli")]
pub(crate) fn written_endings(needs_template: Option<bool>) -> String {
    let asked = written().filter(|format| needs_template.is_none_or(|is| is == format.needs_template()));
    let endings: Vec<String> = asked.map(|format| format!(".{}", format.extension())).collect();
    listed(&endings.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Every kind of weight file that can be read, as sentences name them.
pub(super) fn readable() -> String {
    let nouns: Vec<&str> = FORMATS.iter().map(|row| row.noun).filter(|noun| !noun.is_empty()).collect();
    listed(&nouns)
}

/// Words as a sentence lists them: `a, b or c`.
fn listed(words: &[&str]) -> String {
    match words.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The table as Markdown: what `docs/file-formats.md` holds.
    fn markdown() -> String {
        let head = "| format | names end in | data in other files | decoded into |\n|---|---|---|---|\n";
        let line = |row: &Format| {
            let endings: Vec<String> = row.extensions.iter().map(|ending| format!("`.{ending}`")).collect();
            let others = if row.companions.is_some() { "read with it" } else { "" };
            let written = match &row.writes {
                None => "",
                Some(Writes { parts: None, .. }) => "yes",
                Some(Writes { parts: Some(_), .. }) => "into the file that the weights came from",
            };
            format!("| {} | {} | {others} | {written} |\n", row.name, endings.join(", "))
        };
        head.to_owned() + &FORMATS.iter().map(line).collect::<String>()
    }

    #[test]
    fn the_documented_table_of_formats_is_this_one() {
        assert!(include_str!("../../docs/file-formats.md").contains(markdown().trim_end()), "{}", markdown());
    }

    #[test]
    fn ids_and_names_are_unique_and_an_ending_names_one_writer() {
        let count = FORMATS.len();
        assert_eq!(FORMATS.iter().map(|row| row.id as u8).collect::<BTreeSet<_>>().len(), count);
        assert_eq!(FORMATS.iter().map(|row| row.name).collect::<BTreeSet<_>>().len(), count);
        let endings: Vec<&str> = FORMATS
            .iter()
            .filter(|row| row.writes.is_some())
            .flat_map(|row| row.extensions)
            .copied()
            .collect();
        assert_eq!(endings.iter().collect::<BTreeSet<_>>().len(), endings.len());
        for row in &FORMATS {
            assert_eq!(row.id.name(), row.name);
            assert!(
                row.extensions.iter().all(|ending| !ending.is_empty() && *ending == ending.to_lowercase())
            );
        }
    }

    #[test]
    fn a_name_asks_for_the_format_that_it_ends_in() {
        assert_eq!(written_as("a/W.SAFETENSORS"), Some(FileFormat::Safetensors));
        assert_eq!(written_as("w.decoded.npz"), Some(FileFormat::Npz));
        assert_eq!(written_as("w.onnx"), Some(FileFormat::Onnx));
        for other in ["w.npy", "w.qsz", "npz", "w.onnx/w", "w.", ""] {
            assert_eq!(written_as(other), None, "{other}");
        }
        assert!(FileFormat::TorchLegacy.is_name_of("net.pth") && FileFormat::TorchZip.is_name_of("net.pth"));
        assert_eq!(
            written().filter(|format| format.needs_template()).collect::<Vec<_>>(),
            [FileFormat::Onnx]
        );
        let sentence = FileFormat::Npy.writes().err().map(|error| error.to_string());
        assert_eq!(sentence.as_deref(), Some("NumPy .npy files are read and not written"));
    }

    #[test]
    fn sentences_name_every_kind_that_can_be_read() {
        assert_eq!((listed(&[]), listed(&["a"])), (String::new(), "a".to_owned()));
        assert_eq!(readable(), "safetensors, .npy, .npz, a PyTorch file, an ONNX model or a GGUF file");
    }

    /// The words of a text that start like an ending.
    fn endings(text: &str) -> BTreeSet<&str> {
        let words = text.split(|c: char| c != '.' && !c.is_ascii_lowercase() && !c.is_ascii_digit());
        words.filter_map(|word| word.strip_prefix('.')).filter(|word| !word.is_empty()).collect()
    }

    #[test]
    fn the_page_names_every_ending_and_offers_every_writer() {
        let page = include_str!("../../index.html");
        let front = page.lines().find(|line| line.contains(" to decode</p>")).unwrap();
        assert_eq!(endings(front), FORMATS.iter().flat_map(|row| row.extensions).copied().collect());
        let network = page.lines().find(|line| line.contains("id=\"accuracy-network-input\"")).unwrap();
        for row in FORMATS.iter().filter(|row| row.id == FileFormat::Onnx) {
            assert!(row.extensions.iter().all(|ending| endings(network).contains(ending)), "{network}");
        }
        for ending in written().filter(|format| !format.needs_template()).map(FileFormat::extension) {
            for button in ["download", "archive"] {
                assert!(page.contains(&format!("id=\"{button}-{ending}\"")), "{button} {ending}");
            }
        }
    }
}
