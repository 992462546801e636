//! What the panel knows: what is open, the data, what has been run.

use super::super::jobs::Size;
use crate::formats::{Part, matching_name};
use crate::network::evaluate::Setup;
use crate::network::measure::{Measures, Outputs, measure};
use crate::plot::Frame;
use crate::recipe::Recipe;
use web_sys::Blob;

/// What the page says is open.
#[derive(Debug, Clone, Default)]
pub struct Open {
    pub file: Option<Blob>,
    pub parts: Vec<Part>,
    pub name: String,
    pub importance: Option<Blob>,
    pub recipe: String,
    pub methods: Vec<String>,
}

/// A network that was chosen beside the open weights.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    pub name: String,
    pub bytes: Vec<u8>,
    pub parts: Vec<Part>,
}

/// A data set as the workers found it.
#[derive(Debug, Clone, Default)]
pub struct Data {
    pub kind: String,
    pub samples: usize,
    pub labels: Option<Vec<u32>>,
}

/// Why a recipe was run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// It was asked for alone, or lay on curves that have been left.
    #[default]
    Single,
    /// It lies on a curve.
    Curve,
    /// Its codebooks were retrained.
    Retrained,
}

/// A set of weights, as far as it has been run.
#[derive(Debug, Clone, Default)]
pub struct Run {
    pub recipe: String,
    pub method: String,
    pub origin: Origin,
    pub size: Option<Size>,
    pub outputs: Outputs,
    pub samples: usize,
    pub measures: Measures,
}

#[derive(Debug, Default)]
pub struct State {
    pub open: Open,
    /// The network, where it is not the open file.
    pub network: Option<Chosen>,
    pub data_files: Vec<(String, Vec<u8>)>,
    pub data: Option<Data>,
    pub setup: Option<Setup>,
    pub float: Run,
    pub runs: Vec<Run>,
    pub chosen: Option<(usize, usize)>,
    pub frame: Option<(Frame, f64)>,
    /// Every worker has, or will be told of, the network, weights and data.
    pub benched: bool,
    /// Hash of the importance file that the workers were told of, 0 for none.
    pub weighed_by: u64,
    /// A sample that is being opened: measure it once its file is there.
    pub awaited: Option<String>,
    pub last_file: Option<(String, Vec<u8>)>,
    /// Counts what runs were forgotten for: another network, other data, other preprocessing.
    pub version: u32,
}

/// The class with the largest score.
pub fn best(row: &[f32]) -> usize {
    let best = row
        .iter()
        .enumerate()
        .fold((0, f32::NEG_INFINITY), |best, (i, x)| if *x > best.1 { (i, *x) } else { best });
    best.0
}

impl Run {
    /// Appends answers to the samples up to `samples`.
    pub fn extend(&mut self, outputs: Outputs, samples: usize) {
        if !outputs.values.is_empty() {
            self.outputs.classes = outputs.classes;
            self.outputs.values.extend(outputs.values);
            self.samples = samples;
        }
    }
}

impl State {
    /// Forgets what was run, since something it was run with has changed.
    pub fn forget_runs(&mut self) {
        self.version += 1;
        self.runs.clear();
        self.float = Run::default();
        self.chosen = None;
    }

    /// Points of curves that are no longer asked for stay as single points.
    pub fn leave_curves_but(&mut self, wanted: &[(String, String)]) {
        for run in self.runs.iter_mut().filter(|run| run.origin == Origin::Curve) {
            if !wanted.iter().any(|(_, recipe)| *recipe == run.recipe) {
                run.origin = Origin::Single;
            }
        }
        self.chosen = None;
    }

    /// A run is on a curve from now on.
    pub fn mark_curve(&mut self, at: usize) {
        if let Some(run) = self.runs.get_mut(at) {
            run.origin = Origin::Curve;
        }
    }

    /// Adds answers to a run and measures it anew.
    pub fn take_run(&mut self, at: usize, outputs: Outputs, samples: usize, size: Option<Size>) {
        let Self { runs, float, data, .. } = self;
        let Some(run) = runs.get_mut(at) else { return };
        run.extend(outputs, samples);
        if size.is_some() {
            run.size = size;
        }
        run.measures = measured(run, float, data.as_ref());
    }
}

/// Measures a run on the samples that it and the float weights have both seen.
pub fn measured(run: &Run, float: &Run, data: Option<&Data>) -> Measures {
    let total = data.map_or(0, |data| data.samples).max(1);
    let labels = data.and_then(|data| data.labels.as_deref());
    let each = labels.map_or(0, |labels| labels.len() / total);
    let labels = labels.and_then(|labels| labels.get(..run.samples * each));
    if float.samples < run.samples || float.samples == 0 {
        return measure(&run.outputs, labels, None);
    }
    let per_sample = float.outputs.values.len() / float.samples.max(1);
    let values = float.outputs.values.get(..run.samples * per_sample).unwrap_or_default().to_vec();
    measure(&run.outputs, labels, Some(&Outputs { values, classes: float.outputs.classes }))
}

pub fn predicted(size: &Size) -> Option<f64> {
    let all = size.predicted.as_ref()?;
    // Tied names count once.
    let mut seen = std::collections::BTreeSet::new();
    Some(all.iter().filter(|(name, _)| seen.insert(matching_name(name))).map(|(_, change)| change).sum())
}

/// The place of point `index` of `count` in an order that halves the gaps.
pub fn spread(index: usize, count: usize) -> usize {
    let bits = usize::BITS - count.max(1).leading_zeros();
    (index + 1).reverse_bits() >> (usize::BITS - bits)
}

/// The method of a recipe's line.
pub fn method_of(line: &str) -> String {
    Recipe::from_line(line).map(|recipe| recipe.method).unwrap_or_default()
}
