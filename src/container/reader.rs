//! Reads a `.qsz`, one block at a time.

use super::manifest::{Directory, Section};
use super::tables::codebooks_from_bytes;
use super::{
    BLOCK_WEIGHTS, Codebook, ContainerError, Content, Entry, Ledger, Limits, MAGIC, Manifest, Tables,
};
use super::{HEAD_BYTES, TRAILER_BYTES, TRAILER_MAGIC, VERSION, block};
use crate::entropy::Decoder;
use crate::formats::{Source, read_part};
use std::io::Read as _;

/// An opened `.qsz`: manifest, codebooks and tables, and where the blocks are.
#[derive(Debug, Clone)]
pub struct Reader {
    directory: Directory,
    /// Where each block starts.
    offsets: Vec<u64>,
    /// Index of each tensor's first block.
    first_blocks: Vec<usize>,
    codebooks: Vec<Codebook>,
    tables: Tables,
    manifest_bytes: u64,
    file_bytes: u64,
}

/// Whether a file starts like a `.qsz`.
pub fn is_qsz(source: &dyn Source) -> bool {
    let mut head = [0; MAGIC.len()];
    source.len() >= head.len() as u64 && source.read_at(0, &mut head).is_ok() && head == MAGIC
}

fn word(bytes: &[u8], index: usize) -> u32 {
    bytes.as_chunks::<4>().0.get(index).map_or(0, |four| u32::from_le_bytes(*four))
}

/// Reads a section and checks it.
fn checked(
    source: &dyn Source,
    part: &str,
    offset: u64,
    section: Section,
    limit: u64,
) -> Result<Vec<u8>, ContainerError> {
    let bytes = read_part(source, part, offset, section.len, limit)?;
    let found = crc32fast::hash(&bytes);
    if found == section.checksum {
        return Ok(bytes);
    }
    Err(ContainerError::Checksum { part: part.to_owned(), offset, expected: section.checksum, found })
}

fn inflate(bytes: &[u8], len: u64) -> Result<Vec<u8>, ContainerError> {
    let wrong =
        |found: String| ContainerError::damaged("manifest", format!("{len} bytes once inflated"), found);
    // Deflate cannot do better than 1032 to 1.
    if len > bytes.len() as u64 * 1032 + 64 {
        return Err(wrong(format!("{} bytes of deflate", bytes.len())));
    }
    let mut inflated = Vec::new();
    let mut inflater = flate2::read::DeflateDecoder::new(bytes).take(len + 1);
    inflater.read_to_end(&mut inflated).map_err(|error| wrong(error.to_string()))?;
    if inflated.len() as u64 == len {
        Ok(inflated)
    } else {
        Err(wrong(format!("{} or more", inflated.len())))
    }
}

impl Reader {
    /// Opens a `.qsz` from its trailer, and checks everything but the blocks.
    pub fn open(source: &(impl Source + ?Sized), limits: &Limits) -> Result<Self, ContainerError> {
        Self::open_dyn(&source, limits)
    }

    fn open_dyn(source: &dyn Source, limits: &Limits) -> Result<Self, ContainerError> {
        let head = read_part(source, "head of the .qsz", 0, HEAD_BYTES.min(source.len()), HEAD_BYTES)?;
        if !head.starts_with(&MAGIC) {
            let found = head.iter().take(4).map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(" ");
            return Err(ContainerError::Foreign {
                found: if found.is_empty() { "nothing".to_owned() } else { found },
            });
        }
        if head.get(MAGIC.len()) != Some(&VERSION) {
            let found = head.get(MAGIC.len()).copied().unwrap_or(0);
            return Err(ContainerError::Version { expected: VERSION, found });
        }
        let len = source.len();
        let Some(end) = len.checked_sub(TRAILER_BYTES).filter(|end| *end >= HEAD_BYTES) else {
            return Err(ContainerError::damaged(
                "trailer",
                format!("{TRAILER_BYTES} bytes at the end"),
                format!("a file of {len} bytes"),
            ));
        };
        let trailer = read_part(source, "trailer", end, TRAILER_BYTES, TRAILER_BYTES)?;
        if !trailer.ends_with(&TRAILER_MAGIC) {
            return Err(ContainerError::damaged(
                &format!("trailer at byte {end}"),
                "the file to end with the bytes 0D 0A 51 5A",
                "others: the file was cut short or changed",
            ));
        }
        let stored = Section { len: u64::from(word(&trailer, 0)), checksum: word(&trailer, 2) };
        let inflated_len = u64::from(word(&trailer, 1));
        let Some(at) = end.checked_sub(stored.len).filter(|at| *at >= HEAD_BYTES) else {
            return Err(ContainerError::damaged(
                "trailer",
                format!("a manifest of at most {end} bytes"),
                stored.len.to_string(),
            ));
        };
        let stored_manifest = checked(source, "manifest", at, stored, limits.manifest_bytes)?;
        if inflated_len > limits.manifest_bytes {
            return Err(ContainerError::damaged(
                "manifest",
                format!("at most {} bytes", limits.manifest_bytes),
                inflated_len.to_string(),
            ));
        }
        let directory = Directory::from_bytes(&inflate(&stored_manifest, inflated_len)?, limits)?;
        Self::with_directory(source, directory, at, stored.len, limits)
    }

    fn with_directory(
        source: &dyn Source,
        directory: Directory,
        manifest_at: u64,
        manifest_bytes: u64,
        limits: &Limits,
    ) -> Result<Self, ContainerError> {
        let mut offsets = Vec::with_capacity(directory.blocks.len());
        let mut at = HEAD_BYTES;
        let over = || {
            ContainerError::damaged(
                "manifest",
                format!("sections that end at byte {manifest_at}"),
                "longer ones",
            )
        };
        for section in &directory.blocks {
            offsets.push(at);
            at = at.checked_add(section.len).filter(|at| *at <= manifest_at).ok_or_else(over)?;
        }
        let codebooks_at = at;
        let tables_at =
            at.checked_add(directory.codebooks.len).filter(|at| *at <= manifest_at).ok_or_else(over)?;
        let end = tables_at.checked_add(directory.tables.len).ok_or_else(over)?;
        if end != manifest_at {
            return Err(ContainerError::damaged(
                "manifest",
                format!("sections that end at byte {manifest_at}"),
                format!("an end at byte {end}"),
            ));
        }
        let codebooks =
            checked(source, "codebooks", codebooks_at, directory.codebooks, limits.codebook_bytes)?;
        let tables = checked(source, "code tables", tables_at, directory.tables, limits.codebook_bytes)?;
        let mut first_blocks = Vec::with_capacity(directory.manifest.tensors.len());
        let mut next = 0;
        for tensor in &directory.manifest.tensors {
            first_blocks.push(next);
            next += tensor.blocks() as usize;
        }
        let reader = Self {
            offsets,
            first_blocks,
            codebooks: codebooks_from_bytes(&codebooks)?,
            tables: Tables::from_bytes(&tables)?,
            manifest_bytes,
            file_bytes: source.len(),
            directory,
        };
        reader.directory.manifest.tensors.iter().try_for_each(|tensor| reader.check_codes(tensor))?;
        Ok(reader)
    }

    /// Checks that a tensor's codebooks and table are there and fit each other, and that kept blocks have their size.
    fn check_codes(&self, entry: &Entry) -> Result<(), ContainerError> {
        let Content::Quantized { codebook, codebooks, table } = entry.content else { return Ok(()) };
        let part = format!("tensor {:?}", entry.name);
        let books = usize::try_from(codebooks)
            .ok()
            .and_then(|n| self.codebooks.get(codebook..codebook.checked_add(n)?));
        let (Some(books), Some(code)) = (books, self.tables.codes.get(table)) else {
            let found = format!("codebooks from {codebook} and table {table}");
            return Err(ContainerError::damaged(
                &part,
                "codebooks and a code table that the file has",
                found,
            ));
        };
        let gaps = self.tables.gaps.get(table).is_some();
        for book in books {
            // With gaps only non-zeros are coded, and the zero needs a codebook that has one.
            let coded = if gaps { book.levels.len() } else { book.symbols() };
            let largest = code.symbols();
            if coded > largest || (gaps && !book.pruned) || (books.len() == 1 && coded != largest) {
                return Err(ContainerError::damaged(
                    &part,
                    format!("a codebook for {largest} symbols"),
                    coded.to_string(),
                ));
            }
        }
        Ok(())
    }

    /// What the file holds.
    pub fn manifest(&self) -> &Manifest {
        &self.directory.manifest
    }

    /// The codebooks, in order.
    pub fn codebooks(&self) -> &[Codebook] {
        &self.codebooks
    }

    /// What every part of the file costs.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(&self.directory, self.manifest_bytes, self.file_bytes)
    }

    /// Size of a tensor's blocks in the file.
    pub fn stored_bytes(&self, tensor: usize) -> u64 {
        let first = self.first_blocks.get(tensor).copied().unwrap_or(0);
        let count = self.manifest().tensors.get(tensor).map_or(0, Entry::blocks) as usize;
        self.directory.blocks.iter().skip(first).take(count).map(|section| section.len).sum()
    }

    /// Decodes one tensor, block by block; a tied tensor decodes as the one it is tied to.
    pub fn tensor(&self, tensor: usize) -> Result<TensorDecoder<'_>, ContainerError> {
        let missing = || ContainerError::damaged("manifest", "a tensor of that number", tensor.to_string());
        let entry = self.manifest().tensors.get(tensor).ok_or_else(missing)?;
        let (tensor, entry) = match entry.content {
            Content::SameAs(origin) => (origin, self.manifest().tensors.get(origin).ok_or_else(missing)?),
            _ => (tensor, entry),
        };
        let decoder = match entry.content {
            Content::Quantized { table, .. } => {
                self.tables.codes.get(table).map(crate::entropy::CodeTable::decoder)
            }
            _ => None,
        };
        let first_block = self.first_blocks.get(tensor).copied().ok_or_else(missing)?;
        Ok(TensorDecoder { reader: self, entry, first_block, decoder })
    }
}

/// Decodes the blocks of one tensor, in any order.
#[derive(Debug)]
pub struct TensorDecoder<'a> {
    reader: &'a Reader,
    entry: &'a Entry,
    first_block: usize,
    decoder: Option<Decoder>,
}

impl TensorDecoder<'_> {
    /// Number of blocks.
    pub fn blocks(&self) -> u64 {
        self.entry.blocks()
    }

    /// Appends the little-endian elements of block `index` to `bytes`: [`BLOCK_WEIGHTS`] of them, fewer in the last block.
    pub fn block(&self, source: &dyn Source, index: u64, bytes: &mut Vec<u8>) -> Result<(), ContainerError> {
        let (stored, start, len) = self.stored(source, index)?;
        if self.decoder.is_none() {
            bytes.extend(stored);
            return Ok(());
        }
        let mut symbols = Vec::new();
        self.decode(&stored, index, len, &mut symbols)?;
        let mut values = Vec::with_capacity(len);
        self.values(start, &symbols, &mut values)?;
        self.entry.dtype.extend_bytes(&values, bytes);
        Ok(())
    }

    /// A block's bytes as stored, its first element and how many it has.
    fn stored(&self, source: &dyn Source, index: u64) -> Result<(Vec<u8>, u64, usize), ContainerError> {
        let part = self.part(index);
        let missing =
            || ContainerError::damaged(&part, format!("one of {} blocks", self.blocks()), index.to_string());
        if index >= self.blocks() {
            return Err(missing());
        }
        let at = self.first_block + index as usize;
        let section = *self.reader.directory.blocks.get(at).ok_or_else(missing)?;
        let offset = self.reader.offsets.get(at).copied().ok_or_else(missing)?;
        let start = index * BLOCK_WEIGHTS;
        let len = (self.entry.len() - start).min(BLOCK_WEIGHTS);
        // No coder takes more than 32 bits for a symbol; positions and heads are smaller still.
        let limit = len * self.entry.dtype.size_bytes().max(8) + 1024;
        let stored = checked(source, &part, offset, section, limit)?;
        if self.decoder.is_none() && stored.len() as u64 != len * self.entry.dtype.size_bytes() {
            let expected = format!("{} bytes", len * self.entry.dtype.size_bytes());
            return Err(ContainerError::damaged(&part, expected, stored.len().to_string()));
        }
        Ok((stored, start, len as usize))
    }

    fn part(&self, index: u64) -> String {
        format!("tensor {:?}, block {index}", self.entry.name)
    }

    fn decode(
        &self,
        stored: &[u8],
        index: u64,
        len: usize,
        symbols: &mut Vec<u16>,
    ) -> Result<(), ContainerError> {
        let (Content::Quantized { table, .. }, Some(decoder)) = (&self.entry.content, &self.decoder) else {
            return Ok(());
        };
        let gaps = self.reader.tables.gaps.get(*table);
        block::decode_block(&self.part(index), stored, len, decoder, gaps, symbols)
    }

    /// The values of symbols that start at element `start`, by the codebook of the channel each falls into.
    fn values(&self, start: u64, symbols: &[u16], values: &mut Vec<f32>) -> Result<(), ContainerError> {
        let Content::Quantized { codebook, codebooks, .. } = self.entry.content else { return Ok(()) };
        let channel_len = self.entry.len().checked_div(codebooks).unwrap_or(0).max(1);
        let mut at = start;
        let mut rest = symbols;
        while !rest.is_empty() {
            let channel = at / channel_len;
            let here = ((channel + 1) * channel_len - at).min(rest.len() as u64) as usize;
            let (now, later) = rest.split_at(here);
            let book = self.reader.codebooks.get(codebook + channel as usize);
            let book = book.ok_or_else(|| {
                ContainerError::damaged("codebooks", "one for each channel", channel.to_string())
            })?;
            values.extend(now.iter().map(|symbol| book.value(*symbol)));
            at += here as u64;
            rest = later;
        }
        Ok(())
    }
}
