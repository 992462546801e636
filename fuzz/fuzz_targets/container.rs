//! Compressed files, with checksums made right, and what they give back.
#![no_main]

quantscope_fuzz::target!(quantscope_fuzz::doors::resigned_container, quantscope_fuzz::doors::resigned_restored);
