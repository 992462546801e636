//! Compressed files, with checksums made right.
#![no_main]

quantscope_fuzz::target!(quantscope_fuzz::doors::resigned_container);
