//! Estimates of a yes-or-no probability that start from nothing and settle fast.
//!
//! The n-th decision moves an estimate by 1 / (n + ½) of its error, so that the first few are nearly a count; a fast estimate
//! stops slowing down at n = 31, a slow one at n = 254, and the probability is their mean. Counting estimators: R.
//! Krichevsky and V. Trofimov, "The performance of universal encoding", IEEE Trans. IT 27, 1981. `binary` spends the bits.
//! Integers only.

use super::binary::ONE;

/// Where the fast and the slow estimate stop slowing down.
const FAST_LIMIT: u8 = 31;
const SLOW_LIMIT: u8 = 254;

/// 2¹⁶ / (n + ½), by n.
const RATES: [u32; 256] = {
    let mut rates = [0; 256];
    let mut n = 0;
    while n < 256 {
        rates[n] = (1 << 17) / (2 * n as u32 + 1);
        n += 1;
    }
    rates
};

/// Bits that a decision costs, in 1/256, by the top byte of its probability.
const COSTS: [u32; 256] = {
    let mut costs = [0; 256];
    let mut i = 0;
    while i < 256 {
        costs[i] = cost_of_ratio(2 * i as u64 + 1);
        i += 1;
    }
    costs
};

/// −log2(x / 512) in 1/256, by squaring: eight bits behind the point.
const fn cost_of_ratio(x: u64) -> u32 {
    let whole = x.ilog2();
    let mut mantissa = x << (30 - whole);
    let mut log = whole << 8;
    let mut bit = 7;
    loop {
        mantissa = (mantissa * mantissa) >> 30;
        if mantissa >= 1 << 31 {
            mantissa >>= 1;
            log |= 1 << bit;
        }
        if bit == 0 {
            return (9 << 8) - log;
        }
        bit -= 1;
    }
}

/// An adaptive probability of a one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    fast: u16,
    slow: u16,
    seen: u8,
}

impl Estimate {
    /// Even odds, nothing seen.
    pub(super) const NEW: Self = Self { fast: (ONE / 2) as u16, slow: (ONE / 2) as u16, seen: 0 };

    /// The probability of a one, of 2¹⁶.
    #[inline]
    pub(super) const fn probability(self) -> u32 {
        (self.fast as u32 + self.slow as u32) >> 1
    }

    /// Bits that `bit` would cost, in 1/256.
    pub(super) fn cost(self, bit: bool) -> u32 {
        let ones = self.probability();
        let probability = if bit { ones } else { ONE - 1 - ones };
        COSTS.get((probability >> 8) as usize).copied().unwrap_or(0)
    }

    /// Moves towards what happened.
    #[inline]
    pub(super) fn learn(&mut self, bit: bool) {
        self.seen += u8::from(self.seen < SLOW_LIMIT);
        let rate = |limit: u8| RATES[usize::from(if self.seen < limit { self.seen } else { limit })];
        let (fast, slow) = (rate(FAST_LIMIT), rate(SLOW_LIMIT));
        if bit {
            self.fast += (((ONE - u32::from(self.fast)) * fast) >> 16) as u16;
            self.slow += (((ONE - u32::from(self.slow)) * slow) >> 16) as u16;
        } else {
            self.fast -= ((u32::from(self.fast) * fast) >> 16) as u16;
            self.slow -= ((u32::from(self.slow) * slow) >> 16) as u16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_the_logarithm_to_half_a_hundredth_of_a_bit() {
        for (i, cost) in COSTS.iter().enumerate() {
            let exact = -libm::log2((2 * i + 1) as f64 / 512.0);
            assert!((f64::from(*cost) / 256.0 - exact).abs() < 0.005, "{i}");
        }
    }

    #[test]
    fn an_estimate_settles_at_the_rate_of_ones_and_never_leaves_sixteen_bits() {
        for of in 1..40 {
            let mut estimate = Estimate::NEW;
            (0..4000).for_each(|i| estimate.learn(i % of == 0));
            let expected = f64::from(ONE) / f64::from(of);
            let found = f64::from(estimate.probability());
            assert!(
                (found - expected).abs() < 0.2 * expected.min(f64::from(ONE) / 4.0) + 900.0,
                "{of}: {found}"
            );
        }
    }

    #[test]
    fn the_first_decision_moves_an_estimate_two_thirds_of_the_way() {
        let mut estimate = Estimate::NEW;
        estimate.learn(true);
        assert_eq!(estimate.probability(), 32768 + ((32768 * 43690) >> 16));
    }
}
