//! Files are written whole or not at all, and never over what is being read.
//!
//! Everything goes to a new file beside its target, which takes the target's name once it is complete and, where asked,
//! checked. A failure, a full disk or Ctrl-C leaves nothing behind. Before anything is read, an output that is one of the inputs
//! is refused: by what the file is, not by what it is called, so through links and `./../x` as well.

use super::Failure;
use crate::engine::EngineError;
use crate::engine::native::model_files;
use crate::formats::{FormatError, shown};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// New files that do not have their final names yet; what an interruption removes.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
/// Tells the new files of one run apart.
static COUNT: AtomicU32 = AtomicU32::new(0);
/// Exit code of an interrupted program: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

/// Removes what is unfinished when the user interrupts the program.
pub fn clean_up_when_interrupted() {
    // Where no handler can be had, an interruption leaves a partial file: the program does its work all the same.
    let _ = ctrlc::set_handler(|| {
        remove_unfinished();
        std::process::exit(INTERRUPTED);
    });
}

fn unfinished() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn remove_unfinished() {
    for path in unfinished().drain(..) {
        let _ = std::fs::remove_file(path);
    }
}

/// What a file is, whatever it is called; `None` where there is none.
#[cfg(unix)]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<PathBuf> {
    std::fs::canonicalize(path).ok()
}

/// A path whose file need not be there, without links and detours.
fn resolved(path: &Path) -> PathBuf {
    if let Ok(whole) = std::fs::canonicalize(path) {
        return whole;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    folder.join(path.file_name().unwrap_or_default())
}

/// A file with those that hold its data, as far as it says; those of a folder's model.
fn with_companions(input: &Path) -> Vec<PathBuf> {
    match model_files(input) {
        Ok(files) => files.into_iter().map(|(_, path)| path).collect(),
        Err(_) => vec![input.to_path_buf()],
    }
}

/// Refuses outputs that are inputs, or each other. Devices and pipes are no files that could be harmed.
pub fn refuse_harm(outputs: &[&Path], inputs: &[&Path]) -> Result<(), Failure> {
    let is_device = |path: &Path| std::fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir());
    let outputs: Vec<&&Path> = outputs.iter().filter(|path| !is_device(path)).collect();
    for (index, output) in outputs.iter().enumerate() {
        if let Some(other) = outputs.iter().take(index).find(|other| resolved(other) == resolved(output)) {
            let (one, two) = (text(other), text(output));
            return Err(Failure::Usage(format!("output: expected different files, found {one} and {two}")));
        }
        let Some(own) = identity(output) else { continue };
        for input in inputs.iter().flat_map(|input| with_companions(input)) {
            if identity(&input).as_ref() == Some(&own) {
                let (output, input) = (text(output), text(&input));
                let found = if output == input {
                    "that very file".to_owned()
                } else {
                    format!("{output}, which is it")
                };
                return Err(Failure::Usage(format!(
                    "output: expected another file than the input {input}, found {found}"
                )));
            }
        }
    }
    Ok(())
}

fn text(path: &Path) -> String {
    shown(&path.display().to_string())
}

/// Why `path` cannot be written, in the words of a person where the medium has none.
fn failed(path: &Path, source: &std::io::Error) -> FormatError {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if source.kind() == std::io::ErrorKind::NotFound && folder.is_some_and(|folder| !folder.exists()) {
        return FormatError::write(text(path), "there is no such folder");
    }
    if path.is_dir() {
        return FormatError::write(text(path), "that is a folder");
    }
    FormatError::write(text(path), source.to_string())
}

/// A new file beside its target; removed unless it is [finished](Self::finish).
#[derive(Debug)]
pub struct NewFile {
    target: PathBuf,
    partial: PathBuf,
    out: Option<std::io::BufWriter<std::fs::File>>,
}

impl NewFile {
    /// Starts a file that will be `target`.
    pub fn create(target: &Path) -> Result<Self, Failure> {
        if target.is_dir() {
            return Err(failed(target, &std::io::ErrorKind::IsADirectory.into()).into());
        }
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        name.push(format!(".{}-{number}.partial", std::process::id()));
        let partial = target.with_file_name(name);
        let mut all = unfinished();
        let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&partial);
        let file = file.map_err(|error| failed(target, &error))?;
        all.push(partial.clone());
        drop(all);
        Ok(Self { target: target.to_path_buf(), partial, out: Some(std::io::BufWriter::new(file)) })
    }

    /// Where its bytes are for now.
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// Writes out what is buffered, and closes the file for writing.
    pub fn close(&mut self) -> Result<(), Failure> {
        match self.out.take() {
            Some(mut out) => out.flush().map_err(|error| failed(&self.target, &error).into()),
            None => Ok(()),
        }
    }

    /// Gives the file its name.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.close()?;
        // From here on an interruption has nothing to remove: the lock is held until the name is the final one.
        let mut all = unfinished();
        std::fs::rename(&self.partial, &self.target).map_err(|error| failed(&self.target, &error))?;
        all.retain(|path| *path != self.partial);
        Ok(())
    }
}

impl std::io::Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out.as_mut().map_or(Ok(0), |out| out.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.as_mut().map_or(Ok(()), std::io::Write::flush)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        drop(self.out.take());
        let mut all = unfinished();
        if all.contains(&self.partial) {
            all.retain(|path| *path != self.partial);
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// Writes a file so that it is there whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    replace(path, |out| Ok(out.write_all(bytes)?), |_| Ok(()))
}

/// Writes `path` by `write` and lets `check` look at the complete file before it takes its place; what is no plain file (a
/// device, a pipe) is written to as it is.
pub fn replace(
    path: &Path,
    write: impl FnOnce(&mut dyn std::io::Write) -> Result<(), EngineError>,
    check: impl FnOnce(&Path) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) {
        let file =
            std::fs::OpenOptions::new().write(true).open(path).map_err(|error| failed(path, &error))?;
        let mut out = std::io::BufWriter::new(file);
        return Ok(write(&mut out).and_then(|()| Ok(out.flush()?))?);
    }
    let mut file = NewFile::create(path)?;
    write(&mut file)?;
    file.close()?;
    check(file.partial())?;
    file.finish()
}

/// One stream into several files: a model, and the data that it keeps in others beside it. Folders are made; files of an
/// earlier output are replaced once all of the new ones are complete.
#[derive(Debug)]
pub struct Split {
    files: Vec<(u64, NewFile)>,
    at: usize,
}

impl Split {
    /// Starts the files with so many bytes each, in the stream's order.
    pub fn create(parts: &[(PathBuf, u64)]) -> Result<Self, Failure> {
        let mut files = Vec::with_capacity(parts.len());
        for (path, len) in parts {
            if let Some(folder) =
                path.parent().filter(|folder| !folder.as_os_str().is_empty() && !files.is_empty())
            {
                std::fs::create_dir_all(folder).map_err(|error| failed(path, &error))?;
            }
            files.push((*len, NewFile::create(path)?));
        }
        Ok(Self { files, at: 0 })
    }

    /// Gives all files their names.
    pub fn finish(mut self) -> Result<(), Failure> {
        for (_, file) in &mut self.files {
            file.close()?;
        }
        // The model last: it is of no use before its data.
        self.files.into_iter().rev().try_for_each(|(_, file)| file.finish())
    }
}

impl std::io::Write for Split {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        while let Some((left, file)) = self.files.get_mut(self.at) {
            let now = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            if now > 0 {
                let now = file.write(bytes.get(..now).unwrap_or_default())?;
                *left -= now as u64;
                return Ok(now);
            }
            self.at += 1;
        }
        Ok(0)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.files.iter_mut().try_for_each(|(_, file)| file.flush())
    }
}
