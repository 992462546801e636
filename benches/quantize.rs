//! Solvers and assignment on a million seeded Laplace weights of scale 0.02, the case of the published comparisons.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quantscope::histogram::Histogram;
use quantscope::quantize::{METHODS, Problem, Settings, Value, certified, kmeans, methods};
use quantscope::random::SplitMix64;

/// Seeded Laplace weights, and importance that is exponentially distributed with mean 1.
fn laplace(n: usize) -> (Vec<f32>, Vec<f32>) {
    let mut random = SplitMix64::new(20_260);
    let exponential = |random: &mut SplitMix64| -libm::log(1.0 - random.unit());
    let weight = |random: &mut SplitMix64| {
        let sign = if random.bits() >> 63 == 0 { 0.02 } else { -0.02 };
        (sign * exponential(random)) as f32
    };
    (0..n).map(|_| (weight(&mut random), exponential(&mut random) as f32)).unzip()
}

fn exact_kmeans(c: &mut Criterion) {
    let (values, importance) = laplace(1_000_000);
    let mut group = c.benchmark_group("kmeans");
    group.sample_size(10);
    group.bench_function("histogram", |b| b.iter(|| Histogram::new(black_box(&values), Some(&importance))));
    for (name, importance) in [("plain", None), ("weighted", Some(importance.as_slice()))] {
        let histogram = Histogram::new(&values, importance);
        let problem = Problem { histogram: &histogram, sample: None };
        for k in [16u32, 256] {
            let cells = kmeans::curve(&problem, &[k]).unwrap().remove(0);
            let every = certified(&values, importance, k).unwrap();
            println!(
                "{name} k={k}: {} cells, error {:.6} from cells ({} passes), {:.6} certified ({} passes)",
                histogram.len(),
                cells.weighted_error,
                cells.iterations,
                every.weighted_error,
                every.iterations
            );
            group.bench_function(BenchmarkId::new(format!("{name}/cells"), k), |b| {
                b.iter(|| kmeans::curve(black_box(&problem), &[k]).unwrap());
            });
            group.bench_function(BenchmarkId::new(format!("{name}/certified"), k), |b| {
                b.iter(|| certified(black_box(&values), importance, k).unwrap());
            });
        }
    }
    group.finish();
}

/// Twenty values of a method's swept parameter, over the range people use.
fn swept(id: &str) -> Vec<Settings> {
    let method = methods::find(id).unwrap();
    let value = |i: usize| {
        let share = i as f64 / 19.0;
        let number = |low: f64, high: f64| Value::Number(low * libm::pow(high / low, share));
        match method.swept {
            "k" => Value::Integer(libm::pow(2.0, 1.0 + 7.0 * share) as u64),
            "step" => number(0.02, 4.0),
            _ => number(0.0001, 1.0),
        }
    };
    let settings =
        |i| Settings::new(method.parameters, &BTreeMap::from([(method.swept.to_owned(), value(i))])).unwrap();
    (0..20).map(settings).collect()
}

fn sweep(c: &mut Criterion) {
    let (values, importance) = laplace(1_000_000);
    let histogram = Histogram::new(&values, None);
    let problem = Problem { histogram: &histogram, sample: None };
    let mut group = c.benchmark_group("sweep of 20");
    group.sample_size(10);
    for method in METHODS {
        let settings = swept(method.id);
        group.bench_function(method.id, |b| b.iter(|| method.solve_all(black_box(&problem), &settings)));
    }
    let weighted = Histogram::new(&values, Some(&importance));
    let sample: Vec<(f32, f32)> = values.iter().copied().zip(importance).step_by(16).collect();
    let problem = Problem { histogram: &weighted, sample: Some(&sample) };
    let (method, settings) = (methods::find("ecsq").unwrap(), swept("ecsq"));
    group.bench_function("ecsq on a sample of 62500", |b| {
        b.iter(|| method.solve_all(black_box(&problem), &settings));
    });
    group.finish();
}

fn assignment(c: &mut Criterion) {
    let (values, importance) = laplace(1_000_000);
    let histogram = Histogram::new(&values, None);
    let problem = Problem { histogram: &histogram, sample: None };
    let mut group = c.benchmark_group("symbols");
    group.throughput(Throughput::Elements(values.len() as u64));
    for k in [16u32, 256] {
        let quantizer = kmeans::curve(&problem, &[k]).unwrap().remove(0).quantizer;
        let mut out = Vec::with_capacity(values.len());
        group.bench_function(BenchmarkId::new("thresholds", k), |b| {
            b.iter(|| {
                out.clear();
                quantizer.symbols(black_box(&values), None, &mut out);
            });
        });
    }
    let sample: Vec<(f32, f32)> =
        values.iter().copied().zip(importance.iter().copied()).step_by(16).collect();
    let weighted = Histogram::new(&values, Some(&importance));
    let problem = Problem { histogram: &weighted, sample: Some(&sample) };
    let settings = swept("ecsq").remove(4);
    let quantizer = (methods::find("ecsq").unwrap().solve)(&problem, &settings).unwrap().quantizer;
    let mut out = Vec::with_capacity(values.len());
    group.bench_function(BenchmarkId::new("rate-aware", quantizer.levels.len()), |b| {
        b.iter(|| {
            out.clear();
            quantizer.symbols(black_box(&values), Some(&importance), &mut out);
        });
    });
    group.finish();
}

criterion_group!(benches, exact_kmeans, sweep, assignment);
criterion_main!(benches);
