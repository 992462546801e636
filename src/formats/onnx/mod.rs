//! ONNX models: the weights among a graph's initializers and constants, located and never read.
//!
//! Definition: onnx.proto3 of ONNX 1.16 (`ModelProto`, `GraphProto`, `NodeProto`, `AttributeProto`, `TensorProto`) and
//! "External Data". Read are float initializers, and float constants of more than one element, of the graph and of the graphs
//! inside its nodes. Integers, texts and single numbers are part of how the graph computes and are left to it.
//!
//! Not read: weights of local functions, sparse initializers, 4-bit types; a note says so.

mod found;
mod raw;
mod reader;
mod roles;
mod scan;
#[cfg(feature = "network")]
pub(crate) mod walk;
#[cfg(feature = "network")]
mod writer;

#[cfg(test)]
pub(super) use reader::tests;
pub(super) use reader::{anatomy, companions, is_onnx, open};
#[cfg(feature = "network")]
pub(crate) use roles::role_at;
#[cfg(feature = "network")]
pub(super) use writer::{parts, start};

/// What the file is called in errors.
const PART: &str = "the ONNX model";
