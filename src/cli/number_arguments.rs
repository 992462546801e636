//! Flags for the number formats that a network is run in.

use super::Failure;
use crate::network::emulate::{Choice, Numbers, Range, TensorFormat, no_sums};
use clap::Args;

/// The number formats that a network is run in.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Number formats")]
pub struct NumbersArguments {
    /// Run with weights, activations and accumulators in this format, such as bf16, e4m3, m7e6, l8r8, int8; of formats in blocks,
    /// such as mxfp4, nvfp4, int4-g32, weights and activations
    #[arg(long, value_name = "F", conflicts_with_all = ["recipe", "methods", "goal", "per_tensor"])]
    pub run_as: Option<String>,
    /// The format of weights: a name, or float32
    #[arg(long, value_name = "F", conflicts_with_all = ["recipe", "methods", "goal", "per_tensor"])]
    pub weights_as: Option<String>,
    /// The format of what passes between operators
    #[arg(long, value_name = "F", conflicts_with_all = ["recipe", "methods", "goal", "per_tensor"])]
    pub activations_as: Option<String>,
    /// The format of products and sums inside Conv, Gemm and `MatMul`, rounded after every multiply-add
    #[arg(long, value_name = "F", conflicts_with_all = ["recipe", "methods", "goal", "per_tensor"])]
    pub accumulator_as: Option<String>,
    /// What the largest number of an integer or table format stands for: the largest activation of the calibration samples, the
    /// magnitude that so many per cent stay below, such as 99.9%, or what has the least squared error
    #[arg(long, value_name = "largest|P%|error", default_value = "largest")]
    pub range: String,
    /// The same for weights
    #[arg(long, value_name = "largest|P%|error", default_value = "largest")]
    pub weight_range: String,
    /// Give every output channel of a weight a scale of its own
    #[arg(long)]
    pub channel_scales: bool,
    /// The last N samples tell the ranges of activations, where a format needs them, and are not scored
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub calibration: u32,
}

impl NumbersArguments {
    /// Whether a format was given.
    pub fn is_given(&self) -> bool {
        let all = [&self.run_as, &self.weights_as, &self.activations_as, &self.accumulator_as];
        all.into_iter().any(Option::is_some)
    }

    /// The choice that the flags describe.
    pub fn choice(&self) -> Result<Choice, Failure> {
        let read = |own: &Option<String>| match own.as_ref().or(self.run_as.as_ref()).map(String::as_str) {
            None | Some("float32") => Ok(None),
            Some(name) => {
                TensorFormat::parse(name).map(Some).map_err(|error| Failure::Usage(error.to_string()))
            }
        };
        let sums = read(&self.accumulator_as)?;
        if let Some(format) = sums.filter(|format| format.blocks().is_some() && self.accumulator_as.is_some())
        {
            return Err(no_sums(format).into());
        }
        let numbers = Numbers {
            weights: read(&self.weights_as)?,
            activations: read(&self.activations_as)?,
            accumulator: sums.and_then(TensorFormat::single),
        };
        let range = |flag: &str, text: &str| {
            let found = crate::formats::shown(text);
            let expected = "largest, error or a percentage above 0 and up to 100";
            Range::parse(text)
                .ok_or_else(|| Failure::Usage(format!("{flag}: expected {expected}, found {found}")))
        };
        Ok(Choice {
            numbers,
            activation_range: range("range", &self.range)?,
            weight_range: range("weight-range", &self.weight_range)?,
            per_channel: self.channel_scales,
            ..Choice::default()
        })
    }
}
