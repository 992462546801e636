//! Commands that run a network.

use super::arguments::{NetworkArguments, RecipeArguments, TuningArguments};
use super::context::Context;
use super::writing::{refuse_harm, write_whole};
use super::{Failure, print};
use crate::engine::native::file_name;
use crate::engine::report::Outcome;
use crate::network::Network;
use crate::network::data::DataSet;
use crate::network::evaluate::Quantized;
use crate::network::finetune::{Schedule, Training, Tuned, finetune as retrain};
use crate::network::importance::{Computed, Kind, compute};
use crate::network::measure::{Measures, Outputs, measure, percent};
use crate::network::model::ModelBytes;
use crate::network::ranking::{self, Ranked};
use crate::network::validation::{Paths, Validation};
use crate::quantize::methods;
use crate::recipe::Recipe;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Every file that a command which runs a network reads.
pub(super) fn inputs<'a>(network: &'a NetworkArguments, recipe: &'a RecipeArguments) -> Vec<&'a Path> {
    let data = network.data.iter().map(PathBuf::as_path);
    let files = std::iter::once(network.network.as_path()).chain(network.weights.as_deref());
    files.chain(data).chain(recipe.files()).collect()
}

/// Opens everything and runs the float weights.
pub(super) fn open(
    context: &Context,
    network: &NetworkArguments,
    importance: Option<&Path>,
) -> Result<Validation, Failure> {
    let paths = Paths {
        network: network.network.clone(),
        weights: network.weights.clone(),
        importance: importance.map(Path::to_owned),
        data: network.data.clone(),
    };
    let samples = network.samples.map(|n| n as usize);
    let show = context.count();
    Ok(Validation::open(&paths, network.preprocess.as_deref(), samples, context.jobs, &show)?)
}

/// Opens everything to learn from the data, of which but one sample is run; how many are asked for.
pub(super) fn open_to_learn(
    context: &Context,
    network: &NetworkArguments,
) -> Result<(Validation, usize), Failure> {
    let one = NetworkArguments { samples: Some(1), ..network.clone() };
    let validation = open(context, &one, None)?;
    let all = validation.data.samples;
    Ok((validation, network.samples.map_or(all, |n| (n as usize).min(all))))
}

/// Measures, a line each.
pub(super) fn lines(measures: &Measures) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(top1) = &measures.top1 {
        lines.push(format!("top-1                {} % of {} answers", percent(top1), top1.of));
    }
    if let Some(top5) = &measures.top5 {
        lines.push(format!("top-5                {} %", percent(top5)));
    }
    if let Some(loss) = measures.loss {
        lines.push(format!("loss                 {loss:.5} nats"));
    }
    if let Some(against) = &measures.against {
        lines.push(format!("agrees with float    {} %", percent(&against.agreement)));
        if let Some(p) = against.p_value {
            lines.push(format!(
                "answers changed      {} lost, {} won, McNemar p = {p:.3}",
                against.lost, against.won
            ));
        }
        if let (Some(change), Some(error)) = (against.loss_change, against.loss_error) {
            lines.push(format!("loss change          {change:.5} ± {error:.5} nats"));
        }
        lines.push(format!("output SQNR          {:.2} dB", against.sqnr_db));
        lines.push(format!(
            "divergence           {:.3e} ± {:.1e} nats",
            against.divergence, against.divergence_error
        ));
        lines.push(format!("expected acceptance  {:.3} %", 100.0 * against.acceptance));
    }
    lines
}

/// What is wanted beside the measures of one recipe.
pub struct Wanted<'a> {
    /// Methods whose curves are measured instead.
    pub methods: &'a [String],
    /// Points of each curve.
    pub points: u16,
    /// Each tensor quantized alone.
    pub per_tensor: bool,
    /// Where the outputs are written.
    pub outputs: Option<&'a Path>,
}

/// Measures the float weights, a recipe or curves.
pub fn accuracy(
    context: &Context,
    network: &NetworkArguments,
    recipe: &RecipeArguments,
    wanted: &Wanted,
) -> Result<(), Failure> {
    refuse_harm(&wanted.outputs.into_iter().collect::<Vec<_>>(), &inputs(network, recipe))?;
    let mut validation = open(context, network, recipe.importance_file.as_deref())?;
    if !wanted.methods.is_empty() {
        return curves(context, &mut validation, &recipe.recipe()?, wanted.methods, wanted.points);
    }
    if recipe.is_empty() {
        return float_accuracy(context, &validation, wanted.outputs);
    }
    recipe_accuracy(context, &mut validation, &recipe.recipe()?, wanted)
}

/// Measures the float weights.
fn float_accuracy(context: &Context, validation: &Validation, outputs: Option<&Path>) -> Result<(), Failure> {
    if let Some(path) = outputs {
        write_whole(path, &Outputs::npz(&[("float", &validation.reference)])?)?;
    }
    let (float, preprocess) = (validation.float_measures(), validation.setup.preprocess.to_line());
    let mut text = lines(&float);
    text.push(format!("preprocessing        {preprocess}"));
    let json = json!({"float": float, "preprocess": preprocess, "samples": validation.samples});
    context.say(&text.join("\n"), &json)
}

/// Measures one recipe.
fn recipe_accuracy(
    context: &Context,
    validation: &mut Validation,
    recipe: &Recipe,
    wanted: &Wanted,
) -> Result<(), Failure> {
    let (float, preprocess) = (validation.float_measures(), validation.setup.preprocess.to_line());
    let quantized = validation.evaluator.quantize(recipe)?;
    let outputs = validation.outputs(&quantized.files, &context.count())?;
    let measures = validation.compare(&outputs);
    if let Some(path) = wanted.outputs {
        write_whole(path, &Outputs::npz(&[("float", &validation.reference), ("quantized", &outputs)])?)?;
    }
    let mut text = vec![format!("recipe               {}", quantized.outcome.recipe), file_line(&quantized)];
    if let Some(top1) = &float.top1 {
        text.push(format!("float                {} %", percent(top1)));
    }
    text.extend(lines(&measures));
    if let Some(predicted) = quantized.predicted_change() {
        text.push(format!(
            "predicted change     {predicted:.5} (½ Σ h δ², the importance file taken as curvature)"
        ));
    }
    text.push(format!("preprocessing        {preprocess}"));
    let mut tensors = Vec::new();
    if wanted.per_tensor {
        let cells;
        (cells, tensors) = alone(context, validation, &quantized)?;
        text.push(String::new());
        text.push(print::table(&["tensor", "predicted change", "measured change"], &cells));
    }
    let json = json!({
        "float": float,
        "quantized": measures,
        "predicted_loss_change": quantized.predicted_change(),
        "tensors": tensors,
        "outcome": quantized.outcome,
        "preprocess": preprocess,
    });
    context.say(&text.join("\n"), &json)
}

/// The line of a compressed file's size.
pub(super) fn file_line(quantized: &Quantized) -> String {
    let outcome = &quantized.outcome;
    format!(
        "file                 {} bytes, ratio {:.2} over {} parameters",
        outcome.file_bytes, outcome.float32_ratio, outcome.parameters
    )
}

/// Each tensor quantized alone: predicted and measured change of the loss, as cells and as JSON.
fn alone(
    context: &Context,
    validation: &Validation,
    quantized: &Quantized,
) -> Result<(Vec<Vec<String>>, Vec<Value>), Failure> {
    let (mut cells, mut tensors) = (Vec::new(), Vec::new());
    for (name, predicted) in quantized.predicted.clone().unwrap_or_default() {
        let files = validation.evaluator.decoded_only(&quantized.file, &|tensor| tensor == name)?;
        let alone = validation.measure(&files, &context.count())?;
        let change = alone.against.as_ref().and_then(|against| against.loss_change);
        let text = change.map_or_else(|| "–".to_owned(), |change| format!("{change:.6}"));
        cells.push(vec![name.clone(), format!("{predicted:.6}"), text]);
        tensors.push(json!({"tensor": name, "predicted": predicted, "measured": alone}));
    }
    Ok((cells, tensors))
}

/// Points of one method's curve, measured.
struct MeasuredCurve {
    cells: Vec<Vec<String>>,
    json: Vec<Value>,
    /// Bits per parameter of the file, measures, predicted change of the loss.
    points: Vec<(f64, Measures, Option<f64>)>,
}

/// Measures the curve of a method.
fn curve(
    context: &Context,
    validation: &mut Validation,
    base: &Recipe,
    id: &str,
    points: u16,
) -> Result<MeasuredCurve, Failure> {
    let mut curve = MeasuredCurve { cells: Vec::new(), json: Vec::new(), points: Vec::new() };
    for (recipe, _) in validation.curve(base, id, usize::from(points))? {
        let (quantized, measures) = validation.point(&recipe, &context.count())?;
        let outcome = &quantized.outcome;
        let against = measures.against.as_ref();
        let number = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), |x| format!("{x:.5}"));
        curve.cells.push(vec![
            id.to_owned(),
            outcome.point.parameter.as_ref().map(ToString::to_string).unwrap_or_default(),
            format!("{:.4}", outcome.point.entropy_bits),
            format!("{:.2}", outcome.float32_ratio),
            measures.top1.as_ref().map_or_else(|| "–".to_owned(), percent),
            number(measures.loss),
            number(against.and_then(|a| a.loss_change)),
            number(quantized.predicted_change()),
            against.map_or_else(String::new, |a| format!("{:.2}", 100.0 * a.agreement.value())),
            against.map_or_else(String::new, |a| format!("{:.2e}", a.divergence)),
            against.map_or_else(String::new, |a| format!("{:.2}", 100.0 * a.acceptance)),
        ]);
        curve.json.push(json!({
            "method": id,
            "recipe": outcome.recipe,
            "outcome": outcome,
            "measures": measures,
            "predicted_loss_change": quantized.predicted_change(),
        }));
        let bits = outcome.file_bytes as f64 * 8.0 / outcome.parameters.max(1) as f64;
        curve.points.push((bits, measures, quantized.predicted_change()));
    }
    Ok(curve)
}

/// The header of measured curves.
const CURVES: [&str; 11] = [
    "method",
    "setting",
    "entropy",
    "ratio",
    "top-1 %",
    "loss",
    "loss change",
    "predicted",
    "agreement %",
    "KL nats",
    "EAR %",
];

/// Measures the curves of several methods and ranks them.
fn curves(
    context: &Context,
    validation: &mut Validation,
    base: &Recipe,
    ids: &[String],
    points: u16,
) -> Result<(), Failure> {
    methods::find_all(ids).map_err(|error| Failure::Usage(error.to_string()))?;
    let (mut cells, mut rows, mut measured) = (Vec::new(), Vec::new(), Vec::new());
    let mut left_out = Vec::new();
    for id in ids {
        let curve = curve(context, validation, base, id, points)?;
        if curve.points.is_empty() {
            left_out.push(format!("{id}: left out, since none of its settings can be solved here"));
        }
        cells.extend(curve.cells);
        rows.extend(curve.json);
        measured.extend(curve.points.into_iter().map(|point| (id, point)));
    }
    let ranked: Vec<Ranked> = measured
        .iter()
        .map(|(method, (bits, measures, predicted))| Ranked {
            method,
            bits: *bits,
            measures,
            predicted: *predicted,
        })
        .collect();
    let (ranking, parting) = (ranking::ranking(&ranked), ranking::parting(&ranked));
    let float = validation.float_measures();
    let mut text = vec![print::table(&CURVES, &cells), format!("float: {}", lines(&float).join("; "))];
    text.extend(left_out.iter().cloned());
    text.extend(ranking.iter().cloned());
    text.extend(parting.iter().map(|warning| format!("WARNING: {warning}")));
    let preprocess = validation.setup.preprocess.to_line();
    context.say(
        &text.join("\n"),
        &json!({
            "float": float, "points": rows, "left_out": left_out, "ranking": ranking, "warning": parting, "preprocess": preprocess,
        }),
    )
}

/// Computes importance from a network and data, and writes it.
pub fn importance(
    context: &Context,
    network: &NetworkArguments,
    kind: &str,
    output: &Path,
    half: bool,
) -> Result<(), Failure> {
    let kind = Kind::from_id(kind).ok_or_else(|| Failure::Usage(format!("kind: found {kind}")))?;
    refuse_harm(&[output], &inputs(network, &RecipeArguments::default()))?;
    let (validation, samples) = open_to_learn(context, network)?;
    let files = validation.evaluator.float()?;
    let show = |done: usize| context.bars.count("differentiating", done as u64, samples as u64);
    let computed = compute(kind, &files, &validation.setup, &validation.data, samples, &show, &|| true);
    context.bars.clear();
    let computed = computed?;
    let name = file_name(&network.network);
    let bytes = computed.to_safetensors(&name, &validation.data.kind, &validation.setup, half)?;
    write_whole(output, &bytes)?;
    let mut text = importance_table(&computed);
    let preprocess = validation.setup.preprocess.to_line();
    let (place, id, loss, samples) = (output.display(), kind.id(), &computed.loss, computed.samples);
    let _ = write!(text, "\n\n{place}: {id} of {loss} over {samples} samples ({preprocess})");
    if !computed.without.is_empty() {
        let _ = write!(text, "\nnote: none for {}", crate::importance::list(&computed.without));
    }
    let json = json!({
        "kind": kind.id(),
        "samples": computed.samples,
        "preprocess": preprocess,
        "without": computed.without,
        "tensors": computed.tensors.iter().map(|(name, shape, values)| json!({
            "name": name, "shape": shape, "mean": values.iter().sum::<f64>() / values.len().max(1) as f64,
        })).collect::<Vec<_>>(),
    });
    context.say(&text, &json)
}

/// A row for every tensor that has importance.
fn importance_table(computed: &Computed) -> String {
    let cells: Vec<Vec<String>> = computed
        .tensors
        .iter()
        .map(|(name, shape, values)| {
            let sum: f64 = values.iter().sum();
            let most = values.iter().fold(0.0f64, |a, b| a.max(*b));
            let zeros = values.iter().filter(|x| **x == 0.0).count();
            let shape: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
            vec![
                name.clone(),
                print::shape(&shape),
                format!("{:.4e}", sum / values.len().max(1) as f64),
                format!("{most:.4e}"),
                zeros.to_string(),
            ]
        })
        .collect();
    print::table(&["tensor", "shape", "mean", "largest", "zeros"], &cells)
}

/// Retrains the codebooks of a recipe and writes the compressed file.
pub fn finetune(
    context: &Context,
    network: &NetworkArguments,
    recipe: &RecipeArguments,
    tuning: &TuningArguments,
    output: &Path,
) -> Result<(), Failure> {
    let mut read = inputs(network, recipe);
    read.extend(tuning.train.iter().map(PathBuf::as_path));
    refuse_harm(&[output], &read)?;
    let recipe_file = recipe.importance_file.as_deref();
    let recipe = recipe.recipe()?;
    let mut validation = open(context, network, recipe_file)?;
    let (train, range, tested) = taught_and_tested(&validation, &tuning.train)?;
    let schedule =
        Schedule { epochs: tuning.epochs as usize, batch: tuning.batch as usize, rate: tuning.rate };
    let setup = validation.setup.clone();
    let show = |done: usize, of: usize| context.bars.count("retraining", done as u64, of as u64);
    let training = Training { setup: &setup, data: &train, range: range.clone() };
    let tuned = retrain(&mut validation.evaluator, &recipe, &training, schedule, &show, &|| true);
    context.bars.clear();
    let tuned = tuned?;
    write_whole(output, &tuned.quantized.file)?;
    let before = validation.evaluator.quantize(&recipe)?;
    let then = measured_on(&validation, &before.files, &tested)?;
    let now = measured_on(&validation, &tuned.quantized.files, &tested)?;
    let text = tuned_lines(&tuned, (&then, &now), range.len(), tested.len());
    let json = json!({
        "before": then, "after": now, "losses": tuned.losses, "schedule": schedule, "outcome": tuned.quantized.outcome,
    });
    context.say(&text.join("\n"), &json)
}

/// The data to learn from, which of its samples, and which of the validation's examine what was learned: without files of their
/// own to learn from, the first half of the data teaches and the second half examines.
pub(super) fn taught_and_tested(
    validation: &Validation,
    files: &[PathBuf],
) -> Result<(DataSet, Range<usize>, Range<usize>), Failure> {
    let (all, half) = (validation.samples, validation.samples / 2);
    if files.is_empty() {
        return Ok((validation.data.clone(), 0..half, half..all));
    }
    let data = DataSet::read(files)?;
    let samples = data.samples;
    Ok((data, 0..samples, 0..all))
}

/// Measures other weights on some of the samples.
pub(super) fn measured_on(
    validation: &Validation,
    files: &ModelBytes,
    range: &Range<usize>,
) -> Result<Measures, Failure> {
    let Validation { setup, data, reference, .. } = validation;
    let outputs = setup.run(&Network::load(files)?, data, range.clone(), &|| true)?;
    let classes = reference.classes;
    let values = reference.values.get(range.start * classes..range.end * classes);
    let reference = Outputs { values: values.unwrap_or_default().to_vec(), classes };
    Ok(measure(&outputs, data.labels_of(range.clone()), Some(&reference)))
}

/// The size of a file and the recipe that made it.
pub(super) fn file_lines(outcome: &Outcome) -> String {
    let Outcome { file_bytes, float32_ratio, recipe, .. } = outcome;
    format!(
        "file                 {file_bytes} bytes, ratio {float32_ratio:.2}\nrecipe               {recipe}"
    )
}

/// What retraining gave, measured before and after, line by line.
fn tuned_lines(
    tuned: &Tuned,
    (then, now): (&Measures, &Measures),
    trained: usize,
    tested: usize,
) -> [String; 7] {
    let Tuned { quantized, losses, .. } = tuned;
    [
        format!("retrained on         {trained} samples, measured on {tested} others"),
        "before".to_owned(),
        lines(then).join("\n"),
        "after".to_owned(),
        lines(now).join("\n"),
        format!(
            "losses by epoch      {}",
            losses.iter().map(|l| format!("{l:.5}")).collect::<Vec<_>>().join(" ")
        ),
        file_lines(&quantized.outcome),
    ]
}
