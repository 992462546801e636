//! Inputs made up for a network that comes without data: from the shapes and types that its graph declares, with a fixed seed.
//!
//! Dimensions that the graph leaves open are tried in a few usual sizes until the network runs. Floats are smooth waves in one
//! half of the sets and noise in the other; integers are token numbers below the rows of the table that they choose from;
//! masks are ones, in every other set with zeros in their latter half; token types and states are zeros, a sampling rate is
//! 16 kHz. That is no data: networks answer it with less certainty than they answer what they were trained on, so what survives
//! here mostly survives there.

use super::graph::InputInfo;
use super::{Array, Graph, NetworkError};
use crate::random::SplitMix64;
use std::collections::BTreeMap;

/// Inputs of a network, by name.
pub type Inputs = BTreeMap<String, Array>;

/// Sides of images and lengths of sequences that are tried where the graph does not say, in this order.
const SIZES: [(usize, usize); 7] =
    [(64, 16), (32, 512), (224, 64), (96, 1536), (320, 128), (48, 16_000), (640, 256)];
/// Token numbers are below this where no table says.
const TOKENS: u64 = 100;
/// Elements of one input at most.
const MOST_ELEMENTS: usize = 1 << 24;

/// Ways to make a set of inputs for a graph, the likeliest first: each a choice for the dimensions left open.
pub fn ways(graph: &Graph) -> Vec<Way> {
    let open = graph.inputs.iter().any(|input| input.shape.iter().skip(1).any(Option::is_none));
    let sizes = if open { &SIZES[..] } else { &SIZES[..1] };
    sizes.iter().map(|(side, length)| Way { side: *side, length: *length }).collect()
}

/// A choice for the dimensions that a graph leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    side: usize,
    length: usize,
}

impl Way {
    /// Set number `set` of inputs.
    pub fn inputs(self, graph: &Graph, set: u64) -> Result<Inputs, NetworkError> {
        let make = |(index, input): (usize, &InputInfo)| {
            let mut random = SplitMix64::new(set.wrapping_mul(1000).wrapping_add(index as u64));
            let shape = self.shape(input);
            let count = shape.iter().try_fold(1usize, |n, extent| n.checked_mul(*extent));
            let Some(count) = count.filter(|count| *count <= MOST_ELEMENTS) else {
                let expected = format!("at most {MOST_ELEMENTS} elements to make up");
                return Err(NetworkError::data(
                    format!("input {}", input.name),
                    expected,
                    format!("{shape:?}"),
                ));
            };
            let array = if input.is_float {
                Array::floats(&shape, floats(input, &shape, count, set, &mut random))?
            } else {
                Array::integers(
                    &shape,
                    integers(graph, input, &shape, (count, set), self.length, &mut random),
                )?
            };
            Ok((input.name.clone(), array))
        };
        graph.inputs.iter().enumerate().map(make).collect()
    }

    fn shape(self, input: &InputInfo) -> Vec<usize> {
        let rank = input.shape.len();
        // Channels last: the last of four dimensions is that of a picture's colours.
        let is_last = rank == 4 && matches!(input.shape.last(), Some(Some(1 | 3 | 4)));
        let is_state = is_state(input);
        let open = |(at, extent): (usize, &Option<usize>)| match (extent, at, rank) {
            (Some(extent), _, _) => *extent,
            // What is open of a state is the batch.
            (None, _, _) if is_state => 1,
            (None, 0, _) => 1,
            (None, 1, 4) if !is_last => 3,
            (None, _, 4) => self.side,
            _ => self.length,
        };
        input.shape.iter().enumerate().map(open).collect()
    }
}

fn is_called(input: &InputInfo, words: &[&str]) -> bool {
    let name = input.name.to_ascii_lowercase();
    words.iter().any(|word| name.contains(word))
}

fn is_state(input: &InputInfo) -> bool {
    is_called(input, &["state", "hidden", "cell"]) || matches!(input.name.as_str(), "h" | "c" | "h0" | "c0")
}

fn floats(input: &InputInfo, shape: &[usize], count: usize, set: u64, random: &mut SplitMix64) -> Vec<f32> {
    if is_state(input) {
        return vec![0.0; count];
    }
    if is_called(input, &["mask"]) {
        return mask(shape, count, set).map(f32::from).collect();
    }
    if set % 2 == 1 {
        return (0..count).map(|_| (2.0 * random.unit() - 1.0) as f32).collect();
    }
    // Waves along the last two dimensions, another pair for each of the others.
    let width = shape.last().copied().unwrap_or(1).max(1);
    let plane = shape.iter().rev().take(2).product::<usize>().max(1);
    let mut values = Vec::with_capacity(count);
    let (mut across, mut down, mut phase) = (0.0, 0.0, 0.0);
    for i in 0..count {
        if i % plane == 0 {
            (across, down, phase) = (0.3 * random.unit(), 0.3 * random.unit(), 6.0 * random.unit());
        }
        let (x, y) = ((i % width) as f64, (i % plane / width) as f64);
        values.push((0.8 * libm::sin(across * x + down * y + phase) + 0.2 * random.unit()) as f32);
    }
    values
}

/// Whether integers are reckoned with or decided by, as masks are, where token numbers choose from a table.
fn is_mask(graph: &Graph, name: &str) -> bool {
    let mut values = vec![name];
    // Nodes come in the order that they are run in.
    for node in &graph.nodes {
        if !node.inputs.iter().any(|input| values.contains(&input.as_str())) {
            continue;
        }
        match node.operator.as_str() {
            "Cast" | "Unsqueeze" | "Squeeze" | "Reshape" | "Expand" | "Identity" | "Transpose" | "Slice" => {
                values.extend(node.outputs.iter().map(String::as_str));
            }
            "Sub" | "Mul" | "Not" | "And" | "Or" | "Where" => return true,
            _ => {}
        }
    }
    false
}

/// Ones; in every other set zeros in the latter half, for some masks show with a one and some hide with it.
fn mask(shape: &[usize], count: usize, set: u64) -> impl Iterator<Item = i8> {
    let length = shape.last().copied().unwrap_or(1).max(1);
    (0..count).map(move |i| i8::from(set.is_multiple_of(2) || i % length <= (length - 1) / 2))
}

fn integers(
    graph: &Graph,
    input: &InputInfo,
    shape: &[usize],
    (count, set): (usize, u64),
    length: usize,
    random: &mut SplitMix64,
) -> Vec<i32> {
    if is_called(input, &["mask"]) || is_mask(graph, &input.name) {
        return mask(shape, count, set).map(i32::from).collect();
    }
    if is_called(input, &["type", "segment"]) {
        return vec![0; count];
    }
    if is_called(input, &["sampl", "rate"]) || input.name == "sr" {
        return vec![16_000; count];
    }
    if is_called(input, &["len"]) {
        return vec![length as i32; count];
    }
    if is_called(input, &["position"]) {
        return (0..count as i32).collect();
    }
    let rows = graph.nodes.iter().filter(|node| node.operator == "Gather").filter_map(|node| {
        let chooses = node.input(1) == Some(&input.name);
        let table = graph.constant(node.input(0).filter(|_| chooses)?)?;
        table.shape().first().map(|rows| *rows as u64)
    });
    let below = rows.min().unwrap_or(TOKENS).clamp(1, i32::MAX as u64);
    (0..count).map(|_| (random.bits() % below) as i32).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Builder, Value};
    use super::*;

    fn input(name: &str, shape: &[Option<usize>], is_float: bool) -> InputInfo {
        InputInfo { name: name.to_owned(), shape: shape.to_vec(), is_float }
    }

    #[test]
    fn open_dimensions_get_usual_sizes_and_given_ones_stay() {
        let way = Way { side: 64, length: 16 };
        assert_eq!(way.shape(&input("x", &[None, None, None, None], true)), [1, 3, 64, 64]);
        assert_eq!(way.shape(&input("x", &[None, None, None, Some(3)], true)), [1, 64, 64, 3]);
        assert_eq!(way.shape(&input("ids", &[None, None], false)), [1, 16]);
        assert_eq!(way.shape(&input("x", &[Some(2), Some(5)], true)), [2, 5]);
        assert_eq!(way.shape(&input("sr", &[], false)), [0usize; 0]);
    }

    #[test]
    fn integers_that_are_reckoned_with_are_masks() {
        let graph = |operator| {
            let network = Builder::default()
                .floats("one", &[1], &[1.0])
                .input("m", &[-1, 4])
                .node("Cast", &["m"], &["f"], vec![("to", Value::Int(1))])
                .node(operator, &["one", "f"], &["y"], vec![]);
            Graph::parse(network.output("y").files().model()).unwrap()
        };
        assert!(
            is_mask(&graph("Sub"), "m") && !is_mask(&graph("Add"), "m") && !is_mask(&graph("Sub"), "other")
        );
    }

    #[test]
    fn masks_hide_the_latter_half_in_every_other_set_and_never_all() {
        let made = |length, set| mask(&[2, length], 2 * length, set).collect::<Vec<_>>();
        assert_eq!(made(4, 0), [1; 8]);
        assert_eq!(made(4, 1), [1, 1, 0, 0, 1, 1, 0, 0]);
        assert_eq!((made(3, 1), made(1, 1)), (vec![1, 1, 0, 1, 1, 0], vec![1, 1]));
    }

    #[test]
    fn the_same_set_is_the_same_numbers_and_another_set_others() {
        let x = input("x", &[None, Some(4), Some(5)], true);
        let make = |set| floats(&x, &[1, 4, 5], 20, set, &mut SplitMix64::new(set));
        assert_eq!(make(2), make(2));
        assert_ne!(make(2), make(4));
        assert!(make(3).iter().chain(&make(2)).all(|value| value.abs() <= 1.0));
    }
}
