//! For each network and method the smallest file that keeps the accuracy.

use super::{Failure, Network, ROWS, Rows};
use quantscope::engine::report::{Outcome, Point, Rate};
use quantscope::entropy::{Coder, Positions};
use quantscope::importance::sources::DEFAULT_SOURCE;
use quantscope::network::NetworkError;
use quantscope::network::measure::{Measures, percent};
use quantscope::network::validation::Validation;
use quantscope::quantize::Value;
use quantscope::quantize::pruning::Pruning;
use quantscope::recipe::Recipe;
use serde_json::json;
use std::path::Path;

/// Points of a curve among which the smallest file is looked for.
const POINTS: usize = 100;

/// Points below the smallest one found that are tried too.
const BELOW: usize = 6;

/// The header of the table.
pub const HEADER: [&str; 9] = [
    "smallest file that keeps accuracy",
    "setting",
    "bytes",
    "ratio",
    "formula",
    "top-1 %",
    "float %",
    "lost, won",
    "McNemar p",
];

/// A network with what it may lose.
struct Case {
    title: &'static str,
    network: Network,
    pruning: Vec<Pruning>,
    /// Points of accuracy that may be lost.
    tolerance: f64,
}

/// A recipe that keeps the accuracy, with what it gave.
struct Smallest {
    recipe: Recipe,
    outcome: Outcome,
    measures: Measures,
}

/// The table.
pub fn rows(data: &Path) -> Result<Rows, Failure> {
    let mut rows = Rows::default();
    for case in cases(data) {
        case.rows(&mut rows)?;
    }
    Ok(rows)
}

fn cases(data: &Path) -> Vec<Case> {
    let resnet = Network::resnet(data);
    vec![
        Case {
            title: "LeNet pruned",
            network: Network::lenet(data),
            pruning: vec![Pruning::Threshold(0.0)],
            tolerance: 0.1,
        },
        Case { title: "ResNet-32", network: resnet.clone(), pruning: vec![Pruning::None], tolerance: 0.5 },
        Case {
            title: "ResNet-32 pruned",
            network: resnet,
            // As far as accuracy lasts without retraining.
            pruning: [0.5, 0.4, 0.3, 0.2, 0.1].map(Pruning::Fraction).to_vec(),
            tolerance: 0.5,
        },
    ]
}

/// Accuracy in per cent.
fn accuracy(measures: &Measures) -> f64 {
    measures.top1.as_ref().map_or(0.0, |share| 100.0 * share.value())
}

impl Case {
    /// The rows of this network.
    fn rows(&self, rows: &mut Rows) -> Result<(), Failure> {
        let mut validation = self.network.validation()?;
        let float = validation.float_measures();
        let least = accuracy(&float) - self.tolerance - 1e-9;
        let Some(pruning) = self.pruning_that_lasts(&mut validation, least)? else {
            rows.cells.push(vec![format!("{}: accuracy does not last", self.title)]);
            return Ok(());
        };
        for (name, id, weighted, ..) in ROWS {
            eprintln!("{}, {name}: the smallest file", self.title);
            // Many zeros are cheaper as gaps between the others.
            let sparse = matches!(pruning, Pruning::Threshold(_));
            let positions = if sparse { Positions::Gaps } else { Positions::Symbols };
            let mut base = Recipe { pruning, coder: Coder::Rans, positions, ..Recipe::paper() };
            id.clone_into(&mut base.method);
            base.importance.source = weighted.then_some(DEFAULT_SOURCE);
            let Some(found) = smallest(&mut validation, &base, id, least)? else { continue };
            rows.cells.push(self.cells(name, pruning, &found, &float));
            let Smallest { outcome, measures, .. } = found;
            rows.json.push(json!({
                "network": self.title, "method": name, "recipe": outcome.recipe, "outcome": outcome, "measures": measures, "float": float,
            }));
        }
        Ok(())
    }

    fn cells(&self, name: &str, pruning: Pruning, found: &Smallest, float: &Measures) -> Vec<String> {
        let Smallest { recipe, outcome, measures } = found;
        let against = measures.against.as_ref();
        let pruned = match pruning {
            Pruning::Fraction(share) => format!(" {:.0} %", 100.0 * share),
            _ => String::new(),
        };
        let settings: Vec<String> =
            recipe.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            format!("{}{pruned}, {name}", self.title),
            settings.join(" "),
            outcome.file_bytes.to_string(),
            format!("{:.2}", outcome.float32_ratio),
            format!("{:.2}", outcome.point.formula_ratio),
            measures.top1.as_ref().map(percent).unwrap_or_default(),
            format!("{:.2}", accuracy(float)),
            against.map(|a| format!("{}, {}", a.lost, a.won)).unwrap_or_default(),
            against.and_then(|a| a.p_value).map(|p| format!("{p:.2}")).unwrap_or_default(),
        ]
    }

    /// The strongest pruning after which the network, otherwise hardly touched, still has its accuracy.
    fn pruning_that_lasts(
        &self,
        validation: &mut Validation,
        least: f64,
    ) -> Result<Option<Pruning>, NetworkError> {
        if let [only] = self.pruning.as_slice() {
            return Ok(Some(*only));
        }
        for pruning in &self.pruning {
            let fine = Recipe { pruning: *pruning, ..Recipe::paper() }.with("step", Value::Number(0.01));
            let (_, measures) = validation.point(&fine, &|_, _, _| ())?;
            if measures.top1.as_ref().is_some_and(|share| 100.0 * share.value() >= least) {
                return Ok(Some(*pruning));
            }
        }
        Ok(None)
    }
}

/// The smallest file of a method's curve whose accuracy is `least` at least. Accuracy rises with rate but for noise: halve,
/// then look at a few points below for one that holds all the same.
fn smallest(
    validation: &mut Validation,
    base: &Recipe,
    id: &str,
    least: f64,
) -> Result<Option<Smallest>, NetworkError> {
    let mut points = validation.curve(base, id, POINTS)?;
    let rate = |point: &Point| point.rate(Rate::Coder(Coder::Rans));
    points.sort_by(|(_, a), (_, b)| rate(a).total_cmp(&rate(b)));
    let mut best = None;
    let mut holds = |at: usize, best: &mut Option<Smallest>| -> Result<bool, NetworkError> {
        let Some((recipe, _)) = points.get(at) else { return Ok(false) };
        let (quantized, measures) = validation.point(recipe, &|_, _, _| ())?;
        let holds = accuracy(&measures) >= least;
        if holds {
            *best = Some(Smallest { recipe: recipe.clone(), outcome: quantized.outcome, measures });
        }
        Ok(holds)
    };
    let (mut low, mut high) = (0, points.len().saturating_sub(1));
    while low < high {
        let middle = usize::midpoint(low, high);
        if holds(middle, &mut best)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if best.is_none() {
        holds(high, &mut best)?;
    }
    for at in (high.saturating_sub(BELOW)..high).rev() {
        holds(at, &mut best)?;
    }
    Ok(best)
}
