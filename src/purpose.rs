//! What a file that is brought to an open model is for, told by its content.
//!
//! A data set is told as those who run networks tell it: MNIST's idx, gzipped or not, CIFAR-10's records of 3073 bytes,
//! arrays with labels or called `x`. Importance is most of whose tensors a [source](crate::importance::sources) finds
//! partners for in the model, if it has no negative number where weights have about as many negative numbers as positive
//! ones, and some that are not zero.
//!
//! Cost: that of opening the file, and some thousand numbers of one tensor.

use crate::formats::{Limits, Source, open, read_part};
use crate::importance::sources::{self, DEFAULT_SOURCE};
use crate::importance::{ImportanceSource, Partner};
use crate::model::{FileFormat, Model};
use crate::tensor::Tensor;

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
    /// To weigh the open model's errors by, as this source takes it.
    Importance(&'static ImportanceSource),
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
    let recognised = sources::recognise(model, &found);
    if found.metadata.contains_key(KIND) {
        return Purpose::Importance(recognised.map_or(DEFAULT_SOURCE, |(told, _)| told));
    }
    // An array on its own has no name.
    if found.format != FileFormat::Npy
        && let Some((told, matched)) = recognised
    {
        let largest = matched.partners.iter().flatten().max_by_key(|partner| partner.tensor.len());
        let is_importance = largest.is_some_and(|partner| has_no_negative(source, partner));
        return if is_importance { Purpose::Importance(told) } else { Purpose::Model };
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

fn has_no_negative(source: &dyn Source, partner: &Partner) -> bool {
    let values = partner.first_values(source, NUMBERS).unwrap_or_default();
    values.len() as u64 >= FEW
        && values.iter().all(|value| *value >= 0.0)
        && values.iter().any(|value| *value > 0.0)
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
    use crate::formats::{Contents, TensorHeader, Writer};
    use crate::importance::sources::find;
    use crate::model::FileFormat;
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
        let format = if is_npz { FileFormat::Npz } else { FileFormat::Safetensors };
        let contents = Contents { metadata: &metadata, ..Contents::of(&headers) };
        let mut writer = Writer::new(format, Vec::new(), &contents).unwrap();
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
        assert_eq!(
            told(&file(false, &of("module.fc.weight", &positive), &[])),
            Purpose::Importance(DEFAULT_SOURCE)
        );
        assert_eq!(told(&file(true, &of("fc.weight", &positive), &[])), Purpose::Importance(DEFAULT_SOURCE));
        assert_eq!(told(&file(false, &of("fc.weight", &signed), &[])), Purpose::Model, "a later version");
        assert_eq!(
            told(&file(false, &of("fc.weight", &vec![0; 256]), &[])),
            Purpose::Model,
            "not trained yet"
        );
        assert_eq!(told(&file(false, &of("other", &positive), &[])), Purpose::Model);
        assert_eq!(
            told(&file(false, &of("other", &signed), &[(KIND, "exact")])),
            Purpose::Importance(DEFAULT_SOURCE)
        );
    }

    #[test]
    fn importance_is_of_the_source_whose_shapes_it_has() {
        let weights = floats((0..32 * 40).map(|i| (i % 7) as f32 - 3.0));
        let model = file(false, &[("fc.weight", Dtype::F32, &[32, 40], weights)], &[]);
        let model = open(&model, &Limits::default()).unwrap();
        let told = |name, shape: &[u64], values: Vec<u8>| {
            purpose(&file(false, &[(name, Dtype::F32, shape, values)], &[]), &model)
        };
        let of = |id| Purpose::Importance(find(id).unwrap());
        let squares = |count: usize| floats((0..count).map(|i| i as f32));
        assert_eq!(told("fc.weight", &[32, 40], squares(32 * 40)), of("file"));
        assert_eq!(told("fc.weight", &[40], squares(40)), of("columns"));
        assert_eq!(told("fc.weight", &[32], squares(32)), of("columns"), "nothing says which axis is which");
        let moments = |sign: f32| {
            let one = |i: usize| if i.is_multiple_of(41) { sign * (i + 1) as f32 } else { -1.0 };
            floats((0..1600).map(one))
        };
        assert_eq!(told("fc.weight", &[40, 40], moments(1.0)), of("moments"));
        assert_eq!(told("state.0.exp_avg_sq", &[32, 40], squares(32 * 40)), of("adam"));
        for (name, shape, values) in [
            ("fc.weight", vec![40], floats((0..40).map(|i| i as f32 - 3.0))),
            ("fc.weight", vec![40, 40], moments(-1.0)),
            ("fc.weight", vec![41], squares(41)),
            ("fc", vec![40], squares(40)),
        ] {
            assert_eq!(told(name, &shape, values), Purpose::Model, "{name} {shape:?}");
        }
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
