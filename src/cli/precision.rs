//! The search for a number format.

use super::arguments::{NetworkArguments, PrecisionArguments};
use super::context::Context;
use super::network::open;
use super::timings::Stopwatch;
use super::writing::{refuse_harm, write_whole};
use super::{Failure, print};
use crate::cost::{Arithmetic, Bill, Constants, Design, Stored, Workload};
use crate::network::NetworkError;
use crate::network::counts::{self, Counts};
use crate::network::emulate::TensorFormat;
use crate::network::measure::{Outputs, Share, percent};
use crate::network::precision::efficient::{Efficient, Model};
use crate::network::precision::mixed::{Mixed, mix};
use crate::network::precision::native::drive;
use crate::network::precision::race::share_from_text;
use crate::network::precision::{
    Ask, Candidate, Exhaustive, Fate, Part, Parts, Scorer, Search, Target, csv, space,
};
use crate::network::validation::Validation;
use crate::plot::{self, MapPoint, PrecisionMap, Theme};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Width of a map in CSS pixels.
const MAP_WIDTH: u32 = 720;

/// The word for the paper's space.
const PAPER: &str = "paper";

/// A share such as 0.99 or 99%.
fn share(flag: &str, text: &str) -> Result<f64, Failure> {
    let wrong = || Failure::Usage(format!("{flag}: expected a share such as 0.99 or 99%, found {text}"));
    share_from_text(text).ok_or_else(wrong)
}

/// What a search found.
struct Found {
    title: &'static str,
    choice: Option<usize>,
    /// Samples that were run, and that the search alone would have run.
    runs: usize,
    seconds: f64,
    json: Value,
    text: Vec<String>,
}

/// What all searches share.
struct Searching<'a> {
    context: &'a Context,
    scorer: Scorer,
    formats: Vec<TensorFormat>,
    target: Target,
    kept: f64,
    model: Model,
}

/// Searches for the cheapest format in which the network keeps its accuracy.
pub fn search(
    context: &Context,
    network: &NetworkArguments,
    wanted: &PrecisionArguments,
    output: Option<&Path>,
    svg: Option<&Path>,
) -> Result<(), Failure> {
    let files = network.data.iter().map(std::path::PathBuf::as_path).chain([network.network.as_path()]);
    let outputs: Vec<&Path> = output.into_iter().chain(svg).collect();
    refuse_harm(&outputs, &files.chain(network.weights.as_deref()).collect::<Vec<_>>())?;
    let (kept, confidence) = (share("keep", &wanted.keep)?, share("confidence", &wanted.confidence)?);
    let family = if wanted.family == PAPER { space::PAPER } else { &wanted.family };
    let formats = space::formats(family)?;
    let parts = parts(wanted)?;
    parts.check(&formats)?;
    let validation = open(context, network, None)?;
    let counts = counts::of_data(&validation.evaluator.float()?, &validation.setup, &validation.data)?;
    let energy = |format: &TensorFormat| energy(format, &counts.workload);
    let cost: &dyn Fn(&TensorFormat) -> f64 =
        if wanted.cost == "energy" { &energy } else { &TensorFormat::bits };
    let (formats, mut candidates): (Vec<TensorFormat>, Vec<Candidate>) =
        Candidate::ranked(&formats, cost).into_iter().unzip();
    let model = Model::for_network(xxhash_rust::xxh3::xxh3_64(&validation.evaluator.network().bytes));
    let scorer = scorer(context, &validation, parts, &formats, wanted)?;
    let (right, of) = scorer.float();
    let target = Target::new(right, of, scorer.samples(), kept, confidence)?;
    let layers = if wanted.mixed { multiply_adds(&counts) } else { BTreeMap::new() };
    let searching = Searching { context, scorer, formats, target, kept, model };
    let mut found = Vec::new();
    if wanted.search != "efficient" {
        found.push(searching.exhaustive(&mut candidates, wanted.full)?);
    }
    if wanted.search != "exhaustive" {
        found.push(searching.efficient(&mut candidates)?);
    }
    let choice = found.iter().find_map(|found| found.choice);
    let mixed = choice.filter(|_| wanted.mixed).map(|choice| searching.mix(&candidates, choice, &layers));
    let mixed = mixed.transpose()?;
    context.bars.clear();
    if let Some(path) = output {
        write_whole(path, csv(&candidates).as_bytes())?;
    }
    if let Some(path) = svg {
        let name = network.network.file_name().unwrap_or_default().to_string_lossy();
        let title = format!("{name} in number formats");
        let map = searching.map(&wanted.keep, &candidates, &found);
        write_whole(path, plot::svg::precision_map(&map, &title, MAP_WIDTH, &Theme::light())?.as_bytes())?;
    }
    searching.say(wanted, &candidates, &found, mixed.as_ref())
}

/// The energy of an inference in a format by the hardware model, in pJ: everything, at its constants' defaults.
fn energy(format: &TensorFormat, workload: &Workload) -> f64 {
    let uniform = Design::uniform(&format.to_string(), Arithmetic::of(&format.element()));
    let design = Design { stored: Stored { bits: format.bits(), ..uniform.stored }, ..uniform };
    Bill::of(workload, &design, &Constants::default()).map_or(f64::INFINITY, |bill| bill.energy.total())
}

/// Multiply-adds by weights, by the names of their nodes.
fn multiply_adds(counts: &Counts) -> BTreeMap<String, u64> {
    let layers = counts.workload.layers.iter().filter(|layer| layer.has_weights());
    layers.map(|layer| (layer.name.clone(), layer.multiply_adds)).collect()
}

fn parts(wanted: &PrecisionArguments) -> Result<Parts, Failure> {
    let part = |flag: &str, text: &str| {
        Part::parse(text).map_err(|error| Failure::Usage(format!("{flag}: {error}")))
    };
    Ok(Parts {
        weights: part("weights-as", &wanted.weights_as)?,
        activations: part("activations-as", &wanted.activations_as)?,
        accumulator: part("accumulator-as", &wanted.accumulator_as)?,
    })
}

/// The samples in their shuffled order with the answers of float32.
fn scorer(
    context: &Context,
    validation: &Validation,
    parts: Parts,
    formats: &[TensorFormat],
    wanted: &PrecisionArguments,
) -> Result<Scorer, Failure> {
    let calibration = if parts.needs_calibration(formats) { wanted.calibration as usize } else { 0 };
    let all = validation.data.samples;
    let samples = validation.samples.min(all.saturating_sub(calibration));
    if samples == 0 {
        let expected = format!("more than the {calibration} samples that tell ranges");
        return Err(NetworkError::data("the data", expected, all.to_string()).into());
    }
    let files = validation.evaluator.float()?;
    let network = crate::network::Network::load(&files)?;
    let data = validation.data.clone().shuffled(wanted.seed);
    let show = context.count();
    let mut reference = Outputs::default();
    let step = 10 * validation.setup.batch.max(1);
    for start in (0..samples).step_by(step) {
        let end = (start + step).min(samples);
        let outputs = validation.setup.run(&network, &data, start..end, &|| true)?;
        reference.classes = outputs.classes;
        reference.values.extend(outputs.values);
        show("running float32", end as u64, samples as u64);
    }
    Ok(Scorer::new(&files, &validation.setup, data, (reference, samples), parts, calibration)?)
}

impl Searching<'_> {
    /// Drives a search; samples that were run, seconds.
    fn drive(&self, search: &mut dyn Search, candidates: &mut [Candidate]) -> Result<(usize, f64), Failure> {
        let began = Stopwatch::start();
        let show = self.context.count();
        let hear = |candidates: &[Candidate]| {
            let open = candidates.iter().filter(|candidate| candidate.fate == Fate::Racing).count();
            show("formats decided", (candidates.len() - open) as u64, candidates.len() as u64);
        };
        let runs = drive(search, candidates, &self.formats, (&self.scorer, self.context.jobs), &hear)?;
        Ok((runs, began.seconds()))
    }

    fn exhaustive(&self, candidates: &mut [Candidate], is_full: bool) -> Result<Found, Failure> {
        let (runs, seconds) = self.drive(&mut Exhaustive::new(self.target, is_full), candidates)?;
        let choice = Exhaustive::choice(candidates);
        let count = |fate: Fate| candidates.iter().filter(|candidate| candidate.fate == fate).count();
        let text = vec![format!(
            "                     {} dropped early, {} missed, {} held, {} dearer than the choice left where they were",
            count(Fate::Dropped),
            count(Fate::Misses),
            count(Fate::Holds),
            count(Fate::Racing)
        )];
        let title = if is_full { "exhaustive, in full" } else { "exhaustive" };
        Ok(Found { title, choice, runs, seconds, json: Value::Null, text })
    }

    fn efficient(&self, candidates: &mut [Candidate]) -> Result<Found, Failure> {
        let model = self.model;
        let mut search = Efficient::new(self.target, self.kept, model, self.formats.clone());
        let (_, seconds) = self.drive(&mut search, candidates)?;
        let foretold = search.foretold(candidates);
        let predicted = |at: usize| candidates.get(at).map(|candidate| model.predict(candidate.heard.r2));
        let name =
            |at: &usize| candidates.get(*at).map_or_else(String::new, |candidate| candidate.name.clone());
        let steps: Vec<String> = search.measured.iter().map(name).collect();
        let mut text = Vec::new();
        if let Some((at, share)) = foretold.and_then(|at| Some((at, predicted(at)?))) {
            let float = self.target_share();
            let measured = candidates.get(at).map_or(0.0, |candidate| candidate.share().value()) / float;
            text.push(format!(
                "                     foretold {}: {:.2} % of float32's accuracy, measured {:.2} %; measured in turn: {}",
                name(&at),
                100.0 * share,
                100.0 * measured,
                steps.join(", ")
            ));
        }
        let json = json!({"model": model, "foretold": foretold.map(|at| name(&at)), "measured": steps});
        let (choice, runs) = (search.choice(), search.runs());
        Ok(Found { title: "efficient", choice, runs, seconds, json, text })
    }

    /// Gives layers formats of their own.
    fn mix(
        &self,
        candidates: &[Candidate],
        choice: usize,
        multiply_adds: &BTreeMap<String, u64>,
    ) -> Result<(Mixed, f64), Failure> {
        let began = Stopwatch::start();
        let layers = self.scorer.weighed(multiply_adds);
        let run = |top: TensorFormat, own: &BTreeMap<String, TensorFormat>, ask: &Ask| {
            self.scorer.score_layers(top, own, ask, self.context.jobs)
        };
        let show = self.context.count();
        let most = layers.len() as u64 * choice as u64;
        let hear = |tried: u64| show("steps tried", tried.min(most), most);
        let mixed = mix((candidates, &self.formats, choice), layers, &self.target, &run, &hear)?;
        Ok((mixed, began.seconds()))
    }

    /// The share that float32 answers rightly.
    fn target_share(&self) -> f64 {
        let (right, of) = self.scorer.float();
        right as f64 / of.max(1) as f64
    }

    /// The formats as a map.
    fn map(&self, keep: &str, candidates: &[Candidate], found: &[Found]) -> PrecisionMap {
        let float = self.target_share();
        let point = |(format, candidate): (&TensorFormat, &Candidate)| MapPoint {
            family: space::family(format),
            axes: space::axes(format),
            place: space::place(format),
            is_listed: space::is_listed(format),
            share: candidate.kept(float),
            is_partial: candidate.seen < self.target.samples,
            reaches: self.target.is_in_reach(candidate),
        };
        let choice = |found: &Found| {
            let at = found.choice?;
            Some((format!("{}: {}", found.title, candidates.get(at)?.name), at))
        };
        PrecisionMap {
            points: self.formats.iter().zip(candidates).map(point).collect(),
            choices: found.iter().filter_map(choice).collect(),
            chosen: None,
            target: keep.to_owned(),
        }
    }

    fn say(
        &self,
        wanted: &PrecisionArguments,
        candidates: &[Candidate],
        found: &[Found],
        mixed: Option<&(Mixed, f64)>,
    ) -> Result<(), Failure> {
        let (right, of) = self.scorer.float();
        let measure = if self.scorer.has_labels() {
            "classified correctly"
        } else {
            "with float32's class (there are no labels)"
        };
        let mut text = vec![
            format!("formats              {} of {}", candidates.len(), wanted.family),
            format!(
                "rounded              weights: {}, activations: {}, products and sums: {}",
                wanted.weights_as, wanted.activations_as, wanted.accumulator_as
            ),
            format!("float32              {right} of {of} {measure}"),
            format!(
                "target               {} of {of}, {} of float32's; confidence {}",
                self.target.right, wanted.keep, wanted.confidence
            ),
        ];
        for found in found {
            text.push(found.line(candidates, self.target.samples * candidates.len()));
            text.extend(found.text.iter().cloned());
        }
        text.extend(mixed.map(mixed_text));
        let seen = candidates.iter().filter(|c| matches!(c.fate, Fate::Holds | Fate::Misses));
        let cells: Vec<Vec<String>> = seen.map(cells).collect();
        text.push(format!(
            "\nformats that ran all samples, the cheapest first\n{}",
            print::table(&HEADER, &cells)
        ));
        let searches: Vec<Value> = found.iter().map(|found| found.json(candidates)).collect();
        let json = json!({
            "family": wanted.family,
            "formats": candidates,
            "float": {"right": right, "of": of},
            "target": self.target,
            "searches": searches,
            "mixed": mixed.map(mixed_json),
        });
        self.context.say(&text.join("\n"), &json)
    }
}

/// Formats by layer beside one for all.
fn mixed_text((mixed, seconds): &(Mixed, f64)) -> String {
    let share = Share::new(mixed.heard.right, mixed.heard.of);
    let uniform = mixed.ladder.last().map_or(0.0, TensorFormat::bits);
    let rows = mixed.layers.iter().map(|(layer, rung)| {
        let format = mixed.ladder.get(*rung).map(ToString::to_string).unwrap_or_default();
        vec![layer.name.clone(), layer.multiply_adds.to_string(), format]
    });
    let table = print::table(&["layer", "multiply-adds", "format"], &rows.collect::<Vec<_>>());
    format!(
        "by layer             {:.2} bits in the mean of multiply-adds in place of {uniform}, {} %; units of the widest layer idle \
         by {:.1} %; {} runs of a sample, {seconds:.1} s\n\n{table}",
        mixed.mean_bits(),
        percent(&share),
        100.0 * mixed.idle(),
        mixed.runs
    )
}

fn mixed_json((mixed, seconds): &(Mixed, f64)) -> Value {
    let formats: BTreeMap<String, String> =
        mixed.formats().into_iter().map(|(layer, format)| (layer, format.to_string())).collect();
    json!({
        "formats": formats,
        "mean_bits": mixed.mean_bits(),
        "idle": mixed.idle(),
        "right": mixed.heard.right,
        "of": mixed.heard.of,
        "runs": mixed.runs,
        "seconds": seconds,
    })
}

impl Found {
    fn line(&self, candidates: &[Candidate], all: usize) -> String {
        let chosen = self.choice.and_then(|at| candidates.get(at));
        let choice = chosen.map_or_else(
            || "no format of these reaches the target".to_owned(),
            |candidate| {
                format!("{}, {} bits, {} %", candidate.name, candidate.bits, percent(&candidate.share()))
            },
        );
        format!(
            "{:<20} {choice}; {} runs of a sample, {:.1} % of all, {:.1} s",
            self.title,
            self.runs,
            100.0 * self.runs as f64 / all.max(1) as f64,
            self.seconds
        )
    }

    fn json(&self, candidates: &[Candidate]) -> Value {
        let choice = self.choice.and_then(|at| candidates.get(at)).map(|candidate| &candidate.name);
        json!({
            "search": self.title,
            "choice": choice,
            "runs": self.runs,
            "seconds": self.seconds,
            "more": self.json,
        })
    }
}

const HEADER: [&str; 8] =
    ["format", "bits", "right %", "of", "R²", "saturated %", "to zero %", "reaches the target"];

fn cells(candidate: &Candidate) -> Vec<String> {
    let heard = &candidate.heard;
    let of_all = |count: u64| format!("{:.3}", 100.0 * count as f64 / heard.rounded.max(1) as f64);
    vec![
        candidate.name.clone(),
        candidate.bits.to_string(),
        percent(&candidate.share()),
        heard.of.to_string(),
        format!("{:.6}", heard.r2),
        of_all(heard.saturated),
        of_all(heard.underflowed),
        if candidate.fate == Fate::Holds { "yes" } else { "no" }.to_owned(),
    ]
}
