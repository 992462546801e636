//! The walk over a pickled object that finds its tensors and names them by the keys on the way.
//!
//! Every value is visited where it can be reached, in order, without recursion; visits are bounded by the number of values, since
//! references may multiply what a small pickle spells out.

use super::checkpoint::{is_state, split, tell_apart};
use super::pickle::{Id, Pickle, Value};
use super::storage::{StorageRef, torch_dtype};
use crate::formats::error::shown;
use crate::formats::layout::{Declared, check_unique, fortran_strides, mark_ties};
use crate::formats::{FormatError, Limits, numpy_type, parts};
use crate::model::{FileFormat, Model};
use crate::tensor::{Span, Storage, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Attributes of a pickled module that only group what is below them.
const MODULE_KEYS: [&str; 3] = ["_parameters", "_buffers", "_modules"];
/// Deepest nesting that names are followed into.
const DEEPEST: usize = 100;
/// Most visits for each value of the pickle: one is what plain objects take, and references that multiply take no end.
const VISITS_PER_VALUE: u64 = 8;
/// Visits that any pickle may take.
const LEAST_VISITS: u64 = 10_000;
/// Longest name of a tensor, in bytes.
const LONGEST_NAME: u64 = 4096;
/// Most calls that wrap the call that rebuilds a tensor.
const MOST_WRAPPERS: usize = 8;
/// Most short values, notes and names of unknown calls that are kept.
const MOST_REMARKS: usize = 100;

/// The name of a value below another.
#[derive(Debug, Clone, Copy)]
enum Name {
    /// A key of a dictionary.
    Key(Id),
    /// A place in a sequence.
    Index(usize),
    /// None: it only groups what is below it.
    Group,
}

/// A place in the object, as a chain of names; spelled out only where something is found.
#[derive(Debug)]
struct Place {
    above: Option<Rc<Place>>,
    name: Name,
}

/// One step of a walk.
enum Visit {
    /// A value, where it lies and how deep.
    Enter(Id, Rc<Place>, usize),
    Leave(Id),
}

/// Finds the tensors of a pickled object.
pub(super) struct Walk<'a> {
    pickle: &'a Pickle,
    limits: &'a Limits,
    big_endian: bool,
    locate: &'a dyn Fn(&str, u64) -> Result<Storage, FormatError>,
    /// Each with its key in the root's dictionary, if that is where it was found.
    pub(super) tensors: Vec<(Option<Id>, Tensor)>,
    metadata: BTreeMap<String, String>,
    notes: Vec<String>,
    unknown: BTreeSet<String>,
    pub(super) is_partial: bool,
    visited: u64,
    /// Where the pickle's bytes lie in the file, if they do as they are.
    stored_at: Option<u64>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        pickle: &'a Pickle,
        limits: &'a Limits,
        big_endian: bool,
        stored_at: Option<u64>,
        locate: &'a dyn Fn(&str, u64) -> Result<Storage, FormatError>,
    ) -> Result<Self, FormatError> {
        let mut walk = Self {
            pickle,
            limits,
            big_endian,
            locate,
            tensors: Vec::new(),
            metadata: BTreeMap::new(),
            notes: Vec::new(),
            unknown: BTreeSet::new(),
            is_partial: false,
            visited: 0,
            stored_at,
        };
        walk.run()?;
        Ok(walk)
    }

    /// Visits everything that can be reached from the root, in order, without recursion and without following cycles.
    fn run(&mut self) -> Result<(), FormatError> {
        let most = (self.pickle.ids().len() as u64).saturating_mul(VISITS_PER_VALUE).max(LEAST_VISITS);
        let root = Rc::new(Place { above: None, name: Name::Group });
        let mut agenda = vec![Visit::Enter(self.pickle.root, root, 0)];
        // Whether each value is being walked through.
        let mut open = vec![false; self.pickle.ids().len()];
        while let Some(visit) = agenda.pop() {
            let (id, place, depth) = match visit {
                Visit::Leave(id) => {
                    if let Some(is_open) = open.get_mut(id as usize) {
                        *is_open = false;
                    }
                    continue;
                }
                Visit::Enter(id, place, depth) => (id, place, depth),
            };
            let Some(is_open) = open.get_mut(id as usize) else { continue };
            // References may multiply what a small pickle spells out: bound the visits, not only the values.
            if depth > DEEPEST || std::mem::replace(is_open, true) {
                continue;
            }
            agenda.push(Visit::Leave(id));
            let children = self.enter(id, &place, depth)?;
            self.visited += children.len() as u64;
            if self.visited > most {
                let part = "the pickled object, in values when spelled out,";
                return Err(FormatError::too_large(part, self.visited, most));
            }
            for (name, child) in children.into_iter().rev() {
                let place = Rc::new(Place { above: Some(Rc::clone(&place)), name });
                agenda.push(Visit::Enter(child, place, depth + 1));
            }
        }
        Ok(())
    }

    /// The dotted name of a place; refused where it is longer than any real one.
    fn path(&self, place: &Rc<Place>) -> Result<String, FormatError> {
        let mut parts: Vec<String> = Vec::new();
        let mut len = 0;
        let mut at = Some(place);
        while let Some(place) = at {
            let part = match place.name {
                Name::Group => String::new(),
                Name::Index(index) => index.to_string(),
                Name::Key(id) => self.key(id, 0),
            };
            len += part.len() as u64;
            if len > LONGEST_NAME {
                return Err(FormatError::too_large(
                    "the name of a pickled tensor, in bytes,",
                    len,
                    LONGEST_NAME,
                ));
            }
            parts.push(part);
            at = place.above.as_ref();
        }
        parts.retain(|part| !part.is_empty());
        parts.reverse();
        Ok(parts.join("."))
    }

    /// A dictionary's key as part of a name; keys of any type, tuples of them among these.
    fn key(&self, id: Id, depth: usize) -> String {
        match self.pickle.get(id) {
            Value::Text(text) if MODULE_KEYS.contains(&&**text) => String::new(),
            Value::Text(text) => text.to_string(),
            Value::Int(n) => n.to_string(),
            Value::Float(x) => x.to_string(),
            Value::Bool(b) => b.to_string(),
            Value::None => "None".to_owned(),
            Value::Sequence(items) if depth < 4 => {
                let parts: Vec<String> = items.iter().take(8).map(|id| self.key(*id, depth + 1)).collect();
                parts.join(".")
            }
            _ => format!("key{id}"),
        }
    }

    /// Takes in a value; what is below it, by name.
    fn enter(&mut self, id: Id, place: &Rc<Place>, depth: usize) -> Result<Vec<(Name, Id)>, FormatError> {
        Ok(match self.pickle.get(id) {
            Value::Dict(items) => Self::named(items),
            Value::Sequence(items) => items.iter().enumerate().map(|(i, id)| (Name::Index(i), *id)).collect(),
            Value::Object { callee, arguments, state, items } => {
                if self.is_array(*callee) {
                    return self.array(*state, place);
                }
                let mut children = self.object(*callee, *arguments, place)?;
                children.extend(Self::named(items));
                children.extend(state.map(|state| (Name::Group, state)));
                children
            }
            _ if depth > 3 => Vec::new(),
            Value::Int(n) => self.remark(place, n.to_string())?,
            Value::Float(x) => self.remark(place, x.to_string())?,
            Value::Bool(b) => self.remark(place, b.to_string())?,
            Value::Text(text) if text.len() <= 200 => self.remark(place, text.to_string())?,
            _ => Vec::new(),
        })
    }

    /// Keeps a short value of the first levels as metadata.
    fn remark(&mut self, place: &Rc<Place>, text: String) -> Result<Vec<(Name, Id)>, FormatError> {
        if self.metadata.len() < MOST_REMARKS {
            let path = self.path(place)?;
            if !path.is_empty() && path.matches('.').count() <= 1 && !is_state(&path) {
                self.metadata.insert(path, text);
            }
        }
        Ok(Vec::new())
    }

    fn named(items: &[(Id, Id)]) -> Vec<(Name, Id)> {
        items.iter().map(|(key, value)| (Name::Key(*key), *value)).collect()
    }

    /// Takes in a call: a tensor, a wrapper around one, or an object whose state may hold some.
    fn object(
        &mut self,
        mut callee: Id,
        mut arguments: Id,
        place: &Rc<Place>,
    ) -> Result<Vec<(Name, Id)>, FormatError> {
        // A subclass of tensor is rebuilt by a call that wraps the call that rebuilds a tensor.
        for _ in 0..MOST_WRAPPERS {
            let Some((module, name)) = self.pickle.global(callee) else { return Ok(Vec::new()) };
            let given = self.pickle.sequence(arguments).unwrap_or_default();
            match (module, name) {
                ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
                    let tensor = self.tensor(given, &self.path(place)?)?;
                    self.tensors.push((root_key(place), tensor));
                }
                ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                    return Ok(given.first().map(|id| (Name::Group, *id)).into_iter().collect());
                }
                ("torch._utils", "_rebuild_qtensor") => {
                    // Integers, and for each channel a scale and a zero point.
                    let tensor = self.tensor(given.get(..4).unwrap_or_default(), &self.path(place)?)?;
                    self.tensors.push((root_key(place), tensor));
                    self.remarked("the integers of quantized tensors are read as they are, the scales of channels beside them; single scales and zero points are not");
                    self.is_partial = true;
                    let scales = given.get(4).and_then(|id| self.pickle.sequence(*id)).unwrap_or_default();
                    return Ok(scales.iter().enumerate().map(|(i, id)| (Name::Index(i), *id)).collect());
                }
                ("torch._utils", "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor") => {
                    self.remarked(
                        "the indices and values of sparse tensors are read as they are, their shapes are not",
                    );
                    self.is_partial = true;
                    let parts = given.get(1).and_then(|id| self.pickle.sequence(*id)).unwrap_or_default();
                    return Ok(parts.iter().enumerate().map(|(i, id)| (Name::Index(i), *id)).collect());
                }
                ("torch._tensor", "_rebuild_from_type_v2") => {
                    if let [function, _, inner, ..] = given {
                        (callee, arguments) = (*function, *inner);
                        continue;
                    }
                }
                ("torch._utils", other) if other.starts_with("_rebuild_") => {
                    let path = self.path(place)?;
                    self.left_out(&path, &format!("{} is not supported", shown(other)));
                }
                ("copyreg" | "copy_reg", "_reconstructor") | ("torch.nn.parameter", _) => {}
                _ if self.unknown.len() < MOST_REMARKS => {
                    self.unknown.insert(format!("{}.{}", shown(module), shown(name)));
                }
                _ => {}
            }
            break;
        }
        Ok(Vec::new())
    }

    fn left_out(&mut self, path: &str, why: &str) {
        self.is_partial = true;
        if self.notes.len() < MOST_REMARKS {
            self.notes.push(format!("{} was not read: {why}", shown(path)));
        }
    }

    /// Keeps a note, once.
    pub(super) fn remarked(&mut self, note: &str) {
        if !self.notes.iter().any(|known| known == note) {
            self.notes.push(note.to_owned());
        }
    }

    /// Whether a call makes a `NumPy` array.
    fn is_array(&self, callee: Id) -> bool {
        matches!(
            self.pickle.global(callee),
            Some(("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct"))
        )
    }

    /// Takes in a `NumPy` array with the state (version, shape, type, column-major, data). Bytes are located where they lie in
    /// the pickle; what an array of objects holds is walked into. Bytes before protocol 3 are text, and left out with a note.
    fn array(&mut self, state: Option<Id>, place: &Rc<Place>) -> Result<Vec<(Name, Id)>, FormatError> {
        let path = self.path(place)?;
        let state = state.and_then(|state| self.pickle.sequence(state)).unwrap_or_default();
        if let Some(objects) = state.last().and_then(|data| self.pickle.sequence(*data)) {
            let is_alone = objects.len() == 1;
            let name = |i| if is_alone { Name::Group } else { Name::Index(i) };
            return Ok(objects.iter().enumerate().map(|(i, id)| (name(i), *id)).collect());
        }
        if let Some(array) = self.array_of(state, &path) {
            let tensor = array.locate(self.limits)?;
            self.tensors.push((root_key(place), tensor));
        } else {
            self.left_out(&path, "a NumPy array whose numbers do not lie in the file as they are");
        }
        Ok(Vec::new())
    }

    fn array_of(&self, state: &[Id], path: &str) -> Option<Declared> {
        let [.., shape, dtype, is_fortran, data] = state else { return None };
        let base = self.stored_at?;
        let Value::Bytes(span) = self.pickle.get(*data) else { return None };
        let extents = self.pickle.sequence(*shape)?.iter().map(|n| self.pickle.int(*n));
        let shape: Vec<u64> = extents.map(|n| u64::try_from(n?).ok()).collect::<Option<_>>()?;
        let Value::Object { arguments, state, .. } = self.pickle.get(*dtype) else { return None };
        let code = self.pickle.text(*self.pickle.sequence(*arguments)?.first()?)?;
        let order = state.and_then(|id| self.pickle.text(*self.pickle.sequence(id)?.get(1)?)).unwrap_or("<");
        let (dtype, big_endian) = numpy_type::element_type(path, &format!("{order}{code}")).ok()?;
        let strides = (self.pickle.int(*is_fortran) == Some(1)).then(|| fortran_strides(&shape));
        let name = if path.is_empty() { "array".to_owned() } else { path.to_owned() };
        let storage = Storage::Stored(Span { offset: base + span.offset, len: span.len });
        Some(Declared { name, dtype, shape, storage, offset: 0, strides, big_endian })
    }

    /// The tensor that the arguments of its rebuilding function describe.
    fn tensor(&self, arguments: &[Id], path: &str) -> Result<Tensor, FormatError> {
        let part = format!("tensor {}", shown(path));
        let wrong =
            || FormatError::damaged(&part, "a storage, an offset, sizes and strides", "other arguments");
        let [storage, offset, sizes, strides, rest @ ..] = arguments else { return Err(wrong()) };
        let reference = StorageRef::new(self.pickle, *storage)
            .ok_or_else(|| FormatError::unsupported(&part, "a storage of another kind"))?;
        let named =
            rest.iter().find_map(|id| self.pickle.global(*id).filter(|(module, _)| *module == "torch"));
        let dtype = match (named, reference.dtype) {
            (Some((_, name)), _) => torch_dtype(name)
                .ok_or_else(|| FormatError::unsupported(&part, format!("element type {}", shown(name))))?,
            (None, Some(dtype)) => dtype,
            (None, None) => {
                return Err(FormatError::unsupported(&part, "an untyped storage without an element type"));
            }
        };
        let numbers = |id: Id| -> Option<Vec<i64>> {
            self.pickle.sequence(id)?.iter().map(|n| self.pickle.int(*n)).collect()
        };
        let shape =
            numbers(*sizes).and_then(|sizes| sizes.into_iter().map(|n| u64::try_from(n).ok()).collect());
        let strides = numbers(*strides);
        let offset = self.pickle.int(*offset).and_then(|offset| offset.checked_add(reference.first));
        let offset = offset.and_then(|offset| u64::try_from(offset).ok());
        let offset = offset.and_then(|offset| offset.checked_mul(dtype.size_bytes()));
        let (Some(shape), Some(strides), Some(offset)) = (shape, strides, offset) else {
            return Err(wrong());
        };
        let storage = (self.locate)(reference.key, reference.elements)?;
        if self.tensors.len() as u64 >= self.limits.tensors {
            return Err(FormatError::too_large(
                "the number of tensors",
                self.limits.tensors + 1,
                self.limits.tensors,
            ));
        }
        let name = if path.is_empty() { "tensor".to_owned() } else { path.to_owned() };
        let big_endian = self.big_endian;
        let declared = Declared { name, dtype, shape, storage, offset, strides: Some(strides), big_endian };
        let mut tensor = declared.locate(self.limits)?;
        // The last argument of newer files: bits that say what is done to the elements when they are looked at.
        let is_set = |bit: &str| {
            rest.iter().any(|id| {
                let Value::Dict(items) = self.pickle.get(*id) else { return false };
                items.iter().any(|(k, v)| self.pickle.text(*k) == Some(bit) && self.pickle.int(*v) == Some(1))
            })
        };
        (tensor.negated, tensor.conjugated) = (is_set("neg"), is_set("conj"));
        Ok(tensor)
    }

    /// The model of what was found.
    pub(super) fn model(mut self, format: FileFormat) -> Result<Model, FormatError> {
        if !self.unknown.is_empty() {
            let names: Vec<String> = self.unknown.iter().take(5).cloned().collect();
            let more = if self.unknown.len() > 5 { " and others" } else { "" };
            let names = format!("{}{more}", names.join(", "));
            if self.tensors.is_empty() {
                return Err(FormatError::foreign(
                    format!("a PyTorch file without a tensor, whose pickle calls {names}"),
                    "nothing of it was run; save a state dict with torch.save or use safetensors",
                ));
            }
            self.notes.push(format!("the pickle also makes {names}: inert here, nothing of it was run"));
        } else if self.tensors.is_empty() && self.notes.is_empty() {
            return Err(FormatError::foreign(
                "a PyTorch file without a tensor",
                "save the model's state dict with torch.save or use safetensors",
            ));
        } else if self.tensors.is_empty() {
            return Err(FormatError::unsupported("every tensor of the file", self.notes.join("; ")));
        }
        let (mut tensors, mut extras, key) = split(self.pickle, self.tensors);
        if !extras.is_empty() {
            let bytes: u64 = extras.iter().map(Tensor::size_bytes).fold(0, u64::saturating_add);
            let count = extras.len();
            self.notes
                .push(format!("{count} tensors of other state, {bytes} bytes, are not taken for weights"));
        }
        tell_apart(&mut tensors);
        tell_apart(&mut extras);
        if let Some(key) = key {
            self.notes.push(parts::note(key));
        }
        for tensors in [&mut tensors, &mut extras] {
            check_unique("the tensor names", tensors.iter().map(|tensor| tensor.name.as_str()))?;
            mark_ties(tensors);
        }
        let is_partial = self.is_partial || !self.unknown.is_empty();
        Ok(Model {
            tensors,
            extras,
            metadata: self.metadata,
            is_partial,
            notes: self.notes,
            part: key.unwrap_or_default().to_owned(),
            ..Model::empty(format)
        })
    }
}

/// The key of the root's dictionary that a place lies under. Attributes of a root object are no such keys, and the
/// first word of a flat name such as `model.layers.0.weight` is none either.
fn root_key(place: &Rc<Place>) -> Option<Id> {
    let mut at = place;
    while let Some(above) = &at.above {
        if above.above.is_none() {
            return if let Name::Key(id) = at.name { Some(id) } else { None };
        }
        at = above;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::pickle;
    use super::*;
    use crate::tensor::Dtype;

    /// The tensors of a pickle whose storage `0` has 100 bytes.
    fn located(bytes: &[u8]) -> Result<Model, FormatError> {
        let pickle = pickle::read(bytes, 0)?;
        let locate = |_: &str, _: u64| Ok(Storage::Stored(Span { offset: 0, len: 100 }));
        Walk::new(&pickle, &Limits::default(), false, None, &locate)?.model(FileFormat::TorchZip)
    }

    /// Opcodes that push a float tensor of 2 × 3 elements from storage `0`.
    const TENSOR: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI25\ntQI4\n(I2\nI3\nt(I3\nI1\ntI00\nNtR";

    fn dict(items: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = b"(d".to_vec();
        for (key, value) in items {
            bytes.extend(format!("V{key}\n").bytes());
            bytes.extend(*value);
            bytes.push(b's');
        }
        bytes
    }

    fn whole(mut object: Vec<u8>) -> Vec<u8> {
        object.push(b'.');
        object
    }

    #[test]
    fn nested_names_weights_and_the_rest_are_told_apart() {
        let weights = dict(&[("module.fc.weight", TENSOR)]);
        let state = dict(&[("state", &dict(&[("exp_avg_sq", TENSOR)])), ("lr", b"F0.1\n")]);
        let file = whole(dict(&[("state_dict", &weights), ("optimizer", &state), ("epoch", b"I7\n")]));
        let model = located(&file).unwrap();
        assert_eq!(model.tensors.len(), 1);
        assert_eq!(model.tensors[0].name, "module.fc.weight");
        assert_eq!((model.tensors[0].shape.as_slice(), model.tensors[0].offset), ([2, 3].as_slice(), 16));
        assert_eq!(model.extras[0].name, "optimizer.state.exp_avg_sq");
        assert_eq!(model.metadata.get("epoch").map(String::as_str), Some("7"));
    }

    #[test]
    fn the_first_word_of_a_flat_name_is_no_key_of_a_checkpoint() {
        let file = whole(dict(&[
            ("model.layers.0.weight", TENSOR),
            ("lm_head.weight", TENSOR),
            ("scaler.w", TENSOR),
        ]));
        let model = located(&file).unwrap();
        let names: Vec<&str> = model.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, ["model.layers.0.weight", "lm_head.weight", "scaler.w"]);
        assert!(model.extras.is_empty() && model.notes.is_empty());
        // Beside other entries the same word is a key, if it is one of the dictionary.
        let file = whole(dict(&[("model", &dict(&[("w", TENSOR)])), ("ema", &dict(&[("w", TENSOR)]))]));
        let model = located(&file).unwrap();
        assert_eq!((model.tensors[0].name.as_str(), model.extras[0].name.as_str()), ("w", "ema.w"));
    }

    #[test]
    fn elements_that_are_negated_or_conjugated_when_looked_at_are_marked() {
        let bits = |bits: &str| {
            let tensor =
                String::from_utf8(TENSOR.to_vec()).unwrap().replace("I00\nNtR", &format!("I00\nN{bits}tR"));
            let model = located(&whole(dict(&[("w", tensor.as_bytes())]))).unwrap();
            (model.tensors[0].negated, model.tensors[0].conjugated)
        };
        assert_eq!(bits(""), (false, false));
        assert_eq!(bits("(dVneg\nI01\ns"), (true, false));
        assert_eq!(bits("(dVconj\nI01\nsVneg\nI00\ns"), (false, true));
    }

    #[test]
    fn keys_of_any_type_name_what_lies_under_them_and_equal_names_are_told_apart() {
        let mut file = b"(d".to_vec();
        for key in ["(Vblock\nI1\nt", "N", "F1.5\n", "I01\n", "I1\n", "V1\n"] {
            file.extend(key.bytes());
            file.extend(TENSOR);
            file.push(b's');
        }
        let model = located(&whole(file)).unwrap();
        let names: Vec<&str> = model.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, ["block.1", "None", "1.5", "true", "1", "1#2"]);
    }

    #[test]
    fn integers_of_quantized_and_sparse_tensors_are_read_with_what_belongs_to_them() {
        let storage = "((Vstorage\nctorch\nQInt8Storage\nV0\nVcpu\nI25\ntQI4\n(I2\nI3\nt(I3\nI1\nt";
        let scales = String::from_utf8(TENSOR.to_vec()).unwrap();
        let quantized = format!(
            "ctorch._utils\n_rebuild_qtensor\n{storage}(ctorch\nper_channel_affine\n{scales}{scales}I0\ntI00\nNtR"
        );
        let sparse =
            format!("ctorch._utils\n_rebuild_sparse_tensor\n(ctorch\nsparse_coo\n({scales}{scales}(I2\ntttR");
        let file = whole(dict(&[("q", quantized.as_bytes()), ("s", sparse.as_bytes())]));
        let model = located(&file).unwrap();
        let names: Vec<(&str, Dtype)> =
            model.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.dtype)).collect();
        let floats = ["q.1", "q.2", "s.0", "s.1"].map(|name| (name, Dtype::F32));
        assert_eq!(names, [&[("q", Dtype::I8)][..], &floats].concat());
        assert_eq!((model.notes.len(), model.is_partial), (2, true));
    }

    #[test]
    fn arrays_in_a_pickle_are_located_where_their_bytes_lie() {
        // _reconstruct(ndarray, (0,), b'b') with the state (1, (2,), dtype('f4'), False, bytes).
        let mut array =
            b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR(I1\n(I2\nt".to_vec();
        array.extend(b"cnumpy\ndtype\n(Vf4\nI00\nI01\ntR(I3\nV<\nNNNI-1\nI-1\nI0\ntbI00\nC\x08");
        array.extend([1.5f32, -2.0].map(f32::to_le_bytes).concat());
        array.extend(b"tb");
        let file = whole(dict(&[("w", &array)]));
        let pickle = pickle::read(&file, 0).unwrap();
        let none = |_: &str, _: u64| Err(FormatError::unsupported("storage", "none"));
        let limits = Limits::default();
        let model = |at| Walk::new(&pickle, &limits, false, at, &none).unwrap().model(FileFormat::TorchZip);
        let tensor = &model(Some(100)).unwrap().tensors[0];
        assert_eq!(
            (tensor.name.as_str(), tensor.shape.as_slice(), tensor.dtype),
            ("w", [2].as_slice(), Dtype::F32)
        );
        let start = file.windows(4).position(|window| window == 1.5f32.to_le_bytes()).unwrap() as u64;
        assert_eq!(tensor.storage, Storage::Stored(Span { offset: 100 + start, len: 8 }));
        let sentence = model(None).unwrap_err().to_string();
        assert!(sentence.contains("w was not read: a NumPy array"), "{sentence}");
        assert!(Walk::new(&pickle, &limits, false, None, &none).unwrap().is_partial);
    }

    #[test]
    fn a_long_text_that_names_many_classes_is_held_once() {
        let mut file = b"\x80\x04\x8d".to_vec();
        file.extend((1u64 << 20).to_le_bytes());
        file.extend(std::iter::repeat_n(b'k', 1 << 20));
        file.extend(b"\x94(");
        file.extend(std::iter::repeat_n(*b"h\x00h\x00\x93", 20_000).flatten());
        file.extend(b"l.");
        let pickle = pickle::read(&file, 0).unwrap();
        let (first, last) = (pickle.globals().next().unwrap(), pickle.globals().last().unwrap());
        assert_eq!(pickle.globals().count(), 20_000);
        assert!(std::ptr::eq(first.0, last.1), "one text serves all");
    }

    #[test]
    fn a_view_of_a_storage_starts_where_it_says() {
        let view = String::from_utf8(TENSOR.to_vec()).unwrap().replace("I25\nt", "I25\n(Vv\nI3\nI20\ntt");
        let model = located(&whole(dict(&[("w", view.as_bytes())]))).unwrap();
        assert_eq!(model.tensors[0].offset, 4 * (3 + 4));
    }

    #[test]
    fn views_outside_their_storage_are_refused() {
        let outside = String::from_utf8(TENSOR.to_vec()).unwrap().replace("QI4\n", "QI20\n");
        let sentence = located(&whole(dict(&[("w", outside.as_bytes())]))).unwrap_err().to_string();
        assert_eq!(
            sentence,
            "tensor w: expected elements inside the 100 bytes of its storage, found 24 bytes from byte 80"
        );
        let negative = String::from_utf8(TENSOR.to_vec()).unwrap().replace("(I3\nI1\nt", "(I-3\nI1\nt");
        assert!(located(&whole(dict(&[("w", negative.as_bytes())]))).is_err());
    }

    #[test]
    fn an_object_that_contains_itself_ends() {
        // A list that is appended to itself, and to a tensor's dictionary.
        let file = whole(dict(&[("loop", b"(lp0\ng0\na"), ("w", TENSOR)]));
        assert_eq!(located(&file).unwrap().tensors.len(), 1);
    }

    #[test]
    fn wrappers_of_wrappers_neither_recurse_nor_go_on_forever() {
        let mut inner = b"(ctorch._utils\n_rebuild_tensor_v2\nN".to_vec();
        for _ in 0..200_000 {
            inner.extend(b"(ctorch._tensor\n_rebuild_from_type_v2\nN");
        }
        inner.extend(std::iter::repeat_n(*b"Nt", 200_000).flatten());
        inner.extend(b"t");
        let mut file = b"ctorch._tensor\n_rebuild_from_type_v2\n".to_vec();
        file.extend(inner);
        file.extend(b"R.");
        assert!(located(&file).is_err());
    }

    #[test]
    fn references_that_multiply_are_bounded() {
        // Each list holds the one before ten times: 10^12 leaves from a hundred opcodes.
        let mut file = b"(lp0\n".to_vec();
        for level in 1..13 {
            file.extend(b"(");
            for _ in 0..10 {
                file.extend(format!("g{}\n", level - 1).bytes());
            }
            file.extend(format!("lp{level}\n").bytes());
        }
        let sentence = located(&whole(file)).unwrap_err().to_string();
        assert!(sentence.contains("in values when spelled out"), "{sentence}");
    }

    #[test]
    fn long_keys_over_long_lists_take_no_memory() {
        let mut file = b"(dV".to_vec();
        file.extend(std::iter::repeat_n(b'k', 1_000_000));
        file.extend(b"\n(");
        file.extend(std::iter::repeat_n(b'N', 1_000_000));
        file.extend(b"ls.");
        assert!(located(&file).is_err());
    }
}
