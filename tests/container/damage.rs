//! Damaged, cut, foreign and lying files: one sentence each, no panic, no more memory than the file warrants.

use super::resign::resigned;
use super::{assorted, decoded, example, golden};
use quantscope::container::{ContainerErrorKind, Limits, Reader};
use quantscope::formats::Source;
use std::error::Error;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const HEADER: usize = 9;

fn sentence(file: &dyn Source) -> String {
    decoded(file).unwrap_err().to_string()
}

#[test]
fn every_flipped_bit_is_noticed() {
    for file in [example(), golden()] {
        for byte in 0..file.len() {
            for bit in 0..8 {
                let mut other = file.clone();
                other[byte] ^= 1 << bit;
                assert!(decoded(&other).is_err(), "bit {bit} of byte {byte}");
            }
        }
    }
}

#[test]
fn every_truncation_is_noticed() {
    for file in [example(), golden()] {
        for len in 0..file.len() {
            assert!(decoded(&file[..len].to_vec()).is_err(), "{len} bytes");
        }
        assert!(decoded(&[&file[..], &[0]].concat()).is_err());
    }
}

#[test]
fn refusals_name_the_section() {
    let file = golden();
    // The blocks before are short, and stand in the directory.
    let mut first_block = file.clone();
    first_block[HEADER] ^= 1;
    let message = sentence(&first_block);
    assert!(
        message.starts_with(r#"tensor "b.channels", block 0 at byte 9: expected checksum "#),
        "{message:?}"
    );
    let reader = Reader::open(&first_block, Limits::default()).unwrap();
    assert_eq!(reader.verify_checksums(&first_block).unwrap_err().to_string(), message);

    let mut version = file.clone();
    version[8] = 1;
    assert_eq!(sentence(&version), "format version at byte 8 is not supported: expected 2, found 1");
    assert!(
        sentence(&b"PK\x03\x04 and more of a zip".to_vec())
            .starts_with("file header at byte 0: expected the mark")
    );
    assert!(sentence(&vec![]).starts_with("file header at byte 0: expected 9 bytes, found 0"));
    assert!(sentence(&file[..file.len() - 1].to_vec()).contains("end mark"));
}

#[test]
fn limits_are_kept_to() {
    let file = golden();
    let defaults = Limits::default();
    let cases = [
        Limits { directory_bytes: 10, ..defaults },
        Limits { manifest_bytes: 10, ..defaults },
        Limits { table_bytes: 3, ..defaults },
        Limits { tensors: 6, ..defaults },
        Limits { rank: 1, ..defaults },
        Limits { metadata: 0, ..defaults },
    ];
    for limits in cases {
        let error = Reader::open(&file, limits).unwrap_err();
        assert!(matches!(error.kind(), ContainerErrorKind::Limit { .. }), "{limits:?}: {error}");
    }
}

/// Decodes and reports what came of it; sizes stay below what the sample's tensors could be.
pub fn survive(file: &dyn Source) {
    match decoded(file) {
        Ok(tensors) => assert!(tensors.iter().map(Vec::len).sum::<usize>() < 64 << 20),
        Err(error) => {
            let mut message = error.to_string();
            if let Some(cause) = error.source() {
                message = format!("{message}: {cause}");
            }
            assert!(!message.contains('\n') && !message.ends_with('.'), "{message:?}");
        }
    }
}

#[test]
fn resigning_an_untouched_file_changes_nothing() {
    assert_eq!(resigned(golden()), golden());
    assert_eq!(assorted().len(), decoded(&golden()).unwrap().len());
}

#[test]
fn lies_with_right_checksums_never_panic() {
    for file in [example(), golden()] {
        for byte in 0..file.len() {
            for value in
                [0, 1, 0x7f, 0x80, 0xff, file[byte] ^ 1, file[byte] ^ 0x40, file[byte].wrapping_add(1)]
            {
                let mut other = file.clone();
                other[byte] = value;
                survive(&resigned(other));
            }
        }
    }
}
