//! Networks in number formats: the LeNet sample with sums in an accumulator's format, by multiply-adds, and with operators alone
//! rounded, by images.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quantscope::network::data::DataSet;
use quantscope::network::emulate::{Choice, Emulator, Numbers};
use quantscope::network::evaluate::Setup;
use quantscope::network::model::ModelBytes;
use quantscope::network::{Graph, Network};
use quantscope::number_format::Format;
use std::hint::black_box;
use std::path::Path;

/// Multiply-adds of LeNet for one image: 24²·20·25 + 8²·50·500 + 800·500 + 500·10.
const PRODUCTS: u64 = 288_000 + 1_600_000 + 400_000 + 5_000;

type Failure = Box<dyn std::error::Error>;

fn measure(criterion: &mut Criterion) -> Result<(), Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("www/samples");
    let files = ModelBytes::read(&std::fs::read(folder.join("lenet.onnx"))?)?;
    let data = DataSet::read(&[folder.join("digits-28.npz")])?;
    let setup = Setup::guess(&Graph::parse(files.model())?, &Network::load(&files)?, &data)?;
    let mut emulator = Emulator::new(&files, &setup, &data, &[])?;
    emulator.calibrate(&emulator.batches(&data, 580..600)?)?;
    let batches = emulator.batches(&data, 0..20)?;
    let mut group = criterion.benchmark_group("emulate");
    group.sample_size(10);
    for name in ["m7e6", "bf16", "e4m3", "l8r8", "posit8", "posit16", "nf4", "apot7"] {
        let format = Format::parse(name)?;
        for (label, numbers, elements) in [
            ("accumulators", Numbers::all(format), 20 * PRODUCTS),
            ("operators", Numbers::operators(format), 20),
        ] {
            let prepared = emulator.prepare(&Choice::uniform(numbers))?;
            group.throughput(Throughput::Elements(elements));
            group.bench_function(format!("{label} {name}"), |bencher| {
                bencher.iter(|| prepared.run_all(black_box(&batches), 1));
            });
        }
    }
    Ok(())
}

fn emulate(criterion: &mut Criterion) {
    if let Err(error) = measure(criterion) {
        eprintln!("emulate: {error}");
    }
}

criterion_group!(benches, emulate);
criterion_main!(benches);
