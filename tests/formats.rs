//! Weight files through the public API: the real ones, and the hostile suites of the parsers' own projects.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use quantscope::engine::native::FileSource;
use quantscope::formats::{FormatError, Limits, TensorReader, open};
use quantscope::model::{FileFormat, Model};
use std::path::{Path, PathBuf};

/// Opens a file and reads every located tensor to its end.
fn read_whole(path: &Path) -> Result<Model, FormatError> {
    let source = FileSource::open(path).unwrap();
    let limits = Limits::default();
    let model = open(&source, &limits)?;
    for tensor in model.tensors.iter().chain(&model.extras) {
        let mut reader = TensorReader::new(&source, tensor, &limits)?;
        let mut bytes = Vec::new();
        let mut at = 0;
        while at < tensor.len() {
            let end = (at + 65_536).min(tensor.len());
            bytes.clear();
            reader.read(at..end, &mut bytes)?;
            assert_eq!(bytes.len() as u64, (end - at) * tensor.dtype.size_bytes());
            at = end;
        }
    }
    Ok(model)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut agenda = vec![folder.to_owned()];
    while let Some(path) = agenda.pop() {
        if path.is_dir() {
            agenda.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// One clear sentence: short, on one line, without a full stop.
fn is_a_sentence(error: &FormatError) -> bool {
    let text = error.to_string();
    !text.contains('\n') && text.len() < 600 && !text.ends_with('.') && text.contains(' ')
}

#[test]
fn every_hostile_file_is_read_or_refused_in_one_sentence() {
    let Some(folder) = support::data("hostile") else { return };
    let (mut accepted, mut refused) = (0, 0);
    for path in files(&folder) {
        let started = std::time::SystemTime::now();
        match read_whole(&path) {
            Ok(model) => {
                accepted += 1;
                println!("ok   {} {} tensors", path.display(), model.tensors.len());
            }
            Err(error) => {
                refused += 1;
                println!("no   {}: {error}", path.display());
                assert!(is_a_sentence(&error), "{}: {error}", path.display());
            }
        }
        // A hang would be minutes; this only tells which file it was.
        assert!(started.elapsed().unwrap().as_secs() < 60, "{}", path.display());
    }
    println!("{accepted} accepted, {refused} refused");
    assert!(accepted > 50 && refused > 500, "{accepted} accepted, {refused} refused");
}

#[test]
fn the_real_files_have_their_published_tensors() {
    for (path, format, tensors, parameters, extras) in [
        ("lenet/lenet.safetensors", FileFormat::Safetensors, 8, 431_080, 0),
        ("lenet/lenet_pruned.safetensors", FileFormat::Safetensors, 8, 431_080, 0),
        ("lenet/lenet_optimizer.pt", FileFormat::TorchZip, 0, 0, 24),
        ("resnet32/resnet32-d509ac18.th", FileFormat::TorchLegacy, 157, 464_154 + 2_272, 0),
        ("silero/silero_vad_16k.safetensors", FileFormat::Safetensors, 15, 309_633, 0),
        ("stories260K/stories260K_tied_zip.pt", FileFormat::TorchZip, 48, 260_032, 0),
        ("mtcnn/pnet.pt", FileFormat::TorchLegacy, 13, 6_632, 0),
        ("resnet32/cifar10_test1000.npz", FileFormat::Npz, 2, 0, 0),
    ] {
        let Some(path) = support::data(path) else { continue };
        let model = read_whole(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(model.format, format);
        assert_eq!((model.tensors.len(), model.parameters()), (tensors, parameters), "{}", path.display());
        assert_eq!(model.extras.len(), extras);
    }
}

#[test]
fn tied_weights_are_found_and_counted_once() {
    let Some(path) = support::data("stories260K/stories260K_tied_zip.pt") else { return };
    let model = read_whole(&path).unwrap();
    let tied = model.tensors.iter().find(|tensor| tensor.same_as.is_some()).unwrap();
    let origin = &model.tensors[tied.same_as.unwrap()];
    assert_eq!((&tied.shape, tied.dtype), (&origin.shape, origin.dtype));
}

/// The reference library's own verdicts.
#[test]
fn safetensors_verdicts_are_the_reference_librarys() {
    let Some(folder) = support::data("hostile/safetensors") else { return };
    let verdicts = std::fs::read_to_string(folder.join("EXPECTED.json")).unwrap();
    let verdicts: serde_json::Value = serde_json::from_str(&verdicts).unwrap();
    for (name, verdict) in verdicts.as_object().unwrap() {
        let accepted = read_whole(&folder.join(name)).map(|_| ());
        assert_eq!(accepted.is_ok(), verdict == "ok", "{name}: expected {verdict}, found {accepted:?}");
    }
}

/// Files of other parsers' suites that are odd and valid.
#[test]
fn odd_and_valid_files_are_accepted() {
    for folder in ["hostile/burn_pytorch", "hostile/candle_tests"] {
        let Some(folder) = support::data(folder) else { continue };
        for path in files(&folder) {
            let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            // Tar files are PyTorch's format before 0.1.10, which is named and not read; broken.pt is three letters.
            let valid = ["pt", "pth", "npy", "npz", "safetensors"].contains(&extension)
                && !path.ends_with("broken.pt");
            let result = read_whole(&path);
            assert_eq!(result.is_ok(), valid, "{}: {result:?}", path.display());
        }
    }
}

#[test]
fn files_of_other_kinds_are_named() {
    for (path, named) in [
        ("mlperf_tiny/pretrainedResnet.h5", "an HDF5 file"),
        ("mnist_test/t10k-images-idx3-ubyte.gz", "a gzip file"),
        ("silero/LICENSE", "a text file"),
        (
            "hostile/burn_pytorch/crates/burn-store/src/pytorch/tests/reader/test_data/tar_float32.tar",
            "a tar archive",
        ),
    ] {
        let Some(path) = support::data(path) else { continue };
        let sentence = read_whole(&path).unwrap_err().to_string();
        assert!(sentence.starts_with(&format!("this is {named}")), "{}: {sentence}", path.display());
    }
}

/// A pickle that would run code is data here: its tensors are read, what it calls is named, nothing happens.
#[test]
fn code_in_a_pickle_is_never_run() {
    for name in ["hostile/torch_ace.pt", "hostile/torch_ace_legacy.pt"] {
        let Some(path) = support::data(name) else { continue };
        let model = read_whole(&path).unwrap();
        assert!(
            model.notes.iter().any(|note| note.contains("nothing of it was run")),
            "{name}: {:?}",
            model.notes
        );
    }
}
