//! What a workload takes on a design: energy and time.

use super::{Anchored, Constants, CostError, Decode, Design, Key, Layer, Memory, Workload};

/// Bits of the accesses that memories' energies are given for.
const ACCESS_BITS: f64 = 64.0;

/// Energy of one inference, by what takes it, in pJ.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Energy {
    /// Multiplications of multiply-adds.
    pub multiply: f64,
    /// Additions of multiply-adds.
    pub add: f64,
    /// Operations on single elements.
    pub elements: f64,
    /// Weights: from their memory into the chip, and as operands.
    pub weights: f64,
    /// Activations: as operands, written, and moved where they do not fit.
    pub activations: f64,
    /// Look-ups and decoding.
    pub decode: f64,
}

impl Energy {
    /// Parts with their names, in the order in which they are shown.
    pub const fn parts(&self) -> [(&'static str, f64); 6] {
        [
            ("multiply", self.multiply),
            ("add", self.add),
            ("elements", self.elements),
            ("weights", self.weights),
            ("activations", self.activations),
            ("decode", self.decode),
        ]
    }

    /// Multiply-adds alone, as models of units have it.
    pub fn arithmetic(&self) -> f64 {
        self.multiply + self.add
    }

    /// The whole system.
    pub fn total(&self) -> f64 {
        self.parts().iter().map(|(_, energy)| energy).sum()
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            multiply: self.multiply + other.multiply,
            add: self.add + other.add,
            elements: self.elements + other.elements,
            weights: self.weights + other.weights,
            activations: self.activations + other.activations,
            decode: self.decode + other.decode,
        }
    }
}

/// Time of one inference, in seconds: of a batch, divided by its inferences. Each part as if nothing else were waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Time {
    /// Multiply-adds alone.
    pub multiply_adds: f64,
    /// Multiply-adds, then operations on elements.
    pub compute: f64,
    /// Off-chip memory.
    pub off_chip: f64,
    /// On-chip memory.
    pub on_chip: f64,
    /// Decoding.
    pub decode: f64,
    /// What a layer takes is the longest of these; of several layers, their sum.
    pub total: f64,
}

impl Time {
    /// What a layer waits for.
    pub fn bound(&self) -> &'static str {
        let elements = self.compute - self.multiply_adds;
        let parts = [
            (
                if elements > self.multiply_adds { "operations on elements" } else { "multiply-adds" },
                self.compute,
            ),
            ("off-chip memory", self.off_chip),
            ("on-chip memory", self.on_chip),
            ("decoding", self.decode),
        ];
        let longest = parts
            .iter()
            .fold(("nothing", 0.0), |longest, part| if part.1 > longest.1 { *part } else { longest });
        longest.0
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            multiply_adds: self.multiply_adds + other.multiply_adds,
            compute: self.compute + other.compute,
            off_chip: self.off_chip + other.off_chip,
            on_chip: self.on_chip + other.on_chip,
            decode: self.decode + other.decode,
            total: self.total + other.total,
        }
    }
}

/// What one layer takes.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LayerBill {
    /// The layer's name.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// Its multiply-adds.
    pub multiply_adds: u64,
    /// Its energy.
    pub energy: Energy,
    /// Its time.
    pub time: Time,
    /// Bits of an inference that leave or reach off-chip memory.
    pub off_chip_bits: f64,
    /// Bits of an inference that leave or reach on-chip memory.
    pub on_chip_bits: f64,
}

/// What a workload takes on a design.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Bill {
    /// The design's name.
    pub design: String,
    /// Layer by layer.
    pub layers: Vec<LayerBill>,
    /// All layers' energy.
    pub energy: Energy,
    /// All layers' time.
    pub time: Time,
    /// Units that take the area of the single-precision ones; not whole.
    pub units: f64,
    /// Bits that all weights take in their memory.
    pub weight_bits: f64,
    /// Bits of an inference that leave or reach off-chip memory.
    pub off_chip_bits: f64,
    /// What a law through published syntheses says of the unit, where weights, activations and sums are one float format.
    pub anchored: Option<Anchored>,
}

impl Bill {
    /// What `workload` takes on `design`; linear in its layers and their tensors.
    pub fn of(workload: &Workload, design: &Design, constants: &Constants) -> Result<Self, CostError> {
        design.check()?;
        let model = Model::new(design, constants);
        let layers: Vec<LayerBill> = workload.layers.iter().map(|layer| model.layer(layer)).collect();
        let energy = layers.iter().fold(Energy::default(), |sum, layer| sum.plus(&layer.energy));
        let time = layers.iter().fold(Time::default(), |sum, layer| sum.plus(&layer.time));
        let anchored = design.weights.anchored(constants).filter(|_| design.weights == design.activations);
        let reads = workload.layers.iter().flat_map(|layer| &layer.weights);
        Ok(Self {
            design: design.name.clone(),
            energy,
            time,
            units: model.units,
            weight_bits: reads.map(|read| read.count as f64 * design.stored_as(&read.tensor).bits).sum(),
            off_chip_bits: layers.iter().map(|layer| layer.off_chip_bits).sum(),
            anchored,
            layers,
        })
    }

    /// What most of the time is spent waiting for.
    pub fn bound(&self) -> &'static str {
        let mut waits: Vec<(&'static str, f64)> = Vec::new();
        for time in self.layers.iter().map(|layer| &layer.time) {
            match waits.iter_mut().find(|(what, _)| *what == time.bound()) {
                Some((_, seconds)) => *seconds += time.total,
                None => waits.push((time.bound(), time.total)),
            }
        }
        let longest = waits
            .iter()
            .fold(("nothing", 0.0), |longest, wait| if wait.1 > longest.1 { *wait } else { longest });
        longest.0
    }

    /// Every layer of several bills as CSV, and all of its layers as one more: what it takes by its parts, in pJ and seconds.
    pub fn csv(bills: &[Self]) -> String {
        let mut csv = "format,layer,operator,multiply_adds".to_owned();
        for (part, _) in Energy::default().parts() {
            csv.extend([",", part, "_pj"]);
        }
        csv += ",energy_pj,multiply_adds_s,compute_s,off_chip_s,on_chip_s,decode_s,time_s,bound\n";
        for bill in bills {
            let sum = bill.layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.multiply_adds));
            let layer = |layer: &LayerBill| {
                let head =
                    format!("{},{},{}", quoted(&bill.design), quoted(&layer.name), quoted(&layer.operator));
                row(&head, layer.multiply_adds, &layer.energy, &layer.time, layer.time.bound())
            };
            csv.extend(bill.layers.iter().map(layer));
            csv += &row(&format!("{},,", quoted(&bill.design)), sum, &bill.energy, &bill.time, bill.bound());
        }
        csv
    }
}

/// A row of the CSV.
fn row(head: &str, multiply_adds: u64, energy: &Energy, time: &Time, bound: &str) -> String {
    let energies = energy.parts().map(|(_, energy)| energy);
    let times = [time.multiply_adds, time.compute, time.off_chip, time.on_chip, time.decode, time.total];
    let numbers = energies.into_iter().chain([energy.total()]).chain(times);
    let cells: Vec<String> = numbers.map(|number| number.to_string()).collect();
    format!("{head},{multiply_adds},{},{bound}\n", cells.join(","))
}

/// A text as a cell of a CSV file (RFC 4180).
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// What follows from a design and the constants for every layer.
struct Model<'a> {
    design: &'a Design,
    constants: &'a Constants,
    batch: f64,
    units: f64,
    /// Cycles of a second.
    clock: f64,
    /// Energy of an addition in the accumulator, and of an operation on an element.
    add: f64,
    element: f64,
    /// Bits of an operand as a unit takes it.
    weight_operand: f64,
    activation_operand: f64,
}

/// What is moved for a batch.
#[derive(Default)]
struct Traffic {
    energy: f64,
    off_chip_seconds: f64,
    off_chip_bits: f64,
    on_chip_seconds: f64,
    on_chip_bits: f64,
}

impl<'a> Model<'a> {
    fn new(design: &'a Design, constants: &'a Constants) -> Self {
        let fp32 = super::Arithmetic::FP32;
        let area = fp32.unit_area(fp32, fp32, constants);
        let own = design.weights.unit_area(design.activations, design.accumulator, constants);
        Self {
            design,
            constants,
            batch: f64::from(design.batch),
            units: constants.get(Key::Units) * area / own,
            clock: constants.get(Key::Clock) * 1e9,
            add: design.accumulator.add_energy(constants),
            element: constants.get(Key::Element) * fp32.add_energy(constants),
            weight_operand: design.placed(f64::from(design.weights.bits())),
            activation_operand: design.placed(f64::from(design.activations.bits())),
        }
    }

    fn layer(&self, layer: &Layer) -> LayerBill {
        let Self { design, constants, batch, .. } = *self;
        let multiply_adds = layer.multiply_adds as f64;
        let first = if layer.has_weights() { design.weights } else { design.activations };
        let (mut weights, symbols) = self.stored_weights(layer);
        self.weight_operands(layer, &mut weights);
        let activations = self.activations(layer);
        let mut decode = (0.0, 0.0);
        for (way, count) in Decode::ALL.into_iter().zip(symbols) {
            if let Some((energy, rate)) = way.keys() {
                decode.0 += count * constants.get(energy);
                decode.1 += count / (constants.get(rate) * self.clock);
            }
        }
        let multiplying = multiply_adds / (self.units * self.clock);
        let elements = layer.element_operations as f64;
        let mut time = Time {
            multiply_adds: multiplying,
            compute: multiplying + elements / (constants.get(Key::ElementsPerCycle) * self.clock),
            off_chip: (weights.off_chip_seconds + activations.off_chip_seconds) / batch,
            on_chip: (weights.on_chip_seconds + activations.on_chip_seconds) / batch,
            decode: decode.1 / batch,
            total: 0.0,
        };
        time.total = time.compute.max(time.off_chip).max(time.on_chip).max(time.decode);
        LayerBill {
            name: layer.name.clone(),
            operator: layer.operator.clone(),
            multiply_adds: layer.multiply_adds,
            energy: Energy {
                multiply: multiply_adds * first.multiply_energy(design.activations, constants),
                add: multiply_adds * self.add,
                elements: elements * self.element,
                weights: weights.energy / batch,
                activations: activations.energy / batch,
                decode: decode.0 / batch,
            },
            time,
            off_chip_bits: (weights.off_chip_bits + activations.off_chip_bits) / batch,
            on_chip_bits: (weights.on_chip_bits + activations.on_chip_bits) / batch,
        }
    }

    /// Weights out of their memory, as they are stored, once for a batch; also how many are decoded, by each way.
    fn stored_weights(&self, layer: &Layer) -> (Traffic, [f64; Decode::ALL.len()]) {
        let mut traffic = Traffic::default();
        let mut symbols = [0.0; Decode::ALL.len()];
        for read in &layer.weights {
            let stored = self.design.stored_as(&read.tensor);
            let count = read.count as f64 * if read.is_looked_up { self.batch } else { 1.0 };
            self.move_bits(&mut traffic, self.design.weights_in, count * stored.bits);
            for (way, symbols) in Decode::ALL.into_iter().zip(&mut symbols) {
                *symbols += if way == stored.decode { count } else { 0.0 };
            }
        }
        (traffic, symbols)
    }

    /// Weights as operands for a batch: into on-chip memory once, and out of it for every so many multiply-adds.
    fn weight_operands(&self, layer: &Layer, traffic: &mut Traffic) {
        let shared = layer.weights.iter().filter(|read| !read.is_looked_up);
        let count: f64 = shared.map(|read| read.count as f64).sum();
        if count == 0.0 {
            return;
        }
        let reads = self.operand_reads(layer).max(count);
        let written = if self.design.weights_in.is_on_chip() { 0.0 } else { count };
        let memory = self.operands_in();
        self.move_bits(traffic, memory, (written + reads) * self.weight_operand);
    }

    /// Activations for a batch: read as operands, written as results, and moved off the chip as far as a layer's do not fit.
    fn activations(&self, layer: &Layer) -> Traffic {
        let mut traffic = Traffic::default();
        let (inputs, outputs) = (layer.inputs as f64 * self.batch, layer.outputs as f64 * self.batch);
        // Where both factors are activations, both are operands.
        let operands = if layer.has_weights() { 1.0 } else { 2.0 };
        let reads = (self.operand_reads(layer) * operands).max(inputs);
        self.move_bits(&mut traffic, self.design.activations_in, (reads + outputs) * self.activation_operand);
        if self.design.activations_in.is_on_chip() {
            let capacity = self.constants.get(Key::Capacity) * 8.0;
            let over = ((inputs + outputs) * self.activation_operand - capacity).max(0.0);
            let beside = self.design.weights_in;
            let memory = if beside.is_on_chip() { Memory::Dram } else { beside };
            self.move_bits(&mut traffic, memory, over);
        }
        traffic
    }

    /// Operands that a batch's multiply-adds read from on-chip memory, of each factor.
    fn operand_reads(&self, layer: &Layer) -> f64 {
        layer.multiply_adds as f64 * self.batch / self.constants.get(Key::Reuse)
    }

    /// Where units have their operands from.
    const fn operands_in(&self) -> Memory {
        let memory = self.design.activations_in;
        if memory.is_on_chip() { memory } else { Memory::Sram1M }
    }

    fn move_bits(&self, traffic: &mut Traffic, memory: Memory, bits: f64) {
        let (energy, bandwidth) = memory.keys();
        traffic.energy += bits * self.constants.get(energy) / ACCESS_BITS;
        let seconds = bits / (self.constants.get(bandwidth) * 8e9);
        if memory.is_on_chip() {
            traffic.on_chip_bits += bits;
            traffic.on_chip_seconds += seconds;
        } else {
            traffic.off_chip_bits += bits;
            traffic.off_chip_seconds += seconds;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Arithmetic, Stored, Technology, WeightsRead};
    use super::*;
    use std::collections::BTreeMap;

    /// One fully connected layer.
    fn dense(inputs: u64, outputs: u64) -> Workload {
        Workload { layers: vec![Layer::dense("fc", inputs, outputs)] }
    }

    fn old() -> Constants {
        Constants::of(Technology::Nm45)
    }

    fn bill(workload: &Workload, design: &Design, constants: &Constants) -> Bill {
        Bill::of(workload, design, constants).unwrap()
    }

    fn is_near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
    }

    #[test]
    fn a_layer_is_what_its_parts_come_to_by_hand() {
        // 1000 by 100 in single precision at 45 nm: 100 000 multiply-adds, as many weights of 32 bits.
        let bill = bill(&dense(1000, 100), &Design::fp32(), &old());
        let energy = bill.energy;
        assert!(is_near(energy.multiply, 370_000.0) && is_near(energy.add, 90_000.0), "{energy:?}");
        // From DRAM once, into 1 MB once, and out of it once: each weight serves one multiply-add.
        let word = 32.0 / 64.0;
        assert!(is_near(energy.weights, 1e5 * word * (1300.0 + 100.0 + 100.0)), "{energy:?}");
        // Every input serves 100 multiply-adds, and 16 of them at a time.
        assert!(is_near(energy.activations, (1e5 / 16.0 + 100.0) * word * 100.0), "{energy:?}");
        assert_eq!((energy.elements, energy.decode), (0.0, 0.0));
        assert!(is_near(energy.total(), bill.layers[0].energy.parts().iter().map(|part| part.1).sum()));
        // 256 units at 1 GHz; 3.2 Mbit at 25.6 GB/s; on chip the weights twice and what activations take, at 128 GB/s.
        let time = bill.time;
        assert!(is_near(time.compute, 1e5 / 256e9) && is_near(time.off_chip, 3.2e6 / 204.8e9), "{time:?}");
        assert!(is_near(time.on_chip, (2e5 + 1e5 / 16.0 + 100.0) * 32.0 / 1024e9), "{time:?}");
        assert_eq!((time.total, time.bound()), (time.off_chip, "off-chip memory"));
        assert!(is_near(bill.units, 256.0) && is_near(bill.weight_bits, 3.2e6));
    }

    #[test]
    fn a_weight_from_dram_is_worth_141_multiply_adds() {
        let energy = bill(&dense(1000, 100), &Design::fp32(), &old()).energy;
        let fetched = 1300.0 / 2.0 * 1e5;
        assert_eq!(libm::floor(fetched / energy.arithmetic()), 141.0);
    }

    #[test]
    fn a_batch_reads_weights_once_and_everything_else_every_time() {
        let (workload, constants) = (dense(64, 64), old());
        let one = bill(&workload, &Design::fp32(), &constants);
        let many = bill(&workload, &Design { batch: 16, ..Design::fp32() }, &constants);
        assert_eq!(many.energy.multiply, one.energy.multiply);
        assert!(is_near(many.energy.activations, one.energy.activations));
        assert!(is_near(many.off_chip_bits, one.off_chip_bits / 16.0));
        // Sixteen inferences share what is read of weights as operands, too.
        assert!(is_near(many.energy.weights, one.energy.weights / 16.0));
    }

    #[test]
    fn bits_stored_count_packed_or_padded_and_streams_are_not_padded() {
        let workload = dense(10, 10);
        let design = Design::uniform("m3e2", Arithmetic::Float { exponent: 2, significand: 4 });
        let bits = |design: &Design| bill(&workload, design, &old()).weight_bits / 100.0;
        assert_eq!((bits(&design), bits(&Design { padded: true, ..design.clone() })), (6.0, 8.0));
        let stream = Stored { bits: 2.5, decode: Decode::Entropy };
        assert_eq!(bits(&Design { stored: stream, padded: true, ..design.clone() }), 2.5);
        let nine = Stored { bits: 9.0, decode: Decode::Codebook };
        assert_eq!(bits(&Design { stored: nine, padded: true, ..design.clone() }), 16.0);
        let own = BTreeMap::from([("fc".to_owned(), Stored { bits: 3.0, decode: Decode::None })]);
        assert_eq!(bits(&Design { tensors: own, ..design }), 3.0);
    }

    #[test]
    fn decoding_counts_every_weight_once_for_a_batch_and_may_be_what_is_waited_for() {
        let stored = |decode| Design { stored: Stored { bits: 2.0, decode }, batch: 4, ..Design::fp32() };
        let workload = dense(100, 100);
        for (decode, energy, rate) in
            [(Decode::Codebook, 10.0, 16.0), (Decode::Entropy, 11.0, 16.0), (Decode::Context, 97.2, 2.0)]
        {
            let bill = bill(&workload, &stored(decode), &old());
            assert!(is_near(bill.energy.decode, 1e4 * energy / 4.0), "{decode:?}");
            assert!(is_near(bill.time.decode, 1e4 / rate / 1e9 / 4.0), "{decode:?}");
        }
        assert_eq!(bill(&workload, &stored(Decode::Context), &old()).time.bound(), "decoding");
        assert_eq!(bill(&workload, &stored(Decode::None), &old()).energy.decode, 0.0);
    }

    #[test]
    fn rows_looked_up_are_read_for_every_inference() {
        let read = WeightsRead { tensor: "table".to_owned(), count: 64, is_looked_up: true };
        let layer = Layer { weights: vec![read], outputs: 64, ..Layer::default() };
        let workload = Workload { layers: vec![layer] };
        let one = bill(&workload, &Design::fp32(), &old());
        let many = bill(&workload, &Design { batch: 8, ..Design::fp32() }, &old());
        assert!(is_near(one.off_chip_bits, 64.0 * 32.0) && is_near(many.off_chip_bits, one.off_chip_bits));
    }

    #[test]
    fn activations_that_do_not_fit_are_moved_beside_the_chip() {
        let layer = Layer { inputs: 1 << 18, outputs: 1 << 18, ..Layer::default() };
        let workload = Workload { layers: vec![layer] };
        // 2^19 numbers of 32 bits are twice what there is; of 16 bits they just fit.
        let wide = bill(&workload, &Design::fp32(), &old());
        assert!(is_near(wide.off_chip_bits, f64::from(1 << 23)), "{}", wide.off_chip_bits);
        let [_, half, _] = Design::baselines();
        assert_eq!(bill(&workload, &half, &old()).off_chip_bits, 0.0);
    }

    #[test]
    fn narrow_units_are_many_and_starve_on_the_same_bandwidth() {
        // A convolution that fits the chip: what its operands take grows with the units, and the bandwidth does not.
        let layer = Layer {
            multiply_adds: 1 << 24,
            inputs: 1 << 12,
            outputs: 1 << 12,
            weights: vec![WeightsRead { tensor: "w".to_owned(), count: 1 << 10, is_looked_up: false }],
            ..Layer::default()
        };
        let workload = Workload { layers: vec![layer] };
        let narrow = Arithmetic::Float { exponent: 4, significand: 4 };
        let design = Design { accumulator: narrow, ..Design::uniform("m3e4", narrow) };
        let (wide, narrow) = (bill(&workload, &Design::fp32(), &old()), bill(&workload, &design, &old()));
        let gain = wide.time.multiply_adds / narrow.time.multiply_adds;
        let whole = wide.time.total / narrow.time.total;
        assert!(gain > 16.0 && whole < 4.5, "{gain} {whole}");
        assert_eq!(narrow.time.bound(), "on-chip memory");
    }

    #[test]
    fn activations_times_activations_are_multiplied_as_activations() {
        let layer = Layer { multiply_adds: 1000, inputs: 20, outputs: 10, ..Layer::default() };
        let workload = Workload { layers: vec![layer] };
        let design = Design { weights: Arithmetic::INT8, ..Design::uniform("w8a16", Arithmetic::FP16) };
        assert!(is_near(bill(&workload, &design, &old()).energy.multiply, 1100.0));
    }

    #[test]
    fn nothing_takes_nothing_and_what_cannot_be_reckoned_with_is_refused() {
        let bill = bill(&Workload::default(), &Design::fp32(), &old());
        assert_eq!((bill.energy.total(), bill.time.total, bill.time.bound()), (0.0, 0.0, "nothing"));
        for bits in [0.0, -1.0, f64::NAN, 129.0] {
            let design = Design { stored: Stored { bits, decode: Decode::None }, ..Design::fp32() };
            let error = Bill::of(&dense(1, 1), &design, &old()).unwrap_err().to_string();
            assert!(error.starts_with("bits per weight: expected more than 0"), "{error}");
        }
        assert!(Bill::of(&dense(1, 1), &Design { batch: 0, ..Design::fp32() }, &old()).is_err());
    }

    #[test]
    fn the_table_has_a_row_for_every_layer_and_one_for_all() {
        let workload = Workload { layers: vec![Layer::dense("a,\"b", 2, 3), Layer::dense("c", 4, 5)] };
        let csv = Bill::csv(&[bill(&workload, &Design::fp32(), &old())]);
        let rows: Vec<&str> = csv.lines().collect();
        assert!(
            rows[1].starts_with("fp32,\"a,\"\"b\",Gemm,6,") && rows[3].starts_with("fp32,,,26,"),
            "{csv}"
        );
        assert!(rows.len() == 4 && rows[3].ends_with("memory"));
        assert_eq!(rows[0].split(',').count(), rows[2].split(',').count());
    }

    #[test]
    fn bills_designs_and_workloads_travel() {
        let (workload, design, constants) = (dense(3, 2), Design::fp32(), old());
        let bill = bill(&workload, &design, &constants);
        let asked = serde_json::to_string(&(&workload, &design, &constants)).unwrap();
        let (workload, design, constants): (Workload, Design, Constants) =
            serde_json::from_str(&asked).unwrap();
        let answer = serde_json::to_string(&Bill::of(&workload, &design, &constants).unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<Bill>(&answer).unwrap(), bill);
    }
}
