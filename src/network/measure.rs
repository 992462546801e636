//! What a network's answers are worth: against labels, and against the float model's answers on the same inputs.
//!
//! - Intervals of a share are Wilson's score intervals at 95 % (E. B. Wilson, 1927).
//! - The paired test is `McNemar`'s in its exact form: two-sided binomial on the answers that changed (Q. `McNemar`, 1947).
//! - Loss is softmax cross-entropy in nats; outputs that already are probabilities are taken as such.
//! - Divergence is that of the quantized model's distribution from the float model's, Kullback and Leibler 1951, in nats.
//! - Expected acceptance, Σ min(p, q) over classes, is the share of draws from the quantized model's distribution q that
//!   speculative sampling takes for the float model's p (Leviathan, Kalman and Matias 2023, section 3.2): one less half the
//!   sum of their absolute differences.
//! - The interval of a paired difference is Agresti and Min's of 2005.

use crate::formats::{Contents, ExportError, TensorHeader, Writer};
use crate::model::FileFormat;
use crate::tensor::Dtype;

/// Two-sided 95 % quantile of the normal distribution.
pub(super) const Z: f64 = 1.959_963_984_540_054;

/// A share of samples with its interval.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Share {
    /// Samples that count.
    pub count: u64,
    /// All samples.
    pub of: u64,
    /// Lower end of the 95 % interval, from 0 to 1.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Share {
    /// `count` of `of`, with Wilson's interval.
    ///
    /// ```
    /// let share = quantscope::network::measure::Share::new(9941, 10_000);
    /// assert_eq!(format!("{:.2} {:.2}", 100.0 * share.low, 100.0 * share.high), "99.24 99.54");
    /// ```
    pub fn new(count: u64, of: u64) -> Self {
        if of == 0 {
            return Self { count, of, low: 0.0, high: 1.0 };
        }
        let n = of as f64;
        let p = count as f64 / n;
        let z2 = Z * Z;
        let middle = p + z2 / (2.0 * n);
        let half = Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
        let scale = 1.0 + z2 / n;
        // At the ends the formula is exact and rounding is not.
        let low = if count == 0 { 0.0 } else { ((middle - half) / scale).max(0.0) };
        let high = if count == of { 1.0 } else { ((middle + half) / scale).min(1.0) };
        Self { count, of, low, high }
    }

    /// The share itself, from 0 to 1.
    pub fn value(&self) -> f64 {
        if self.of == 0 { 0.0 } else { self.count as f64 / self.of as f64 }
    }
}

/// The answers of a network: one row of class scores per answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outputs {
    /// Scores, row by row.
    pub values: Vec<f32>,
    /// Scores per row.
    pub classes: usize,
}

impl Outputs {
    /// Rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.classes.max(1))
    }

    /// Several networks' answers to the same samples as a NumPy archive: float32 arrays of rows × classes, by name.
    pub fn npz(named: &[(&str, &Self)]) -> Result<Vec<u8>, ExportError> {
        let header = |(name, outputs): &(&str, &Self)| TensorHeader {
            name: (*name).to_owned(),
            dtype: Dtype::F32,
            shape: vec![outputs.rows().len() as u64, outputs.classes as u64],
        };
        let headers: Vec<TensorHeader> = named.iter().map(header).collect();
        let mut writer = Writer::new(FileFormat::Npz, Vec::new(), &Contents::of(&headers))?;
        for (_, outputs) in named {
            let bytes: Vec<u8> = outputs.rows().flatten().flat_map(|x| x.to_le_bytes()).collect();
            writer.write(&bytes)?;
        }
        writer.finish()
    }

    /// The first score that is no number.
    pub fn not_finite(&self) -> Option<usize> {
        self.values.iter().position(|value| !value.is_finite())
    }

    /// Whether every row is a distribution already.
    pub fn are_probabilities(&self) -> bool {
        self.classes > 1
            && self.rows().take(64).all(|row| {
                let sum: f32 = row.iter().sum();
                row.iter().all(|p| (0.0..=1.0 + 1e-5).contains(p)) && (sum - 1.0).abs() < 1e-3
            })
    }
}

/// Measures of one set of weights.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Measures {
    /// Answers measured.
    pub answers: u64,
    /// The right class first, where there are labels.
    pub top1: Option<Share>,
    /// The right class among the first five, where there are more than five.
    pub top5: Option<Share>,
    /// Mean cross-entropy, nats per answer.
    pub loss: Option<f64>,
    /// Against the float model on the same inputs.
    pub against: Option<Against>,
}

impl Measures {
    /// Share of these very inputs that the float model classifies correctly, from what was lost and won against it.
    pub fn float_top1(&self) -> Option<f64> {
        let (top1, against) = (self.top1.as_ref()?, self.against.as_ref()?);
        Some(top1.value() + (against.lost as f64 - against.won as f64) / self.answers.max(1) as f64)
    }
}

/// Comparison with the float model on the same inputs.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Against {
    /// The same first class.
    pub agreement: Share,
    /// Answers the float model had right and this one wrong.
    pub lost: u64,
    /// Answers the float model had wrong and this one right.
    pub won: u64,
    /// Two-sided p of `McNemar`'s exact test; absent without labels.
    pub p_value: Option<f64>,
    /// Signal-to-noise ratio of the outputs, dB.
    pub sqnr_db: f64,
    /// Mean divergence of the answers' distributions, nats.
    pub divergence: f64,
    /// Standard error of that mean, nats.
    pub divergence_error: f64,
    /// Mean over answers of Σ min(p, q), from 0 to 1.
    pub acceptance: f64,
    /// Change of the loss, nats per answer.
    pub loss_change: Option<f64>,
    /// Standard error of that change, from the differences answer by answer.
    pub loss_error: Option<f64>,
}

/// The largest score's class, the first of equals; for a single score whether it says yes. A row with a NaN says nothing.
pub(super) fn first_class(row: &[f32]) -> Option<usize> {
    if row.iter().any(|score| score.is_nan()) {
        return None;
    }
    if let [score] = row {
        // A single output is a probability of yes where it is one; else its sign says.
        return Some(usize::from(*score > if (0.0..=1.0).contains(score) { 0.5 } else { 0.0 }));
    }
    let best = row
        .iter()
        .enumerate()
        .fold((0, f32::NEG_INFINITY), |best, (i, score)| if *score > best.1 { (i, *score) } else { best });
    Some(best.0)
}

/// Logarithms of a row's probabilities, in nats.
fn log_probabilities(row: &[f32], are_probabilities: bool) -> Vec<f64> {
    if are_probabilities {
        return row.iter().map(|p| libm::log(f64::from(*p).max(1e-30))).collect();
    }
    let most = row.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let sum: f64 = row.iter().map(|x| libm::exp(f64::from(x - most))).sum();
    let log_sum = f64::from(most) + libm::log(sum);
    row.iter().map(|x| f64::from(*x) - log_sum).collect()
}

/// Cross-entropies, one per answer, in nats.
fn losses(outputs: &Outputs, labels: &[u32]) -> Vec<f64> {
    let are = outputs.are_probabilities();
    let loss = |(row, label): (&[f32], &u32)| {
        let logs = log_probabilities(row, are);
        -logs.get(*label as usize).copied().unwrap_or(f64::NEG_INFINITY)
    };
    outputs.rows().zip(labels).map(loss).collect()
}

/// Whether two rows have the same first class.
fn is_same(one: &[f32], other: &[f32]) -> bool {
    first_class(one).is_some_and(|class| first_class(other) == Some(class))
}

/// Whether a class is among the first five of a row, of equals the first.
fn is_in_five(row: &[f32], class: usize) -> bool {
    let own = row.get(class).copied().unwrap_or(f32::NEG_INFINITY);
    let is_before = |(at, score): &(usize, &f32)| **score > own || (**score == own && *at < class);
    row.iter().enumerate().filter(is_before).count() < 5 && !row.iter().any(|score| score.is_nan())
}

/// Measures `outputs`, against `labels` where there are some and against the float model's `reference` on the same inputs.
pub fn measure(outputs: &Outputs, labels: Option<&[u32]>, reference: Option<&Outputs>) -> Measures {
    let answers = outputs.rows().len() as u64;
    let labels = labels.filter(|labels| labels.len() as u64 >= answers);
    let right = |outputs: &Outputs| -> Option<Vec<bool>> {
        let labels = labels?;
        Some(
            outputs
                .rows()
                .zip(labels)
                .map(|(row, label)| first_class(row) == Some(*label as usize))
                .collect(),
        )
    };
    let count = |flags: &[bool]| flags.iter().filter(|flag| **flag).count() as u64;
    let is_right = right(outputs);
    let top5 = labels.filter(|_| outputs.classes > 5).map(|labels| {
        let hits: Vec<bool> =
            outputs.rows().zip(labels).map(|(row, label)| is_in_five(row, *label as usize)).collect();
        Share::new(count(&hits), answers)
    });
    let own_losses = labels.filter(|_| outputs.classes > 1).map(|labels| losses(outputs, labels));
    let against = reference.map(|reference| {
        let same = outputs.rows().zip(reference.rows()).filter(|(a, b)| is_same(a, b)).count();
        let pairs = is_right.as_deref().zip(right(reference));
        let changed = pairs.map(|(now, then)| {
            let both = || now.iter().zip(&then);
            (
                both().filter(|(n, t)| !**n && **t).count() as u64,
                both().filter(|(n, t)| **n && !**t).count() as u64,
            )
        });
        let (lost, won) = changed.unwrap_or((0, 0));
        let changes: Option<Vec<f64>> = own_losses.as_deref().zip(labels).map(|(own, labels)| {
            own.iter().zip(losses(reference, labels)).map(|(now, then)| now - then).collect()
        });
        let loss_error = changes.as_deref().map(standard_error);
        let (divergences, acceptances): (Vec<f64>, Vec<f64>) =
            nearness(outputs, reference).into_iter().unzip();
        Against {
            agreement: Share::new(same as u64, answers),
            lost,
            won,
            p_value: changed.map(|(lost, won)| mcnemar(lost, won)),
            sqnr_db: output_sqnr_db(outputs, reference),
            divergence: mean(&divergences).max(0.0),
            divergence_error: standard_error(&divergences),
            acceptance: mean(&acceptances),
            loss_change: changes.as_deref().map(mean),
            loss_error,
        }
    });
    Measures {
        answers,
        top1: is_right.as_deref().map(|flags| Share::new(count(flags), answers)),
        top5,
        loss: own_losses.as_deref().map(mean),
        against,
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The standard error of the mean of `values`.
fn standard_error(values: &[f64]) -> f64 {
    let middle = mean(values);
    let variance = mean(&values.iter().map(|x| (x - middle) * (x - middle)).collect::<Vec<_>>());
    (variance / values.len().max(1) as f64).sqrt()
}

/// `McNemar`'s exact two-sided p for `lost` and `won` changed answers: twice the smaller tail of Binomial(lost + won, ½).
///
/// ```
/// use quantscope::network::measure::mcnemar;
/// assert_eq!(mcnemar(0, 0), 1.0);
/// assert!((mcnemar(1, 5) - 0.21875).abs() < 1e-12);
/// ```
pub fn mcnemar(lost: u64, won: u64) -> f64 {
    let n = lost + won;
    let few = lost.min(won);
    // Terms C(n, i) / 2^n, by their logarithms where 2^-n is too small for a float.
    let mut log_term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for i in 0..=few {
        tail += libm::exp(log_term);
        log_term += libm::log((n - i) as f64) - libm::log((i + 1) as f64);
    }
    (2.0 * tail).min(1.0)
}

fn output_sqnr_db(outputs: &Outputs, reference: &Outputs) -> f64 {
    let pairs = || outputs.values.iter().zip(&reference.values);
    let signal: f64 = pairs().map(|(_, b)| f64::from(*b) * f64::from(*b)).sum();
    let noise: f64 =
        pairs().map(|(a, b)| (f64::from(*a) - f64::from(*b)) * (f64::from(*a) - f64::from(*b))).sum();
    crate::rate_distortion::sqnr_db(signal, noise)
}

/// Divergence, in nats, and Σ min(p, q) of each answer's distribution q from the float answer's p.
fn nearness(outputs: &Outputs, reference: &Outputs) -> Vec<(f64, f64)> {
    let are = reference.are_probabilities();
    let of_pair = |(row, truth): (&[f32], &[f32])| {
        if let ([a], [b]) = (row, truth) {
            return binary_nearness(f64::from(*b), f64::from(*a));
        }
        let (q, p) = (log_probabilities(row, are), log_probabilities(truth, are));
        let pairs = || p.iter().zip(&q);
        let divergence: f64 = pairs().map(|(p, q)| libm::exp(*p) * (p - q)).sum();
        (divergence, pairs().map(|(p, q)| libm::exp(p.min(*q))).sum::<f64>().min(1.0))
    };
    outputs.rows().zip(reference.rows()).map(of_pair).collect()
}

/// The same of two single outputs: probabilities of yes where they are ones, else scores of a sigmoid.
fn binary_nearness(p: f64, q: f64) -> (f64, f64) {
    let inside = (0.0..=1.0).contains(&p) && (0.0..=1.0).contains(&q);
    let sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
    let clip = |x: f64| x.clamp(1e-12, 1.0 - 1e-12);
    let (p, q) = if inside { (clip(p), clip(q)) } else { (clip(sigmoid(p)), clip(sigmoid(q))) };
    let divergence = p * libm::log(p / q) + (1.0 - p) * libm::log((1.0 - p) / (1.0 - q));
    (divergence, 1.0 - (p - q).abs())
}

/// By how much the share of right answers fell, with its 95 % interval, of `of` answers of which `lost` were right before and
/// `won` are right now: half an answer is added to each of the four counts (A. Agresti and Y. Min, "Simple improved confidence
/// intervals for comparing matched proportions", 2005).
///
/// ```
/// let (low, high) = quantscope::network::measure::paired_drop(12, 7, 1000);
/// assert_eq!(format!("{:.4} {:.4}", low, high), "-0.0038 0.0137");
/// ```
pub fn paired_drop(lost: u64, won: u64, of: u64) -> (f64, f64) {
    let n = of as f64 + 2.0;
    let (lost, won) = (lost as f64 + 0.5, won as f64 + 0.5);
    let middle = (lost - won) / n;
    let half = Z * ((lost + won - (lost - won) * middle).max(0.0)).sqrt() / n;
    (middle - half, middle + half)
}

/// A share in per cent with its interval.
pub fn percent(share: &Share) -> String {
    format!("{:.2} [{:.2}, {:.2}]", 100.0 * share.value(), 100.0 * share.low, 100.0 * share.high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(rows: &[&[f32]]) -> Outputs {
        Outputs { values: rows.concat(), classes: rows[0].len() }
    }

    #[test]
    fn a_row_that_is_no_number_is_never_right() {
        let row = |values: &[f32]| Outputs { values: values.to_vec(), classes: 6 };
        let float = row(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let broken = row(&[f32::NAN; 6]);
        let measures = measure(&broken, Some(&[0]), Some(&float));
        assert_eq!(measures.top1.unwrap().count, 0);
        assert_eq!(measures.top5.unwrap().count, 0);
        assert_eq!(measures.against.unwrap().agreement.count, 0);
        assert_eq!(measure(&float, Some(&[0]), Some(&float)).top1.unwrap().count, 1);
    }

    #[test]
    fn wilson_intervals_are_those_of_the_formula() {
        let share = Share::new(8, 10);
        assert!((share.low - 0.490_162).abs() < 1e-6 && (share.high - 0.943_318).abs() < 1e-6, "{share:?}");
        assert_eq!((Share::new(0, 5).low, Share::new(5, 5).high, Share::new(0, 0).high), (0.0, 1.0, 1.0));
    }

    #[test]
    fn mcnemar_is_the_exact_binomial_test() {
        assert!((mcnemar(10, 25) - 0.016_673_847_8).abs() < 1e-9);
        assert_eq!(mcnemar(3, 3), 1.0);
        assert!(mcnemar(0, 5000) < 1e-300 && mcnemar(2500, 2500) > 0.99);
    }

    #[test]
    fn accuracy_loss_and_divergence_of_a_small_case() {
        let float = outputs(&[&[2.0, 0.0], &[0.0, 1.0], &[3.0, 0.0]]);
        let ours = outputs(&[&[2.0, 0.0], &[1.0, 0.0], &[2.0, 0.0]]);
        let measures = measure(&ours, Some(&[0, 1, 0]), Some(&float));
        assert_eq!(measures.top1.unwrap().count, 2);
        assert_eq!(measures.top5, None);
        let softplus = |x: f64| libm::log(1.0 + libm::exp(-x));
        let expected = (softplus(2.0) + softplus(-1.0) + softplus(2.0)) / 3.0;
        assert!((measures.loss.unwrap() - expected).abs() < 1e-6);
        let against = measures.against.unwrap();
        assert_eq!((against.agreement.count, against.lost, against.won), (2, 1, 0));
        assert_eq!(against.p_value, Some(1.0));
        assert!(against.divergence > 0.0 && against.loss_change.unwrap() > 0.0);
        assert_eq!(measure(&float, None, Some(&float)).against.unwrap().divergence, 0.0);
    }

    #[test]
    fn expected_acceptance_is_the_sum_of_the_smaller_probabilities() {
        // By hand: 0.5 + 0.2 + 0.1, and 0.1 + 0.1 + 0.1.
        let float = outputs(&[&[0.5, 0.3, 0.2], &[0.1, 0.1, 0.8]]);
        let ours = outputs(&[&[0.7, 0.2, 0.1], &[0.8, 0.1, 0.1]]);
        let against = measure(&ours, None, Some(&float)).against.unwrap();
        assert!((against.acceptance - f64::midpoint(0.8, 0.3)).abs() < 1e-7, "{against:?}");
        // 0.5 ln(5/7) + 0.3 ln 1.5 + 0.2 ln 2, and 0.1 ln(1/8) + 0.8 ln 8; the error is half their difference over √2.
        let [one, other] = [0.092_032_853_f64, 1.455_609_079];
        assert!((against.divergence - f64::midpoint(one, other)).abs() < 1e-6, "{against:?}");
        assert!(
            (against.divergence_error - (other - one) / 2.0 / 2.0_f64.sqrt()).abs() < 1e-6,
            "{against:?}"
        );
        let same = measure(&float, None, Some(&float)).against.unwrap();
        assert!((same.acceptance - 1.0).abs() < 1e-7 && same.divergence_error < 1e-9, "{same:?}");
        // A single output is a probability of yes: 0.6 + 0.1.
        let single = |p: f32| Outputs { values: vec![p], classes: 1 };
        let against = measure(&single(0.9), None, Some(&single(0.6))).against.unwrap();
        assert!((against.acceptance - 0.7).abs() < 1e-7, "{against:?}");
    }

    #[test]
    fn probabilities_are_not_softmaxed_again() {
        let rows = outputs(&[&[0.25, 0.75]]);
        assert!(rows.are_probabilities());
        assert!((measure(&rows, Some(&[1]), None).loss.unwrap() + libm::log(0.75)).abs() < 1e-9);
    }

    #[test]
    fn one_of_the_first_five_counts() {
        let rows = outputs(&[&[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]]);
        assert_eq!(measure(&rows, Some(&[4]), None).top5.unwrap().count, 1);
        assert_eq!(measure(&rows, Some(&[5]), None).top5.unwrap().count, 0);
    }
}
