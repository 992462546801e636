//! What every method and coder takes, measured where it runs: recipes to be timed, one after the other, and what came of each.
//!
//! Clocks and memory are the caller's: the program reads the system's, the page the browser's.

use super::EngineError;
use super::pipeline::Opened;
use crate::entropy::Coder;
use crate::formats::Source;
use crate::quantize::methods::Method;
use crate::recipe::Recipe;
use std::fmt::Write as _;

/// One method with one coder.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Timing {
    /// The method's id.
    pub method: String,
    /// The coder's id.
    pub coder: String,
    /// Bytes of the compressed file.
    pub file_bytes: u64,
    /// Seconds of solving and encoding into memory.
    pub compress_seconds: f64,
    /// Seconds of decoding and comparing.
    pub verify_seconds: f64,
    /// Quantized weights per second of compressing.
    pub weights_per_second: f64,
    /// The largest memory of the run, where that is known.
    pub peak_bytes: Option<u64>,
}

/// Every method at its defaults with every coder that it allows, as recipes that are `base` otherwise.
pub fn recipes(base: &Recipe, methods: &[&Method]) -> Vec<Recipe> {
    let of = |method: &&Method| {
        let with = |coder: &Coder| Recipe { coder: *coder, ..base.with_method(method.id) };
        method.coders.iter().map(with).collect::<Vec<_>>()
    };
    methods.iter().flat_map(of).filter(|recipe| recipe.check().is_ok()).collect()
}

/// Compresses an open file with a recipe and verifies what came of it, by a clock that tells seconds; of memory it says nothing.
pub fn time<S: Source + Sync>(
    opened: &mut Opened<S>,
    recipe: &Recipe,
    clock: &dyn Fn() -> f64,
) -> Result<Timing, EngineError> {
    let began = clock();
    let (bytes, outcome, plan) = opened.compress(recipe, Vec::new(), &|_, _, _| ())?;
    let made = clock();
    opened.verify(&plan, &bytes, &|_, _, _| ())?;
    let compress_seconds = made - began;
    Ok(Timing {
        method: recipe.method.clone(),
        coder: recipe.coder.id().to_owned(),
        file_bytes: outcome.file_bytes,
        compress_seconds,
        verify_seconds: clock() - made,
        weights_per_second: outcome.point.weights as f64 / compress_seconds.max(1e-9),
        peak_bytes: None,
    })
}

/// Timings as CSV under a comment that names the machine.
pub fn csv(timings: &[Timing], machine: &str) -> String {
    let machine = machine.replace(['\n', '\r'], " ");
    let mut text = format!(
        "# {machine}\nmethod,coder,file_bytes,compress_seconds,verify_seconds,weights_per_second,peak_bytes\n"
    );
    for timing in timings {
        let peak = timing.peak_bytes.map_or_else(String::new, |bytes| bytes.to_string());
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{peak}",
            timing.method,
            timing.coder,
            timing.file_bytes,
            timing.compress_seconds,
            timing.verify_seconds,
            timing.weights_per_second
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::methods::METHODS;
    use std::cell::Cell;

    #[test]
    fn every_method_runs_with_every_coder_that_it_allows() {
        let methods: Vec<&Method> = METHODS.iter().collect();
        let recipes = recipes(&Recipe::default(), &methods);
        assert_eq!(recipes.len(), METHODS.iter().map(|method| method.coders.len()).sum::<usize>());
        // Recipes that are none are left out: gaps are not for the context coder.
        let line = "method=uniform&step=0.5&prune=fraction:0.5&positions=gaps&coder=huffman";
        let uniform: Vec<&Method> = METHODS.iter().filter(|method| method.id == "uniform").collect();
        let gaps = super::recipes(&Recipe::from_line(line).unwrap(), &uniform);
        assert!(!gaps.is_empty() && gaps.iter().all(|recipe| recipe.coder != Coder::Context));
    }

    #[test]
    fn what_is_timed_is_told_by_the_clock_that_is_given() {
        let values: Vec<u8> =
            (0..4096u16).flat_map(|i| (f32::from(i) / 4096.0 - 0.5).to_le_bytes()).collect();
        let header = r#"{"w":{"dtype":"F32","shape":[64,64],"data_offsets":[0,16384]}}"#;
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.bytes().chain(values));
        let recipe = Recipe::from_line("method=uniform&step=0.5&coder=rans").unwrap();
        let source = (file, "w.safetensors".to_owned());
        let mut opened = Opened::sketch(source, None, &recipe, 1, &|_, _, _| ()).unwrap();
        let calls = Cell::new(0.0);
        let clock = || calls.replace(calls.get() * 2.0 + 1.0);
        let timing = time(&mut opened, &recipe, &clock).unwrap();
        assert_eq!((timing.compress_seconds, timing.verify_seconds), (1.0, 2.0));
        assert_eq!(timing.weights_per_second, 4096.0);
        let csv = csv(std::slice::from_ref(&timing), "a machine\nof two lines");
        assert!(
            csv.starts_with("# a machine of two lines\nmethod,") && csv.ends_with(",1,2,4096,\n"),
            "{csv}"
        );
    }
}
