//! Whose error the outputs feel: one tensor after the other is quantized alone and the network is run, and steps are made
//! finer where it shows and coarser where it does not.
//!
//! Errors of tensors add up in the outputs. With noise `E` of a tensor of n weights at its present step, and E falling by
//! four for each bit, the sum is least at a given rate where E / n is the same for all (reverse water-filling; Cover and
//! Thomas 2006, section 13.3.3): a tensor's step is to be finer by ½·log₂(E/n) bits, less the mean over all weights.

use super::NetworkError;
use super::check::Checker;
use super::evaluate::Evaluator;
use crate::container::Content;
use crate::engine::open_container;
use crate::recipe::Finer;

/// Quantized tensors times bytes of the network: beyond, it would take too long to find out.
const MOST_BYTES: u64 = 1 << 27;
/// Less noise than this share of the most is as good as none.
const LEAST_NOISE: f64 = 1e-4;
/// Steps change by so many bits at most,
const MOST_BITS: f64 = 3.0;
/// in halves.
const PARTS: f64 = 2.0;

/// By how much the steps of a compressed file are to be finer, tensor by tensor; nothing where all are right or it would take too
/// long. Costs a run of the network on a few sets of inputs for each quantized tensor.
pub fn allot(evaluator: &Evaluator, checker: &Checker, file: &[u8]) -> Result<Vec<Finer>, NetworkError> {
    let reader = open_container(&file)?;
    let tensors = reader.manifest().tensors.iter();
    let quantized: Vec<_> = tensors.filter(|entry| matches!(entry.content, Content::Quantized(_))).collect();
    let bytes = evaluator.network().bytes.len() as u64;
    let sets = checker
        .sets_for_noise()
        .filter(|_| quantized.len() > 1 && bytes.saturating_mul(quantized.len() as u64) <= MOST_BYTES);
    let Some(sets) = sets else { return Ok(Vec::new()) };
    let mut noise = Vec::with_capacity(quantized.len());
    for entry in &quantized {
        let decoded = evaluator.decoded_only(file, &|name| name == entry.name)?;
        noise.push((entry.len() as f64, checker.noise(&decoded, sets)?));
    }
    let bits = bits_of(&noise).into_iter().zip(&quantized).filter(|(bits, _)| *bits != 0.0);
    Ok(bits.map(|(bits, entry)| Finer { pattern: entry.name.clone(), bits }).collect())
}

/// The bits by which tensors are to be finer, from their numbers of weights and the noise that each makes.
fn bits_of(tensors: &[(f64, f64)]) -> Vec<f64> {
    let least = LEAST_NOISE * tensors.iter().map(|(_, noise)| *noise).fold(0.0, f64::max);
    if least == 0.0 || !least.is_finite() {
        return vec![0.0; tensors.len()];
    }
    let wanted: Vec<f64> = tensors.iter().map(|(n, noise)| 0.5 * libm::log2(noise.max(least) / n)).collect();
    let weights: f64 = tensors.iter().map(|(n, _)| n).sum();
    let mean = tensors.iter().zip(&wanted).map(|((n, _), bits)| n * bits).sum::<f64>() / weights;
    let part = |bits: f64| libm::rint((bits - mean).clamp(-MOST_BITS, MOST_BITS) * PARTS) / PARTS;
    wanted.into_iter().map(|bits| part(bits) + 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Builder, numbers};
    use super::*;

    #[test]
    fn noise_in_proportion_to_size_is_right_as_it_is() {
        assert_eq!(bits_of(&[(100.0, 0.01), (400.0, 0.04), (100.0, 0.01)]), [0.0; 3]);
        assert_eq!(bits_of(&[(100.0, 0.0), (400.0, 0.0)]), [0.0; 2]);
    }

    #[test]
    fn the_rate_stays_where_bits_move() {
        // Sixteen times the noise of the other is two bits between them.
        assert_eq!(bits_of(&[(100.0, 0.16), (100.0, 0.01)]), [1.0, -1.0]);
        assert_eq!(bits_of(&[(300.0, 0.03), (100.0, 0.16)]), [-0.5, 1.5]);
        assert_eq!(bits_of(&[(1e6, 1.0), (10.0, 1.0)]).last(), Some(&MOST_BITS));
    }

    #[test]
    fn a_matrix_whose_inputs_are_large_gets_the_finer_steps() {
        let network = Builder::default()
            .floats("loud", &[40, 40], &numbers(1600, 3))
            .floats("gain", &[1], &[0.001])
            .floats("quiet", &[40, 40], &numbers(1600, 4))
            .input("x", &[-1, 40])
            .node("MatMul", &["x", "loud"], &["a"], vec![])
            .node("MatMul", &["x", "quiet"], &["b"], vec![])
            .node("Mul", &["b", "gain"], &["c"], vec![])
            .node("Add", &["a", "c"], &["y"], vec![])
            .output("y")
            .files();
        let mut evaluator = Evaluator::new(network, None, None, 1).unwrap();
        let recipe = crate::recipe::Recipe::from_line("method=trellis&step=0.1").unwrap();
        let file = evaluator.quantize(&recipe).unwrap().file;
        let checker = Checker::made_up(evaluator.network().clone()).unwrap();
        let finer = allot(&evaluator, &checker, &file).unwrap();
        let bits = |name: &str| finer.iter().find(|finer| finer.pattern == name).map(|finer| finer.bits);
        assert_eq!((bits("loud"), bits("quiet")), (Some(3.0), Some(-3.0)));
    }
}
