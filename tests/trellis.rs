//! Trellis-coded quantization through the public API: gains over entropy-constrained scalar quantization, round trips, hostile bytes,
//! and the same bytes on every target.

#![allow(missing_docs, clippy::unwrap_used)]

use quantscope::compensation::ErrorCosts;
use quantscope::entropy::{CodeTable, Context, ContextCounts, Goal, Numbering, Rows, SymbolCode, Trellis};
use std::collections::BTreeMap;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const STATES: [u32; 6] = [1, 4, 8, 16, 32, 64];

struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn gaussian(&mut self) -> f32 {
        let radius = libm::sqrt(-2.0 * libm::log(self.uniform()));
        (radius * libm::cos(std::f64::consts::TAU * self.uniform())) as f32
    }
}

fn table(states: u32, centre: u16) -> Context {
    let numbering = Numbering { pruned: false, centre };
    Context::even(2 * usize::from(centre) + 1, numbering).unwrap().along(Trellis::new(states).unwrap())
}

/// The grid and price of a bit for a step of the scalar quantizer, at this λ.
fn goal(states: u32, step: f64, lambda: f64) -> Goal {
    let fine = if states == 1 { 1.0 } else { 2.0 };
    let bit = lambda * std::f64::consts::LN_2 / 6.0 * fine * fine;
    Goal { step: (step / fine) as f32, bit: bit as f32 }
}

/// Mean squared error, and entropy of places given the grid, of a unit Gaussian.
fn measured(values: &[f32], states: u32, step: f64) -> (f64, f64) {
    let rows = Rows { length: 512, ..Rows::default() };
    let (goal, centre) = (goal(states, step, 0.8), 200u16);
    // As files are made: from the statistics of a first pass.
    let (mut symbols, mut counts) = (Vec::new(), ContextCounts::default());
    let even = table(states, centre);
    let predictor = even.assign(values, ErrorCosts::default(), rows, goal, &mut symbols);
    even.count_by(&symbols, rows, predictor, &mut counts);
    symbols.clear();
    even.starting_from(&counts).assign(values, ErrorCosts::default(), rows, goal, &mut symbols);
    let trellis = Trellis::new(states).unwrap();
    let (mut state, mut error) = (0, 0.0);
    let mut counts: BTreeMap<(bool, i32), f64> = BTreeMap::new();
    for (w, symbol) in values.iter().zip(&symbols) {
        let number = i32::from(*symbol) - i32::from(centre);
        let off = f64::from(*w) - f64::from(number as f32 * goal.step);
        error += off * off;
        let place = trellis.place(state, number).unwrap();
        *counts.entry((states > 1 && Trellis::is_odd(state), place)).or_default() += 1.0;
        state = trellis.next(state, place);
    }
    let of_grid = |odd: bool| counts.iter().filter(|(key, _)| key.0 == odd).map(|(_, n)| n).sum::<f64>();
    let all = [of_grid(false), of_grid(true)];
    let bits: f64 = counts.iter().map(|((odd, _), n)| -n * libm::log2(n / all[usize::from(*odd)])).sum();
    // Of the weights' own power, which is not quite 1.
    let power: f64 = values.iter().map(|w| f64::from(*w) * f64::from(*w)).sum();
    (error / power, bits / values.len() as f64)
}

/// dB by which an error is below that of exact entropy-constrained scalar quantization at the same rate (THEORY, golden values: unit
/// Gaussian), between whose values lines are drawn.
fn gain_db((error, rate): (f64, f64)) -> f64 {
    const ECSQ: [(f64, f64); 6] = [
        (1.0, 0.348_261),
        (1.5, 0.177_608),
        (2.0, 0.088_923_5),
        (2.5, 0.044_474),
        (3.0, 0.022_238_4),
        (4.0, 0.005_559_71),
    ];
    let db = |d: f64| -10.0 * libm::log10(d);
    let at = ECSQ.windows(2).find(|pair| rate <= pair[1].0).unwrap();
    let share = (rate - at[0].0) / (at[1].0 - at[0].0);
    db(error) - (db(at[0].1) + share * (db(at[1].1) - db(at[0].1)))
}

#[test]
fn eight_states_gain_on_a_gaussian_what_theory_has_and_more_states_more() {
    let mut random = Random(7);
    let values: Vec<f32> = (0..1 << 18).map(|_| random.gaussian()).collect();
    // Step, and the gain of 8 states in theory's table near the rate that it leads to: 1.6, 2.0, 2.5, 3.0 bits.
    for (step, expected) in [(1.32, 0.84), (1.0, 0.88), (0.72, 0.94), (0.5, 0.96)] {
        let gains = STATES.map(|states| gain_db(measured(&values, states, step)));
        println!("step {step}: {gains:.3?}");
        assert!(gains[0].abs() < 0.1, "one state is the scalar quantizer: {gains:?}");
        assert!(gains[2] >= expected, "step {step}: {gains:?}");
        assert!(
            gains[1] > 0.85 * expected && gains.windows(2).all(|pair| pair[1] > pair[0] - 0.01),
            "{gains:?}"
        );
        assert!(gains[5] > gains[2] + 0.1, "step {step}: {gains:?}");
    }
}

fn survives(
    context: &Context,
    values: &[f32],
    h: Option<&[f32]>,
    rows: Rows,
    goal: Goal,
) -> (Vec<u16>, Vec<u8>) {
    let (mut symbols, mut bytes, mut decoded) = (Vec::new(), Vec::new(), Vec::new());
    let predictor = context.assign(values, ErrorCosts::of_each(h), rows, goal, &mut symbols);
    assert_eq!(symbols.len(), values.len());
    let bits = context.encode_by(&symbols, rows, predictor, &mut bytes).unwrap();
    assert_eq!(context.decode(&bytes, symbols.len(), rows, &mut decoded).unwrap(), bits);
    assert_eq!(decoded, symbols);
    (symbols, bytes)
}

/// Weights with what predictors look for: smooth kernels, columns of a common sign, rows of low rank, zeros.
fn structured(seed: u64, count: usize, length: usize) -> Vec<f32> {
    let mut random = Random(seed);
    let mut last = 0.0;
    (0..count)
        .map(|i| {
            let noise = random.gaussian();
            last = 0.7 * last + noise;
            let (row, column) = (i / length.max(1), i % length.max(1));
            let pattern = libm::sinf(column as f32 * 0.3) * libm::cosf(row as f32 * 0.7) * 3.0;
            match seed % 4 {
                0 => noise,
                1 => last,
                2 => pattern + 0.3 * noise,
                _ if noise.abs() < 1.2 => 0.0,
                _ => noise,
            }
        })
        .collect()
}

#[test]
fn every_assignment_survives_its_code() {
    for states in STATES {
        for (seed, count, length, kernel) in [
            (0, 0, 0, 1),
            (1, 1, 0, 1),
            (2, 7, 3, 1),
            (1, 900, 9, 9),
            (2, 9000, 64, 1),
            (3, 5000, 50, 25),
            (5, 6000, 45, 9),
            (4, 20_000, 0, 1),
        ] {
            let values = structured(seed, count, length);
            let h: Vec<f32> = (0..count).map(|i| (i % 7) as f32 * 0.3).collect();
            let rows = Rows { length, start: 0, kernel, width: if kernel == 1 { 1 } else { 3 } };
            for (h, step, lambda) in [(None, 0.3, 1.0), (Some(h.as_slice()), 1.0, 2.0), (None, 2.5, 0.0)] {
                let goal = goal(states, step, lambda);
                survives(&table(states, 600), &values, h, rows, goal);
            }
        }
    }
    // Weights beyond the grid take its ends, or what a trellis leaves of them.
    for states in STATES {
        survives(
            &table(states, 4),
            &[1e30, -1e30, 3.0, f32::MIN_POSITIVE],
            None,
            Rows::default(),
            goal(states, 1.0, 1.0),
        );
    }
}

#[test]
fn a_block_may_begin_in_the_middle_of_a_row() {
    let values = structured(2, 5000, 70);
    for start in [1, 30, 69] {
        let rows = Rows { length: 70, start, ..Rows::default() };
        survives(&table(8, 300), &values, None, rows, goal(8, 0.5, 1.0));
    }
}

#[test]
fn weights_of_little_importance_take_cheaper_numbers() {
    let values = structured(0, 20_000, 100);
    let rows = Rows { length: 100, ..Rows::default() };
    for states in [1, 8] {
        let h: Vec<f32> = (0..20_000).map(|i| if i % 2 == 0 { 0.05 } else { 1.95 }).collect();
        let (symbols, _) = survives(&table(states, 60), &values, Some(&h), rows, goal(states, 1.0, 1.0));
        let zeros = |odd: usize| symbols.iter().skip(odd).step_by(2).filter(|symbol| **symbol == 60).count();
        assert!(zeros(0) > 2 * zeros(1), "{} {}", zeros(0), zeros(1));
    }
}

#[test]
fn prediction_pays_where_there_is_something_to_predict() {
    let (length, count) = (64, 1 << 15);
    let rows = Rows { length, ..Rows::default() };
    let bytes_of = |seed| {
        survives(&table(8, 300), &structured(seed, count, length), None, rows, goal(8, 0.25, 0.8)).1.len()
            as f64
    };
    // Of a low rank nine tenths are foretold: noise of deviation 0.3 takes 1.74 bits less than one of 1, the pattern nearly nothing.
    let (plain, low_rank) = (bytes_of(0), bytes_of(2));
    assert!(low_rank < plain - 1.5 / 8.0 * count as f64, "{low_rank} {plain}");
    // A first-order process is 1.4 times as wide as its noise, which is all that must be coded.
    let smooth = bytes_of(1);
    assert!(smooth < plain * 1.03, "{smooth} {plain}");
}

#[test]
fn damaged_bytes_end_in_an_error_or_in_other_symbols() {
    let rows = Rows { length: 64, ..Rows::default() };
    for seed in 1..4 {
        let values = structured(seed, 8192, 64);
        let context = table(8, 100);
        let (symbols, bytes) = survives(&context, &values, None, rows, goal(8, 0.5, 1.0));
        for at in (0..bytes.len()).step_by(1 + bytes.len() / 60).chain(0..bytes.len().min(40)) {
            for mask in [1u8, 0x40, 0xff] {
                let mut broken = bytes.clone();
                broken[at] ^= mask;
                let _ = context.decode(&broken, symbols.len(), rows, &mut Vec::new());
            }
            assert!(context.decode(&bytes[..at], symbols.len(), rows, &mut Vec::new()).is_err());
        }
    }
    let mut random = Random(11);
    for _ in 0..300 {
        let noise: Vec<u8> = (0..40).map(|_| (random.uniform() * 256.0) as u8).collect();
        let rows = Rows { length: 16 + (random.uniform() * 50.0) as usize, ..Rows::default() };
        let _ = table(32, 9).decode(&noise, 2000, rows, &mut Vec::new());
        let _ = CodeTable::from_bytes(&noise);
    }
}

#[test]
fn the_same_weights_give_the_same_bytes_on_every_target() {
    let mut all = Vec::new();
    for states in STATES {
        for seed in 0..4 {
            let values = structured(seed, 4096, 48);
            let rows = Rows { length: 48, start: 0, kernel: 16, width: 4 };
            let base = table(states, 200);
            let mut counts = ContextCounts::default();
            let (symbols, _) = survives(&base, &values, None, rows, goal(states, 0.4, 0.8));
            base.count(&symbols, rows, &mut counts);
            let table = base.starting_from(&counts);
            all.extend(survives(&table, &values, None, rows, goal(states, 0.4, 0.8)).1);
            all.extend(CodeTable::Context(table).to_bytes());
        }
    }
    assert_eq!((all.len(), crc32fast::hash(&all)), (33_029, 481_536_765));
}
