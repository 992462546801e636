//! Number formats as bytes: our side of `experiments/number_formats.py`.
//!
//! ```sh
//! cargo run --release --example number_formats -- values FORMAT >VALUES.f32
//! cargo run --release --example number_formats -- round FORMAT <NUMBERS.f32 >ROUNDED.f32
//! cargo run --release --example number_formats -- blocks LAYOUT [largest|squared] <WEIGHTS.f32 >BLOCKS
//! ```
//!
//! Numbers are little-endian float32. `values` writes what every code stands for, in their order. `blocks` takes one row of
//! weights and writes the decoded weights, then their symbols, 16 bits each, then the scales (and minima) as a file has them.

use quantscope::code::Code;
use quantscope::compensation::ErrorCosts;
use quantscope::entropy::Rows;
use quantscope::number_format::{Format, Scale};
use quantscope::quantize::{Settings, Value, scaled};
use std::error::Error;
use std::io::{Read as _, Write as _};

type Failure = Box<dyn Error>;

fn read() -> Result<Vec<f32>, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn blocks(layout: &str, fit: &str) -> Result<Vec<u8>, Failure> {
    let weights = read()?;
    let given = [("numbers", layout), ("fit", fit)];
    let given = given.map(|(id, word)| (id.to_owned(), Value::Choice(word.to_owned())));
    let largest = weights.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
    let code = scaled::code(&Settings::new(scaled::PARAMETERS, &given.into())?)?.of_tensor(largest);
    let code = Code::Scaled(code);
    let (mut symbols, mut values) = (Vec::new(), Vec::new());
    let assigned = code.assign(&weights, ErrorCosts::default(), Rows::default(), None, &mut symbols)?;
    code.extend_values(&symbols, assigned.scales(Rows::default()), &mut values);
    let mut out = bytes(&values);
    out.extend(symbols.iter().flat_map(|symbol| symbol.to_le_bytes()));
    out.extend(assigned.scales.map_or(Vec::new(), |(_, bytes)| bytes));
    Ok(out)
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let out = match words[..] {
        ["values", name] => {
            let format = Format::parse(name)?;
            bytes(&(0..1u32 << format.bits().min(16)).map(|code| format.decode(code)).collect::<Vec<_>>())
        }
        ["round", name] => {
            let mut numbers = read()?;
            Format::parse(name)?.rounder(Scale::default())?.round_slice(&mut numbers, 0);
            bytes(&numbers)
        }
        ["blocks", layout] => blocks(layout, "largest")?,
        ["blocks", layout, fit] => blocks(layout, fit)?,
        _ => return Err("usage: number_formats values|round FORMAT, or blocks LAYOUT [FIT]".into()),
    };
    std::io::stdout().write_all(&out)?;
    Ok(())
}
