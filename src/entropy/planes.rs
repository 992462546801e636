//! Byte planes: elements that must not change, coded by what the bytes above and the neighbours let expect.
//!
//! A trained float32 has an exponent worth some 2.7 bits, a first mantissa bit that leans a little, and noise below. So an
//! element becomes a lane (`super::lanes`) with the predictable bits on top, a lane is cut in bytes, and of each byte plane
//! the block says how many upper bits are decided one by one, by adaptive probabilities (`super::estimates`) in a context;
//! the others are stored as they are, at the speed of memory. The context of the first plane is the level that the
//! neighbours let expect, from the lanes to the left and above and running means along the row and down the column; the
//! context of a plane below is the byte above it, or all bytes above where lanes repeat. Where many lanes are zero, a
//! decision tells them apart first. Every choice is made by a trial on a sample of the block, and stands in its header.
//!
//! Byte planes of floats: the shuffle of HDF5 and Blosc; P. Ratanaworabhan, J. Ke and M. Burtscher, "Fast lossless
//! compression of scientific floating-point data", DCC 2006. The definition is docs/format.md, "Planes". It is not a
//! dictionary coder: longer repetitions are deflate's business.
//!
//! Cost: some seven decisions per float32; memory for the lanes of a block and at most 2.5 MB of probabilities.

use super::binary::{Decoder, Encoder, Model};
use super::bits::{BitReader, BitWriter};
use super::estimates::Estimate;
use super::lanes::Lane;
use super::{CodeError, Rows, damaged, reserve};
use crate::tensor::Dtype;

/// Contexts of the first plane.
const BUCKETS: usize = 32;
/// Contexts of a plane by the byte above it.
const ABOVE: usize = 256;
/// Largest table of a plane by all bytes above, as a power of 2.
const MOST_HASHED: u32 = 18;
/// Contexts of zeros, and the one of a zero's sign.
const ZERO_CONTEXTS: usize = 49;
/// Levels are counted in 1/16.
const LEVEL: i32 = 16;
/// Weights of the expected level: left, above, the row's and the column's running mean.
const LEFT: i32 = 1;
const UP: i32 = 1;
const ROW: i32 = 6;
const COLUMN: i32 = 6;
/// How fast the running means move, as shifts.
const ROW_RATE: u32 = 4;
const COLUMN_RATE: u32 = 3;
/// Levels per bucket, in 1/16.
const BUCKET_WIDTH: i32 = 16;
/// Zeros are told apart where one lane of this many is one.
const ZEROS_FROM: usize = 32;
/// A trial reads this many runs of this many lanes.
const TRIAL_RUNS: usize = 4;
const TRIAL_RUN: usize = 1 << 13;
/// What a decision must save to be worth its time, in 1/256 bit.
const WORTH: u64 = 1;
/// Order of the exponential Golomb code of the number of lanes that are not zero.
const COUNT_ORDER: u32 = 12;
/// Bits of the largest level.
const LEVEL_BITS: u32 = 11;

const PART: &str = "byte planes";

/// How the bytes of one plane are coded: byte = least + value · 2^step, modulo 256.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Plane {
    /// The least byte.
    least: u8,
    /// Lowest bits in which no byte differs from the least: the sign, where all are positive.
    step: u32,
    /// Bits of a value.
    width: u32,
    /// How many of them, from the top, are decided in context.
    depth: u32,
}

impl Plane {
    /// Bits stored as they are.
    const fn raw_bits(self) -> u32 {
        self.width - self.depth
    }

    /// What stands for a lane's byte, the `place`-th from below.
    const fn value(self, lane: u64, place: usize) -> u64 {
        (((lane >> (8 * place)) as u8).wrapping_sub(self.least) >> self.step) as u64
    }

    /// The plane of the `place`-th bytes of lanes, undecided.
    fn of(lanes: impl Iterator<Item = u64> + Clone, place: usize) -> Self {
        let bytes = lanes.map(|lane| (lane >> (8 * place)) as u8);
        let least = bytes.clone().min().unwrap_or(0);
        let (most, set) = bytes.fold((0, 0), |(most, set), byte| (byte.max(most), set | (byte - least)));
        let span = most.saturating_sub(least);
        let step = set.trailing_zeros() % 8;
        Self { least, step, width: 8 - (span >> step).leading_zeros(), depth: 0 }.whole()
    }

    /// A plane of 8 bits says no least byte.
    const fn whole(self) -> Self {
        Self { least: if self.width < 8 { self.least } else { 0 }, ..self }
    }
}

/// What a block says before its lanes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Header {
    /// Whether zeros are told apart.
    zeros: bool,
    /// Whether the context of a plane below the first is all bytes above it, not one.
    hashed: bool,
    /// The largest level.
    top: u32,
    /// From the top.
    planes: Vec<Plane>,
    /// Lanes that are not told apart as zeros.
    coded: u64,
}

impl Header {
    /// Bits of a lane stored as they are.
    fn raw_bits(&self) -> u32 {
        self.planes.iter().map(|plane| plane.raw_bits()).sum()
    }

    fn write(&self, writer: &mut BitWriter) {
        writer.write(u32::from(self.zeros), 1);
        writer.write(u32::from(self.hashed), 1);
        writer.write(self.top, LEVEL_BITS);
        for plane in &self.planes {
            writer.write(plane.width, 4);
            writer.write(plane.depth, 4);
            if plane.width < 8 {
                writer.write(u32::from(plane.least), 8);
                writer.write(plane.step, 3);
            }
        }
        if self.zeros {
            writer.write_golomb(self.coded as u32, COUNT_ORDER);
        }
    }

    fn read(reader: &mut BitReader, lane: Lane, lanes: usize) -> Result<Self, CodeError> {
        let zeros = reader.read(1)? == 1;
        let hashed = reader.read(1)? == 1;
        let top = reader.read(LEVEL_BITS)?;
        let mut planes = Vec::with_capacity(lane.bytes);
        for _ in 0..lane.bytes {
            let (width, depth) = (reader.read(4)?, reader.read(4)?);
            if width > 8 || depth > width {
                return Err(damaged(
                    PART,
                    "a width up to 8, and a depth up to it",
                    format!("{width}, {depth}"),
                ));
            }
            let (least, step) = if width < 8 { (reader.read(8)? as u8, reader.read(3)?) } else { (0, 0) };
            if width + step > 8 {
                return Err(damaged(PART, format!("a step up to {}", 8 - width), step));
            }
            planes.push(Plane { least, step, width, depth });
        }
        let coded = if zeros { u64::from(reader.read_golomb(COUNT_ORDER)?) } else { lanes as u64 };
        if coded > lanes as u64 {
            return Err(damaged(PART, format!("at most {lanes} lanes that are not zero"), coded));
        }
        Ok(Self { zeros, hashed, top, planes, coded })
    }
}

/// What was above a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Above {
    Nothing,
    Zero,
    /// A lane of this level, in 1/16.
    Level(i32),
}

/// What is known of a column.
#[derive(Debug, Clone, Copy)]
struct Column {
    above: Above,
    /// The running mean of its levels.
    mean: Option<i32>,
}

/// What the lanes before let expect of the next.
#[derive(Debug)]
struct Neighbours {
    /// The largest level, in 1/16.
    top: i32,
    columns: Vec<Column>,
    at: usize,
    row: Option<i32>,
    left: Option<i32>,
    left_zero: bool,
    /// Running share of zeros, of 256.
    zeros: u32,
}

impl Neighbours {
    /// Before the first lane of a block; rows count only where the block has more than one.
    fn new(rows: Rows, lanes: usize, top: u32) -> Result<Self, CodeError> {
        let length = if rows.length < lanes { rows.length } else { 0 };
        let mut columns = Vec::new();
        reserve(&mut columns, length)?;
        columns.resize(length, Column { above: Above::Nothing, mean: None });
        let at = rows.start.checked_rem(length).unwrap_or(0);
        Ok(Self { top: top as i32 * LEVEL, columns, at, row: None, left: None, left_zero: true, zeros: 128 })
    }

    /// The context of whether the lane is zero.
    fn zero_context(&self) -> usize {
        let above = match self.columns.get(self.at).map_or(Above::Nothing, |column| column.above) {
            Above::Nothing => 0,
            Above::Zero => 1,
            Above::Level(_) => 2,
        };
        (3 * usize::from(self.left_zero) + above) * 8 + (self.zeros >> 5) as usize
    }

    /// The context of the lane's first plane.
    fn bucket(&self) -> usize {
        let row = self.row.unwrap_or(self.top);
        let column = self.columns.get(self.at);
        let mean = column.and_then(|column| column.mean).unwrap_or(row);
        let left = self.left.unwrap_or(row);
        let above = match column.map(|column| column.above) {
            Some(Above::Level(level)) => level,
            _ => mean,
        };
        let expected = (LEFT * left + UP * above + ROW * row + COLUMN * mean) / (LEFT + UP + ROW + COLUMN);
        (((self.top - expected).max(0) / BUCKET_WIDTH) as usize).min(BUCKETS - 1)
    }

    /// Moves on past a zero, or a lane of this level.
    fn pass(&mut self, level: Option<u32>) {
        let above = match level {
            None => Above::Zero,
            Some(level) => {
                let level = level as i32 * LEVEL;
                let row = self.row.map_or(level, |row| row + ((level - row) >> ROW_RATE));
                (self.row, self.left) = (Some(row), Some(level));
                if let Some(column) = self.columns.get_mut(self.at) {
                    let moved = |mean: i32| mean + ((level - mean) >> COLUMN_RATE);
                    column.mean = Some(column.mean.map_or(row, moved));
                }
                Above::Level(level)
            }
        };
        self.left_zero = level.is_none();
        let to = if self.left_zero { 256 - self.zeros } else { 0 };
        self.zeros = self.zeros + (to >> 4) - if self.left_zero { 0 } else { self.zeros >> 4 };
        if let Some(column) = self.columns.get_mut(self.at) {
            column.above = above;
            self.at = if self.at + 1 < self.columns.len() { self.at + 1 } else { 0 };
        }
    }
}

/// The probabilities of one plane.
#[derive(Debug)]
struct Table {
    estimates: Vec<Estimate>,
    /// Bits of an index, where contexts are hashed.
    hashed: Option<u32>,
}

impl Table {
    fn new(plane: Plane, is_first: bool, hashed: bool, lanes: usize) -> Result<Self, CodeError> {
        let hashed = (hashed && !is_first).then(|| (lanes.max(1).ilog2() + 5).min(MOST_HASHED));
        let contexts = if is_first { BUCKETS } else { ABOVE };
        let size = match (plane.depth, hashed) {
            (0, _) => 0,
            (_, Some(bits)) => 1 << bits,
            (depth, None) => contexts << depth,
        };
        Ok(Self { estimates: estimates(size)?, hashed })
    }

    /// The estimates of a lane with `above` in the bytes above, or in this context: what is added for each node.
    #[inline]
    fn place(&self, context: u64, depth: u32) -> usize {
        match self.hashed {
            Some(bits) => ((context + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize,
            None => (context as usize) << depth,
        }
    }

    #[inline]
    fn at(&mut self, place: usize, node: usize) -> Option<&mut Estimate> {
        let index = match self.hashed {
            Some(bits) => (place + node * 0x9e35) & ((1 << bits) - 1),
            None => place + node,
        };
        self.estimates.get_mut(index)
    }
}

fn estimates(count: usize) -> Result<Vec<Estimate>, CodeError> {
    let mut all = Vec::new();
    reserve(&mut all, count)?;
    all.resize(count, Estimate::NEW);
    Ok(all)
}

/// What takes or gives the bits of a block.
trait Bits {
    /// A decision of this probability: told what it was, or saying it.
    fn chance(&mut self, ones: u32, bit: bool) -> bool;
    /// `count` bits as they are.
    fn raw(&mut self, bits: u64, count: u32) -> u64;
}

struct Writing<'a> {
    decisions: Encoder<'a>,
    raw: BitWriter<'a>,
}

impl Bits for Writing<'_> {
    #[inline]
    fn chance(&mut self, ones: u32, bit: bool) -> bool {
        self.decisions.chance(ones, bit)
    }

    fn raw(&mut self, bits: u64, count: u32) -> u64 {
        if count > 32 {
            self.raw.write((bits >> 32) as u32, count - 32);
        }
        self.raw.write((bits & (u64::MAX >> (64 - count.min(32)))) as u32, count.min(32));
        bits
    }
}

struct Reading<'a> {
    decisions: Decoder<'a>,
    raw: BitReader<'a>,
}

impl Bits for Reading<'_> {
    #[inline]
    fn chance(&mut self, ones: u32, _: bool) -> bool {
        self.decisions.chance(ones)
    }

    fn raw(&mut self, _: u64, count: u32) -> u64 {
        // Lanes are counted against the header, so that bits can be missing only where that fails too.
        let upper = if count > 32 { self.raw.read(count - 32).unwrap_or(0) } else { 0 };
        u64::from(upper) << 32 | u64::from(self.raw.read(count.min(32)).unwrap_or(0))
    }
}

/// Codes lane after lane; the same both ways.
struct Coder {
    lane: Lane,
    header: Header,
    raw_bits: u32,
    neighbours: Neighbours,
    zero: Vec<Estimate>,
    tables: Vec<Table>,
    /// The first plane whose bytes differ: the one in the context of the neighbours.
    first: usize,
    /// Lanes so far that were not told apart as zeros.
    coded: u64,
}

impl Coder {
    fn new(lane: Lane, header: Header, rows: Rows, lanes: usize) -> Result<Self, CodeError> {
        let first = first_plane(&header.planes);
        let table = |(i, plane): (usize, &Plane)| Table::new(*plane, i == first, header.hashed, lanes);
        Ok(Self {
            lane,
            raw_bits: header.raw_bits(),
            neighbours: Neighbours::new(rows, lanes, header.top)?,
            zero: estimates(ZERO_CONTEXTS)?,
            tables: header.planes.iter().enumerate().map(table).collect::<Result<_, _>>()?,
            first,
            coded: 0,
            header,
        })
    }

    /// Codes the next lane, which a decoder does not know yet.
    fn code(&mut self, bits: &mut impl Bits, lane: u64) -> u64 {
        if self.header.zeros {
            let context = self.neighbours.zero_context();
            if decide(self.zero.get_mut(context), bits, self.lane.is_zero(lane)) {
                self.neighbours.pass(None);
                let sign = self.lane.has_signed_zero();
                return u64::from(sign && decide(self.zero.get_mut(ZERO_CONTEXTS - 1), bits, lane == 1));
            }
        }
        self.coded += 1;
        let mut left = self.raw_bits;
        let raw = if left > 0 { bits.raw(self.raw_of(lane), left) } else { 0 };
        let mut built = 0u64;
        for (i, (plane, table)) in self.header.planes.iter().zip(&mut self.tables).enumerate() {
            let Plane { least, step, width, depth } = *plane;
            let place = match depth {
                0 => 0,
                _ if i == self.first => table.place(self.neighbours.bucket() as u64, depth),
                _ if self.header.hashed => table.place(built, depth),
                _ => table.place(built & 0xff, depth),
            };
            let value = plane.value(lane, self.lane.bytes - 1 - i);
            let mut node = 1usize;
            for bit in (width - depth..width).rev() {
                let bit = decide(table.at(place, node), bits, value >> bit & 1 == 1);
                node = node << 1 | usize::from(bit);
            }
            left -= width - depth;
            let upper = node as u64 - (1 << depth);
            let lower = raw >> left & ((1 << (width - depth)) - 1);
            let value = (upper << (width - depth) | lower) << step;
            built = built << 8 | u64::from(least.wrapping_add(value as u8));
        }
        self.neighbours.pass(Some(self.lane.level(built)));
        built
    }

    /// The bits of a lane that are stored as they are.
    fn raw_of(&self, lane: u64) -> u64 {
        let mut raw = 0;
        for (i, plane) in self.header.planes.iter().enumerate() {
            let value = plane.value(lane, self.lane.bytes - 1 - i);
            raw = raw << plane.raw_bits() | value & ((1 << plane.raw_bits()) - 1);
        }
        raw
    }
}

/// The first plane whose bytes differ.
fn first_plane(planes: &[Plane]) -> usize {
    planes.iter().position(|plane| plane.width > 0).unwrap_or(0)
}

#[inline]
fn decide(estimate: Option<&mut Estimate>, bits: &mut impl Bits, bit: bool) -> bool {
    // Every context has its place; a decision without one would be even.
    let Some(estimate) = estimate else { return bits.chance(1 << 15, bit) };
    let bit = bits.chance(estimate.probability(), bit);
    estimate.learn(bit);
    bit
}

/// Rows of lanes.
fn lane_rows(lane: Lane, rows: Rows) -> Rows {
    Rows {
        length: rows.length.saturating_mul(lane.per_element),
        start: rows.start.saturating_mul(lane.per_element),
        ..Rows::default()
    }
}

/// Codes little-endian elements of a type; `rows` says where they lie in their tensor. `None` for none, and where nothing
/// could be saved.
pub fn encode(elements: &[u8], dtype: Dtype, rows: Rows) -> Result<Option<Vec<u8>>, CodeError> {
    let lane = Lane::of(dtype);
    let mut lanes = Vec::new();
    reserve(&mut lanes, elements.len() / lane.bytes)?;
    lanes.extend(elements.chunks_exact(lane.bytes).map(|bytes| lane.lane(bytes)));
    let Some(header) = choose(lane, &lanes)? else { return Ok(None) };
    let (mut out, mut decided) = (Vec::new(), Vec::new());
    let mut raw = BitWriter::new(&mut out);
    header.write(&mut raw);
    let mut coder = Coder::new(lane, header, lane_rows(lane, rows), lanes.len())?;
    let mut bits =
        Writing { decisions: Encoder::new(Model::starting(std::iter::empty()), &mut decided), raw };
    for lane in &lanes {
        coder.code(&mut bits, *lane);
    }
    bits.decisions.finish();
    bits.raw.finish();
    out.extend_from_slice(&decided);
    Ok(Some(out))
}

/// Appends the `count` elements of a type that `bytes` holds, and nothing else, to `elements`, little-endian.
pub fn decode(
    bytes: &[u8],
    dtype: Dtype,
    rows: Rows,
    count: usize,
    elements: &mut Vec<u8>,
) -> Result<(), CodeError> {
    let lane = Lane::of(dtype);
    let lanes = count.saturating_mul(lane.per_element);
    let mut head = BitReader::new(bytes);
    let header = Header::read(&mut head, lane, lanes)?;
    let raw_bits = header.coded * u64::from(header.raw_bits());
    let ends = usize::try_from((head.bits() + raw_bits).div_ceil(8)).ok();
    let Some((before, decided)) = ends.and_then(|end| bytes.split_at_checked(end)) else {
        return Err(damaged(
            PART,
            format!("{raw_bits} bits of lower planes"),
            format!("{} bytes in all", bytes.len()),
        ));
    };
    let mut raw = BitReader::new(before);
    Header::read(&mut raw, lane, lanes)?;
    reserve(elements, lanes.saturating_mul(lane.bytes))?;
    let decisions = Decoder::new(Model::starting(std::iter::empty()), decided);
    let mut bits = Reading { decisions, raw };
    let mut coder = Coder::new(lane, header, lane_rows(lane, rows), lanes)?;
    for _ in 0..lanes {
        let code = coder.code(&mut bits, 0);
        lane.write(code, elements);
    }
    if coder.coded != coder.header.coded {
        return Err(damaged(PART, format!("{} lanes that are not zero", coder.header.coded), coder.coded));
    }
    bits.raw.finish()?;
    bits.decisions.finish().map_err(|read| damaged(PART, format!("{read} bytes of decisions"), decided.len()))
}

/// What the lanes of a block are best coded as; `None` where there are none, or not a bit is worth deciding.
fn choose(lane: Lane, lanes: &[u64]) -> Result<Option<Header>, CodeError> {
    let zero_count = lanes.iter().filter(|code| lane.is_zero(**code)).count();
    let zeros = zero_count * ZEROS_FROM > lanes.len();
    let coded = || lanes.iter().copied().filter(|code| !zeros || !lane.is_zero(*code));
    let top = coded().map(|code| lane.level(code)).max().unwrap_or(0);
    let count = lanes.len() - if zeros { zero_count } else { 0 };
    let planes: Vec<Plane> = (0..lane.bytes).rev().map(|place| Plane::of(coded(), place)).collect();
    let sample: Vec<u64> = if lanes.len() > TRIAL_RUNS * TRIAL_RUN {
        let starts = (0..TRIAL_RUNS).map(|run| (lanes.len() - TRIAL_RUN) / (TRIAL_RUNS - 1) * run);
        let runs = starts.flat_map(|start| lanes.get(start..start + TRIAL_RUN).unwrap_or_default());
        runs.copied().filter(|code| !zeros || !lane.is_zero(*code)).collect()
    } else {
        coded().collect()
    };
    let (one, one_cost) = trial(lane, &planes, top, false, &sample)?;
    let (all, all_cost) = trial(lane, &planes, top, true, &sample)?;
    // All bytes above take more memory and time: they must save a hundredth.
    let hashed = all_cost + all_cost / 100 < one_cost;
    let planes = if hashed { all } else { one };
    let saves = zeros || planes.iter().any(|plane| plane.width < 8 || plane.depth > 0);
    Ok((saves && !lanes.is_empty()).then_some(Header { zeros, hashed, top, planes, coded: count as u64 }))
}

/// The depths at which a sample costs least, and what it costs then, in 1/256 bit.
fn trial(
    lane: Lane,
    planes: &[Plane],
    top: u32,
    hashed: bool,
    sample: &[u64],
) -> Result<(Vec<Plane>, u64), CodeError> {
    let first = first_plane(planes);
    let mut chosen = Vec::with_capacity(planes.len());
    let mut total = 0;
    for (i, plane) in planes.iter().enumerate() {
        let width = plane.width;
        let full = Plane { depth: width, ..*plane };
        let mut table = Table::new(full, i == first, hashed, sample.len())?;
        let mut neighbours = Neighbours::new(Rows::default(), sample.len(), top)?;
        let mut costs = [0u64; 8];
        for code in sample {
            let above = code.checked_shr(8 * (planes.len() - i) as u32).unwrap_or(0);
            let context = match (i == first, hashed) {
                (true, _) => neighbours.bucket() as u64,
                (false, true) => above,
                (false, false) => above & 0xff,
            };
            let place = table.place(context, width);
            let value = plane.value(*code, planes.len() - 1 - i);
            let mut node = 1usize;
            for (bit, cost) in (0..width).rev().zip(&mut costs) {
                let bit = value >> bit & 1 == 1;
                if let Some(estimate) = table.at(place, node) {
                    *cost += u64::from(estimate.cost(bit)) + WORTH;
                    estimate.learn(bit);
                }
                node = node << 1 | usize::from(bit);
            }
            if i == first {
                neighbours.pass(Some(lane.level(*code)));
            }
        }
        let raw = |depth: u32| u64::from(width - depth) * sample.len() as u64 * 256;
        let mut best = (raw(0), 0);
        let mut decided = 0;
        for (cost, depth) in costs.iter().zip(1..=width) {
            decided += cost;
            best = best.min((decided + raw(depth), depth));
        }
        total += best.0;
        chosen.push(Plane { depth: best.1, ..*plane });
    }
    Ok((chosen, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look like weights of this type: normal around a scale that changes by row, some of them zero.
    fn weights(dtype: Dtype, count: usize, row: usize, zero_in: u64) -> Vec<u8> {
        let mut state = 3u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 40
        };
        let mut bytes = Vec::new();
        for i in 0..count * Lane::of(dtype).per_element {
            let sum = (0..4).map(|_| random() as f32).sum::<f32>() / (1 << 24) as f32 - 2.0;
            let zero = zero_in > 0 && random() % zero_in > 0;
            let scale = [0.01, 0.3, 0.05][i / row.max(1) % 3];
            let value = if zero { sum * 0.0 } else { sum * scale };
            match Lane::of(dtype).bytes {
                _ if dtype.is_float() => dtype.extend_bytes(&[value], &mut bytes),
                4 if dtype == Dtype::C64 => Dtype::F32.extend_bytes(&[value], &mut bytes),
                8 if dtype == Dtype::C128 => Dtype::F64.extend_bytes(&[value], &mut bytes),
                size => bytes.extend(&((value * 500.0) as i64).to_le_bytes()[..size]),
            }
        }
        bytes
    }

    fn round_trip(bytes: &[u8], dtype: Dtype, rows: Rows) -> Option<usize> {
        let coded = encode(bytes, dtype, rows).unwrap()?;
        let mut decoded = vec![7];
        decode(&coded, dtype, rows, bytes.len() / dtype.size_bytes() as usize, &mut decoded).unwrap();
        assert!(decoded[1..] == *bytes, "{dtype:?} {rows:?} {}", bytes.len());
        Some(coded.len())
    }

    #[test]
    fn every_type_reads_back_at_any_length_and_in_any_rows() {
        for dtype in Dtype::ALL {
            for count in [0, 1, 2, 3, 17, 255, 1001] {
                for zero_in in [0, 2, 20] {
                    let bytes = weights(dtype, count, 7, zero_in);
                    for (length, start) in [(0, 0), (1, 0), (7, 3), (256, 255), (count, 0), (usize::MAX, 5)] {
                        round_trip(&bytes, dtype, Rows { length, start, ..Rows::default() });
                    }
                }
            }
        }
    }

    #[test]
    fn extreme_bits_read_back() {
        for dtype in Dtype::ALL {
            let size = dtype.size_bytes() as usize;
            for patterns in [&[0u8, 0xff][..], &[0, 0x80, 0x7f, 0xff, 1], &[0x55, 0xaa], &[0], &[0xff]] {
                let element = |i: usize| vec![patterns[i * i % patterns.len()]; size];
                let bytes: Vec<u8> = (0..500).flat_map(element).collect();
                round_trip(&bytes, dtype, Rows { length: 20, start: 0, ..Rows::default() });
                let bytes: Vec<u8> = (0..500 * size).map(|i| patterns[i * i % 7 % patterns.len()]).collect();
                round_trip(&bytes, dtype, Rows { length: 20, start: 0, ..Rows::default() });
            }
        }
    }

    #[test]
    fn weights_shrink_to_the_entropy_of_their_exponents() {
        let rows = Rows { length: 100, start: 0, ..Rows::default() };
        let bytes = weights(Dtype::F32, 100_000, 100, 0);
        let len = round_trip(&bytes, Dtype::F32, rows).unwrap();
        assert!((0.81..0.85).contains(&(len as f64 / bytes.len() as f64)), "{len}");
        let bytes = weights(Dtype::Bf16, 100_000, 100, 0);
        let len = round_trip(&bytes, Dtype::Bf16, rows).unwrap();
        assert!((0.62..0.70).contains(&(len as f64 / bytes.len() as f64)), "{len}");
    }

    #[test]
    fn pruned_weights_cost_their_positions_and_signs_and_what_is_left() {
        let bytes = weights(Dtype::F32, 100_000, 100, 10);
        let len = round_trip(&bytes, Dtype::F32, Rows { length: 100, start: 0, ..Rows::default() }).unwrap();
        // 0.47 bits of position, 0.9 of the zero's sign, 2.7 of what is left.
        assert!((len as f64) < 100_000.0 * 4.2 / 8.0, "{len}");
    }

    #[test]
    fn numbers_from_a_short_list_cost_their_index() {
        let list = weights(Dtype::F32, 16, 1, 0);
        let noise = weights(Dtype::U8, 50_000, 1, 0);
        let element = |byte: &u8| list[usize::from(byte % 16) * 4..][..4].to_vec();
        let bytes: Vec<u8> = noise.iter().flat_map(element).collect();
        let len = round_trip(&bytes, Dtype::F32, Rows::default()).unwrap();
        assert!(len < 50_000 * 5 / 8, "{len}");
    }

    #[test]
    fn noise_and_nothing_are_left_alone() {
        assert_eq!(encode(&[], Dtype::F32, Rows::default()).unwrap(), None);
        let noise: Vec<u8> =
            (0..40_000u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 37) as u8).collect();
        for dtype in [Dtype::U8, Dtype::U32, Dtype::F32] {
            assert!(round_trip(&noise, dtype, Rows::default()).is_none_or(|len| len < noise.len() + 32));
        }
    }

    #[test]
    fn damage_ends_in_an_error_or_in_as_many_other_elements() {
        for (dtype, zero_in) in
            [(Dtype::F32, 0), (Dtype::F32, 3), (Dtype::I16, 3), (Dtype::F64, 0), (Dtype::C64, 2)]
        {
            let bytes = weights(dtype, 200, 10, zero_in);
            let rows = Rows { length: 10, start: 0, ..Rows::default() };
            let coded = encode(&bytes, dtype, rows).unwrap().unwrap();
            let check = |damaged: &[u8]| {
                let mut out = Vec::new();
                if decode(damaged, dtype, rows, 200, &mut out).is_ok() {
                    assert_eq!(out.len(), bytes.len());
                }
            };
            for at in 0..coded.len() {
                for bit in 0..8 {
                    let mut damaged = coded.clone();
                    damaged[at] ^= 1 << bit;
                    check(&damaged);
                }
                let mut out = Vec::new();
                assert!(decode(&coded[..at], dtype, rows, 200, &mut out).is_err(), "{dtype:?} cut at {at}");
            }
            assert!(decode(&[&coded[..], &[0]].concat(), dtype, rows, 200, &mut Vec::new()).is_err());
            for count in [0, 1] {
                assert!(decode(&coded, dtype, rows, count, &mut Vec::new()).is_err(), "{dtype:?} as {count}");
            }
        }
    }
}
