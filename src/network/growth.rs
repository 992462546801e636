//! Refuses graphs that make far more numbers than their file warrants, before the runtime makes them: it holds what it
//! makes, and works out at loading what depends on constants alone.
//!
//! For every value a number of elements is known that it has at least: what constants say of shapes is read, inputs count as
//! one number, and an operator that may make less of what it is given counts as nothing. Operators: ONNX 1.16,
//! `Operators.md`. Cost: linear in the graph, but for the names.

use super::NetworkError;
use crate::formats::shown;
use rten_onnx::onnx::{GraphProto, NodeProto};
use std::collections::BTreeMap;

/// What a graph makes of constants alone may take eight times the file, or this many numbers.
const MOST_OF_NOTHING: u64 = 1 << 18;
/// What it makes of its inputs may have this many numbers, value by value,
const MOST_OF_INPUTS: u64 = 1 << 26;
/// and this many in all.
const MOST_IN_ALL: u64 = 1 << 28;
/// Rounds of a loop, where they are known.
const MOST_ROUNDS: i64 = 1 << 20;
/// What passes a loop's condition on is followed so far; what lies beyond is taken for the condition.
const LONGEST_CHAIN: usize = 32;
/// Constants with more numbers are no shapes.
const LONGEST_SHAPE: usize = 64;

/// Operators whose result has as many numbers as their first input.
const KEEPS: [&str; 39] = [
    "Abs",
    "BatchNormalization",
    "Cast",
    "CastLike",
    "Ceil",
    "Clip",
    "Cos",
    "CumSum",
    "DequantizeLinear",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Flatten",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "Neg",
    "Not",
    "QuantizeLinear",
    "Relu",
    "Reshape",
    "Round",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softmax",
    "Sqrt",
    "Squeeze",
    "Tanh",
    "Transpose",
    "Unsqueeze",
];
/// And those whose result has as many as their largest input, at least.
const BROADCASTS: [&str; 19] = [
    "Add",
    "And",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Or",
    "Pow",
    "PRelu",
    "Sub",
    "Sum",
    "Where",
];

/// What is known of a value.
#[derive(Debug, Clone, Default)]
struct Known {
    /// Elements, at least.
    elements: u64,
    /// Whether it depends on constants alone.
    is_constant: bool,
    /// Its numbers, where it may be a shape.
    numbers: Option<Vec<i64>>,
}

/// The values of a graph and of those around it.
#[derive(Debug, Default)]
struct Values {
    known: BTreeMap<String, Known>,
    made_of_nothing: u64,
    most_of_nothing: u64,
    in_all: u64,
}

/// Refuses a graph of a file of so many bytes that makes more numbers than those warrant.
pub(super) fn check(graph: &GraphProto, bytes: u64) -> Result<(), NetworkError> {
    let mut values = Values { most_of_nothing: MOST_OF_NOTHING.max(2 * bytes), ..Values::default() };
    values.graph(graph)
}

fn product(numbers: &[i64]) -> u64 {
    numbers.iter().fold(1, |n: u64, extent| n.saturating_mul(u64::try_from(*extent).unwrap_or(0)))
}

impl Values {
    fn graph(&mut self, graph: &GraphProto) -> Result<(), NetworkError> {
        for tensor in &graph.initializer {
            let (Some(name), numbers) =
                (&tensor.name, super::initializer::integers_of(tensor, LONGEST_SHAPE))
            else {
                continue;
            };
            let known = Known { elements: product(&tensor.dims), is_constant: true, numbers };
            self.known.insert(name.clone(), known);
        }
        for input in &graph.input {
            let Some(name) = &input.name else { continue };
            self.known.entry(name.clone()).or_insert(Known { elements: 1, ..Known::default() });
        }
        graph.node.iter().try_for_each(|node| self.node(node))
    }

    fn node(&mut self, node: &NodeProto) -> Result<(), NetworkError> {
        let operator = node.op_type.as_deref().unwrap_or_default();
        let refused = |expected: String, found: String| {
            let name = node.name.as_deref().filter(|name| !name.is_empty());
            let name = name.or(node.output.first().map(String::as_str)).unwrap_or_default();
            Err(NetworkError::graph(format!("node {} ({operator})", shown(name)), expected, found))
        };
        if operator == "Loop" && self.never_stops_itself(node) {
            let is_open = node.input.first().is_none_or(String::is_empty);
            let rounds = self.numbers(node, 0).and_then(|numbers| numbers.first().copied());
            let rounds = if is_open { Some(i64::MAX) } else { rounds };
            if let Some(rounds) = rounds.filter(|rounds| *rounds > MOST_ROUNDS) {
                return refused(format!("at most {MOST_ROUNDS} rounds"), rounds.to_string());
            }
        }
        for inner in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
            self.graph(inner)?;
        }
        let made = self.made(node, operator);
        if operator != "Constant" {
            let given = node.input.iter().filter_map(|name| self.known.get(name)).map(|known| known.elements);
            if made.is_constant {
                let grown = if made.elements > given.max().unwrap_or(0) { made.elements } else { 0 };
                self.made_of_nothing = self.made_of_nothing.saturating_add(grown);
            }
            self.in_all = self.in_all.saturating_add(made.elements);
            for (made, most, of) in [
                (
                    self.made_of_nothing,
                    self.most_of_nothing,
                    "made of constants alone in a file of this size",
                ),
                (made.elements, MOST_OF_INPUTS, "in one value"),
                (self.in_all, MOST_IN_ALL, "in all values"),
            ] {
                if made > most {
                    return refused(format!("at most {most} numbers {of}"), made.to_string());
                }
            }
        }
        // Outputs beside the first are no larger where they count.
        for (at, output) in node.output.iter().enumerate() {
            let known = if at == 0 {
                made.clone()
            } else {
                Known { is_constant: made.is_constant, ..Known::default() }
            };
            self.known.insert(output.clone(), known);
        }
        Ok(())
    }

    /// Whether the condition of a loop stays what it was whatever the loop computes.
    fn never_stops_itself(&self, node: &NodeProto) -> bool {
        let Some(body) = node.attribute.iter().find_map(|attribute| attribute.g.as_ref()) else {
            return false;
        };
        let maker =
            |name: &str| body.node.iter().find(|node| node.output.iter().any(|output| output == name));
        let mut name = body.output.first().and_then(|output| output.name.as_deref()).unwrap_or_default();
        for _ in 0..LONGEST_CHAIN {
            match maker(name) {
                Some(node) if node.op_type.as_deref() == Some("Identity") => {
                    name = node.input.first().map_or("", String::as_str);
                }
                Some(node) => return node.op_type.as_deref() == Some("Constant"),
                None => {
                    let is_given = body.input.get(1).and_then(|input| input.name.as_deref()) == Some(name);
                    return is_given || self.known.get(name).is_some_and(|known| known.is_constant);
                }
            }
        }
        true
    }

    /// What a node makes.
    fn made(&self, node: &NodeProto, operator: &str) -> Known {
        if operator == "Constant" {
            let tensor = node.attribute.iter().find_map(|attribute| attribute.t.as_ref());
            let ints = node.attribute.first().map(|a| a.i.map_or_else(|| a.ints.clone(), |i| vec![i]));
            let numbers =
                tensor.map_or(ints, |tensor| super::initializer::integers_of(tensor, LONGEST_SHAPE));
            return Known {
                elements: tensor.map_or(1, |tensor| product(&tensor.dims)),
                is_constant: true,
                numbers,
            };
        }
        let given: Vec<&Known> = node.input.iter().filter_map(|name| self.known.get(name)).collect();
        let size = |at: usize| {
            node.input.get(at).and_then(|name| self.known.get(name)).map_or(0, |known| known.elements)
        };
        let numbers = |at: usize| self.numbers(node, at);
        let times = |at: usize| numbers(at).map_or(1, product);
        let elements = match operator {
            "ConstantOfShape" => numbers(0).map_or(0, product),
            "Expand" => size(0).max(numbers(1).map_or(0, product)),
            "Tile" | "OneHot" => size(0).saturating_mul(times(1)),
            "Range" => numbers(1)
                .and_then(|end| end.first())
                .zip(numbers(2).and_then(|step| step.first()))
                .map_or(0, |(end, step)| {
                    let start = numbers(0).and_then(|start| start.first()).copied().unwrap_or(0);
                    end.saturating_sub(start)
                        .checked_div(*step)
                        .and_then(|count| u64::try_from(count).ok())
                        .unwrap_or(0)
                }),
            "Resize" | "Upsample" => numbers(node.input.len().saturating_sub(1)).map_or(size(0), product),
            "Pad" => numbers(1).map_or(size(0), |pads| {
                let (before, after) = pads.split_at(pads.len() / 2);
                let extent = |(a, b): (&i64, &i64)| a.saturating_add(*b).saturating_add(1).max(0);
                size(0).max(product(&before.iter().zip(after).map(extent).collect::<Vec<_>>()))
            }),
            "Concat" => given.iter().fold(0, |sum: u64, known| sum.saturating_add(known.elements)),
            _ if KEEPS.contains(&operator) => size(0),
            _ if BROADCASTS.contains(&operator) => {
                given.iter().map(|known| known.elements).max().unwrap_or(0)
            }
            _ => 0,
        };
        let numbers = match operator {
            "Cast" | "Identity" | "Reshape" | "Squeeze" | "Unsqueeze" => numbers(0).map(<[i64]>::to_vec),
            "Concat" => {
                let all: Option<Vec<&[i64]>> = (0..node.input.len()).map(numbers).collect();
                all.map(|all| all.concat()).filter(|all| all.len() <= LONGEST_SHAPE)
            }
            _ => None,
        };
        let is_constant = !given.is_empty()
            && given.len() == node.input.len()
            && given.iter().all(|known| known.is_constant);
        Known { elements, is_constant, numbers }
    }

    fn numbers(&self, node: &NodeProto, at: usize) -> Option<&[i64]> {
        node.input.get(at).and_then(|name| self.known.get(name)).and_then(|known| known.numbers.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Builder, Value, numbers};
    use super::super::{Graph, Network};

    fn sentence(builder: Builder) -> String {
        Network::load(&builder.files()).map_or_else(|error| error.to_string(), |_| "it loads".to_owned())
    }

    #[test]
    fn what_is_made_of_constants_is_in_proportion_to_the_file() {
        let skeleton = |side: i64| {
            let weight = Builder::default().input("x", &[-1, side]).integers("shape", &[side, side]);
            let weight = weight.node("ConstantOfShape", &["shape"], &["w"], vec![]);
            sentence(weight.node("MatMul", &["x", "w"], &["y"], vec![]).output("y"))
        };
        assert_eq!(skeleton(512), "it loads");
        assert_eq!(
            skeleton(1024),
            "the network's graph: node node0_ConstantOfShape (ConstantOfShape): expected at most 262144 numbers made of constants alone in a file of this \
             size, found 1048576"
        );
        let said = skeleton(1 << 30);
        assert!(said.ends_with(&(1u64 << 60).to_string()), "{said}");
    }

    #[test]
    fn weights_that_are_widened_or_turned_are_no_growth() {
        let mut builder =
            Builder::default().input("x", &[-1, 600]).floats("w", &[600, 600], &numbers(360_000, 1));
        let mut last = "w".to_owned();
        for step in 0..8 {
            let next = format!("w{step}");
            builder = builder.node("Transpose", &[&last], &[&next], vec![]);
            last = next;
        }
        assert_eq!(sentence(builder.node("MatMul", &["x", &last], &["y"], vec![]).output("y")), "it loads");
    }

    #[test]
    fn values_that_double_without_end_are_refused() {
        let mut builder = Builder::default().input("x", &[-1, 1]);
        let mut last = "x".to_owned();
        for step in 0..40 {
            let next = format!("x{step}");
            builder = builder.node("Concat", &[&last, &last], &[&next], vec![("axis", Value::Int(0))]);
            last = next;
        }
        let said = sentence(builder.node("Relu", &[&last], &["y"], vec![]).output("y"));
        assert_eq!(
            said,
            "the network's graph: node node26_Concat (Concat): expected at most 67108864 numbers in one value, found 134217728"
        );
    }

    #[test]
    fn known_extents_are_looked_at_before_anything_is_made() {
        for (operator, shape) in [("Expand", vec![1 << 14, 1 << 14]), ("Tile", vec![1 << 14, 1 << 14])] {
            let builder = Builder::default().input("x", &[1, 1]).integers("shape", &shape);
            let said = sentence(builder.node(operator, &["x", "shape"], &["y"], vec![]).output("y"));
            assert!(
                said.contains("expected at most 67108864 numbers in one value, found 268435456"),
                "{said}"
            );
        }
        let builder = Builder::default().input("x", &[1, 1]).integers("pads", &[1 << 20, 0, 0, 1 << 20]);
        let said = sentence(builder.node("Pad", &["x", "pads"], &["y"], vec![]).output("y"));
        assert!(said.contains("(Pad): expected at most 67108864 numbers"), "{said}");
    }

    #[test]
    fn loops_without_an_end_are_refused() {
        let looped = |rounds: &str, operator: &str| {
            let body = Builder::default().node(operator, &["on"], &["still"], vec![]).output("still");
            let body = vec![("body", Value::Graph(body.into_graph()))];
            let builder = Builder::default()
                .integers("rounds", &[1 << 40])
                .integers("few", &[4])
                .scalar_bool("on", true);
            let builder = builder.input("x", &[1]).node("Relu", &["x"], &["y"], vec![]);
            sentence(builder.node("Loop", &[rounds, "on"], &["z"], body).output("y"))
        };
        for (rounds, found) in [("rounds", i64::from(i32::MAX)), ("", i64::MAX)] {
            let said = looped(rounds, "Identity");
            assert!(
                said.ends_with(&format!("(Loop): expected at most 1048576 rounds, found {found}")),
                "{said}"
            );
        }
        assert!(!looped("few", "Identity").contains("rounds"));
        assert!(!looped("rounds", "Not").contains("rounds"), "it stops itself");
    }

    #[test]
    fn a_long_way_to_a_loops_condition_is_not_followed() {
        let mut body = Builder::default().node("Not", &["on"], &["c0"], vec![]);
        for at in 0..100 {
            let (from, to) = (format!("c{at}"), format!("c{}", at + 1));
            body = body.node("Identity", &[&from], &[&to], vec![]);
        }
        let body = vec![("body", Value::Graph(body.output("c100").into_graph()))];
        let builder = Builder::default().integers("rounds", &[1 << 40]).scalar_bool("on", true);
        let builder = builder.input("x", &[1]).node("Relu", &["x"], &["y"], vec![]);
        let said = sentence(builder.node("Loop", &["rounds", "on"], &["z"], body).output("y"));
        assert!(said.contains("expected at most 1048576 rounds"), "{said}");
    }

    #[test]
    fn the_networks_of_the_samples_are_in_proportion() {
        for name in ["lenet", "resnet", "lstm", "transformer"] {
            let path =
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("www/samples/{name}.onnx"));
            let bytes = std::fs::read(path).unwrap();
            Graph::parse(&bytes).unwrap().check_growth(bytes.len() as u64).unwrap();
        }
    }
}
