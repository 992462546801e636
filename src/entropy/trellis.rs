//! Trellises: which half of a fine grid a weight may use, decided by the numbers before it.
//!
//! The integers are the union of two grids: the even ones, and the odd ones with zero. A state says which of the two the next
//! number is from, so that a number costs one bit less than on the fine grid; the parity of its place in its grid leads to
//! the next state. A search over the paths finds numbers close to the weights all the same: vector quantization with a
//! decoder that is one table look-up per weight. The states are those of systematic convolutional codes with feedback, by
//! their parity check polynomials for amplitude modulation: G. Ungerboeck, "Channel coding with multilevel/phase signals",
//! IEEE Trans. IT 28, 1982, table I; as a quantizer: M. Marcellin and T. Fischer, IEEE Trans. Comm. 38, 1990; with entropy
//! coding: T. Fischer and M. Wang, IEEE Trans. IT 38, 1992; R. Joshi, V. Crump and T. Fischer, IEEE Trans. CSVT 5, 1995,
//! whose supersets share the zero.

/// Parity check polynomials (h⁰, h¹) by the number of states' logarithm, from 2.
const POLYNOMIALS: [(u32, u32); 5] = [(0o5, 0o2), (0o13, 0o4), (0o23, 0o4), (0o45, 0o10), (0o103, 0o24)];

/// Most states.
pub(super) const STATES: usize = 64;

/// A trellis; with one state, all integers at every step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trellis {
    next: Vec<[u8; 2]>,
    /// What the last tap and the parity add to the state.
    feedback: usize,
    parity: usize,
}

impl Trellis {
    /// The trellis of 1, 4, 8, 16, 32 or 64 states.
    pub fn new(states: u32) -> Option<Self> {
        if states == 1 {
            return Some(Self { next: vec![[0, 0]], feedback: 0, parity: 0 });
        }
        let memory = states.checked_ilog2().filter(|_| states.is_power_of_two())?;
        let (h0, h1) = *POLYNOMIALS.get(memory.checked_sub(2)? as usize)?;
        // Observer canonical form: bit 0 of the state is the even or odd grid, the last tap feeds it back.
        let next =
            |state: u32, place: u32| ((state >> 1) ^ ((state & 1) * (h0 >> 1)) ^ (place * (h1 >> 1))) as u8;
        Some(Self {
            next: (0..states).map(|state| [next(state, 0), next(state, 1)]).collect(),
            feedback: (h0 >> 1) as usize,
            parity: (h1 >> 1) as usize,
        })
    }

    /// One of four classes of states, by the grid and parity of the number that led there; `parities` are those of the
    /// [step](Self::step) to `state`.
    #[inline(always)]
    pub(super) fn class(&self, state: u8, parities: u64) -> usize {
        2 * usize::from(usize::from(state) >= self.next.len() / 2) + (parities >> state & 1) as usize
    }

    /// One step of a Viterbi search: from what the paths into every state cost to what those into the next states do, a number
    /// costing `metrics[class][grid][parity]`, by the class of the state it starts from, of which `before` are the parities.
    /// Bit s of the result is the parity by which the cheaper path leads into state s.
    ///
    /// The last tap is the state's lowest bit and feeds its highest, so even states lead to the lower half of the states and
    /// odd ones to the upper half, with either parity.
    #[inline(always)]
    pub(super) fn step(
        &self,
        costs: &[f32; STATES],
        before: u64,
        metrics: &[[[f32; 2]; 2]; 4],
        next: &mut [f32; STATES],
    ) -> u64 {
        const MASK: usize = STATES - 1;
        let half = (self.next.len() / 2).min(STATES / 2);
        // What every state's branches cost, by parity.
        let mut branches = [[0.0f32; STATES]; 2];
        let [zeros, ones] = &mut branches;
        if metrics[0] == metrics[1] && metrics[0] == metrics[2] && metrics[0] == metrics[3] {
            let [even, odd] = metrics[0];
            for state in (0..2 * half).step_by(2) {
                let (low, high) = (costs[state & MASK], costs[(state + 1) & MASK]);
                (zeros[state & MASK], zeros[(state + 1) & MASK]) = (low + even[0], high + odd[0]);
                (ones[state & MASK], ones[(state + 1) & MASK]) = (low + even[1], high + odd[1]);
            }
        } else {
            for state in 0..2 * half {
                let class = 2 * usize::from(state >= half) + (before >> state & 1) as usize;
                let metric = &metrics[class & 3][state & 1];
                zeros[state & MASK] = costs[state & MASK] + metric[0];
                ones[state & MASK] = costs[state & MASK] + metric[1];
            }
        }
        let (feedback, parity) = (self.feedback & (half - 1), self.parity & (half - 1));
        let (mut lower, mut upper) = (0u64, 0u64);
        for to in 0..half {
            let (zero, one) = (zeros[(2 * to) & MASK], ones[(2 * (to ^ parity)) & MASK]);
            lower |= u64::from(one < zero) << to;
            next[to & MASK] = if one < zero { one } else { zero };
            let from = to ^ feedback;
            let (zero, one) = (zeros[(2 * from + 1) & MASK], ones[(2 * (from ^ parity) + 1) & MASK]);
            upper |= u64::from(one < zero) << to;
            next[(to + half) & MASK] = if one < zero { one } else { zero };
        }
        lower | upper << half
    }

    /// The state before `state` and the parity that led to it, by what [`step`](Self::step) found.
    #[inline(always)]
    pub(super) fn before(&self, state: u8, parities: u64) -> (u8, usize) {
        let parity = (parities >> state & 1) as usize;
        let back = usize::from(state) ^ (parity * self.parity);
        let half = self.next.len() / 2;
        let from = if usize::from(state) < half { 2 * back } else { 2 * (back ^ self.feedback) + 1 };
        (from as u8, parity)
    }

    /// Number of states.
    pub fn states(&self) -> usize {
        self.next.len()
    }

    /// Whether there is but one state: no trellis at all.
    pub fn is_scalar(&self) -> bool {
        self.next.len() == 1
    }

    /// Whether `state` takes the odd numbers and zero.
    #[inline(always)]
    pub fn is_odd(state: u8) -> bool {
        state & 1 == 1
    }

    /// The state after the number at `place` of its grid.
    #[inline]
    pub fn next(&self, state: u8, place: i32) -> u8 {
        self.next.get(usize::from(state)).map_or(0, |next| next[(place & 1) as usize])
    }

    /// The place of `number` in the grid of `state`, where it is on it.
    #[inline]
    pub fn place(&self, state: u8, number: i32) -> Option<i32> {
        match (self.is_scalar(), Self::is_odd(state)) {
            (true, _) => Some(number),
            (false, false) => (number & 1 == 0).then_some(number / 2),
            (false, true) => (number & 1 == 1 || number == 0).then_some(number / 2 + (number % 2)),
        }
    }

    /// The number at `place` of the grid of `state`.
    #[inline]
    pub fn number(&self, state: u8, place: i32) -> i32 {
        match (self.is_scalar(), Self::is_odd(state)) {
            (true, _) => place,
            (false, false) => 2 * place,
            (false, true) => 2 * place - place.signum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_numbers_are_each_others_inverse() {
        for states in [1, 4, 8, 16, 32, 64] {
            let trellis = Trellis::new(states).unwrap();
            assert_eq!(trellis.states(), states as usize);
            for state in 0..states as u8 {
                for place in -40..=40 {
                    let number = trellis.number(state, place);
                    assert_eq!(trellis.place(state, number), Some(place), "{states} {state} {place}");
                }
            }
        }
        for states in [0, 2, 3, 12, 128, 256] {
            assert_eq!(Trellis::new(states), None);
        }
        let trellis = Trellis::new(4).unwrap();
        assert_eq!(trellis.place(0, 3), None);
        assert_eq!(trellis.place(1, 4), None);
        assert_eq!(trellis.place(1, 0), Some(0));
    }

    #[test]
    fn steps_of_a_search_follow_the_branches() {
        for states in [4u32, 8, 16, 32, 64] {
            let trellis = Trellis::new(states).unwrap();
            let costs: [f32; STATES] = std::array::from_fn(|i| (i * 37 % 64) as f32);
            let metrics = [[1.0, 3.5], [2.25, 0.5]];
            let mut next = [0.0; STATES];
            let parities = trellis.step(&costs, 0, &[metrics; 4], &mut next);
            for to in 0..states as u8 {
                let ways = (0..states as u8).flat_map(|from| [0, 1].map(|parity| (from, parity)));
                let into = ways.filter(|(from, parity)| trellis.next(*from, *parity) == to);
                let cost = |(from, parity): (u8, i32)| {
                    costs[usize::from(from)] + metrics[usize::from(Trellis::is_odd(from))][parity as usize]
                };
                let least = into.map(cost).fold(f32::INFINITY, f32::min);
                assert_eq!(next[usize::from(to)], least);
                let (from, parity) = trellis.before(to, parities);
                assert_eq!(trellis.next(from, parity as i32), to);
                assert_eq!(cost((from, parity as i32)), least);
            }
        }
    }

    #[test]
    fn branches_keep_the_parity_checks() {
        // For all sequences of places: Σ h⁰ᵢ z⁰ₙ₋ᵢ + h¹ᵢ z¹ₙ₋ᵢ is even, with z⁰ the grid and z¹ the place's parity.
        for (memory, (h0, h1)) in (2u32..).zip(POLYNOMIALS) {
            let trellis = Trellis::new(1 << memory).unwrap();
            for seed in 0..200u32 {
                let (mut state, mut z0, mut z1) = (0u8, 0u32, 0u32);
                for n in 0..40 {
                    let place = (seed.wrapping_mul(2_654_435_761) >> (n % 31)) as i32 & 1;
                    z0 = z0 << 1 | u32::from(Trellis::is_odd(state));
                    z1 = z1 << 1 | place as u32;
                    assert_eq!(((z0 & h0).count_ones() + (z1 & h1).count_ones()) % 2, 0, "{memory} {n}");
                    state = trellis.next(state, place);
                }
            }
            let mut into = vec![0; trellis.states()];
            trellis.next.iter().flatten().for_each(|next| into[usize::from(*next)] += 1);
            assert!(into.iter().all(|count| *count == 2), "two branches lead into every state");
        }
    }
}
