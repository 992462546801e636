//! From encoded tasks to the compressed file, and from the compressed file to plain weights.

use super::cost::{Cost, Pool};
use super::encode::{Encoded, Measured};
use super::plan::Fate;
use super::quality::{Quality, TensorSums};
use super::report::{Outcome, Point};
use super::restore::elements;
use super::{EngineError, Plan, Session, unpack};
use crate::checksum::xxh3;
use crate::code::Code;
use crate::container::{
    Coding, Content, Entry, Granularity, Ledger, Limits, MAGIC, Manifest, Reader, Tables, Writer,
};
use crate::formats::{self, Contents, Source, Template, TensorHeader};
use crate::model::{FileFormat, Model};
use crate::rate_distortion::sqnr_db;
use crate::recipe::Checked;
use crate::tensor::{Storage, Tensor};
use std::io::Write;

/// Puts encoded tasks together into a `.qsz`.
#[derive(Debug)]
pub struct Assembler<W> {
    writer: Writer<Hashed<W>>,
    outcome: Outcome,
    measured: Measured,
    /// The same of every tensor.
    of_tensors: Vec<Measured>,
    /// Measured symbol counts per code table.
    pools: Vec<Pool>,
    names: Vec<String>,
    /// The next task.
    next: usize,
    plan: Plan,
}

/// Passes bytes on and hashes them.
struct Hashed<W> {
    out: W,
    hasher: Box<xxhash_rust::xxh3::Xxh3>,
    bytes: u64,
}

impl<W> std::fmt::Debug for Hashed<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hashed").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Assembler<W> {
    /// Starts a file in `out` for the plan's tasks; `name` and `source_bytes` are the source file's.
    pub fn new(
        session: &Session,
        plan: &Plan,
        name: &str,
        source_bytes: u64,
        out: W,
    ) -> Result<Self, EngineError> {
        let model = session.model();
        let manifest = manifest(session, plan, name, source_bytes);
        let tables = Tables {
            codebooks: plan.codebooks(),
            code_tables: plan.tables.clone(),
            gap_tables: plan.gap_tables.clone(),
        };
        let mut notes = model.notes.clone();
        notes.extend(
            session.importance().filter(|_| plan.has_importance).map_or(&[][..], |i| i.notes()).to_vec(),
        );
        notes.extend_from_slice(plan.notes());
        let is_whole = plan.skeleton.is_some();
        let outcome = Outcome {
            source_bytes,
            covered_bytes: if is_whole { source_bytes } else { model.covered_bytes(source_bytes) },
            float32_bytes: model.float32_bytes(),
            parameters: model.parameters(),
            recipe: manifest.recipe.clone(),
            source_hash: session.hash(),
            gives_back: manifest.files.clone(),
            others: (
                model.extras.len() as u64,
                model.extras.iter().map(Tensor::size_bytes).fold(0, u64::saturating_add),
            ),
            notes,
            ..Outcome::default()
        };
        Ok(Self {
            writer: Writer::new(Hashed { out, hasher: Box::default(), bytes: 0 }, manifest, tables)?,
            outcome,
            measured: Measured::default(),
            of_tensors: model.tensors.iter().map(|_| Measured::default()).collect(),
            pools: plan.tables.iter().map(|_| Pool::default()).collect(),
            names: model.tensors.iter().map(|tensor| tensor.name.clone()).collect(),
            next: 0,
            plan: plan.clone(),
        })
    }

    /// Takes in what [`encode`](super::encode) gave for the next task.
    pub fn absorb(&mut self, part: &[u8]) -> Result<(), EngineError> {
        let encoded: Encoded = unpack(part)?;
        let task = self.plan.tasks().get(self.next).ok_or(EngineError::Message)?;
        for (index, block) in (task.start / task.block..).zip(&encoded.blocks) {
            self.writer.write_block(task.tensor, index, block)?;
        }
        self.measured.merge(&encoded.measured);
        if let Some(of_tensor) = self.of_tensors.get_mut(task.tensor) {
            of_tensor.merge(&encoded.measured);
        }
        if let Some(Fate::Quantized { table, .. }) = self.plan.fates.get(task.tensor)
            && let Some(pool) = self.pools.get_mut(*table)
        {
            pool.add(&encoded.pool.levels, encoded.pool.zeros, 1.0);
        }
        self.next += 1;
        Ok(())
    }

    /// Completes the file, and says what came of it.
    pub fn finish(self) -> Result<(W, Outcome), EngineError> {
        let (ledger, Hashed { out, hasher, bytes }) = self.writer.finish()?;
        let mut outcome = self.outcome;
        outcome.file_bytes = bytes;
        outcome.ratio = outcome.covered_bytes as f64 / bytes as f64;
        outcome.float32_ratio = outcome.float32_bytes as f64 / bytes as f64;
        outcome.quality = Quality::new(&sums(&self.names, &self.of_tensors));
        outcome.file_hash = format!("{:032x}", hasher.digest128());
        outcome.ledger = ledger.rows().map(|(what, bits)| (what.to_owned(), bits)).to_vec();
        let quality = outcome.quality.clone().unwrap_or_default();
        outcome.point = measured_point(&self.plan, &self.measured, &quality, &self.pools, &ledger);
        Ok((out, outcome))
    }
}

/// What the file says about itself.
fn manifest(session: &Session, plan: &Plan, name: &str, source_bytes: u64) -> Manifest {
    let (model, skeleton) = (session.model(), plan.skeleton.as_ref());
    let mut files = skeleton.map_or_else(Vec::new, |skeleton| skeleton.files.clone());
    if let Some((first, _)) = files.first_mut().filter(|(first, _)| first.is_empty()) {
        name.clone_into(first);
    }
    Manifest {
        source_name: name.to_owned(),
        source_format: model.format,
        source_bytes,
        content_hash: session.hash_bits(),
        recipe: plan.recipe.to_line(),
        metadata: model.metadata.clone(),
        files,
        checksums: skeleton.map_or_else(Vec::new, |skeleton| skeleton.checksums.clone()),
        tensors: entries(model, plan),
        skeleton: Entry::skeleton(skeleton.map_or(0, |skeleton| skeleton.len)),
    }
}

/// The tensors as the container has them.
fn entries(model: &Model, plan: &Plan) -> Vec<Entry> {
    let content = |tensor: &Tensor, fate: &Fate| match *fate {
        Fate::Kept => Content::Kept,
        Fate::Codes => match tensor.storage {
            Storage::Encoded { span, codec, .. } => Content::Codes(codec, span.len),
            _ => Content::Kept,
        },
        Fate::View(ref view) => Content::View(view.clone()),
        Fate::SameAs(index) => Content::SameAs(index),
        Fate::Quantized { first_group, group_len, table } => Content::Quantized(Coding {
            granularity: if group_len < tensor.len() { Granularity::Channel } else { Granularity::Tensor },
            first_codebook: first_group,
            code_table: table,
            gap_table: plan.gap_tables.get(table).map(|_| table),
        }),
    };
    let place = |index: usize| plan.skeleton.as_ref()?.places.get(index)?.clone();
    let entry = |(index, (tensor, fate)): (usize, (&Tensor, &Fate))| Entry {
        name: tensor.name.clone(),
        shape: tensor.shape.clone(),
        dtype: tensor.dtype,
        role: tensor.found.role,
        content: content(tensor, fate),
        place: place(index),
    };
    model.tensors.iter().zip(&plan.fates).enumerate().map(entry).collect()
}

/// What quality is made of, tensor by tensor.
fn sums(names: &[String], measured: &[Measured]) -> Vec<TensorSums> {
    let pairs = names.iter().zip(measured).filter(|(_, measured)| measured.weights > 0);
    pairs
        .map(|(name, measured)| TensorSums {
            name: name.clone(),
            weights: measured.weights,
            zeros: measured.source_zeros,
            most_frequent: measured.most_frequent,
            signal: measured.signal,
            error: measured.error,
        })
        .collect()
}

/// The operating point as measured on every weight; bits are those of the file.
fn measured_point(
    plan: &Plan,
    measured: &Measured,
    quality: &Quality,
    pools: &[Pool],
    ledger: &Ledger,
) -> Point {
    let weights = measured.weights.max(1) as f64;
    let pruning = plan.has_zero_symbol();
    let bits = (ledger.value_bits
        + ledger.position_bits
        + ledger.scale_bits
        + ledger.codebook_bits
        + ledger.table_bits) as f64;
    // Symbols that depend on each other have no other code than their own.
    let cost = if plan.is_joint() {
        Cost::joint(bits)
    } else {
        let codebook_bits = |code: &Code| code.kind().side_bits(code.levels() as f64);
        let side_bits: f64 = plan.groups.iter().map(codebook_bits).sum();
        Cost::new(pools, &plan.recipe, pruning, side_bits + ledger.scale_bits as f64)
    };
    let Checked { method, settings, .. } = &plan.recipe;
    Point {
        parameter: settings.value(method.swept).cloned(),
        levels: plan.groups.iter().map(|code| code.levels() as u64).max().unwrap_or(0),
        weights: measured.weights,
        pruned: measured.zeros,
        entropy_bits: cost.entropy / weights,
        rates: cost.rates(weights),
        bits: bits / weights,
        mse: measured.error / weights,
        weighted_mse: measured.weighted_error / weights,
        sqnr_db: sqnr_db(measured.signal, measured.error),
        weighted_sqnr_db: sqnr_db(measured.weighted_signal, measured.weighted_error),
        worst_db: quality.worst_db,
        median_db: quality.median_db,
        broken: quality.broken(),
        formula_ratio: weights * 32.0 / (cost.formula + ledger.position_bits as f64),
        predicted_ratio: 0.0,
        optimal: false,
        preview: false,
        gap_to_optimum_db: None,
        gap_to_shannon_bits: None,
    }
}

/// What decoded weights are written as.
#[derive(Debug, Clone, Copy)]
pub struct Export<'a> {
    /// A format that can be written.
    pub format: FileFormat,
    /// The file that the weights came from, for a format that is written into it.
    pub template: Option<Template<'a>>,
}

/// Decodes every tensor of a `.qsz` into a weight file with the original names, shapes and types; `done` hears of the decoded
/// bytes of each block and says whether to go on.
///
/// Memory for one block.
pub fn decode_to(
    file: &dyn Source,
    reader: &Reader,
    export: Export,
    out: impl Write,
    done: &mut dyn FnMut(u64),
) -> Result<(), EngineError> {
    let manifest = reader.manifest();
    let header = |entry: &Entry| TensorHeader {
        name: entry.name.clone(),
        dtype: entry.dtype,
        shape: entry.shape.clone(),
    };
    let headers: Vec<TensorHeader> = manifest.tensors.iter().map(header).collect();
    let contents = Contents { tensors: &headers, metadata: &manifest.metadata, template: export.template };
    let mut writer = formats::Writer::new(export.format, out, &contents)?;
    for index in 0..manifest.tensors.len() {
        elements(file, reader, index, &mut |bytes| {
            writer.write(bytes)?;
            done(bytes.len() as u64);
            Ok(())
        })?;
    }
    writer.finish()?;
    Ok(())
}

/// Checks every block of a `.qsz` by decoding it; the hash of all decoded bytes in tensor order, hexadecimal.
pub fn check_blocks(
    file: &dyn Source,
    reader: &Reader,
    done: &mut dyn FnMut(u64),
) -> Result<String, EngineError> {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    let mut bytes = Vec::new();
    for (index, entry) in reader.manifest().holders().enumerate() {
        if matches!(entry.content, Content::SameAs(_)) {
            continue;
        }
        let decoder = reader.decoder(index)?;
        for block in 0..entry.blocks() {
            bytes.clear();
            decoder.decode_block(file, block, &mut bytes)?;
            hasher.update(&xxh3(&bytes).to_le_bytes());
            done(bytes.len() as u64);
        }
    }
    Ok(format!("{:032x}", hasher.digest128()))
}

/// Whether a file starts like a `.qsz`.
pub fn is_container(file: &dyn Source) -> bool {
    let mut head = [0; MAGIC.len()];
    file.len() >= head.len() as u64 && file.read_at(0, &mut head).is_ok() && head == MAGIC
}

/// Bytes of a container's tensors once decoded.
pub fn decoded_bytes(reader: &Reader) -> u64 {
    let size = |entry: &Entry| entry.len().saturating_mul(entry.dtype.size_bytes());
    reader.manifest().tensors.iter().map(size).fold(0, u64::saturating_add)
}

/// Float parameters of a container's tensors, tied weights once.
pub fn parameters(reader: &Reader) -> u64 {
    let own = |entry: &&Entry| entry.dtype.is_float() && !matches!(entry.content, Content::SameAs(_));
    reader.manifest().tensors.iter().filter(own).map(Entry::len).sum()
}

/// Opens a `.qsz` with the default limits.
pub fn open_container(file: &dyn Source) -> Result<Reader, EngineError> {
    Ok(Reader::open(file, Limits::default())?)
}
