//! Writes a container front to back, holding no more than its directory.

use super::block::{BlockEncoding, EncodedBlock};
use super::deflate::deflated;
use super::directory::{self, Kind as SectionKind, Section};
use super::entry::{Available, Contradiction};
use super::{Coding, ContainerError, Content, Entry, Granularity, Ledger, MAGIC, Manifest, VERSION};
use crate::code::{Codebook, Kind};
use crate::entropy::{CodeTable, GapTable};
use crate::varint;
use std::io::Write;

/// What quantized tensors refer to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tables {
    /// Values of symbols.
    pub codebooks: Vec<Codebook>,
    /// Codes of symbols.
    pub code_tables: Vec<CodeTable>,
    /// Codes of gaps.
    pub gap_tables: Vec<GapTable>,
}

/// Writes a container.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    manifest: Manifest,
    tables: Tables,
    sections: Vec<Section>,
    /// Where the next section starts.
    offset: u64,
    /// Tensor and block that come next.
    next: (usize, u64),
}

impl<W: Write> Writer<W> {
    /// Starts a container of these tensors.
    pub fn new(out: W, manifest: Manifest, tables: Tables) -> Result<Self, ContainerError> {
        let available = Available {
            codebooks: tables.codebooks.len() as u64,
            code_tables: tables.code_tables.len() as u64,
            gap_tables: tables.gap_tables.len() as u64,
        };
        let requested =
            |found: Contradiction| ContainerError::request(found.part, found.expected, found.found);
        manifest.check(available).map_err(requested)?;
        if manifest.segments().map_err(requested)?.1 != manifest.skeleton.len() {
            return Err(ContainerError::request("manifest", "a skeleton that fits its places", "another"));
        }
        for entry in &manifest.tensors {
            check_codebooks(entry, &tables.codebooks)?;
        }
        let mut writer = Self { out, manifest, tables, sections: Vec::new(), offset: 0, next: (0, 0) };
        writer.put("file header", &[&MAGIC[..], &[VERSION]].concat())?;
        writer.skip_finished();
        Ok(writer)
    }

    /// Sets the hash of the source's tensors, where it is known only once they have been read.
    pub fn set_content_hash(&mut self, hash: u128) {
        self.manifest.content_hash = hash;
    }

    /// Writes the next block: blocks come in order, tensor by tensor, none for tensors that equal another.
    pub fn write_block(
        &mut self,
        tensor: usize,
        block: u64,
        encoded: &EncodedBlock,
    ) -> Result<(), ContainerError> {
        let Some(entry) = self.manifest.holder(tensor).filter(|_| self.next == (tensor, block)) else {
            let (tensor_due, block_due) = self.next;
            let due = format!("block {block_due} of tensor {tensor_due}");
            return Err(ContainerError::request("block", due, format!("block {block} of tensor {tensor}")));
        };
        let part = format!("{}, block {block}", entry.part());
        let fits = match (&entry.content, encoded.encoding) {
            (Content::Kept | Content::Codes(..), BlockEncoding::Stored) => {
                encoded.bytes.len() as u64
                    == entry.block_len(block) as u64 * entry.stored_dtype().size_bytes()
            }
            (Content::Kept | Content::Codes(..), BlockEncoding::Deflated | BlockEncoding::Planes) => true,
            (Content::Quantized(coding), BlockEncoding::Symbols { .. } | BlockEncoding::Scaled { .. }) => {
                coding.gap_table.is_none()
            }
            (Content::Quantized(coding), BlockEncoding::Gaps { .. }) => coding.gap_table.is_some(),
            _ => false,
        };
        if !fits {
            return Err(ContainerError::request(part, "a block encoded as the manifest says", "another"));
        }
        self.section(&part, SectionKind::Block(encoded.encoding), &encoded.bytes)?;
        self.next.1 += 1;
        self.skip_finished();
        Ok(())
    }

    /// Writes manifest, tables, directory and trailer; returns the ledger and the output.
    pub fn finish(mut self) -> Result<(Ledger, W), ContainerError> {
        if let Some(entry) = self.manifest.holder(self.next.0) {
            let blocks = format!("{} blocks", entry.blocks());
            return Err(ContainerError::request(entry.part(), blocks, self.next.1));
        }
        let manifest = self.manifest.to_bytes()?;
        let mut packed = Vec::new();
        varint::put(manifest.len() as u64, &mut packed);
        packed.extend(deflated(&manifest).unwrap_or_else(|| manifest.clone()));
        if packed.len() < manifest.len() {
            self.section("manifest", SectionKind::DeflatedManifest, &packed)?;
        } else {
            self.section("manifest", SectionKind::Manifest, &manifest)?;
        }
        let tables = std::mem::take(&mut self.tables);
        self.records(SectionKind::Codebooks, tables.codebooks.iter().map(Codebook::to_bytes))?;
        self.records(SectionKind::CodeTables, tables.code_tables.iter().map(CodeTable::to_bytes))?;
        self.records(SectionKind::GapTables, tables.gap_tables.iter().map(GapTable::to_bytes))?;

        let directory = directory::write(&self.sections);
        self.put("directory", &directory)?;
        self.put("trailer", &directory::trailer(&directory))?;
        self.out.flush().map_err(|source| self.failed("trailer", source))?;
        let blocks = self.manifest.tensors.iter().map(Entry::blocks);
        let ledger = Ledger::new(&self.sections, directory.len() as u64, blocks);
        debug_assert_eq!(ledger.total_bits(), 8 * self.offset);
        Ok((ledger, self.out))
    }

    /// Moves on to the next tensor that has a block left to write.
    fn skip_finished(&mut self) {
        while self.manifest.holder(self.next.0).is_some_and(|entry| self.next.1 >= entry.blocks()) {
            self.next = (self.next.0 + 1, 0);
        }
    }

    /// Writes a section of records, each behind its length; no section for no records.
    fn records(
        &mut self,
        kind: SectionKind,
        records: impl ExactSizeIterator<Item = Vec<u8>>,
    ) -> Result<(), ContainerError> {
        if records.len() == 0 {
            return Ok(());
        }
        let mut bytes = Vec::new();
        varint::put(records.len() as u64, &mut bytes);
        for record in records {
            varint::put(record.len() as u64, &mut bytes);
            bytes.extend_from_slice(&record);
        }
        self.section(kind.name(), kind, &bytes)
    }

    fn section(&mut self, part: &str, kind: SectionKind, bytes: &[u8]) -> Result<(), ContainerError> {
        let section = Section::new(kind, self.offset, bytes);
        if section.own_bytes().is_none() {
            self.put(part, bytes)?;
        }
        self.sections.push(section);
        Ok(())
    }

    fn put(&mut self, part: &str, bytes: &[u8]) -> Result<(), ContainerError> {
        self.out.write_all(bytes).map_err(|source| self.failed(part, source))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn failed(&self, part: &str, source: std::io::Error) -> ContainerError {
        ContainerError::io(part, self.offset, source)
    }
}

/// Checks that a tensor whose positions are gaps has pruned codebooks only, and one with scales no other codebook.
fn check_codebooks(entry: &Entry, codebooks: &[Codebook]) -> Result<(), ContainerError> {
    let Content::Quantized(Coding { granularity, first_codebook, gap_table, .. }) = entry.content else {
        return Ok(());
    };
    let count = usize::try_from(entry.codebooks()).unwrap_or(usize::MAX);
    let own = || codebooks.iter().skip(first_codebook).take(count);
    let refused = |expected: &str, found: &str| Err(ContainerError::request(entry.part(), expected, found));
    if gap_table.is_some() && !own().all(|codebook| codebook.pruned()) {
        return refused("pruned codebooks, as positions are gaps", "one that is not");
    }
    if granularity == Granularity::Channel && own().any(|codebook| codebook.kind() == Kind::Scaled) {
        return refused("one codebook where values have scales", "one for every channel");
    }
    Ok(())
}
