//! Every operator against the Jacobian that finite differences of the runtime's own forward pass give: the gradient is
//! Jᵀ c, the curvature (J∘J)ᵀ h.

use super::*;
use crate::network::Network;
use crate::network::testing::{Builder, Value, numbers};

type Attributes = Vec<(&'static str, Value)>;

/// One operator on constants, all floats among them wanted.
struct Case {
    operator: &'static str,
    /// Name, shape, values.
    operands: Vec<(&'static str, Vec<usize>, Vec<f32>)>,
    integers: Vec<(&'static str, Vec<i64>)>,
    inputs: Vec<&'static str>,
    outputs: Vec<&'static str>,
    attributes: fn() -> Attributes,
    /// Operands whose curvature is exact in the recursion.
    curved: bool,
}

impl Case {
    fn build(&self, operands: &[(&str, Vec<usize>, Vec<f32>)]) -> Builder {
        let mut builder = Builder::default();
        for (name, shape, values) in operands {
            builder = builder.floats(name, shape, values);
        }
        for (name, values) in &self.integers {
            builder = builder.integers(name, values);
        }
        for output in self.outputs.iter().filter(|output| !output.is_empty()) {
            builder = builder.output(output);
        }
        builder.node(self.operator, &self.inputs, &self.outputs, (self.attributes)())
    }

    /// All outputs, one behind the other, and their shapes.
    fn forward(&self, operands: &[(&str, Vec<usize>, Vec<f32>)]) -> (Vec<f32>, Vec<(String, Vec<usize>)>) {
        let files = self.build(operands).files();
        let network = Network::load(&files).unwrap();
        let names: Vec<String> =
            self.outputs.iter().filter(|o| !o.is_empty()).map(|o| (*o).to_owned()).collect();
        let arrays = network.run(&BTreeMap::new(), &names).unwrap();
        let shapes = names.into_iter().zip(arrays.iter().map(|a| a.shape().to_vec())).collect();
        (
            arrays.iter().flat_map(|a| a.as_floats().unwrap().iter().copied().collect::<Vec<_>>()).collect(),
            shapes,
        )
    }

    fn check(&self) {
        let (y, shapes) = self.forward(&self.operands);
        let (c, h) =
            (numbers(y.len(), 77), numbers(y.len(), 78).iter().map(|x| x.abs() + 0.1).collect::<Vec<f32>>());
        let graph = self.build(&self.operands).parse().unwrap();
        let wanted: BTreeSet<String> = self.operands.iter().map(|(name, ..)| (*name).to_owned()).collect();
        let seeds: BTreeSet<String> = shapes.iter().map(|(name, _)| name.clone()).collect();
        let walk = Walk::new(&graph, &wanted, &seeds, Purpose::Loss { second: false }).unwrap();
        let files = self.build(&self.operands).files();
        let names: Vec<String> = walk.values().into_iter().collect();
        let network = Network::with_values(&graph, &files, &walk.values()).unwrap();
        let values = network.run(&BTreeMap::new(), &names).unwrap();
        let values: BTreeMap<String, Array> = names.into_iter().zip(values).collect();
        let mut pairs = Pairs::new();
        let mut at = 0;
        for (name, shape) in &shapes {
            let count: usize = shape.iter().product();
            let part = |all: &[f32]| ArrayD::from_shape_vec(IxDyn(shape), all[at..at + count].to_vec()).ok();
            pairs.insert(name.clone(), Pair { gradient: part(&c), curvature: part(&h) });
            at += count;
        }
        let found = walk.back(&values, pairs).unwrap();
        for (index, (name, shape, x)) in self.operands.iter().enumerate() {
            let pair = found.get(*name).unwrap_or_else(|| panic!("{}: nothing for {name}", self.operator));
            let (gradient, curvature) = (pair.gradient.as_ref().unwrap(), pair.curvature.as_ref().unwrap());
            assert_eq!(gradient.shape(), shape, "{} {name}", self.operator);
            let (mut by_gradient, mut by_curvature) = (Vec::new(), Vec::new());
            for j in 0..x.len() {
                let step = 1e-2f32;
                let moved = |by: f32| {
                    let mut operands = self.operands.clone();
                    operands[index].2[j] += by;
                    self.forward(&operands).0
                };
                let (up, down) = (moved(step), moved(-step));
                let column: Vec<f64> = up
                    .iter()
                    .zip(&down)
                    .map(|(u, d)| (f64::from(*u) - f64::from(*d)) / (2.0 * f64::from(step)))
                    .collect();
                by_gradient.push(column.iter().zip(&c).map(|(j, c)| j * f64::from(*c)).sum::<f64>());
                by_curvature.push(column.iter().zip(&h).map(|(j, h)| j * j * f64::from(*h)).sum::<f64>());
            }
            let near = |what: &str, expected: &[f64], found: &Floats, tolerance: f64| {
                let scale = expected.iter().fold(1e-3f64, |a, b| a.max(b.abs()));
                for (e, f) in expected.iter().zip(found) {
                    let error = (e - f64::from(*f)).abs() / scale;
                    assert!(error < tolerance, "{} {what} of {name}: {expected:?} {found:?}", self.operator);
                }
            };
            near("gradient", &by_gradient, gradient, 1e-3);
            if self.curved {
                near("curvature", &by_curvature, curvature, 2e-3);
            }
        }
    }
}

fn none() -> Attributes {
    Vec::new()
}

/// A case whose operands are given by name and shape.
fn case(
    operator: &'static str,
    operands: &[(&'static str, &[usize])],
    attributes: fn() -> Attributes,
) -> Case {
    let operands: Vec<_> = operands
        .iter()
        .enumerate()
        .map(|(i, (name, shape))| (*name, shape.to_vec(), numbers(shape.iter().product(), i as u64 + 5)))
        .collect();
    let inputs = operands.iter().map(|(name, ..)| *name).collect();
    Case { operator, operands, integers: Vec::new(), inputs, outputs: vec!["y"], attributes, curved: true }
}

/// The case with integer operands behind the others.
fn with(mut case: Case, integers: &[(&'static str, &[i64])]) -> Case {
    for (name, values) in integers {
        case.integers.push((*name, values.to_vec()));
        case.inputs.push(*name);
    }
    case
}

#[test]
fn convolutions() {
    use Value::{Int, Ints, Text};
    let operands: &[(&str, &[usize])] = &[("x", &[2, 2, 5, 6]), ("w", &[4, 2, 3, 3]), ("b", &[4])];
    case("Conv", operands, none).check();
    case("Conv", operands, || vec![("pads", Ints(vec![1, 0, 2, 1])), ("strides", Ints(vec![2, 1]))]).check();
    case("Conv", operands, || vec![("dilations", Ints(vec![2, 2])), ("pads", Ints(vec![1; 4]))]).check();
    case("Conv", operands, || vec![("auto_pad", Text("SAME_UPPER")), ("strides", Ints(vec![2, 2]))]).check();
    let grouped: &[(&str, &[usize])] = &[("x", &[1, 4, 4, 4]), ("w", &[4, 2, 3, 3])];
    case("Conv", grouped, || vec![("group", Int(2))]).check();
    case("Conv", &[("x", &[1, 3, 4, 4]), ("w", &[3, 1, 3, 3])], || vec![("group", Int(3))]).check();
    case("Conv", &[("x", &[2, 2, 7]), ("w", &[3, 2, 3])], || {
        vec![("strides", Ints(vec![2])), ("pads", Ints(vec![1, 1]))]
    })
    .check();
}

#[test]
fn matrices() {
    use Value::{Float, Int};
    case("Gemm", &[("a", &[3, 4]), ("b", &[4, 2]), ("c", &[2])], none).check();
    case("Gemm", &[("a", &[4, 3]), ("b", &[2, 4]), ("c", &[3, 1])], || {
        vec![("transA", Int(1)), ("transB", Int(1)), ("alpha", Float(0.5)), ("beta", Float(2.0))]
    })
    .check();
    for (a, b) in [
        (&[3, 4][..], &[4, 2][..]),
        (&[2, 3, 4], &[4, 2]),
        (&[2, 3, 4], &[2, 4, 2]),
        (&[2, 1, 3, 2], &[3, 2, 2]),
        (&[4], &[4, 2]),
        (&[3, 4], &[4]),
        (&[2, 3, 4], &[4]),
    ] {
        case("MatMul", &[("a", a), ("b", b)], none).check();
    }
}

#[test]
fn functions_of_one_element() {
    use Value::Float;
    for operator in
        ["Relu", "Sigmoid", "Tanh", "Erf", "Softplus", "Exp", "Neg", "Abs", "Sin", "Cos", "HardSigmoid"]
    {
        let mut case = case(operator, &[("x", &[3, 4])], none);
        // Away from kinks, where differences mean nothing.
        case.operands[0].2.iter_mut().for_each(|x| *x += 0.05 * x.signum());
        case.check();
    }
    for operator in ["Log", "Sqrt", "Reciprocal"] {
        let mut case = case(operator, &[("x", &[3, 4])], none);
        case.operands[0].2.iter_mut().for_each(|x| *x = x.abs() + 0.7);
        case.check();
    }
    case("LeakyRelu", &[("x", &[5])], || vec![("alpha", Float(0.1))]).check();
    case("Elu", &[("x", &[5])], || vec![("alpha", Float(0.7))]).check();
    let mut clip = case("Clip", &[("x", &[6])], none);
    clip.operands[0].2 = vec![-0.9, -0.3, 0.1, 0.2, 0.6, 0.95];
    clip.inputs = vec!["x", "low", "high"];
    let clip_check = Clip { case: clip };
    clip_check.check();
}

/// `Clip` with bounds that are not asked for.
struct Clip {
    case: Case,
}

impl Clip {
    fn check(&self) {
        let x = &self.case.operands[0].2;
        let builder = || {
            Builder::default()
                .floats("x", &[6], x)
                .floats("low", &[], &[-0.5])
                .floats("high", &[], &[0.5])
                .node("Clip", &["x", "low", "high"], &["y"], vec![])
                .output("y")
        };
        let graph = builder().parse().unwrap();
        let wanted = BTreeSet::from(["x".to_owned()]);
        let walk =
            Walk::new(&graph, &wanted, &BTreeSet::from(["y".to_owned()]), Purpose::Loss { second: false })
                .unwrap();
        let values = BTreeMap::from([("y".to_owned(), Array::floats(&[6], vec![0.0; 6]).unwrap())]);
        let ones = Some(ArrayD::ones(IxDyn(&[6])));
        let seed = Pairs::from([("y".to_owned(), Pair { gradient: ones.clone(), curvature: ones })]);
        let found = walk.back(&values, seed).unwrap();
        let gradient: Vec<f32> = found["x"].gradient.as_ref().unwrap().iter().copied().collect();
        assert_eq!(gradient, [0.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
    }
}

#[test]
fn functions_of_two_elements_with_broadcasting() {
    for operator in ["Add", "Sub", "Mul", "Div"] {
        for (a, b) in [(&[2, 3][..], &[2, 3][..]), (&[2, 3], &[3]), (&[2, 1], &[1, 3]), (&[], &[2, 2])] {
            let mut case = case(operator, &[("a", a), ("b", b)], none);
            if operator == "Div" {
                case.operands[1].2.iter_mut().for_each(|x| *x = x.abs() + 0.8);
            }
            case.check();
        }
    }
    let mut square = case("Mul", &[("a", &[5])], none);
    square.inputs = vec!["a", "a"];
    square.check();
}

#[test]
fn powers_by_a_constant() {
    let x = [0.5f32, 1.0, 2.0, -1.5];
    for (exponent, expected) in [(2.0, [1.0, 2.0, 4.0, -3.0]), (1.0, [1.0; 4]), (0.0, [0.0; 4])] {
        let builder = Builder::default().floats("x", &[4], &x).floats("e", &[], &[exponent]);
        let graph = builder.node("Pow", &["x", "e"], &["y"], vec![]).output("y").parse().unwrap();
        let wanted = BTreeSet::from(["x".to_owned()]);
        let walk =
            Walk::new(&graph, &wanted, &BTreeSet::from(["y".to_owned()]), Purpose::Loss { second: true })
                .unwrap();
        let values = BTreeMap::from([("y".to_owned(), Array::floats(&[4], vec![0.0; 4]).unwrap())]);
        let ones = Some(ArrayD::ones(IxDyn(&[4])));
        let seed = Pairs::from([("y".to_owned(), Pair { gradient: ones.clone(), curvature: ones })]);
        let found = walk.back(&values, seed).unwrap();
        let gradient: Vec<f32> = found["x"].gradient.as_ref().unwrap().iter().copied().collect();
        assert_eq!(gradient, expected);
        let bend = if exponent == 2.0 { 2.0 } else { 0.0 };
        let curvature: Vec<f32> = found["x"].curvature.as_ref().unwrap().iter().copied().collect();
        assert_eq!(curvature, expected.map(|d| d * d + bend));
    }
}

#[test]
fn normalisations_and_softmax() {
    use Value::{Float, Int};
    let batch: &[(&str, &[usize])] =
        &[("x", &[2, 3, 2, 2]), ("s", &[3]), ("b", &[3]), ("m", &[3]), ("v", &[3])];
    let mut case_of_batch = case("BatchNormalization", batch, || vec![("epsilon", Float(0.01))]);
    case_of_batch.operands[4].2.iter_mut().for_each(|v| *v = v.abs() + 0.8);
    case_of_batch.check();
    let layer: &[(&str, &[usize])] = &[("x", &[2, 3, 5]), ("s", &[5]), ("b", &[5])];
    case("LayerNormalization", layer, || vec![("axis", Int(-1))]).check();
    let layer: &[(&str, &[usize])] = &[("x", &[2, 2, 3]), ("s", &[2, 3])];
    case("LayerNormalization", layer, || vec![("axis", Int(1))]).check();
    case("Softmax", &[("x", &[3, 4])], || vec![("axis", Int(-1))]).check();
    case("Softmax", &[("x", &[2, 4, 3])], || vec![("axis", Int(1))]).check();
    case("LogSoftmax", &[("x", &[3, 4])], || vec![("axis", Int(1))]).check();
}

#[test]
fn pools_and_means() {
    use Value::{Int, Ints};
    let x: &[(&str, &[usize])] = &[("x", &[1, 2, 5, 5])];
    // Distances between elements larger than the step of the differences: no ties within a window.
    let spread = |mut case: Case| {
        let n = case.operands[0].2.len();
        case.operands[0].2 = (0..n).map(|i| ((i * 7919) % n) as f32 / n as f32 * 4.0).collect();
        case
    };
    spread(case("MaxPool", x, || vec![("kernel_shape", Ints(vec![2, 2])), ("strides", Ints(vec![2, 2]))]))
        .check();
    spread(case("MaxPool", x, || vec![("kernel_shape", Ints(vec![3, 3])), ("pads", Ints(vec![1; 4]))]))
        .check();
    case("AveragePool", x, || vec![("kernel_shape", Ints(vec![3, 2])), ("pads", Ints(vec![1, 0, 1, 0]))])
        .check();
    case("AveragePool", x, || {
        vec![("kernel_shape", Ints(vec![3, 3])), ("pads", Ints(vec![1; 4])), ("count_include_pad", Int(1))]
    })
    .check();
    case("GlobalAveragePool", x, none).check();
    case("ReduceMean", &[("x", &[2, 3, 4])], || vec![("axes", Ints(vec![-1])), ("keepdims", Int(0))]).check();
    case("ReduceMean", &[("x", &[2, 3, 4])], || vec![("axes", Ints(vec![0, 2]))]).check();
    with(case("ReduceSum", &[("x", &[2, 3])], none), &[("axes", &[1])]).check();
}

#[test]
fn movements() {
    use Value::{Int, Ints};
    case("Transpose", &[("x", &[2, 3, 4])], || vec![("perm", Ints(vec![2, 0, 1]))]).check();
    case("Transpose", &[("x", &[2, 3])], none).check();
    case("Flatten", &[("x", &[2, 3, 2])], || vec![("axis", Int(1))]).check();
    case("Identity", &[("x", &[3])], none).check();
    with(case("Reshape", &[("x", &[2, 6])], none), &[("shape", &[3, -1])]).check();
    with(case("Squeeze", &[("x", &[2, 1, 3])], none), &[("axes", &[1])]).check();
    with(case("Unsqueeze", &[("x", &[2, 3])], none), &[("axes", &[0])]).check();
    case("Concat", &[("a", &[2, 3]), ("b", &[2, 1])], || vec![("axis", Int(1))]).check();
    let mut split = with(case("Split", &[("x", &[2, 5])], || vec![("axis", Int(1))]), &[("sizes", &[2, 3])]);
    split.outputs = vec!["y", "z"];
    split.check();
    let slice = || case("Slice", &[("x", &[4, 5])], none);
    with(slice(), &[("starts", &[1, -4]), ("ends", &[3, 100]), ("axes", &[0, 1]), ("steps", &[1, 2])])
        .check();
    with(slice(), &[("starts", &[-1]), ("ends", &[-100]), ("axes", &[1]), ("steps", &[-2])]).check();
    with(case("Pad", &[("x", &[2, 3])], none), &[("pads", &[1, 0, 0, 2])]).check();
    with(
        case("Pad", &[("x", &[2, 4])], || vec![("mode", Value::Text("reflect"))]),
        &[("pads", &[0, 2, 0, 1])],
    )
    .check();
    with(case("Gather", &[("x", &[4, 3])], || vec![("axis", Int(0))]), &[("i", &[2, 0, 2])]).check();
    with(case("Expand", &[("x", &[2, 1])], none), &[("shape", &[3, 2, 4])]).check();
}

#[test]
fn recurrent_layers() {
    use Value::{Int, Text};
    let lstm = |steps: usize, directions: usize, attributes: fn() -> Attributes, outputs: &[&'static str]| {
        let operands = [
            ("x", vec![steps, 2, 3]),
            ("w", vec![directions, 8, 3]),
            ("r", vec![directions, 8, 2]),
            ("b", vec![directions, 16]),
        ];
        let operands = operands.into_iter().enumerate().map(|(i, (name, shape))| {
            let values = numbers(shape.iter().product(), i as u64 + 50);
            (name, shape, values)
        });
        let inputs = vec!["x", "w", "r", "b"];
        Case {
            operator: "LSTM",
            operands: operands.collect(),
            integers: Vec::new(),
            inputs,
            outputs: outputs.to_vec(),
            attributes,
            curved: false,
        }
    };
    lstm(3, 1, || vec![("hidden_size", Int(2))], &["y", "h", "c"]).check();
    lstm(3, 1, || vec![("hidden_size", Int(2)), ("direction", Text("reverse"))], &["y"]).check();
    lstm(2, 2, || vec![("hidden_size", Int(2)), ("direction", Text("bidirectional"))], &["y", "h"]).check();
    // One step: nothing that the recursion drops lies between the weights and the state.
    let mut one = lstm(1, 1, || vec![("hidden_size", Int(2))], &["", "h"]);
    one.operands.remove(0);
    one.curved = true;
    let x = numbers(6, 3);
    one.operands.insert(0, ("x", vec![1, 2, 3], x));
    one.check_weights_only();
}

impl Case {
    /// For a layer whose input meets several gates, which the recursion takes apart.
    fn check_weights_only(&self) {
        let (y, shapes) = self.forward(&self.operands);
        let h: Vec<f32> = numbers(y.len(), 9).iter().map(|x| x.abs()).collect();
        let graph = self.build(&self.operands).parse().unwrap();
        let wanted = BTreeSet::from(["w".to_owned(), "b".to_owned()]);
        let (name, shape) = &shapes[0];
        let seeds = BTreeSet::from([name.clone()]);
        let walk = Walk::new(&graph, &wanted, &seeds, Purpose::Loss { second: false }).unwrap();
        let curvature = ArrayD::from_shape_vec(IxDyn(shape), h.clone()).ok();
        let pairs = Pairs::from([(name.clone(), Pair { gradient: None, curvature })]);
        let found = walk.back(&BTreeMap::new(), pairs).unwrap();
        for index in [1, 3] {
            let (name, _, x) = &self.operands[index];
            let found = found[*name].curvature.clone().unwrap();
            for (j, found) in (0..x.len()).zip(&found) {
                let moved = |by: f32| {
                    let mut operands = self.operands.clone();
                    operands[index].2[j] += by;
                    self.forward(&operands).0
                };
                let column = moved(1e-2).into_iter().zip(moved(-1e-2)).map(|(u, d)| (u - d) / 2e-2);
                let expected: f32 = column.zip(&h).map(|(j, h)| j * j * h).sum();
                assert!((expected - found).abs() < 2e-3, "{name} {j}: {expected} {found}");
            }
        }
    }
}

#[test]
fn second_derivatives_of_activations_are_added() {
    for operator in ["Sigmoid", "Tanh", "Erf", "Softplus", "Exp", "Sin", "Cos"] {
        let x = numbers(6, 4);
        let case = case(operator, &[("x", &[6])], none);
        let operands = |by: f32| vec![("x", vec![6], x.iter().map(|x| x + by).collect::<Vec<f32>>())];
        let graph = case.build(&operands(0.0)).parse().unwrap();
        let wanted = BTreeSet::from(["x".to_owned()]);
        let walk =
            Walk::new(&graph, &wanted, &BTreeSet::from(["y".to_owned()]), Purpose::Loss { second: true })
                .unwrap();
        let g = numbers(6, 8);
        let gradient = ArrayD::from_shape_vec(IxDyn(&[6]), g.clone()).ok();
        let curvature = Some(ArrayD::zeros(IxDyn(&[6])));
        let found = walk
            .back(&BTreeMap::new(), Pairs::from([("y".to_owned(), Pair { gradient, curvature })]))
            .unwrap();
        let step = 0.05;
        let [up, here, down] = [step, 0.0, -step].map(|by| case.forward(&operands(by)).0);
        for i in 0..6 {
            let expected = g[i] * (up[i] - 2.0 * here[i] + down[i]) / (step * step);
            let found = found["x"].curvature.as_ref().unwrap()[[i]];
            assert!((expected - found).abs() < 5e-3, "{operator}: {expected} {found}");
        }
    }
}

#[test]
fn an_operator_without_a_backward_walk_is_named() {
    let builder = Builder::default().floats("x", &[1, 1, 2, 2], &[0.0; 4]).floats("w", &[1, 1, 1, 1], &[1.0]);
    let graph = builder.node("ConvTranspose", &["x", "w"], &["y"], vec![]).output("y").parse().unwrap();
    let wanted = BTreeSet::from(["w".to_owned()]);
    let error = Walk::new(&graph, &wanted, &BTreeSet::new(), Purpose::Activations).err();
    assert!(error.is_none(), "squared activations do not ask for what they do not walk");
    let seeds = BTreeSet::from(["y".to_owned()]);
    let error = Walk::new(&graph, &wanted, &seeds, Purpose::Loss { second: false }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "operator ConvTranspose of node node0_ConvTranspose is not supported when derivatives are computed (with these inputs or settings)"
    );
}
