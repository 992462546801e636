//! What the hardware model says of a network: energy and time by format.

use super::context::{Context, open_source};
use super::writing::{refuse_harm, write_whole};
use super::{Failure, print};
use crate::code::Codebook;
use crate::container::{Content, Reader};
use crate::cost::{
    Arithmetic, Bill, Constants, Decode, Design, Memory, Quantity, Stored, Swing, Technology, tornado,
};
use crate::engine;
use crate::engine::native::file_name;
use crate::entropy::Coder;
use crate::formats::{escaped, matching_name, shown};
use crate::network::counts::{self, Counts};
use crate::network::data::{DataSet, Preprocess};
use crate::network::evaluate::Setup;
use crate::network::model::ModelBytes;
use crate::network::{Graph, Network};
use crate::number_format::Format;
use crate::plot::{self, Spans, Theme};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A network, and what is to carry it out.
#[derive(Debug, Clone, Args)]
pub struct CostArguments {
    /// The network, as ONNX
    pub network: PathBuf,
    /// Count on the first sample of these data in place of inputs made up from the network's shapes
    #[arg(long, num_args = 1.., value_name = "FILE…")]
    pub data: Vec<PathBuf>,
    /// Preprocessing of the data; guessed if absent
    #[arg(long, value_name = "LINE", requires = "data")]
    pub preprocess: Option<String>,
    /// Formats of weights and activations beside the baselines fp32, fp16 and int8: names such as bf16, e4m3, m7e6,
    /// l8r8, int4, posit8
    #[arg(long = "format", value_delimiter = ',', value_name = "F,…")]
    pub formats: Vec<String>,
    /// Format in which weights are multiplied, in place of --format's
    #[arg(long, value_name = "F")]
    pub weights_format: Option<String>,
    /// Format of activations, in place of --format's
    #[arg(long, value_name = "F")]
    pub activations_format: Option<String>,
    /// Format of sums [default: fp32 of floats, int32 of integers and fixed point]
    #[arg(long, value_name = "F")]
    pub accumulator: Option<String>,
    /// Bits in which a weight is stored [default: its format's]
    #[arg(long, value_name = "N")]
    pub bits_per_weight: Option<f64>,
    /// How stored weights are decoded
    #[arg(long, value_parser = Decode::ALL.map(Decode::id), default_value = "none")]
    pub decode: String,
    /// Take bits and decoding of every tensor from this .qsz
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bits_per_weight", "decode"])]
    pub qsz: Option<PathBuf>,
    /// Inferences for which weights are read once
    #[arg(long, default_value_t = 1)]
    pub batch: u32,
    /// Where weights are
    #[arg(long, value_parser = Memory::ALL.map(Memory::id), default_value = "dram")]
    pub weights_in: String,
    /// Where activations are
    #[arg(long, value_parser = Memory::ALL.map(Memory::id), default_value = "sram-1m")]
    pub activations_in: String,
    /// Feature size in nm whose published energies are taken: 45 or 7
    #[arg(long, value_name = "NM", default_value = "7")]
    pub technology: String,
    /// Set a constant of docs/hardware-model.md, as in dram=640; pairs may be joined by &
    #[arg(long, value_name = "KEY=VALUE")]
    pub constant: Vec<String>,
    /// Say what every layer takes
    #[arg(long)]
    pub layers: bool,
    /// Say which constant moves a result most, of the first format
    #[arg(long, value_name = "RESULT", num_args = 0..=1, default_missing_value = "energy", value_parser = Quantity::ALL.map(Quantity::id))]
    pub tornado: Option<String>,
    /// Also write every layer of every format as CSV
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Also draw energies by part, or what --tornado says, as SVG
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// The arithmetic of a format's name.
fn arithmetic(name: &str) -> Result<Arithmetic, Failure> {
    let format = Format::parse(name).map_err(|error| Failure::Usage(format!("format: {error}")))?;
    let found = Arithmetic::of(&format);
    found.check(&format!("format {}", shown(name))).map_err(usage)?;
    Ok(found)
}

fn usage(error: impl std::fmt::Display) -> Failure {
    Failure::Usage(error.to_string())
}

/// Says what a network takes.
pub fn cost(context: &Context, asked: &CostArguments) -> Result<(), Failure> {
    let outputs: Vec<&Path> =
        [&asked.csv, &asked.svg].into_iter().filter_map(|path| path.as_deref()).collect();
    let data = asked.data.iter().map(PathBuf::as_path);
    refuse_harm(
        &outputs,
        &std::iter::once(asked.network.as_path()).chain(data).chain(asked.qsz.as_deref()).collect::<Vec<_>>(),
    )?;
    let constants = constants(asked)?;
    let mut designs = asked_designs(asked)?;
    let counts = count(asked)?;
    if let Some(path) = &asked.qsz {
        let stored = stored_tensors(path, &counts)?;
        for design in &mut designs {
            design.name = format!("{}, {}", design.name, file_name(path));
            design.tensors.clone_from(&stored);
        }
    }
    let surroundings = Design {
        batch: asked.batch,
        weights_in: memory(&asked.weights_in)?,
        activations_in: memory(&asked.activations_in)?,
        ..Design::fp32()
    };
    let first = designs.first().cloned().unwrap_or_else(Design::fp32).beside(&surroundings);
    let all = with_padded(
        Design::baselines().into_iter().chain(designs).map(|design| design.beside(&surroundings)),
    );
    let bills = all.iter().map(|design| Bill::of(&counts.workload, design, &constants).map_err(usage));
    let bills: Vec<Bill> = bills.collect::<Result<_, _>>()?;
    let quantity = asked.tornado.as_deref().and_then(Quantity::from_id);
    let swings =
        quantity.map(|quantity| tornado(&counts.workload, &first, &constants, quantity).map_err(usage));
    let swings = quantity.zip(swings.transpose()?);
    write_files(asked, &bills, swings.as_ref())?;
    let mut text = vec![bills_table(&bills), summary(&counts, &bills, &constants, asked.batch)];
    if asked.layers {
        text.extend(bills.iter().map(layers_table));
    }
    if let Some((quantity, swings)) = &swings {
        text.push(tornado_table(&first.name, *quantity, swings, &constants));
    }
    let json = json!({
        "counts": counts, "constants": constants, "designs": all, "bills": bills,
        "tornado": swings.as_ref().map(|(quantity, swings)| json!({"result": quantity.id(), "format": first.name, "swings": swings})),
    });
    context.say(&text.join("\n\n"), &json)
}

fn constants(asked: &CostArguments) -> Result<Constants, Failure> {
    let mut constants = Constants::of(Technology::from_id(&asked.technology).map_err(usage)?);
    for pair in asked.constant.iter().flat_map(|pairs| pairs.split('&')) {
        constants.set_pair(pair).map_err(usage)?;
    }
    Ok(constants)
}

fn memory(id: &str) -> Result<Memory, Failure> {
    Memory::from_id(id).ok_or_else(|| Failure::Usage(format!("memory: found {id}")))
}

/// The designs that the flags describe, beside the baselines.
fn asked_designs(asked: &CostArguments) -> Result<Vec<Design>, Failure> {
    let mut names = asked.formats.clone();
    let chosen =
        asked.weights_format.is_some() || asked.activations_format.is_some() || asked.accumulator.is_some();
    let stored = asked.bits_per_weight.is_some() || asked.decode != Decode::None.id();
    if names.is_empty() && (chosen || asked.qsz.is_some() || stored) {
        names.push("fp32".to_owned());
    }
    let given = |name: &Option<String>, other: Arithmetic| name.as_deref().map_or(Ok(other), arithmetic);
    let design = |name: &String| {
        let format = arithmetic(name)?;
        let weights = given(&asked.weights_format, format)?;
        let activations = given(&asked.activations_format, format)?;
        let usual = if matches!(weights, Arithmetic::Float { .. }) { weights } else { activations };
        let bits = asked.bits_per_weight.unwrap_or(f64::from(weights.bits()));
        let accumulator = given(&asked.accumulator, usual.usual_accumulator())?;
        let mut title = asked.weights_format.clone().unwrap_or_else(|| name.clone());
        let parts = [("×", &asked.activations_format), (" in ", &asked.accumulator)];
        for (joint, part) in parts {
            title += &part.as_ref().map(|part| format!("{joint}{part}")).unwrap_or_default();
        }
        if let Some(bits) = asked.bits_per_weight {
            let _ = write!(title, ", {bits} bits");
        }
        let decode = Decode::from_id(&asked.decode).unwrap_or_default();
        let stored = Stored { bits, decode };
        let design = Design { name: title, weights, activations, accumulator, stored, ..Design::fp32() };
        design.check().map_err(usage)?;
        Ok(design)
    };
    names.iter().map(design).collect()
}

/// Every design, and behind it the same with padded numbers where that is another.
fn with_padded(designs: impl Iterator<Item = Design>) -> Vec<Design> {
    let mut all = Vec::new();
    for design in designs {
        let is_whole = |bits: f64| bits % 8.0 == 0.0;
        let widths =
            [design.stored.bits, f64::from(design.weights.bits()), f64::from(design.activations.bits())];
        let padded = Design { padded: true, name: format!("{}, padded", design.name), ..design.clone() };
        let is_other = !widths.into_iter().all(is_whole);
        all.push(design);
        all.extend(is_other.then_some(padded));
    }
    all
}

/// Counts an inference of the network.
fn count(asked: &CostArguments) -> Result<Counts, Failure> {
    let files = ModelBytes::read(&open_source(&asked.network)?)?;
    if asked.data.is_empty() {
        return Ok(counts::of_shapes(&files)?);
    }
    let data = DataSet::read(&asked.data)?;
    let graph = Graph::parse(files.model())?;
    let setup = match &asked.preprocess {
        Some(line) => Setup::new(&graph, &data, Preprocess::from_line(line)?)?,
        None => Setup::guess(&graph, &Network::load(&files)?, &data)?,
    };
    Ok(counts::of_data(&files, &setup, &data)?)
}

/// How a compressed file stores the tensors that a network reads, by the network's names: bits of a weight with its share of
/// codebooks and tables, and what decodes it.
fn stored_tensors(path: &Path, counts: &Counts) -> Result<BTreeMap<String, Stored>, Failure> {
    let source = open_source(path)?;
    let reader = engine::open_container(&source)?;
    let ledger = reader.ledger();
    let tensors = &reader.manifest().tensors;
    let quantized = tensors.iter().filter(|entry| matches!(entry.content, Content::Quantized(_)));
    let quantized: u64 = quantized.map(crate::container::Entry::len).sum();
    let shared = (ledger.codebook_bits + ledger.table_bits) as f64 / quantized.max(1) as f64;
    let mut found: Vec<(&str, Stored)> = Vec::new();
    for (index, entry) in tensors.iter().enumerate() {
        let own = ledger.tensors.get(index).map_or(0, crate::container::TensorBits::total_bits) as f64
            / entry.len().max(1) as f64;
        let kept = Stored { bits: entry.dtype.size_bytes() as f64 * 8.0, decode: Decode::None };
        let stored = match &entry.content {
            Content::Quantized(coding) => {
                let decode = if coding.gap_table.is_some() {
                    Decode::Entropy
                } else {
                    decode(&reader, coding.code_table, coding.first_codebook)?
                };
                Stored { bits: own + shared, decode }
            }
            Content::SameAs(of) => found.get(*of).map_or(kept, |(_, stored)| *stored),
            Content::Kept | Content::Codes(..) | Content::View(_) => {
                Stored { bits: if own > 0.0 { own } else { kept.bits }, ..kept }
            }
        };
        found.push((&entry.name, stored));
    }
    let by_name: BTreeMap<&str, Stored> =
        found.into_iter().map(|(name, stored)| (matching_name(name), stored)).collect();
    let reads = counts.workload.layers.iter().flat_map(|layer| &layer.weights);
    let named =
        reads.filter_map(|read| Some((read.tensor.clone(), *by_name.get(matching_name(&read.tensor))?)));
    let named: BTreeMap<String, Stored> = named.collect();
    if named.is_empty() {
        let file = shown(&path.display().to_string());
        return Err(Failure::Usage(format!(
            "qsz {file}: expected tensors of the network's names, found none"
        )));
    }
    Ok(named)
}

/// What decodes the symbols of a table.
fn decode(reader: &Reader, table: usize, codebook: usize) -> Result<Decode, Failure> {
    Ok(match reader.code_table(table).map_err(engine::EngineError::from)?.coder() {
        Coder::Context => Decode::Context,
        Coder::Huffman | Coder::Rans => Decode::Entropy,
        Coder::Fixed => match reader.codebook(codebook).map_err(engine::EngineError::from)? {
            Codebook::Levels { .. } => Decode::Codebook,
            _ => Decode::None,
        },
    })
}

fn write_files(
    asked: &CostArguments,
    bills: &[Bill],
    swings: Option<&(Quantity, Vec<Swing>)>,
) -> Result<(), Failure> {
    if let Some(path) = &asked.csv {
        write_whole(path, Bill::csv(bills).as_bytes())?;
    }
    if let Some(path) = &asked.svg {
        let chart = match swings {
            Some((quantity, swings)) => Spans::of_tornado(swings, *quantity),
            None => Spans::of_bills(bills),
        };
        let height = 150 + 26 * chart.rows.len().min(40) as u32;
        let title = format!("{}, by a model", file_name(&asked.network));
        write_whole(path, plot::svg::spans(&chart, &title, (900, height), &Theme::light())?.as_bytes())?;
    }
    Ok(())
}

/// Formats beside the baselines: arithmetic alone, and the whole system.
fn bills_table(bills: &[Bill]) -> String {
    let [fp32, fp16] = [0, 1].map(|at| bills.get(at));
    let times = |of: &dyn Fn(&Bill) -> f64, bill: &Bill, base: Option<&Bill>| {
        let base = base.map_or(f64::NAN, of);
        format!("{:.2}", if of(bill) > 0.0 { base / of(bill) } else { 1.0 })
    };
    let (energy, time) = (|bill: &Bill| bill.energy.total(), |bill: &Bill| bill.time.total);
    let arithmetic = |bill: &Bill| bill.energy.arithmetic();
    let multiply_adds = |bill: &Bill| bill.time.multiply_adds;
    let cells: Vec<Vec<String>> = bills
        .iter()
        .map(|bill| {
            vec![
                bill.design.clone(),
                Quantity::Energy.text(arithmetic(bill)),
                times(&arithmetic, bill, fp32),
                Quantity::Energy.text(energy(bill)),
                times(&energy, bill, fp32),
                times(&energy, bill, fp16),
                Quantity::Time.text(multiply_adds(bill)),
                times(&multiply_adds, bill, fp32),
                Quantity::Time.text(time(bill)),
                times(&time, bill, fp32),
                times(&time, bill, fp16),
                bill.bound().to_owned(),
            ]
        })
        .collect();
    let header = [
        "a model, no measurement",
        "arithmetic",
        "vs fp32",
        "whole energy",
        "vs fp32",
        "vs fp16",
        "multiply-adds",
        "vs fp32",
        "whole time",
        "vs fp32",
        "vs fp16",
        "waits for",
    ];
    print::table(&header, &cells)
}

/// What was counted and reckoned with, in lines.
fn summary(counts: &Counts, bills: &[Bill], constants: &Constants, batch: u32) -> String {
    let workload = &counts.workload;
    let mut lines = vec![
        format!(
            "an inference         {} multiply-adds, {} element operations, {} weights, {} activations read and written",
            workload.multiply_adds(),
            workload.element_operations(),
            workload.weights(),
            workload.activations()
        ),
        format!("batch                {batch}; figures are of one inference"),
        format!("technology           {}", constants.technology().title()),
    ];
    let line = constants.to_line();
    if !line.is_empty() {
        lines.push(format!("constants            {line}"));
    }
    for bill in bills.iter().skip(3) {
        if let Some(anchored) = bill.anchored.filter(|_| !bill.design.ends_with(", padded")) {
            lines.push(format!(
                "Hill's law           {}: unit {:.2} times faster with as much area, {:.2} times less energy than fp32",
                escaped(&bill.design), anchored.speedup, anchored.energy_saving
            ));
        }
    }
    lines.extend(counts.notes.iter().map(|note| format!("note: {}", escaped(note))));
    lines.join("\n")
}

/// Every layer of a bill.
fn layers_table(bill: &Bill) -> String {
    let text = |energy: f64| Quantity::Energy.text(energy);
    let cells: Vec<Vec<String>> = bill
        .layers
        .iter()
        .map(|layer| {
            let energy = &layer.energy;
            vec![
                layer.name.clone(),
                layer.operator.clone(),
                layer.multiply_adds.to_string(),
                text(energy.arithmetic()),
                text(energy.elements),
                text(energy.weights),
                text(energy.activations),
                text(energy.decode),
                text(energy.total()),
                Quantity::Time.text(layer.time.total),
                layer.time.bound().to_owned(),
            ]
        })
        .collect();
    let header = [
        bill.design.as_str(),
        "operator",
        "multiply-adds",
        "arithmetic",
        "elements",
        "weights",
        "activations",
        "decode",
        "energy",
        "time",
        "waits for",
    ];
    print::table(&header, &cells)
}

/// The constants that move a result.
fn tornado_table(format: &str, quantity: Quantity, swings: &[Swing], constants: &Constants) -> String {
    let cells: Vec<Vec<String>> = swings
        .iter()
        .filter_map(|swing| {
            let constant = swing.constant()?;
            let own = format!("{} {}", constants.get(constant.key), constant.unit);
            let ends = [swing.halved, swing.doubled].map(|value| quantity.text(value));
            Some([vec![constant.id.to_owned(), own.trim_end().to_owned()], ends.to_vec()].concat())
        })
        .collect();
    let base = swings.first().map(|swing| quantity.text(swing.base)).unwrap_or_default();
    let table = print::table(&["constant", "is", "at half", "at double"], &cells);
    format!("{}, {}: {base}\n{table}", quantity.title(), escaped(format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_formats_are_read_and_others_refused() {
        let float = |exponent, significand| Arithmetic::Float { exponent, significand };
        for (name, expected) in [
            ("fp32", Arithmetic::FP32),
            ("bf16", float(8, 8)),
            ("e4m3", float(4, 4)),
            ("e5m2", float(5, 3)),
            ("m7e6", float(6, 8)),
            ("int4", Arithmetic::Integer { bits: 4 }),
            ("l8r8", Arithmetic::Fixed { bits: 17 }),
        ] {
            assert_eq!(arithmetic(name).ok(), Some(expected), "{name}");
        }
        for name in
            ["", "fp8", "m7", "e4m3fn", "int", "int0", "int65", "int+4", "l8", "m99e4", "m4294967295e1"]
        {
            assert!(arithmetic(name).is_err(), "{name}");
        }
    }
}
