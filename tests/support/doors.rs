//! The doors that hostile bytes come in by, each with all that stands behind it; whether they were let in.
//!
//! Broken files (`tests/mutations.rs`) and the fuzz targets (`fuzz/`) go through the same ones. A panic is a find, and so is memory
//! that the bytes do not warrant ([`held_beyond`]) or time (the fuzzer's limit).

use quantscope::container::{BLOCK_WEIGHTS, Entry};
use quantscope::engine::Restored;
use quantscope::formats::{FormatError, Joined, Limits, Source, TensorReader, open};
use quantscope::importance::{Importance, ImportanceChoice, ImportanceError, sources::SOURCES};
use quantscope::model::Model;
use quantscope::network::data::{DataSet, Preprocess};
use quantscope::network::inputs::ways;
use quantscope::network::model::ModelBytes;
use quantscope::network::{Graph, Network};
use quantscope::purpose::purpose;
use quantscope::recipe::Recipe;
use quantscope::tensor::Tensor;
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::resign::resigned;

/// Memory that is held now, and the most that was.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[allow(unsafe_code)] // the trait asks for it; every call goes on to the system's
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A file takes less than this, or than eight times its own size.
const MOST_BYTES: usize = 100 << 20;
/// Elements of a compressed file that are decoded: its first blocks, so that one input does not take seconds.
const MOST_ELEMENTS: u64 = 1 << 18;

/// Goes through a door with `bytes`; what came of it, and the bytes that were held beyond what a file of this size warrants.
pub fn held_beyond(door: impl Fn(&[u8]) -> bool, bytes: &[u8]) -> (bool, usize) {
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let good = door(bytes);
    let took = MOST.load(Ordering::Relaxed).saturating_sub(before);
    (good, (took + 1).saturating_sub(MOST_BYTES.max(8 * bytes.len())))
}

/// A weight file of any format: opened, read to its end, told what it is for beside itself, and weighed by itself.
pub fn weights(bytes: &[u8]) -> bool {
    read_whole(&bytes).is_ok()
}

fn read_whole(source: &dyn Source) -> Result<(), FormatError> {
    let limits = Limits::default();
    let model = open(source, &limits)?;
    for tensor in model.tensors.iter().chain(&model.extras) {
        let mut reader = TensorReader::new(source, tensor, &limits)?;
        let (mut values, mut at) = (Vec::new(), 0);
        while at < tensor.len() {
            let end = (at + 65_536).min(tensor.len());
            values.clear();
            reader.read(at..end, &mut values)?;
            at = end;
        }
    }
    let _ = purpose(source, &model);
    if model.tensors.iter().map(Tensor::len).fold(0, u64::saturating_add) <= MOST_ELEMENTS {
        let _ = weighed(source, &model);
    }
    Ok(())
}

/// A file as importance of its own weights, whichever sources take it so.
fn weighed(source: &dyn Source, model: &Model) -> Result<(), ImportanceError> {
    for kind in SOURCES {
        let Ok(mut importance) = Importance::new(kind, &ImportanceChoice::of(kind), model, model) else {
            continue;
        };
        let tasks = importance.survey_tasks();
        let surveys: Result<Vec<_>, _> = tasks.iter().map(|task| importance.survey(source, task)).collect();
        if importance.absorb(&surveys?).is_ok() {
            for task in &tasks {
                let mut values = Vec::new();
                importance.reader(source, task.tensor, None)?.read(task.start..task.end, &mut values)?;
                assert_eq!(values.len() as u64, task.end, "{} weighs every weight", kind.id);
                assert!(values.iter().all(|value| *value >= 0.0), "{} has no other importance", kind.id);
            }
        }
    }
    Ok(())
}

/// A compressed file as it is.
pub fn container(bytes: &[u8]) -> bool {
    let Ok(reader) = quantscope::engine::open_container(&bytes) else { return false };
    let whole = reader.verify_checksums(&bytes).is_ok();
    let mut left = MOST_ELEMENTS;
    for (index, entry) in reader.manifest().tensors.iter().enumerate() {
        let Ok(decoder) = reader.decoder(index) else { return false };
        let mut values = Vec::new();
        for block in 0..decoder.blocks() {
            let len = entry.len().min(BLOCK_WEIGHTS as u64);
            if len > left {
                return whole;
            }
            left -= len;
            values.clear();
            if decoder.decode_block(&bytes, block, &mut values).is_err() {
                return false;
            }
        }
    }
    whole
}

/// A compressed file as what it gives back: the files, and its tensors however they are held.
pub fn restored(bytes: &[u8]) -> bool {
    let Ok(reader) = quantscope::engine::open_container(&bytes) else { return false };
    let elements = reader.manifest().holders().map(Entry::len).fold(0, u64::saturating_add);
    if elements > MOST_ELEMENTS {
        return false;
    }
    let of_tensors = (0..reader.manifest().tensors.len())
        .all(|index| quantscope::engine::elements(&bytes, &reader, index, &mut |_| Ok(())).is_ok());
    let Some(restored) = Restored::new(&bytes, &reader) else { return of_tensors };
    let mut len = 0;
    let whole = restored.write(&mut std::io::sink(), &mut |bytes| len += bytes);
    assert!(len <= reader.manifest().file_bytes(), "no more is given back than was said");
    of_tensors && whole.is_ok()
}

/// The same with checksums made right again.
pub fn resigned_restored(bytes: &[u8]) -> bool {
    restored(&resigned(bytes.to_vec()))
}

/// A compressed file whose checksums were made right again.
pub fn resigned_container(bytes: &[u8]) -> bool {
    container(&resigned(bytes.to_vec()))
}

/// A recipe as a line, a link or a file: what is let in means what it prints.
pub fn recipe(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let by_line = Recipe::from_line(&text);
    if let Ok(recipe) = &by_line {
        assert_eq!(Recipe::from_line(&recipe.to_whole_line()).as_ref(), Ok(recipe), "{text}");
    }
    let by_link = Recipe::from_link(&text);
    if let Ok((recipe, hash)) = &by_link {
        let link = recipe.to_link(hash.as_deref().unwrap_or_default());
        assert_eq!(Recipe::from_link(&link).map(|(recipe, _)| recipe).as_ref(), Ok(recipe), "{text}");
    }
    let by_file = Recipe::from_json(&text);
    if let Ok((recipe, _)) = &by_file {
        assert_eq!(Recipe::from_line(&recipe.to_whole_line()).as_ref(), Ok(recipe), "{text}");
    }
    if let Ok(preprocess) = Preprocess::from_line(&text) {
        let again = Preprocess::from_line(&preprocess.to_line());
        assert_eq!(again.ok().as_ref(), Some(&preprocess), "{text}");
    }
    by_line.is_ok() || by_link.is_ok() || by_file.is_ok()
}

/// A file as samples to run a network on.
pub fn samples(bytes: &[u8]) -> bool {
    data_set(&[("samples".to_owned(), &bytes)])
}

/// Two files dropped together: as a model and the file that its data lies in, and as samples and labels.
pub fn pair(bytes: &[u8]) -> bool {
    let (first, second) = halves(bytes);
    let joined = Joined::new([("model.onnx".to_owned(), first), ("data.bin".to_owned(), second)]);
    let model = read_whole(&joined).is_ok();
    model || data_set(&[("samples".to_owned(), &first), ("labels".to_owned(), &second)])
}

fn data_set(files: &[(String, &dyn Source)]) -> bool {
    let Ok(data) = DataSet::open(files) else { return false };
    let labels = data.labels_of(0..data.samples);
    assert_eq!(labels.is_some(), data.labels.is_some(), "labels are there for all samples or none");
    true
}

/// Two files of one: the length of the first, four bytes, then both.
fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((len, rest)) = bytes.split_first_chunk::<4>() else { return (bytes, &[]) };
    rest.split_at((u32::from_le_bytes(*len) as usize).min(rest.len()))
}

/// A network: parsed, its branches taken, its inputs made up, loaded by what runs it, and its places found by our own reader.
///
/// It is not run: what a network computes may rightly take any time.
pub fn network(bytes: &[u8]) -> bool {
    let Ok(files) = ModelBytes::read(&bytes) else { return false };
    let Ok(graph) = Graph::parse(files.model()) else { return false };
    for way in ways(&graph) {
        let _ = way.inputs(&graph, 1);
    }
    let conditions = graph.conditions().into_iter().map(|name| (name, true)).collect();
    let loaded = Network::with_values(&graph, &files, &BTreeSet::new()).is_ok();
    let inlined = graph.inlined(&conditions).is_ok();
    weights(bytes) && loaded && inlined
}
