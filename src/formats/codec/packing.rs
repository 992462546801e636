//! What the blocks of ggml's quantized types have in common: packed integers, and a scale and perhaps a minimum for every few.
//!
//! An element is `scale · integer − minimum`, in float32, as `dequantize_row_*` of ggml-quants.c computes it: a minimum of
//! zero, and the negative of what ggml adds, change no bit. Integers lie in fields of 1, 2 or 4 bits. Fields are packed in
//! runs: the lowest fields of a run of bytes are as many elements in a row, then the next higher fields of the same bytes,
//! and so on.

use half::f16;

/// The most elements of a block.
const MOST: usize = 256;
/// The most scales of a block.
const SCALES: usize = 16;

/// A block that is being decoded.
pub(super) struct Block<'a> {
    pub(super) bytes: &'a [u8],
    /// Zeros, until they are filled in.
    pub(super) integers: [i8; MOST],
    pub(super) scales: [f32; SCALES],
    /// Zeros, unless they are filled in.
    pub(super) minima: [f32; SCALES],
    /// The vectors of the blocks' grid, once one was decoded.
    pub(super) vectors: Vec<i8>,
    elements: usize,
    group: usize,
}

impl<'a> Block<'a> {
    /// Blocks of so many elements, of which `group` share a scale.
    pub(super) fn new(elements: usize, group: usize) -> Self {
        let [scales, minima] = [[0.0; SCALES]; 2];
        Self { bytes: &[], integers: [0; MOST], scales, minima, vectors: Vec::new(), elements, group }
    }

    /// Sets `out` to the elements that `bytes` stand for; `fill` says how integers and scales are packed.
    pub(super) fn decode(&mut self, bytes: &'a [u8], fill: fn(&mut Self), out: &mut [[u8; 4]]) {
        self.bytes = bytes;
        self.own_integers().fill(0);
        fill(self);
        let groups = out.chunks_mut(self.group).zip(self.integers.chunks(self.group));
        for ((out, integers), (scale, minimum)) in groups.zip(self.scales.iter().zip(&self.minima)) {
            for (element, integer) in out.iter_mut().zip(integers) {
                *element = (scale * f32::from(*integer) - minimum).to_le_bytes();
            }
        }
    }

    /// The integers of its elements; those behind them are no block's.
    fn own_integers(&mut self) -> &mut [i8] {
        self.integers.get_mut(..self.elements).unwrap_or_default()
    }

    /// Bytes `from..from + len` of the block.
    pub(super) fn part(&self, from: usize, len: usize) -> &'a [u8] {
        self.bytes.get(from..from + len).unwrap_or_default()
    }

    /// The little-endian number of `size` bytes at byte `at`; what lies behind the block is zero.
    pub(super) fn number(&self, at: usize, size: usize) -> usize {
        let bytes = self.bytes.get(at..).unwrap_or_default();
        bytes.iter().take(size).rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    /// The half-precision number at byte `at`.
    pub(super) fn half(&self, at: usize) -> f32 {
        half(self.number(at, 2) as u16)
    }

    /// Packed fields of `bits` bits from byte `from` on, `len` bytes, in runs of `run`, are set into the integers from bit
    /// `to` on.
    pub(super) fn fields(&mut self, [from, len]: [usize; 2], bits: u32, run: usize, to: u32) {
        unpack(self.part(from, len), bits, run, to, &mut self.integers);
    }

    /// Lowers the integers.
    pub(super) fn lower(&mut self, by: i8) {
        self.own_integers().iter_mut().for_each(|integer| *integer -= by);
    }

    /// Replaces integers of four bits by what they stand for.
    pub(super) fn look_up(&mut self, values: &[i8; 16]) {
        for integer in self.own_integers() {
            *integer = values.get(*integer as usize).copied().unwrap_or_default();
        }
    }

    /// Sets every scale that a number is given for.
    pub(super) fn set_scales(&mut self, scales: impl IntoIterator<Item = f32>) {
        self.scales.iter_mut().zip(scales).for_each(|(slot, scale)| *slot = scale);
    }
}

/// Sets packed fields of `bits` bits into `out`, from bit `to` on; the bits there are zero.
pub(super) fn unpack(bytes: &[u8], bits: u32, run: usize, to: u32, out: &mut [i8]) {
    let count = 8 / bits as usize;
    let mask = (1u8 << bits) - 1;
    for (bytes, out) in bytes.chunks(run).zip(out.chunks_mut(run * count)) {
        for (field, out) in (0..).zip(out.chunks_mut(run)) {
            for (integer, byte) in out.iter_mut().zip(bytes) {
                *integer |= (((byte >> (field * bits)) & mask) << to) as i8;
            }
        }
    }
}

/// A half-precision number of these bits.
pub(super) fn half(bits: u16) -> f32 {
    f16::from_bits(bits).to_f32()
}
