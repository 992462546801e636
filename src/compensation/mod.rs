//! Compensation: letting each weight repair the errors of those before it.
//!
//! The error that quantizing gives the output y = W x of a layer is a quadratic form in the errors of a unit's weights, whose
//! matrix is the second moments H = E[x xᵀ] of the inputs. Optimal brain surgery solves it for the weights that are still
//! free (B. Hassibi and D. Stork, "Second order derivatives for network pruning", NIPS 1993); going through the inputs in
//! order that is one triangular factor for all units of a layer (E. Frantar et al., "GPTQ", 2022; Babai's nearest plane: J.
//! Chen et al. 2025). In the form used here the cost is a sum over weights, exactly:
//!
//! ```text
//! e H eᵀ = Σⱼ cⱼ (vⱼ − ŵⱼ)²       vⱼ = wⱼ + Σ_{i<j} gᵢⱼ eᵢ       e = w − ŵ
//! ```
//!
//! so whatever chooses numbers by error and rate can choose them for v in place of w, weighed by c ([`Factor`]). [`Factors`] says
//! which weights of a tensor are a unit's, [`Feedback`] is what a run of weights has of it.

mod factor;
mod targets;

pub use factor::Factor;
pub use targets::Targets;

/// Terms of a sum that are added side by side.
const LANES: usize = 8;

/// Why a layer's moments have no factor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompensationError {
    /// It is no square.
    #[error("second moments: expected {expected} rows and columns, found {found} numbers")]
    Size {
        /// Inputs.
        expected: usize,
        /// Numbers.
        found: usize,
    },
    /// It has infinities or NaN.
    #[error("second moments: expected finite numbers, found another in row {row}, column {column}")]
    NotFinite {
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
    },
    /// The mean of squares is less than zero.
    #[error(
        "second moments: expected means of squares on the diagonal, found a negative one for input {input}"
    )]
    Negative {
        /// Which.
        input: usize,
    },
}

/// The factors of a tensor's units: weight i has place ⌊i / run⌋ mod inputs among its unit's weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    /// One for every group of units that see the same inputs, in the tensor's order.
    pub groups: Vec<Factor>,
    /// Weights of a group.
    pub group_len: usize,
    /// Elements from one weight of a unit to its next.
    pub run: usize,
}

impl Factors {
    /// Inputs of a unit.
    pub fn inputs(&self) -> usize {
        self.groups.first().map_or(0, Factor::inputs)
    }

    /// Whether there is anything to pass on: inputs that hang together.
    pub fn tell(&self) -> bool {
        self.groups.iter().any(Factor::tells)
    }

    /// Bytes that they take, about.
    pub fn bytes(&self) -> usize {
        self.groups.iter().map(|factor| factor.inputs() * (2 * factor.inputs() + 8)).sum()
    }
}

/// What passes errors on within a run of a tensor's weights.
#[derive(Debug, Clone, Copy)]
pub struct Feedback<'a> {
    factors: &'a Factors,
    /// Where the run begins in its tensor.
    first: usize,
}

impl<'a> Feedback<'a> {
    /// The feedback of the weights from number `first` of the tensor on.
    pub const fn new(factors: &'a Factors, first: usize) -> Self {
        Self { factors, first }
    }

    /// The same for the weights from `done` on.
    #[must_use]
    pub const fn skip(self, done: usize) -> Self {
        Self { first: self.first + done, ..self }
    }

    /// Whether a unit's weights follow one another, so that a weight hangs on the one just before it. Else units lie side by
    /// side, and so many weights may be chosen at once: [`left`](Self::left) of them.
    pub const fn is_along(&self) -> bool {
        self.factors.run <= 1
    }

    /// The place of weight `at` of the run among its unit's, if all before it are in the run: no more than `at`.
    #[inline]
    pub fn place(&self, at: usize) -> usize {
        ((self.first + at) / self.factors.run.max(1)) % self.factors.inputs().max(1)
    }

    #[inline]
    fn factor(&self, at: usize) -> Option<&'a Factor> {
        self.factors.groups.get((self.first + at).checked_div(self.factors.group_len).unwrap_or(0))
    }

    /// The shares of the errors before weight `at`, of units whose weights follow one another: those of the last of them last.
    #[inline]
    pub fn shares(&self, at: usize) -> &'a [f32] {
        let place = self.place(at);
        let shares = self.factor(at).map_or(&[][..], |factor| factor.shares(place));
        // A unit that began before the run: what its first weights' errors were is not known here.
        shares.get(place.saturating_sub(at)..).unwrap_or_default()
    }

    /// Weights from `at` on whose places are the same, of units side by side.
    #[inline]
    pub fn left(&self, at: usize) -> usize {
        let run = self.factors.run.max(1);
        run - (self.first + at) % run
    }

    /// Passes the `errors` of the weights from `at` on, all of one place, to the weights behind them, which are `targets`
    /// from the run's first on.
    pub fn push(&self, at: usize, errors: &[f32], targets: &mut [f32]) {
        let (run, place) = (self.factors.run.max(1), self.place(at));
        let Some(factor) = self.factor(at) else { return };
        for (later, next) in (place + 1..factor.inputs()).zip((at + run..).step_by(run)) {
            let Some(targets) = targets.get_mut(next..) else { break };
            let share = factor.shares(later).get(place).copied().unwrap_or(0.0);
            for (target, error) in targets.iter_mut().zip(errors) {
                *target += share * error;
            }
        }
    }

    /// From the errors of the run's weights to those of what each was asked to be, v − ŵ.
    pub fn whitened(&self, errors: &[f32]) -> Vec<f32> {
        let mut parts = errors.to_vec();
        if self.is_along() {
            for (at, part) in parts.iter_mut().enumerate() {
                let shares = self.shares(at);
                *part += dot(shares, errors.get(at - shares.len()..at).unwrap_or_default());
            }
            return parts;
        }
        let mut at = 0;
        while at < errors.len() {
            let end = (at + self.left(at)).min(errors.len());
            self.push(at, errors.get(at..end).unwrap_or_default(), &mut parts);
            at = end;
        }
        parts
    }
}

/// What the errors of a run of weights cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct ErrorCosts<'a> {
    /// What each one's square is multiplied by; 1 where there is nothing.
    pub each: Option<&'a [f32]>,
    /// What passes them on, where they are compensated.
    pub feedback: Option<Feedback<'a>>,
}

impl<'a> ErrorCosts<'a> {
    /// Costs of each alone.
    pub const fn of_each(each: Option<&'a [f32]>) -> Self {
        Self { each, feedback: None }
    }

    /// The costs of the weights `part`.
    #[must_use]
    pub fn part(self, part: std::ops::Range<usize>) -> Self {
        let feedback = self.feedback.map(|feedback| feedback.skip(part.start));
        Self { each: self.each.and_then(|each| each.get(part)), feedback }
    }
}

/// Σ aᵢ bᵢ in float32, in the same order on every target.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest = a_rest.iter().zip(b_rest).fold(0.0, |sum, (a, b)| sum + a * b);
    sums.iter().fold(rest, |sum, x| sum + x)
}

#[cfg(test)]
mod tests;
