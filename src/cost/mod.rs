//! Energy and time of a network in a number format: a model, and called one.
//!
//! ```text
//! Workload   what one inference takes: multiply-adds, element operations, weights and activations read and written
//! Design     what carries it out: formats of weights, activations and accumulator, bits stored, decoding, batch, memories
//! Constants  what each operation, bit and cycle costs: a table of rows, every one editable
//! Scenario   formats, batch, storage and constants as a recipe's line and a link say them
//! Bill       energy and time, layer by layer and part by part: arithmetic alone, and the whole system
//! ```
//!
//! Energy of a layer = multiply-adds · (multiplication + addition) + weight bits · energy per bit + activation bits · energy per
//! bit + symbols decoded. Time of a layer is a roofline (Williams, Waterman and Patterson 2009): the longest of arithmetic,
//! off-chip memory, on-chip memory and decoding, each as if it were never waited for. What is assumed, and what was objected to
//! models that leave it out, is in `docs/hardware-model.md`.
//!
//! Arithmetic on numbers alone: no graph, no file. Nothing here is measured; what this machine takes is told elsewhere.
//!
//! ```
//! use quantscope::cost::{Bill, Constants, Design, Layer, Workload};
//!
//! // A fully connected layer of 500 by 10, one inference at a time: what moves its weights outweighs what multiplies them.
//! let workload = Workload { layers: vec![Layer::dense("fc2", 500, 10)] };
//! let bill = Bill::of(&workload, &Design::fp32(), &Constants::default())?;
//! assert!(bill.energy.weights > 100.0 * bill.energy.arithmetic());
//! # Ok::<(), quantscope::cost::CostError>(())
//! ```

mod arithmetic;
mod bill;
mod comparison;
mod constants;
mod design;
mod scenario;
mod tornado;
mod workload;

pub use arithmetic::{Anchored, Arithmetic};
pub use bill::{Bill, Energy, LayerBill, Time};
pub use constants::{CONSTANTS, Constant, Constants, Key, PREFIX, Technology, markdown};
pub use design::{Decode, Design, Memory, Stored};
pub use scenario::Scenario;
pub use tornado::{Quantity, Swing, tornado};
pub use workload::{Layer, WeightsRead, Workload};

/// A constant or a design that the model cannot reckon with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part}: expected {expected}, found {found}")]
pub struct CostError {
    /// Which constant, or which part of a design.
    pub part: String,
    /// What it must be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl CostError {
    fn new(part: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        let found = found.into();
        let found = if found.is_empty() { "nothing".to_owned() } else { found };
        Self { part: part.into(), expected: expected.into(), found }
    }
}
