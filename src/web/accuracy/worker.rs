//! A worker's side: keeps a network on the bench and answers questions about it.

use super::jobs::{Answer, Job, Networks, Size, Trials};
use super::timing;
use crate::formats::{Part, Source};
use crate::network::check::Checker;
use crate::network::counts;
use crate::network::data::{DataSet, Preprocess, Values, reordered};
use crate::network::emulate::TensorFormat;
use crate::network::evaluate::{Evaluator, Quantized, Setup};
use crate::network::finetune::{Schedule, Training, finetune};
use crate::network::importance::{Kind, Sums};
use crate::network::measure::Outputs;
use crate::network::model::ModelBytes;
use crate::network::precision::Scorer;
use crate::network::{Graph, Network};
use crate::quantize::methods;
use crate::recipe::Recipe;
use crate::web::message::sentence;
use crate::web::serve::{self, Serve};
use web_sys::DedicatedWorkerGlobalScope;

/// What a worker remembers.
#[derive(Debug, Default)]
struct State {
    bench: Option<Evaluator>,
    data: Option<DataSet>,
    setup: Option<Setup>,
    /// The network run last, by recipe and tensor, with what its file came to.
    loaded: Option<(Loaded, Network, Option<Size>)>,
    /// What a recipe gave last.
    quantized: Option<(String, Quantized)>,
    /// The network that is checked, on inputs made up for it.
    checked: Option<(Evaluator, Checker)>,
    /// What scores number formats, or why nothing can.
    scorer: Option<Result<Scorer, String>>,
}

type Loaded = (Option<String>, Option<String>);

/// Becomes a worker.
pub fn start(scope: &DedicatedWorkerGlobalScope) {
    serve::start(scope, State::default());
}

fn missing(what: &str) -> String {
    format!("{what} first (a defect of Quantscope)")
}

impl Serve<Networks> for State {
    fn told(&mut self, job: Job) {
        // What could not be taken is missed by the jobs that need it, and they say so.
        let _ = self.work(job, &|_, _| {});
    }

    fn work(&mut self, job: Job, progress: &dyn Fn(u64, u64)) -> Result<Answer, String> {
        let progress = &|done: usize, of: usize| progress(done as u64, of as u64);
        match job {
            Job::Open { network, parts, weights, name } => {
                let network = ModelBytes::new(network, parts);
                self.open(network, weights.map(|bytes| ModelBytes::new(bytes, Vec::new())), name)
            }
            Job::Importance(bytes) => {
                let importance = bytes.map(|bytes| ModelBytes::new(bytes, Vec::new()));
                self.bench()?.set_importance(importance);
                self.quantized = None;
                self.loaded = None;
                Ok(Answer::Done)
            }
            Job::Data { files, check } => self.take_data(&files, check),
            Job::Guess => self.guess(),
            Job::Preprocess(line) => {
                let preprocess = Preprocess::from_line(&line).map_err(sentence)?;
                let graph = Graph::parse(self.bench()?.network().model()).map_err(sentence)?;
                let data = self.data.as_ref().ok_or_else(|| missing("choose data"))?;
                Ok(Answer::Setup(Setup::new(&graph, data, preprocess).map_err(sentence)?))
            }
            Job::Use(setup) => {
                self.setup = Some(setup);
                Ok(Answer::Done)
            }
            Job::Pictures(count) => self.pictures(count),
            Job::Curve { recipe, method, points } => self.curve(&recipe, &method, points),
            Job::Run { recipe, only, range } => self.run(recipe, only, range.0..range.1),
            Job::Check { network, file } => self.check(network, &file),
            Job::Count { network, parts } => {
                let files = ModelBytes::new(network, parts);
                counts::of_shapes(&files).map(Answer::Counted).map_err(sentence)
            }
            Job::Time(timed) => timing::time(timed),
            Job::Walk { kind, range } => self.walk(kind, range.0..range.1, progress),
            Job::Prepare(trials) => {
                self.scorer = None;
                self.scorer = Some(self.scorer_of(&trials));
                Ok(Answer::Done)
            }
            Job::Baseline => {
                let hash = xxhash_rust::xxh3::xxh3_64(&self.bench()?.network().bytes);
                let scorer = self.scorer()?;
                let (right, of) = scorer.float();
                Ok(Answer::Baseline { right, of, has_labels: scorer.has_labels(), hash })
            }
            Job::Score { format, ask } => {
                let format = TensorFormat::parse(&format).map_err(sentence)?;
                Ok(Answer::Scored(self.scorer()?.score(format, &ask).map_err(sentence)?))
            }
            Job::Tune { recipe, schedule, teach, examine } => {
                self.tune(&recipe, schedule, teach, examine, progress)
            }
        }
    }
}

impl State {
    fn open(
        &mut self,
        network: ModelBytes,
        weights: Option<ModelBytes>,
        name: String,
    ) -> Result<Answer, String> {
        let weights = weights.unwrap_or_else(|| network.clone());
        let bench = Evaluator::new(network, Some((weights, name)), None, 1).map_err(sentence)?;
        bench.shared().map_err(sentence)?;
        Graph::parse(bench.network().model()).map_err(sentence)?;
        *self = Self { bench: Some(bench), data: self.data.take(), ..Self::default() };
        Ok(Answer::Done)
    }

    fn walk(
        &mut self,
        kind: Kind,
        range: std::ops::Range<usize>,
        progress: &dyn Fn(usize, usize),
    ) -> Result<Answer, String> {
        let files = self.bench()?.float().map_err(sentence)?;
        let (data, setup) = self.at_hand()?;
        let mut sums = Sums::new(kind, &files, setup, data).map_err(sentence)?;
        let count = range.len();
        sums.add(range, &|done| progress(done, count), &|| true).map_err(sentence)?;
        Ok(Answer::Walked { parts: sums.parts(), loss: sums.loss().to_owned() })
    }

    fn take_data(&mut self, files: &[(String, Vec<u8>)], check: bool) -> Result<Answer, String> {
        let files: Vec<(String, &dyn Source)> =
            files.iter().map(|(name, bytes)| (name.clone(), bytes as &dyn Source)).collect();
        let data = DataSet::open(&files).map_err(sentence)?;
        let (kind, samples, labels) = (data.kind.clone(), data.samples, data.labels.clone());
        if check && let Some(bench) = &self.bench {
            let files = bench.float().map_err(sentence)?;
            let graph = Graph::parse(files.model()).map_err(sentence)?;
            let network = Network::load(&files).map_err(sentence)?;
            let setup = Setup::new(&graph, &data, Preprocess::default()).map_err(sentence)?;
            let outputs = setup.run(&network, &data, 0..1, &|| true).map_err(sentence)?;
            setup.check_labels(&data, &outputs).map_err(sentence)?;
        }
        self.data = Some(data);
        self.setup = None;
        Ok(Answer::Data { kind, samples, labels })
    }

    fn check(&mut self, network: Option<(Vec<u8>, Vec<Part>)>, file: &[u8]) -> Result<Answer, String> {
        if let Some((bytes, parts)) = network {
            let bench = Evaluator::new(ModelBytes::new(bytes, parts), None, None, 1).map_err(sentence)?;
            let checker = Checker::made_up(bench.network().clone()).map_err(sentence)?;
            self.checked = Some((bench, checker));
        }
        let (bench, checker) = self.checked.as_ref().ok_or_else(|| missing("open a network"))?;
        let decoded = bench.decoded(file).map_err(sentence)?;
        let check = checker.check(&decoded).map_err(sentence)?;
        let (sentence, warning, ample) = (check.sentence(), check.warning(), check.is_ample());
        Ok(Answer::Checked { sentence, warning, ample })
    }

    fn tune(
        &mut self,
        recipe: &str,
        schedule: Schedule,
        teach: (usize, usize),
        examine: (usize, usize),
        progress: &dyn Fn(usize, usize),
    ) -> Result<Answer, String> {
        let recipe = Recipe::from_line(recipe).map_err(sentence)?;
        let (Some(bench), Some(data), Some(setup)) = (&mut self.bench, &self.data, &self.setup) else {
            return Err(missing("choose data"));
        };
        let tuned = finetune(
            bench,
            &recipe,
            &Training { setup, data, range: teach.0..teach.1 },
            schedule,
            progress,
            &|| true,
        );
        let tuned = tuned.map_err(sentence)?;
        let network = Network::load(&tuned.quantized.files).map_err(sentence)?;
        let outputs = setup.run(&network, data, examine.0..examine.1, &|| true).map_err(sentence)?;
        Ok(Answer::Tuned {
            size: size(&tuned.quantized),
            file: tuned.quantized.file,
            losses: tuned.losses,
            outputs: outputs.values,
            classes: outputs.classes,
        })
    }

    fn bench(&mut self) -> Result<&mut Evaluator, String> {
        self.bench.as_mut().ok_or_else(|| missing("open a network"))
    }

    fn scorer_of(&mut self, trials: &Trials) -> Result<Scorer, String> {
        let files = self.bench()?.float().map_err(sentence)?;
        let (data, setup) = self.at_hand()?;
        let each = trials.outputs.len() / data.samples.max(1);
        let mut values = reordered(&trials.outputs, &data.order(trials.seed));
        values.truncate(each * trials.samples);
        let reference = (Outputs { values, classes: trials.classes }, trials.samples);
        let data = data.clone().shuffled(trials.seed);
        Scorer::new(&files, setup, data, reference, trials.parts, trials.calibration).map_err(sentence)
    }

    fn scorer(&self) -> Result<&Scorer, String> {
        match &self.scorer {
            Some(Ok(scorer)) => Ok(scorer),
            Some(Err(sentence)) => Err(sentence.clone()),
            None => Err(missing("prepare trials")),
        }
    }

    fn at_hand(&self) -> Result<(&DataSet, &Setup), String> {
        let data = self.data.as_ref().ok_or_else(|| missing("choose data"))?;
        let setup = self.setup.as_ref().ok_or_else(|| missing("set preprocessing"))?;
        Ok((data, setup))
    }

    fn guess(&mut self) -> Result<Answer, String> {
        let files = self.bench()?.float().map_err(sentence)?;
        let graph = Graph::parse(files.model()).map_err(sentence)?;
        let network = Network::load(&files).map_err(sentence)?;
        let data = self.data.as_ref().ok_or_else(|| missing("choose data"))?;
        Ok(Answer::Setup(Setup::guess(&graph, &network, data).map_err(sentence)?))
    }

    fn pictures(&self, count: usize) -> Result<Answer, String> {
        let (data, setup) = self.at_hand()?;
        let none = Answer::Pictures { width: 0, height: 0, channels: 0, pixels: Vec::new() };
        let Some(binding) = setup.bindings.first() else { return Ok(none) };
        let Some(series) = data.series.get(binding.series) else { return Ok(none) };
        // As the network will see them: in planes, whatever way they lie in the file.
        let count = count.min(data.samples);
        let inputs = setup.inputs(data, 0..count).map_err(sentence)?;
        let Some(array) = inputs.get(&binding.input.name).and_then(|array| array.as_floats()) else {
            return Ok(none);
        };
        let [_, channels @ (1 | 3), height, width] = *array.shape() else { return Ok(none) };
        if !matches!(series.values, Values::U8(_) | Values::F32(_)) || height * width > 1 << 16 {
            return Ok(none);
        }
        let (low, high) =
            array.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), x| (a.min(*x), b.max(*x)));
        let scale = 255.0 / (high - low).max(1e-20);
        let pixels = array.iter().map(|x| ((x - low) * scale) as u8).collect();
        Ok(Answer::Pictures { width, height, channels, pixels })
    }

    fn curve(&mut self, line: &str, id: &str, points: usize) -> Result<Answer, String> {
        let base = Recipe::from_line(line).map_err(sentence)?.with_method(id);
        let swept = methods::find(id).map_or("k", |method| method.swept);
        let opened = self.bench()?.opened(&base).map_err(sentence)?;
        let sweep = opened.session.sweep(&base, &[id], points).map_err(sentence)?;
        let points = sweep.curves.into_iter().flat_map(|curve| curve.points);
        let recipes = points.filter_map(|point| {
            Some((base.with(swept, point.parameter.clone()?).to_line(), point.entropy_bits))
        });
        Ok(Answer::Curve(recipes.collect()))
    }

    fn run(
        &mut self,
        recipe: Option<String>,
        only: Option<String>,
        range: std::ops::Range<usize>,
    ) -> Result<Answer, String> {
        let key = (recipe, only);
        if self.loaded.as_ref().is_none_or(|(loaded, ..)| *loaded != key) {
            let (files, size) = self.files(&key)?;
            self.loaded = Some((key, Network::load(&files).map_err(sentence)?, size));
        }
        let Some((_, network, size)) = &self.loaded else { return Err(missing("load")) };
        let (data, setup) = self.at_hand()?;
        let outputs = setup.run(network, data, range, &|| true).map_err(sentence)?;
        setup.check_labels(data, &outputs).map_err(sentence)?;
        Ok(Answer::Ran { outputs: outputs.values, classes: outputs.classes, size: size.clone() })
    }

    /// The network that a recipe leaves, in all tensors or in one.
    fn files(&mut self, (recipe, only): &Loaded) -> Result<(ModelBytes, Option<Size>), String> {
        let Some(line) = recipe else { return Ok((self.bench()?.float().map_err(sentence)?, None)) };
        if self.quantized.as_ref().is_none_or(|(before, _)| before != line) {
            let recipe = Recipe::from_line(line).map_err(sentence)?;
            let quantized = self.bench()?.quantize(&recipe).map_err(sentence)?;
            self.quantized = Some((line.clone(), quantized));
        }
        let (Some((_, quantized)), Some(bench)) = (&self.quantized, &self.bench) else {
            return Err(missing("open"));
        };
        let files = match only {
            None => quantized.files.clone(),
            Some(name) => bench.decoded_only(&quantized.file, &|tensor| tensor == name).map_err(sentence)?,
        };
        Ok((files, Some(size(quantized))))
    }
}

fn size(quantized: &Quantized) -> Size {
    let outcome = &quantized.outcome;
    Size {
        recipe: outcome.recipe.clone(),
        file_bytes: outcome.file_bytes,
        ratio: outcome.float32_ratio,
        bits: outcome.file_bytes as f64 * 8.0 / outcome.parameters.max(1) as f64,
        entropy_bits: outcome.point.entropy_bits,
        predicted: quantized.predicted.clone(),
    }
}
