//! How a run of symbols is cut into rows: who is whose neighbour.

/// Where a run of symbols lies in its tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    /// Elements from one row to the next; 0 where there are no rows.
    pub length: usize,
    /// Column of the first symbol.
    pub start: usize,
    /// Elements of a kernel: what the row is made of; 1 for a matrix.
    pub kernel: usize,
    /// Elements of a kernel's own rows.
    pub width: usize,
}

impl Default for Rows {
    fn default() -> Self {
        Self { length: 0, start: 0, kernel: 1, width: 1 }
    }
}
