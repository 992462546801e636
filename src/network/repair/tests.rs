use super::places::{Channels, Map, Part, Sums};
use super::*;
use crate::network::calibrate::calibrate;
use crate::network::data::{Preprocess, Series, Values};
use crate::network::model::ModelBytes;
use crate::network::testing::{Builder, Value, numbers};

fn network() -> ModelBytes {
    let ones = vec![1.0f32; 6];
    Builder::default()
        .input("x", &[-1, 3, 6, 6])
        .floats("w1", &[6, 3, 3, 3], &numbers(162, 1))
        .floats("g", &[6], &ones)
        .floats("o", &[6], &numbers(6, 2))
        .floats("m", &[6], &numbers(6, 3))
        .floats("v", &[6], &[20.0; 6])
        .floats("w2", &[4, 6, 2, 2], &numbers(96, 4))
        .floats("b2", &[4], &numbers(4, 5))
        .node("Conv", &["x", "w1"], &["a"], vec![])
        .node("BatchNormalization", &["a", "g", "o", "m", "v"], &["b"], vec![("epsilon", Value::Float(1e-5))])
        .node("Relu", &["b"], &["c"], vec![])
        .node("Conv", &["c", "w2", "b2"], &["y"], vec![])
        .output("y")
        .files()
}

fn data() -> DataSet {
    let values = Values::F32(numbers(40 * 108, 9));
    let series = Series { name: "x".to_owned(), shape: vec![40, 3, 6, 6], values };
    DataSet { kind: "test".to_owned(), series: vec![series], labels: None, samples: 40 }
}

#[test]
fn what_can_be_repaired_are_statistics_and_biases_without_normalisation_behind() {
    let graph = Graph::parse(network().model()).unwrap();
    let map = Some(Map { scale: "g".to_owned(), offset: "o".to_owned(), epsilon: f64::from(1e-5f32) });
    let statistics = Part::Statistics { mean: "m".to_owned(), variance: "v".to_owned(), map };
    assert_eq!(
        places(&graph),
        [
            Place { node: 1, value: "a".to_owned(), is_last: false, part: statistics },
            Place { node: 3, value: "y".to_owned(), is_last: false, part: Part::Bias("b2".to_owned()) },
        ]
    );
}

#[test]
fn sums_are_means_and_variances_of_channels() {
    let values = ndarray::ArrayD::from_shape_fn(ndarray::IxDyn(&[2, 2, 3]), |at| {
        (1000 * at[1] + [1, 4, 2, 8, 5, 7][3 * at[0] + at[2]]) as f32
    });
    let mut sums = Sums::default();
    sums.add(&values.as_standard_layout(), false);
    let found = sums.finish();
    assert_eq!(found.means, [4.5, 1004.5]);
    assert!(found.variances.iter().all(|v| (v - 6.25).abs() < 1e-9), "{found:?}");
    let mut sums = Sums::default();
    sums.add(&values.as_standard_layout(), true);
    assert_eq!(sums.finish().means, [504.5, 504.5, 504.5]);
}

#[test]
fn a_file_with_a_tensor_that_needed_no_repair_is_replayed_from_what_it_holds() {
    // Nothing is quantized before the first normalisation, which is the shortest of its map already.
    let network = Builder::default()
        .input("x", &[-1, 3, 6, 6])
        .floats("g", &[3], &[1.0; 3])
        .floats("o", &[3], &[0.0; 3])
        .floats("m", &[3], &[0.0; 3])
        .floats("v", &[3], &[1.0; 3])
        .floats("w", &[4, 3, 3, 3], &numbers(108, 1))
        .floats("b", &[4], &numbers(4, 5))
        .node("BatchNormalization", &["x", "g", "o", "m", "v"], &["a"], vec![])
        .node("Conv", &["a", "w", "b"], &["y"], vec![])
        .output("y")
        .files();
    let data = data();
    let graph = Graph::parse(network.model()).unwrap();
    let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
    let mut evaluator = Evaluator::new(network, None, None, 1).unwrap();
    let recipe = Recipe::from_line("method=uniform&step=1.2").unwrap();
    let found = repair(&mut evaluator, (&recipe, false), (&setup, &data, 40), &|_, _| (), &|| true).unwrap();
    let reader = open_container(&found.after.file.as_slice()).unwrap();
    let again = Recipe::from_line(&reader.manifest().recipe).unwrap();
    let opened = evaluator.opened(&again).unwrap();
    let replaced = opened.replaced(&again, &found.after.file.as_slice(), &reader).unwrap();
    assert_eq!(evaluator.quantize_with(&again, &replaced).unwrap().file, found.after.file);
    assert_eq!(found.tensors, ["b"]);
}

#[test]
fn what_others_are_tied_to_is_not_repaired() {
    // Both branches have the same offsets, which a file holds once.
    let (ones, offsets) = (vec![1.0f32; 16], numbers(16, 2));
    let files = Builder::default()
        .input("x", &[-1, 3, 6, 6])
        .floats("w1", &[16, 3, 1, 1], &numbers(48, 1))
        .floats("w2", &[16, 3, 1, 1], &numbers(48, 7))
        .floats("g1", &[16], &ones)
        .floats("g2", &[16], &numbers(16, 8))
        .floats("o1", &[16], &offsets)
        .floats("o2", &[16], &offsets)
        .floats("m1", &[16], &numbers(16, 3))
        .floats("m2", &[16], &numbers(16, 4))
        .floats("v1", &[16], &[2.0; 16])
        .floats("v2", &[16], &[3.0; 16])
        .node("Conv", &["x", "w1"], &["a"], vec![])
        .node("Conv", &["x", "w2"], &["b"], vec![])
        .node("BatchNormalization", &["a", "g1", "o1", "m1", "v1"], &["c"], vec![])
        .node("BatchNormalization", &["b", "g2", "o2", "m2", "v2"], &["d"], vec![])
        .node("Add", &["c", "d"], &["y"], vec![])
        .output("y")
        .files();
    let data = data();
    let graph = Graph::parse(files.model()).unwrap();
    let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
    let mut evaluator = Evaluator::new(files.clone(), None, None, 1).unwrap();
    let recipe = Recipe::from_line("method=uniform&step=0.005").unwrap();
    let on = (&setup, &data, 40);
    let found = repair(&mut evaluator, (&recipe, false), on, &|_, _| (), &|| true).unwrap();
    let answers = |files: &ModelBytes| {
        setup.run(&Network::load(files).unwrap(), &data, 0..40, &|| true).unwrap().values
    };
    let pairs = answers(&files).into_iter().zip(answers(&found.after.files));
    let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 0.05, "{off}: with fine steps nothing but rounding may change");
}

#[test]
fn repaired_networks_have_the_float_ones_channel_means() {
    let (files, data) = (network(), data());
    let graph = Graph::parse(files.model()).unwrap();
    let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
    let mut evaluator = Evaluator::new(files.clone(), None, None, 1).unwrap();
    let recipe = Recipe::from_line("method=uniform&step=1.2").unwrap();
    let found = repair(&mut evaluator, (&recipe, false), (&setup, &data, 40), &|_, _| (), &|| true).unwrap();
    assert_eq!(found.tensors, ["b2", "g", "m", "o", "v"]);
    let places = places(&graph);
    let of = |files: &ModelBytes| -> Vec<Channels> {
        let values = places.iter().map(|place| place.value.clone()).collect();
        let mut walk = Walk::new(&graph, (&setup, &data, 40), 7, &|| true);
        let network = walk.network(files, &values).unwrap();
        places.iter().map(|place| statistics(place, &network, &mut walk).unwrap()).collect()
    };
    let (float, before, after) = (of(&files), of(&found.before.files), of(&found.after.files));
    let off = |channels: &[Channels]| {
        let pairs = channels[1].means.iter().zip(&float[1].means);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    assert!(off(&after) < 5e-3 && off(&before) > 0.02, "{} {}", off(&before), off(&after));
    // The file holds them, and its recipe names them.
    let reader = open_container(&found.after.file.as_slice()).unwrap();
    assert!(reader.manifest().recipe.contains("repaired="), "{}", reader.manifest().recipe);
    let again = Recipe::from_line(&reader.manifest().recipe).unwrap();
    assert!(evaluator.quantize(&again).is_err(), "without them it cannot be carried out");
    let opened = evaluator.opened(&again).unwrap();
    let replaced = opened.replaced(&again, &found.after.file.as_slice(), &reader).unwrap();
    assert_eq!(evaluator.quantize_with(&again, &replaced).unwrap().file, found.after.file);
}

/// Moments of a network, as the file that `calibrate` writes.
fn moments(files: &ModelBytes, setup: &Setup, data: &DataSet) -> ModelBytes {
    let found = calibrate(files, setup, data, data.samples, &|_| (), &|| true).unwrap();
    let bytes = found.to_safetensors("n.onnx", ("test", "0"), setup).unwrap();
    ModelBytes::new(bytes, Vec::new())
}

/// Four layers, each of which sees what those before left; their names begin with `wrapper`.
fn deep(wrapper: &str, seed: u64) -> ModelBytes {
    let name = |at: u64| format!("{wrapper}w{at}");
    let layer = |at: u64| numbers(144, 10 * seed + at).iter().map(|w| 0.4 * w).collect::<Vec<f32>>();
    Builder::default()
        .input("x", &[-1, 12])
        .floats(&name(1), &[12, 12], &layer(1))
        .floats(&name(2), &[12, 12], &layer(2))
        .floats(&name(3), &[12, 12], &layer(3))
        .floats(&name(4), &[12, 12], &layer(4))
        .node("MatMul", &["x", &name(1)], &["a"], vec![])
        .node("MatMul", &["a", &name(2)], &["b"], vec![])
        .node("Gemm", &["b", &name(3)], &["c"], vec![("transB", Value::Int(1))])
        .node("MatMul", &["c", &name(4)], &["y"], vec![])
        .output("y")
        .files()
}

#[test]
fn layers_one_after_the_other_answer_better() {
    let values = Values::F32(numbers(200 * 12, 9));
    let series = Series { name: "x".to_owned(), shape: vec![200, 12], values };
    let data = DataSet { kind: "test".to_owned(), series: vec![series], labels: None, samples: 200 };
    for line in ["method=rdo&step=1.5&lambda=0.1", "method=trellis&step=1.5&lambda=0.1"] {
        let recipe = Recipe::from_line(&format!("{line}&importance=moments&compensate=obs")).unwrap();
        let (mut at_once, mut in_turn) = (0.0, 0.0);
        for seed in 0..6 {
            let files = deep("", seed);
            let graph = Graph::parse(files.model()).unwrap();
            let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
            let answers = |files: &ModelBytes| {
                setup.run(&Network::load(files).unwrap(), &data, 0..200, &|| true).unwrap().values
            };
            let float = answers(&files);
            let off = |files: &ModelBytes| {
                let pairs = answers(files).into_iter().zip(&float);
                pairs.map(|(a, b)| f64::from((a - b) * (a - b))).sum::<f64>()
            };
            let importance = moments(&files, &setup, &data);
            let mut evaluator = Evaluator::new(files.clone(), None, Some(importance), 1).unwrap();
            let on = (&setup, &data, 200);
            let found = repair(&mut evaluator, (&recipe, true), on, &|_, _| (), &|| true).unwrap();
            at_once += off(&found.before.files);
            in_turn += off(&found.after.files);
        }
        assert!(in_turn < 0.8 * at_once, "{line}: {in_turn} {at_once}");
    }
}

#[test]
fn what_wrappers_put_in_front_of_names_changes_nothing() {
    let values = Values::F32(numbers(40 * 12, 9));
    let series = Series { name: "x".to_owned(), shape: vec![40, 12], values };
    let data = DataSet { kind: "test".to_owned(), series: vec![series], labels: None, samples: 40 };
    let line = "method=rdo&step=1.5&lambda=0.1&importance=moments&compensate=obs";
    let recipe = Recipe::from_line(line).unwrap();
    let answers = ["", "module."].map(|wrapper| {
        let (network, plain) = (deep(wrapper, 1), deep("", 1));
        let graph = Graph::parse(network.model()).unwrap();
        let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
        let importance = moments(&plain, &setup, &data);
        let mut evaluator = Evaluator::new(network, None, Some(importance), 1).unwrap();
        let on = (&setup, &data, 40);
        let found = repair(&mut evaluator, (&recipe, true), on, &|_, _| (), &|| true).unwrap();
        setup.run(&Network::load(&found.after.files).unwrap(), &data, 0..40, &|| true).unwrap().values
    });
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn the_moments_of_layers_one_after_the_other_carry_the_recipe_out_again() {
    let (files, data) = (network(), data());
    let graph = Graph::parse(files.model()).unwrap();
    let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
    let importance = moments(&files, &setup, &data);
    for line in [
        "method=rdo&step=1&lambda=0.1",
        "method=trellis&step=1&lambda=0.1",
        "method=uniform&step=1&coder=huffman",
        "method=kmeans&k=5&scope=channel&coder=huffman&positions=gaps&prune=fraction:0.1",
    ] {
        let recipe = Recipe::from_line(&format!("{line}&importance=moments&compensate=obs")).unwrap();
        let mut evaluator = Evaluator::new(files.clone(), None, Some(importance.clone()), 1).unwrap();
        let on = (&setup, &data, 40);
        let found = repair(&mut evaluator, (&recipe, true), on, &|_, _| (), &|| true).unwrap();
        // With its moments' file alone.
        let sequel = ModelBytes::new(found.importance.unwrap(), Vec::new());
        let file = found.after.file.as_slice();
        let reader = open_container(&file).unwrap();
        let again = Recipe::from_line(&reader.manifest().recipe).unwrap();
        let mut evaluator = Evaluator::new(files.clone(), None, Some(sequel), 1).unwrap();
        let replaced = evaluator.opened(&again).unwrap().replaced(&again, &file, &reader).unwrap();
        assert!(evaluator.quantize_with(&again, &replaced).unwrap().file == file, "{line}");
        let opened = evaluator.opened(&again).unwrap();
        let plan = opened.plan(&again, &replaced, &|_, _, _| ()).unwrap();
        assert_eq!(opened.verify(&plan, &file, &|_, _, _| ()).unwrap().mismatches, 0);
        // The first file does not fit: its hash is another.
        let mut evaluator = Evaluator::new(files.clone(), None, Some(importance.clone()), 1).unwrap();
        assert!(evaluator.quantize_with(&again, &replaced).is_err());
    }
}

#[test]
fn layers_one_after_the_other_need_compensation() {
    let (files, data) = (network(), data());
    let graph = Graph::parse(files.model()).unwrap();
    let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
    let mut evaluator = Evaluator::new(files, None, None, 1).unwrap();
    let recipe = Recipe::from_line("method=uniform&step=1").unwrap();
    let failed = repair(&mut evaluator, (&recipe, true), (&setup, &data, 40), &|_, _| (), &|| true);
    let sentence = failed.unwrap_err().to_string();
    assert!(sentence.contains("expected a recipe with compensate=obs, found none"), "{sentence}");
}
