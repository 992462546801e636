//! Scores formats on samples: what a worker does for an [`Ask`].

use super::trial::{Ask, Heard, r_squared};
use crate::network::NetworkError;
use crate::network::data::DataSet;
use crate::network::emulate::{
    self, Answer, Batch, Choice, Emulator, Numbers, Prepared, Range, TensorFormat,
};
use crate::network::evaluate::Setup;
use crate::network::measure::{Measures, Outputs, measure};
use crate::network::model::ModelBytes;
use serde::{Deserialize, Serialize};
#[cfg(not(target_arch = "wasm32"))]
use std::collections::BTreeMap;

/// What one of weights, activations and accumulators is rounded to.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum Part {
    /// The format that is on trial.
    #[default]
    Searched,
    /// Float32.
    Float32,
    /// A format of its own, by its name in texts.
    Fixed(#[serde(with = "as_name")] TensorFormat),
}

mod as_name {
    use crate::network::emulate::TensorFormat;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(format: &TensorFormat, serializer: S) -> Result<S::Ok, S::Error> {
        format.to_string().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TensorFormat, D::Error> {
        let name = String::deserialize(deserializer)?;
        TensorFormat::parse(&name).map_err(serde::de::Error::custom)
    }
}

impl Part {
    /// Reads `searched`, `float32` or a format's name.
    pub fn parse(text: &str) -> Result<Self, crate::number_format::FormatError> {
        match text {
            "searched" => Ok(Self::Searched),
            "float32" => Ok(Self::Float32),
            name => TensorFormat::parse(name).map(Self::Fixed),
        }
    }

    fn of(self, searched: TensorFormat) -> Option<TensorFormat> {
        match self {
            Self::Searched => Some(searched),
            Self::Float32 => None,
            Self::Fixed(format) => Some(format),
        }
    }
}

/// Where the formats on trial are used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// Constants that multiply.
    pub weights: Part,
    /// What passes between operators.
    pub activations: Part,
    /// Products and sums inside Conv, Gemm and `MatMul`: the paper's emulation where they are searched.
    pub accumulator: Part,
}

impl Default for Parts {
    /// After every operator: weights and activations, with float32 inside the operators.
    fn default() -> Self {
        Self { weights: Part::Searched, activations: Part::Searched, accumulator: Part::Float32 }
    }
}

impl Parts {
    /// After every operation, as the paper has it.
    pub const PAPER: Self =
        Self { weights: Part::Searched, activations: Part::Searched, accumulator: Part::Searched };

    /// The formats where `searched` is on trial; sums are in float32 where theirs were numbers in blocks.
    pub fn numbers(&self, searched: TensorFormat) -> Numbers {
        Numbers {
            weights: self.weights.of(searched),
            activations: self.activations.of(searched),
            accumulator: self.accumulator.of(searched).and_then(TensorFormat::single),
        }
    }

    /// Whether ranges of activations are to be learnt from samples for one of these formats.
    pub fn needs_calibration(&self, formats: &[TensorFormat]) -> bool {
        formats.iter().any(|format| self.activations.of(*format).is_some_and(|format| format.needs_range()))
    }

    /// Checks that sums can be in what they are to be in.
    ///
    /// # Errors
    ///
    /// Sums in blocks, which share no scales.
    pub fn check(&self, formats: &[TensorFormat]) -> Result<(), NetworkError> {
        let of_sums = formats.iter().filter_map(|format| self.accumulator.of(*format));
        match of_sums.into_iter().find(|format| format.blocks().is_some()) {
            Some(format) => Err(emulate::no_sums(format)),
            None => Ok(()),
        }
    }
}

/// Runs batches in prepared formats.
type Run<'a> = &'a dyn Fn(&Prepared<'_>, &[Batch]) -> Result<Answer, NetworkError>;

/// Samples at the end of the data that are kept for ranges, where formats need them.
pub const CALIBRATION: usize = 50;

/// A network with samples to score formats on.
#[derive(Debug)]
pub struct Scorer {
    emulator: Emulator,
    data: DataSet,
    /// Answers in float32 to the samples that are scored.
    reference: Outputs,
    /// How many those are, from the first.
    samples: usize,
    parts: Parts,
}

impl Scorer {
    /// A scorer of the first `samples` samples of `data`, which `reference` are the float32 answers to. `calibration` samples
    /// behind them tell ranges; 0 where no format needs them.
    pub fn new(
        files: &ModelBytes,
        setup: &Setup,
        data: DataSet,
        (reference, samples): (Outputs, usize),
        parts: Parts,
        calibration: usize,
    ) -> Result<Self, NetworkError> {
        let mut emulator = Emulator::new(files, setup, &data, &[])?;
        if calibration > 0 {
            let end = samples.checked_add(calibration).filter(|end| *end <= data.samples);
            let Some(end) = end else {
                let expected =
                    format!("{calibration} samples behind the {samples} that are scored, for ranges");
                return Err(NetworkError::data("the data", expected, data.samples.to_string()));
            };
            let batches = emulator.batches(&data, samples..end)?;
            emulator.calibrate(&batches)?;
        }
        Ok(Self { emulator, data, reference, samples, parts })
    }

    /// Samples that are scored.
    pub const fn samples(&self) -> usize {
        self.samples
    }

    /// Answers and right answers of float32: by the labels, or all where there are none.
    pub fn float(&self) -> (u64, u64) {
        let right = self.measures(0..self.samples, &self.reference);
        right.map_or((0, 0), |(right, of)| (right, of))
    }

    /// Whether there are labels; else agreement with float32 stands for accuracy.
    pub const fn has_labels(&self) -> bool {
        self.data.labels.is_some()
    }

    /// Float32 answers to the samples of a range.
    fn reference(&self, range: &std::ops::Range<usize>) -> Outputs {
        let each = self.reference.values.len() / self.samples.max(1);
        let values = self.reference.values.get(range.start * each..range.end * each);
        Outputs { values: values.unwrap_or_default().to_vec(), classes: self.reference.classes }
    }

    /// Right answers and all of them.
    fn measures(&self, range: std::ops::Range<usize>, outputs: &Outputs) -> Option<(u64, u64)> {
        let reference = self.reference(&range);
        let Measures { top1, against, .. } = measure(outputs, self.data.labels_of(range), Some(&reference));
        let share = top1.or(against.map(|against| against.agreement))?;
        Some((share.count, share.of))
    }

    /// A choice of formats for every layer.
    fn choice(&self, format: TensorFormat) -> Choice {
        Choice { activation_range: Range::Largest, ..Choice::uniform(self.parts.numbers(format)) }
    }

    /// The nodes of the network, in the order they are run in.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.emulator.layers().map(|(name, _)| name)
    }

    /// Scores a choice on the samples that are asked for, `run` being how batches are run.
    fn scored(
        &self,
        choice: &Choice,
        range: &std::ops::Range<usize>,
        run: Run,
    ) -> Result<Heard, NetworkError> {
        let prepared = self.emulator.prepare(choice)?;
        let answer = run(&prepared, &self.emulator.batches(&self.data, range.clone())?)?;
        let reference = self.reference(range);
        let (right, of) = self.measures(range.clone(), &answer.outputs).unwrap_or((0, 0));
        let mut heard = Heard {
            right,
            of,
            r2: r_squared(&reference.values, &answer.outputs.values),
            failure: answer.report.sentence(),
            ..Heard::default()
        };
        for layer in answer.report.layers.iter().chain(&answer.report.weights) {
            heard.rounded += layer.rounded;
            heard.saturated += layer.saturated + layer.saturated_sums;
            heard.underflowed += layer.underflowed;
            heard.blocks += layer.blocks;
            heard.padding += layer.padding;
        }
        Ok(heard)
    }

    /// Scores a format as asked.
    pub fn score(&self, format: TensorFormat, ask: &Ask) -> Result<Heard, NetworkError> {
        self.scored(&self.choice(format), &ask.range, &|prepared, batches| {
            let mut all = Answer::default();
            for batch in batches {
                all.merge(prepared.run(batch)?);
            }
            Ok(all)
        })
    }

    /// Scores a format as asked, on threads.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn score_on(&self, format: TensorFormat, ask: &Ask, jobs: usize) -> Result<Heard, NetworkError> {
        self.scored(&self.choice(format), &ask.range, &|prepared, batches| prepared.run_all(batches, jobs))
    }

    /// Scores formats by layer as asked, on threads; layers that are not named have `format`.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn score_layers(
        &self,
        format: TensorFormat,
        layers: &BTreeMap<String, TensorFormat>,
        ask: &Ask,
        jobs: usize,
    ) -> Result<Heard, NetworkError> {
        let layers =
            layers.iter().map(|(name, format)| (name.clone(), self.parts.numbers(*format))).collect();
        let choice = Choice { layers, ..self.choice(format) };
        self.scored(&choice, &ask.range, &|prepared, batches| prepared.run_all(batches, jobs))
    }
}
