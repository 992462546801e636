//! Accuracy of a network in number formats.

use super::arguments::NetworkArguments;
use super::context::Context;
use super::network::{lines, open};
use super::number_arguments::NumbersArguments;
use super::writing::{refuse_harm, write_whole};
use super::{Failure, print};
use crate::network::NetworkError;
use crate::network::emulate::{Answer, Choice, Emulator, Layer, Prepared, Report, TensorFormat};
use crate::network::measure::{Outputs, measure, percent};
use crate::network::validation::Validation;
use serde_json::json;
use std::path::Path;

/// Batches between two looks at how far it is, for each thread.
const BATCHES: usize = 4;

/// A format's name, or that of float32.
fn name(format: Option<TensorFormat>) -> String {
    format.map_or_else(|| "float32".to_owned(), |format| format.to_string())
}

/// Measures a network with weights, activations and accumulators in number formats.
pub fn accuracy(
    context: &Context,
    network: &NetworkArguments,
    numbers: &NumbersArguments,
    outputs: Option<&Path>,
) -> Result<(), Failure> {
    let choice = numbers.choice()?;
    let data = network.data.iter().map(std::path::PathBuf::as_path);
    let files: Vec<&Path> =
        data.chain([network.network.as_path()]).chain(network.weights.as_deref()).collect();
    refuse_harm(&outputs.into_iter().collect::<Vec<_>>(), &files)?;
    let validation = open(context, network, None)?;
    let mut emulator =
        Emulator::new(&validation.evaluator.float()?, &validation.setup, &validation.data, &[])?;
    let scored = calibrate(&mut emulator, &validation, &choice, numbers.calibration as usize)?;
    let prepared = emulator.prepare(&choice)?;
    let (answer, report) = run(context, &emulator, &prepared, &validation, scored)?;
    let each = validation.reference.values.len() / validation.samples.max(1);
    let reference = Outputs {
        values: validation.reference.values.iter().take(scored * each).copied().collect(),
        classes: validation.reference.classes,
    };
    if let Some(path) = outputs {
        write_whole(path, &Outputs::npz(&[("float", &reference), ("quantized", &answer)])?)?;
    }
    let labels = validation.data.labels_of(0..scored);
    let (float, measures) = (measure(&reference, labels, None), measure(&answer, labels, Some(&reference)));
    let chosen = choice.numbers;
    let mut text = vec![format!(
        "numbers              weights {}, activations {}, accumulators {}",
        name(chosen.weights),
        name(chosen.activations),
        name(chosen.accumulator.map(TensorFormat::from))
    )];
    text.extend(float.top1.as_ref().map(|top1| format!("float                {} %", percent(top1))));
    text.extend(lines(&measures));
    text.push(format!("samples              {scored} scored"));
    let warning = report.sentence();
    text.extend(warning.iter().map(|sentence| format!("WARNING: {sentence}")));
    text.push(format!("\n{}", table(&report)));
    let json = json!({
        "numbers": {
            "weights": name(chosen.weights),
            "activations": name(chosen.activations),
            "accumulator": name(chosen.accumulator.map(TensorFormat::from)),
        },
        "float": float,
        "measures": measures,
        "samples": scored,
        "warning": warning,
        "report": report,
        "preprocess": validation.setup.preprocess.to_line(),
    });
    context.say(&text.join("\n"), &json)
}

/// Learns ranges from the last samples where a format needs them; how many of the others are scored, from the first.
fn calibrate(
    emulator: &mut Emulator,
    validation: &Validation,
    choice: &Choice,
    wanted: usize,
) -> Result<usize, Failure> {
    if !choice.numbers.activations.is_some_and(|format| format.needs_range()) {
        return Ok(validation.samples);
    }
    let all = validation.data.samples;
    if wanted >= all {
        let expected = format!("calibration with fewer than the {all} samples there are");
        return Err(NetworkError::data("calibration", expected, wanted.to_string()).into());
    }
    let batches = emulator.batches(&validation.data, all - wanted..all)?;
    emulator.calibrate(&batches)?;
    Ok(validation.samples.min(all - wanted))
}

/// Runs the first samples.
fn run(
    context: &Context,
    emulator: &Emulator,
    prepared: &Prepared,
    validation: &Validation,
    samples: usize,
) -> Result<(Outputs, Report), Failure> {
    let batches = emulator.batches(&validation.data, 0..samples)?;
    let (show, mut done) = (context.count(), 0);
    let mut all = Answer::default();
    for batches in batches.chunks(BATCHES * context.jobs.max(1)) {
        all.merge(prepared.run_all(batches, context.jobs)?);
        done += batches.iter().map(|batch| batch.samples() as u64).sum::<u64>();
        show("running in the formats", done, samples as u64);
    }
    context.bars.clear();
    Ok((all.outputs, all.report))
}

/// What rounding did, node by node.
fn table(report: &Report) -> String {
    let share = |count: u64, of: u64| {
        if of == 0 { "–".to_owned() } else { format!("{:.3}", 100.0 * count as f64 / of as f64) }
    };
    let all = || report.weights.iter().chain(&report.layers);
    let has_blocks = all().any(|layer| layer.blocks > 0);
    let row = |layer: &Layer| {
        let mut cells = vec![
            layer.name.clone(),
            layer.operator.clone(),
            layer.rounded.to_string(),
            share(layer.saturated, layer.rounded),
            share(layer.underflowed, layer.rounded),
            format!("{:.4e}", layer.largest),
            layer.not_finite.to_string(),
            share(layer.saturated_sums, layer.sums),
        ];
        if has_blocks {
            cells.extend([layer.blocks.to_string(), share(layer.padding, layer.rounded + layer.padding)]);
        }
        cells
    };
    let did = |layer: &&Layer| layer.rounded + layer.sums + layer.not_finite > 0;
    let cells: Vec<Vec<String>> = all().filter(did).map(row).collect();
    let mut header = vec![
        "weight or node",
        "format, operator",
        "rounded",
        "saturated %",
        "to zero %",
        "largest",
        "not finite",
        "sums saturated %",
    ];
    if has_blocks {
        header.extend(["blocks", "padding %"]);
    }
    print::table(&header, &cells)
}
