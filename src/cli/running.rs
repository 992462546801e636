//! Does an ONNX network still run? Its decoded weights are put into it, and it is run beside the float network.
//!
//! Where the recipe leaves the step open and the answers have changed too much, finer steps are tried, as long as the file stays
//! worth having.

use super::Failure;
use super::arguments::CheckArguments;
use super::commands::Context;
use super::network::read_data;
use crate::engine::Session;
use crate::engine::native::{Files, open_files};
use crate::engine::pipeline::Opened;
use crate::engine::report::Outcome;
use crate::model::{FileFormat, Model};
use crate::network::check::{Check, Checker};
use crate::network::evaluate::{Bench, Setup};
use crate::network::model::ModelBytes;
use crate::network::{Graph, Network, NetworkError};
use crate::quantize::Value;
use crate::recipe::Recipe;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// Networks of more bytes are not run unless asked for.
const MOST_BYTES: u64 = 100_000_000;
/// No further set of inputs is run after this.
const ENOUGH: Duration = Duration::from_secs(2);
/// So many times smaller than the source, or than 32-bit floats, the file is to stay while finer steps are tried.
const LEAST_RATIO: f64 = 5.05;
/// Finer by less, in bits per weight, a step is not worth trying.
const LEAST_BITS: f64 = 0.06;
/// Steps tried at most.
const MOST_TRIALS: usize = 6;
/// Samples of given data that are run.
const SAMPLES: usize = 32;

/// What running came to.
#[derive(Debug)]
pub enum Ran {
    /// It ran.
    Checked(Check),
    /// It could not be run here, for this reason.
    Could(String),
    /// It is too large to be run unasked.
    Offered(u64),
}

impl Ran {
    /// What is told, line by line.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Checked(check) => {
                let mut lines = vec![format!("the network runs     {}", check.sentence())];
                if check.is_alarming() {
                    let first = check.first_bad.as_ref();
                    let first = first.map(|bad| format!("; first {bad}")).unwrap_or_default();
                    let what = if check.finite { "answers differently" } else { "is broken" };
                    lines.push(format!("WARNING: with these weights the network {what}{first}"));
                }
                lines
            }
            Self::Could(reason) => {
                vec![format!("the network          could not be run to check it: {reason}")]
            }
            Self::Offered(bytes) => {
                vec![format!("the network          was not run, since it has {bytes} bytes; --check runs it")]
            }
        }
    }

    /// The same for programs.
    pub fn json(&self) -> serde_json::Value {
        match self {
            Self::Checked(check) => json!({"ran": true, "good": check.is_good(), "result": check}),
            Self::Could(reason) => json!({"ran": false, "reason": reason}),
            Self::Offered(bytes) => json!({"ran": false, "reason": format!("it has {bytes} bytes")}),
        }
    }
}

/// A network that is ready to be run with other weights, or the reason why it is not.
pub struct Runner {
    bench: Option<Bench>,
    checker: Result<Checker, Ran>,
}

impl Runner {
    /// A runner for an ONNX file, where a check is wanted.
    pub fn new(
        context: &Context,
        file: &Path,
        model: &Model,
        wanted: &CheckArguments,
    ) -> Result<Option<Self>, Failure> {
        if wanted.no_check || model.format != FileFormat::Onnx {
            return Ok(None);
        }
        let files = open_files(file)?;
        let bytes = crate::formats::Source::len(&files);
        if bytes > MOST_BYTES && !wanted.check && wanted.data.is_empty() {
            return Ok(Some(Self { bench: None, checker: Err(Ran::Offered(bytes)) }));
        }
        let data = if wanted.data.is_empty() { None } else { Some(read_data(&wanted.data)?) };
        let prepare = || -> Result<(Bench, Checker), NetworkError> {
            let network = ModelBytes::read(&files)?;
            let bench = Bench::new(network.clone(), None, None, context.jobs)?;
            let Some(data) = data else {
                // Time decides how many inputs are run, and nothing else.
                #[allow(clippy::disallowed_methods)]
                let start = Instant::now();
                return Ok((bench, Checker::made_up(network, &|| start.elapsed() < ENOUGH)?));
            };
            let graph = Graph::parse(network.model())?;
            let setup = Setup::guess(&graph, &Network::load(&network)?, &data)?;
            let samples = data.samples.min(SAMPLES);
            let inputs = (0..samples).map(|i| setup.inputs(&data, i..i + 1)).collect::<Result<_, _>>()?;
            Ok((bench, Checker::given(network, inputs)?))
        };
        Ok(Some(match prepare() {
            Ok((bench, checker)) => Self { bench: Some(bench), checker: Ok(checker) },
            Err(error) => Self { bench: None, checker: Err(Ran::Could(error.to_string())) },
        }))
    }

    /// Runs the network with the weights that the recipe leaves it. Where the recipe leaves the step open, finer ones are tried
    /// until the network does what it did; the recipe is changed to the one that was settled on.
    pub fn settle(
        &mut self,
        context: &Context,
        opened: &mut Opened<Files>,
        recipe: &mut Recipe,
    ) -> Result<Ran, Failure> {
        let (bench, checker) = match (&self.bench, &mut self.checker) {
            (Some(bench), Ok(checker)) => (bench, checker),
            (_, Err(reason)) => return Ok(std::mem::replace(reason, Ran::Could(String::new()))),
            (None, Ok(_)) => return Ok(Ran::Could(String::new())),
        };
        let is_open = Session::leaves_step_open(recipe);
        let mut candidate = opened.session.complete(recipe)?;
        let mut last = None;
        for _ in 0..MOST_TRIALS {
            let show = |what, done, total| context.bars.show(what, done, total);
            let plan = match (opened.plan(&candidate, None, &show), last.take()) {
                (Ok(plan), _) => plan,
                // A step too fine for the weights' range: the one before it stays.
                (Err(_), Some(check)) => return Ok(Ran::Checked(check)),
                (Err(error), None) => return Err(error.into()),
            };
            let (file, outcome) = opened.encode(&plan, Vec::new(), &show)?;
            context.bars.clear();
            let checked = bench.decoded(&file).and_then(|files| checker.check(&files));
            recipe.clone_from(&candidate);
            let check = match checked {
                Ok(check) => check,
                Err(error) => return Ok(Ran::Could(error.to_string())),
            };
            let finer = is_open.then(|| finer(&candidate, &outcome)).flatten();
            match finer.filter(|_| !check.is_ample()) {
                Some(finer) => (candidate, last) = (finer, Some(check)),
                None => return Ok(Ran::Checked(check)),
            }
        }
        Ok(last.map_or_else(|| Ran::Could("no step was settled on".to_owned()), Ran::Checked))
    }
}

/// The recipe with a step that is finer by what the file may still grow, at most a bit for each weight; `None` where it may not.
fn finer(recipe: &Recipe, outcome: &Outcome) -> Option<Recipe> {
    let step = match recipe.settings.get("step")? {
        Value::Number(step) => *step,
        Value::Integer(step) => *step as f64,
        Value::Choice(_) => return None,
    };
    let whole = outcome.float32_bytes.max(outcome.source_bytes);
    let room = whole as f64 / LEAST_RATIO - outcome.file_bytes as f64;
    let bits = (room * 8.0 / outcome.point.weights.max(1) as f64).min(1.0);
    if bits < LEAST_BITS {
        return None;
    }
    let step = format!("{:.2e}", step * libm::exp2(-bits)).parse().ok()?;
    let finer = recipe.with("step", Value::Number(step));
    finer.check().is_ok().then_some(finer)
}
