//! CRC-32 as ZIP archives have it (ISO 3309, ITU-T V.42), which guards the sections of our own files too; and XXH3, which names
//! contents (Collet 2019).
//!
//! Cost: natively sixteen bytes a step by tables of 16 KB; in the page a byte a step by one of 1 KB, since tables are
//! numbers that no compression makes smaller, and the download would be a thirtieth larger for them.

use crc::{CRC_32_ISO_HDLC, Crc, Digest, Table};

#[cfg(target_arch = "wasm32")]
type Tables = Table<1>;
#[cfg(not(target_arch = "wasm32"))]
type Tables = Table<16>;

static CRC: Crc<u32, Tables> = Crc::<u32, Tables>::new(&CRC_32_ISO_HDLC);

/// The checksum of some bytes.
pub fn crc32(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// XXH3-128 of some bytes.
///
/// By the code that takes bytes piece by piece: the crate's function for whole bytes is a second copy of it in the page, and
/// faster on a few bytes only.
pub fn xxh3(bytes: &[u8]) -> u128 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    hasher.update(bytes);
    hasher.digest128()
}

/// The checksum of bytes that come piece by piece.
pub struct Running(Digest<'static, u32, Tables>);

impl Default for Running {
    fn default() -> Self {
        Self(CRC.digest())
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Running")
    }
}

impl Running {
    /// Takes in a piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all pieces.
    pub fn finish(self) -> u32 {
        self.0.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_function_for_whole_bytes() {
        let bytes: Vec<u8> = (0..3000u32).map(|i| ((i * i) >> 3) as u8).collect();
        for len in [0, 1, 16, 17, 128, 129, 240, 241, 1024, 1025, 3000] {
            assert_eq!(xxh3(&bytes[..len]), xxhash_rust::xxh3::xxh3_128(&bytes[..len]), "{len}");
        }
    }

    #[test]
    fn the_check_value_is_the_catalogues_and_pieces_are_the_whole() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let bytes: Vec<u8> = (0..1000u32).map(|i| ((i * i) >> 3) as u8).collect();
        let mut running = Running::default();
        bytes.chunks(7).for_each(|piece| running.update(piece));
        assert_eq!((running.finish(), crc32(&bytes)), (crc32fast::hash(&bytes), crc32fast::hash(&bytes)));
    }
}
