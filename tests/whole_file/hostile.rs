//! Compressed files whose manifests lie about the files that they give back: each is refused in a sentence.

use super::lies::{called, lies, many_views, truths};
use super::{decoded, restored};
use quantscope::engine::{elements, open_container};

/// Restores a file and decodes all of its tensors.
fn outcome(qsz: &[u8]) -> Result<Vec<u8>, String> {
    let files = restored(qsz)?;
    let reader = open_container(&qsz).map_err(|error| error.to_string())?;
    for index in 0..reader.manifest().tensors.len() {
        elements(&qsz, &reader, index, &mut |_| Ok(())).map_err(|error| error.to_string())?;
    }
    Ok(files.into_iter().flat_map(|(_, bytes)| bytes).collect())
}

#[test]
fn every_lie_is_refused_in_one_sentence() {
    for (about, qsz) in lies() {
        let Err(sentence) = outcome(&qsz) else { panic!("{about} was believed") };
        println!("{about}: {sentence}");
        let is_one = !sentence.contains('\n') && sentence.len() < 300 && !sentence.ends_with('.');
        let says_why = ["expected", "limit"].iter().any(|word| sentence.contains(word));
        assert!(is_one && says_why, "{about}: {sentence}");
    }
}

#[test]
fn what_is_no_lie_is_given_back() {
    let tensor: Vec<u8> = (0..16).collect();
    for (about, qsz) in truths() {
        let bytes = outcome(&qsz).unwrap_or_else(|error| panic!("{about}: {error}"));
        let reader = open_container(&qsz.as_slice()).unwrap();
        let turned = [&tensor[..4], &tensor[8..12], &tensor[4..8], &tensor[12..]].concat();
        let (crc, skeleton) =
            (crc32fast::hash(&tensor).to_le_bytes(), |from, to| (from..to).collect::<Vec<u8>>());
        let expected = match about {
            "columns one behind the other" | "one row, at any distance from none" => {
                [skeleton(100, 104), turned, skeleton(104, 108)].concat()
            }
            "codes" => [skeleton(100, 104), vec![0x80, 0x78, 0x81, 0x01], skeleton(104, 108)].concat(),
            "a checksum in front" => [crc.to_vec(), tensor.clone(), skeleton(100, 104)].concat(),
            "a checksum on both sides" => [crc.to_vec(), tensor.clone(), crc.to_vec()].concat(),
            _ => [skeleton(100, 104), tensor.clone(), skeleton(104, 108)].concat(),
        };
        assert_eq!(bytes, expected, "{about}");
        let last = reader.manifest().tensors.len() - 1;
        match about {
            "a view" => assert_eq!(decoded(&qsz, &reader, last), [104, 105, 106, 107]),
            "an expanded view" => assert_eq!(decoded(&qsz, &reader, last), [102, 103].repeat(9)),
            "codes" => assert_eq!(decoded(&qsz, &reader, last), [0, 0x3c, 0x81, 0]),
            _ => {}
        }
    }
}

#[test]
fn views_of_one_block_decode_it_once() {
    let qsz = many_views(20_000);
    let reader = open_container(&qsz.as_slice()).unwrap();
    // Decoded anew for each, the block would take minutes.
    assert!((1..=20_000).all(|index| decoded(&qsz, &reader, index) == [5]));
}

#[cfg(feature = "cli")]
#[test]
fn files_are_written_into_the_folder_that_was_named_and_nowhere_else() {
    let root = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("whole_file_names");
    let _ = std::fs::remove_dir_all(&root);
    std::fs::create_dir_all(root.join("out")).unwrap();
    let qsz = root.join("x.qsz");
    let decode = |first, other| {
        std::fs::write(&qsz, called(first, other)).unwrap();
        let program = std::process::Command::new(env!("CARGO_BIN_EXE_quantscope"))
            .args(["decode".as_ref(), qsz.as_os_str(), "-o".as_ref(), root.join("out").as_os_str()])
            .output()
            .unwrap();
        assert!(program.status.success() || program.stderr.split(|byte| *byte == b'\n').count() == 2);
        (program.status.success(), String::from_utf8(program.stdout).unwrap())
    };
    for first in ["../evil.npy", "/tmp/a/evil.npy", "evil.npy", "a/../evil.npy"] {
        assert!(decode(first, "weights/b.bin").0, "{first}");
        assert_eq!(std::fs::read(root.join("out/evil.npy")).unwrap().len(), 20);
        assert_eq!(std::fs::read(root.join("out/weights/b.bin")).unwrap().len(), 4);
        std::fs::remove_file(root.join("out/evil.npy")).unwrap();
    }
    for (first, other) in [("..", "b"), ("", "b"), ("a\\b", "b"), ("a\0", "b"), ("x/b", "b"), ("a", "a/b")] {
        assert!(!decode(first, other).0, "{first}");
    }
    let (succeeds, said) = decode("\u{1b}[2Jm.npy", "b\u{1b}");
    assert!(succeeds && !said.contains('\u{1b}'), "{said:?}");
    let mut left: Vec<_> =
        std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["out", "x.qsz"]);
}
