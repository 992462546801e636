//! How well tensors came through, each by itself: figures that no single tensor can make look good.
//!
//! One signal-to-noise ratio over all weights is made by those that hold the energy: a variance of 10⁴ beside weights of 10⁻²
//! gives 60 dB to a network whose weights are gone. Beside it therefore stand the ratio of the worst tensor and the median over
//! the tensors, the tensors that are lost (an error above half their energy, 3 dB), those that became nearly one value, and the
//! tensor that makes the figure of all where one does.

use crate::order::{ascending, key_f64};
use crate::rate_distortion::sqnr_db;
use serde::{Deserialize, Serialize};

/// Above this share of its energy as error, a tensor is lost.
const LOST_SHARE: f64 = 0.5;
/// Of the weights that were not zero, this share with one value makes a tensor nearly constant.
const ONE_VALUE_SHARE: f64 = 0.99;
/// A tensor with this share of all energy and less than half of the weights makes the figure of all.
const MAKES_FIGURE_SHARE: f64 = 0.9;
/// Tensors that are named at most.
const MOST_NAMED: usize = 20;

/// Sums over one quantized tensor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TensorSums {
    /// Name as in the file.
    pub name: String,
    /// Number of weights.
    pub weights: u64,
    /// Weights that were zero before.
    pub zeros: u64,
    /// Weights with the tensor's most frequent value afterwards, zeros among them, about.
    pub most_frequent: u64,
    /// Σ w².
    pub signal: f64,
    /// Σ (w − ŵ)².
    pub error: f64,
}

/// The figures of a model's quantized tensors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Quantized tensors.
    pub tensors: u64,
    /// The median over the tensors of their own SQNR, in dB.
    pub median_db: f64,
    /// The least SQNR of a tensor, in dB.
    pub worst_db: f64,
    /// The tensor that has it.
    pub worst: String,
    /// Tensors whose error is above half their energy: at most twenty names.
    pub lost: Vec<String>,
    /// How many there are.
    pub lost_count: u64,
    /// Tensors that became nearly one value: at most twenty names.
    pub one_value: Vec<String>,
    /// How many there are.
    pub one_value_count: u64,
    /// The tensor that holds nearly all energy, and so makes the SQNR of all weights.
    pub made_by: Option<String>,
}

impl Quality {
    /// The figures of these tensors; `None` where nothing is quantized.
    pub fn new(tensors: &[TensorSums]) -> Option<Self> {
        let tensors: Vec<&TensorSums> = tensors.iter().filter(|tensor| tensor.weights > 0).collect();
        let db = |tensor: &TensorSums| sqnr_db(tensor.signal, tensor.error);
        let order: Vec<usize> = ascending(tensors.iter().map(|tensor| key_f64(db(tensor)))).collect();
        let worst = tensors.get(*order.first()?)?;
        let median = tensors.get(*order.get(order.len() / 2)?)?;
        let mut quality = Self {
            tensors: tensors.len() as u64,
            median_db: db(median),
            worst_db: db(worst),
            worst: worst.name.clone(),
            ..Self::default()
        };
        let signal: f64 = tensors.iter().map(|tensor| tensor.signal).sum();
        let weights: u64 = tensors.iter().map(|tensor| tensor.weights).sum();
        for tensor in order.iter().filter_map(|at| tensors.get(*at)) {
            if tensor.signal > 0.0 && (tensor.error.is_nan() || tensor.error > LOST_SHARE * tensor.signal) {
                name(&mut quality.lost, &mut quality.lost_count, tensor);
            }
            let moved = tensor.weights.saturating_sub(tensor.zeros);
            let alike = tensor.most_frequent.saturating_sub(tensor.zeros);
            if alike as f64 > ONE_VALUE_SHARE * moved as f64 && tensor.signal > 0.0 && tensor.error > 0.0 {
                name(&mut quality.one_value, &mut quality.one_value_count, tensor);
            }
            if tensor.signal > MAKES_FIGURE_SHARE * signal && tensor.weights * 2 < weights {
                quality.made_by = Some(tensor.name.clone());
            }
        }
        Some(quality)
    }

    /// Number of tensors that are lost or became nearly one value, with those that are both twice.
    pub const fn broken(&self) -> u64 {
        self.lost_count + self.one_value_count
    }

    /// Whether there is one: the network is not what it was.
    pub const fn is_broken(&self) -> bool {
        self.broken() > 0
    }

    /// What a person should know of it, a sentence each; none where all is well.
    pub fn warnings(&self) -> Vec<String> {
        let list = |names: &[String], count: u64| {
            let shown: Vec<String> = names.iter().take(5).map(|name| crate::formats::shown(name)).collect();
            let more = count.saturating_sub(shown.len() as u64);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{more}", shown.join(", "))
        };
        let mut warnings = Vec::new();
        if self.lost_count > 0 {
            let names = list(&self.lost, self.lost_count);
            warnings.push(format!("lost, with an error above half of their energy: {names}"));
        }
        if self.one_value_count > 0 {
            let names = list(&self.one_value, self.one_value_count);
            warnings.push(format!("nearly one value now: {names}"));
        }
        if let Some(tensor) = &self.made_by {
            let tensor = crate::formats::shown(tensor);
            warnings
                .push(format!("the SQNR of all weights is made by {tensor}, which holds nearly all energy"));
        }
        warnings
    }
}

fn name(names: &mut Vec<String>, count: &mut u64, tensor: &TensorSums) {
    *count += 1;
    if names.len() < MOST_NAMED {
        names.push(tensor.name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, weights: u64, signal: f64, error: f64) -> TensorSums {
        TensorSums { name: name.to_owned(), weights, zeros: 0, most_frequent: 1, signal, error }
    }

    #[test]
    fn a_huge_tensor_cannot_hide_that_the_others_are_lost() {
        let tensors =
            [tensor("w", 1000, 1.0, 0.9), tensor("v", 1000, 1.0, 0.001), tensor("variance", 8, 1e9, 1.0)];
        let quality = Quality::new(&tensors).unwrap();
        assert_eq!((quality.worst.as_str(), quality.lost.as_slice()), ("w", ["w".to_owned()].as_slice()));
        assert!((quality.worst_db - 0.4576).abs() < 1e-3 && (quality.median_db - 30.0).abs() < 1e-9);
        assert_eq!(quality.made_by.as_deref(), Some("variance"));
        assert_eq!(quality.warnings().len(), 2);
    }

    #[test]
    fn nearly_one_value_is_said_of_weights_that_were_not_zero() {
        let collapsed = TensorSums { most_frequent: 999, ..tensor("lora", 1000, 1.0, 0.3) };
        let pruned = TensorSums { most_frequent: 950, zeros: 950, ..tensor("sparse", 1000, 1.0, 0.01) };
        let quality = Quality::new(&[collapsed, pruned]).unwrap();
        assert_eq!(quality.one_value, ["lora"]);
        assert!(quality.is_broken());
    }

    #[test]
    fn nothing_quantized_has_no_figures() {
        assert_eq!(Quality::new(&[]), None);
    }
}
