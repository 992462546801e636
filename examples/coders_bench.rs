//! Speed and bytes of a container's entropy coder on its own symbols: our side of `experiments/run.sh coders`.
//!
//! ```sh
//! cargo run --release --example coders_bench -- FILE.qsz [RUNS]
//! ```
//!
//! The file holds one quantized tensor. Its symbols are decoded, encoded again with its own code table and compared with
//! what it holds, RUNS (5) times. Prints one line of JSON: bits of values and of tables, and the median processor seconds of
//! either way. Decoding includes the CRC-32 of the block; encoding is the coder alone, its table being built.

mod processor;

use processor::processor_seconds;
use quantscope::container::{Content, Limits, Reader};
use std::error::Error;

type Failure = Box<dyn Error>;

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or_default()
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: coders_bench FILE.qsz [RUNS]")?;
    let runs: usize = arguments.next().map_or(Ok(5), |runs| runs.parse())?;
    let file = std::fs::read(&path).map_err(|e| format!("{path}: {e}"))?;
    let reader = Reader::open(&file, Limits::default())?;
    let [entry] = reader.manifest().tensors.as_slice() else {
        return Err(format!("{path}: expected one tensor, found {}", reader.manifest().tensors.len()).into());
    };
    let Content::Quantized(coding) = entry.content else {
        return Err(format!("{path}: expected a quantized tensor, found a kept one").into());
    };
    let table = reader.code_table(coding.code_table)?;

    let (mut decoding, mut encoding) = (Vec::new(), Vec::new());
    for _ in 0..runs.max(1) {
        let (mut decoded, mut encoded, mut bits) = (0.0, 0.0, 0);
        for block in 0..entry.blocks() {
            let (mut symbols, mut bytes) = (Vec::new(), Vec::new());
            let start = processor_seconds()?;
            reader.symbols(&file, 0, block, &mut symbols)?;
            decoded += processor_seconds()? - start;
            let start = processor_seconds()?;
            bits += table.encode(&symbols, entry.rows(block), &mut bytes)?;
            encoded += processor_seconds()? - start;
        }
        if bits != reader.ledger().value_bits {
            let held = reader.ledger().value_bits;
            return Err(format!("{path}: expected the {held} bits it holds, encoded {bits}").into());
        }
        decoding.push(decoded);
        encoding.push(encoded);
    }
    let result = serde_json::json!({
        "symbols": entry.len(),
        "value_bits": reader.ledger().value_bits,
        "table_bits": reader.ledger().table_bits,
        "encode_seconds": median(encoding),
        "decode_seconds": median(decoding),
    });
    println!("{result}");
    Ok(())
}
