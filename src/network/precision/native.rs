//! Drives a search with threads.

use super::Search;
use super::scorer::Scorer;
use super::trial::{Ask, Candidate, Heard};
use crate::network::NetworkError;
use crate::network::emulate::TensorFormat;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Hears of candidates as they change.
pub type Hear<'a> = &'a dyn Fn(&[Candidate]);

/// Drives a search until it asks for nothing more, on `jobs` threads; how many samples were run. What it finds does not depend
/// on the number of threads.
pub fn drive(
    search: &mut dyn Search,
    candidates: &mut [Candidate],
    formats: &[TensorFormat],
    (scorer, jobs): (&Scorer, usize),
    hear: Hear,
) -> Result<usize, NetworkError> {
    let mut runs = 0;
    loop {
        search.hear(candidates);
        let asks = search.asks(candidates);
        if asks.is_empty() {
            return Ok(runs);
        }
        for (ask, heard) in asks.iter().zip(answers(&asks, formats, scorer, jobs)?) {
            runs += ask.range.len();
            if let Some(candidate) = candidates.get_mut(ask.candidate) {
                candidate.take(ask, heard);
            }
        }
        hear(candidates);
    }
}

/// The answers to asks, in their order: side by side, or one after the other on all threads where they are few.
fn answers(
    asks: &[Ask],
    formats: &[TensorFormat],
    scorer: &Scorer,
    jobs: usize,
) -> Result<Vec<Heard>, NetworkError> {
    let format = |ask: &Ask| {
        let none = || NetworkError::data("a format", "one of the candidates", ask.candidate.to_string());
        formats.get(ask.candidate).copied().ok_or_else(none)
    };
    if asks.len() < jobs {
        return asks.iter().map(|ask| scorer.score_on(format(ask)?, ask, jobs)).collect();
    }
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(usize, Result<Heard, NetworkError>)>> = Mutex::new(Vec::new());
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(ask) = asks.get(at) else { return };
            let heard = format(ask).and_then(|format| scorer.score(format, ask));
            found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((at, heard));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.max(1) {
            scope.spawn(work);
        }
        work();
    });
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, heard)| heard).collect()
}
