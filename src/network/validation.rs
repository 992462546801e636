//! Validation of recipes on data: what a recipe's weights do to a network's outputs.
//!
//! Every figure is that of a whole file, made, decoded and run ([`evaluate`](super::evaluate)), on all samples that were asked
//! for. Cost: one compression and one run over the samples per recipe.

use super::check::Checker;
use super::data::{DataSet, Preprocess};
use super::evaluate::{Evaluator, Quantized, Setup};
use super::measure::{Measures, Outputs, measure};
use super::model::ModelBytes;
use super::{Graph, Network, NetworkError};
use crate::engine::native::{file_name, open_files};
use crate::engine::report::Point;
use crate::quantize::methods;
use crate::recipe::Recipe;
use std::path::{Path, PathBuf};

/// Samples on which every value inside the network is looked at.
const CHECKED_SAMPLES: usize = 4;

/// Samples per call of [`Progress`], in batches.
const BATCHES: usize = 10;

/// Hears of progress: what is being done, samples done, samples in all.
pub type Progress<'a> = &'a dyn Fn(&'static str, u64, u64);

/// The files of a validation.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    /// The network, as ONNX.
    pub network: PathBuf,
    /// Weights in place of the network's own, by name.
    pub weights: Option<PathBuf>,
    /// Importance under the weights' names.
    pub importance: Option<PathBuf>,
    /// The data set.
    pub data: Vec<PathBuf>,
}

/// A network with data and the outputs of its float weights.
#[derive(Debug)]
pub struct Validation {
    /// What makes a recipe's weights.
    pub evaluator: Evaluator,
    /// The data set.
    pub data: DataSet,
    /// How the network is run on it.
    pub setup: Setup,
    /// Looks for numbers that are not finite inside the network, where the runtime passes over them.
    checker: Checker,
    /// Outputs of the float weights.
    pub reference: Outputs,
    /// Samples that are used, from the first.
    pub samples: usize,
}

impl Validation {
    /// Opens everything and runs the float weights on the first `samples` samples, or on all. Preprocessing is guessed from
    /// the first labelled samples where no line says it.
    pub fn open(
        paths: &Paths,
        preprocess: Option<&str>,
        samples: Option<usize>,
        jobs: usize,
        progress: Progress,
    ) -> Result<Self, NetworkError> {
        let read = |path: &Path| ModelBytes::read(&open_files(path)?);
        let network = read(&paths.network)?;
        let weights = match &paths.weights {
            Some(path) => (read(path)?, file_name(path)),
            None => (network.clone(), file_name(&paths.network)),
        };
        let importance = paths.importance.as_deref().map(read).transpose()?;
        let evaluator = Evaluator::new(network, Some(weights), importance, jobs)?;
        evaluator.shared()?;
        let data = DataSet::read(&paths.data)?;
        let samples = samples.map_or(data.samples, |n| n.min(data.samples));
        let float = evaluator.float()?;
        let graph = Graph::parse(float.model())?;
        let network = Network::load(&float)?;
        let setup = match preprocess {
            Some(line) => Setup::new(&graph, &data, Preprocess::from_line(line)?)?,
            None => Setup::guess(&graph, &network, &data)?,
        };
        let few = samples.min(CHECKED_SAMPLES);
        let inputs = (0..few).map(|i| setup.inputs(&data, i..i + 1)).collect::<Result<_, _>>()?;
        let checker = Checker::given(float, inputs)?;
        let mut this = Self { evaluator, data, setup, checker, reference: Outputs::default(), samples };
        this.reference = this.run(&network, "running the float weights", progress)?;
        this.setup.check_labels(&this.data, &this.reference)?;
        Ok(this)
    }

    /// Runs a network on all samples.
    fn run(
        &self,
        network: &Network,
        what: &'static str,
        progress: Progress,
    ) -> Result<Outputs, NetworkError> {
        let mut all = Outputs::default();
        let chunk = BATCHES * self.setup.batch.max(1);
        for start in (0..self.samples).step_by(chunk) {
            let end = (start + chunk).min(self.samples);
            let outputs = self.setup.run(network, &self.data, start..end, &|| true)?;
            all.classes = outputs.classes;
            all.values.extend(outputs.values);
            progress(what, end as u64, self.samples as u64);
        }
        Ok(all)
    }

    /// Outputs of the network with other weights: finite numbers, inside it too.
    pub fn outputs(&self, files: &ModelBytes, progress: Progress) -> Result<Outputs, NetworkError> {
        let check = self.checker.check(files)?;
        if !check.finite {
            let at = check.first_bad.map_or_else(String::new, |bad| format!(": {bad}"));
            let part = "the network's outputs with these weights";
            return Err(NetworkError::data(part, "finite numbers", format!("NaN or infinity{at}")));
        }
        self.run(&Network::load(files)?, "running the quantized weights", progress)
    }

    /// Measures outputs against labels and the float weights' outputs.
    pub fn compare(&self, outputs: &Outputs) -> Measures {
        measure(outputs, self.data.labels_of(0..self.samples), Some(&self.reference))
    }

    /// Measures of the float weights.
    pub fn float_measures(&self) -> Measures {
        measure(&self.reference, self.data.labels_of(0..self.samples), None)
    }

    /// Measures the network with other weights against labels and the float weights.
    pub fn measure(&self, files: &ModelBytes, progress: Progress) -> Result<Measures, NetworkError> {
        Ok(self.compare(&self.outputs(files, progress)?))
    }

    /// Carries out a recipe and measures it.
    pub fn point(
        &mut self,
        recipe: &Recipe,
        progress: Progress,
    ) -> Result<(Quantized, Measures), NetworkError> {
        let quantized = self.evaluator.quantize(recipe)?;
        let measures = self.measure(&quantized.files, progress)?;
        Ok((quantized, measures))
    }

    /// The recipes of a method's curve: its points with their parameter.
    pub fn curve(
        &mut self,
        base: &Recipe,
        id: &str,
        points: usize,
    ) -> Result<Vec<(Recipe, Point)>, NetworkError> {
        let base = base.with_method(id);
        let swept = methods::find(id).map_or("k", |method| method.swept);
        let sweep = self.evaluator.opened(&base)?.session.sweep(&base, &[id], points)?;
        let points = sweep.curves.into_iter().flat_map(|curve| curve.points);
        Ok(points.filter_map(|point| Some((base.with(swept, point.parameter.clone()?), point))).collect())
    }
}
