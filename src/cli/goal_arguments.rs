//! Flags of goals: how well a network is to answer, and what helps to find the smallest file that does.

use super::Failure;
use crate::engine::targets::Target;
use clap::Args;
use std::path::PathBuf;

/// What a network's answers are to be worth, and unlabelled samples that help to it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Goal")]
pub struct GoalArguments {
    /// Find the smallest file with at least this share of samples classified correctly, such as 0.98 or 98%
    #[arg(long, value_name = "A", group = "goal", conflicts_with_all = ["per_tensor", "outputs"])]
    pub min_accuracy: Option<String>,
    /// Find the smallest file with at least this share classified as by the float network; labels are not needed
    #[arg(long, value_name = "A", group = "goal", conflicts_with_all = ["per_tensor", "outputs"])]
    pub min_agreement: Option<String>,
    /// Find the smallest file whose answers diverge from the float network's by at most so many nats in the mean
    /// (Kullback-Leibler)
    #[arg(long, value_name = "NATS", allow_hyphen_values = true, group = "goal")]
    #[arg(conflicts_with_all = ["per_tensor", "outputs"])]
    pub max_kl: Option<String>,
    /// Unlabelled data to calibrate on: compensated and repaired recipes compete as well
    #[arg(long, num_args = 1.., value_name = "FILE…", requires = "goal")]
    pub calibration_data: Vec<PathBuf>,
    /// Calibrate on its first N samples
    #[arg(long, value_name = "N", requires = "calibration_data", value_parser = clap::value_parser!(u32).range(1..))]
    pub calibration_samples: Option<u32>,
    /// Write the second moments that the answer was compensated with, which `verify --source` asks for
    #[arg(long, value_name = "FILE.safetensors", requires = "calibration_data")]
    pub moments: Option<PathBuf>,
}

impl GoalArguments {
    /// The goal, if one was given.
    pub fn target(&self) -> Result<Option<Target>, Failure> {
        let given = [
            ("min-accuracy", &self.min_accuracy),
            ("min-agreement", &self.min_agreement),
            ("max-kl", &self.max_kl),
        ];
        read_target(&given)
    }
}

/// The target among flags of which at most one is given.
pub(super) fn read_target(given: &[(&str, &Option<String>)]) -> Result<Option<Target>, Failure> {
    let found = given.iter().find_map(|(id, text)| Some((*id, text.as_deref()?)));
    found
        .map(|(id, text)| Target::read(id, text))
        .transpose()
        .map_err(|error| Failure::Usage(error.to_string()))
}
