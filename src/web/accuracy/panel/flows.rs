//! What the buttons start: jobs for the workers, one after the other, each stopped when something newer takes over.

use super::super::jobs::{Answer, Job, Size};
use super::state::{Chosen, Data, Origin, Run, best, measured, spread};
use super::{Panel, paint, percent};
use crate::formats::{Part, is_named_onnx};
use crate::network::finetune::Schedule;
use crate::network::importance::{Computed, Kind};
use crate::network::measure::{Measures, Outputs, measure};
use crate::number;
use crate::quantize::methods::{self, METHODS};
use crate::quantize::{Needs, Value};
use crate::recipe::Recipe;
use crate::web::blobs::blob_from_bytes;
use crate::web::dom::{append, clear, make, set, set_text, show};
use crate::web::oneshot::Receiver;
use crate::web::pool::{Failure, Outcome, unexpected};
use js_sys::Array;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{
    Blob, Element, File, HtmlCanvasElement, HtmlElement, HtmlInputElement, HtmlProgressElement,
    HtmlSelectElement,
};

/// Samples of the first, coarse round.
const COARSE: usize = 256;
/// Fewer samples than this are not worth a second worker.
const FEW: usize = 400;
/// Points of a curve.
const POINTS: usize = 8;
/// Times that points are added where a curve falls, and how much of the answers must change for that.
const REFINEMENTS: u32 = 2;
const FALL: f64 = 0.08;
/// Samples that teach at most, so that retraining takes seconds.
const MOST_TAUGHT: usize = 2000;

/// A point that is wanted: its method and recipe.
type Wanted = (String, String);

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(n) => Some(*n as f64),
        Value::Number(x) => Some(*x),
        Value::Choice(_) => None,
    }
}

/// A network of several files as one: the model first, the others behind it, and where each lies.
fn joined(mut files: Vec<(String, Vec<u8>)>) -> (String, Vec<u8>, Vec<Part>) {
    files.sort_by_key(|(name, _)| !is_named_onnx(name));
    let parts = if files.len() > 1 {
        Part::list(files.iter().map(|(name, bytes)| (name.clone(), bytes.len() as u64)))
    } else {
        Vec::new()
    };
    let name = files.first().map_or_else(String::new, |(name, _)| name.clone());
    (name, files.into_iter().flat_map(|(_, bytes)| bytes).collect(), parts)
}

fn method_of(line: &str) -> String {
    Recipe::from_line(line).map(|recipe| recipe.method).unwrap_or_default()
}

impl Panel {
    pub(super) async fn load_data(self: &Rc<Self>, read: Vec<(String, Vec<u8>)>) -> Outcome<()> {
        // Data that do not fit what is open are refused before anything is given up for them.
        let check = {
            let state = self.state.borrow();
            state.benched && state.awaited.is_none()
        };
        let Answer::Data { kind, samples, labels } =
            self.answer(self.pool.run(Job::Data { files: read.clone(), check })).await?
        else {
            return Err(unexpected());
        };
        {
            let mut state = self.state.borrow_mut();
            state.data = Some(Data { kind, samples, labels });
            state.data_files = read;
            state.setup = None;
            state.benched = false;
            state.forget_runs();
        }
        self.forget_setup();
        self.sync();
        Ok(())
    }

    /// Takes the network that the open weights belong to: an ONNX file, and files of external data beside it.
    pub(super) async fn load_network(self: &Rc<Self>, read: Vec<(String, Vec<u8>)>) -> Outcome<()> {
        let (name, network, parts) = joined(read);
        let file = self.state.borrow().open.file.clone();
        if let Some(file) = file {
            let weights = Some(self.read(&file).await?);
            let weights_name = self.state.borrow().open.name.clone();
            let ask =
                Job::Open { network: network.clone(), parts: parts.clone(), weights, name: weights_name };
            self.answer(self.pool.run(ask)).await?;
        }
        {
            let mut state = self.state.borrow_mut();
            state.network = Some(Chosen { name, bytes: network, parts });
            state.benched = false;
            state.setup = None;
            state.forget_runs();
        }
        self.forget_setup();
        self.sync();
        Ok(())
    }

    /// Puts the network, weights, importance, data and setup on every worker's bench, as far as they are not there.
    pub(super) async fn prepare(self: &Rc<Self>) -> Outcome<()> {
        let (open, network, data_files) = {
            let state = self.state.borrow();
            (state.open.clone(), state.network.clone(), state.data_files.clone())
        };
        let Some(file) = &open.file else { return Err("Open a weight file first.".to_owned().into()) };
        if data_files.is_empty() {
            return Err("Choose data first.".to_owned().into());
        }
        if !self.state.borrow().benched {
            let bytes = self.read(file).await?;
            let ask = match network {
                Some(Chosen { bytes: network, parts, .. }) => {
                    Job::Open { network, parts, weights: Some(bytes), name: open.name.clone() }
                }
                None => Job::Open {
                    network: bytes,
                    parts: open.parts.clone(),
                    weights: None,
                    name: open.name.clone(),
                },
            };
            // One worker says whether it opens; then all are told.
            self.pool.forget();
            self.answer(self.pool.run(ask.clone())).await?;
            self.pool.tell(ask);
            self.pool.tell(Job::Data { files: data_files, check: false });
            let mut state = self.state.borrow_mut();
            state.benched = true;
            state.weighed_by = 0;
            if let Some(setup) = state.setup.clone() {
                self.pool.tell(Job::Use(setup));
            }
        }
        self.prepare_importance(open.importance.as_ref()).await?;
        if self.state.borrow().setup.is_none() {
            let typed = self.preprocess_line();
            let ask = if typed.is_empty() { Job::Guess } else { Job::Preprocess(typed) };
            let Answer::Setup(setup) = self.answer(self.pool.run(ask)).await? else {
                return Err(unexpected());
            };
            self.show_preprocess(&setup);
            self.state.borrow_mut().setup = Some(setup.clone());
            self.pool.tell(Job::Use(setup));
            self.run_float(self.coarse()).await?;
            self.show_pictures().await?;
        }
        Ok(())
    }

    async fn prepare_importance(self: &Rc<Self>, importance: Option<&Blob>) -> Outcome<()> {
        let bytes = match importance {
            Some(blob) => Some(self.read(blob).await?),
            None => None,
        };
        let hash = bytes.as_ref().map_or(0, |bytes| xxhash_rust::xxh3::xxh3_64(bytes));
        if self.state.borrow().weighed_by != hash {
            self.pool.tell(Job::Importance(bytes));
            self.state.borrow_mut().weighed_by = hash;
        }
        Ok(())
    }

    fn samples(&self) -> usize {
        self.state.borrow().data.as_ref().map_or(0, |data| data.samples)
    }

    fn progress(&self, done: usize, of: usize) {
        self.set_progress(done as f64 / of.max(1) as f64);
    }

    fn set_progress(&self, share: f64) {
        self.element::<HtmlProgressElement>("accuracy-progress").set_value(share);
    }

    pub(super) fn coarse(&self) -> usize {
        self.state.borrow().data.as_ref().map_or(0, |data| data.samples.min(COARSE))
    }

    pub(super) async fn preprocess(me: Rc<Self>) -> Outcome<()> {
        {
            let mut state = me.state.borrow_mut();
            state.setup = None;
            state.runs.clear();
            state.float = Run::default();
            if state.data_files.is_empty() || state.open.file.is_none() {
                return Ok(());
            }
        }
        me.prepare().await
    }

    /// A few samples, each with its label and the float network's answer, so that a wrong guess is seen.
    pub(super) async fn show_pictures(self: &Rc<Self>) -> Outcome<()> {
        let Answer::Pictures { width, height, channels, pixels } =
            self.answer(self.pool.run(Job::Pictures(10))).await?
        else {
            return Err(unexpected());
        };
        let place: Element = self.element("accuracy-pictures");
        clear(&place);
        let state = self.state.borrow();
        let answers: Vec<usize> = state.float.outputs.rows().take(10).map(best).collect();
        let size = width * height * channels;
        if size == 0 {
            return Ok(());
        }
        for (index, picture) in pixels.chunks_exact(size).enumerate() {
            let figure = make(&self.document, "figure", "", "");
            let canvas = make(&self.document, "canvas", "", "");
            let label =
                state.data.as_ref().and_then(|d| d.labels.as_ref()).and_then(|l| l.get(index)).copied();
            let answer = answers.get(index).copied();
            let text = match (label, answer) {
                (Some(label), Some(answer)) if label as usize == answer => format!("{label} ✓"),
                (Some(label), Some(answer)) => format!("{label}, not {answer}"),
                (None, Some(answer)) => format!("{answer}?"),
                _ => String::new(),
            };
            set(&canvas, "role", "img");
            set(&canvas, "aria-label", &format!("sample {index}: {text}"));
            append(&figure, &canvas);
            append(&figure, &make(&self.document, "figcaption", "", &text));
            append(&place, &figure);
            if let Ok(canvas) = canvas.dyn_into::<HtmlCanvasElement>() {
                paint(&canvas, width, height, channels, picture);
            }
        }
        Ok(())
    }

    /// Runs the float weights on the samples up to `until` that they have not seen yet.
    async fn run_float(self: &Rc<Self>, until: usize) -> Outcome<()> {
        let start = self.state.borrow().float.samples;
        if start < until {
            let outputs = self.run_range(None, None, start..until).await?.0;
            self.state.borrow_mut().float.extend(outputs, until);
        }
        Ok(())
    }

    /// Runs weights on a range of samples, a share of them in each worker.
    async fn run_range(
        self: &Rc<Self>,
        recipe: Option<&str>,
        only: Option<&str>,
        range: Range<usize>,
    ) -> Outcome<(Outputs, Option<Size>)> {
        let workers = if range.len() < FEW { 1 } else { self.pool.len() };
        let share = range.len().div_ceil(workers).max(1);
        let ask = |start: usize| {
            let range = (start, (start + share).min(range.end));
            self.pool.run(Job::Run {
                recipe: recipe.map(str::to_owned),
                only: only.map(str::to_owned),
                range,
            })
        };
        let asked: Vec<Receiver<Outcome<Answer>>> = range.clone().step_by(share).map(ask).collect();
        let mut all = Outputs::default();
        let mut found = None;
        for receiver in asked {
            let Answer::Ran { outputs, classes, size } = self.answer(receiver).await? else {
                return Err(unexpected());
            };
            all.classes = classes;
            all.values.extend(outputs);
            found = size;
        }
        Ok((all, found))
    }

    /// Every method's curve: coarse first, then finer where the measure falls, then on all samples.
    pub(super) async fn curves(me: Rc<Self>) -> Outcome<()> {
        me.prepare().await?;
        let (total, coarse) = (me.samples(), me.coarse());
        me.run_float(coarse).await?;
        let (line, mut methods) = me.methods();
        // What is solved on pairs takes longest: it comes last and is asked for first, so that one worker is at it while the others measure.
        let is_slow = |id: &str| methods::find(id).is_some_and(|method| method.needs == Needs::Pairs);
        methods.sort_by_key(|id| is_slow(id));
        let ask =
            |method: &str| Job::Curve { recipe: line.clone(), method: method.to_owned(), points: POINTS };
        let asked: Vec<_> = methods.iter().rev().map(|method| (*method, me.pool.run(ask(method)))).collect();
        let mut wanted: Vec<Wanted> = Vec::new();
        for (method, receiver) in asked.into_iter().rev() {
            if is_slow(method) {
                me.run_points(&wanted, coarse, (0.0, 0.3)).await?;
            }
            let Answer::Curve(points) = me.answer(receiver).await? else { return Err(unexpected()) };
            wanted.extend(points.into_iter().map(|(recipe, _)| (method.to_owned(), recipe)));
        }
        me.run_points(&wanted, coarse, (0.3, 0.5)).await?;
        me.state.borrow_mut().leave_curves_but(&wanted);
        for pass in 1..=REFINEMENTS {
            let between = me.falls(&wanted);
            me.run_points(&between, coarse, (0.4 + 0.1 * f64::from(pass), 0.5 + 0.1 * f64::from(pass)))
                .await?;
            wanted.extend(between);
        }
        if coarse < total {
            me.run_float(total).await?;
            me.run_points(&wanted, total, (0.7, 1.0)).await?;
        }
        Ok(())
    }

    /// The open recipe, and the methods whose curves are shown.
    fn methods(&self) -> (String, Vec<&'static str>) {
        let state = self.state.borrow();
        let shown = &state.open.methods;
        let methods =
            METHODS.iter().map(|method| method.id).filter(|id| shown.iter().any(|shown| shown == id));
        (state.open.recipe.clone(), methods.collect())
    }

    /// Runs points of curves on the samples up to `until` that they have not seen; `progress` is where the bar begins and ends.
    async fn run_points(
        self: &Rc<Self>,
        wanted: &[Wanted],
        until: usize,
        progress: (f64, f64),
    ) -> Outcome<()> {
        // A point to each worker: the weights are solved where they are run. The middle of each curve first, then quarters.
        let mut order: Vec<(usize, &Wanted)> =
            wanted.iter().enumerate().map(|(index, point)| (spread(index % POINTS, POINTS), point)).collect();
        order.sort();
        let mut asked = Vec::new();
        for (_, (method, recipe)) in order {
            let at = self.run_of(recipe, method);
            self.state.borrow_mut().mark_curve(at);
            let start = self.state.borrow().runs.get(at).map_or(0, |run| run.samples);
            if start < until {
                let ask = Job::Run { recipe: Some(recipe.clone()), only: None, range: (start, until) };
                asked.push((at, self.pool.run(ask)));
            }
        }
        let steps = asked.len().max(1);
        for (done, (at, receiver)) in asked.into_iter().enumerate() {
            let Answer::Ran { outputs, classes, size } = self.answer(receiver).await? else {
                return Err(unexpected());
            };
            self.state.borrow_mut().take_run(at, Outputs { values: outputs, classes }, until, size);
            let share = (done + 1) as f64 / steps as f64;
            self.set_progress(progress.0 + (progress.1 - progress.0) * share);
            self.draw();
        }
        Ok(())
    }

    /// Points between neighbours of a curve whose answers differ much.
    fn falls(&self, wanted: &[Wanted]) -> Vec<Wanted> {
        let state = self.state.borrow();
        let mut between = Vec::new();
        for method in METHODS {
            let mut curve: Vec<(f64, Recipe, f64)> = wanted
                .iter()
                .filter(|(id, _)| id == method.id)
                .filter_map(|(_, line)| {
                    let run = state.runs.iter().find(|run| run.recipe == *line)?;
                    let recipe = Recipe::from_line(line).ok()?;
                    let value = number(recipe.settings.get(method.swept)?)?;
                    Some((value, recipe, run.measures.against.as_ref()?.agreement.value()))
                })
                .collect();
            curve.sort_by(|a, b| a.0.total_cmp(&b.0));
            for pair in curve.windows(2) {
                let [(low, recipe, before), (high, _, after)] = pair else { continue };
                let middle = (low * high).sqrt();
                let value = match recipe.settings.get(method.swept) {
                    Some(Value::Integer(_)) => Value::Integer(libm::rint(middle) as u64),
                    _ => Value::Number(number::rounded(middle, 3)),
                };
                let fresh = number(&value).is_some_and(|x| x > *low && x < *high);
                if fresh && (before - after).abs() > FALL {
                    between.push((method.id.to_owned(), recipe.with(method.swept, value).to_line()));
                }
            }
        }
        between
    }

    /// The place of a recipe's run, a new one if there is none.
    fn run_of(&self, recipe: &str, method: &str) -> usize {
        let mut state = self.state.borrow_mut();
        if let Some(at) =
            state.runs.iter().position(|run| run.recipe == recipe && run.origin != Origin::Retrained)
        {
            return at;
        }
        state.runs.push(Run { recipe: recipe.to_owned(), method: method.to_owned(), ..Run::default() });
        state.runs.len() - 1
    }

    pub(super) async fn measure_this(me: Rc<Self>) -> Outcome<()> {
        me.prepare().await?;
        let line = me.state.borrow().open.recipe.clone();
        let at = me.run_of(&line, &method_of(&line));
        for until in [me.coarse(), me.samples()] {
            me.run_float(until).await?;
            let from = me.state.borrow().runs.get(at).map_or(0, |run| run.samples);
            if from < until {
                let (outputs, size) = me.run_range(Some(&line), None, from..until).await?;
                me.state.borrow_mut().take_run(at, outputs, until, size);
            }
            me.show_facts(at);
            me.draw();
        }
        Ok(())
    }

    /// Hands out the float network's answers, and those of the chosen point, as .npz.
    pub(super) async fn save_answers(me: Rc<Self>) -> Outcome<()> {
        me.prepare().await?;
        me.run_float(me.samples()).await?;
        let chosen = me.chosen();
        let bytes = {
            let state = me.state.borrow();
            let mut named = vec![("float", &state.float.outputs)];
            named.extend(chosen.as_ref().map(|run| ("quantized", &run.outputs)));
            Outputs::npz(&named).map_err(|error| error.to_string())?
        };
        me.download("answers.npz", &bytes);
        Ok(())
    }

    pub(super) async fn measure_tensors(me: Rc<Self>) -> Outcome<()> {
        me.prepare().await?;
        let line = me.state.borrow().open.recipe.clone();
        let until = me.coarse();
        me.run_float(until).await?;
        let (_, size) = me.run_range(Some(&line), None, 0..1).await?;
        let Some(predicted) = size.and_then(|size| size.predicted) else {
            return Err(Failure::Sentence(
                "Weigh errors by a curvature file first: compute one here, or choose it in the recipe."
                    .to_owned(),
            ));
        };
        let rows: Element = me.element("accuracy-tensor-rows");
        clear(&rows);
        show(&me.element::<HtmlElement>("accuracy-per-tensor"), true);
        let steps = predicted.len();
        for (index, (name, predicted)) in predicted.into_iter().enumerate() {
            let (outputs, _) = me.run_range(Some(&line), Some(&name), 0..until).await?;
            let mut run = Run::default();
            run.extend(outputs, until);
            let measures = {
                let state = me.state.borrow();
                measured(&run, &state.float, state.data.as_ref())
            };
            let against = measures.against.as_ref();
            let cells = [
                format!("{predicted:.6}"),
                against.and_then(|a| a.loss_change).map_or_else(|| "–".to_owned(), |c| format!("{c:.6}")),
                against.map_or_else(String::new, |a| percent(&a.agreement)),
                measures.top1.as_ref().map_or_else(|| "–".to_owned(), percent),
            ];
            let row = make(&me.document, "tr", "", "");
            let head = make(&me.document, "th", "", &name);
            set(&head, "scope", "row");
            append(&row, &head);
            for cell in cells {
                append(&row, &make(&me.document, "td", "num", &cell));
            }
            append(&rows, &row);
            me.progress(index + 1, steps);
        }
        Ok(())
    }

    pub(super) async fn compute_importance(me: Rc<Self>) -> Outcome<()> {
        me.prepare().await?;
        let kind =
            Kind::from_id(&me.element::<HtmlSelectElement>("accuracy-kind").value()).unwrap_or(Kind::Hessian);
        let typed =
            me.element::<HtmlInputElement>("accuracy-samples").value().parse::<usize>().unwrap_or(COARSE);
        let (total, setup, data_kind, name) = {
            let state = me.state.borrow();
            let data = state.data.clone().unwrap_or_default();
            let name =
                state.network.as_ref().map_or_else(|| state.open.name.clone(), |chosen| chosen.name.clone());
            (data.samples.min(typed.max(1)), state.setup.clone(), data.kind, name)
        };
        let Some(setup) = setup else { return Err(unexpected()) };
        let share = total.div_ceil(me.pool.len()).max(1);
        let ranges = (0..total).step_by(share).map(|start| (start, (start + share).min(total)));
        let asked: Vec<_> = ranges.map(|range| me.pool.run(Job::Walk { kind, range })).collect();
        let mut sums: BTreeMap<String, (Vec<usize>, Vec<f64>)> = BTreeMap::new();
        let mut words = String::new();
        for receiver in asked {
            let Answer::Walked { parts, loss } = me.answer(receiver).await? else { return Err(unexpected()) };
            words = loss;
            for (name, shape, values) in parts {
                let sum = sums.entry(name).or_insert_with(|| (shape, vec![0.0; values.len()]));
                sum.1.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        }
        let means = |values: Vec<f64>| values.into_iter().map(|x| x / total.max(1) as f64).collect();
        let tensors = sums.into_iter().map(|(name, (shape, values))| (name, shape, means(values))).collect();
        let computed = Computed { kind, tensors, samples: total, loss: words, without: Vec::new() };
        let bytes =
            computed.to_safetensors(&name, &data_kind, &setup, false).map_err(|error| error.to_string())?;
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
        let file_name = format!("{stem}.{}.safetensors", kind.id());
        me.state.borrow_mut().last_file = Some((file_name.clone(), bytes.clone()));
        if kind != Kind::Gradient {
            let blob = blob_from_bytes(&bytes)?;
            if let Ok(file) = File::new_with_blob_sequence(&Array::of1(&blob), &file_name) {
                me.dispatch("accuracy-importance", &file);
            }
        }
        set_text(
            &me.element::<Element>("accuracy-done"),
            &format!("{file_name}: {} of {} over {total} samples", kind.id(), computed.loss),
        );
        Ok(())
    }

    pub(super) async fn tune(me: Rc<Self>) -> Outcome<()> {
        me.prepare().await?;
        let line = me.state.borrow().open.recipe.clone();
        let number = |id: &str, default: f64| {
            me.element::<HtmlInputElement>(id).value().parse::<f64>().unwrap_or(default)
        };
        let schedule = Schedule {
            epochs: number("accuracy-epochs", 4.0).clamp(1.0, 100.0) as usize,
            rate: number("accuracy-rate", 0.02).clamp(1e-5, 1.0),
            ..Schedule::default()
        };
        let total = me.samples();
        let half = total / 2;
        // The half that teaches does not examine.
        let teach = (0, half.min(MOST_TAUGHT));
        me.run_float(total).await?;
        let before = me.run_range(Some(&line), None, half..total).await?.0;
        let ask = Job::Tune { recipe: line.clone(), schedule, teach, examine: (half, total) };
        let Answer::Tuned { file, size, losses, outputs, classes } = me.answer(me.pool.run(ask)).await?
        else {
            return Err(unexpected());
        };
        let after = Outputs { values: outputs, classes };
        let (then, now) = {
            let state = me.state.borrow();
            let labels = state.data.as_ref().and_then(|data| data.labels.as_deref());
            let each = labels.map_or(0, |labels| labels.len() / total.max(1));
            let labels = labels.and_then(|labels| labels.get(half * each..total * each));
            let classes = state.float.outputs.classes;
            let per_sample = state.float.outputs.values.len() / total.max(1);
            let values = state.float.outputs.values.get(half * per_sample..).unwrap_or_default().to_vec();
            let float = Outputs { values, classes };
            (measure(&before, labels, Some(&float)), measure(&after, labels, Some(&float)))
        };
        let text = |m: &Measures| m.top1.as_ref().map_or_else(String::new, percent);
        set_text(
            &me.element::<Element>("accuracy-done"),
            &format!(
                "Retrained on {} samples; on {} others top-1 went from {} to {}, loss from {:.4} to {:.4} nats (float weights in training: {:.4} at last).",
                teach.1,
                total - half,
                text(&then),
                text(&now),
                then.loss.unwrap_or(f64::NAN),
                now.loss.unwrap_or(f64::NAN),
                losses.last().copied().unwrap_or(f64::NAN),
            ),
        );
        let at = {
            let mut state = me.state.borrow_mut();
            let stem =
                state.open.name.rsplit_once('.').map_or(state.open.name.clone(), |(stem, _)| stem.to_owned());
            state.last_file = Some((format!("{stem}.retrained.qsz"), file));
            let method = method_of(&line);
            let samples = total - half;
            state.runs.push(Run {
                recipe: line.clone(),
                method,
                origin: Origin::Retrained,
                size: Some(size),
                outputs: after,
                samples,
                measures: now,
            });
            state.runs.len() - 1
        };
        me.show_facts(at);
        Ok(())
    }
}
