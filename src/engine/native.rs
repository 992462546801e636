//! Tasks on threads; the browser's pool does the same with workers.

use super::{EngineError, Task};
#[cfg(not(target_arch = "wasm32"))]
use crate::formats::{self, FormatError, Limits};
use std::collections::BTreeMap;
#[cfg(not(target_arch = "wasm32"))]
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Results that may wait for their turn, per thread; it bounds memory whatever the number of tasks.
const AHEAD_PER_JOB: usize = 4;
/// The same where tasks have so many bytes or more each, as their results may.
const AHEAD_OF_LARGE: usize = 1;
const LARGE_BYTES: u64 = 1 << 20;

/// Tasks that are taken at a time at most, as long as they have fewer bytes together.
const MOST_BATCHED: usize = 64;
const BATCH_BYTES: u64 = 1 << 16;

type Outcome = Result<Vec<u8>, EngineError>;

/// What the threads share.
#[derive(Default)]
struct Shared {
    /// The next task to be taken.
    next: usize,
    /// Tasks whose results have been consumed.
    consumed: usize,
    /// Results that wait for their turn.
    waiting: BTreeMap<usize, Outcome>,
    /// Set on the first failure: nothing more is taken.
    stopped: bool,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many results may wait for each thread.
fn ahead_per_job(tasks: &[Task]) -> usize {
    let bytes = tasks.iter().map(|task| task.bytes).fold(0, u64::saturating_add);
    let is_large = bytes / tasks.len().max(1) as u64 >= LARGE_BYTES;
    if is_large { AHEAD_OF_LARGE } else { AHEAD_PER_JOB }
}

/// Runs every task on `jobs` threads and hands what they give to `consume`, in task order; `done` hears of each finished
/// task's bytes.
///
/// The first error in task order ends the run and is returned. Only a few results per thread wait at any time.
pub fn run<F>(
    tasks: &[Task],
    jobs: usize,
    done: &(dyn Fn(u64) + Sync),
    work: F,
    consume: &mut dyn FnMut(usize, Vec<u8>) -> Result<(), EngineError>,
) -> Result<(), EngineError>
where
    F: Fn(&Task) -> Outcome + Sync,
{
    let jobs = jobs.min(tasks.len());
    if jobs <= 1 {
        for (index, task) in tasks.iter().enumerate() {
            let result = work(task)?;
            done(task.bytes);
            consume(index, result)?;
        }
        return Ok(());
    }
    let queue = Queue {
        tasks,
        ahead: jobs * ahead_per_job(tasks),
        shared: Mutex::new(Shared::default()),
        changed: Condvar::new(),
    };
    let worker = || {
        while let Some(range) = queue.take() {
            let batch = range.clone().zip(tasks.get(range).unwrap_or_default());
            let results: Vec<(usize, Outcome)> = batch
                .map(|(index, task)| {
                    let result = work(task);
                    done(task.bytes);
                    (index, result)
                })
                .collect();
            lock(&queue.shared).waiting.extend(results);
            queue.changed.notify_all();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(worker);
        }
        let outcome = (0..tasks.len()).try_for_each(|index| {
            let result = await_result(&queue.shared, &queue.changed, index)?;
            consume(index, result)?;
            queue.consumed(index);
            Ok(())
        });
        lock(&queue.shared).stopped = true;
        queue.changed.notify_all();
        outcome
    })
}

/// Tasks that threads take, and how far they may be ahead of who consumes.
struct Queue<'a> {
    tasks: &'a [Task],
    /// Tasks that may be taken beyond those consumed.
    ahead: usize,
    shared: Mutex<Shared>,
    changed: Condvar,
}

impl Queue<'_> {
    /// The next tasks, once there is room for what they give; none when there are no more.
    fn take(&self) -> Option<std::ops::Range<usize>> {
        let mut state = lock(&self.shared);
        loop {
            if state.stopped || state.next >= self.tasks.len() {
                return None;
            }
            if state.next < state.consumed + self.ahead {
                let first = state.next;
                let mut bytes = 0;
                // Tiny tasks go in batches: handing over is what they would cost.
                while state.next < self.tasks.len()
                    && state.next - first < MOST_BATCHED
                    && bytes < BATCH_BYTES
                {
                    bytes += self.tasks.get(state.next).map_or(0, |task| task.bytes);
                    state.next += 1;
                }
                return Some(first..state.next);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Hears that the task `index` is consumed.
    fn consumed(&self, index: usize) {
        let mut state = lock(&self.shared);
        state.consumed = index + 1;
        // Who waits for room has it from here on.
        if state.next + 1 == state.consumed + self.ahead {
            self.changed.notify_all();
        }
    }
}

fn await_result(shared: &Mutex<Shared>, changed: &Condvar, index: usize) -> Outcome {
    let mut state = lock(shared);
    loop {
        if let Some(result) = state.waiting.remove(&index) {
            return result;
        }
        state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

/// A weight file with the files that hold its data, read as one.
#[cfg(not(target_arch = "wasm32"))]
pub type Files = crate::formats::Joined<FileSource>;

/// The last part of a path, as text.
#[cfg(not(target_arch = "wasm32"))]
pub fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Opens a model with all files that it is in; see [`model_files`].
#[cfg(not(target_arch = "wasm32"))]
pub fn open_files(path: &Path) -> Result<Files, FormatError> {
    let open = |(name, path): (String, PathBuf)| Ok((name, open_file(&path)?));
    let files: Result<Vec<_>, FormatError> = model_files(path)?.into_iter().map(open).collect();
    Ok(Files::new(files?))
}

/// The files that a model is in, with their names below its folder, the one to be opened first: that of `path` and those
/// that it says hold its data, or all shards of a numbered set of which it is one. Of a folder, those of its one model.
#[cfg(not(target_arch = "wasm32"))]
pub fn model_files(path: &Path) -> Result<Vec<(String, PathBuf)>, FormatError> {
    let path = &if path.is_dir() { model_in(path)? } else { path.to_path_buf() };
    let name = file_name(path);
    let beside = |name: String| {
        let path = path.with_file_name(&name);
        (name, path)
    };
    let named = Files::new([(name.clone(), open_file(path)?)]);
    let companions = formats::companions(&named, &Limits::default())?;
    if companions.is_empty() {
        let set: Vec<_> = formats::set_of(&name).into_iter().map(beside).collect();
        let is_whole = set.iter().all(|(_, path)| path.is_file());
        return Ok(if is_whole { set } else { vec![(name, path.clone())] });
    }
    let companions: Vec<_> = companions.into_iter().map(beside).collect();
    let missing = companions.iter().filter(|(_, path)| !path.exists());
    let missing: Vec<&str> = missing.map(|(name, _)| name.as_str()).collect();
    if !missing.is_empty() {
        return Err(FormatError::missing(path.display().to_string(), &missing));
    }
    Ok(std::iter::once((name, path.clone())).chain(companions).collect())
}

/// The one model of a folder: its index of shards, or its one weight file beside what that says holds its data.
#[cfg(not(target_arch = "wasm32"))]
fn model_in(folder: &Path) -> Result<PathBuf, FormatError> {
    let failed = |source| FormatError::io(folder.display().to_string(), 0, source);
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()).filter(|path| path.is_file()));
    let mut names: Vec<String> =
        files.map(|path| file_name(&path)).filter(|name| !name.starts_with('.')).collect();
    names.sort_unstable();
    let mut found = formats::models(&names);
    if found.len() > 1 {
        let data_of =
            |name: &&str| formats::companions(&open_file(&folder.join(name)).ok()?, &Limits::default()).ok();
        let data: Vec<String> = found.iter().filter_map(data_of).flatten().collect();
        found.retain(|name| !data.iter().any(|data| data == name));
    }
    Ok(folder.join(formats::only_model(&found)?))
}

#[cfg(not(target_arch = "wasm32"))]
fn open_file(path: &Path) -> Result<FileSource, FormatError> {
    let failed = |source| FormatError::io(path.display().to_string(), 0, source);
    FileSource::open(path).map_err(failed)
}

/// A file opened for positional reads from any thread.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug)]
pub struct FileSource {
    file: std::fs::File,
    len: u64,
}

#[cfg(not(target_arch = "wasm32"))]
impl FileSource {
    /// Opens a file for reading.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = std::fs::File::open(path)?;
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Err(std::io::Error::new(
                std::io::ErrorKind::IsADirectory,
                "is a folder, not a weight file",
            ));
        }
        Ok(Self { len: meta.len(), file })
    }
}

#[cfg(not(target_arch = "wasm32"))]
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
        (0..n)
            .map(|tensor| Task { tensor, start: 0, end: 1, block: 1, bytes: BATCH_BYTES, before: 0 })
            .collect()
    }

    fn collect(
        tasks: &[Task],
        jobs: usize,
        work: impl Fn(&Task) -> Outcome + Sync,
    ) -> Result<Vec<Vec<u8>>, EngineError> {
        let mut results = Vec::new();
        run(tasks, jobs, &|_| (), work, &mut |index, result| {
            assert_eq!(index, results.len());
            results.push(result);
            Ok(())
        })?;
        Ok(results)
    }

    #[test]
    fn results_come_in_task_order_with_any_number_of_jobs() {
        let tasks = tasks(50);
        for jobs in [1, 2, 7, 100] {
            let results = collect(&tasks, jobs, |task| Ok(vec![task.tensor as u8])).unwrap();
            assert_eq!(results, (0..50).map(|i| vec![i]).collect::<Vec<Vec<u8>>>());
        }
    }

    #[test]
    fn an_error_of_a_task_or_of_its_consumer_ends_the_run() {
        let work = |task: &Task| if task.tensor == 3 { Err(EngineError::Message) } else { Ok(Vec::new()) };
        for jobs in [1, 4] {
            assert!(collect(&tasks(50), jobs, work).is_err());
            let mut seen = 0;
            let refuse = &mut |_, _| {
                seen += 1;
                Err(EngineError::Message)
            };
            assert!(run(&tasks(50), jobs, &|_| (), |_| Ok(Vec::new()), refuse).is_err());
            assert_eq!(seen, 1);
        }
    }

    #[test]
    fn few_results_wait_while_the_first_is_slow() {
        let started = std::sync::atomic::AtomicUsize::new(0);
        let most = std::sync::atomic::AtomicUsize::new(0);
        let work = |task: &Task| {
            let count = started.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
            if task.tensor == 0 {
                std::thread::sleep(std::time::Duration::from_millis(50));
                most.store(
                    started.load(std::sync::atomic::Ordering::SeqCst),
                    std::sync::atomic::Ordering::SeqCst,
                );
            }
            Ok(vec![count as u8])
        };
        collect(&tasks(500), 2, work).unwrap();
        assert!(most.into_inner() <= 2 * AHEAD_PER_JOB);
    }

    #[test]
    fn no_task_is_no_work() {
        assert!(collect(&[], 4, |_| Ok(Vec::new())).unwrap().is_empty());
    }
}
