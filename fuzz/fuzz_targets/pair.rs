//! Two files dropped together: a model with its external data, samples with their labels.
#![no_main]

quantscope_fuzz::target!(quantscope_fuzz::doors::pair);
