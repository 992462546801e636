//! Weight files of every format, and the same bytes as samples to run a network on.
#![no_main]

quantscope_fuzz::target!(quantscope_fuzz::doors::weights, quantscope_fuzz::doors::samples);
