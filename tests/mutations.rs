//! Broken files by the thousand: whole ones with a few bytes changed, always the same ones, through the same door as any file.
//! Nothing panics, nothing hangs, nothing holds memory that the file does not warrant; what opens is read to its end.
//! `make fuzz` goes through the same doors guided by coverage, for hours.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

#[path = "support/doors.rs"]
mod doors;
#[path = "support/lies.rs"]
mod lies;
#[path = "support/resign.rs"]
mod resign;

use doors::held_beyond;
use quantscope::engine::pipeline::Opened;
use quantscope::recipe::Recipe;
use std::path::Path;
use support::Random;

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

/// Goes through a door with a whole file and with so many broken ones; how many were still good.
fn try_all(name: &str, whole: &[u8], count: usize, door: impl Fn(&[u8]) -> bool) {
    assert!(door(whole), "{name} is good as it is");
    let mut random = Random(0x5eed ^ whole.len() as u64);
    let mut good = 0;
    for at in 0..count {
        let (let_in, beyond) = held_beyond(&door, &mutated(whole, &mut random));
        good += usize::from(let_in);
        assert_eq!(beyond, 0, "{name}, mutation {at}: bytes held beyond what the file warrants");
    }
    println!("{name}: {count} broken files, {good} of them readable all the same");
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("www/samples").join(name)).unwrap()
}

/// Two files as one, as the door for pairs takes them.
fn pair(first: &[u8], second: &[u8]) -> Vec<u8> {
    [&(first.len() as u32).to_le_bytes(), first, second].concat()
}

/// MNIST's way to say `count` of something of so many dimensions, 3 by 3 each where there are three.
fn idx(count: u8, dimensions: u8) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dimensions];
    let shape = [u32::from(count), 3, 3];
    shape.iter().take(dimensions.into()).for_each(|extent| file.extend(extent.to_be_bytes()));
    let len = shape.iter().take(dimensions.into()).product::<u32>();
    file.extend((0..len).map(|at| (at % 7) as u8));
    file
}

// One test, since the memory that is held is counted for all threads together.
#[test]
fn broken_files_are_refused_or_read() {
    for name in ["lstm.onnx", "transformer.onnx", "digits-8.npz", "lstm.curvature.safetensors"] {
        try_all(name, &sample(name), 4000, doors::weights);
    }
    for name in ["lstm.onnx", "transformer.onnx"] {
        try_all(&format!("{name} as a network"), &sample(name), 500, doors::network);
    }
    try_all("digits-8.npz as samples", &sample("digits-8.npz"), 4000, doors::samples);
    try_all("MNIST's images", &idx(20, 3), 10_000, doors::samples);
    try_all("MNIST's images and labels", &pair(&idx(20, 3), &idx(20, 1)), 10_000, doors::pair);
    try_all("small.safetensors", &support::small_model(), 20_000, doors::weights);
    let map = ["conv1.weight", "conv1.bias", "fc1.weight", "fc2.weight", "steps", "empty", "scale"]
        .map(|name| format!("\"{name}\": \"data.bin\""));
    let index = format!("{{\"weight_map\": {{{}}}}}", map.join(", "));
    try_all("an index and its shard", &pair(index.as_bytes(), &support::small_model()), 10_000, doors::pair);
    for name in ["export.pt2", "model_zip_of_safetensors.zip"] {
        if let Some(path) = support::data(&format!("field/formats/{name}")) {
            try_all(name, &std::fs::read(path).unwrap(), 6000, doors::weights);
        }
    }
    for name in
        ["pt_ckpt_ema.pt", "pt_qtensor.pt", "pt_qtensor_legacy.pt", "pt_sparse.pt", "pt_numpy_inside.pt"]
    {
        if let Some(path) = support::data(&format!("field/checkpoints/{name}")) {
            try_all(name, &std::fs::read(path).unwrap(), 6000, doors::weights);
        }
    }

    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutations.safetensors");
    std::fs::write(&path, support::small_model()).unwrap();
    for line in ["method=kmeans&coder=huffman&k=9", "method=uniform&coder=rans", "method=trellis"] {
        let recipe = Recipe::from_line(&support::of_everything(line)).unwrap();
        let mut opened = Opened::open(&path, None, &recipe, 1, &|_, _, _| ()).unwrap();
        let (file, ..) = opened.compress(&recipe, Vec::new(), &|_, _, _| ()).unwrap();
        try_all(line, &file, 5000, doors::container);
        try_all(&format!("{line}, with right checksums"), &file, 10_000, doors::resigned_container);
        try_all(&format!("{line}, given back"), &file, 5000, doors::resigned_restored);
    }
    for (about, file) in lies::truths() {
        try_all(about, &file, 1500, doors::resigned_restored);
    }
    for (about, file) in lies::lies() {
        assert_eq!(held_beyond(doors::restored, &file), (false, 0), "{about}");
    }
}

#[test]
fn a_broken_recipe_is_refused_or_means_what_it_prints() {
    let line = "method=ecsq&lambda=0.02&scope=channel&roles=weight,bias&exclude=*norm*&prune=threshold:0.01&coder=huffman&positions=gaps";
    let link = format!("{line}&hash=0123456789abcdef0123456789abcdef");
    let file = serde_json::to_string(&Recipe::from_line(line).unwrap()).unwrap();
    let mut random = Random(7);
    for text in [line, &link, &file] {
        for _ in 0..20_000 {
            doors::recipe(&mutated(text.as_bytes(), &mut random));
        }
    }
}
