//! The real files that others made: each is given back, and costs nothing to carry.

use super::support::data;
use super::weight_files::{Files, unzip};
use super::{assert_opens, compressed, restored};
use quantscope::engine::native::open_files;
use quantscope::formats::Source as _;
use std::path::{Path, PathBuf};

/// Larger files would make a debug build wait.
const MOST_BYTES: u64 = 400_000;

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut inside: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inside.sort();
    for path in inside {
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// A weight file with those that hold its data, if it is one.
fn opened(path: &Path) -> Option<Files> {
    let source = open_files(path).ok()?;
    let model = quantscope::formats::open(&source, &quantscope::formats::Limits::default()).ok()?;
    let is_small = source.len() <= MOST_BYTES;
    let mut files = Files::new();
    for part in source.parts().iter().filter(|_| is_small && !model.tensors.is_empty()) {
        let mut bytes = vec![0; part.span.len as usize];
        source.read_at(part.span.offset, &mut bytes).unwrap();
        files.push((part.name.clone(), bytes));
    }
    Some(files).filter(|files| !files.is_empty())
}

fn len(files: &Files) -> usize {
    files.iter().map(|(_, bytes)| bytes.len()).sum()
}

/// Whether entries of an archive are deflated: it is given back stored.
fn is_deflated(files: &Files, again: &Files) -> bool {
    files[0].1.starts_with(b"PK") && len(again) != len(files)
}

#[test]
fn real_files_are_given_back_and_cost_nothing_to_carry() {
    let mut paths = Vec::new();
    for folder in ["field", "lenet", "mtcnn", "onnx_external", "resnet32", "silero", "stories260K"] {
        if let Some(folder) = data(folder) {
            files_below(&folder, &mut paths);
        }
    }
    let mut count = 0;
    for path in paths {
        let Some(files) = opened(&path) else { continue };
        let qsz =
            compressed(&files, "exclude=*").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let again = restored(&qsz).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if is_deflated(&files, &again) {
            assert_eq!(unzip(&again[0].1), unzip(&files[0].1), "{}", path.display());
        } else {
            assert!(again == files, "{}", path.display());
        }
        let most = len(&files) + len(&files) / 100;
        println!("{}: {} bytes, {} as .qsz", path.display(), len(&files), qsz.len());
        assert!(qsz.len() <= most, "{}: {} bytes for {}", path.display(), qsz.len(), len(&files));
        assert_opens(&files, "");
        count += 1;
    }
    println!("{count} files");
}
