//! Broken files by the thousand: whole ones with a few bytes changed, always the same ones, through the same door as any file.
//! Nothing panics, nothing hangs, nothing holds memory that the file does not warrant; what opens is read to its end.
//!
//! `QUANTSCOPE_MUTATIONS=N` tries N times as many; `make fuzz` does.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use quantscope::engine::pipeline::Opened;
use quantscope::formats::{FormatError, Limits, TensorReader, open};
use quantscope::recipe::Recipe;
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::Random;

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

/// A file may take this much, or eight times its own size.
const MOST_BYTES: usize = 100 << 20;

impl Random {
    fn below(&mut self, end: usize) -> usize {
        ((self.uniform() * end as f64) as usize).min(end.saturating_sub(1))
    }
}

/// A few changes: bytes of all kinds, runs cut out, runs doubled, the file cut short.
fn mutated(whole: &[u8], random: &mut Random) -> Vec<u8> {
    const LOUD: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'{', b'.', 0x28];
    let mut bytes = whole.to_vec();
    for _ in 0..=random.below(4) {
        // Headers, directories and their lengths stand at the ends.
        let reach = if random.uniform() < 0.7 { bytes.len().min(600) } else { bytes.len() };
        let from_end = random.uniform() < 0.4;
        let at = random.below(reach);
        let at = if from_end { bytes.len().saturating_sub(at + 1) } else { at };
        let run = (1 + random.below(12)).min(bytes.len().saturating_sub(at));
        match random.below(8) {
            0..=2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = LOUD[random.below(8)]),
            3 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
            4 => bytes.iter_mut().skip(at).take(run).for_each(|byte| *byte = 0xff),
            5 => drop(bytes.drain(at..at + run)),
            6 => {
                let copy = bytes[at..at + run].to_vec();
                bytes.splice(at..at, copy);
            }
            _ if random.uniform() < 0.2 => bytes.truncate(at),
            _ => {}
        }
    }
    bytes
}

/// Opens a file and reads what it holds to its end.
fn read_whole(bytes: &[u8]) -> Result<(), FormatError> {
    let limits = Limits::default();
    let model = open(&bytes, &limits)?;
    for tensor in model.tensors.iter().chain(&model.extras) {
        let mut reader = TensorReader::new(&bytes, tensor, &limits)?;
        let (mut values, mut at) = (Vec::new(), 0);
        while at < tensor.len() {
            let end = (at + 65_536).min(tensor.len());
            values.clear();
            reader.read(at..end, &mut values)?;
            at = end;
        }
    }
    Ok(())
}

/// Runs `work` on a whole file and on so many broken ones; how many were still good.
fn try_all(name: &str, whole: &[u8], count: usize, work: impl Fn(&[u8]) -> bool) {
    assert!(work(whole), "{name} is good as it is");
    let mut random = Random(0x5eed ^ whole.len() as u64);
    let count = count * times();
    let mut good = 0;
    for at in 0..count {
        let bytes = mutated(whole, &mut random);
        let before = HELD.load(Ordering::Relaxed);
        MOST.store(before, Ordering::Relaxed);
        good += usize::from(work(&bytes));
        let took = MOST.load(Ordering::Relaxed).saturating_sub(before);
        assert!(took < MOST_BYTES.max(8 * bytes.len()), "{name}, mutation {at}: {took} bytes were held");
    }
    println!("{name}: {count} broken files, {good} of them readable all the same");
}

/// How many times as many files are tried as in a plain run.
fn times() -> usize {
    std::env::var("QUANTSCOPE_MUTATIONS")
        .map_or(1, |times| times.parse().expect("QUANTSCOPE_MUTATIONS is a number"))
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("www/samples").join(name)).unwrap()
}

// One test, since the memory that is held is counted for all threads together.
#[test]
fn broken_files_are_refused_or_read() {
    let reads = |bytes: &[u8]| read_whole(bytes).is_ok();
    for name in ["lstm.onnx", "transformer.onnx", "digits-8.npz", "lstm.curvature.safetensors"] {
        try_all(name, &sample(name), 4000, reads);
    }
    try_all("small.safetensors", &support::small_model(), 20_000, reads);
    for name in
        ["pt_ckpt_ema.pt", "pt_qtensor.pt", "pt_qtensor_legacy.pt", "pt_sparse.pt", "pt_numpy_inside.pt"]
    {
        if let Some(path) = support::data(&format!("field/checkpoints/{name}")) {
            try_all(name, &std::fs::read(path).unwrap(), 6000, reads);
        }
    }

    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutations.safetensors");
    std::fs::write(&path, support::small_model()).unwrap();
    for line in ["method=kmeans&coder=huffman&k=9", "method=uniform&coder=rans", "method=trellis"] {
        let recipe = Recipe::from_line(&support::of_everything(line)).unwrap();
        let mut opened = Opened::open(&path, None, &recipe, 1, &|_, _, _| ()).unwrap();
        let (file, ..) = opened.compress(&recipe, Vec::new(), &|_, _, _| ()).unwrap();
        try_all(line, &file, 15_000, |bytes| {
            let Ok(reader) = quantscope::engine::open_container(&bytes) else { return false };
            reader.verify_checksums(&bytes).is_ok()
        });
    }
}

#[test]
fn a_broken_recipe_is_refused_or_means_what_it_prints() {
    let line = "method=ecsq&lambda=0.02&scope=channel&roles=weight,bias&exclude=*norm*&prune=threshold:0.01&coder=huffman&positions=gaps";
    let mut random = Random(7);
    for _ in 0..20_000 * times() {
        let bytes = mutated(line.as_bytes(), &mut random);
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(recipe) = Recipe::from_line(&text) {
            assert_eq!(Recipe::from_line(&recipe.to_line()).as_ref(), Ok(&recipe), "{text}");
        }
    }
}
