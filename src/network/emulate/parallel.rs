//! Many batches on threads.

use super::{Answer, Batch, Prepared};
use crate::network::NetworkError;
use std::sync::atomic::{AtomicUsize, Ordering};

impl Prepared<'_> {
    /// Runs batches on `jobs` threads; the answer is the same with any number. The first error in the batches' order is returned.
    pub fn run_all(&self, batches: &[Batch], jobs: usize) -> Result<Answer, NetworkError> {
        let next = AtomicUsize::new(0);
        let worker = || {
            let mut answers = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(batch) = batches.get(index) else { return answers };
                let answer = self.run(batch);
                let failed = answer.is_err();
                answers.push((index, answer));
                if failed {
                    next.store(batches.len(), Ordering::Relaxed);
                }
            }
        };
        let jobs = jobs.clamp(1, batches.len().max(1));
        let mut answers = std::thread::scope(|scope| {
            let others: Vec<_> = (1..jobs).map(|_| scope.spawn(worker)).collect();
            let mut answers = worker();
            for other in others {
                match other.join() {
                    Ok(more) => answers.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            answers
        });
        answers.sort_by_key(|(index, _)| *index);
        let mut all = Answer::default();
        for (_, answer) in answers {
            all.merge(answer?);
        }
        Ok(all)
    }
}
