//! Reads a container: opens by the trailer, checks what it says, decodes block by block.
//!
//! Opening reads header, directory, manifest and tables, all of bounded size; blocks are read when they are asked for.
//! No length, offset or count is used before it has been checked, and every section's CRC-32 before its content.

use super::block::BlockEncoding;
use super::deflate::inflated;
use super::directory::{self, END_MAGIC, HEADER_BYTES, Kind, Section, TRAILER_BYTES};
use super::entry::{Available, Contradiction};
use super::medium::{check_crc, read_bytes, read_section, undecodable};
use super::records::Records;
use super::wire::Cursor;
use super::{Coding, ContainerError, Content, Entry, Ledger, Limits, MAGIC, Manifest, VERSION};
use crate::code::Codebook;
use crate::entropy::{CodeTable, GapTable};
use crate::formats::Source;
use crate::skeleton::Segment;
use std::sync::{Arc, Mutex, PoisonError};

/// An open container.
#[derive(Debug, Clone)]
pub struct Reader {
    manifest: Manifest,
    /// What the bytes of the files that are given back are, in order.
    segments: Vec<Segment>,
    ledger: Ledger,
    /// Sections of blocks.
    pub(super) blocks: Vec<Section>,
    /// First block of each tensor in `blocks`.
    pub(super) first_blocks: Vec<usize>,
    codebooks: Records,
    code_tables: Records,
    gap_tables: Records,
    /// Tensors that follow each other often share a code table.
    last_table: Last<CodeTable>,
    /// Small runs of the skeleton that follow each other lie in one block.
    last_block: Last<Vec<u8>>,
}

/// What was made last, by its index.
#[derive(Debug)]
struct Last<T>(Mutex<Option<(usize, Arc<T>)>>);

impl<T> Default for Last<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Clone for Last<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> Last<T> {
    /// What has this index, made anew where it is not what was made last.
    fn get(
        &self,
        index: usize,
        make: impl FnOnce() -> Result<T, ContainerError>,
    ) -> Result<Arc<T>, ContainerError> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, made)) = &*last
            && *at == index
        {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(make()?);
        *last = Some((index, Arc::clone(&made)));
        Ok(made)
    }
}

impl Reader {
    /// Opens a container; damaged, foreign and cut files are refused with the section that shows it.
    pub fn open(source: &dyn Source, limits: Limits) -> Result<Self, ContainerError> {
        let limits = &limits;
        check_header(source)?;
        let (start, directory) = read_directory(source, limits)?;
        let sections = directory::read(&directory, start)?;
        let is_block = |section: &&Section| matches!(section.kind, Kind::Block(_));
        let blocks: Vec<Section> = sections.iter().take_while(is_block).copied().collect();
        let mut others = sections.iter().skip(blocks.len()).peekable();
        let (mut manifest, manifest_at) = read_manifest(source, others.next(), start, limits)?;
        let mut records = |kind| match others.next_if(|section| section.kind == kind) {
            Some(section) => Records::read(source, section, limits),
            None => Ok(Records::default()),
        };
        let codebooks = records(Kind::Codebooks)?;
        let code_tables = records(Kind::CodeTables)?;
        let gap_tables = records(Kind::GapTables)?;
        if let Some(section) = others.next() {
            let expected =
                "manifest, codebooks, code tables and gap tables after the blocks, once and in this order";
            return Err(ContainerError::damaged(
                section.kind.name(),
                section.offset,
                expected,
                "another section",
            ));
        }
        let available = Available {
            codebooks: codebooks.len(),
            code_tables: code_tables.len(),
            gap_tables: gap_tables.len(),
        };
        let damaged = |found: Contradiction| {
            ContainerError::damaged(&found.part, manifest_at, found.expected, found.found)
        };
        manifest.check(available).map_err(damaged)?;
        let (segments, skeleton) = manifest.segments().map_err(damaged)?;
        manifest.skeleton = Entry::skeleton(skeleton);
        let first_blocks = assign_blocks(&manifest, &blocks, manifest_at)?;
        let ledger =
            Ledger::new(&sections, directory.len() as u64, manifest.tensors.iter().map(Entry::blocks));
        check_elements(&manifest, source.len(), manifest_at)?;
        Ok(Self {
            manifest,
            segments,
            ledger,
            blocks,
            first_blocks,
            codebooks,
            code_tables,
            gap_tables,
            last_table: Last::default(),
            last_block: Last::default(),
        })
    }

    /// What the container says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the bytes of the files that are given back are, in order; none where it holds weights alone.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What every bit of the file is for.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Number of codebooks.
    pub fn codebooks(&self) -> usize {
        self.codebooks.len() as usize
    }

    /// The codebook of this index.
    pub fn codebook(&self, index: usize) -> Result<Codebook, ContainerError> {
        let (offset, bytes) = self.codebooks.get("codebook", index)?;
        Codebook::from_bytes(bytes)
            .map_err(|source| undecodable(&format!("codebook {index}"), offset, source))
    }

    /// The code table of this index.
    pub fn code_table(&self, index: usize) -> Result<Arc<CodeTable>, ContainerError> {
        self.last_table.get(index, || {
            let (offset, bytes) = self.code_tables.get("code table", index)?;
            CodeTable::from_bytes(bytes)
                .map_err(|source| undecodable(&format!("code table {index}"), offset, source))
        })
    }

    /// The bytes of a block of the skeleton.
    pub fn skeleton_block(&self, source: &dyn Source, block: u64) -> Result<Arc<Vec<u8>>, ContainerError> {
        self.last_block.get(usize::try_from(block).unwrap_or(usize::MAX), || {
            let mut bytes = Vec::new();
            self.decode_block(source, self.manifest.tensors.len(), block, &mut bytes)?;
            Ok(bytes)
        })
    }

    /// The gap table of this index.
    pub fn gap_table(&self, index: usize) -> Result<GapTable, ContainerError> {
        let (offset, bytes) = self.gap_tables.get("gap table", index)?;
        GapTable::from_bytes(bytes)
            .map_err(|source| undecodable(&format!("gap table {index}"), offset, source))
    }

    /// Checks the CRC-32 of every block; those of other sections were checked on opening.
    pub fn verify_checksums(&self, source: &dyn Source) -> Result<(), ContainerError> {
        for (tensor, entry) in self.manifest.holders().enumerate() {
            let first = self.first_blocks.get(tensor).copied().unwrap_or(0);
            for block in 0..entry.blocks() {
                let part = format!("{}, block {block}", entry.part());
                if let Some(section) = self.blocks.get(first + block as usize) {
                    read_section(source, &part, section, section.len)?;
                }
            }
        }
        Ok(())
    }

    /// A tensor, or the skeleton at the index behind them.
    pub(super) fn entry(&self, tensor: usize) -> Result<&Entry, ContainerError> {
        let count = self.manifest.tensors.len();
        self.manifest
            .holder(tensor)
            .ok_or_else(|| ContainerError::request("tensor", format!("an index up to {count}"), tensor))
    }
}

fn check_header(source: &dyn Source) -> Result<(), ContainerError> {
    let bytes = read_bytes(source, "file header", 0, HEADER_BYTES)?;
    let mut cursor = Cursor::new("file header", 0, &bytes);
    let magic: [u8; MAGIC.len()] = cursor.array()?;
    if magic != MAGIC {
        return Err(ContainerError::damaged(
            "file header",
            0,
            "the mark of a .qsz container",
            format!("\"{}\"", magic.escape_ascii()),
        ));
    }
    let version = cursor.byte()?;
    if version == VERSION {
        return Ok(());
    }
    Err(ContainerError::unsupported("format version", MAGIC.len() as u64, VERSION, version))
}

/// Finds the directory by the trailer; returns where it starts, and its bytes.
fn read_directory(source: &dyn Source, limits: &Limits) -> Result<(u64, Vec<u8>), ContainerError> {
    let trailer_at = source.len().saturating_sub(TRAILER_BYTES).max(HEADER_BYTES);
    let bytes = read_bytes(source, "file trailer", trailer_at, TRAILER_BYTES)?;
    let mut cursor = Cursor::new("file trailer", trailer_at, &bytes);
    let len = u64::from(u32::from_le_bytes(cursor.array()?));
    let crc = u32::from_le_bytes(cursor.array()?);
    let mark: [u8; 4] = cursor.array()?;
    if mark != END_MAGIC {
        let found = format!("\"{}\", as in a file cut short or damaged", mark.escape_ascii());
        return Err(ContainerError::damaged(
            "file trailer",
            trailer_at,
            "the end mark of a .qsz container",
            found,
        ));
    }
    let before = trailer_at - HEADER_BYTES;
    if len > before {
        return Err(ContainerError::damaged(
            "file trailer",
            trailer_at,
            format!("a directory within {before} bytes"),
            len,
        ));
    }
    cursor.limited("the directory length", len, limits.directory_bytes)?;
    let start = trailer_at - len;
    let directory = read_bytes(source, "directory", start, len)?;
    check_crc("directory", start, &directory, crc)?;
    Ok((start, directory))
}

/// Reads the manifest; returns it with where its section starts.
fn read_manifest(
    source: &dyn Source,
    section: Option<&Section>,
    directory_at: u64,
    limits: &Limits,
) -> Result<(Manifest, u64), ContainerError> {
    let is_manifest = |section: &&Section| matches!(section.kind, Kind::Manifest | Kind::DeflatedManifest);
    let section = section.filter(is_manifest).ok_or_else(|| {
        ContainerError::damaged("directory", directory_at, "a manifest after the blocks", "none")
    })?;
    let bytes = read_section(source, "manifest", section, limits.manifest_bytes)?;
    let cursor = Cursor::new("manifest", section.offset, &bytes);
    if section.kind == Kind::Manifest {
        return Ok((Manifest::read(cursor, limits)?, section.offset));
    }
    let mut cursor = cursor;
    let len = cursor.varint()?;
    cursor.limited("the inflated length", len, limits.manifest_bytes)?;
    let bytes = inflated(cursor.rest(), len).map_err(|(expected, found)| cursor.damaged(expected, found))?;
    Ok((Manifest::read(Cursor::new("inflated manifest", 0, &bytes), limits)?, section.offset))
}

/// Elements that a byte of the file may stand for: a block of one value takes some six bytes, and no network is made of those.
const ELEMENTS_PER_BYTE: u64 = 1 << 16;
/// Elements that any file may have.
const LEAST_ELEMENTS: u64 = 1 << 26;

/// Refuses a small file that decodes without end.
fn check_elements(manifest: &Manifest, file_bytes: u64, offset: u64) -> Result<(), ContainerError> {
    let elements = manifest.holders().map(Entry::len).fold(0, u64::saturating_add);
    let most = file_bytes.saturating_mul(ELEMENTS_PER_BYTE).max(LEAST_ELEMENTS);
    Cursor::new("manifest", offset, &[]).limited("the number of elements of all tensors", elements, most)
}

/// Gives each tensor its blocks: as many as its shape asks for, encoded as the manifest says, of a plausible length.
fn assign_blocks(manifest: &Manifest, blocks: &[Section], offset: u64) -> Result<Vec<usize>, ContainerError> {
    let mut first_blocks = Vec::new();
    let mut next = 0usize;
    for entry in manifest.holders() {
        first_blocks.push(next);
        let left = blocks.get(next..).unwrap_or_default();
        let count = usize::try_from(entry.blocks()).unwrap_or(usize::MAX);
        let Some(own) = left.get(..count) else {
            let expected = format!("{} blocks", entry.blocks());
            return Err(ContainerError::damaged(
                &entry.part(),
                offset,
                expected,
                format!("{} left", left.len()),
            ));
        };
        for (block, section) in own.iter().enumerate() {
            if let Err((expected, found)) = check_block(entry, block as u64, section) {
                let part = format!("{}, block {block}", entry.part());
                return Err(ContainerError::damaged(&part, section.offset, expected, found));
            }
        }
        next += count;
    }
    if next != blocks.len() {
        let expected = format!("{next} blocks for the tensors of the manifest");
        return Err(ContainerError::damaged("directory", offset, expected, blocks.len()));
    }
    Ok(first_blocks)
}

/// Checks a block's encoding and length against its tensor; says what was expected, and found.
fn check_block(entry: &Entry, block: u64, section: &Section) -> Result<(), (String, String)> {
    let elements = entry.block_len(block) as u64;
    let kept = elements * entry.stored_dtype().size_bytes();
    let Kind::Block(encoding) = section.kind else { return Ok(()) };
    let (fits, longest) = match (&entry.content, encoding) {
        (Content::Kept | Content::Codes(..), BlockEncoding::Stored) => (section.len == kept, kept),
        (Content::Kept | Content::Codes(..), BlockEncoding::Deflated | BlockEncoding::Planes) => (true, kept),
        // A symbol takes at most 24 bits, as does a gap, and each filler for one zero or more.
        (Content::Quantized(Coding { gap_table: None, .. }), BlockEncoding::Symbols { .. })
        | (Content::Quantized(Coding { gap_table: Some(_), .. }), BlockEncoding::Gaps { .. }) => {
            (true, 8 * elements + 64)
        }
        // Scales have at most 4 bytes each, one for every element or fewer, and a code that saves nothing is not used.
        (Content::Quantized(Coding { gap_table: None, .. }), BlockEncoding::Scaled { .. }) => {
            (true, 12 * elements + 65)
        }
        _ => return Err(("a block encoded as the manifest says".to_owned(), "another".to_owned())),
    };
    if fits && section.len <= longest {
        return Ok(());
    }
    Err((format!("{elements} elements in at most {longest} bytes"), format!("{} bytes", section.len)))
}
