//! Weight files: where the bytes are.
//!
//! A reader locates tensors and never loads them. [`open`] tells a file's kind by its content.

mod error;
mod source;

pub use error::FormatError;
pub use source::{Limits, Source};
