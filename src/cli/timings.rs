//! What every method and coder takes on this machine and file: measured, and never a model's figure.
//!
//! Every method runs at its defaults with every coder that it allows, one after the other: solving and encoding into memory, then
//! verifying. Sketching is timed once: all methods share it. Where the system tells it (Linux), the largest memory of each run
//! is read and set back before it.

use super::Failure;
use super::arguments::RecipeArguments;
use super::context::Context;
use super::print;
use super::writing::{refuse_harm, write_whole};
use crate::engine::native::Files;
use crate::engine::pipeline::Opened;
use crate::engine::timings::{self, Timing};
use crate::quantize::methods::{self, METHODS};
use crate::recipe::Recipe;
use serde_json::json;
use std::path::Path;
use std::time::Instant;

/// The time since something began.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins.
    #[allow(clippy::disallowed_methods, reason = "the native program has a clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since it began.
    pub fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// Times every method, or those of `ids`, with every coder on a file.
pub fn timings(
    context: &Context,
    file: &Path,
    recipe: &RecipeArguments,
    ids: &[String],
    output: Option<&Path>,
) -> Result<(), Failure> {
    let base = recipe.recipe()?;
    let usage = |error: crate::quantize::SettingsError| Failure::Usage(error.to_string());
    let chosen =
        if ids.is_empty() { METHODS.iter().collect() } else { methods::find_all(ids).map_err(usage)? };
    refuse_harm(
        &output.into_iter().collect::<Vec<_>>(),
        &std::iter::once(file).chain(recipe.files()).collect::<Vec<_>>(),
    )?;
    let began = Stopwatch::start();
    let mut opened = context.open(file, recipe.importance_file.as_deref(), &base)?;
    let sketched = began.seconds();
    let recipes = timings::recipes(&base, &chosen);
    let mut taken = Vec::new();
    let show = context.count();
    for (done, recipe) in recipes.iter().enumerate() {
        show("timing methods", done as u64, recipes.len() as u64);
        taken.push(time(&mut opened, recipe)?);
    }
    context.bars.clear();
    let machine = machine(context.jobs);
    if let Some(path) = output {
        write_whole(path, timings::csv(&taken, &machine).as_bytes())?;
    }
    let cells: Vec<Vec<String>> = taken.iter().map(cells).collect();
    let weights = opened.session.model().parameters();
    let text = format!(
        "{}\n\nsketched {weights} weights in {sketched:.3} s\nmeasured on {machine}",
        print::table(&HEADER, &cells)
    );
    let json = json!({"machine": machine, "weights": weights, "sketch_seconds": sketched, "timings": taken});
    context.say(&text, &json)
}

fn time(opened: &mut Opened<Files>, recipe: &Recipe) -> Result<Timing, Failure> {
    forget_peak();
    let began = Stopwatch::start();
    let timing = timings::time(opened, recipe, &|| began.seconds())?;
    Ok(Timing { peak_bytes: peak(), ..timing })
}

/// Lets the system count the largest memory anew, where it can.
fn forget_peak() {
    // Where it cannot, the figure is that of the process so far, and larger.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The largest resident memory, in bytes.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// The machine in a phrase: system, processor, threads.
pub fn machine(jobs: usize) -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
    let name = name.unwrap_or("a processor that gives no name");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (system, kind) = (std::env::consts::OS, std::env::consts::ARCH);
    format!(
        "{system} {kind}, {name}, {cores} cores, {jobs} threads used, version {}",
        env!("CARGO_PKG_VERSION")
    )
}

const HEADER: [&str; 7] =
    ["method", "coder", "file, bytes", "compress, s", "verify, s", "M weights/s", "peak, MB"];

fn cells(timing: &Timing) -> Vec<String> {
    vec![
        timing.method.clone(),
        timing.coder.clone(),
        timing.file_bytes.to_string(),
        format!("{:.3}", timing.compress_seconds),
        format!("{:.3}", timing.verify_seconds),
        format!("{:.2}", timing.weights_per_second / 1e6),
        timing.peak_bytes.map_or_else(|| "–".to_owned(), |bytes| format!("{:.1}", bytes as f64 / 1e6)),
    ]
}
