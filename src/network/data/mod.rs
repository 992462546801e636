//! Samples to run a network on, from files: MNIST idx, CIFAR-10 binary, `.npz` and `.npy`.
//!
//! | kind | told by | definition |
//! |---|---|---|
//! | idx, idx.gz | magic number 0x0000 08 with 1 to 4 dimensions | Y. `LeCun`, "The MNIST database", file format |
//! | CIFAR-10 binary | a length that is a multiple of 3073, every record's first byte below 10 | A. Krizhevsky, 2009 |
//! | `.npz`, `.npy` | as weight files are told | `NumPy` enhancement proposal 1 |
//!
//! Of an archive, `x` (or the only array that is no label) are the samples, `y` the labels; for a network of several inputs,
//! arrays bear the inputs' names. Several files add up: images and labels of MNIST, batches of CIFAR-10.

mod cifar;
mod idx;
mod numpy;
mod preprocess;

pub use preprocess::{Layout, Preprocess};

use super::graph::InputInfo;
use super::{Array, NetworkError};
use crate::formats::{Source, read_part, shown};
use std::collections::BTreeMap;
use std::io::Read as _;

/// The largest data set that is held, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// Elements as the file has them.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Values {
    /// Bytes: pixels.
    U8(Vec<u8>),
    /// Integers: tokens, rates.
    I32(Vec<i32>),
    /// Floats.
    F32(Vec<f32>),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::F32(v) => v.len(),
        }
    }

    /// Whether elements are bytes.
    pub const fn is_bytes(&self) -> bool {
        matches!(self, Self::U8(_))
    }

    fn floats(&self, range: std::ops::Range<usize>) -> Vec<f32> {
        match self {
            Self::U8(v) => v.get(range).unwrap_or_default().iter().map(|x| f32::from(*x)).collect(),
            Self::I32(v) => v.get(range).unwrap_or_default().iter().map(|x| *x as f32).collect(),
            Self::F32(v) => v.get(range).unwrap_or_default().to_vec(),
        }
    }

    /// Puts equal runs of elements, one for each number of `order`, into that order.
    fn reorder(&mut self, order: &[usize]) {
        match self {
            Self::U8(v) => *v = reordered(v, order),
            Self::I32(v) => *v = reordered(v, order),
            Self::F32(v) => *v = reordered(v, order),
        }
    }

    fn integers(&self, range: std::ops::Range<usize>) -> Vec<i32> {
        match self {
            Self::U8(v) => v.get(range).unwrap_or_default().iter().map(|x| i32::from(*x)).collect(),
            Self::I32(v) => v.get(range).unwrap_or_default().to_vec(),
            Self::F32(v) => v.get(range).unwrap_or_default().iter().map(|x| *x as i32).collect(),
        }
    }
}

/// Equal runs of `values`, one for each number of `order`, in that order.
pub fn reordered<T: Copy>(values: &[T], order: &[usize]) -> Vec<T> {
    let each = values.len() / order.len().max(1);
    order.iter().flat_map(|at| values.get(at * each..(at + 1) * each).unwrap_or_default()).copied().collect()
}

/// An array of a data set.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Series {
    /// Its name in the file.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Elements, row-major.
    pub values: Values,
}

impl Series {
    fn new(name: &str, shape: Vec<usize>, values: Values) -> Result<Self, NetworkError> {
        let count = shape.iter().try_fold(1usize, |count, extent| count.checked_mul(*extent));
        if count != Some(values.len()) {
            let expected = format!("values for shape {shape:?}");
            return Err(NetworkError::data(shown(name), expected, format!("{} values", values.len())));
        }
        Ok(Self { name: name.to_owned(), shape, values })
    }

    /// Dimensions of one sample.
    pub fn sample_shape(&self) -> &[usize] {
        self.shape.get(1..).unwrap_or_default()
    }
}

/// Samples with their labels.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct DataSet {
    /// What kind of file it came from.
    pub kind: String,
    /// Arrays of samples; the first dimension counts them, except of those that all samples share.
    pub series: Vec<Series>,
    /// Classes, one or more per sample.
    pub labels: Option<Vec<u32>>,
    /// Number of samples.
    pub samples: usize,
}

/// What one file holds.
struct Contents {
    kind: &'static str,
    series: Vec<Series>,
    labels: Option<Vec<u32>>,
}

impl DataSet {
    /// Reads a data set from one or more files at these paths.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(paths: &[std::path::PathBuf]) -> Result<Self, NetworkError> {
        use crate::engine::native::{FileSource, file_name};
        let open = |path: &std::path::PathBuf| {
            let failed = |source| crate::formats::FormatError::io(path.display().to_string(), 0, source);
            Ok((file_name(path), FileSource::open(path).map_err(failed)?))
        };
        let files = paths.iter().map(open).collect::<Result<Vec<_>, crate::formats::FormatError>>()?;
        let sources: Vec<(String, &dyn Source)> =
            files.iter().map(|(name, file)| (name.clone(), file as &dyn Source)).collect();
        Self::open(&sources)
    }

    /// A hash of what its first `samples` samples are, labels apart: 32 hexadecimal digits of XXH3.
    pub fn hash(&self, samples: usize) -> String {
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        for series in &self.series {
            let is_shared = series.shape.first() != Some(&self.samples);
            let count = if is_shared {
                series.values.len()
            } else {
                samples * series.sample_shape().iter().product::<usize>()
            };
            hasher.update(series.name.as_bytes());
            series.sample_shape().iter().for_each(|extent| hasher.update(&(*extent as u64).to_le_bytes()));
            match &series.values {
                Values::U8(values) => hasher.update(values.get(..count).unwrap_or(values)),
                Values::F32(values) => {
                    values.iter().take(count).for_each(|x| hasher.update(&x.to_le_bytes()));
                }
                Values::I32(values) => {
                    values.iter().take(count).for_each(|x| hasher.update(&x.to_le_bytes()));
                }
            }
        }
        format!("{:032x}", hasher.digest128())
    }

    /// Reads a data set from one or more files, by name.
    pub fn open(files: &[(String, &dyn Source)]) -> Result<Self, NetworkError> {
        let mut all: Option<Contents> = None;
        for (name, source) in files {
            let contents = read_file(name, *source)?;
            all = Some(match all {
                None => contents,
                Some(before) => join(before, contents, name)?,
            });
        }
        let Some(Contents { kind, series, labels }) = all else {
            return Err(NetworkError::data("files", "at least one", "none"));
        };
        let Some(first) = series.first() else {
            return Err(NetworkError::data(
                "the files",
                "samples beside the labels (for MNIST choose the images' and the labels' file together)",
                "labels alone",
            ));
        };
        let samples =
            series.iter().find(|s| s.name == "x").unwrap_or(first).shape.first().copied().unwrap_or(0);
        if samples == 0 {
            return Err(NetworkError::data("the data", "at least one sample", "none"));
        }
        if let Some(labels) =
            labels.as_ref().filter(|labels| labels.is_empty() || labels.len() % samples != 0)
        {
            let found = format!("{} labels for {samples} samples", labels.len());
            return Err(NetworkError::data("the labels", "as many as samples", found));
        }
        Ok(Self { kind: kind.to_owned(), series, labels, samples })
    }

    /// How the network's inputs are taken from the data: the array for each, and how its samples lie.
    pub fn binding(&self, inputs: &[InputInfo]) -> Result<Vec<Binding>, NetworkError> {
        if inputs.is_empty() {
            return Err(NetworkError::data("the network", "an input", "none"));
        }
        let mut bindings = Vec::with_capacity(inputs.len());
        for input in inputs {
            let named = self.series.iter().position(|series| series.name == input.name);
            let x = || self.series.iter().position(|series| series.name == "x");
            let sole = || x().or((self.series.len() == 1).then_some(0)).filter(|_| inputs.len() == 1);
            let Some(index) = named.or_else(sole) else {
                let names: Vec<String> = self.series.iter().map(|series| shown(&series.name)).collect();
                let part = format!("input {}", shown(&input.name));
                let expected = "an array of that name in the data (.npz)";
                return Err(NetworkError::data(part, expected, names.join(", ")));
            };
            let shape = self.series.get(index).map(|series| series.shape.clone()).unwrap_or_default();
            // The axis along which samples lie: the one the graph leaves open, else the first.
            let open = |axis: &usize| input.shape.get(*axis).is_none_or(Option::is_none);
            let counts = |axis: &usize| shape.get(*axis) == Some(&self.samples);
            let same_rank = shape.len() == input.shape.len();
            let axis = if same_rank {
                (0..shape.len()).find(|axis| counts(axis) && open(axis)).or_else(|| Some(0).filter(counts))
            } else {
                Some(0).filter(counts)
            };
            let fixed_one = input.shape.first() == Some(&Some(1));
            bindings.push(Binding { input: input.clone(), series: index, axis, one_by_one: fixed_one });
        }
        Ok(bindings)
    }

    /// An order of the samples that `seed` decides, so that the first of them are a fair draw; their own where an array has them
    /// along another axis than the first.
    pub fn order(&self, seed: u64) -> Vec<usize> {
        let samples = self.samples;
        let mut order: Vec<usize> = (0..samples).collect();
        let elsewhere = |series: &Series| series.shape.iter().skip(1).any(|extent| *extent == samples);
        if self.series.iter().any(|series| series.shape.first() != Some(&samples) && elsewhere(series)) {
            return order;
        }
        let mut random = crate::random::SplitMix64::new(seed);
        for last in (1..samples).rev() {
            order.swap(last, (random.bits() % (last as u64 + 1)) as usize);
        }
        order
    }

    /// The same samples in the [order](Self::order) that `seed` decides.
    #[must_use]
    pub fn shuffled(mut self, seed: u64) -> Self {
        let (samples, order) = (self.samples, self.order(seed));
        for series in self.series.iter_mut().filter(|series| series.shape.first() == Some(&samples)) {
            series.values.reorder(&order);
        }
        if let Some(labels) = &mut self.labels {
            *labels = reordered(labels, &order);
        }
        self
    }

    /// The network's inputs for the samples `range`.
    pub fn batch(
        &self,
        bindings: &[Binding],
        preprocess: &Preprocess,
        range: std::ops::Range<usize>,
    ) -> Result<BTreeMap<String, Array>, NetworkError> {
        let mut inputs = BTreeMap::new();
        for binding in bindings {
            let Some(series) = self.series.get(binding.series) else { continue };
            let array = match binding.axis {
                None if binding.input.is_float => {
                    Array::floats(&series.shape, series.values.floats(0..series.values.len()))?
                }
                None => Array::integers(&series.shape, series.values.integers(0..series.values.len()))?,
                Some(0) => {
                    let size: usize = series.sample_shape().iter().product();
                    let span = range.start * size..range.end * size;
                    let mut shape = vec![range.len()];
                    shape.extend(series.sample_shape());
                    if binding.input.is_float {
                        preprocess.apply(&binding.input, &shape, series.values.floats(span))?
                    } else {
                        Array::integers(&shape, series.values.integers(span))?
                    }
                }
                Some(axis) => slice_axis(series, axis, &range)?,
            };
            inputs.insert(binding.input.name.clone(), array);
        }
        Ok(inputs)
    }

    /// The labels of the samples `range`.
    pub fn labels_of(&self, range: std::ops::Range<usize>) -> Option<&[u32]> {
        let labels = self.labels.as_deref()?;
        let each = labels.len() / self.samples;
        labels.get(range.start * each..range.end * each)
    }
}

/// How one input of a network is taken from the data.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Binding {
    /// The input.
    pub input: InputInfo,
    /// The array of the data.
    pub series: usize,
    /// The axis along which samples lie; `None` for an array that all samples share.
    pub axis: Option<usize>,
    /// Whether the graph takes one sample at a time.
    pub one_by_one: bool,
}

/// The samples `range` along `axis`.
fn slice_axis(series: &Series, axis: usize, range: &std::ops::Range<usize>) -> Result<Array, NetworkError> {
    let all = Array::floats(&series.shape, series.values.floats(0..series.values.len()))?;
    let Some(floats) = all.as_floats() else { return Ok(all) };
    let part = floats.slice_axis(ndarray::Axis(axis), ndarray::Slice::from(range.clone()));
    Ok(Array::F32(part.as_standard_layout().into_owned()))
}

fn read_file(name: &str, source: &dyn Source) -> Result<Contents, NetworkError> {
    let head = read_part(source, name, 0, source.len().min(4), 4)?;
    if head.starts_with(b"\x1f\x8b") {
        let packed = read_part(source, name, 0, source.len(), MOST_BYTES)?;
        let mut bytes = Vec::new();
        let mut stream = flate2::read::MultiGzDecoder::new(packed.as_slice()).take(MOST_BYTES + 1);
        let broken = |_| NetworkError::data(shown(name), "a gzip stream", "a damaged one");
        stream.read_to_end(&mut bytes).map_err(broken)?;
        if bytes.len() as u64 > MOST_BYTES {
            let expected = format!("at most {MOST_BYTES} bytes inside");
            return Err(NetworkError::data(shown(name), expected, "more"));
        }
        return read_bytes(name, &bytes);
    }
    if head.starts_with(b"PK") || head.starts_with(b"\x93NUM") {
        return numpy::read(name, source);
    }
    let bytes = read_part(source, name, 0, source.len(), MOST_BYTES)?;
    read_bytes(name, &bytes)
}

fn read_bytes(name: &str, bytes: &[u8]) -> Result<Contents, NetworkError> {
    if bytes.starts_with(b"PK") || bytes.starts_with(b"\x93NUM") {
        return numpy::read(name, &bytes.to_vec());
    }
    if idx::is_idx(bytes) {
        return idx::read(name, bytes);
    }
    if cifar::is_cifar(bytes) {
        return cifar::read(bytes);
    }
    let expected = "MNIST idx, CIFAR-10 binary batches, .npz or .npy";
    let start: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    Err(NetworkError::data(shown(name), expected, format!("a file that starts with {}", start.join(" "))))
}

/// Puts two files together: samples and labels, or samples behind samples.
fn join(mut a: Contents, b: Contents, name: &str) -> Result<Contents, NetworkError> {
    for series in b.series {
        let Some(before) = a.series.iter_mut().find(|before| before.name == series.name) else {
            a.series.push(series);
            continue;
        };
        let same = before.sample_shape() == series.sample_shape();
        match (&mut before.values, series.values) {
            (Values::U8(v), Values::U8(more)) if same => v.extend(more),
            (Values::F32(v), Values::F32(more)) if same => v.extend(more),
            (Values::I32(v), Values::I32(more)) if same => v.extend(more),
            _ => {
                let expected = format!("samples of shape {:?} like the files before", before.sample_shape());
                let found = format!("{:?}", series.shape.get(1..).unwrap_or_default());
                return Err(NetworkError::data(shown(name), expected, found));
            }
        }
        if let (Some(count), Some(more)) = (before.shape.first_mut(), series.shape.first()) {
            *count += more;
        }
    }
    match (&mut a.labels, b.labels) {
        (Some(labels), Some(more)) => labels.extend(more),
        (None, labels) => a.labels = labels,
        _ => {}
    }
    Ok(Contents { kind: if a.kind == "labels" { b.kind } else { a.kind }, ..a })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idx_file(dims: &[u32], values: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, 8, dims.len() as u8];
        file.extend(dims.iter().flat_map(|n| n.to_be_bytes()));
        file.extend(values);
        file
    }

    fn open(files: &[(&str, Vec<u8>)]) -> Result<DataSet, NetworkError> {
        let files: Vec<(String, &dyn Source)> =
            files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes as &dyn Source)).collect();
        DataSet::open(&files)
    }

    fn input(shape: &[Option<usize>]) -> InputInfo {
        InputInfo { name: "x".to_owned(), shape: shape.to_vec(), is_float: true }
    }

    #[test]
    fn mnist_is_two_files_in_any_order_gzipped_or_not() {
        use std::io::Write as _;
        let images = idx_file(&[2, 1, 3], &[0, 51, 102, 153, 204, 255]);
        let labels = idx_file(&[2], &[7, 1]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&images).unwrap();
        let packed = gzip.finish().unwrap();
        for files in [
            vec![("images", images), ("labels", labels.clone())],
            vec![("labels", labels), ("images.gz", packed)],
        ] {
            let data = open(&files).unwrap();
            assert_eq!((data.samples, data.kind.as_str()), (2, "MNIST idx"));
            assert_eq!(data.labels.as_deref(), Some(&[7, 1][..]));
            let bindings = data.binding(&[input(&[None, Some(1), Some(1), Some(3)])]).unwrap();
            let batch = data.batch(&bindings, &Preprocess::default(), 1..2).unwrap();
            assert_eq!(batch["x"], Array::floats(&[1, 1, 1, 3], vec![0.6, 0.8, 1.0]).unwrap());
        }
    }

    #[test]
    fn cifar_batches_add_up() {
        let record = |label: u8, value: u8| [vec![label], vec![value; 3072]].concat();
        let data =
            open(&[("a.bin", record(3, 1)), ("b.bin", [record(9, 2), record(0, 3)].concat())]).unwrap();
        assert_eq!((data.samples, data.series[0].shape.as_slice()), (3, &[3, 3, 32, 32][..]));
        assert_eq!(data.labels, Some(vec![3, 9, 0]));
    }

    #[test]
    fn files_that_do_not_fit_are_named() {
        let sentence = |files: &[(&str, Vec<u8>)]| open(files).unwrap_err().to_string();
        assert_eq!(
            sentence(&[("a", idx_file(&[2], &[7, 1]))]),
            "data: the files: expected samples beside the labels (for MNIST choose the images' and the labels' file together), found labels alone"
        );
        assert_eq!(
            sentence(&[("x", idx_file(&[2, 2, 2], &[0; 7]))]),
            "data: x: expected 8 bytes for 2 × 2 × 2, found 7"
        );
        assert_eq!(
            sentence(&[("x", idx_file(&[2, 1, 1], &[0; 2])), ("y", idx_file(&[3], &[0; 3]))]),
            "data: the labels: expected as many as samples, found 3 labels for 2 samples"
        );
        assert!(sentence(&[("x", idx_file(&[u32::MAX, u32::MAX, u32::MAX], &[]))]).contains("expected"));
        assert!(sentence(&[("x.txt", b"hello".to_vec())]).contains("starts with 68 65 6c 6c"));
        assert!(sentence(&[("x.gz", vec![0x1f, 0x8b, 8, 0])]).contains("gzip"));
        assert!(sentence(&[]).contains("at least one"));
    }

    #[test]
    fn a_network_of_several_inputs_takes_arrays_by_name() {
        let floats = |name: &str, shape: &[usize]| {
            let count = shape.iter().product::<usize>();
            Series::new(name, shape.to_vec(), Values::F32((0..count).map(|i| i as f32).collect())).unwrap()
        };
        let rate = Series::new("sr", vec![], Values::I32(vec![16000])).unwrap();
        let series = vec![floats("x", &[3, 2]), floats("state", &[2, 3, 1]), rate];
        let data = DataSet { kind: "test".to_owned(), series, labels: None, samples: 3 };
        let info = |name: &str, shape: &[Option<usize>], is_float| InputInfo {
            name: name.to_owned(),
            shape: shape.to_vec(),
            is_float,
        };
        let inputs = [
            info("x", &[None, None], true),
            info("state", &[Some(2), None, Some(1)], true),
            info("sr", &[], false),
        ];
        let bindings = data.binding(&inputs).unwrap();
        assert_eq!(bindings.iter().map(|b| b.axis).collect::<Vec<_>>(), [Some(0), Some(1), None]);
        let batch = data.batch(&bindings, &Preprocess::raw(), 1..3).unwrap();
        assert_eq!(batch["x"], Array::floats(&[2, 2], vec![2.0, 3.0, 4.0, 5.0]).unwrap());
        assert_eq!(batch["state"], Array::floats(&[2, 2, 1], vec![1.0, 2.0, 4.0, 5.0]).unwrap());
        assert_eq!(batch["sr"], Array::integers(&[], vec![16000]).unwrap());
        let error = data.binding(&[info("audio", &[None], true), info("sr", &[], false)]).unwrap_err();
        assert!(
            error.to_string().starts_with("data: input audio: expected an array of that name"),
            "{error}"
        );
    }
}
