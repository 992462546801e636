//! Sources of importance through the library: what weights share is what it would be if every weight had it.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use quantscope::container::TensorBits;
use quantscope::engine::open_container;
use quantscope::engine::pipeline::Opened;
use quantscope::formats::{self, Limits};
use quantscope::importance::sources::{SOURCES, find};
use quantscope::importance::values::Columns;
use quantscope::importance::{Importance, ImportanceChoice, Values};
use quantscope::quantize::methods::METHODS;
use quantscope::recipe::Recipe;
use quantscope::role::InputAxis;
use support::{Random, f32_bytes, safetensors};

type Named<'a> = (&'a str, &'a str, &'a [u64], Vec<u8>);

/// A matrix of several blocks, which end within rows, and two kernels.
const SHAPES: [(&str, &[u64]); 3] =
    [("fc.weight", &[211, 403]), ("conv1.weight", &[8, 3, 3, 3]), ("conv2.weight", &[6, 8, 5])];

fn model() -> Vec<u8> {
    let mut random = Random(3);
    let weights = SHAPES.map(|(name, shape)| {
        let count = shape.iter().product();
        (name, "F32", shape, f32_bytes(&(0..count).map(|_: u64| random.laplace(0.1)).collect::<Vec<_>>()))
    });
    safetensors(&weights)
}

/// Numbers for the columns of each tensor: of the matrix, of the first kernel's places, of the second kernel's inputs.
fn numbers(odd: &[f32]) -> [Vec<f32>; 3] {
    let mut random = Random(5);
    let mut of = |count: usize| -> Vec<f32> {
        let mut numbers: Vec<f32> =
            (0..count).map(|_| (random.uniform() * random.uniform()) as f32).collect();
        numbers.iter_mut().skip(1).zip(odd).for_each(|(number, odd)| *number = *odd);
        numbers
    };
    [of(403), of(27), of(8)]
}

/// A file of importance, a tensor for each of the model's.
fn file(of: impl Fn(usize, &'static [u64]) -> (Vec<u64>, Vec<f32>)) -> Vec<u8> {
    let made: Vec<(Vec<u64>, Vec<f32>)> =
        SHAPES.iter().enumerate().map(|(index, (_, shape))| of(index, shape)).collect();
    let named = SHAPES
        .iter()
        .zip(&made)
        .map(|((name, _), (shape, numbers))| -> Named<'_> { (name, "F32", shape, f32_bytes(numbers)) });
    safetensors(&named.collect::<Vec<_>>())
}

fn per_column(numbers: &[Vec<f32>; 3]) -> Vec<u8> {
    file(|index, _| (vec![numbers[index].len() as u64], numbers[index].clone()))
}

/// The same as a number for every weight.
fn per_weight(numbers: &[Vec<f32>; 3]) -> Vec<u8> {
    file(|index, shape| {
        let inner: u64 = shape[1..].iter().product();
        let (count, weights) = (numbers[index].len() as u64, shape.iter().product::<u64>());
        let number = |i: u64| numbers[index][(i % inner / (inner / count)) as usize];
        (shape.to_vec(), (0..weights).map(number).collect())
    })
}

/// The same as the diagonals of matrices.
fn moments(numbers: &[Vec<f32>; 3]) -> Vec<u8> {
    file(|index, _| {
        let count = numbers[index].len();
        let mut matrix = vec![-7.0; count * count];
        matrix.iter_mut().step_by(count + 1).zip(&numbers[index]).for_each(|(slot, number)| *slot = *number);
        (vec![count as u64; 2], matrix)
    })
}

/// All of a compressed file but its manifest, and what was noted.
fn compressed(importance: Vec<u8>, line: &str) -> ([Vec<u8>; 2], Vec<String>) {
    let (file, outcome) = support::compressed(model(), importance, line);
    let reader = open_container(&file).unwrap();
    let ledger = reader.ledger();
    let bytes = |bits: u64| (bits / 8) as usize;
    let blocks = 9 + bytes(ledger.tensors.iter().map(TensorBits::total_bits).sum());
    let tables = blocks + bytes(ledger.skeleton_bits + ledger.manifest_bits);
    let end = tables + bytes(ledger.codebook_bits + ledger.table_bits);
    ([file[..blocks].to_vec(), file[tables..end].to_vec()], outcome.notes)
}

fn refusal(importance: Vec<u8>, line: &str) -> String {
    let recipe = Recipe::from_line(line).unwrap();
    let opened = Opened::sketch((model(), "m".to_owned()), Some(importance), &recipe, 1, &|_, _, _| ());
    opened.unwrap_err().to_string()
}

#[test]
fn a_number_for_a_column_is_that_number_for_each_of_its_weights() {
    let odd = [f32::NAN, f32::INFINITY, -1.0, 0.0];
    let numbers = numbers(&odd);
    let rests = ["&scope=all&alpha=0.5", "&scope=tensor&floor=0.01", "&scope=channel"];
    for (index, method) in METHODS.iter().enumerate() {
        let line = |rest: &str, source: &str| format!("method={}{rest}&importance={source}", method.id);
        let mut allowed = rests.iter().cycle().skip(index).take(3);
        let rest = allowed.find(|rest| Recipe::from_line(&line(rest, "file")).is_ok()).unwrap();
        let (columns, notes) = compressed(per_column(&numbers), &line(rest, "columns"));
        let (weights, same_notes) = compressed(per_weight(&numbers), &line(rest, "file"));
        assert!(columns == weights, "{} {rest}", method.id);
        assert_eq!(notes, same_notes);
        assert!(notes.iter().any(|note| note.contains("not a number")), "{notes:?}");
    }
}

#[test]
fn second_moments_weigh_by_their_diagonal() {
    let numbers = numbers(&[f32::NAN, f32::INFINITY, 0.0]);
    for line in ["method=kmeans&k=7&scope=all&importance=", "method=trellis&step=0.3&importance="] {
        let (moments, notes) = compressed(moments(&numbers), &format!("{line}moments"));
        let (columns, same_notes) = compressed(per_column(&numbers), &format!("{line}columns"));
        assert!(moments == columns && notes == same_notes, "{line}");
    }
    let model = formats::open(&model(), &Limits::default()).unwrap();
    let other = formats::open(&moments(&numbers), &Limits::default()).unwrap();
    let source = find("moments").unwrap();
    let importance = Importance::new(source, &ImportanceChoice::of(source), &model, &other).unwrap();
    let whole = importance.partner(0).unwrap();
    assert_eq!(whole.tensor.shape, [403, 403]);
    assert!(
        matches!(whole.values, Values::SecondMoments(columns) if (columns.count, columns.run) == (403, 1))
    );
}

#[test]
fn a_file_that_does_not_fit_is_refused_with_what_it_is() {
    let numbers = numbers(&[]);
    assert_eq!(
        refusal(per_column(&numbers), "importance=file"),
        "importance: tensor fc.weight: expected shape [211, 403] as in the model, found [403]; it is one for \
         importance=columns"
    );
    assert_eq!(
        refusal(per_column(&numbers), "importance=moments"),
        "importance: tensor fc.weight: expected a square matrix, a row for each column of [211, 403], found [403]; it is \
         one for importance=columns"
    );
    assert_eq!(
        refusal(moments(&numbers), "importance=columns"),
        "importance: tensor fc.weight: expected a vector, a number for each column of [211, 403], found [403, 403]; it is \
         one for importance=moments"
    );
    let odd = safetensors(&[("fc.weight", "F32", &[402], f32_bytes(&[1.0; 402]))]);
    assert_eq!(
        refusal(odd, "importance=columns"),
        "importance: tensor fc.weight: expected a vector, a number for each column of [211, 403], found [402]"
    );
    let negative = self::numbers(&[-1.0]);
    assert_eq!(
        refusal(moments(&negative), "importance=moments"),
        "importance: expected second moments, which are squares, found 249 negative numbers of 85489: that file holds no \
         second moments"
    );
    for worthless in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let vector = safetensors(&[("fc.weight", "F32", &[403], f32_bytes(&[worthless; 403]))]);
        assert_eq!(
            refusal(vector, "importance=columns"),
            "importance: every value is zero, negative or not a number",
            "{worthless}"
        );
    }
}

#[test]
fn tensors_without_columns_weigh_nothing_and_harm_nothing() {
    let model = safetensors(&[
        ("w", "F32", &[2, 3], f32_bytes(&[0.1, -0.2, 0.3, -0.4, 0.5, 0.6])),
        ("a", "F32", &[3, 0], Vec::new()),
        ("b", "F32", &[0, 3], Vec::new()),
        ("c", "F32", &[2, 0, 3], Vec::new()),
        ("scalar", "F32", &[], f32_bytes(&[1.0])),
    ]);
    let vectors = safetensors(&[
        ("w", "F32", &[1, 3], f32_bytes(&[1.0, 2.0, 3.0])),
        ("a", "F32", &[0], Vec::new()),
        ("b", "F32", &[3], f32_bytes(&[1.0, 2.0, 3.0])),
        ("c", "F32", &[0], Vec::new()),
        ("scalar", "F32", &[1], f32_bytes(&[2.0])),
    ]);
    let matrices = safetensors(&[
        ("w", "F32", &[3, 3], f32_bytes(&[1.0; 9])),
        ("a", "F32", &[0, 0], Vec::new()),
        ("scalar", "F32", &[1, 1], f32_bytes(&[2.0])),
    ]);
    for (source, importance) in [("columns", vectors), ("moments", matrices)] {
        let recipe = Recipe::from_line(&format!("method=kmeans&k=2&roles=all&importance={source}")).unwrap();
        let opened = (model.clone(), "m".to_owned());
        let mut opened = Opened::sketch(opened, Some(importance), &recipe, 1, &|_, _, _| ()).unwrap();
        let (file, _, plan) = opened.compress(&recipe, Vec::new(), &|_, _, _| ()).unwrap();
        assert_eq!(opened.verify(&plan, &file, &|_, _, _| ()).unwrap().mismatches, 0, "{source}");
    }
}

#[test]
fn more_columns_than_can_be_held_are_refused_before_they_are_read() {
    let huge = 1u64 << 40;
    let mut model = formats::open(&model(), &Limits::default()).unwrap();
    model.tensors.truncate(1);
    let mut other = model.clone();
    model.tensors[0].shape = vec![2, huge];
    for (id, shape) in [("columns", vec![huge]), ("moments", vec![huge, huge])] {
        other.tensors[0].shape = shape;
        let source = find(id).unwrap();
        let refused = Importance::new(source, &ImportanceChoice::of(source), &model, &other).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "importance: expected at most 33554432 columns and units in all, found 1099511627776"
        );
    }
}

#[test]
fn every_source_reads_what_it_is_recognised_by() {
    let numbers = numbers(&[]);
    let states: Vec<Named> = SHAPES
        .iter()
        .enumerate()
        .map(|(index, (_, shape))| {
            let name = ["state.0.exp_avg_sq", "state.1.exp_avg_sq", "state.2.exp_avg_sq"][index];
            (
                name,
                "F32",
                *shape,
                f32_bytes(&vec![index as f32 + 1.0; shape.iter().product::<u64>() as usize]),
            )
        })
        .collect();
    let files = [
        ("file", per_weight(&numbers)),
        ("adam", safetensors(&states)),
        ("columns", per_column(&numbers)),
        ("moments", moments(&numbers)),
    ];
    assert_eq!(files.len(), SOURCES.len(), "a file of every source");
    let ours = formats::open(&model(), &Limits::default()).unwrap();
    for (id, file) in files {
        let other = formats::open(&file, &Limits::default()).unwrap();
        let (told, _) = quantscope::importance::sources::recognise(&ours, &other).unwrap();
        assert_eq!(told.id, id);
        let ([blocks, tables], _) = compressed(file, &format!("method=kmeans&k=5&importance={id}"));
        assert!(!blocks.is_empty() && !tables.is_empty());
    }
}

#[test]
fn an_onnx_network_says_which_axis_of_its_square_matrices_is_the_inputs() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("www/samples/transformer.onnx");
    let model = formats::open(&std::fs::read(path).unwrap(), &Limits::default()).unwrap();
    let matrices = model.tensors.iter().filter(|tensor| tensor.found.inputs == InputAxis::First);
    let mut squares = 0;
    for tensor in matrices {
        let [inputs, outputs] = tensor.shape[..] else { panic!("{}: {:?}", tensor.name, tensor.shape) };
        assert_eq!(
            Columns::of(tensor, inputs),
            Some(Columns { count: inputs, run: outputs }),
            "{}",
            tensor.name
        );
        squares += u32::from(inputs == outputs);
    }
    assert!(squares > 0, "no square matrix of MatMul");
}
