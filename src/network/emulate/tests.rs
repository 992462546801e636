//! Networks in formats, end to end.

use super::*;
use crate::network::data::Preprocess;
use crate::network::evaluate::Setup;
use crate::network::measure::measure;
use crate::network::testing::{Builder, Value as Attribute, numbers};
use crate::network::{Graph, Network};
use crate::number_format::Format;
use std::path::Path;

/// A sample network with its data.
fn sample(name: &str, data: &str) -> (ModelBytes, Setup, DataSet) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("www/samples");
    let files = ModelBytes::read(&std::fs::read(folder.join(name)).unwrap()).unwrap();
    let data = DataSet::read(&[folder.join(data)]).unwrap();
    let graph = Graph::parse(files.model()).unwrap();
    let setup = Setup::guess(&graph, &Network::load(&files).unwrap(), &data).unwrap();
    (files, setup, data)
}

const SAMPLES: [(&str, &str); 4] = [
    ("lenet.onnx", "digits-28.npz"),
    ("resnet.onnx", "digits-8.npz"),
    ("lstm.onnx", "digits-8.npz"),
    ("transformer.onnx", "digits-8.npz"),
];

fn format(name: &str) -> Format {
    Format::parse(name).unwrap()
}

/// The answers to the first samples.
fn run(emulator: &Emulator, choice: &Choice, data: &DataSet, samples: usize) -> Answer {
    let prepared = emulator.prepare(choice).unwrap();
    let mut all = Answer::default();
    for batch in emulator.batches(data, 0..samples).unwrap() {
        all.merge(prepared.run(&batch).unwrap());
    }
    all
}

#[test]
fn a_network_and_its_preparation_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Emulator>();
    shared::<Prepared>();
    shared::<Batch>();
}

#[test]
fn without_formats_the_samples_answer_as_the_runtime_does() {
    for (name, data) in SAMPLES {
        let (files, setup, data) = sample(name, data);
        let network = Network::load(&files).unwrap();
        let reference = setup.run(&network, &data, 0..60, &|| true).unwrap();
        let emulator = Emulator::new(&files, &setup, &data, &[]).unwrap();
        let answer = run(&emulator, &Choice::default(), &data, 60);
        let against = measure(&answer.outputs, None, Some(&reference)).against.unwrap();
        assert!(against.sqnr_db > 100.0, "{name}: {} dB", against.sqnr_db);
        assert!(answer.report.layers.iter().all(|layer| layer.rounded == 0), "{name}");
    }
}

#[test]
fn the_samples_still_classify_in_half_precision() {
    for (name, data) in SAMPLES {
        let (files, setup, data) = sample(name, data);
        let emulator = Emulator::new(&files, &setup, &data, &[]).unwrap();
        let plain = run(&emulator, &Choice::default(), &data, 60).outputs;
        let choice = Choice::uniform(Numbers::operators(format("fp16")));
        let answer = run(&emulator, &choice, &data, 60);
        let against = measure(&answer.outputs, None, Some(&plain)).against.unwrap();
        assert!((30.0..100.0).contains(&against.sqnr_db), "{name}: {} dB", against.sqnr_db);
        assert!(against.agreement.value() > 0.95, "{name}");
        assert_eq!(answer.report.sentence(), None, "{name}");
        assert!(!answer.report.weights.is_empty(), "{name}");
    }
}

/// A network of one input `x` of this shape, the first of which is the batch, with data of uniform numbers.
fn made(builder: Builder, shape: &[usize], scale: f32) -> (ModelBytes, Setup, DataSet) {
    let files = builder.files();
    let count = shape.iter().product();
    let values: Vec<f32> = numbers(count, 9).iter().map(|x| x * scale).collect();
    let series = crate::network::data::Series {
        name: "x".to_owned(),
        shape: shape.to_vec(),
        values: crate::network::data::Values::F32(values),
    };
    let data = DataSet { kind: "made up".to_owned(), series: vec![series], labels: None, samples: shape[0] };
    let graph = Graph::parse(files.model()).unwrap();
    let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
    (files, setup, data)
}

/// A convolution, and what a float32 accumulator of its own kernel gives for it beside the runtime.
fn convolution(shape: &[usize], kernel: &[usize], attributes: Vec<(&'static str, Attribute)>) -> f64 {
    let open: Vec<i64> =
        shape.iter().enumerate().map(|(at, n)| if at == 0 { -1 } else { *n as i64 }).collect();
    let builder = Builder::default()
        .input("x", &open)
        .floats("w", kernel, &numbers(kernel.iter().product(), 4))
        .floats("b", &kernel[..1], &numbers(kernel[0], 5))
        .node("Conv", &["x", "w", "b"], &["c"], attributes)
        .node("Flatten", &["c"], &["y"], vec![])
        .output("y");
    let (files, setup, data) = made(builder, shape, 1.0);
    beside_the_runtime(&files, &setup, &data, shape[0])
}

/// How near sums in a format as fine as float32 are to the runtime's, dB.
fn beside_the_runtime(files: &ModelBytes, setup: &Setup, data: &DataSet, samples: usize) -> f64 {
    let emulator = Emulator::new(files, setup, data, &[]).unwrap();
    let plain = run(&emulator, &Choice::default(), data, samples);
    let wide = Numbers { accumulator: Some(format("m23e8")), ..Numbers::default() };
    let ours = run(&emulator, &Choice::uniform(wide), data, samples);
    assert!(ours.report.layers.iter().any(|layer| layer.sums > 0));
    measure(&ours.outputs, None, Some(&plain.outputs)).against.unwrap().sqnr_db
}

#[test]
fn convolutions_in_a_wide_accumulator_are_the_runtimes() {
    let ints = |ints: &[i64]| Attribute::Ints(ints.to_vec());
    for (shape, kernel, attributes) in [
        (&[2, 3, 7, 9][..], &[5, 3, 3, 3][..], vec![]),
        (&[2, 4, 8, 8], &[6, 2, 3, 2], vec![("group", Attribute::Int(2)), ("strides", ints(&[2, 1]))]),
        (&[1, 3, 9, 9], &[3, 1, 3, 3], vec![("group", Attribute::Int(3)), ("pads", ints(&[1, 0, 2, 1]))]),
        (&[1, 2, 11, 10], &[4, 2, 3, 3], vec![("dilations", ints(&[2, 3])), ("strides", ints(&[1, 2]))]),
        (
            &[1, 2, 7, 8],
            &[4, 2, 3, 3],
            vec![("auto_pad", Attribute::Text("SAME_UPPER")), ("strides", ints(&[2, 2]))],
        ),
        (&[3, 2, 20], &[4, 2, 5], vec![("pads", ints(&[2, 1])), ("strides", ints(&[3]))]),
    ] {
        let found = convolution(shape, kernel, attributes);
        assert!(found > 110.0, "{shape:?} {kernel:?}: {found} dB");
    }
}

#[test]
fn products_of_matrices_in_a_wide_accumulator_are_the_runtimes() {
    let gemm = |a: &[usize], attributes| {
        Builder::default()
            .input("x", &[-1, 6])
            .floats("w", a, &numbers(a.iter().product(), 4))
            .floats("b", &[5], &numbers(5, 5))
            .node("Gemm", &["x", "w", "b"], &["y"], attributes)
            .output("y")
    };
    let turned = vec![
        ("transB", Attribute::Int(1)),
        ("alpha", Attribute::Float(0.5)),
        ("beta", Attribute::Float(2.0)),
    ];
    let batched = Builder::default()
        .input("x", &[-1, 3, 4, 6])
        .floats("w", &[3, 6, 5], &numbers(90, 4))
        .node("MatMul", &["x", "w"], &["m"], vec![])
        .node("Transpose", &["x"], &["t"], vec![("perm", Attribute::Ints(vec![0, 1, 3, 2]))])
        .node("MatMul", &["t", "m"], &["p"], vec![])
        .node("Flatten", &["p"], &["y"], vec![])
        .output("y");
    for (builder, shape) in
        [(gemm(&[6, 5], vec![]), &[7, 6][..]), (gemm(&[5, 6], turned), &[7, 6]), (batched, &[2, 3, 4, 6])]
    {
        let (files, setup, data) = made(builder, shape, 1.0);
        let found = beside_the_runtime(&files, &setup, &data, shape[0]);
        assert!(found > 110.0, "{shape:?}: {found} dB");
    }
}

#[test]
fn what_passes_between_operators_is_rounded_and_what_only_moves_is_not_again() {
    let builder = Builder::default()
        .input("x", &[-1, 8])
        .floats("w", &[8, 4], &numbers(32, 1))
        .node("MatMul", &["x", "w"], &["m"], vec![])
        .node("Relu", &["m"], &["r"], vec![])
        .node("Add", &["r", "r"], &["y"], vec![])
        .output("y");
    let (files, setup, data) = made(builder, &[4, 8], 1.0);
    let emulator = Emulator::new(&files, &setup, &data, &["r".to_owned()]).unwrap();
    let answer = run(&emulator, &Choice::uniform(Numbers::operators(format("e4m3"))), &data, 4);
    let rounded: Vec<(&str, u64)> =
        answer.report.layers.iter().map(|layer| (layer.operator.as_str(), layer.rounded)).collect();
    assert_eq!(rounded, [("Input", 32), ("MatMul", 16), ("Relu", 0), ("Add", 16)]);
    assert_eq!(
        answer.report.weights.iter().map(|w| (w.name.as_str(), w.rounded)).collect::<Vec<_>>(),
        [("w", 32)]
    );
    let is_value = |x: &f32| format("e4m3").values().contains(x);
    assert!(answer.outputs.values.iter().all(is_value));
    assert!(answer.values[0].as_floats().unwrap().iter().all(is_value));
}

#[test]
fn overflow_inside_the_network_is_told_with_its_node() {
    let builder = Builder::default()
        .input("x", &[-1, 8])
        .floats("w", &[8, 4], &[300.0; 32])
        .node("MatMul", &["x", "w"], &["m"], vec![])
        .node("Mul", &["m", "m"], &["s"], vec![])
        .node("Sub", &["s", "s"], &["y"], vec![])
        .output("y");
    let (files, setup, data) = made(builder, &[2, 8], 100.0);
    let emulator = Emulator::new(&files, &setup, &data, &[]).unwrap();
    let answer = run(&emulator, &Choice::uniform(Numbers::operators(format("fp16"))), &data, 2);
    let sentence = answer.report.sentence().unwrap();
    assert_eq!(
        sentence.split(", found").next(),
        Some("node node1_Mul (Mul): expected finite numbers as in float32")
    );
    let kept = run(&emulator, &Choice::uniform(Numbers::operators(format("m10e8"))), &data, 2);
    assert_eq!(kept.report.sentence(), None);
}

#[test]
fn integers_need_samples_to_learn_their_ranges_from() {
    let (files, setup, data) = sample("lenet.onnx", "digits-28.npz");
    let mut emulator = Emulator::new(&files, &setup, &data, &[]).unwrap();
    let choice = |name: &str, range| Choice {
        activation_range: range,
        per_channel: true,
        ..Choice::uniform(Numbers::operators(format(name)))
    };
    let error = emulator.prepare(&choice("int8", Range::Largest)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "data: the range of activations in int8: expected samples to learn it from, found none"
    );
    let batches = emulator.batches(&data, 500..600).unwrap();
    emulator.calibrate(&batches).unwrap();
    let plain = run(&emulator, &Choice::default(), &data, 60).outputs;
    let sqnr = |choice: &Choice| {
        let answer = run(&emulator, choice, &data, 60);
        measure(&answer.outputs, None, Some(&plain)).against.unwrap().sqnr_db
    };
    let largest = sqnr(&choice("int8", Range::Largest));
    assert!((25.0..60.0).contains(&largest), "{largest}");
    assert!(sqnr(&choice("int12", Range::Largest)) > largest + 15.0);
    let narrow = |range| sqnr(&choice("int4", range));
    assert!(narrow(Range::LeastError) > narrow(Range::Largest), "{}", narrow(Range::LeastError));
    assert!(sqnr(&choice("uint8", Range::Percentile(99.9))) > 20.0);
}

#[test]
fn integer_accumulators_count_in_units_of_their_operands() {
    let (files, setup, data) = sample("lenet.onnx", "digits-28.npz");
    let mut emulator = Emulator::new(&files, &setup, &data, &[]).unwrap();
    let batches = emulator.batches(&data, 590..600).unwrap();
    emulator.calibrate(&batches).unwrap();
    let answers = |accumulator: Option<&str>, per_channel| {
        let numbers = Numbers { accumulator: accumulator.map(format), ..Numbers::operators(format("int6")) };
        run(&emulator, &Choice { per_channel, ..Choice::uniform(numbers) }, &data, 4)
    };
    for per_channel in [false, true] {
        let wide = answers(Some("int16"), per_channel);
        let against =
            measure(&wide.outputs, None, Some(&answers(None, per_channel).outputs)).against.unwrap();
        assert!(against.sqnr_db > 30.0, "{}", against.sqnr_db);
        let narrow = answers(Some("int8"), per_channel);
        assert!(narrow.report.layers.iter().map(|layer| layer.saturated_sums).sum::<u64>() > 100);
    }
}

#[test]
fn a_layer_can_have_formats_of_its_own() {
    let (files, setup, data) = sample("lstm.onnx", "digits-8.npz");
    let emulator = Emulator::new(&files, &setup, &data, &[]).unwrap();
    let (name, _) = emulator.layers().find(|(_, operator)| *operator == "LSTM").unwrap();
    let mut choice = Choice::default();
    choice.layers.insert(name.to_owned(), Numbers::operators(format("e3m2")));
    let answer = run(&emulator, &choice, &data, 10);
    let touched = answer.report.layers.iter().filter(|layer| layer.rounded > 0);
    assert_eq!(touched.map(|layer| layer.operator.as_str()).collect::<Vec<_>>(), ["LSTM"]);
    assert_eq!(answer.report.weights.len(), 2, "the matrix and the recurrent matrix");
}

#[test]
fn any_number_of_threads_answers_the_same() {
    let (files, setup, data) = sample("transformer.onnx", "digits-8.npz");
    let emulator = Emulator::new(&files, &setup, &data, &[]).unwrap();
    let prepared = emulator.prepare(&Choice::uniform(Numbers::all(format("bf16")))).unwrap();
    let batches: Vec<Batch> = (0..5).map(|at| emulator.batch(&data, 4 * at..4 * at + 4).unwrap()).collect();
    let (one, three) = (prepared.run_all(&batches, 1).unwrap(), prepared.run_all(&batches, 3).unwrap());
    assert_eq!((one.outputs, one.report), (three.outputs, three.report));
}

/// Rows of a matrix in blocks of four int4 under any scale, by the definition.
fn in_fours(row: &[f32]) -> Vec<f32> {
    let block = |block: &[f32]| {
        let scale = block.iter().fold(0.0f32, |most, x| most.max(x.abs())) / 7.0;
        block.iter().map(|x| (x / scale).round_ties_even() * scale).collect::<Vec<_>>()
    };
    row.chunks(4).flat_map(block).collect()
}

#[test]
fn operands_of_sums_are_rounded_in_blocks_along_what_is_summed_over_and_nothing_else_is() {
    let (x, w) = (numbers(3 * 6, 9), numbers(6 * 5, 1));
    let builder = Builder::default()
        .input("x", &[-1, 6])
        .floats("w", &[6, 5], &w)
        .floats("b", &[5], &numbers(5, 2))
        .node("MatMul", &["x", "w"], &["m"], vec![])
        .node("Add", &["m", "b"], &["y"], vec![])
        .output("y");
    let (files, setup, data) = made(builder, &[3, 6], 1.0);
    let emulator = Emulator::new(&files, &setup, &data, &["m".to_owned()]).unwrap();
    let blocks = TensorFormat::parse("int4-g4-f32").unwrap();
    let answer = run(&emulator, &Choice::uniform(Numbers::all(blocks)), &data, 3);
    let column = |at: usize| in_fours(&w.iter().skip(at).step_by(5).copied().collect::<Vec<_>>());
    let sums = answer.values[0].as_floats().unwrap();
    for (row, x) in x.chunks(6).enumerate() {
        for at in 0..5 {
            let terms = in_fours(x).into_iter().zip(column(at));
            let expected: f64 = terms.map(|(a, b)| f64::from(a) * f64::from(b)).sum();
            assert!((f64::from(sums[[row, at]]) - expected).abs() < 1e-5, "{row} {at}");
        }
    }
    let told = |layer: &Layer| (layer.operator.clone(), layer.rounded, layer.blocks, layer.padding);
    let rounded: Vec<_> = answer.report.layers.iter().map(told).collect();
    let none = |operator: &str| (operator.to_owned(), 0, 0, 0);
    // Six numbers are a block of four and one of two, which lacks two.
    assert_eq!(rounded, [none("Input"), ("MatMul".to_owned(), 18, 6, 6), none("Add")]);
    let weights: Vec<_> = answer.report.weights.iter().map(told).collect();
    assert_eq!(weights, [("int4-g4-f32".to_owned(), 30, 10, 10)]);
}

#[test]
fn the_samples_still_classify_in_blocks_of_eight_bits() {
    for (name, data) in SAMPLES {
        let (files, setup, data) = sample(name, data);
        let emulator = Emulator::new(&files, &setup, &data, &[]).unwrap();
        let plain = run(&emulator, &Choice::default(), &data, 60).outputs;
        let sqnr = |name: &str, accumulator: Option<&str>| {
            let numbers = Numbers::operators(TensorFormat::parse(name).unwrap());
            let choice = Choice::uniform(Numbers { accumulator: accumulator.map(format), ..numbers });
            let answer = run(&emulator, &choice, &data, 60);
            assert!(answer.report.weights.iter().all(|weight| weight.blocks > 0), "{name}");
            measure(&answer.outputs, None, Some(&plain)).against.unwrap().sqnr_db
        };
        let (fine, coarse) = (sqnr("int8-g16", None), sqnr("int4-g16", None));
        assert!(fine > coarse + 12.0 && sqnr("mxfp8-e4m3", None) > 15.0, "{name}: {fine} {coarse}");
        assert!(sqnr("int8-g16", Some("m14e6")) > 25.0, "{name}");
    }
}

#[test]
fn what_blocks_cannot_be_used_with_is_said() {
    let (files, setup, data) = sample("lenet.onnx", "digits-28.npz");
    let mut emulator = Emulator::new(&files, &setup, &data, &[]).unwrap();
    let choice = |name: &str, accumulator: Option<&str>| {
        let numbers = Numbers::operators(TensorFormat::parse(name).unwrap());
        Choice::uniform(Numbers { accumulator: accumulator.map(format), ..numbers })
    };
    let refused = |emulator: &Emulator, choice: &Choice| emulator.prepare(choice).unwrap_err().to_string();
    assert_eq!(
        refused(&emulator, &choice("int8-g32", Some("int16"))),
        "data: the accumulator: expected a format with a size of its own, since operands in blocks share no unit to count in, \
         found int16"
    );
    assert_eq!(
        refused(&emulator, &choice("nvfp4", None)),
        "data: the range of activations in nvfp4: expected samples to learn it from, found none"
    );
    emulator.calibrate(&emulator.batches(&data, 590..600).unwrap()).unwrap();
    let answer = run(&emulator, &choice("nvfp4", None), &data, 40);
    let plain = run(&emulator, &Choice::default(), &data, 40);
    assert!(measure(&answer.outputs, None, Some(&plain.outputs)).against.unwrap().agreement.value() > 0.9);
}

#[test]
fn rounding_at_random_does_not_depend_on_the_size_of_a_batch() {
    let turned = |perm: &[i64]| vec![("perm", Attribute::Ints(perm.to_vec()))];
    // Samples are the second axis of what is multiplied.
    let builder = Builder::default()
        .input("x", &[-1, 3, 4])
        .floats("w", &[4, 5], &numbers(20, 1))
        .node("Transpose", &["x"], &["t"], turned(&[1, 0, 2]))
        .node("MatMul", &["t", "w"], &["m"], vec![])
        .node("Add", &["m", "m"], &["s"], vec![])
        .node("Transpose", &["s"], &["b"], turned(&[1, 0, 2]))
        .node("Flatten", &["b"], &["y"], vec![])
        .output("y");
    for (files, setup, data) in [sample("lenet.onnx", "digits-28.npz"), made(builder, &[12, 3, 4], 1.0)] {
        let emulator = Emulator::new(&files, &setup, &data, &[]).unwrap();
        let answers = |seed: u32, sizes: &[usize]| {
            let choice = Choice::uniform(Numbers::all(format(&format!("m4e5:random={seed}"))));
            let prepared = emulator.prepare(&choice).unwrap();
            let (mut all, mut start) = (Answer::default(), 0);
            for size in sizes {
                all.merge(prepared.run(&emulator.batch(&data, start..start + size).unwrap()).unwrap());
                start += size;
            }
            all.outputs.values
        };
        let one = answers(3, &[1; 12]);
        assert_eq!(one, answers(3, &[5, 7]));
        assert_eq!(one, answers(3, &[4, 4, 3, 1]));
        assert_ne!(one, answers(4, &[5, 7]));
    }
}
