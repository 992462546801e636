//! What the hardware model says of a network: energy and time by format.

use super::context::{Context, open_source};
use super::writing::{refuse_harm, write_whole};
use super::{Failure, print};
use crate::cost::{
    Bill, Constants, Decode, Design, Memory, Quantity, Scenario, Stored, Swing, Technology, tornado,
};
use crate::engine;
use crate::engine::native::file_name;
use crate::formats::{escaped, shown};
use crate::network::counts::{self, Counts};
use crate::network::data::{DataSet, Preprocess};
use crate::network::evaluate::Setup;
use crate::network::model::ModelBytes;
use crate::network::stored::stored;
use crate::network::{Graph, Network};
use crate::plot::{self, Spans, Theme};
use crate::recipe::Recipe;
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
    /// Take formats, batch, storage and constants from the cost.… pairs of a recipe's line, or of a link of the page
    #[arg(long, value_name = "LINE", conflicts_with_all = ["formats", "weights_format", "activations_format", "accumulator", "bits_per_weight", "decode", "batch", "technology"])]
    pub recipe: Option<String>,
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
    let scenario = scenario(asked)?;
    let constants = constants(asked, scenario.as_ref())?;
    let designs = asked_designs(asked)?;
    let counts = count(asked)?;
    let stored =
        asked.qsz.as_deref().map(|path| Ok::<_, Failure>((file_name(path), stored_tensors(path, &counts)?)));
    let compared = compared(asked, scenario.as_ref(), designs, stored.transpose()?)?;
    let (all, first) = (compared.all, compared.first);
    let bills = all.iter().map(|design| Bill::of(&counts.workload, design, &constants).map_err(usage));
    let bills: Vec<Bill> = bills.collect::<Result<_, _>>()?;
    let quantity = asked.tornado.as_deref().and_then(Quantity::from_id);
    let swings =
        quantity.map(|quantity| tornado(&counts.workload, &first, &constants, quantity).map_err(usage));
    let swings = quantity.zip(swings.transpose()?);
    write_files(asked, &bills, swings.as_ref())?;
    let mut text = vec![bills_table(&bills), summary(&counts, &bills, &constants, first.batch)];
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

/// What the line of a recipe or of a link says, if one is given.
fn scenario(asked: &CostArguments) -> Result<Option<Scenario>, Failure> {
    let read = |text: &String| {
        // The address before a link's fragment.
        let line = text.split_once('#').map_or(text.as_str(), |(_, fragment)| fragment);
        Recipe::from_link(line).map_err(usage)?.0.scenario().map_err(usage)
    };
    asked.recipe.as_ref().map(read).transpose()
}

/// All designs, and the one whose constants are tried.
struct Compared {
    all: Vec<Design>,
    first: Design,
}

/// Everything that is compared, with the weights of a compressed file by its name and how it stores tensors.
fn compared(
    asked: &CostArguments,
    scenario: Option<&Scenario>,
    mut designs: Vec<Design>,
    stored: Option<(String, BTreeMap<String, Stored>)>,
) -> Result<Compared, Failure> {
    let (weights_in, activations_in) = (memory(&asked.weights_in)?, memory(&asked.activations_in)?);
    if let Some(scenario) = scenario {
        let stored = stored.as_ref().map(|(name, tensors)| (name.as_str(), tensors.clone()));
        let moved = |design| Design { weights_in, activations_in, ..design };
        let all: Vec<Design> = scenario.designs(stored).map_err(usage)?.into_iter().map(moved).collect();
        let own = scenario.design().map(moved).map_err(usage)?;
        let first = all.last().filter(|design| !design.tensors.is_empty()).cloned().unwrap_or(own);
        return Ok(Compared { all, first });
    }
    if let Some((name, stored)) = stored {
        for design in &mut designs {
            design.name = format!("{}, {name}", design.name);
            design.tensors.clone_from(&stored);
        }
    }
    let surroundings = Design { batch: asked.batch, weights_in, activations_in, ..Design::fp32() };
    let first = designs.first().cloned().unwrap_or_else(Design::fp32).beside(&surroundings);
    let all = Design::baselines().into_iter().chain(designs).map(|design| design.beside(&surroundings));
    Ok(Compared { all: with_padded(all), first })
}

fn constants(asked: &CostArguments, scenario: Option<&Scenario>) -> Result<Constants, Failure> {
    let mut constants = match scenario {
        Some(scenario) => scenario.constants.clone(),
        None => Constants::of(Technology::from_id(&asked.technology).map_err(usage)?),
    };
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
    let design = |name: &String| {
        // Where weights have a format of their own, activations have this one.
        let weights = asked.weights_format.as_ref().unwrap_or(name);
        let own = asked.activations_format.as_ref();
        let activations = own.or_else(|| asked.weights_format.as_ref().map(|_| name));
        let named = Design::named(weights, activations.map(String::as_str), asked.accumulator.as_deref());
        let mut design = named.map_err(usage)?;
        if let Some(bits) = asked.bits_per_weight {
            design.stored.bits = bits;
            let _ = write!(design.name, ", {bits} bits");
        }
        design.stored.decode = Decode::from_id(&asked.decode).unwrap_or_default();
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

/// How a compressed file stores the tensors that the network reads.
fn stored_tensors(path: &Path, counts: &Counts) -> Result<BTreeMap<String, Stored>, Failure> {
    let source = open_source(path)?;
    let named = stored(&engine::open_container(&source)?, &counts.workload)?;
    if named.is_empty() {
        let file = shown(&path.display().to_string());
        return Err(Failure::Usage(format!(
            "qsz {file}: expected tensors of the network's names, found none"
        )));
    }
    Ok(named)
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
    let row = |bill: &Bill| [vec![bill.design.clone()], bill.beside(bills).to_vec()].concat();
    let cells: Vec<Vec<String>> = bills.iter().map(row).collect();
    let header = [
        "a model, no measurement",
        "arithmetic",
        "vs fp32",
        "multiply-adds",
        "vs fp32",
        "whole energy",
        "vs fp32",
        "vs fp16",
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
            let own = format!("{} {}", constants.get(constant.key), constant.unit());
            let ends = [swing.halved, swing.doubled].map(|value| quantity.text(value));
            Some([vec![constant.id.to_owned(), own.trim_end().to_owned()], ends.to_vec()].concat())
        })
        .collect();
    let base = swings.first().map(|swing| quantity.text(swing.base)).unwrap_or_default();
    let table = print::table(&["constant", "is", "at half", "at double"], &cells);
    format!("{}, {}: {base}\n{table}", quantity.title(), escaped(format))
}
