//! What each command does.

use super::arguments::{Action, Arguments, CheckArguments, RecipeArguments, read_recipe};
use super::context::{Context, open_source};
use super::progress::Bars;
use super::running::{Ran, Runner};
use super::writing::{refuse_harm, replace, write_whole};
use super::{Failure, calibration, cost, decode, goal, network, numbers, precision, print, timings};
use crate::container::{Content, Granularity, Manifest};
use crate::engine::native::{Files, file_name};
use crate::engine::pipeline::Opened;
use crate::engine::report::{self, Rate, Sweep, Verification};
use crate::engine::targets::{Found, Target};
use crate::engine::{self, AskedCurve, Digest, EngineError};
use crate::formats::{Source, escaped, shown};
use crate::plot::{self, Line, MARKERS, RateDistortion, SERIES_COLOURS, Sensitivity, Series, Theme};
use crate::quantize::methods::{self, METHODS};
use crate::recipe::Recipe;
use crate::tensor::Tensor;
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let context = context_of(&arguments);
    match arguments.command {
        Action::Inspect { file } => inspect(&context, &file),
        Action::Sweep { file, recipe, methods, output, timings: true, .. } => {
            timings::timings(&context, &file, &recipe, &methods, output.as_deref())
        }
        Action::Sweep { file, recipe, methods, points, output, svg, rate, weighted, .. } => {
            let rate = Rate::from_id(&rate).unwrap_or(Rate::Entropy);
            let chart = Chart { svg, rate, weighted };
            sweep(&context, &file, &recipe, &methods, points, output.as_deref(), &chart)
        }
        Action::Sensitivity { file, recipe, output, svg, chart } => {
            sensitivity(&context, &file, &recipe, output.as_deref(), svg.as_deref(), &chart)
        }
        Action::Compress { file, output, recipe, target, competing, no_verify, check } => {
            let target = target.target()?;
            let goal = Goal { target, methods: &competing.methods, verify: !no_verify, check: &check };
            compress(&context, &file, &output, &recipe, &goal)
        }
        Action::Decode { file, output, template } => {
            decode::decode(&context, &file, &output, template.as_deref())
        }
        Action::Verify { file, source, importance_file } => {
            verify(&context, &file, source.as_deref(), importance_file.as_deref())
        }
        Action::Recipe { file, recipe } => show_recipe(&context, file.as_deref(), &recipe),
        Action::Accuracy { network, numbers: formats, outputs, .. } if formats.is_given() => {
            numbers::accuracy(&context, &network, &formats, outputs.as_deref())
        }
        Action::Accuracy { network, recipe, methods, points, goal, output, per_tensor, outputs, .. } => {
            if let Some(target) = goal.target()? {
                let wanted =
                    goal::Wanted { goal: &goal, methods: &methods, points, output: output.as_deref() };
                return goal::find(&context, &network, &recipe, (target, &wanted));
            }
            let wanted =
                network::Wanted { methods: &methods, points, per_tensor, outputs: outputs.as_deref() };
            network::accuracy(&context, &network, &recipe, &wanted)
        }
        Action::Finetune { network, recipe, tuning, output } => {
            network::finetune(&context, &network, &recipe, &tuning, &output)
        }
        Action::Importance { network, kind, output, half } => {
            network::importance(&context, &network, &kind, &output, half)
        }
        Action::Calibrate { network, output } => calibration::calibrate(&context, &network, &output),
        Action::Repair { network, recipe, repair, output } => {
            calibration::repair(&context, (&network, &recipe), &repair, &output)
        }
        Action::Precision { network, precision: wanted, output, svg } => {
            precision::search(&context, &network, &wanted, output.as_deref(), svg.as_deref())
        }
        Action::Cost(asked) => cost::cost(&context, &asked),
        Action::Methods => list_methods(&context),
    }
}

fn context_of(arguments: &Arguments) -> Context {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    Context {
        jobs: arguments.jobs.map_or_else(cores, usize::from),
        json: arguments.json,
        bars: Bars::new(arguments.quiet),
    }
}

fn list_methods(context: &Context) -> Result<(), Failure> {
    let table = methods::markdown();
    context.say(table.trim_end(), &json!(METHODS.iter().map(|m| m.id).collect::<Vec<_>>()))
}

fn inspect(context: &Context, file: &Path) -> Result<(), Failure> {
    let source = open_source(file)?;
    if engine::is_container(&source) {
        return inspect_container(context, &source);
    }
    let opened = context.open(file, None, &Recipe::default())?;
    // Of a hundred thousand tensors either is large: only the one that is wanted is made.
    if context.json {
        context.say("", &inspected_json(&opened, source.len()))
    } else {
        context.say(&inspected_text(&opened, source.len()), &serde_json::Value::Null)
    }
}

fn inspected_text(opened: &Opened<Files>, bytes: u64) -> String {
    let (rows, model) = (opened.session.rows(), opened.session.model());
    let text = format!(
        "{}\n\n{}, {} tensors, {} float parameters, {} bytes, content hash {}",
        print::tensors(&rows),
        model.format.name(),
        rows.len(),
        model.parameters(),
        bytes,
        opened.session.hash()
    );
    let beside = (!model.extras.is_empty()).then(|| {
        format!("beside the weights: {} tensors of other state, such as an optimizer's", model.extras.len())
    });
    let notes = model.notes.iter().map(|note| format!("note: {}", escaped(note))).chain(beside);
    std::iter::once(text).chain(notes).collect::<Vec<_>>().join("\n")
}

fn inspected_json(opened: &Opened<Files>, bytes: u64) -> serde_json::Value {
    let model = opened.session.model();
    let extra = |t: &Tensor| json!({"name": t.name, "shape": t.shape, "dtype": t.dtype.name()});
    json!({
        "format": model.format.name(),
        "parameters": model.parameters(),
        "bytes": bytes,
        "hash": opened.session.hash(),
        "metadata": model.metadata,
        "notes": model.notes,
        "tensors": opened.session.rows(),
        "extras": model.extras.iter().map(extra).collect::<Vec<_>>(),
    })
}

fn inspect_container(context: &Context, source: &Files) -> Result<(), Failure> {
    let reader = engine::open_container(source)?;
    let manifest = reader.manifest();
    let ledger = reader.ledger();
    let stored = |index: usize| ledger.tensors.get(index).map_or(0, |bits| bits.total_bits() / 8);
    let parameters = engine::parameters(&reader);
    let how = |content: &Content| stored_as(content, manifest);
    let cells: Vec<Vec<String>> = manifest
        .tensors
        .iter()
        .enumerate()
        .map(|(i, entry)| {
            let bits = stored(i) as f64 * 8.0 / entry.len().max(1) as f64;
            vec![
                entry.name.clone(),
                print::shape(&entry.shape),
                entry.dtype.name().to_owned(),
                how(&entry.content),
                stored(i).to_string(),
                format!("{bits:.3}"),
            ]
        })
        .collect();
    let rows: Vec<(String, u64)> =
        reader.ledger().rows().map(|(what, bits)| (what.to_owned(), bits)).to_vec();
    let mut text = format!(
        "{}\n\n{}\n\nmade from            {} ({} bytes, content hash {:032x})\nrecipe               {}",
        print::table(&["tensor", "shape", "dtype", "stored as", "bytes", "bits each"], &cells),
        print::ledger(&rows),
        shown(&manifest.source_name),
        manifest.source_bytes,
        manifest.content_hash,
        escaped(&manifest.recipe),
    );
    let ratio = parameters as f64 * 4.0 / source.len() as f64;
    if ratio >= 1.0 {
        let _ = write!(text, "\nratio                {ratio:.2} over {parameters} parameters × 32 bits");
    }
    let tensors: Vec<_> = manifest.tensors.iter().enumerate().map(|(i, entry)| {
        json!({"name": entry.name, "shape": entry.shape, "dtype": entry.dtype.name(), "stored_as": how(&entry.content), "stored_bytes": stored(i)})
    }).collect();
    let json = json!({
        "format": "qsz",
        "bytes": source.len(),
        "parameters": parameters,
        "source": {"name": manifest.source_name, "bytes": manifest.source_bytes, "hash": format!("{:032x}", manifest.content_hash)},
        "recipe": manifest.recipe,
        "ledger": rows.iter().map(|(what, bits)| json!({"part": what, "bits": bits})).collect::<Vec<_>>(),
        "metadata": manifest.metadata,
        "tensors": tensors,
    });
    context.say(&text, &json)
}

/// How a container has a tensor, in words.
fn stored_as(content: &Content, manifest: &Manifest) -> String {
    match content {
        Content::Kept | Content::View(_) => "kept".to_owned(),
        Content::Codes(..) => "kept as codes".to_owned(),
        Content::SameAs(index) => {
            format!("same as {}", manifest.tensors.get(*index).map_or("?", |entry| entry.name.as_str()))
        }
        Content::Quantized(coding) => match coding.granularity {
            Granularity::Channel => "quantized per channel".to_owned(),
            Granularity::Tensor => "quantized".to_owned(),
        },
    }
}

/// How a sweep is drawn.
struct Chart {
    svg: Option<PathBuf>,
    rate: Rate,
    weighted: bool,
}

fn sweep(
    context: &Context,
    file: &Path,
    recipe: &RecipeArguments,
    ids: &[String],
    points: u16,
    output: Option<&Path>,
    chart: &Chart,
) -> Result<(), Failure> {
    let base = recipe.recipe()?;
    let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    if ids.is_empty() {
        ids = METHODS.iter().map(|m| m.id).collect();
    }
    if let Some(unknown) = ids.iter().find(|id| AskedCurve::parse(id).is_none()) {
        return Err(Failure::Usage(methods::unknown(unknown).to_string()));
    }
    let outputs: Vec<&Path> = output.into_iter().chain(chart.svg.as_deref()).collect();
    refuse_harm(&outputs, &std::iter::once(file).chain(recipe.files()).collect::<Vec<_>>())?;
    let mut opened = context.open(file, recipe.importance_file.as_deref(), &base)?;
    let sweep = opened.session.sweep(&base, &ids, usize::from(points))?;
    for reason in &sweep.left_out {
        context.bars.say(&format!("left out: {reason}"));
    }
    if let Some(path) = &chart.svg {
        let title = file_name(file);
        let drawing = draw(&sweep, chart);
        let svg = plot::svg::rate_distortion(&drawing, &title, (900, 560), &Theme::light())?;
        write_whole(path, svg.as_bytes())?;
    }
    let text = if context.json { format!("{:#}\n", json!(sweep)) } else { report::sweep_csv(&sweep) };
    let Some(path) = output else { return context.say(text.trim_end(), &json!(sweep)) };
    write_whole(path, text.as_bytes())?;
    // What the curves come to, at the rate where most networks still work.
    let rate = |point: &report::Point| point.rate(chart.rate);
    let gaps: Vec<String> = sweep
        .curves
        .iter()
        .filter_map(|curve| report::gap_sentence(curve, 2.0, &rate, chart.weighted))
        .collect();
    if gaps.is_empty() { Ok(()) } else { context.say(&gaps.join("\n"), &json!({"gaps": gaps})) }
}

fn sensitivity(
    context: &Context,
    file: &Path,
    recipe: &RecipeArguments,
    output: Option<&Path>,
    svg: Option<&Path>,
    chart: &str,
) -> Result<(), Failure> {
    let wanted = recipe.recipe()?;
    let outputs: Vec<&Path> = output.into_iter().chain(svg).collect();
    refuse_harm(&outputs, &std::iter::once(file).chain(recipe.files()).collect::<Vec<_>>())?;
    let mut opened = context.open(file, recipe.importance_file.as_deref(), &wanted)?;
    let rows = opened.session.sensitivity(&wanted)?;
    if let Some(path) = output {
        write_whole(path, report::sensitivity_csv(&rows).as_bytes())?;
    }
    if let Some(path) = svg {
        let title = file_name(file);
        let chart = match chart {
            "slope" => Sensitivity::of_slopes(&rows),
            _ => Sensitivity::of_shares(&rows),
        };
        let height = 130 + 26 * rows.len().min(40) as u32;
        let svg = plot::svg::sensitivity(&chart, &title, (900, height), &Theme::light())?;
        write_whole(path, svg.as_bytes())?;
    }
    let text = format!("{}\n\n{}", print::sensitivity(&rows), report::sensitivity_sentence(&rows));
    context.say(&text, &json!({"tensors": rows}))
}

/// The chart of a sweep, as the page draws it.
fn draw(sweep: &Sweep, chart: &Chart) -> RateDistortion {
    let point =
        |p: &report::Point| (p.rate(chart.rate), if chart.weighted { p.weighted_sqnr_db } else { p.sqnr_db });
    let series = sweep.curves.iter().enumerate().map(|(i, curve)| Series {
        title: curve.title.clone(),
        points: curve.points.iter().map(point).collect(),
        marker: MARKERS.get(i % MARKERS.len()).copied().unwrap_or_default(),
        colour: i % SERIES_COLOURS,
        ..Series::default()
    });
    let bounds = sweep.bounds.iter().filter(|_| !chart.weighted);
    RateDistortion {
        series: series.collect(),
        bounds: bounds.map(|b| Line { title: b.title.clone(), points: b.points.clone() }).collect(),
        x_title: chart.rate.title().to_owned(),
        y_title: if chart.weighted { "importance-weighted SQNR, dB" } else { "SQNR, dB" }.to_owned(),
        ..RateDistortion::default()
    }
}

/// What compressing is to come to beside the recipe.
struct Goal<'a> {
    target: Option<Target>,
    /// Methods that compete for the target.
    methods: &'a [String],
    /// Whether to decode and compare.
    verify: bool,
    /// Whether to run the network, and on what.
    check: &'a CheckArguments,
}

/// Finds the recipe that meets a target, with a line for every trial.
fn search(
    context: &Context,
    opened: &mut Opened<Files>,
    recipe: &Recipe,
    target: Target,
    methods: &[String],
) -> Result<Found, Failure> {
    let methods = methods::find_all(methods).map_err(|error| Failure::Usage(error.to_string()))?;
    let show = |what, done, total| context.bars.show(what, done, total);
    let mut count = 0;
    let found = opened.search(recipe, target, &methods, &show, &mut |trial| {
        count += 1;
        context.bars.say(&format!("trial {count}: {trial}"));
        true
    });
    context.bars.clear();
    Ok(found?)
}

fn compress(
    context: &Context,
    file: &Path,
    output: &Path,
    recipe: &RecipeArguments,
    goal: &Goal,
) -> Result<(), Failure> {
    let mut wanted = recipe.recipe()?;
    let data = goal.check.data.iter().map(PathBuf::as_path);
    let inputs: Vec<&Path> = std::iter::once(file).chain(recipe.files()).chain(data).collect();
    refuse_harm(&[output], &inputs)?;
    let mut opened = context.open(file, recipe.importance_file.as_deref(), &wanted)?;
    let asked = wanted.clone();
    let found = match goal.target {
        Some(target) => Some((target, search(context, &mut opened, &wanted, target, goal.methods)?)),
        None => None,
    };
    if let Some((_, found)) = &found {
        wanted.clone_from(&found.recipe);
    }
    let show = |what, done, total| context.bars.show(what, done, total);
    let mut ran = None;
    let mut runner = Runner::new(context, file, opened.session.model(), goal.check)?;
    if let Some(runner) = &mut runner {
        ran = Some(runner.settle(context, &mut opened, &mut wanted)?);
    }
    let opened = std::cell::RefCell::new(opened);
    let done = std::cell::RefCell::new(None);
    let (mut verification, mut given_back) = (None, Vec::new());
    let written = replace(
        output,
        |out| {
            let (_, outcome, plan) = opened.borrow_mut().compress(&wanted, out, &show)?;
            *done.borrow_mut() = Some((outcome, plan));
            Ok(())
        },
        |partial| {
            if let (true, Some((_, plan))) = (goal.verify, &*done.borrow()) {
                let verified = opened.borrow().verify(plan, &open_source(partial)?, &show)?;
                different(Some(&verified))?;
                given_back.clone_from(&verified.gives_back);
                verification = Some(verified);
            }
            Ok(())
        },
    );
    context.bars.clear();
    written?;
    let Some((outcome, _)) = done.into_inner() else { return Ok(()) };
    let is_same = outcome.point.weights == 0 && !given_back.is_empty() && {
        given_back == engine::digests(&open_source(file)?, &file_name(file))?
    };
    let given_back = GivenBack { files: given_back, is_same };
    let said = Compressed { outcome, verification, given_back, ran, found };
    context.say(&said.text(), &said.json(&asked))
}

/// What compressing came to.
struct Compressed {
    outcome: report::Outcome,
    verification: Option<Verification>,
    given_back: GivenBack,
    ran: Option<Ran>,
    found: Option<(Target, Found)>,
}

/// The files that decoding gives back.
struct GivenBack {
    files: Vec<Digest>,
    /// Whether they are those that were compressed.
    is_same: bool,
}

impl GivenBack {
    fn lines(&self) -> Vec<String> {
        let same = if self.is_same { ", the source byte for byte" } else { "" };
        let line = |file: &Digest| {
            format!(
                "decoding gives back  {}, {} bytes, SHA-256 {}{same}",
                shown(&file.name),
                file.bytes,
                file.sha256
            )
        };
        self.files.iter().map(line).collect()
    }
}

impl Compressed {
    fn text(&self) -> String {
        let running = self.ran.as_ref().map(Ran::lines);
        let mut text = print::outcome(&self.outcome, self.verification.as_ref(), running);
        for line in self.given_back.lines() {
            let _ = write!(text, "\n{line}");
        }
        match &self.found {
            Some((_, found)) => format!("target               {}\n{text}", found.sentence),
            None => text,
        }
    }

    /// The same for programs; `asked` is the recipe before the target was met.
    fn json(&self, asked: &Recipe) -> serde_json::Value {
        let mut json = json!({
            "outcome": self.outcome,
            "verification": self.verification,
            "gives_back": self.given_back.files,
            "is_source": self.given_back.is_same,
        });
        if let Some(object) = json.as_object_mut() {
            if let Some(ran) = &self.ran {
                object.insert("check".to_owned(), ran.json());
            }
            if let Some((target, found)) = &self.found {
                object.insert("target".to_owned(), print::target(*target, asked, &found.trials));
            }
        }
        json
    }
}

fn different(verification: Option<&Verification>) -> Result<(), Failure> {
    match verification {
        Some(v) if v.mismatches > 0 => Err(Failure::Different(print::verified(v))),
        _ => Ok(()),
    }
}

fn verify(
    context: &Context,
    file: &Path,
    source: Option<&Path>,
    importance: Option<&Path>,
) -> Result<(), Failure> {
    let compressed = open_source(file)?;
    let reader = engine::open_container(&compressed)?;
    let mut tell = context.tell("checking", engine::decoded_bytes(&reader));
    let decoded_hash = engine::check_blocks(&compressed, &reader, &mut tell);
    context.bars.clear();
    let decoded_hash = decoded_hash?;
    let tensors = reader.manifest().tensors.len();
    let Some(source) = source else {
        let files = decode::digests(context, &compressed, &reader)?;
        let given_back = GivenBack { files, is_same: false };
        let mut lines = vec![
            format!("every checksum holds and every block of {tensors} tensors decodes"),
            format!("decoded hash         {decoded_hash}"),
        ];
        lines.extend(given_back.lines());
        let json = json!({"tensors": tensors, "decoded_hash": decoded_hash, "gives_back": given_back.files});
        return context.say(&lines.join("\n"), &json);
    };
    let recipe = Recipe::from_line(&reader.manifest().recipe).map_err(EngineError::from)?;
    let mut opened = context.open(source, importance, &recipe)?;
    let (expected, found) = (format!("{:032x}", reader.manifest().content_hash), opened.session.hash());
    if expected != found {
        return Err(Failure::Different(format!(
            "{}: expected content hash {expected}, the source this file was made from, found {found}",
            source.display()
        )));
    }
    let show = |what, done, total| context.bars.show(what, done, total);
    let replaced = opened.replaced(&recipe, &compressed, &reader)?;
    let plan = opened.plan(&recipe, &replaced, &show)?;
    let (bytes, _) = opened.encode(&plan, Vec::new(), &show)?;
    let verification = opened.verify(&plan, &compressed, &show)?;
    context.bars.clear();
    let mut original = vec![0; usize::try_from(compressed.len()).unwrap_or(0)];
    compressed.read_at(0, &mut original)?;
    let identical = bytes == original;
    let again = if identical { "gives this file again, byte for byte" } else { "gives a different file" };
    let text = format!("{}\nthe recipe in it {again}", print::verified(&verification));
    context.say(
        &text,
        &json!({"verification": verification, "identical": identical, "decoded_hash": decoded_hash}),
    )?;
    different(Some(&verification))?;
    if identical {
        Ok(())
    } else {
        Err(Failure::Different(format!("{}: its recipe {again}", file.display())))
    }
}

fn show_recipe(context: &Context, file: Option<&Path>, recipe: &RecipeArguments) -> Result<(), Failure> {
    let recipe = match file {
        None => recipe.recipe_alone()?,
        Some(_) if !recipe.is_empty() => {
            return Err(Failure::Usage("recipe: expected a file or flags, found both".to_owned()));
        }
        Some(path) => {
            let source = open_source(path)?;
            if engine::is_container(&source) {
                let line = engine::open_container(&source)?.manifest().recipe.clone();
                Recipe::from_line(&line).map_err(EngineError::from)?
            } else {
                read_recipe(path)?
            }
        }
    };
    let line = recipe.to_whole_line();
    context.say(&line, &json!({"quantscope": 1, "recipe": line}))
}
