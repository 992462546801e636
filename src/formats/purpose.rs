//! What a file that is brought to an open model is for, told by its content.
//!
//! A data set is told as those who run networks tell it: MNIST's idx, gzipped or not, CIFAR-10's records of 3073 bytes, arrays with
//! labels or called `x`. Importance is what has most of its tensors' names and shapes in common with the model, and no negative number
//! where weights have about as many negative numbers as positive ones, and some that are not zero.
//!
//! Cost: that of opening the file, and some thousand numbers of one tensor.

use super::{Limits, Source, TensorReader, matching_name, open, read_part};
use crate::model::{FileFormat, Model};
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// Names of arrays that hold labels.
pub const LABELS: [&str; 4] = ["y", "label", "labels", "targets"];
/// What only an importance file of ours says of itself.
const KIND: &str = "quantscope.kind";
/// Numbers of a tensor that are looked at.
const NUMBERS: u64 = 4096;
/// Of fewer, none need be negative.
const FEW: u64 = 32;
/// Bytes of a record of CIFAR-10: a label and an image.
const CIFAR_RECORD: u64 = 3073;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Purpose {
    /// To be opened: a model, a compressed file, or what is none of the others.
    Model,
    /// To weigh the open model's errors by.
    Importance,
    /// To run the open network on.
    Samples,
    /// Arrays that may be any of them.
    Unclear,
}

/// What `source` is for where `model` is open.
pub fn purpose(source: &dyn Source, model: &Model) -> Purpose {
    if is_raw_samples(source) {
        return Purpose::Samples;
    }
    // What cannot be opened is said when that is tried.
    let Ok(found) = open(source, &Limits::default()) else { return Purpose::Model };
    if found.metadata.contains_key(KIND) {
        return Purpose::Importance;
    }
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (index, tensor) in model.tensors.iter().enumerate() {
        places.insert(matching_name(&tensor.name).to_owned(), index);
    }
    let is_shared = |tensor: &&Tensor| {
        let own = places.get(matching_name(&tensor.name)).and_then(|index| model.tensors.get(*index));
        tensor.dtype.is_float() && own.is_some_and(|own| own.shape == tensor.shape)
    };
    let shared: Vec<&Tensor> = found.tensors.iter().filter(is_shared).collect();
    // An array on its own has no name.
    if found.format != FileFormat::Npy && 2 * shared.len() > found.tensors.len() {
        let largest = shared.into_iter().max_by_key(|tensor| tensor.len());
        let shared_len = largest.map_or(0, Tensor::len);
        let is_positive = largest.is_some_and(|tensor| has_no_negative(source, tensor));
        return if is_positive && shared_len >= FEW { Purpose::Importance } else { Purpose::Model };
    }
    let is_array = |model: &Model| matches!(model.format, FileFormat::Npy | FileFormat::Npz);
    if !is_array(&found) {
        return Purpose::Model;
    }
    let is_sample = |tensor: &Tensor| {
        tensor.name == "x" || !tensor.dtype.is_float() && LABELS.contains(&tensor.name.as_str())
    };
    match found.tensors.iter().any(is_sample) {
        true => Purpose::Samples,
        false if is_array(model) => Purpose::Model,
        false => Purpose::Unclear,
    }
}

fn has_no_negative(source: &dyn Source, tensor: &Tensor) -> bool {
    let mut values = Vec::new();
    let read = TensorReader::new(source, tensor, &Limits::default())
        .and_then(|mut reader| reader.read_f32(0..tensor.len().min(NUMBERS), &mut values));
    read.is_ok() && values.iter().all(|value| *value >= 0.0) && values.iter().any(|value| *value > 0.0)
}

/// Whether a file has the samples' bytes as they are, which no weight file has.
fn is_raw_samples(source: &dyn Source) -> bool {
    let byte = |at: u64| read_part(source, "the file", at, 1, 1).ok().and_then(|b| b.first().copied());
    let head: Vec<u8> = (0..9).map_while(byte).collect();
    if matches!(head.as_slice(), [0, 0, 8, 1..=4, ..] | [0x1f, 0x8b, ..]) {
        return true;
    }
    // The ninth byte of a safetensors file is its header's first.
    let records = source.len() / CIFAR_RECORD;
    !source.is_empty()
        && source.len().is_multiple_of(CIFAR_RECORD)
        && head.get(8) != Some(&b'{')
        && (0..records.min(16)).all(|record| byte(record * CIFAR_RECORD).is_some_and(|label| label < 10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{TensorHeader, Writer};
    use crate::tensor::Dtype;

    fn file(is_npz: bool, tensors: &[(&str, Dtype, &[u64], Vec<u8>)], metadata: &[(&str, &str)]) -> Vec<u8> {
        let headers: Vec<TensorHeader> = tensors
            .iter()
            .map(|(name, dtype, shape, _)| TensorHeader {
                name: (*name).to_owned(),
                dtype: *dtype,
                shape: shape.to_vec(),
            })
            .collect();
        let metadata = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut writer = if is_npz {
            Writer::npz(Vec::new(), &headers).unwrap()
        } else {
            Writer::safetensors(Vec::new(), &headers, &metadata).unwrap()
        };
        for (.., bytes) in tensors {
            writer.write(bytes).unwrap();
        }
        writer.finish().unwrap()
    }

    fn floats(values: impl Iterator<Item = f32>) -> Vec<u8> {
        values.flat_map(f32::to_le_bytes).collect()
    }

    fn told(bytes: &[u8]) -> Purpose {
        let weights = floats((0..64).map(|i| (i % 7) as f32 - 3.0));
        let model = file(false, &[("fc.weight", Dtype::F32, &[8, 8], weights)], &[]);
        purpose(&bytes.to_vec(), &open(&model, &Limits::default()).unwrap())
    }

    #[test]
    fn importance_has_the_models_tensors_and_no_negative_number() {
        let positive = floats((0..64).map(|i| i as f32));
        let signed = floats((0..64).map(|i| 5.0 - i as f32));
        let of = |name, values: &Vec<u8>| vec![(name, Dtype::F32, &[8u64, 8][..], values.clone())];
        assert_eq!(told(&file(false, &of("module.fc.weight", &positive), &[])), Purpose::Importance);
        assert_eq!(told(&file(true, &of("fc.weight", &positive), &[])), Purpose::Importance);
        assert_eq!(told(&file(false, &of("fc.weight", &signed), &[])), Purpose::Model, "a later version");
        assert_eq!(
            told(&file(false, &of("fc.weight", &vec![0; 256]), &[])),
            Purpose::Model,
            "not trained yet"
        );
        assert_eq!(told(&file(false, &of("other", &positive), &[])), Purpose::Model);
        assert_eq!(told(&file(false, &of("other", &signed), &[(KIND, "exact")])), Purpose::Importance);
    }

    #[test]
    fn samples_have_labels_or_are_called_x_and_other_arrays_are_asked_about() {
        let x = ("images", Dtype::F32, &[4u64, 2][..], vec![0; 32]);
        let y = ("labels", Dtype::U8, &[4u64][..], vec![0; 4]);
        assert_eq!(told(&file(true, &[x.clone(), y], &[])), Purpose::Samples);
        assert_eq!(told(&file(true, &[("x", Dtype::U8, &[4, 2], vec![0; 8])], &[])), Purpose::Samples);
        assert_eq!(told(&file(true, &[x], &[])), Purpose::Unclear);
    }

    #[test]
    fn raw_samples_are_told_by_their_first_bytes() {
        assert_eq!(told(&[0, 0, 8, 3, 0, 0, 0, 1]), Purpose::Samples);
        assert_eq!(told(&[0x1f, 0x8b, 8, 0]), Purpose::Samples);
        let mut cifar = vec![200; 2 * 3073];
        (cifar[0], cifar[3073]) = (3, 9);
        assert_eq!(told(&cifar), Purpose::Samples);
        cifar[3073] = 10;
        assert_eq!(told(&cifar), Purpose::Model);
        assert_eq!((told(&[]), told(&[0, 0, 8])), (Purpose::Model, Purpose::Model));
    }
}
