//! Adaptive binary arithmetic coding: yes-or-no decisions, each with a probability that learns.
//!
//! A probability is the mean of a fast and a slow estimate that move towards what happened; the range coder spends −log2 p
//! bits on a decision of probability p. What the decisions mean is up to the caller ([`super::context`]).
//!
//! Adaptive binary coding: J. Rissanen and G. Langdon, "Universal modeling and coding", IEEE Trans. IT 27, 1981; range coder
//! with carry: G. Martin, "Range encoding", 1979. No claim of compatibility with any standard is made. Integers only.

/// How fast the two estimates of a probability move, as shifts, by how often the decision has been taken, in 16 steps of 16.
const FAST: [u8; 16] = [4, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6];
const SLOW: [u8; 16] = [5, 6, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 9, 9, 9, 9];
/// Where counting ends.
const MOST_SEEN: u8 = 255;

/// One, as a probability.
pub(super) const ONE: u32 = 1 << 16;
/// Probabilities stay this far from 0 and 1.
const LEAST: u32 = 64;
/// What takes or gives decisions: `bit` is told the decision and says which it was.
pub(super) trait Decisions {
    fn bit(&mut self, context: usize, bit: bool) -> bool;
    /// `count` even decisions.
    fn even(&mut self, bits: u32, count: u32) -> u32;
}

/// Counts how decisions go, by context.
pub(super) struct Counting(pub(super) Vec<[u64; 2]>);

impl Decisions for Counting {
    fn bit(&mut self, context: usize, bit: bool) -> bool {
        if let Some(counts) = self.0.get_mut(context) {
            counts[usize::from(bit)] += 1;
        }
        bit
    }

    fn even(&mut self, bits: u32, _: u32) -> u32 {
        bits
    }
}

/// An adaptive probability of a one.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    fast: u16,
    slow: u16,
    /// How often the decision has been taken, up to [`MOST_SEEN`].
    seen: u8,
}

/// Adaptive probabilities of a one, by context.
#[derive(Debug)]
pub(super) struct Model(Vec<Estimate>);

impl Model {
    /// Probabilities that start there, of 2¹⁶.
    pub(super) fn starting(at: impl Iterator<Item = u32>) -> Self {
        let estimate =
            |p: u32| Estimate { fast: p.min(ONE - 1) as u16, slow: p.min(ONE - 1) as u16, seen: 0 };
        Self(at.map(estimate).collect())
    }

    #[inline(always)]
    pub(super) fn probability(&self, context: usize) -> u32 {
        let Some(estimate) = self.0.get(context) else { return ONE / 2 };
        ((u32::from(estimate.fast) + u32::from(estimate.slow)) >> 1).clamp(LEAST, ONE - LEAST)
    }

    #[inline(always)]
    pub(super) fn learn(&mut self, context: usize, bit: bool) {
        if let Some(Estimate { fast, slow, seen }) = self.0.get_mut(context) {
            let step = usize::from(*seen >> 4);
            let (fast_rate, slow_rate) = (FAST[step], SLOW[step]);
            *seen += u8::from(*seen < MOST_SEEN);
            // Towards 2¹⁶ − 1 or 0; both stay in 16 bits.
            let target = if bit { ONE as i32 - 1 } else { 0 };
            *fast = (i32::from(*fast) + ((target - i32::from(*fast)) >> fast_rate)) as u16;
            *slow = (i32::from(*slow) + ((target - i32::from(*slow)) >> slow_rate)) as u16;
        }
    }
}

/// Decisions that are only learnt from.
impl Decisions for Model {
    fn bit(&mut self, context: usize, bit: bool) -> bool {
        self.learn(context, bit);
        bit
    }

    fn even(&mut self, bits: u32, _: u32) -> u32 {
        bits
    }
}

/// Sums what decisions cost, and learns from them.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) model: Model,
    pub(super) costs: BitCosts,
    pub(super) bits: f32,
}

impl Decisions for Trial {
    fn bit(&mut self, context: usize, bit: bool) -> bool {
        self.bits += self.costs.of(self.model.probability(context), bit);
        self.model.learn(context, bit);
        bit
    }

    fn even(&mut self, bits: u32, count: u32) -> u32 {
        self.bits += count as f32;
        bits
    }
}

/// Bits that a decision costs, by the upper 12 bits of its probability.
#[derive(Debug)]
pub(super) struct BitCosts(Vec<f32>);

impl BitCosts {
    pub(super) fn new() -> Self {
        Self((0..4096).map(|i| -libm::log2f((i as f32 + 0.5) / 4096.0)).collect())
    }

    /// The cost of `bit` where a one has this probability.
    pub(super) fn of(&self, ones: u32, bit: bool) -> f32 {
        let probability = if bit { ones } else { ONE - ones };
        self.0.get((probability >> 4) as usize).copied().unwrap_or(0.0)
    }
}

/// A range encoder with carry; ones take the lower part.
pub(super) struct Encoder<'a> {
    model: Model,
    low: u64,
    range: u32,
    /// The byte before the run of 0xff bytes that a carry would turn over; none before the first.
    held: Option<u8>,
    run: u64,
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// Appends to `out`.
    pub(super) fn new(model: Model, out: &'a mut Vec<u8>) -> Self {
        Self { model, low: 0, range: u32::MAX, held: None, run: 0, out }
    }

    fn shift(&mut self) {
        let carry = (self.low >> 32) as u8;
        if self.low < 0xff00_0000 || carry > 0 {
            if let Some(held) = self.held {
                self.out.push(held.wrapping_add(carry));
            }
            for _ in 0..self.run {
                self.out.push(0xff_u8.wrapping_add(carry));
            }
            self.run = 0;
            self.held = Some((self.low >> 24) as u8);
        } else {
            self.run += 1;
        }
        self.low = (self.low & 0x00ff_ffff) << 8;
    }

    fn take(&mut self, bound: u32, bit: bool) {
        if bit {
            self.range = bound;
        } else {
            self.low += u64::from(bound);
            self.range -= bound;
        }
        while self.range < 1 << 24 {
            self.range <<= 8;
            self.shift();
        }
    }

    /// A decision of this probability of a one, for callers with estimates of their own.
    #[inline]
    pub(super) fn chance(&mut self, ones: u32, bit: bool) -> bool {
        self.take((self.range >> 16) * ones.clamp(LEAST, ONE - LEAST), bit);
        bit
    }

    /// Ends on the number of the remaining interval whose last three bytes are zero, and leaves those out.
    pub(super) fn finish(mut self) {
        self.low = (self.low + 0x00ff_ffff) & !0x00ff_ffff;
        self.shift();
        self.shift();
    }
}

impl Decisions for Encoder<'_> {
    fn bit(&mut self, context: usize, bit: bool) -> bool {
        let bound = (self.range >> 16) * self.model.probability(context);
        self.take(bound, bit);
        self.model.learn(context, bit);
        bit
    }

    fn even(&mut self, bits: u32, count: u32) -> u32 {
        for place in (0..count).rev() {
            self.take(self.range >> 1, bits >> place & 1 == 1);
        }
        bits
    }
}

/// The decoder of [`Encoder`]; bytes behind the end are zeros, counted.
pub(super) struct Decoder<'a> {
    model: Model,
    range: u32,
    code: u32,
    bytes: &'a [u8],
    read: usize,
}

impl<'a> Decoder<'a> {
    /// Reads what an [`Encoder`] with the same model wrote.
    pub(super) fn new(model: Model, bytes: &'a [u8]) -> Self {
        let mut decoder = Self { model, range: u32::MAX, code: 0, bytes, read: 0 };
        (0..4).for_each(|_| decoder.next());
        decoder
    }

    /// A decision of this probability of a one, for callers with estimates of their own.
    #[inline]
    pub(super) fn chance(&mut self, ones: u32) -> bool {
        self.give((self.range >> 16) * ones.clamp(LEAST, ONE - LEAST))
    }

    /// Whether all bytes were read and no more; if not, how many the decisions took.
    pub(super) fn finish(self) -> Result<(), usize> {
        // Three bytes of zeros are left out at the end.
        let read = self.read.saturating_sub(3);
        if read == self.bytes.len() { Ok(()) } else { Err(read) }
    }

    fn next(&mut self) {
        self.code = self.code << 8 | u32::from(self.bytes.get(self.read).copied().unwrap_or(0));
        self.read += 1;
    }

    fn give(&mut self, bound: u32) -> bool {
        let bit = self.code < bound;
        if bit {
            self.range = bound;
        } else {
            self.code -= bound;
            self.range -= bound;
        }
        while self.range < 1 << 24 {
            self.range <<= 8;
            self.next();
        }
        bit
    }
}

impl Decisions for Decoder<'_> {
    fn bit(&mut self, context: usize, _: bool) -> bool {
        let bound = (self.range >> 16) * self.model.probability(context);
        let bit = self.give(bound);
        self.model.learn(context, bit);
        bit
    }

    fn even(&mut self, _: u32, count: u32) -> u32 {
        (0..count).fold(0, |bits, _| {
            let bound = self.range >> 1;
            bits << 1 | u32::from(self.give(bound))
        })
    }
}
