//! Adaptive binary arithmetic coding: yes-or-no decisions, each with a probability that learns.
//!
//! A probability is the mean of a fast and a slow estimate that move towards what happened; the range coder spends −log2 p
//! bits on a decision of probability p. What the decisions mean is up to the caller ([`super::context`]).
//!
//! Adaptive binary coding: J. Rissanen and G. Langdon, "Universal modeling and coding", IEEE Trans. IT 27, 1981; range coder with carry:
//! G. Martin, "Range encoding", 1979. No claim of compatibility with any standard is made. Integers only.

/// How fast probabilities move, as shifts.
const FAST: u32 = 5;
const SLOW: u32 = 8;

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

/// Adaptive probabilities of a one, as (fast, slow).
pub(super) struct Model(Vec<(u32, u32)>);

impl Model {
    /// Probabilities that start there.
    pub(super) fn starting(at: impl Iterator<Item = u32>) -> Self {
        Self(at.map(|p| (p, p)).collect())
    }

    fn probability(&self, context: usize) -> u32 {
        let (fast, slow) = self.0.get(context).copied().unwrap_or((ONE / 2, ONE / 2));
        u32::midpoint(fast, slow).clamp(LEAST, ONE - LEAST)
    }

    fn learn(&mut self, context: usize, bit: bool) {
        if let Some((fast, slow)) = self.0.get_mut(context) {
            if bit {
                *fast += (ONE - *fast) >> FAST;
                *slow += (ONE - *slow) >> SLOW;
            } else {
                *fast -= *fast >> FAST;
                *slow -= *slow >> SLOW;
            }
        }
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
