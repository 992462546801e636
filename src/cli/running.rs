//! Does an ONNX network still run? Its decoded weights are put into it, and it is run beside the float network.
//!
//! Where the recipe leaves the step open and the answers have changed too much, finer steps are tried, as long as the file stays
//! worth having; on given data, finer for the tensors whose error the answers feel.

use super::Failure;
use super::arguments::CheckArguments;
use super::context::Context;
use crate::engine::native::{Files, open_files};
use crate::engine::pipeline::Opened;
use crate::engine::settle::{Felt, MOST_BYTES, Run, Settling};
use crate::engine::{Replaced, Session};
use crate::model::{FileFormat, Model};
use crate::network::allot::allot;
use crate::network::check::{Check, Checker};
use crate::network::data::DataSet;
use crate::network::evaluate::{Evaluator, Setup};
use crate::network::model::ModelBytes;
use crate::network::{Graph, Network, NetworkError};
use crate::recipe::Recipe;
use serde_json::json;
use std::path::Path;

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
                lines.extend(check.warning().map(|warning| format!("WARNING: {warning}")));
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
    evaluator: Option<Evaluator>,
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
            return Ok(Some(Self { evaluator: None, checker: Err(Ran::Offered(bytes)) }));
        }
        let data = if wanted.data.is_empty() { None } else { Some(DataSet::read(&wanted.data)?) };
        let prepare = || -> Result<(Evaluator, Checker), NetworkError> {
            let evaluator = Evaluator::new(ModelBytes::read(&files)?, None, None, context.jobs)?;
            let network = evaluator.network().clone();
            let Some(data) = data else { return Ok((evaluator, Checker::made_up(network)?)) };
            let graph = Graph::parse(network.model())?;
            let setup = Setup::guess(&graph, &Network::load(&network)?, &data)?;
            let samples = data.samples.min(SAMPLES);
            let inputs = (0..samples).map(|i| setup.inputs(&data, i..i + 1)).collect::<Result<_, _>>()?;
            Ok((evaluator, Checker::given(network, inputs)?))
        };
        Ok(Some(match prepare() {
            Ok((evaluator, checker)) => Self { evaluator: Some(evaluator), checker: Ok(checker) },
            Err(error) => Self { evaluator: None, checker: Err(Ran::Could(error.to_string())) },
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
        let (evaluator, checker) = match (&self.evaluator, &mut self.checker) {
            (Some(evaluator), Ok(checker)) => (evaluator, checker),
            (_, Err(reason)) => return Ok(std::mem::replace(reason, Ran::Could(String::new()))),
            (None, Ok(_)) => return Ok(Ran::Could(String::new())),
        };
        let mut settling = Settling::new(Session::leaves_step_open(recipe));
        let mut candidate = opened.session.complete(recipe)?.into_recipe();
        let mut last = None;
        loop {
            let show = |what, done, total| context.bars.show(what, done, total);
            let plan = match (opened.plan(&candidate, &Replaced::default(), &show), last.take()) {
                (Ok(plan), _) => plan,
                // A step too fine for the weights' range: the one before it stays.
                (Err(_), Some(check)) => return Ok(Ran::Checked(check)),
                (Err(error), None) => return Err(error.into()),
            };
            let (file, outcome) = opened.encode(&plan, Vec::new(), &show)?;
            context.bars.clear();
            let checked = evaluator.decoded(&file).and_then(|files| checker.check(&files));
            recipe.clone_from(&candidate);
            let check = match checked {
                Ok(check) => check,
                Err(error) => return Ok(Ran::Could(error.to_string())),
            };
            let is_ample = check.is_ample();
            let felt = if check.made_up {
                None
            } else {
                let is_asked = settling.asks_whose() && !is_ample;
                // Where it cannot be found out, steps stay as they are.
                let finer =
                    if is_asked { allot(evaluator, checker, &file).unwrap_or_default() } else { Vec::new() };
                Some(Felt { output_sqnr_db: check.output_sqnr_db, finer })
            };
            let run = Run { recipe: &candidate, outcome: &outcome, is_ample, felt };
            match settling.next(&run) {
                Some(next) => (candidate, last) = (next, Some(check)),
                None => return Ok(Ran::Checked(check)),
            }
        }
    }
}
