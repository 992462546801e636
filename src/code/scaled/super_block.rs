//! Scales of two levels: which float16s a super-block gets, and which integers its blocks.
//!
//! Every block chooses a scale, and a minimum where it has one, as if any float32 could be stored. Those scales are then a block
//! of numbers themselves, and the float16 is the scale that the same [fit](Fit) gives them, each by the curvature of its
//! block's error, Σ h·v²; so are the minima's, by Σ h. With the float16s known, a block takes the integer next to its free
//! choice; by the least error the best of those up to two beside it, for a scale beside each such minimum the one that least
//! squares solve for it. Float16s are then solved by least squares for the integers and values there are, and integers
//! chosen once more, twice and while that helps. What is chosen is never worse than the largest magnitudes'.
//!
//! Cost: two passes for the largest; for the least error a free choice for every block, then up to three times 5 passes, or 25
//! where blocks have a minimum.

use super::ScaleType;
use super::fit::{Chosen, Fit, ScaledCode, Storage};
use super::sweep::Block;

/// Times that float16s are solved anew.
const ROUNDS: u32 = 2;
/// Integers that are tried on either side of the one next to what was chosen freely.
const BESIDE: i8 = 2;

/// What is stored of a super-block, and its squared error.
struct Attempt {
    storage: Storage,
    chosen: Vec<Chosen>,
    error: f64,
}

impl ScaledCode {
    /// What is stored of the blocks of a super-block; `scales` is the code of their scales.
    pub(super) fn choose_super_block(
        &self,
        scales: &Self,
        blocks: &[Block<'_>],
        fit: Fit,
    ) -> (Storage, Vec<Chosen>) {
        let mut best = self.attempt(scales, blocks, Fit::Largest);
        if fit != Fit::Largest {
            let mut next = self.attempt(scales, blocks, fit);
            for _ in 0..ROUNDS {
                if next.error >= best.error {
                    break;
                }
                best = next;
                let effective: Vec<Chosen> =
                    best.chosen.iter().map(|chosen| best.storage.effective(*chosen)).collect();
                next = self.stored(blocks, self.solved_factors(blocks, &best), &effective, fit);
            }
            if next.error < best.error {
                best = next;
            }
        }
        (best.storage, best.chosen)
    }

    fn attempt(&self, scales: &Self, blocks: &[Block<'_>], fit: Fit) -> Attempt {
        let plain = Storage::plain(ScaleType::F32);
        let free: Vec<Chosen> = blocks.iter().map(|block| self.choose(*block, plain, fit)).collect();
        let sums: Vec<_> =
            blocks.iter().zip(&free).map(|(block, chosen)| self.sums(*block, *chosen)).collect();
        let float16 = |numbers: Vec<f32>, h: Vec<f32>| {
            let block = Block { weights: &numbers, h: Some(&h) };
            scales.choose(block, Storage::plain(ScaleType::F16), fit).scale
        };
        let curvatures = sums.iter().map(|(_, square, ..)| *square as f32).collect();
        let scale = float16(free.iter().map(|chosen| chosen.scale).collect(), curvatures);
        // Minima of types without a sign are at most zero.
        let below = free.iter().map(|chosen| -chosen.minimum.unwrap_or(0.0)).collect();
        let minimum = -float16(below, sums.iter().map(|(.., count)| *count as f32).collect());
        self.stored(blocks, Storage { rounding: self.codebook().scale_type(), scale, minimum }, &free, fit)
    }

    /// What blocks are stored as that would have `free` scales and minima.
    fn stored(&self, blocks: &[Block<'_>], storage: Storage, free: &[Chosen], fit: Fit) -> Attempt {
        let mut attempt = Attempt { storage, chosen: Vec::with_capacity(blocks.len()), error: 0.0 };
        for (block, free) in blocks.iter().zip(free) {
            let (error, chosen) = self.stored_block(*block, storage, *free, fit);
            attempt.chosen.push(chosen);
            attempt.error += error;
        }
        attempt
    }

    /// What a block is stored as whose scale and minimum would be `free`, with its error.
    fn stored_block(&self, block: Block<'_>, storage: Storage, free: Chosen, fit: Fit) -> (f64, Chosen) {
        let middle = free.minimum.map(|minimum| storage.minimum(f64::from(minimum)));
        let chosen = Chosen { scale: storage.scale(f64::from(free.scale)), minimum: middle };
        let mut best = (self.error(block, storage.effective(chosen)), chosen);
        if fit == Fit::Largest {
            return best;
        }
        let (product, square, value, ..) = self.sums(block, free);
        for minimum in around(middle, storage) {
            // The scale of least error beside this minimum, where values stay as they are.
            let added = f64::from(minimum.unwrap_or(0.0) * storage.minimum);
            let solved = if square > 0.0 { (product - added * value) / square } else { 0.0 };
            for scale in around(Some(storage.scale(solved)), storage).into_iter().flatten() {
                let chosen = Chosen { scale, minimum };
                let error = self.error(block, storage.effective(chosen));
                if error < best.0 {
                    best = (error, chosen);
                }
            }
        }
        best
    }

    /// The float16s of least error where integers and values stay as they are.
    fn solved_factors(&self, blocks: &[Block<'_>], attempt: &Attempt) -> Storage {
        let (mut scale, mut minimum, mut both) = ((0.0, 0.0), (0.0, 0.0), 0.0);
        for (block, chosen) in blocks.iter().zip(&attempt.chosen) {
            let (product, square, value, weight, count) =
                self.sums(*block, attempt.storage.effective(*chosen));
            let k = f64::from(chosen.scale);
            let l = f64::from(chosen.minimum.unwrap_or(0.0));
            scale = (scale.0 + k * product, scale.1 + k * k * square);
            minimum = (minimum.0 + l * weight, minimum.1 + l * l * count);
            both += k * l * value;
        }
        let determinant = scale.1 * minimum.1 - both * both;
        let half = |number: f64| ScaleType::F16.round(number as f32);
        let known = attempt.storage;
        if determinant > 0.0 {
            let of_scales = (minimum.1 * scale.0 - both * minimum.0) / determinant;
            let of_minima = (scale.1 * minimum.0 - both * scale.0) / determinant;
            return Storage { scale: half(of_scales), minimum: half(of_minima), ..known };
        }
        if scale.1 > 0.0 { Storage { scale: half(scale.0 / scale.1), ..known } } else { known }
    }
}

/// An integer and those beside it; itself where there is none.
fn around(middle: Option<f32>, storage: Storage) -> Vec<Option<f32>> {
    let Some(middle) = middle else { return vec![None] };
    let mut integers: Vec<_> =
        (-BESIDE..=BESIDE).map(|offset| Some(storage.rounding.round(middle + f32::from(offset)))).collect();
    integers.dedup();
    integers
}
