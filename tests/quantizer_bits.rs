//! The same bits on every target: hashes of what every method returns for fixed weights, natively and in wasm.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;

use quantscope::histogram::Histogram;
use quantscope::quantize::{METHODS, Problem, Rule, Settings, Solution, Value, certified};
use quantscope::random::SplitMix64;
use xxhash_rust::xxh3::xxh3_64;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Every bit of a solution.
fn bytes(solution: &Solution) -> Vec<u8> {
    let mut bytes: Vec<u8> = solution.quantizer.levels.iter().flat_map(|c| c.to_le_bytes()).collect();
    match &solution.quantizer.rule {
        Rule::Thresholds(thresholds) => bytes.extend(thresholds.iter().flat_map(|t| t.to_le_bytes())),
        Rule::RateAware { lambda, rates } => {
            bytes.extend(lambda.to_le_bytes());
            bytes.extend(rates.iter().flat_map(|r| r.to_le_bytes()));
        }
    }
    bytes.extend(solution.counts.iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend(solution.squared_error.to_le_bytes());
    bytes.extend(solution.weighted_error.to_le_bytes());
    bytes.extend(solution.iterations.to_le_bytes());
    bytes
}

#[test]
fn every_method_returns_the_same_bits_on_every_target() {
    let mut random = SplitMix64::new(42);
    let mut normal = || {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - random.unit()));
        radius * libm::cos(2.0 * std::f64::consts::PI * random.unit())
    };
    let values: Vec<f32> = (0..20_000).map(|_| (0.05 * normal()) as f32).collect();
    let h: Vec<f32> = (0..20_000).map(|_| libm::exp(normal()) as f32).collect();
    let pairs: Vec<(f32, f32)> = values.iter().copied().zip(h.iter().copied()).collect();
    let (plain, weighted) = (Histogram::new(&values, None), Histogram::new(&values, Some(&h)));
    let mut found: Vec<(String, u64)> = Vec::new();
    for method in METHODS {
        let mut given = BTreeMap::new();
        if method.id == "lloyd" {
            given.insert("start".to_owned(), Value::Choice("plusplus".to_owned()));
        }
        let settings = Settings::new(method.parameters, &given).unwrap();
        for (name, histogram, sample) in
            [("plain", &plain, None), ("weighted", &weighted, Some(pairs.as_slice()))]
        {
            let solution = (method.solve)(&Problem { histogram, sample }, &settings).unwrap();
            found.push((format!("{} {name}", method.id), xxh3_64(&bytes(&solution))));
        }
    }
    found.push(("certified".to_owned(), xxh3_64(&bytes(&certified(&values, Some(&h), 100).unwrap()))));
    let found: Vec<String> = found.into_iter().map(|(name, hash)| format!("{name} {hash:016x}")).collect();
    let golden: Vec<&str> = include_str!("data/quantizer_bits.txt").lines().collect();
    assert_eq!(
        found, golden,
        "a change of results must be meant: then replace tests/data/quantizer_bits.txt"
    );
}
