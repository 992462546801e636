//! What all targets share: the doors of `tests/support`, and how one is gone through.

#[path = "../tests/support/doors.rs"]
pub mod doors;
#[path = "../tests/support/resign.rs"]
mod resign;

pub use libfuzzer_sys;

/// A target that goes through each of the doors, and says when one held more memory than the bytes warrant.
#[macro_export]
macro_rules! target {
    ($($door:path),+) => {
        $crate::libfuzzer_sys::fuzz_target!(
            // The runtime's panics are caught and become sentences: only those that nobody catches are finds.
            init: drop(std::panic::take_hook()),
            |data: &[u8]| {
                $(
                    let (_, beyond) = $crate::doors::held_beyond($door, data);
                    assert_eq!(beyond, 0, "bytes were held beyond what {} bytes warrant", data.len());
                )+
            }
        );
    };
}
