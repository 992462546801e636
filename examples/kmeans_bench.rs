//! Exact k-means on raw float32 weights, timed by phase: our side of `experiments/run.sh kmeans`.
//!
//! ```sh
//! cargo run --release --example kmeans_bench -- WEIGHTS.f32 IMPORTANCE.f32|- K cells|certified
//! ```
//!
//! Both files are little-endian float32 without a header; `-` is importance 1 for every weight. Prints one line of JSON:
//! processor seconds of each phase (reading is not counted, as it is not for the peers), the peak resident memory of the
//! whole process, and the centres. Linux only.

mod processor;

use processor::processor_seconds;
use quantscope::histogram::Histogram;
use quantscope::quantize::{Problem, Solution, certified, kmeans};
use std::error::Error;

type Failure = Box<dyn Error>;

/// The float32 numbers of a file.
fn floats(path: &str) -> Result<Vec<f32>, Failure> {
    let bytes = std::fs::read(path).map_err(|e| format!("{path}: {e}"))?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!("{path}: expected a multiple of 4 bytes, found {}", bytes.len()).into());
    }
    Ok(numbers.iter().map(|four| f32::from_le_bytes(*four)).collect())
}

/// The largest resident memory that the process has had, as Linux tells it.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// A solution, with the seconds that each phase took.
fn solve(
    values: &[f32],
    importance: Option<&[f32]>,
    k: u32,
    precision: &str,
) -> Result<(Solution, serde_json::Value), Failure> {
    let start = processor_seconds()?;
    match precision {
        "cells" => {
            let histogram = Histogram::new(values, importance);
            let sketched = processor_seconds()? - start;
            let mut solutions = kmeans::curve(&Problem { histogram: &histogram, sample: None }, &[k])?;
            let all = processor_seconds()? - start;
            let solution = solutions.pop().ok_or("no solution")?;
            let seconds = serde_json::json!({
                "histogram": sketched, "solve": all - sketched, "all": all, "cells": histogram.len()
            });
            Ok((solution, seconds))
        }
        "certified" => {
            let solution = certified(values, importance, k)?;
            Ok((solution, serde_json::json!({"all": processor_seconds()? - start})))
        }
        other => Err(format!("precision: expected cells or certified, found {other}").into()),
    }
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [values, importance, k, precision] = arguments.as_slice() else {
        return Err("usage: kmeans_bench WEIGHTS.f32 IMPORTANCE.f32|- K cells|certified".into());
    };
    let values = floats(values)?;
    let importance = if importance == "-" { None } else { Some(floats(importance)?) };
    if importance.as_ref().is_some_and(|h| h.len() != values.len()) {
        return Err("importance: expected one number per weight".into());
    }
    let k = k.parse().map_err(|e| format!("k: expected a number of levels, found {k}: {e}"))?;
    let (solution, seconds) = solve(&values, importance.as_deref(), k, precision)?;
    let result = serde_json::json!({
        "seconds": seconds,
        "peak_bytes": peak_bytes(),
        "weighted_error": solution.weighted_error,
        "centres": solution.quantizer.levels,
    });
    println!("{result}");
    Ok(())
}
