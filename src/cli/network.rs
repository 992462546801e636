//! Commands that run a network.

use super::arguments::{NetworkArguments, RecipeArguments, TuningArguments};
use super::context::Context;
use super::writing::{refuse_harm, write_whole};
use super::{Failure, print};
use crate::engine::EngineError;
use crate::engine::native::{Files, open_files};
use crate::engine::report::Point;
use crate::engine::targets::{self, Contest, Measured, Target, Trial};
use crate::formats::Source;
use crate::network::check::Checker;
use crate::network::data::{DataSet, Preprocess};
use crate::network::evaluate::{Bench, Quantized, Setup};
use crate::network::finetune::{Lesson, Schedule};
use crate::network::importance::{Kind, compute};
use crate::network::measure::{Measures, Outputs, measure};
use crate::network::model::ModelBytes;
use crate::network::ranking::{self, Ranked};
use crate::network::{Graph, Network, NetworkError};
use crate::quantize::SettingsError;
use crate::quantize::methods::{self, METHODS};
use crate::recipe::Recipe;
use serde_json::json;
use std::fmt::Write as _;
use std::path::Path;

/// Samples on which every value inside the network is looked at.
const CHECKED_SAMPLES: usize = 4;

/// A network on its bench, with data and the float model's answers.
pub struct Measuring {
    pub bench: Bench,
    pub data: DataSet,
    pub setup: Setup,
    /// Looks for numbers that are none inside the network, where the runtime passes over them.
    checker: Checker,
    /// Answers of the float weights, and the labels.
    pub reference: Outputs,
    pub samples: usize,
}

fn read(path: &Path) -> Result<ModelBytes, Failure> {
    Ok(ModelBytes::read(&open_files(path)?)?)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Every file that a command which runs a network reads.
fn inputs<'a>(network: &'a NetworkArguments, recipe: &'a RecipeArguments) -> Vec<&'a Path> {
    let data = network.data.iter().map(std::path::PathBuf::as_path);
    let files = std::iter::once(network.network.as_path()).chain(network.weights.as_deref());
    files.chain(data).chain(recipe.files()).collect()
}

/// Reads a data set from files.
pub fn read_data(paths: &[std::path::PathBuf]) -> Result<DataSet, Failure> {
    let files = paths.iter().map(|path| Ok((name_of(path), open_files(path)?)));
    let files: Vec<(String, Files)> = files.collect::<Result<_, crate::formats::FormatError>>()?;
    let sources: Vec<(String, &dyn Source)> =
        files.iter().map(|(name, file)| (name.clone(), file as &dyn Source)).collect();
    Ok(DataSet::open(&sources)?)
}

impl Measuring {
    /// Opens everything and runs the float weights.
    pub fn open(
        context: &Context,
        arguments: &NetworkArguments,
        importance: Option<&Path>,
    ) -> Result<Self, Failure> {
        let network = read(&arguments.network)?;
        let weights = match &arguments.weights {
            Some(path) => Some((read(path)?, name_of(path))),
            None => None,
        };
        let name = name_of(&arguments.network);
        let weights = Some(weights.unwrap_or_else(|| (network.clone(), name)));
        let importance = importance.map(read).transpose()?;
        let bench = Bench::new(network, weights, importance, context.jobs)?;
        bench.shared()?;
        let data = read_data(&arguments.data)?;
        let samples = arguments.samples.map_or(data.samples, |n| (n as usize).min(data.samples));
        let float = bench.float()?;
        let graph = Graph::parse(float.model())?;
        let network = Network::load(&float)?;
        let setup = match &arguments.preprocess {
            Some(line) => Setup::new(&graph, &data, Preprocess::from_line(line)?)?,
            None => Setup::guess(&graph, &network, &data)?,
        };
        let few = samples.min(CHECKED_SAMPLES);
        let inputs = (0..few).map(|i| setup.inputs(&data, i..i + 1)).collect::<Result<_, _>>()?;
        let checker = Checker::given(float, inputs)?;
        let mut this = Self { bench, data, setup, checker, reference: Outputs::default(), samples };
        this.reference = this.outputs(context, &network, "running the float weights")?;
        this.setup.check_labels(&this.data, &this.reference)?;
        Ok(this)
    }

    /// Runs a network on all samples.
    fn outputs(&self, context: &Context, network: &Network, what: &'static str) -> Result<Outputs, Failure> {
        let mut all = Outputs::default();
        let chunk = 10 * self.setup.batch.max(1);
        for start in (0..self.samples).step_by(chunk) {
            let end = (start + chunk).min(self.samples);
            let outputs = self.setup.run(network, &self.data, start..end, &|| true)?;
            all.classes = outputs.classes;
            all.values.extend(outputs.values);
            context.bars.count(what, end as u64, self.samples as u64);
        }
        context.bars.clear();
        Ok(all)
    }

    /// Measures the network with other weights against labels and the float weights.
    pub fn measure(&self, context: &Context, files: &ModelBytes) -> Result<Measures, Failure> {
        Ok(self.compare(&self.answers(context, files)?))
    }

    /// What the network with other weights answers: finite numbers, inside it too.
    fn answers(&self, context: &Context, files: &ModelBytes) -> Result<Outputs, Failure> {
        let check = self.checker.check(files)?;
        if !check.finite {
            let at = check.first_bad.map_or_else(String::new, |bad| format!(": {bad}"));
            let part = "the network's answers with these weights";
            return Err(NetworkError::data(part, "finite numbers", format!("NaN or infinity{at}")).into());
        }
        self.outputs(context, &Network::load(files)?, "running the quantized weights")
    }

    /// Measures answers against labels and the float weights' answers.
    fn compare(&self, answers: &Outputs) -> Measures {
        measure(answers, self.data.labels_of(0..self.samples), Some(&self.reference))
    }

    /// Measures of the float weights.
    pub fn float_measures(&self) -> Measures {
        measure(&self.reference, self.data.labels_of(0..self.samples), None)
    }

    /// Carries out a recipe and measures it.
    pub fn point(&mut self, context: &Context, recipe: &Recipe) -> Result<(Quantized, Measures), Failure> {
        let quantized = self.bench.quantize(recipe)?;
        let measures = self.measure(context, &quantized.files)?;
        Ok((quantized, measures))
    }

    /// The recipes of a method's curve: its points with their parameter.
    pub fn curve(&mut self, base: &Recipe, id: &str, points: usize) -> Result<Vec<(Recipe, Point)>, Failure> {
        let base = base.with_method(id);
        let swept = methods::find(id).map_or("k", |method| method.swept);
        let sweep = self.bench.opened(&base)?.session.sweep(&base, &[id], points)?;
        let points = sweep.curves.into_iter().flat_map(|curve| curve.points);
        Ok(points.filter_map(|point| Some((base.with(swept, point.parameter.clone()?), point))).collect())
    }
}

/// A share in per cent with its interval.
pub fn percent(share: &crate::network::measure::Share) -> String {
    format!("{:.2} [{:.2}, {:.2}]", 100.0 * share.value(), 100.0 * share.low, 100.0 * share.high)
}

fn lines(measures: &Measures) -> Vec<String> {
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
        lines.push(format!("divergence           {:.3e} nats", against.divergence));
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
    /// Where the answers are written.
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
    let mut measuring = Measuring::open(context, network, recipe.importance_file.as_deref())?;
    let preprocess = measuring.setup.preprocess.to_line();
    let float = measuring.float_measures();
    if !wanted.methods.is_empty() {
        return curves(context, &mut measuring, &recipe.recipe()?, wanted.methods, wanted.points);
    }
    if recipe.is_empty() {
        if let Some(path) = wanted.outputs {
            write_whole(path, &Outputs::npz(&[("float", &measuring.reference)])?)?;
        }
        let mut text = lines(&float);
        text.push(format!("preprocessing        {preprocess}"));
        let json = json!({"float": float, "preprocess": preprocess, "samples": measuring.samples});
        return context.say(&text.join("\n"), &json);
    }
    let quantized = measuring.bench.quantize(&recipe.recipe()?)?;
    let answers = measuring.answers(context, &quantized.files)?;
    let measures = measuring.compare(&answers);
    if let Some(path) = wanted.outputs {
        write_whole(path, &Outputs::npz(&[("float", &measuring.reference), ("quantized", &answers)])?)?;
    }
    let outcome = &quantized.outcome;
    let mut text = vec![
        format!("recipe               {}", outcome.recipe),
        format!(
            "file                 {} bytes, ratio {:.2} over {} parameters",
            outcome.file_bytes, outcome.float32_ratio, outcome.parameters
        ),
    ];
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
        let mut cells = Vec::new();
        for (name, predicted) in quantized.predicted.clone().unwrap_or_default() {
            let files = measuring.bench.decoded_only(&quantized.file, &|tensor| tensor == name)?;
            let alone = measuring.measure(context, &files)?;
            let change = alone.against.as_ref().and_then(|against| against.loss_change);
            let text = change.map_or_else(|| "–".to_owned(), |change| format!("{change:.6}"));
            cells.push(vec![name.clone(), format!("{predicted:.6}"), text]);
            tensors.push(json!({"tensor": name, "predicted": predicted, "measured": alone}));
        }
        text.push(String::new());
        text.push(print::table(&["tensor", "predicted change", "measured change"], &cells));
    }
    let json = json!({
        "float": float,
        "quantized": measures,
        "predicted_loss_change": quantized.predicted_change(),
        "tensors": tensors,
        "outcome": outcome,
        "preprocess": preprocess,
    });
    context.say(&text.join("\n"), &json)
}

/// The least accuracy that is wanted.
pub struct Least<'a> {
    /// The share, as it was typed.
    pub text: &'a str,
    /// Methods that compete; the recipe's own if there are none.
    pub methods: &'a [String],
    /// Points of each walk's grid.
    pub points: u16,
    /// Where the compressed file goes.
    pub output: Option<&'a Path>,
}

/// Finds the smallest file whose network still has the accuracy asked for.
pub fn find_accuracy(
    context: &Context,
    network: &NetworkArguments,
    recipe: &RecipeArguments,
    wanted: &Least,
) -> Result<(), Failure> {
    let usage = |error: SettingsError| Failure::Usage(error.to_string());
    let target = Target::read("min-accuracy", wanted.text).map_err(usage)?;
    refuse_harm(&wanted.output.into_iter().collect::<Vec<_>>(), &inputs(network, recipe))?;
    let base = recipe.recipe()?;
    let mut methods = targets::methods_of(wanted.methods).map_err(usage)?;
    if methods.is_empty() {
        methods.push(base.check().map_err(usage)?.method);
    }
    let mut measuring = Measuring::open(context, network, recipe.importance_file.as_deref())?;
    let float = measuring.float_measures();
    let Some(top1) = float.top1 else {
        return Err(Failure::Usage("min-accuracy: expected data with labels, found none".to_owned()));
    };
    let mut contest = Contest::new(target, &base).map_err(usage)?;
    let (mut trials, mut lucky) = (Vec::new(), Vec::new());
    for method in methods {
        let mut descent = contest.descent(method, usize::from(wanted.points));
        while let Some(setting) = descent.next_setting() {
            let (quantized, measures) = match measuring.point(context, &setting.recipe(&base)) {
                Ok(point) => point,
                Err(Failure::Job(error)) if is_unsolved(error.as_ref()) => {
                    descent.refused();
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let accuracy = measures.top1.map(|share| share.value());
            let measured = Measured { accuracy, ..Measured::of(&quantized.outcome) };
            let Some(trial) = descent.measured(measured) else { return Err(EngineError::Message.into()) };
            let found = target.found(&trial.measured);
            context.bars.say(&format!("trial {}: {trial}, {found}", trials.len() + 1));
            trials.push(trial);
        }
        lucky.extend_from_slice(descent.lucky());
        // What no walk confirmed may still come nearest.
        let unconfirmed = trials.iter().copied().filter(|trial: &Trial| !target.is_met(&trial.measured));
        unconfirmed.chain(descent.answer()).for_each(|trial| contest.enter(trial));
    }
    contest.trials = trials.len();
    let best = contest.answer().map_err(EngineError::Unmet)?.setting.recipe(&base);
    let (quantized, measures) = measuring.point(context, &best)?;
    if let Some(path) = wanted.output {
        write_whole(path, &quantized.file)?;
    }
    let outcome = &quantized.outcome;
    let mut text = vec![
        format!("target               {}", contest.met().unwrap_or_default()),
        format!("recipe               {}", outcome.recipe),
        format!(
            "file                 {} bytes, ratio {:.2} over {} parameters",
            outcome.file_bytes, outcome.float32_ratio, outcome.parameters
        ),
        format!("float                {} %", percent(&top1)),
    ];
    text.extend(lines(&measures));
    let is_sure = measures.top1.is_some_and(|share| target.is_met(&with_accuracy(share.low)));
    if !is_sure {
        text.push("note: the interval reaches below the target: other samples may give less".to_owned());
    }
    for trial in &lucky {
        let found = target.found(&trial.measured);
        text.push(format!("note: passed over as luck, since its finer neighbour missed: {trial}, {found}"));
    }
    let json = json!({
        "float": float,
        "quantized": measures,
        "outcome": outcome,
        "target": print::target(target, &base, &trials),
        "sure": is_sure,
        "lucky": lucky.iter().map(|trial| trial.setting.recipe(&base).to_line()).collect::<Vec<_>>(),
        "preprocess": measuring.setup.preprocess.to_line(),
    });
    context.say(&text.join("\n"), &json)
}

fn with_accuracy(share: f64) -> Measured {
    Measured { accuracy: Some(share), ..Measured::default() }
}

/// Whether a setting could not be solved, such as a grid too fine for the weights' range.
fn is_unsolved(error: &(dyn std::error::Error + 'static)) -> bool {
    let engine = match error.downcast_ref() {
        Some(NetworkError::Engine(error)) => Some(error),
        _ => error.downcast_ref::<EngineError>(),
    };
    matches!(engine, Some(EngineError::Quantize(_)))
}

fn curves(
    context: &Context,
    measuring: &mut Measuring,
    base: &Recipe,
    ids: &[String],
    points: u16,
) -> Result<(), Failure> {
    if let Some(unknown) = ids.iter().find(|id| methods::find(id).is_none()) {
        let known: Vec<&str> = METHODS.iter().map(|m| m.id).collect();
        return Err(Failure::Usage(format!(
            "methods: expected some of {}, found {unknown}",
            known.join(", ")
        )));
    }
    let (mut cells, mut rows, mut measured) = (Vec::new(), Vec::new(), Vec::new());
    let mut left_out = Vec::new();
    for id in ids {
        let curve = measuring.curve(base, id, usize::from(points))?;
        if curve.is_empty() {
            left_out.push(format!("{id}: left out, since none of its settings can be solved here"));
        }
        for (recipe, _) in curve {
            let (quantized, measures) = measuring.point(context, &recipe)?;
            let outcome = &quantized.outcome;
            let against = measures.against.as_ref();
            let number = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), |x| format!("{x:.5}"));
            cells.push(vec![
                id.clone(),
                outcome.point.parameter.as_ref().map(ToString::to_string).unwrap_or_default(),
                format!("{:.4}", outcome.point.entropy_bits),
                format!("{:.2}", outcome.float32_ratio),
                measures.top1.as_ref().map_or_else(|| "–".to_owned(), percent),
                number(measures.loss),
                number(against.and_then(|a| a.loss_change)),
                number(quantized.predicted_change()),
                against.map_or_else(String::new, |a| format!("{:.2}", 100.0 * a.agreement.value())),
            ]);
            rows.push(json!({
                "method": id,
                "recipe": outcome.recipe,
                "outcome": outcome,
                "measures": measures,
                "predicted_loss_change": quantized.predicted_change(),
            }));
            let bits = outcome.file_bytes as f64 * 8.0 / outcome.parameters.max(1) as f64;
            measured.push((id, bits, measures, quantized.predicted_change()));
        }
    }
    let ranked: Vec<Ranked> = measured
        .iter()
        .map(|(method, bits, measures, predicted)| Ranked {
            method,
            bits: *bits,
            measures,
            predicted: *predicted,
        })
        .collect();
    let (ranking, parting) = (ranking::ranking(&ranked), ranking::parting(&ranked));
    let header = [
        "method",
        "setting",
        "entropy",
        "ratio",
        "top-1 %",
        "loss",
        "loss change",
        "predicted",
        "agreement %",
    ];
    let float = measuring.float_measures();
    let mut text = vec![print::table(&header, &cells), format!("float: {}", lines(&float).join("; "))];
    text.extend(left_out.iter().cloned());
    text.extend(ranking.iter().cloned());
    text.extend(parting.iter().map(|warning| format!("WARNING: {warning}")));
    let preprocess = measuring.setup.preprocess.to_line();
    context.say(
        &text.join("\n"),
        &json!({
            "float": float, "points": rows, "left_out": left_out, "ranking": ranking, "warning": parting, "preprocess": preprocess,
        }),
    )
}

pub fn importance(
    context: &Context,
    network: &NetworkArguments,
    kind: &str,
    output: &Path,
    half: bool,
) -> Result<(), Failure> {
    let kind = Kind::from_id(kind).ok_or_else(|| Failure::Usage(format!("kind: found {kind}")))?;
    refuse_harm(&[output], &inputs(network, &RecipeArguments::default()))?;
    let mut one = network.clone();
    one.samples = Some(1);
    let measuring = Measuring::open(context, &one, None)?;
    let samples =
        network.samples.map_or(measuring.data.samples, |n| (n as usize).min(measuring.data.samples));
    let files = measuring.bench.float()?;
    let show = |done: usize| context.bars.count("walking back", done as u64, samples as u64);
    let computed = compute(kind, &files, &measuring.setup, &measuring.data, samples, &show, &|| true);
    context.bars.clear();
    let computed = computed?;
    let name = name_of(&network.network);
    let bytes = computed.to_safetensors(&name, &measuring.data.kind, &measuring.setup, half)?;
    write_whole(output, &bytes)?;
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
    let mut text = print::table(&["tensor", "shape", "mean", "largest", "zeros"], &cells);
    let preprocess = measuring.setup.preprocess.to_line();
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

/// Retrains the codebooks of a recipe and writes the compressed file.
pub fn finetune(
    context: &Context,
    network: &NetworkArguments,
    recipe: &RecipeArguments,
    tuning: &TuningArguments,
    output: &Path,
) -> Result<(), Failure> {
    let mut read = inputs(network, recipe);
    read.extend(tuning.train.iter().map(std::path::PathBuf::as_path));
    refuse_harm(&[output], &read)?;
    let recipe_file = recipe.importance_file.as_deref();
    let recipe = recipe.recipe()?;
    let mut measuring = Measuring::open(context, network, recipe_file)?;
    let held_out = !tuning.train.is_empty();
    // Without data of its own to learn from, the first half teaches and the second half examines.
    let half = measuring.samples / 2;
    let (train, range, tested) = if held_out {
        let train = read_data(&tuning.train)?;
        let all = train.samples;
        (train, 0..all, 0..measuring.samples)
    } else {
        (measuring.data.clone(), 0..half, half..measuring.samples)
    };
    let schedule =
        Schedule { epochs: tuning.epochs as usize, batch: tuning.batch as usize, rate: tuning.rate };
    let setup = measuring.setup.clone();
    let show = |done: usize, of: usize| context.bars.count("retraining", done as u64, of as u64);
    let tuned = crate::network::finetune::finetune(
        &mut measuring.bench,
        &recipe,
        Lesson { setup: &setup, data: &train, range: range.clone() },
        schedule,
        &show,
        &|| true,
    );
    context.bars.clear();
    let tuned = tuned?;
    write_whole(output, &tuned.quantized.file)?;
    let before = measuring.bench.quantize(&recipe)?;
    let on = |files: &ModelBytes| -> Result<Measures, Failure> {
        let outputs =
            measuring.setup.run(&Network::load(files)?, &measuring.data, tested.clone(), &|| true)?;
        let classes = measuring.reference.classes;
        let values = measuring.reference.values.get(tested.start * classes..tested.end * classes);
        let reference = Outputs { values: values.unwrap_or_default().to_vec(), classes };
        Ok(measure(&outputs, measuring.data.labels_of(tested.clone()), Some(&reference)))
    };
    let (then, now) = (on(&before.files)?, on(&tuned.quantized.files)?);
    let text = [
        format!("retrained on         {} samples, measured on {} others", range.len(), tested.len()),
        "before".to_owned(),
        lines(&then).join("\n"),
        "after".to_owned(),
        lines(&now).join("\n"),
        format!(
            "losses by epoch      {}",
            tuned.losses.iter().map(|l| format!("{l:.5}")).collect::<Vec<_>>().join(" ")
        ),
        format!(
            "file                 {} bytes, ratio {:.2}",
            tuned.quantized.outcome.file_bytes, tuned.quantized.outcome.float32_ratio
        ),
        format!("recipe               {}", tuned.quantized.outcome.recipe),
    ];
    let json = json!({
        "before": then, "after": now, "losses": tuned.losses, "schedule": schedule, "outcome": tuned.quantized.outcome,
    });
    context.say(&text.join("\n"), &json)
}
