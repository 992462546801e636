//! What independent implementations make of all codes, and of 2^17 float32 of random bits, as digests: `ml_dtypes` 0.6.0, `NumPy`
//! 2.4.6 for fp16, softposit 0.3.4.4 for posits. `experiments/number_formats.py` prints them, and compares two million
//! numbers of each format besides.

use super::{Format, Scale};
use sha2::{Digest, Sha256};

/// The name, and the starts of the digests of its codes' values and of the rounded numbers.
const DIGESTS: [(&str, &str, &str); 14] = [
    ("e4m3", "422eccfaa21e72a6", "f656ff87cb1bedf8"),
    ("e5m2", "229a94c5f728edf2", "efbe94f6f05e8247"),
    ("e3m4", "dbadb7342f174274", "51220985a292c394"),
    ("e4m3:ieee", "9ce77bd30a02e10b", "2004674b321d1b1e"),
    ("e4m3fnuz", "ac4866f772a7c080", "7f928b164c5bb32c"),
    ("e5m2fnuz", "aac12d2730bf26ca", "4ffd70ccfaa5be3c"),
    ("e4m3fnuz:bias=11", "74505330e3c9cb73", "268fc7587fd3f236"),
    ("e2m3", "178eab5d385741cf", "4e831f716f29ccfc"),
    ("e3m2", "1f21874836838a0a", "d2afb65cea74254c"),
    ("e2m1", "c736c7e2e761e089", "7fae2dfc12548859"),
    ("bf16", "f12e27efe34841df", "7944bc14608bfbf0"),
    ("fp16", "385ff5fe69182797", "e03c6f07d5df0691"),
    ("posit8-0", "73d980fc31e4d8a5", "460867650bc7c8e9"),
    ("posit16-1", "befbebc08a8fa600", "b3ee645d6f508129"),
];

/// The start of SHA-256, every NaN being the same.
fn digest(numbers: &[f32]) -> String {
    let bits = |x: &f32| if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() };
    let bytes: Vec<u8> = numbers.iter().flat_map(|x| bits(x).to_le_bytes()).collect();
    let first = Sha256::digest(&bytes).iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    format!("{first:016x}")
}

#[test]
fn codes_and_rounded_numbers_are_those_of_independent_implementations() {
    let mut random = crate::random::SplitMix64::new(0);
    let numbers: Vec<f32> =
        (0..1 << 17).map(|_| f32::from_bits(random.bits() as u32)).filter(|x| !x.is_nan()).collect();
    for (name, codes, rounded) in DIGESTS {
        let format = Format::parse(name).unwrap();
        let values: Vec<f32> = (0..1u32 << format.bits()).map(|code| format.decode(code)).collect();
        assert_eq!(digest(&values), codes, "{name}");
        let mut numbers = numbers.clone();
        if matches!(format, Format::Posit(_)) {
            numbers.retain(|x| x.is_finite());
        }
        format.rounder(Scale::default()).unwrap().round_slice(&mut numbers, 0);
        assert_eq!(digest(&numbers), rounded, "{name}");
    }
}
