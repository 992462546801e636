//! Networks, as far as they are read and loaded.
#![no_main]

quantscope_fuzz::target!(quantscope_fuzz::doors::network);
