//! safetensors: eight bytes of header length, a JSON header, then the tensors' bytes without holes.
//!
//! Definition: Hugging Face, safetensors format documentation and reference library, version 0.6.

mod reader;
mod writer;

pub(super) use reader::{is_safetensors, open};
pub(super) use writer::start;
