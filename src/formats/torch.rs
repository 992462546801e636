//! `PyTorch` files: state dicts and checkpoints, as zip archives (1.6 and later) or legacy pickles.
//!
//! Source: `torch.serialization` and `torch._utils` of `PyTorch` 2. A tensor is the call of a rebuilding function with a storage,
//! an offset, sizes and strides; a storage is a persistent reference to bytes beside the pickle. A zip archive has one entry per
//! storage. A legacy file is five pickles (magic number, protocol, system, object, storage keys) with the storages behind them, each
//! as a count and its elements.
//!
//! Nested dictionaries, lists and objects flatten into dotted names. The weights are the tensors under a well-known
//! key (`state_dict`, …) where there is one; an optimizer's state goes to the extras.

use super::error::shown;
use super::layout::{Declared, check_unique, mark_ties};
use super::pickle::{self, Id, Pickle, Value};
use super::source::read_part;
use super::zip::{Archive, Entry};
use super::{FormatError, Limits, Source, inflate::read_storage};
use crate::model::{FileFormat, Model};
use crate::tensor::{Dtype, Span, Storage, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// Keys of a checkpoint that its weights lie under, most telling first.
const WEIGHT_KEYS: [&str; 8] =
    ["state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "params"];
/// Parts of a checkpoint that are not weights.
const STATE_KEYS: [&str; 6] =
    ["optimizer", "optimizer_state_dict", "optim", "optimizers", "optimizer_states", "scaler"];
/// Attributes of a pickled module that only group what is below them.
const MODULE_KEYS: [&str; 3] = ["_parameters", "_buffers", "_modules"];
/// The first pickle of a legacy file holds 0x1950a86a20f9469cfc6c.
const LEGACY_MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// Deepest nesting that names are followed into.
const DEEPEST: usize = 100;

/// The pickle of a `PyTorch` archive.
pub(super) fn find_pickle(archive: &Archive) -> Option<&Entry> {
    let is_data = |name: &str| name == "data.pkl" || name.ends_with("/data.pkl");
    archive.entries().iter().find(|entry| is_data(&entry.name))
}

/// Locates the tensors of a zip archive whose pickle is `entry`.
pub(super) fn open_zip(
    source: &dyn Source,
    archive: &Archive,
    entry: &Entry,
    limits: &Limits,
) -> Result<Model, FormatError> {
    let prefix = entry.name.strip_suffix("data.pkl").unwrap_or_default();
    let read = |entry: &Entry| {
        let storage = entry.storage(source)?;
        read_storage(source, &shown(&entry.name), &storage, 0, storage.len(), limits.header_bytes)
    };
    let pickle = pickle::read(&read(entry)?, 0)?;
    let big_endian = match archive.find(&format!("{prefix}byteorder")) {
        Some(entry) => read(entry)?.starts_with(b"big"),
        None => false,
    };
    let locate = |key: &str, _: u64| {
        let name = format!("{prefix}data/{key}");
        let entry = archive.find(&name).ok_or_else(|| {
            FormatError::damaged("the archive", format!("an entry {}", shown(&name)), "none of that name")
        })?;
        entry.storage(source)
    };
    Walk::new(&pickle, limits, big_endian, &locate)?.model(FileFormat::TorchZip)
}

/// Reads one pickle at `offset`, looking at as much of the file as it takes.
fn pickle_at(source: &dyn Source, offset: u64, limits: &Limits) -> Result<Pickle, FormatError> {
    let rest = source.len().saturating_sub(offset);
    let mut window = 1 << 16;
    loop {
        let len = rest.min(window);
        let bytes = read_part(source, "the pickle", offset, len, limits.header_bytes)?;
        match pickle::read(&bytes, offset) {
            Err(FormatError::Truncated { .. }) if len < rest && len < limits.header_bytes => {
                window = (window * 8).min(limits.header_bytes);
            }
            other => return other,
        }
    }
}

/// Locates the tensors of a legacy file; refuses other pickles.
pub(super) fn open_pickle(source: &dyn Source, limits: &Limits) -> Result<Model, FormatError> {
    let head = read_part(source, "the file's start", 0, source.len().min(32), 32)?;
    if !(head.starts_with(b"\x80") && head.get(2..).is_some_and(|rest| rest.starts_with(LEGACY_MAGIC))) {
        return Err(plain_pickle(source, limits));
    }
    let mut at = 0;
    let mut pickles = Vec::new();
    for _ in 0..5 {
        let pickle = pickle_at(source, at, limits)?;
        at += pickle.len as u64;
        pickles.push(pickle);
    }
    let [_, protocol, system, object, keys] = pickles.as_slice() else {
        unreachable!("five pickles were read")
    };
    if protocol.int(protocol.root) != Some(1001) {
        let found = format!("{:?}", protocol.get(protocol.root));
        return Err(FormatError::damaged("the legacy file's protocol", "1001", shown(&found)));
    }
    let big_endian = matches!(system.get(system.root), Value::Dict(items)
        if items.iter().any(|(k, v)| system.text(*k) == Some("little_endian") && system.int(*v) == Some(0)));
    let storages = legacy_storages(source, object, keys, at)?;
    let locate = |key: &str, _: u64| {
        storages.get(key).copied().map(Storage::Stored).ok_or_else(|| {
            FormatError::damaged("the legacy file", format!("a storage {}", shown(key)), "none of that key")
        })
    };
    Walk::new(object, limits, big_endian, &locate)?.model(FileFormat::TorchLegacy)
}

/// Where each storage of a legacy file lies: in the order of the keys, each after a count of its elements.
fn legacy_storages(
    source: &dyn Source,
    object: &Pickle,
    keys: &Pickle,
    mut at: u64,
) -> Result<BTreeMap<String, Span>, FormatError> {
    let mut declared = BTreeMap::new();
    for id in object.ids() {
        if let Some(storage) = StorageRef::new(object, id) {
            declared.entry(storage.key.to_owned()).or_insert((storage.dtype, storage.elements));
        }
    }
    let order = keys.sequence(keys.root).unwrap_or_default();
    let mut spans = BTreeMap::new();
    for id in order {
        let key = keys.text(*id).unwrap_or_default();
        let part = format!("storage {}", shown(key));
        let count = read_part(source, &part, at, 8, 8)?;
        let count = count.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
        let Some((dtype, elements)) = declared.get(key) else {
            return Err(FormatError::damaged(
                part,
                "a storage that the object refers to",
                "one that it does not",
            ));
        };
        if u64::try_from(count) != Ok(*elements) {
            let part = format!("{part} at byte {at}");
            return Err(FormatError::damaged(part, format!("{elements} elements"), count.to_string()));
        }
        let size = dtype.map_or(Some(*elements), |dtype| elements.checked_mul(dtype.size_bytes()));
        let offset = at + 8;
        let found = source.len().saturating_sub(offset);
        let len = size.filter(|len| *len <= found).ok_or(FormatError::Truncated {
            part,
            offset,
            needed: size.unwrap_or(u64::MAX),
            found,
        })?;
        spans.insert(key.to_owned(), Span { offset, len });
        at = offset + len;
    }
    Ok(spans)
}

/// What to say of a pickle that is no `PyTorch` file.
fn plain_pickle(source: &dyn Source, limits: &Limits) -> FormatError {
    match pickle_at(source, 0, limits) {
        Ok(pickle) => {
            let named: BTreeSet<String> =
                pickle.globals().map(|(module, name)| format!("{module}.{name}")).collect();
            let named: Vec<String> = named.iter().take(3).map(|name| shown(name)).collect();
            let names =
                if named.is_empty() { String::new() } else { format!(" that names {}", named.join(", ")) };
            FormatError::foreign(
                format!("a Python pickle{names}"),
                "nothing of it was run; only PyTorch's pickles have weights that can be located, so save a state dict with \
                 torch.save or use safetensors",
            )
        }
        Err(FormatError::Truncated { offset, .. }) => FormatError::foreign(
            format!("a Python pickle cut short at byte {offset}"),
            "download or save it again",
        ),
        Err(error) => FormatError::foreign(
            format!("something that starts like a Python pickle and is none ({error})"),
            "expected safetensors, .npy, .npz or a PyTorch file",
        ),
    }
}

/// The element type of a typed storage class, such as `FloatStorage`; `None` for untyped bytes.
fn storage_dtype(name: &str) -> Option<Option<Dtype>> {
    Some(Some(match name.strip_suffix("Storage")? {
        "Double" => Dtype::F64,
        "Float" => Dtype::F32,
        "Half" => Dtype::F16,
        "BFloat16" => Dtype::Bf16,
        "Long" => Dtype::I64,
        "Int" => Dtype::I32,
        "Short" => Dtype::I16,
        "Char" => Dtype::I8,
        "Byte" => Dtype::U8,
        "Bool" => Dtype::Bool,
        "ComplexFloat" => Dtype::C64,
        "ComplexDouble" => Dtype::C128,
        "Untyped" => return Some(None),
        _ => return None,
    }))
}

/// The element type that torch calls this.
fn torch_dtype(name: &str) -> Option<Dtype> {
    Some(match name {
        "float64" | "double" => Dtype::F64,
        "float32" | "float" => Dtype::F32,
        "float16" | "half" => Dtype::F16,
        "bfloat16" => Dtype::Bf16,
        "float8_e4m3fn" => Dtype::F8E4M3,
        "float8_e5m2" => Dtype::F8E5M2,
        "int64" | "long" => Dtype::I64,
        "int32" | "int" => Dtype::I32,
        "int16" | "short" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint64" => Dtype::U64,
        "uint32" => Dtype::U32,
        "uint16" => Dtype::U16,
        "uint8" => Dtype::U8,
        "bool" => Dtype::Bool,
        "complex64" => Dtype::C64,
        "complex128" => Dtype::C128,
        _ => return None,
    })
}

/// A persistent reference to a storage: ('storage', class, key, device, number of elements).
struct StorageRef<'a> {
    key: &'a str,
    dtype: Option<Dtype>,
    elements: u64,
}

impl<'a> StorageRef<'a> {
    fn new(pickle: &'a Pickle, id: Id) -> Option<Self> {
        let Value::Persistent(reference) = pickle.get(id) else { return None };
        let [tag, class, key, _, elements, ..] = pickle.sequence(*reference)? else { return None };
        if pickle.text(*tag) != Some("storage") {
            return None;
        }
        let (_, class) = pickle.global(*class)?;
        let dtype = storage_dtype(class)?;
        Some(Self { key: pickle.text(*key)?, dtype, elements: u64::try_from(pickle.int(*elements)?).ok()? })
    }
}

/// One step of a walk.
enum Visit {
    Enter(Id, String, usize),
    Leave(Id),
}

/// Finds the tensors of a pickled object.
struct Walk<'a> {
    pickle: &'a Pickle,
    limits: &'a Limits,
    big_endian: bool,
    locate: &'a dyn Fn(&str, u64) -> Result<Storage, FormatError>,
    tensors: Vec<Tensor>,
    metadata: BTreeMap<String, String>,
    notes: Vec<String>,
    unknown: BTreeSet<String>,
    visited: u64,
}

impl<'a> Walk<'a> {
    fn new(
        pickle: &'a Pickle,
        limits: &'a Limits,
        big_endian: bool,
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
            visited: 0,
        };
        walk.run()?;
        Ok(walk)
    }

    /// Visits everything that can be reached from the root, in order, without recursion and without following cycles.
    fn run(&mut self) -> Result<(), FormatError> {
        let mut agenda = vec![Visit::Enter(self.pickle.root, String::new(), 0)];
        let mut open = BTreeSet::new();
        while let Some(visit) = agenda.pop() {
            let (id, path, depth) = match visit {
                Visit::Leave(id) => {
                    open.remove(&id);
                    continue;
                }
                Visit::Enter(id, path, depth) => (id, path, depth),
            };
            // References may multiply what a small pickle spells out: bound the visits, not only the values.
            self.visited += 1;
            if self.visited > 4_000_000 {
                return Err(FormatError::too_large(
                    "the pickled object, in values when spelled out,",
                    self.visited,
                    4_000_000,
                ));
            }
            if depth > DEEPEST || !open.insert(id) {
                continue;
            }
            agenda.push(Visit::Leave(id));
            let children = self.enter(id, &path)?;
            agenda.extend(
                children
                    .into_iter()
                    .rev()
                    .map(|(name, child)| Visit::Enter(child, join(&path, &name), depth + 1)),
            );
        }
        Ok(())
    }

    /// Takes in a value; what is below it, by name.
    fn enter(&mut self, id: Id, path: &str) -> Result<Vec<(String, Id)>, FormatError> {
        Ok(match self.pickle.get(id) {
            Value::Dict(items) => self.named(items),
            Value::Sequence(items) => items.iter().enumerate().map(|(i, id)| (i.to_string(), *id)).collect(),
            Value::Object { callee, arguments, state, items } => {
                let mut children = self.object(*callee, *arguments, path)?;
                children.extend(self.named(items));
                if let Some(state) = state {
                    children.push((String::new(), *state));
                }
                children
            }
            Value::Int(n) => self.remark(path, n.to_string()),
            Value::Float(x) => self.remark(path, x.to_string()),
            Value::Bool(b) => self.remark(path, b.to_string()),
            Value::Text(text) if text.len() <= 200 => self.remark(path, text.clone()),
            _ => Vec::new(),
        })
    }

    /// Keeps a short value of the first levels as metadata.
    fn remark(&mut self, path: &str, text: String) -> Vec<(String, Id)> {
        if !path.is_empty() && path.matches('.').count() <= 1 && self.metadata.len() < 100 && !is_state(path)
        {
            self.metadata.insert(path.to_owned(), text);
        }
        Vec::new()
    }

    fn named(&self, items: &[(Id, Id)]) -> Vec<(String, Id)> {
        let name = |id: Id| match self.pickle.get(id) {
            Value::Text(text) => Some(text.clone()),
            Value::Int(n) => Some(n.to_string()),
            _ => None,
        };
        items.iter().filter_map(|(key, value)| Some((name(*key)?, *value))).collect()
    }

    /// Takes in a call: a tensor, a wrapper around one, or an object whose state may hold some.
    fn object(&mut self, callee: Id, arguments: Id, path: &str) -> Result<Vec<(String, Id)>, FormatError> {
        let below = |id: Option<&Id>| id.map(|id| (String::new(), *id)).into_iter().collect();
        let Some((module, name)) = self.pickle.global(callee) else { return Ok(Vec::new()) };
        let arguments = self.pickle.sequence(arguments).unwrap_or_default();
        match (module, name) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
                self.tensor(arguments, path)?;
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                return Ok(below(arguments.first()));
            }
            ("torch._tensor", "_rebuild_from_type_v2") => {
                if let [function, _, inner, ..] = arguments {
                    return self.object(*function, *inner, path);
                }
            }
            ("torch._utils", other) if other.starts_with("_rebuild_") => {
                self.notes.push(format!("{} was left out: {} is not supported", shown(path), shown(other)));
            }
            ("copyreg" | "copy_reg", "_reconstructor") | ("torch.nn.parameter", _) => {}
            _ => {
                self.unknown.insert(format!("{module}.{name}"));
            }
        }
        Ok(Vec::new())
    }

    /// Takes in a tensor from the arguments of its rebuilding function.
    fn tensor(&mut self, arguments: &[Id], path: &str) -> Result<(), FormatError> {
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
        let offset = self.pickle.int(*offset).and_then(|offset| u64::try_from(offset).ok());
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
        self.tensors.push(declared.locate(self.limits)?);
        Ok(())
    }

    /// The model of what was found.
    fn model(mut self, format: FileFormat) -> Result<Model, FormatError> {
        if !self.unknown.is_empty() {
            let names: Vec<String> = self.unknown.iter().take(5).map(|name| shown(name)).collect();
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
        let (mut tensors, extras, prefix) = split(self.tensors);
        if let Some(prefix) = prefix {
            self.notes.push(format!("the weights are those under {}", shown(prefix.trim_end_matches('.'))));
        }
        check_unique("the tensor names", tensors.iter().map(|tensor| tensor.name.as_str()))?;
        mark_ties(&mut tensors);
        Ok(Model { format, tensors, extras, metadata: self.metadata, notes: self.notes })
    }
}

fn join(path: &str, name: &str) -> String {
    match (path.is_empty(), name.is_empty() || MODULE_KEYS.contains(&name)) {
        (_, true) => path.to_owned(),
        (true, false) => name.to_owned(),
        (false, false) => format!("{path}.{name}"),
    }
}

/// Whether a path leads into an optimizer's state.
fn is_state(path: &str) -> bool {
    let first = path.split('.').next().unwrap_or_default();
    let bare = path.strip_prefix("state.").and_then(|rest| rest.split_once('.'));
    STATE_KEYS.contains(&first) || bare.is_some_and(|(number, _)| number.bytes().all(|b| b.is_ascii_digit()))
}

/// Weights and extras: the weights lie under the first well-known key that leads to a tensor, with that prefix removed.
fn split(tensors: Vec<Tensor>) -> (Vec<Tensor>, Vec<Tensor>, Option<String>) {
    let (state, rest): (Vec<Tensor>, Vec<Tensor>) =
        tensors.into_iter().partition(|tensor| is_state(&tensor.name));
    let mut prefixes = WEIGHT_KEYS.iter().map(|key| format!("{key}."));
    // A wrapper's prefix that all weights share is theirs to keep: only a key beside others, or a telling one, is a part.
    let prefix = prefixes.find(|prefix| {
        let below = rest.iter().filter(|tensor| tensor.name.starts_with(prefix.as_str())).count();
        below > 0 && (prefix.contains("state") || below < rest.len() || !state.is_empty())
    });
    let Some(prefix) = prefix else { return (rest, state, None) };
    let (mut weights, mut extras): (Vec<Tensor>, Vec<Tensor>) =
        rest.into_iter().partition(|tensor| tensor.name.starts_with(&prefix));
    for tensor in &mut weights {
        tensor.name = tensor.name.split_off(prefix.len());
    }
    extras.extend(state);
    (weights, extras, Some(prefix))
}
