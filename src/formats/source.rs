//! A source of bytes read by position, and the limits that readers check before they allocate.

use super::FormatError;
use crate::tensor::Span;
use std::io;

/// One of several files that are read as one source.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Part {
    /// The file's name, with folders below the first file's where it has any.
    pub name: String,
    /// Where its bytes lie in the source.
    pub span: Span,
}

impl Part {
    /// The parts of files of the given names and sizes, one behind the other.
    pub fn list(files: impl IntoIterator<Item = (String, u64)>) -> Vec<Self> {
        let mut offset = 0;
        let part = |(name, len): (String, u64)| {
            let span = Span { offset, len };
            offset += len;
            Self { name, span }
        };
        files.into_iter().map(part).collect()
    }
}

/// Bytes read by position: a file, a browser `File`, a slice.
pub trait Source {
    /// Total number of bytes.
    fn len(&self) -> u64;

    /// Fills `buffer` from byte `offset`; an error if the source ends before.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// The files this source joins, one behind the other; none for a single file.
    fn parts(&self) -> &[Part] {
        &[]
    }

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Source for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..)?.get(..buffer.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

impl<S: Source + ?Sized> Source for &S {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buffer)
    }

    fn parts(&self) -> &[Part] {
        (**self).parts()
    }
}

/// Files read as one, one behind the other: a model and the files that hold its data.
#[derive(Debug)]
pub struct Joined<S> {
    files: Vec<S>,
    parts: Vec<Part>,
}

impl<S: Source> Joined<S> {
    /// Joins files in order, the one to be opened first.
    pub fn new(files: impl IntoIterator<Item = (String, S)>) -> Self {
        let (names, files): (Vec<String>, Vec<S>) = files.into_iter().unzip();
        let parts = Part::list(names.into_iter().zip(files.iter().map(Source::len)));
        Self { files, parts }
    }
}

impl<S: Source> Source for Joined<S> {
    fn len(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.span.offset + part.span.len)
    }

    fn read_at(&self, offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        let mut at = offset;
        for (file, Part { span, .. }) in self.files.iter().zip(&self.parts) {
            let end = span.offset + span.len;
            if at >= end || buffer.is_empty() {
                continue;
            }
            let here = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let (now, later) = buffer.split_at_mut(here);
            file.read_at(at - span.offset, now)?;
            at += here as u64;
            buffer = later;
        }
        if buffer.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }
}

/// A part of a source, read as one of its own.
pub(super) struct Window<'a> {
    source: &'a dyn Source,
    span: Span,
}

impl<'a> Window<'a> {
    /// The bytes of `span`, which must lie inside the source.
    pub(super) fn new(source: &'a dyn Source, span: Span) -> Self {
        Self { source, span }
    }
}

impl Source for Window<'_> {
    fn len(&self) -> u64 {
        self.span.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match offset.checked_add(buffer.len() as u64) {
            Some(end) if end <= self.span.len => self.source.read_at(self.span.offset + offset, buffer),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A file that another one names, as a path below that one's folder; `None` for one that lies anywhere else.
pub(crate) fn below(name: &str) -> Option<&str> {
    let name = name.strip_prefix("./").unwrap_or(name);
    let is_outside = name.is_empty()
        || name.starts_with('/')
        || name.contains(['\\', ':', '\0'])
        || name.split('/').any(|step| step == ".." || step.is_empty());
    if is_outside { None } else { Some(name) }
}

/// The part of a source that is the file `name`, a path or its last step, beside the first one.
pub(super) fn companion<'a>(source: &'a dyn Source, name: &str) -> Option<&'a Part> {
    let others = source.parts().get(1..).unwrap_or_default();
    let find = |name: &str| others.iter().find(|part| part.name == name);
    find(name).or_else(|| find(name.rsplit('/').next().unwrap_or_default()))
}

impl Source for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_at(offset, buffer)
    }
}

/// What readers refuse to go beyond, whatever a file declares.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of header, pickle or directory held in memory.
    pub header_bytes: u64,
    /// Number of tensors.
    pub tensors: u64,
    /// Dimensions of one tensor.
    pub rank: u64,
    /// Bytes of one tensor that must be rearranged in memory (strided, transposed).
    pub rearranged_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_bytes: 100_000_000, tensors: 4_000_000, rank: 64, rearranged_bytes: 1 << 30 }
    }
}

/// Reads `len` bytes of `part` at `offset`, after checking them against the source's length and `limit`.
pub fn read_part(
    source: &dyn Source,
    part: &str,
    offset: u64,
    len: u64,
    limit: u64,
) -> Result<Vec<u8>, FormatError> {
    if len > limit {
        return Err(FormatError::too_large(part, len, limit));
    }
    let found = source.len().saturating_sub(offset);
    if len > found {
        return Err(FormatError::truncated(part, offset, len, found));
    }
    let mut bytes = allocate(part, len)?;
    source.read_at(offset, &mut bytes).map_err(|source| FormatError::io(part, offset, source))?;
    Ok(bytes)
}

/// `len` zero bytes, or an error where there is no memory for them.
pub(super) fn allocate(part: &str, len: u64) -> Result<Vec<u8>, FormatError> {
    let mut bytes = Vec::new();
    resize(part, &mut bytes, len)?;
    Ok(bytes)
}

/// Makes `bytes` `len` bytes long, or says that there is no memory for it.
pub(super) fn resize(part: &str, bytes: &mut Vec<u8>, len: u64) -> Result<(), FormatError> {
    let refused = || FormatError::too_large(format!("memory for {part}, in bytes,"), len, isize::MAX as u64);
    let size = usize::try_from(len).map_err(|_| refused())?;
    bytes.try_reserve_exact(size.saturating_sub(bytes.len())).map_err(|_| refused())?;
    bytes.resize(size, 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_where_its_part_does() {
        let bytes = vec![0u8, 1, 2, 3, 4];
        let window = Window::new(&bytes, Span { offset: 1, len: 3 });
        let mut read = [0; 3];
        window.read_at(0, &mut read).unwrap();
        assert_eq!((window.len(), read), (3, [1, 2, 3]));
        for offset in [1, 3, u64::MAX] {
            assert!(window.read_at(offset, &mut read).is_err(), "{offset}");
        }
    }

    #[test]
    fn names_of_files_lead_nowhere_but_below_the_folder() {
        assert_eq!((below("a.bin"), below("./b/a.bin")), (Some("a.bin"), Some("b/a.bin")));
        for outside in ["", "./", "../a", "b/../../a", "/a", "C:a", "C:\\a", "b\\a", "b//a", "a\0", "b/"] {
            assert_eq!(below(outside), None, "{outside}");
        }
    }

    #[test]
    fn joined_files_read_as_one() {
        let files = [vec![1u8, 2, 3], vec![], vec![4, 5]];
        let whole: Vec<u8> = files.concat();
        let joined = Joined::new(files.into_iter().enumerate().map(|(i, file)| (i.to_string(), file)));
        assert_eq!(joined.len(), 5);
        for start in 0..=5 {
            for end in start..=5 {
                let mut bytes = vec![0; end - start];
                joined.read_at(start as u64, &mut bytes).unwrap();
                assert_eq!(bytes, whole[start..end]);
            }
            assert!(joined.read_at(start as u64, &mut vec![0; 6 - start]).is_err());
        }
        assert_eq!(joined.parts()[2], Part { name: "2".to_owned(), span: Span { offset: 3, len: 2 } });
    }
}
