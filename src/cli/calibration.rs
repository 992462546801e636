//! Commands that learn from unlabelled data: what a network multiplies its weights by, and what repairs a quantized one.

use super::arguments::{NetworkArguments, RecipeArguments, RepairArguments};
use super::context::Context;
use super::network::{file_lines, inputs, lines, measured_on, open, open_to_learn, taught_and_tested};
use super::writing::{refuse_harm, write_whole};
use super::{Failure, print};
use crate::engine::native::file_name;
use crate::network::calibrate::{Moments, calibrate as measured};
use crate::network::repair::repair as repaired;
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Measures the second moments of a network's inputs, and writes them.
pub(super) fn calibrate(context: &Context, network: &NetworkArguments, output: &Path) -> Result<(), Failure> {
    refuse_harm(&[output], &inputs(network, &RecipeArguments::default()))?;
    let (validation, samples) = open_to_learn(context, network)?;
    let files = validation.evaluator.float()?;
    let show = |done: usize| context.bars.count("calibrating", done as u64, samples as u64);
    let found = measured(&files, &validation.setup, &validation.data, samples, &show, &|| true);
    context.bars.clear();
    let found = found?;
    let name = file_name(&network.network);
    let hash = validation.data.hash(samples);
    let bytes = found.to_safetensors(&name, (&validation.data.kind, &hash), &validation.setup)?;
    write_whole(output, &bytes)?;
    let row = |layer: &Moments| {
        let (inputs, groups) = (layer.inputs.to_string(), layer.groups.to_string());
        let units = if layer.units.is_empty() { "–".to_owned() } else { layer.units.len().to_string() };
        vec![layer.name.clone(), inputs, groups, layer.vectors.to_string(), units]
    };
    let cells: Vec<Vec<String>> = found.layers.iter().map(row).collect();
    let mut text = print::table(&["weight", "inputs", "groups", "vectors", "units"], &cells);
    let preprocess = validation.setup.preprocess.to_line();
    let _ = write!(
        text,
        "\n\n{}: second moments over {} samples ({preprocess})",
        output.display(),
        found.samples
    );
    for note in &found.notes {
        let _ = write!(text, "\nnote: {note}");
    }
    let json = json!({
        "kind": "moments",
        "samples": found.samples,
        "preprocess": preprocess,
        "data_hash": hash,
        "notes": found.notes,
        "tensors": found.layers.iter().map(|layer| json!({
            "name": layer.name, "inputs": layer.inputs, "groups": layer.groups, "vectors": layer.vectors,
            "units": layer.units.len(),
        })).collect::<Vec<_>>(),
    });
    context.say(&text, &json)
}

/// Compresses by a recipe, repairs, and measures both on samples that were not used.
pub(super) fn repair(
    context: &Context,
    (network, recipe): (&NetworkArguments, &RecipeArguments),
    RepairArguments { calibration, calibration_samples, sequential }: &RepairArguments,
    output: &Path,
) -> Result<(), Failure> {
    let mut read = inputs(network, recipe);
    read.extend(calibration.iter().map(PathBuf::as_path));
    let written: Vec<&Path> = std::iter::once(output).chain(sequential.as_deref()).collect();
    refuse_harm(&written, &read)?;
    let importance = recipe.importance_file.as_deref();
    let recipe = recipe.recipe()?;
    let mut validation = open(context, network, importance)?;
    let (data, range, tested) = taught_and_tested(&validation, calibration)?;
    let samples = calibration_samples.map_or(range.len(), |n| range.len().min(n as usize));
    let setup = validation.setup.clone();
    let show = |done: usize, of: usize| context.bars.count("repairing", done as u64, of as u64);
    let asked = (&recipe, sequential.is_some());
    let found = repaired(&mut validation.evaluator, asked, (&setup, &data, samples), &show, &|| true);
    context.bars.clear();
    let found = found?;
    write_whole(output, &found.after.file)?;
    if let (Some(path), Some(moments)) = (sequential, &found.importance) {
        write_whole(path, moments)?;
    }
    let then = measured_on(&validation, &found.before.files, &tested)?;
    let now = measured_on(&validation, &found.after.files, &tested)?;
    let outcome = &found.after.outcome;
    let text = [
        format!("repaired on          {samples} samples, measured on {} others", tested.len()),
        format!("repaired             {}", crate::importance::list(&found.tensors)),
        "before".to_owned(),
        lines(&then).join("\n"),
        "after".to_owned(),
        lines(&now).join("\n"),
        file_lines(outcome),
    ];
    let json = json!({
        "before": then, "after": now, "repaired": found.tensors, "samples": samples, "data_hash": data.hash(samples),
        "outcome": outcome,
    });
    context.say(&text.join("\n"), &json)
}
