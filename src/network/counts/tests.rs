//! Counts against those made by hand.

use super::super::testing::{Builder, Value, numbers};
use super::*;

fn array(shape: &[usize]) -> Array {
    Array::floats(shape, numbers(shape.iter().product(), 7)).unwrap()
}

/// Counts of a graph with the input `x` of this shape and the output `y`.
fn counted(builder: Builder, shape: &[usize]) -> Counts {
    let dims: Vec<i64> = shape.iter().map(|n| *n as i64).collect();
    let files = builder.input("x", &dims).output("y").files();
    let graph = Graph::parse(files.model()).unwrap();
    count(&graph, &files, &BTreeMap::from([("x".to_owned(), array(shape))])).unwrap()
}

/// The only layer.
fn one(builder: Builder, shape: &[usize]) -> Layer {
    let mut layers = counted(builder, shape).workload.layers;
    assert_eq!(layers.len(), 1, "{layers:?}");
    layers.remove(0)
}

/// Multiply-adds, element operations, weights, inputs, outputs.
fn figures(layer: &Layer) -> [u64; 5] {
    let weights = layer.weight_count();
    [layer.multiply_adds, layer.element_operations, weights, layer.inputs, layer.outputs]
}

fn ones(count: usize) -> Vec<f32> {
    vec![1.0; count]
}

#[test]
fn a_convolution_with_groups_strides_and_dilations_is_counted_at_its_outputs() {
    // 4 channels in 2 groups to 6, 3 by 3 with dilation 2 over 9 by 9 with stride 2: 3 by 3 outputs.
    let builder = Builder::default().floats("w", &[6, 2, 3, 3], &ones(108)).floats("b", &[6], &ones(6)).node(
        "Conv",
        &["x", "w", "b"],
        &["y"],
        vec![
            ("group", Value::Int(2)),
            ("strides", Value::Ints(vec![2, 2])),
            ("dilations", Value::Ints(vec![2, 2])),
            ("pads", Value::Ints(vec![0, 0, 0, 0])),
        ],
    );
    let layer = one(builder, &[1, 4, 9, 9]);
    assert_eq!(figures(&layer), [6 * 9 * 2 * 9, 0, 114, 4 * 81, 6 * 9]);
    let read = |tensor: &str, count| WeightsRead { tensor: tensor.to_owned(), count, is_looked_up: false };
    assert_eq!(layer.weights, [read("w", 108), read("b", 6)]);
}

#[test]
fn a_transposed_convolution_is_counted_at_its_inputs() {
    let builder = Builder::default().floats("w", &[2, 3, 2, 2], &ones(24)).node(
        "ConvTranspose",
        &["x", "w"],
        &["y"],
        vec![("strides", Value::Ints(vec![2, 2]))],
    );
    assert_eq!(figures(&one(builder, &[1, 2, 5, 5])), [50 * 12, 0, 24, 50, 3 * 100]);
}

#[test]
fn products_of_matrices_are_counted_with_every_transposition_and_batch() {
    let gemm = |trans: i64, shape: &[usize]| {
        Builder::default().floats("w", shape, &ones(12)).node(
            "Gemm",
            &["x", "w"],
            &["y"],
            vec![("transA", Value::Int(trans)), ("transB", Value::Int(0))],
        )
    };
    assert_eq!(figures(&one(gemm(0, &[4, 3]), &[2, 4])), [2 * 3 * 4, 0, 12, 8, 6]);
    assert_eq!(figures(&one(gemm(1, &[4, 3]), &[4, 2])), [2 * 3 * 4, 0, 12, 8, 6]);
    let matmul =
        Builder::default().floats("w", &[5, 7], &ones(35)).node("MatMul", &["x", "w"], &["y"], vec![]);
    assert_eq!(figures(&one(matmul, &[2, 3, 5])), [6 * 5 * 7, 0, 35, 30, 42]);
}

#[test]
fn activations_times_activations_have_no_weights_and_are_read_once_each() {
    let builder = Builder::default()
        .node("Transpose", &["x"], &["t"], vec![("perm", Value::Ints(vec![0, 2, 1]))])
        .node("MatMul", &["x", "t"], &["y"], vec![]);
    let layers = counted(builder, &[2, 3, 5]).workload.layers;
    assert_eq!(figures(&layers[0]), [0, 0, 0, 30, 30]);
    assert_eq!(figures(&layers[1]), [2 * 3 * 3 * 5, 0, 0, 60, 18]);
    let squared = Builder::default().node("MatMul", &["x", "x"], &["y"], vec![]);
    assert_eq!(figures(&one(squared, &[4, 4])), [64, 0, 0, 16, 16]);
}

#[test]
fn recurrent_layers_are_counted_for_both_directions_and_every_step() {
    // 5 steps of 2 samples, 3 inputs, 4 units, both directions.
    for (operator, gates, operations) in [("LSTM", 4usize, 9), ("GRU", 3, 8)] {
        let (w, r) = (2 * gates * 4 * 3, 2 * gates * 4 * 4);
        let mut attributes =
            vec![("hidden_size", Value::Int(4)), ("direction", Value::Text("bidirectional"))];
        if operator == "GRU" {
            attributes.push(("linear_before_reset", Value::Int(1)));
        }
        let builder = Builder::default()
            .floats("w", &[2, gates * 4, 3], &ones(w))
            .floats("r", &[2, gates * 4, 4], &ones(r))
            .node(operator, &["x", "w", "r"], &["y"], attributes);
        let expected = [10 * (w + r), 10 * 2 * 4 * operations, w + r, 30, 5 * 2 * 2 * 4];
        assert_eq!(figures(&one(builder, &[5, 2, 3])), expected.map(|n| n as u64), "{operator}");
    }
}

#[test]
fn a_plain_recurrent_layer_is_counted_from_its_shapes() {
    // The runtime does not run it: 5 steps of 2 samples, 3 inputs, 4 units, one direction.
    let graph = Builder::default()
        .floats("w", &[1, 4, 3], &ones(12))
        .floats("r", &[1, 4, 4], &ones(16))
        .input("x", &[5, 2, 3])
        .node("RNN", &["x", "w", "r"], &["y"], vec![])
        .output("y")
        .parse()
        .unwrap();
    let known = |shape: &[u64], tensor: Option<&str>| Known {
        shape: shape.to_vec(),
        is_float: true,
        tensor: tensor.map(str::to_owned),
    };
    let all = BTreeMap::from([
        ("x", known(&[5, 2, 3], None)),
        ("w", known(&[1, 4, 3], Some("w"))),
        ("r", known(&[1, 4, 4], Some("r"))),
        ("y", known(&[5, 1, 2, 4], None)),
    ]);
    let layer = layer(&Counted { node: &graph.nodes[0], all: &all }).unwrap().unwrap();
    assert_eq!(figures(&layer), [10 * 28, 40, 28, 30, 40]);
}

#[test]
fn sums_of_einstein_are_counted_by_the_indices_that_are_summed() {
    for equation in ["bij,jk->bik", "...j,jk->...k", "bij , jk -> bik", "bij,jk"] {
        let builder = Builder::default().floats("w", &[5, 7], &ones(35)).node(
            "Einsum",
            &["x", "w"],
            &["y"],
            vec![("equation", Value::Text(equation))],
        );
        assert_eq!(figures(&one(builder, &[2, 3, 5])), [2 * 3 * 5 * 7, 0, 35, 30, 42], "{equation}");
    }
    let builder =
        Builder::default().node("Einsum", &["x"], &["y"], vec![("equation", Value::Text("ij->ji"))]);
    assert_eq!(figures(&one(builder, &[3, 5])), [0, 0, 0, 15, 15]);
}

#[test]
fn element_operations_follow_the_table() {
    let unary = |operator: &str, attributes| Builder::default().node(operator, &["x"], &["y"], attributes);
    assert_eq!(figures(&one(unary("Relu", vec![]), &[2, 8])), [0, 16, 0, 16, 16]);
    assert_eq!(figures(&one(unary("Softmax", vec![]), &[2, 8])), [0, 80, 0, 16, 16]);
    assert_eq!(figures(&one(unary("GlobalAveragePool", vec![]), &[1, 2, 4, 4])), [0, 32, 0, 32, 2]);
    let pool = vec![("kernel_shape", Value::Ints(vec![2, 2])), ("strides", Value::Ints(vec![2, 2]))];
    assert_eq!(figures(&one(unary("MaxPool", pool), &[1, 2, 4, 4])), [0, 32, 0, 32, 8]);
    let scaled = Builder::default().floats("s", &[8], &ones(8)).node("Mul", &["x", "s"], &["y"], vec![]);
    assert_eq!(figures(&one(scaled, &[2, 8])), [0, 16, 8, 16, 16]);
}

#[test]
fn what_follows_from_constants_alone_costs_nothing_and_is_a_weight() {
    let builder = Builder::default()
        .floats("w", &[7, 5], &ones(35))
        .node("Transpose", &["w"], &["t"], vec![])
        .node("MatMul", &["x", "t"], &["y"], vec![]);
    let layer = one(builder, &[3, 5]);
    assert_eq!(figures(&layer), [3 * 5 * 7, 0, 35, 15, 21]);
    assert_eq!(layer.weights[0].tensor, "w");
}

#[test]
fn views_move_nothing_and_rows_are_looked_up() {
    let builder =
        Builder::default().integers("shape", &[4, 2]).node("Reshape", &["x", "shape"], &["y"], vec![]);
    assert!(counted(builder, &[2, 4]).workload.layers.is_empty());
    let builder = Builder::default()
        .floats("table", &[10, 3], &ones(30))
        .integers("rows", &[2, 5])
        .node("Gather", &["table", "rows"], &["r"], vec![])
        .node("Add", &["x", "r"], &["y"], vec![]);
    // Rows that are known beforehand are a constant; those that the input chooses are not.
    assert_eq!(figures(&one(builder, &[2, 3])), [0, 6, 6, 6, 6]);
    let builder = Builder::default()
        .floats("table", &[10, 3], &ones(30))
        .node("Cast", &["x"], &["rows"], vec![("to", Value::Int(7))])
        .node("Gather", &["table", "rows"], &["y"], vec![]);
    let files = builder.input("x", &[2]).output("y").files();
    let graph = Graph::parse(files.model()).unwrap();
    let inputs = BTreeMap::from([("x".to_owned(), Array::floats(&[2], vec![2.0, 5.0]).unwrap())]);
    let layers = count(&graph, &files, &inputs).unwrap().workload.layers;
    assert_eq!(figures(&layers[1]), [0, 0, 6, 0, 6]);
    assert!(layers[1].weights[0].is_looked_up);
}

/// A network of `../shared/data`, where that is there.
fn real(name: &str) -> Option<ModelBytes> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    let Ok(bytes) = std::fs::read(&path) else {
        println!("left out, since {} is not there", path.display());
        return None;
    };
    Some(ModelBytes::read(&bytes).unwrap())
}

#[test]
fn lenet_is_counted_as_by_hand() {
    let Some(files) = real("lenet/lenet.onnx") else { return };
    let workload = of_shapes(&files).unwrap().workload;
    let multiplied: Vec<[u64; 5]> =
        workload.layers.iter().filter(|layer| layer.multiply_adds > 0).map(figures).collect();
    assert_eq!(
        multiplied,
        [
            [20 * 24 * 24 * 25, 0, 520, 784, 20 * 24 * 24],
            [50 * 8 * 8 * 20 * 25, 0, 25_050, 20 * 12 * 12, 50 * 8 * 8],
            [500 * 800, 0, 400_500, 800, 500],
            [5000, 0, 5010, 500, 10],
        ]
    );
    assert_eq!((workload.multiply_adds(), workload.weights()), (2_293_000, 431_080));
}

#[test]
fn resnet_32_is_counted_as_by_hand() {
    let Some(files) = real("resnet32/resnet32.onnx") else { return };
    let counts = of_shapes(&files).unwrap();
    let workload = &counts.workload;
    // Numbers of a channel, 32 by 32; in each stage ten convolutions, the first from the stage before.
    let side = 32 * 32;
    let first = side * 16 * 27;
    let stage = |side: u64, from: u64, to: u64| side * to * 9 * (from + 9 * to);
    let expected = first + stage(side, 16, 16) + stage(side / 4, 16, 32) + stage(side / 16, 32, 64) + 640;
    assert_eq!((workload.multiply_adds(), expected), (68_862_592, 68_862_592));
    let convolutions = 432 + 9 * 16 * 160 + 9 * 32 * (16 + 288) + 9 * 64 * (32 + 576);
    let multiplied = workload.layers.iter().filter(|layer| layer.multiply_adds > 0);
    assert_eq!(multiplied.map(Layer::weight_count).sum::<u64>(), convolutions + 650);
}
