//! Writes a `.qsz` from its first byte to its last; nothing but the directory is kept in memory.

use super::manifest::{Directory, Section};
use super::tables::codebooks_to_bytes;
use super::{
    Codebook, ContainerError, EncodedBlock, Ledger, MAGIC, Manifest, TRAILER_MAGIC, Tables, VERSION,
};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::io::Write;

/// Takes blocks tensor by tensor, in order.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    written: u64,
    directory: Directory,
    codebooks: Vec<Codebook>,
    tables: Tables,
    kept_bytes: u64,
    block_bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Starts a file. Sizes of values and positions in `manifest` are filled in while writing.
    pub fn new(
        out: W,
        manifest: Manifest,
        codebooks: Vec<Codebook>,
        tables: Tables,
    ) -> Result<Self, ContainerError> {
        let directory = Directory { manifest, ..Directory::default() };
        let mut writer =
            Self { out, written: 0, directory, codebooks, tables, kept_bytes: 0, block_bytes: 0 };
        writer.put(&MAGIC)?;
        writer.put(&[VERSION])?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ContainerError> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn section(&mut self, bytes: &[u8]) -> Result<Section, ContainerError> {
        self.put(bytes)?;
        Ok(Section { len: bytes.len() as u64, checksum: crc32fast::hash(bytes) })
    }

    /// Writes the next block of a quantized tensor.
    pub fn write_block(&mut self, block: &EncodedBlock) -> Result<(), ContainerError> {
        let section = self.section(&block.bytes)?;
        self.directory.blocks.push(section);
        self.directory.manifest.value_bits += block.value_bits;
        self.directory.manifest.position_bits += block.position_bits;
        self.block_bytes += section.len;
        Ok(())
    }

    /// Writes the next block of a kept tensor.
    pub fn write_kept(&mut self, bytes: &[u8]) -> Result<(), ContainerError> {
        let section = self.section(bytes)?;
        self.directory.blocks.push(section);
        self.kept_bytes += section.len;
        Ok(())
    }

    /// Writes codebooks, tables, manifest and trailer; what everything cost.
    pub fn finish(mut self) -> Result<(W, Ledger), ContainerError> {
        let due: u64 = self.directory.manifest.tensors.iter().map(super::Entry::blocks).sum();
        if due != self.directory.blocks.len() as u64 {
            let found = format!("{} blocks", self.directory.blocks.len());
            return Err(ContainerError::Order { expected: format!("{due} blocks"), found });
        }
        let codebooks = codebooks_to_bytes(&self.codebooks);
        self.directory.codebooks = self.section(&codebooks)?;
        let tables = self.tables.to_bytes();
        self.directory.tables = self.section(&tables)?;
        let inflated = self.directory.to_bytes();
        let mut deflater = DeflateEncoder::new(Vec::new(), Compression::best());
        deflater.write_all(&inflated)?;
        let manifest = deflater.finish()?;
        let stored = self.section(&manifest)?;
        let mut trailer = Vec::new();
        trailer.extend((stored.len as u32).to_le_bytes());
        trailer.extend((inflated.len() as u32).to_le_bytes());
        trailer.extend(stored.checksum.to_le_bytes());
        trailer.extend(TRAILER_MAGIC);
        self.put(&trailer)?;
        self.out.flush()?;
        let ledger = Ledger::new(&self.directory, stored.len, self.written);
        Ok((self.out, ledger))
    }
}
