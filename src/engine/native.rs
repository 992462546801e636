//! Tasks on threads; the browser's pool does the same with workers.

use super::{EngineError, Task};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Runs every task and returns what they gave, in task order; `done` hears of each finished task's bytes.
///
/// The first error in task order is returned. With one job, nothing is spawned.
pub fn run<F>(tasks: &[Task], jobs: usize, done: &(dyn Fn(u64) + Sync), work: F) -> Result<Vec<Vec<u8>>, EngineError>
where
    F: Fn(&Task) -> Result<Vec<u8>, EngineError> + Sync,
{
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results: Mutex<Vec<Option<Result<Vec<u8>, EngineError>>>> =
        Mutex::new(std::iter::repeat_with(|| None).take(tasks.len()).collect());
    let worker = || {
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tasks.get(index) else { break };
            let result = work(task);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            done(task.bytes);
            let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(slot) = results.get_mut(index) {
                *slot = Some(result);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..jobs.min(tasks.len()) {
            scope.spawn(worker);
        }
        worker();
    });
    let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut outputs = Vec::with_capacity(tasks.len());
    for result in results.into_iter().flatten() {
        outputs.push(result?);
    }
    if outputs.len() == tasks.len() { Ok(outputs) } else { Err(EngineError::Message) }
}

/// A file opened for positional reads from any thread.
#[derive(Debug)]
pub struct FileSource {
    file: std::fs::File,
    len: u64,
}

impl FileSource {
    /// Opens a file for reading.
    pub fn open(path: &std::path::Path) -> std::io::Result<Self> {
        let file = std::fs::File::open(path)?;
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Err(std::io::Error::new(std::io::ErrorKind::IsADirectory, "is a folder, not a weight file"));
        }
        Ok(Self { len: meta.len(), file })
    }
}

impl crate::formats::Source for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, mut offset: u64, mut buffer: &mut [u8]) -> std::io::Result<()> {
        while !buffer.is_empty() {
            let read = std::os::windows::fs::FileExt::seek_read(&self.file, buffer, offset)?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            offset += read as u64;
            buffer = buffer.get_mut(read..).unwrap_or_default();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(n: usize) -> Vec<Task> {
        (0..n).map(|tensor| Task { tensor, start: 0, end: 1, block: 1, bytes: 1 }).collect()
    }

    #[test]
    fn results_come_in_task_order_with_any_number_of_jobs() {
        let tasks = tasks(50);
        for jobs in [1, 2, 7, 100] {
            let results = run(&tasks, jobs, &|_| (), |task| Ok(vec![task.tensor as u8])).unwrap();
            assert_eq!(results, (0..50).map(|i| vec![i]).collect::<Vec<Vec<u8>>>());
        }
    }

    #[test]
    fn an_error_stops_the_run_and_is_returned() {
        let work = |task: &Task| if task.tensor == 3 { Err(EngineError::Message) } else { Ok(Vec::new()) };
        assert!(run(&tasks(50), 4, &|_| (), work).is_err());
    }

    #[test]
    fn no_task_is_no_work() {
        assert!(run(&[], 4, &|_| (), |_| Ok(Vec::new())).unwrap().is_empty());
    }
}
