//! Recipes as lines, links and files, and how samples are prepared.
#![no_main]

quantscope_fuzz::target!(quantscope_fuzz::doors::recipe);
