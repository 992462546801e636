//! Compensation through the library: textbook GPTQ, optima of small layers, what it saves, and files that are read without moments.
#![cfg(not(target_arch = "wasm32"))]
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use quantscope::compensation::{ErrorCosts, Factor, Factors, Feedback};
use quantscope::engine::pipeline::Opened;
use quantscope::engine::{check_blocks, open_container};
use quantscope::entropy::{Context, Goal, Numbering, Rows, Trellis};
use quantscope::recipe::Recipe;
use support::{Random, f32_bytes, safetensors};

const CENTRE: u16 = 60;

/// Second moments of inputs of which each hangs on the one before.
fn moments(inputs: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    let mut sums = vec![0.0; inputs * inputs];
    let samples = 4 * inputs;
    for _ in 0..samples {
        let mut last = 0.0;
        let x: Vec<f64> = (0..inputs)
            .map(|_| {
                last = 0.9 * last + random.uniform() - 0.5;
                last
            })
            .collect();
        for i in 0..inputs {
            for j in 0..inputs {
                sums[i * inputs + j] += x[i] * x[j] / samples as f64;
            }
        }
    }
    sums.into_iter().map(|x| x as f32).collect()
}

fn weights(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    (0..count).map(|_| (8.0 * random.uniform() - 4.0) as f32).collect()
}

fn factors(moments: &[f32], inputs: usize, weights: usize, run: usize) -> Factors {
    Factors { groups: vec![Factor::new(moments, inputs, 0.01).unwrap()], group_len: weights, run }
}

/// What the error of each of so many weights of one group costs.
fn curvatures(factors: &Factors, weights: usize) -> Vec<f32> {
    let of = |i: usize| factors.groups[0].curvatures()[i / factors.run % factors.inputs()] as f32;
    (0..weights).map(of).collect()
}

/// Numbers that the search chooses where bits cost nothing.
fn chosen(weights: &[f32], factors: &Factors, states: u32) -> Vec<i32> {
    let numbering = Numbering { pruned: false, centre: CENTRE };
    let context = Context::even(2 * usize::from(CENTRE) + 1, numbering).unwrap();
    let context = context.along(Trellis::new(states).unwrap());
    let rows =
        Rows { length: if factors.run == 1 { factors.inputs() } else { factors.run }, ..Rows::default() };
    let each = curvatures(factors, weights.len());
    let costs = ErrorCosts { each: Some(&each), feedback: Some(Feedback::new(factors, 0)) };
    let goal = Goal { step: 1.0, bit: 0.0 };
    let mut symbols = Vec::new();
    context.assign(weights, costs, rows, goal, &mut symbols);
    symbols.iter().map(|symbol| i32::from(*symbol) - i32::from(CENTRE)).collect()
}

/// (H + δI)⁻¹ by elimination.
fn inverse(moments: &[f32], n: usize) -> Vec<f64> {
    let mean = (0..n).map(|i| f64::from(moments[i * n + i])).sum::<f64>() / n as f64;
    let mut a: Vec<f64> = moments.iter().map(|x| f64::from(*x)).collect();
    (0..n).for_each(|i| a[i * n + i] += 0.01 * mean);
    let mut b = vec![0.0; n * n];
    (0..n).for_each(|i| b[i * n + i] = 1.0);
    for i in 0..n {
        let pivot = a[i * n + i];
        for j in 0..n {
            a[i * n + j] /= pivot;
            b[i * n + j] /= pivot;
        }
        for k in (0..n).filter(|k| *k != i) {
            let factor = a[k * n + i];
            for j in 0..n {
                a[k * n + j] -= factor * a[i * n + j];
                b[k * n + j] -= factor * b[i * n + j];
            }
        }
    }
    b
}

/// GPTQ as Frantar et al. write it: round, divide the error by the inverse's diagonal, take it from the weights behind, and remove
/// the input from the inverse.
fn gptq(row: &[f32], moments: &[f32]) -> Vec<i32> {
    let n = row.len();
    let mut inverse = inverse(moments, n);
    let mut w: Vec<f64> = row.iter().map(|w| f64::from(*w)).collect();
    let mut numbers = Vec::new();
    for j in 0..n {
        let number = w[j].round_ties_even();
        numbers.push(number as i32);
        let error = (w[j] - number) / inverse[j * n + j];
        for k in j..n {
            w[k] -= error * inverse[j * n + k];
        }
        let pivot = inverse[j * n + j];
        let own: Vec<f64> = (0..n).map(|k| inverse[j * n + k]).collect();
        for i in 0..n {
            for k in 0..n {
                inverse[i * n + k] -= own[i] * own[k] / pivot;
            }
        }
    }
    numbers
}

/// e (H + δI) eᵀ.
fn cost(row: &[f32], numbers: &[i32], moments: &[f32]) -> f64 {
    let n = row.len();
    let mean = (0..n).map(|i| f64::from(moments[i * n + i])).sum::<f64>() / n as f64;
    let e: Vec<f64> = row.iter().zip(numbers).map(|(w, m)| f64::from(*w) - f64::from(*m)).collect();
    let mut sum = 0.01 * mean * e.iter().map(|e| e * e).sum::<f64>();
    for i in 0..n {
        for j in 0..n {
            sum += e[i] * f64::from(moments[i * n + j]) * e[j];
        }
    }
    sum
}

#[test]
fn without_a_price_and_a_trellis_it_is_gptq() {
    for inputs in [1, 2, 8, 33] {
        let (h, w) = (moments(inputs, 1), weights(5 * inputs, 2));
        let found = chosen(&w, &factors(&h, inputs, w.len(), 1), 1);
        let expected: Vec<i32> = w.chunks(inputs).flat_map(|row| gptq(row, &h)).collect();
        assert_eq!(found, expected, "{inputs}");
        // Units side by side are the same units.
        let side_by_side: Vec<f32> = (0..w.len()).map(|i| w[i % 5 * inputs + i / 5]).collect();
        let found = chosen(&side_by_side, &factors(&h, inputs, w.len(), 5), 1);
        let turned: Vec<i32> = (0..w.len()).map(|i| found[i % inputs * 5 + i / inputs]).collect();
        assert_eq!(turned, expected, "{inputs}");
    }
}

#[test]
fn no_choice_costs_less_than_the_best_and_none_more_than_rounding() {
    const INPUTS: usize = 5;
    let h = moments(INPUTS, 3);
    let mut sums = [0.0; 3];
    for seed in 0..30 {
        let w = weights(INPUTS, seed);
        let greedy = cost(&w, &chosen(&w, &factors(&h, INPUTS, INPUTS, 1), 1), &h);
        let near: Vec<i32> = w.iter().map(|w| w.round_ties_even() as i32).collect();
        // Two numbers to either side of each weight.
        let best = (0..5i32.pow(INPUTS as u32)).map(|code| {
            let numbers: Vec<i32> =
                (0..INPUTS).map(|i| near[i] + code / 5i32.pow(i as u32) % 5 - 2).collect();
            cost(&w, &numbers, &h)
        });
        let best = best.fold(f64::INFINITY, f64::min);
        assert!(best <= greedy + 1e-9, "{seed}: {best} {greedy}");
        [best, greedy, cost(&w, &near, &h)].iter().zip(&mut sums).for_each(|(cost, sum)| *sum += cost);
    }
    assert!(sums[0] < sums[1] && sums[1] < 0.5 * sums[2], "{sums:?}");
}

#[test]
fn a_trellis_goes_beyond_rounding_by_the_errors_of_its_own_paths() {
    // On a grid whose halves have the same step as the scalar one, so that numbers cost about as much.
    const INPUTS: usize = 64;
    let h = moments(INPUTS, 5);
    for run in [1, 96] {
        let w = weights(INPUTS * 96, 7);
        let factors = factors(&h, INPUTS, w.len(), run);
        let error = |states: u32, scale: f32| {
            let scaled: Vec<f32> = w.iter().map(|w| w * scale).collect();
            let numbers = chosen(&scaled, &factors, states);
            let errors: Vec<f32> =
                scaled.iter().zip(&numbers).map(|(w, m)| (w - *m as f32) / scale).collect();
            let each = curvatures(&factors, w.len());
            let parts = Feedback::new(&factors, 0).whitened(&errors);
            parts
                .iter()
                .zip(&each)
                .map(|(part, c)| f64::from(*c) * f64::from(*part) * f64::from(*part))
                .sum::<f64>()
        };
        let (scalar, four, eight) = (error(1, 1.0), error(4, 2.0), error(8, 2.0));
        assert!(four < 0.85 * scalar && eight < four, "{run}: {scalar} {four} {eight}");
    }
}

type Named<'a> = (&'a str, &'a str, &'a [u64], Vec<u8>);

const INPUTS: usize = 40;
const UNITS: usize = 24;

fn model() -> Vec<u8> {
    let mut random = Random(3);
    let w: Vec<f32> = (0..INPUTS * UNITS).map(|_| random.laplace(0.1)).collect();
    safetensors(&[("fc.weight", "F32", &[UNITS as u64, INPUTS as u64], f32_bytes(&w))])
}

fn moments_file(h: &[f32], units: Option<&[f32]>) -> Vec<u8> {
    let side = [INPUTS as u64; 2];
    let count = [units.map_or(0, <[f32]>::len) as u64];
    let mut named: Vec<Named<'_>> = vec![("fc.weight", "F32", &side, f32_bytes(h))];
    if let Some(units) = units {
        named.push(("fc.weight.units", "F32", &count, f32_bytes(units)));
    }
    safetensors(&named)
}

/// The file that a recipe makes with these moments, and the values that it decodes to without them.
fn compressed(importance: Vec<u8>, line: &str) -> (Vec<u8>, Vec<f32>) {
    let (file, _) = support::compressed(model(), importance, line);
    let reader = open_container(&file).unwrap();
    check_blocks(&file, &reader, &mut |_| ()).unwrap();
    let mut values = Vec::new();
    quantscope::engine::elements(&file, &reader, 0, &mut |bytes| {
        values.extend(bytes.chunks(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())));
        Ok(())
    })
    .unwrap();
    (file, values)
}

fn identity() -> Vec<f32> {
    let mut h = vec![0.0; INPUTS * INPUTS];
    h.iter_mut().step_by(INPUTS + 1).for_each(|x| *x = 1.0);
    h
}

const METHODS: [&str; 4] =
    ["method=rdo&step=0.6", "method=trellis&step=0.6", "method=uniform&step=0.6", "method=kmeans&k=7"];

#[test]
fn inputs_that_do_not_hang_together_compensate_nothing() {
    for line in METHODS {
        let file = || moments_file(&identity(), None);
        let plain = compressed(file(), &format!("{line}&importance=moments"));
        let same = compressed(file(), &format!("{line}&importance=moments&compensate=obs&damping=0"));
        assert!(plain.1 == same.1, "{line}");
    }
}

#[test]
fn every_method_gains_where_inputs_hang_together() {
    let h = moments(INPUTS, 11);
    for line in METHODS {
        let cost = |values: &[f32]| {
            let w =
                compressed(moments_file(&identity(), None), "method=kmeans&k=1&exclude=*&importance=moments")
                    .1;
            let rows = w.chunks(INPUTS).zip(values.chunks(INPUTS));
            let row = |(w, v): (&[f32], &[f32])| {
                let errors: Vec<f32> = w.iter().zip(v).map(|(w, v)| w - v).collect();
                cost(&errors, &[0; INPUTS], &h)
            };
            rows.map(row).sum::<f64>()
        };
        let plain = compressed(moments_file(&h, None), &format!("{line}&importance=moments"));
        let better = compressed(moments_file(&h, None), &format!("{line}&importance=moments&compensate=obs"));
        let (plain, better) = (cost(&plain.1), cost(&better.1));
        assert!(better < 0.6 * plain, "{line}: {plain} {better}");
    }
}

#[test]
fn what_units_weigh_is_part_of_the_file_and_of_its_hash() {
    let h = moments(INPUTS, 11);
    let line = "method=rdo&step=0.6&importance=moments&compensate=obs";
    let units: Vec<f32> = (0..UNITS).map(|unit| if unit < 12 { 100.0 } else { 1.0 }).collect();
    let alike = compressed(moments_file(&h, None), line);
    let (file, values) = compressed(moments_file(&h, Some(&units)), line);
    let zeros = |values: &[f32]| values.iter().filter(|v| **v == 0.0).count();
    let half = INPUTS * UNITS / 2;
    assert!(zeros(&values[half..]) > 2 * zeros(&values[..half]), "units that weigh little become zeros");
    assert_ne!(
        open_container(&file).unwrap().manifest().recipe,
        open_container(&alike.0).unwrap().manifest().recipe
    );
    // The whole matrix counts, not its diagonal alone.
    let mut other = h.clone();
    (other[1], other[INPUTS]) = (0.5 * other[1], 0.5 * other[INPUTS]);
    let changed = compressed(moments_file(&other, None), line);
    assert_ne!(
        open_container(&changed.0).unwrap().manifest().recipe,
        open_container(&alike.0).unwrap().manifest().recipe
    );
}

/// Moments with what quantizing the layers before leaves of the layer.
fn sequel_file(h: &[f32], entering: &[f32], (shape, targets): (&[u64], &[f32])) -> Vec<u8> {
    let side = [INPUTS as u64; 2];
    safetensors(&[
        ("fc.weight", "F32", &side, f32_bytes(h)),
        ("fc.weight.entering", "F32", &side, f32_bytes(entering)),
        ("fc.weight.targets", "F32", shape, f32_bytes(targets)),
    ])
}

#[test]
fn targets_take_the_place_of_weights_and_what_enters_that_of_moments() {
    let (h, entering) = (moments(INPUTS, 11), moments(INPUTS, 12));
    let w = compressed(moments_file(&h, None), "method=kmeans&k=1&exclude=*&importance=moments").1;
    let targets: Vec<f32> = w.iter().map(|w| 1.2 * w).collect();
    let shape = [UNITS as u64, INPUTS as u64];
    for line in METHODS {
        let line = &format!("{line}&importance=moments&compensate=obs");
        let plain = compressed(moments_file(&h, None), line);
        // The same in their places is the same file but for its recipe's hash.
        let same = compressed(sequel_file(&h, &h, (&shape, &w)), line);
        assert!(same.1 == plain.1, "{line}");
        let recipe = |file: &Vec<u8>| open_container(file).unwrap().manifest().recipe.clone();
        assert_ne!(recipe(&same.0), recipe(&plain.0));
        let changed = compressed(sequel_file(&h, &entering, (&shape, &targets)), line);
        let error = |values: &[f32], entering: &[f32]| -> f64 {
            let rows = targets.chunks(INPUTS).zip(values.chunks(INPUTS));
            let errors = rows.map(|(t, v)| t.iter().zip(v).map(|(t, v)| t - v).collect::<Vec<f32>>());
            errors.map(|errors| cost(&errors, &[0; INPUTS], entering)).sum()
        };
        let (there, here) = (error(&plain.1, &entering), error(&changed.1, &entering));
        assert!(here < 0.8 * there, "{line}: {there} {here}");
        // Without compensation they are not looked at.
        let line = line.replace("&compensate=obs", "");
        let none = compressed(moments_file(&h, None), &line);
        assert!(compressed(sequel_file(&h, &entering, (&shape, &targets)), &line).1 == none.1, "{line}");
    }
}

#[test]
fn what_cannot_be_compensated_is_refused_in_a_sentence() {
    let refused = |importance: Vec<u8>, line: &str| {
        let recipe = Recipe::from_line(line).map_err(|error| error.to_string());
        let recipe = match recipe.and_then(|r| r.check().map(|_| r).map_err(|error| error.to_string())) {
            Ok(recipe) => recipe,
            Err(sentence) => return sentence,
        };
        Opened::sketch((model(), "m".to_owned()), Some(importance), &recipe, 1, &|_, _, _| ())
            .err()
            .map_or_else(String::new, |error| error.to_string())
    };
    let line = "method=rdo&step=0.6&importance=moments&compensate=obs";
    let mut nan = identity();
    nan[3] = f32::NAN;
    assert_eq!(
        refused(moments_file(&nan, None), line),
        "importance: tensor fc.weight: second moments: expected finite numbers, found another in row 0, column 3"
    );
    assert_eq!(
        refused(moments_file(&identity(), Some(&[1.0; 3])), line),
        "importance: tensor fc.weight.units: expected a number for each of 24 units, found [3]"
    );
    let sequel = sequel_file(&identity(), &identity(), (&[40], &[1.0; INPUTS]));
    assert_eq!(
        refused(sequel, line),
        "importance: tensor fc.weight.targets: expected the weight's shape [24, 40], found [40]"
    );
    assert!(
        refused(moments_file(&identity(), None), &format!("{line}&alpha=0.5"))
            .starts_with("alpha: expected 1")
    );
}
