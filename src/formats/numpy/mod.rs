//! `NumPy` files: one array (`.npy`), and zip archives of arrays (`.npz`).
//!
//! Definition: `NumPy` enhancement proposal 1 and `numpy.lib.format`, versions 1.0 to 3.0.

pub(super) mod npy;
pub(super) mod npz;
mod writer;

pub(super) use writer::start;
