//! Processor time of a program with one thread, exact on a busy machine too. Linux only.

use std::error::Error;
use std::time::Duration;

/// Processor seconds that this process has had.
///
/// Linux brings the figure up to date when it switches tasks, so a moment of sleep makes it exact.
pub fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    std::thread::sleep(Duration::from_micros(50));
    let path = "/proc/self/schedstat";
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    let nanos =
        text.split_whitespace().next().ok_or_else(|| format!("{path}: expected a number, found nothing"))?;
    Ok(nanos.parse::<f64>()? * 1e-9)
}
