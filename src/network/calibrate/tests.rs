use super::*;
use crate::network::data::{Preprocess, Series, Values};
use crate::network::testing::{Builder, Value, numbers};

const SAMPLES: usize = 5;

fn data(shape: &[usize]) -> DataSet {
    let each: usize = shape.iter().product();
    let shape = [&[SAMPLES], shape].concat();
    let series = Series { name: "x".to_owned(), shape, values: Values::F32(numbers(SAMPLES * each, 3)) };
    DataSet { kind: "test".to_owned(), series: vec![series], labels: None, samples: SAMPLES }
}

fn samples(data: &DataSet) -> Vec<Vec<f64>> {
    let Values::F32(values) = &data.series[0].values else { panic!() };
    values.chunks(values.len() / SAMPLES).map(|x| x.iter().map(|x| f64::from(*x)).collect()).collect()
}

fn calibrated(files: &ModelBytes, data: &DataSet) -> Calibration {
    let graph = Graph::parse(files.model()).unwrap();
    let setup = Setup::new(&graph, data, Preprocess::raw()).unwrap();
    calibrate(files, &setup, data, SAMPLES, &|_| (), &|| true).unwrap()
}

/// The mean over samples of Σ x xᵀ over each one's vectors.
fn definition(vectors: &[Vec<Vec<f64>>]) -> Vec<f64> {
    let n = vectors[0][0].len();
    let mut sums = vec![0.0; n * n];
    for x in vectors.iter().flatten() {
        for i in 0..n {
            for j in 0..n {
                sums[i * n + j] += x[i] * x[j] / vectors.len() as f64;
            }
        }
    }
    sums
}

fn close(expected: &[f64], found: &[f64]) {
    assert_eq!(expected.len(), found.len());
    let scale = expected.iter().fold(0.0f64, |a, b| a.max(b.abs()));
    assert!(expected.iter().zip(found).all(|(e, f)| (e - f).abs() < 1e-5 * scale), "{expected:?} {found:?}");
}

#[test]
fn matrices_of_products_are_the_second_moments_of_their_inputs() {
    let network = Builder::default()
        .input("x", &[-1, 2, 3])
        .floats("w", &[3, 4], &numbers(12, 1))
        .floats("v", &[4, 5], &numbers(20, 2))
        .node("MatMul", &["x", "w"], &["z"], vec![])
        .node("MatMul", &["z", "v"], &["y"], vec![])
        .output("y")
        .files();
    let data = data(&[2, 3]);
    let found = calibrated(&network, &data);
    let vectors: Vec<Vec<Vec<f64>>> =
        samples(&data).iter().map(|x| x.chunks(3).map(<[f64]>::to_vec).collect()).collect();
    assert_eq!(
        found.layers.iter().map(|l| (l.name.as_str(), l.inputs)).collect::<Vec<_>>(),
        [("v", 4), ("w", 3)]
    );
    close(&definition(&vectors), &found.layers[1].matrices);
    assert_eq!((found.layers[1].vectors, found.layers[1].units.len()), (2 * SAMPLES as u64, 4));
    assert!(found.layers[1].units.iter().all(|unit| *unit > 0.0));
}

#[test]
fn a_convolutions_vectors_are_its_patches_group_by_group() {
    // Two groups of two channels, 3 × 2 kernels, stride 2, dilation in one dimension, unequal padding.
    let network = Builder::default()
        .input("x", &[-1, 4, 5, 6])
        .floats("w", &[2, 2, 3, 2], &numbers(24, 1))
        .node(
            "Conv",
            &["x", "w"],
            &["y"],
            vec![
                ("group", Value::Int(2)),
                ("strides", Value::Ints(vec![2, 2])),
                ("dilations", Value::Ints(vec![1, 2])),
                ("pads", Value::Ints(vec![1, 0, 0, 1])),
            ],
        )
        .output("y")
        .files();
    let data = data(&[4, 5, 6]);
    let found = calibrated(&network, &data);
    let layer = &found.layers[0];
    assert_eq!((layer.inputs, layer.groups, layer.units.len()), (12, 2, 2));
    for group in 0..2 {
        let patches = |x: &Vec<f64>| {
            let at = |channel: usize, row: i64, column: i64| {
                let inside = (0..5).contains(&row) && (0..6).contains(&column);
                if inside { x[(channel * 5 + row as usize) * 6 + column as usize] } else { 0.0 }
            };
            let mut all = Vec::new();
            // (5 + 1 − 3) / 2 + 1 rows, (6 + 1 − 3) / 2 + 1 columns.
            for (row, column) in (0..2i64).flat_map(|row| (0..3i64).map(move |column| (row, column))) {
                let mut patch = Vec::new();
                for channel in [2 * group, 2 * group + 1] {
                    for (i, j) in (0..3).flat_map(|i| (0..2).map(move |j| (i, j))) {
                        patch.push(at(channel, 2 * row + i - 1, 2 * column + 2 * j));
                    }
                }
                all.push(patch);
            }
            all
        };
        let vectors: Vec<_> = samples(&data).iter().map(patches).collect();
        close(&definition(&vectors), &layer.matrices[group * 144..(group + 1) * 144]);
    }
}

#[test]
fn recurrent_layers_have_inputs_and_the_states_before_each_step() {
    let network = Builder::default()
        .input("x", &[3, -1, 2])
        .floats("w", &[1, 8, 2], &numbers(16, 1))
        .floats("r", &[1, 8, 2], &numbers(16, 2))
        .node("LSTM", &["x", "w", "r"], &["y", ""], vec![("hidden_size", Value::Int(2))])
        .output("y")
        .files();
    let graph = Graph::parse(network.model()).unwrap();
    let all = sites(&graph);
    assert_eq!(all.len(), 2);
    // Two directions: the state before a step of the second is the one that stands behind it.
    let y = ndarray::ArrayD::from_shape_fn(ndarray::IxDyn(&[3, 2, 1, 2]), |at| {
        (100 * at[0] + 10 * at[1] + at[3]) as f32
    });
    let rows = Rows::new(&y, &sites::Vectors::States { reversed: vec![false, true] }).unwrap();
    let read = |group: usize, row: usize| {
        let mut vector = vec![0.0; 2];
        rows.read(group, row, &mut vector, 1);
        vector
    };
    assert_eq!((rows.count, rows.groups, rows.inputs), (2, 2, 2));
    assert_eq!((read(0, 0), read(0, 1)), (vec![0.0, 1.0], vec![100.0, 101.0]));
    assert_eq!((read(1, 0), read(1, 1)), (vec![110.0, 111.0], vec![210.0, 211.0]));
}

#[test]
fn columns_along_other_axes_and_channels_are_read_as_they_lie() {
    let x = ndarray::ArrayD::from_shape_fn(ndarray::IxDyn(&[2, 3, 4]), |at| {
        (100 * at[0] + 10 * at[1] + at[2]) as f32
    });
    let read = |vectors: &sites::Vectors, group: usize, row: usize| {
        let rows = Rows::new(&x, vectors).unwrap();
        let mut vector = vec![0.0; rows.inputs];
        rows.read(group, row, &mut vector, 1);
        vector
    };
    assert_eq!(read(&sites::Vectors::Along(0), 0, 4), [110.0, 111.0, 112.0, 113.0]);
    assert_eq!(read(&sites::Vectors::Along(1), 0, 5), [101.0, 111.0, 121.0]);
    assert_eq!(read(&sites::Vectors::Channels { groups: 3 }, 2, 6), [122.0]);
    assert_eq!(read(&sites::Vectors::Channels { groups: 1 }, 0, 6), [102.0, 112.0, 122.0]);
}

#[test]
fn positions_are_drawn_one_of_each_stretch_and_stand_for_all() {
    assert_eq!(drawn(5, 7, 1), [0, 1, 2, 3, 4]);
    let some = drawn(1000, 30, 1);
    assert_eq!((some.len(), some.clone()), (30, drawn(1000, 30, 1)));
    assert!(some.windows(2).all(|pair| pair[0] < pair[1]) && some.iter().all(|at| *at < 1000));
    assert_ne!(some, drawn(1000, 30, 2));
}

#[test]
fn what_is_not_finite_is_named_and_work_can_be_cancelled() {
    let network = Builder::default()
        .input("x", &[-1, 3])
        .floats("w", &[3, 2], &numbers(6, 1))
        .node("Log", &["x"], &["z"], vec![])
        .node("MatMul", &["z", "w"], &["y"], vec![])
        .output("y")
        .files();
    let data = data(&[3]);
    let graph = Graph::parse(network.model()).unwrap();
    let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
    let found = calibrate(&network, &setup, &data, SAMPLES, &|_| (), &|| true).unwrap_err().to_string();
    assert_eq!(found, "data: the inputs of w: expected finite numbers, found infinities or NaN");
    let stopped = calibrate(&network, &setup, &data, SAMPLES, &|_| (), &|| false);
    assert!(matches!(stopped, Err(NetworkError::Cancelled)));
}

#[test]
fn the_file_is_one_of_moments_for_the_network_it_came_from() {
    let network = Builder::default()
        .input("x", &[-1, 3])
        .floats("w", &[3, 2], &numbers(6, 1))
        .node("MatMul", &["x", "w"], &["y"], vec![])
        .output("y")
        .files();
    let data = data(&[3]);
    let graph = Graph::parse(network.model()).unwrap();
    let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
    let found = calibrated(&network, &data);
    let bytes = found.to_safetensors("n.onnx", (&data.kind, &data.hash(SAMPLES)), &setup).unwrap();
    let other = formats::open(&bytes, &Limits::default()).unwrap();
    assert_eq!(other.metadata["quantscope.data"], "test, the first 5 samples");
    assert_eq!(other.metadata["quantscope.data_hash"].len(), 32);
    let model = formats::open(&network, &Limits::default()).unwrap();
    let (source, _) = crate::importance::sources::recognise(&model, &other).unwrap();
    assert_eq!(source.id, "moments");
    assert_ne!(data.hash(SAMPLES), data.hash(SAMPLES - 1));
}
