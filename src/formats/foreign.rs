//! Files of other kinds, recognised to be named: what a wrong file actually is.

use super::error::shown;
use super::table::{Unopened, readable};
use super::zip::Archive;
use super::{FormatError, FormatErrorKind, Source};

/// What can be opened, for the end of a sentence; a placeholder of the table below for [`readable`].
const EXPECTED: &str = "";

/// What to do about what a converter made.
const CONVERTED: &str = "open the network that it was converted from";

/// What to do about a file that is no weight file: choose one that is.
fn expected() -> String {
    format!("expected {}", readable())
}

/// An error of a reader, which does not know what else can be opened, with that where it leaves the hint open.
pub(super) fn hinted(error: FormatError) -> FormatError {
    match error.kind() {
        FormatErrorKind::Foreign { found, hint } if hint.is_empty() => {
            FormatError::foreign(found, expected())
        }
        _ => error,
    }
}

/// Signatures at the start of a file: bytes, what the file is, what to do.
const SIGNATURES: [(&[u8], &str, &str); 17] = [
    (
        b"\x89HDF\r\n\x1a\n",
        "an HDF5 file (Keras weights, perhaps)",
        "save the weights as .npz or safetensors",
    ),
    (b"\x1f\x8b", "a gzip file", "unpack it first"),
    (b"BZh", "a bzip2 file", "unpack it first"),
    (b"\xfd7zXZ\x00", "an xz file", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"\x89PNG", "a PNG picture", EXPECTED),
    (b"\xff\xd8\xff", "a JPEG picture", EXPECTED),
    (b"GIF8", "a GIF picture", EXPECTED),
    (b"%PDF", "a PDF document", EXPECTED),
    (b"\x7fELF", "a Linux program or library", EXPECTED),
    (b"MZ", "a Windows program or library", EXPECTED),
    (b"\x00asm", "a WebAssembly module", EXPECTED),
    (b"PAR1", "a Parquet file", EXPECTED),
    (b"ARROW1", "an Arrow file", EXPECTED),
    (
        b"version https://git-lfs",
        "a Git LFS pointer, not the file itself",
        "fetch the file with git lfs pull",
    ),
];

/// The kind of file that a signature gives away.
pub(super) fn by_signature(file: &Unopened) -> Option<FormatError> {
    let Unopened { source, head, archive, .. } = file;
    if let Some(archive) = archive {
        return Some(zip_without_arrays(archive));
    }
    if head.is_empty() {
        return Some(FormatError::foreign("an empty file", expected()));
    }
    if let Some((_, found, hint)) = SIGNATURES.iter().find(|(bytes, ..)| head.starts_with(bytes)) {
        let hint = if hint.is_empty() { expected() } else { (*hint).to_owned() };
        return Some(FormatError::foreign(*found, hint));
    }
    if head.get(4..8) == Some(b"TFL3") {
        return Some(FormatError::foreign(
            "a TensorFlow Lite model",
            "open the weights it was converted from",
        ));
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some(FormatError::foreign(
            "a tar archive",
            "unpack it; if PyTorch before 0.1.10 wrote it, save it anew with a later one",
        ));
    }
    if is_text(head) {
        return Some(text(*source, head));
    }
    None
}

/// Whether all of `head` reads as text; safetensors files never do, with their length in front.
fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The cut may fall inside a character.
        Err(error) if error.error_len().is_none() => head
            .get(..error.valid_up_to())
            .and_then(|head| std::str::from_utf8(head).ok())
            .unwrap_or_default(),
        Err(_) => return false,
    };
    // Pickles of protocol 0 are text as well, and have no spaces or tags in front.
    let start = valid.trim_start();
    let words = start.starts_with(['{', '<', '#', '[']) || start.split_whitespace().nth(3).is_some();
    !valid.is_empty()
        && words
        && valid.chars().all(|c| !c.is_control() || c.is_whitespace())
        && !super::torch::is_pickle(head)
}

fn text(source: &dyn Source, head: &[u8]) -> FormatError {
    let start = String::from_utf8_lossy(head);
    let start = start.trim_start();
    if start.starts_with("<!") || start.to_ascii_lowercase().starts_with("<html") {
        return FormatError::foreign(
            "a web page",
            "perhaps a download that asked for a login; download the file itself",
        );
    }
    if start.starts_with('{') && (start.contains("weightsManifest") || start.contains("modelTopology")) {
        return FormatError::foreign("a TensorFlow.js model", CONVERTED);
    }
    if start.starts_with('<') && start.contains("<net ") {
        return FormatError::foreign("an OpenVINO model", CONVERTED);
    }
    if start.starts_with('{') {
        return FormatError::foreign(
            "a JSON file",
            "a model's configuration, perhaps; open the weight file beside it",
        );
    }
    let bytes = source.len();
    FormatError::foreign(format!("a text file of {bytes} bytes"), expected())
}

/// What to say of a file that nothing else recognised.
pub(super) fn by_content(file: &Unopened) -> FormatError {
    let Unopened { source, head, .. } = file;
    if looks_like_saved_model(head) {
        return FormatError::foreign(
            "a TensorFlow SavedModel's graph",
            "save the model's weights as .npz or safetensors",
        );
    }
    if looks_like_core_ml(head) {
        return FormatError::foreign(
            "a Core ML model",
            "open the network that it was converted from, or its weights",
        );
    }
    if looks_like_onnx(head) {
        return FormatError::foreign(
            "a damaged or unusual ONNX model",
            "export it anew, or its weights as safetensors",
        );
    }
    if looks_like_msgpack(head) {
        return FormatError::foreign(
            "a msgpack file (Flax weights, perhaps)",
            "save the weights as safetensors or .npz",
        );
    }
    let start: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let found = format!(
        "a file of {} bytes of a kind that is not known, starting with {}",
        source.len(),
        start.join(" ")
    );
    FormatError::foreign(found, expected())
}

/// A protobuf whose first fields fit Core ML's `Model`: a specification version, then a description that starts with the
/// description of an input, a message, where ONNX has the text of its producer's name.
fn looks_like_core_ml(head: &[u8]) -> bool {
    let [0x08, 1..=20, 0x12, rest @ ..] = head else { return false };
    let digits = rest.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
    // Field 1 of the description, and in it field 1, the input's name.
    let [0x0a, inner @ ..] = rest.get(digits..).unwrap_or_default() else { return false };
    let more = inner.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
    inner.get(more) == Some(&0x0a)
}

/// A dictionary of msgpack whose first key is a name.
fn looks_like_msgpack(head: &[u8]) -> bool {
    let ([0x81..=0x8f, key @ ..] | [0xde, _, _, key @ ..] | [0xdf, _, _, _, _, key @ ..]) = head else {
        return false;
    };
    let Some((len @ 0xa1..=0xbf, name)) = key.split_first() else { return false };
    let name = name.get(..usize::from(len & 31));
    name.is_some_and(|name| name.iter().all(u8::is_ascii_graphic))
}

/// A protobuf whose first fields fit ONNX's `ModelProto`: IR version, then producer, graph or operator sets.
fn looks_like_onnx(head: &[u8]) -> bool {
    matches!(head, [0x08, 1..=20, 0x12 | 0x1a | 0x22 | 0x2a | 0x32 | 0x3a | 0x42, ..])
}

/// A protobuf whose first fields fit TensorFlow's `SavedModel`: schema version 1, then a graph that starts with a message
/// of its own, where ONNX has the text of its producer's name.
fn looks_like_saved_model(head: &[u8]) -> bool {
    let [0x08, 1, 0x12, length @ ..] = head else { return false };
    let digits = length.iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
    length.get(digits) == Some(&0x0a)
}

/// What to say of a zip archive that holds neither arrays nor a `PyTorch` pickle.
fn zip_without_arrays(archive: &Archive) -> FormatError {
    let names: Vec<String> = archive.entries().iter().take(3).map(|entry| shown(&entry.name)).collect();
    let count = archive.entries().len();
    let keras = archive.find("model.weights.h5").is_some();
    let listed = match count {
        0 => "nothing".to_owned(),
        1..=3 => names.join(", "),
        _ => format!("{} and {} more", names.join(", "), count - names.len()),
    };
    let kind = if keras { "a Keras 3 model" } else { "a zip archive" };
    FormatError::foreign(
        format!("{kind} that holds {listed}, neither a .npy array nor a data.pkl"),
        "open a weight file from inside it",
    )
}

#[cfg(test)]
mod tests {
    use crate::formats::{Limits, open};

    #[test]
    fn kinds_that_are_not_read_are_called_by_their_names() {
        let tfjs = br#"{"format": "layers-model", "weightsManifest": [{"paths": ["group1-shard1of1.bin"]}]}"#;
        let openvino = b"<?xml version=\"1.0\"?>\n<net name=\"m\" version=\"11\"><layers></layers></net>";
        let kinds: [(&[u8], &str); 8] = [
            (tfjs, "a TensorFlow.js model"),
            (br#"{"model_type": "llama", "hidden_size": 64}"#, "a JSON file"),
            (openvino, "an OpenVINO model"),
            (b"\x81\xa6params\x82\xa7Dense_0\xc7\x10\x01", "a msgpack file"),
            (b"\xde\x00\x01\xa1w\xc4\x04\x00\x00\x00\x00", "a msgpack file"),
            (b"\x1c\x00\x00\x00TFL3\x14\x00", "a TensorFlow Lite model"),
            (b"\x08\x04\x12\x0a\x0a\x08\x0a\x01x\x12\x03abc", "a Core ML model"),
            (b"\x89HDF\r\n\x1a\n\x00", "an HDF5 file"),
        ];
        for (bytes, name) in kinds {
            let sentence = open(&bytes, &Limits::default()).unwrap_err().to_string();
            assert!(sentence.starts_with(&format!("this is {name}")), "{sentence}");
        }
        let sentence = open(&&b"\x81\xa6par\x00ms"[..], &Limits::default()).unwrap_err().to_string();
        assert!(sentence.contains("of a kind that is not known"), "{sentence}");
    }
}
