//! Parts of a checkpoint: its weights, averages of them, an optimizer's state. One of them is taken for the weights.
//!
//! A part is what lies under a key of the file's outermost dictionary; the names of tensors that are not the weights begin
//! with it.

use super::FormatError;
use super::layout::mark_ties;
use crate::model::Model;
use crate::tensor::Tensor;

/// What is said of the part that the weights are.
pub(super) fn note(part: &str) -> String {
    format!("the weights are those under {part}")
}

/// The parts of a file that hold floats and are not taken for the weights, in order.
pub fn other_parts(model: &Model) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for tensor in model.extras.iter().filter(|tensor| tensor.dtype.is_float()) {
        if let Some((part, _)) = tensor.name.split_once('.')
            && !parts.iter().any(|known| known == part)
        {
            parts.push(part.to_owned());
        }
    }
    parts
}

/// The model with another of its parts taken for the weights; as it is for the part that it has, and for none.
///
/// A part that is not there is refused.
pub(super) fn select(mut model: Model, part: &str) -> Result<Model, FormatError> {
    if part.is_empty() || part == model.part {
        return Ok(model);
    }
    let inner = |tensor: &Tensor| tensor.name.strip_prefix(part)?.strip_prefix('.').map(str::to_owned);
    let (mut taken, mut left) = (Vec::new(), Vec::new());
    for mut tensor in model.extras {
        tensor.same_as = None;
        match inner(&tensor) {
            Some(name) => {
                tensor.name = name;
                taken.push(tensor);
            }
            None => left.push(tensor),
        }
    }
    model.extras = left;
    if taken.is_empty() {
        let parts = other_parts(&model);
        let expected = if parts.is_empty() { "a file with parts".to_owned() } else { parts.join(" or ") };
        return Err(FormatError::damaged("the part to take for the weights", expected, part));
    }
    for mut tensor in std::mem::replace(&mut model.tensors, taken) {
        tensor.same_as = None;
        if !model.part.is_empty() {
            tensor.name = format!("{}.{}", model.part, tensor.name);
        }
        model.extras.push(tensor);
    }
    let former = note(&model.part);
    model.notes.retain(|note| *note != former);
    model.notes.push(note(part));
    part.clone_into(&mut model.part);
    for tensors in [&mut model.tensors, &mut model.extras] {
        mark_ties(tensors);
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FileFormat;
    use crate::tensor::{Dtype, Span, Storage};

    fn checkpoint() -> Model {
        let tensor = |(at, name): (usize, &str)| {
            let storage = Storage::Stored(Span { offset: 16 * (at as u64 % 3), len: 16 });
            Tensor::plain(name.to_owned(), vec![4], Dtype::F32, storage)
        };
        let extras = ["ema.a", "ema.b", "optimizer.state.0.exp_avg", "ema.c"].into_iter().enumerate();
        Model {
            tensors: vec![tensor((5, "a"))],
            extras: extras.map(tensor).collect(),
            part: "model".to_owned(),
            notes: vec![note("model")],
            ..Model::empty(FileFormat::TorchZip)
        }
    }

    #[test]
    fn another_part_is_taken_and_nothing_is_lost() {
        assert_eq!(other_parts(&checkpoint()), ["ema", "optimizer"]);
        assert_eq!(select(checkpoint(), "model").unwrap(), checkpoint());
        let model = select(checkpoint(), "ema").unwrap();
        let names = |tensors: &[Tensor]| tensors.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&model.tensors), ["a", "b", "c"]);
        assert_eq!(names(&model.extras), ["optimizer.state.0.exp_avg", "model.a"]);
        assert_eq!((model.part.as_str(), model.notes), ("ema", vec![note("ema")]));
        assert_eq!(model.tensors[2].same_as, Some(0));
    }

    #[test]
    fn a_part_that_is_not_there_is_refused() {
        let sentence = select(checkpoint(), "em").unwrap_err().to_string();
        assert_eq!(sentence, "the part to take for the weights: expected ema or optimizer, found em");
    }
}
