//! A plan's file taken apart: what of it is held how, and the tasks that encode all of it.

use super::plan::{Fate, Plan};
use super::{BLOCK_WEIGHTS, Task};
use crate::container;
use crate::formats::Source;
use crate::model::Model;
use crate::recipe::Carry;
use crate::skeleton::{Form, Pieces, Skeleton};
use crate::task::cut;
use crate::tensor::{Dtype, Span, Storage, Tensor};
use std::borrow::Cow;

/// The skeleton as a tensor of bytes.
fn skeleton_tensor(len: u64) -> Tensor {
    Tensor::plain(String::new(), vec![len], Dtype::U8, Storage::Stored(Span { offset: 0, len }))
}

impl Plan {
    /// Takes the file apart, now that it is known what is quantized, and lists the tasks that encode it.
    pub(super) fn take_apart(&mut self, model: &Model) {
        if self.recipe.carry == Carry::File {
            match Skeleton::new(model, &|index| self.quantizes(index)) {
                Ok(skeleton) => self.skeleton = Some(skeleton),
                Err(reason) => self.notes.push(format!("only the weights are held, since {reason}")),
            }
        }
        let forms = self.skeleton.as_ref().map_or(&[][..], |skeleton| &skeleton.forms);
        for (index, (fate, tensor)) in self.fates.iter_mut().zip(&model.tensors).enumerate() {
            if matches!(fate, Fate::Quantized { .. }) {
                continue;
            }
            match (forms.get(index), tensor.storage) {
                (Some(Form::View(view)), _) => *fate = Fate::View(view.clone()),
                // Of a file that is not there nothing says that its codes were turned.
                (None, Storage::Encoded { .. }) if tensor.big_endian => {}
                (Some(Form::Codes), _) | (None, Storage::Encoded { .. }) => *fate = Fate::Codes,
                _ => {}
            }
        }
        // What equals a tensor that is held as codes is held by itself, as elements.
        let is_of_codes = |fate: &Fate| matches!(fate, Fate::SameAs(of) if matches!(self.fates.get(*of), Some(Fate::Codes)));
        let of_codes: Vec<bool> = self.fates.iter().map(is_of_codes).collect();
        for (fate, _) in self.fates.iter_mut().zip(of_codes).filter(|(_, is_of_codes)| *is_of_codes) {
            *fate = Fate::Kept;
        }
        self.tasks = self.encoding_tasks(model);
    }

    fn encoding_tasks(&self, model: &Model) -> Vec<Task> {
        let mut tasks = Vec::new();
        let skeleton = self.skeleton.as_ref().map(|_| model.tensors.len());
        for index in (0..model.tensors.len()).chain(skeleton) {
            if let Some(tensor) = self.stored(model, index)
                && !matches!(self.fates.get(index), Some(Fate::SameAs(_) | Fate::View(_)))
            {
                tasks.extend(cut(Task::whole(index, &tensor), &tensor, BLOCK_WEIGHTS));
            }
        }
        tasks
    }

    /// What the blocks of a tensor hold, as a tensor: itself, or its codes; at the index behind them, the skeleton.
    pub(super) fn stored<'a>(&self, model: &'a Model, index: usize) -> Option<Cow<'a, Tensor>> {
        let Some(tensor) = model.tensors.get(index) else {
            let skeleton = self.skeleton.as_ref().filter(|_| index == model.tensors.len())?;
            return Some(Cow::Owned(skeleton_tensor(skeleton.len)));
        };
        match (self.fates.get(index)?, tensor.storage) {
            (Fate::Codes, Storage::Encoded { span, codec, .. }) => {
                let shape = container::codes_shape(codec, span.len);
                let codes = Tensor::plain(tensor.name.clone(), shape, Dtype::U8, Storage::Stored(span));
                Some(Cow::Owned(codes))
            }
            _ => Some(Cow::Borrowed(tensor)),
        }
    }

    /// What becomes of a tensor; the skeleton, at the index behind them, is kept.
    pub(super) fn fate(&self, index: usize) -> &Fate {
        self.fates.get(index).unwrap_or(&Fate::Kept)
    }

    /// The source that the skeleton is read from, at the index behind the tensors; those are read from `source` itself.
    pub(super) fn pieces<'a>(&'a self, source: &'a dyn Source, index: usize) -> Option<Pieces<'a>> {
        let skeleton = self.skeleton.as_ref().filter(|_| index == self.fates.len())?;
        Some(Pieces::new(source, &skeleton.pieces))
    }
}
