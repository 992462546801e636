//! Exact k-means against brute force, two independent dynamic programmes, library examples and degenerate weights.

#![allow(missing_docs, clippy::unwrap_used)]

use quantscope::histogram::Histogram;
use quantscope::quantize::{Problem, QuantizeError, Rule, Solution, certified, kmeans};
use quantscope::random::SplitMix64;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn curve(histogram: &Histogram, ks: &[u32]) -> Vec<Solution> {
    kmeans::curve(&Problem { histogram, sample: None }, ks).unwrap()
}

/// Σ h·(w − c)² over a run of points around its best level, by definition.
fn definition(points: &[(f64, f64)]) -> f64 {
    let mass: f64 = points.iter().map(|(_, h)| h).sum();
    if mass <= 0.0 {
        return 0.0;
    }
    let mean = points.iter().map(|(w, h)| h * w).sum::<f64>() / mass;
    points.iter().map(|(w, h)| h * (w - mean) * (w - mean)).sum()
}

/// The textbook programme: least error of the first j points with each number of clusters, O(k·n²) times O(n).
fn textbook(points: &[(f64, f64)], k: usize) -> Vec<f64> {
    let n = points.len();
    let mut cost = vec![vec![0.0; n + 1]; n];
    for (i, row) in cost.iter_mut().enumerate() {
        for (j, cell) in row.iter_mut().enumerate().skip(i + 1) {
            *cell = definition(&points[i..j]);
        }
    }
    let mut row: Vec<f64> = (0..=n).map(|j| if j == 0 { 0.0 } else { f64::INFINITY }).collect();
    let mut errors = Vec::new();
    for _ in 0..k {
        let next = |j: usize| (0..j).map(|i| row[i] + cost[i][j]).fold(f64::INFINITY, f64::min);
        row = std::iter::once(f64::INFINITY).chain((1..=n).map(next)).collect();
        errors.push(row[n]);
    }
    errors
}

/// The least error over all ways to cut into exactly k runs, one by one.
fn brute_force(points: &[(f64, f64)], k: usize) -> f64 {
    if k == 1 {
        return definition(points);
    }
    (1..=points.len() - (k - 1))
        .map(|first| definition(&points[..first]) + brute_force(&points[first..], k - 1))
        .fold(f64::INFINITY, f64::min)
}

/// Divide and conquer over monotone cuts, row by row: independent of the penalty search, for larger cases.
fn divide_and_conquer(points: &[(f64, f64)], k: usize) -> f64 {
    let n = points.len();
    let mut prefix = vec![[0.0; 3]; n + 1];
    for (i, (w, h)) in points.iter().enumerate() {
        prefix[i + 1] = [prefix[i][0] + h, prefix[i][1] + h * w, prefix[i][2] + h * w * w];
    }
    let cost = |i: usize, j: usize| {
        let d = |c: usize| prefix[j][c] - prefix[i][c];
        if d(0) > 0.0 { (d(2) - d(1) * d(1) / d(0)).max(0.0) } else { 0.0 }
    };
    let mut row: Vec<f64> = (0..=n).map(|j| cost(0, j)).collect();
    for clusters in 2..=k {
        let mut next = vec![f64::INFINITY; n + 1];
        let mut tasks = vec![(clusters, n, clusters - 1, n - 1)];
        while let Some((low, high, from, to)) = tasks.pop() {
            if low > high {
                continue;
            }
            let j = usize::midpoint(low, high);
            let (mut best, mut at) = (f64::INFINITY, from);
            for (i, before) in row.iter().enumerate().take(to.min(j - 1) + 1).skip(from) {
                let total = before + cost(i, j);
                if total < best {
                    (best, at) = (total, i);
                }
            }
            next[j] = best;
            tasks.push((low, j - 1, from, at));
            tasks.push((j + 1, high, at, to));
        }
        row = next;
    }
    row[n]
}

/// Random small weights with duplicates, ties, zero importance and lattices.
fn instance(seed: u64, n: usize) -> (Vec<f32>, Vec<f32>) {
    let mut random = SplitMix64::new(seed);
    let lattice = seed % 3;
    (0..n)
        .map(|_| {
            let x = random.unit() * 16.0 - 8.0;
            let w = if lattice == 0 { libm::floor(x) } else { x };
            let h = match seed % 4 {
                0 => 1.0,
                1 => random.unit() + 0.01,
                2 => libm::floor(random.unit() * 3.0),
                _ => libm::exp(random.unit() * 12.0 - 6.0),
            };
            (w as f32, h as f32)
        })
        .unzip()
}

/// Distinct weights, ascending, with their importance added up.
fn distinct(values: &[f32], h: &[f32]) -> Vec<(f64, f64)> {
    let mut pairs: Vec<(f64, f64)> =
        values.iter().zip(h).map(|(w, h)| (f64::from(*w), f64::from(*h))).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    pairs.dedup_by(|right, left| {
        let same = right.0 == left.0;
        if same {
            left.1 += right.1;
        }
        same
    });
    pairs
}

fn close(found: f64, expected: f64, scale: f64) -> bool {
    (found - expected).abs() <= 1e-6 * expected + 1e-11 * scale
}

#[test]
fn small_instances_match_brute_force_and_the_textbook_programme() {
    for seed in 0..400 {
        let n = 1 + (seed as usize * 7) % 12;
        let (values, h) = instance(seed, n);
        let points = distinct(&values, &h);
        let scale = definition(&points);
        let book = textbook(&points, points.len());
        for k in 1..=points.len() {
            let expected = brute_force(&points, k);
            assert!(close(book[k - 1], expected, scale), "the oracles agree");
            let solution = certified(&values, Some(&h), k as u32).unwrap();
            let found = solution.weighted_error;
            assert!(close(found, expected, scale), "seed {seed} k {k}: {found} against {expected}");
            assert_eq!(solution.quantizer.levels.len(), k, "seed {seed}");
            assert_eq!(solution.counts.iter().sum::<u64>(), n as u64);
            assert!(solution.optimal);
        }
    }
}

#[test]
fn medium_instances_match_the_textbook_programme_for_every_count() {
    for seed in 0..40 {
        let (values, h) = instance(seed, 70);
        let points = distinct(&values, &h);
        let scale = definition(&points);
        let ks: Vec<u32> = (1..=points.len() as u32).collect();
        let book = textbook(&points, points.len());
        for (k, expected) in ks.iter().zip(book) {
            let solution = certified(&values, Some(&h), *k).unwrap();
            assert!(close(solution.weighted_error, expected, scale), "seed {seed} k {k}");
        }
    }
}

#[test]
fn large_instances_match_divide_and_conquer() {
    for (seed, n) in [(1u64, 3000usize), (2, 5000), (5, 20_000)] {
        let mut random = SplitMix64::new(seed);
        let mut laplace = || {
            let sign = if random.bits() >> 63 == 0 { 1.0 } else { -1.0 };
            (sign * -libm::log(1.0 - random.unit())) as f32
        };
        let values: Vec<f32> = (0..n).map(|_| laplace()).collect();
        let h: Vec<f32> =
            (0..n).map(|i| if seed == 1 { 1.0 } else { laplace().abs() + i as f32 * 1e-5 }).collect();
        let points = distinct(&values, &h);
        for k in [2usize, 3, 16, 33, 64] {
            let expected = divide_and_conquer(&points, k);
            let found = certified(&values, Some(&h), k as u32).unwrap();
            assert!(
                close(found.weighted_error, expected, 1.0),
                "{n} {k}: {} {expected}",
                found.weighted_error
            );
            assert_eq!(found.quantizer.levels.len(), k);
        }
    }
}

#[test]
#[ignore = "takes ten seconds or more"]
fn two_hundred_thousand_gamma_weighted_points_match_divide_and_conquer() {
    let mut random = SplitMix64::new(77);
    let mut exponential = || -libm::log(1.0 - random.unit());
    let n = 200_000;
    let values: Vec<f32> = (0..n).map(|_| (0.02 * (exponential() - exponential())) as f32).collect();
    let h: Vec<f32> = (0..n).map(|_| (exponential() + exponential()) as f32).collect();
    let expected = divide_and_conquer(&distinct(&values, &h), 256);
    let found = certified(&values, Some(&h), 256).unwrap();
    assert!((found.weighted_error / expected - 1.0).abs() < 1e-8, "{} {expected}", found.weighted_error);
}

#[test]
fn a_curve_equals_its_points_and_is_convex_and_falling() {
    let (values, h) = instance(7, 4000);
    let histogram = Histogram::new(&values, Some(&h));
    let ks: Vec<u32> = (1..=60).collect();
    let together = curve(&histogram, &ks);
    for (k, solution) in ks.iter().zip(&together) {
        let alone = curve(&histogram, &[*k]).remove(0);
        assert!((alone.weighted_error / solution.weighted_error - 1.0).abs() < 1e-9);
    }
    let errors: Vec<f64> = together.iter().map(|solution| solution.weighted_error).collect();
    for triple in errors.windows(3) {
        assert!(triple[1] < triple[0] && triple[1] - triple[2] <= (triple[0] - triple[1]) * (1.0 + 1e-6));
    }
}

#[test]
fn cells_cost_a_thousandth_more_than_every_weight_at_most() {
    let (values, h) = instance(13, 50_000);
    let histogram = Histogram::new(&values, Some(&h));
    for k in [2, 16, 100] {
        let cells = curve(&histogram, &[k]).remove(0);
        let mut symbols = Vec::new();
        cells.quantizer.symbols(&values, None, &mut symbols);
        let measured: f64 = values
            .iter()
            .zip(&h)
            .zip(&symbols)
            .map(|((w, h), s)| {
                let d = f64::from(*w) - f64::from(cells.quantizer.levels[usize::from(*s)]);
                f64::from(*h) * d * d
            })
            .sum();
        let every = certified(&values, Some(&h), k).unwrap();
        assert!(measured <= every.weighted_error * 1.001 && measured >= every.weighted_error * 0.999_999);
        assert!((cells.weighted_error / measured - 1.0).abs() < 1e-3);
    }
}

#[test]
fn published_library_examples() {
    let levels = |values: &[f32], h: Option<&[f32]>, k| certified(values, h, k).unwrap();
    let weighted = levels(&[-1.0, 2.0, 4.0, 5.0, 6.0], Some(&[4.0, 3.0, 1.0, 1.0, 1.0]), 3);
    assert_eq!(weighted.quantizer.levels, [-1.0, 2.0, 5.0]);
    assert_eq!(weighted.weighted_error, 2.0);
    let ten: Vec<f32> = (1..=10).map(|i| i as f32).collect();
    let halves = levels(&ten, None, 2);
    assert_eq!(halves.quantizer.levels, [3.0, 8.0]);
    assert_eq!(halves.squared_error, 20.0);
    let threes = levels(&[3.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0], None, 3);
    assert_eq!((threes.quantizer.levels.as_slice(), threes.squared_error), (&[1.0, 2.0, 3.0][..], 0.0));
    let values = [4.0, 4.1, 4.2, -50.0, 200.2, 200.4, 200.9, 80.0, 100.0, 102.0];
    let four = levels(&values, None, 4).quantizer;
    assert_eq!(four.levels, [-50.0, 4.1, 94.0, 200.5]);
    let mut symbols = Vec::new();
    four.symbols(&values, None, &mut symbols);
    assert_eq!(symbols, [1, 1, 1, 0, 3, 3, 3, 2, 2, 2]);
}

#[test]
fn degenerate_weights_are_solved() {
    assert_eq!(certified(&[], None, 4), Err(QuantizeError::NoWeights));
    let one = certified(&[0.25], None, 16).unwrap();
    assert_eq!((one.quantizer.levels.as_slice(), one.counts.as_slice()), (&[0.25][..], &[1][..]));
    let equal = certified(&[0.1; 1000], None, 16).unwrap();
    assert_eq!((equal.quantizer.levels.as_slice(), equal.squared_error), (&[0.1][..], 0.0));
    let more = certified(&[1.0, 2.0, 2.0, 3.0], None, 4096).unwrap();
    assert_eq!(more.quantizer.levels, [1.0, 2.0, 3.0]);
    let ignored = certified(&[1.0, 2.0, 4.0, 9.0], Some(&[0.0; 4]), 2).unwrap();
    assert_eq!(ignored.quantizer.levels, [7.0 / 3.0, 9.0]);
    for scale in [1e-38f32, 1e-30, 1.0, 1e30, 3e37] {
        let values: Vec<f32> = [-3.0f32, -2.9, 1.0, 1.1, 5.0].iter().map(|w| w * scale).collect();
        let solution = certified(&values, None, 3).unwrap();
        assert_eq!(solution.counts, [2, 2, 1], "{scale}");
    }
    for outlier in [1e38f32, -1e38] {
        let mut values: Vec<f32> =
            (0..100).map(|i| if i < 50 { 0.01 } else { 0.02 } + i as f32 * 1e-6).collect();
        values.push(outlier);
        let solution = certified(&values, None, 3).unwrap();
        let mut counts = solution.counts.clone();
        counts.sort_unstable();
        assert_eq!(counts, [1, 50, 50], "{outlier}");
    }
}

#[test]
fn every_second_count_on_a_lattice_is_spliced() {
    // Twelve equal pairs: the error falls in a straight line from 12 to 24 clusters.
    let values: Vec<f32> = (0..12).flat_map(|i| [i as f32 * 10.0, i as f32 * 10.0 + 1.0]).collect();
    for k in 12..=24 {
        let solution = certified(&values, None, k).unwrap();
        assert_eq!(solution.quantizer.levels.len(), k as usize);
        assert_eq!(solution.squared_error, f64::from(24 - k) * 0.5);
    }
}

#[test]
fn thresholds_send_every_weight_to_its_nearest_level() {
    let (values, h) = instance(11, 3000);
    let quantizer = certified(&values, Some(&h), 37).unwrap().quantizer;
    assert!(matches!(&quantizer.rule, Rule::Thresholds(t) if t.len() == 36));
    for w in &values {
        let distance = |c: &f32| (f64::from(*w) - f64::from(*c)).abs();
        let least = quantizer.levels.iter().map(distance).fold(f64::INFINITY, f64::min);
        assert_eq!(distance(&quantizer.levels[quantizer.symbol(*w, 1.0)]), least);
    }
}

#[test]
fn shifting_and_scaling_moves_the_levels_along() {
    let (values, h) = instance(0, 500);
    let levels = |a: f32, b: f32| {
        let moved: Vec<f32> = values.iter().map(|w| w * a + b).collect();
        certified(&moved, Some(&h), 9).unwrap().quantizer.levels
    };
    for (a, b) in [(2.0f32, 0.0), (1.0, 64.0), (0.125, -1.0)] {
        let expected: Vec<f32> = levels(1.0, 0.0).iter().map(|c| c * a + b).collect();
        for (found, expected) in levels(a, b).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-4);
        }
    }
}
