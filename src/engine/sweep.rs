//! Sweeps: operating points along a method's parameter, few of which are tried, with what bounds them.

use super::EngineError;
use super::evaluate::Evaluated;
use super::gaps::{Measure, Reference, Shannon};
use super::groups::Groups;
use super::pilot::{self, Scale};
use super::report::{Curve, Sweep};
use crate::number;
use crate::quantize::{Method, ParameterKind, Settings, Value, methods};
use crate::recipe::{Checked, Recipe};

/// A curve that a sweep is asked for.
#[derive(Debug, Clone, Copy)]
pub struct AskedCurve {
    /// The method that draws it.
    pub method: &'static Method,
    /// A choice of the method, the word that is chosen, and its title.
    word: Option<(&'static str, &'static str, &'static str)>,
    /// Whether it is solved as if every weight had importance 1, and measured with the importance there is.
    pub is_plain: bool,
}

impl AskedCurve {
    /// The curve of a method's id, of `id:word` where the method has [curves by words](Method::curve), or of either with `:plain`
    /// behind it.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, is_plain) = text.strip_suffix(":plain").map_or((text, false), |id| (id, true));
        let (id, word) = id.split_once(':').map_or((id, None), |(id, word)| (id, Some(word)));
        let method = methods::find(id)?;
        let chosen = word.and_then(|word| method.curve(word));
        (chosen.is_some() == word.is_some()).then_some(Self { method, word: chosen, is_plain })
    }

    /// What it is called.
    fn title(&self) -> String {
        let ignored = if self.is_plain { ", importance ignored" } else { "" };
        let word = self.word.map_or(String::new(), |(_, _, title)| format!(": {title}"));
        format!("{}{word}{ignored}", self.method.title)
    }
}

/// `points` values of a method's swept parameter, from fine to coarse, evenly spread on a logarithmic scale.
pub(super) fn swept_values(method: &Method, points: usize) -> Vec<Value> {
    let (fine, coarse) = method.sweep;
    let last = points.saturating_sub(1).max(1) as f64;
    let at = |i: usize| fine * libm::pow(coarse / fine, i as f64 / last);
    let whole = matches!(method.swept_kind(), Some(ParameterKind::Integer { .. }));
    let mut values: Vec<Value> = (0..points)
        .map(|i| {
            if whole {
                Value::Integer(at(i).round_ties_even() as u64)
            } else {
                Value::Number(number::rounded(at(i), 3))
            }
        })
        .collect();
    values.dedup();
    values
}

/// What a solved recipe takes when it is tried; nothing where histograms tell it.
pub(super) type Trial<'a> = dyn Fn(&Checked, &Evaluated<'_>) -> Result<Option<Scale>, EngineError> + 'a;

/// Operating points of several methods, few of which are tried, with the Shannon bounds beside them; bits of what is kept
/// and the number of parameters make ratios of them.
pub(super) fn sweep(
    groups: &Groups,
    recipe: &Recipe,
    ids: &[&str],
    points: usize,
    (kept_bits, parameters): (u64, u64),
    reference: &mut Option<Reference>,
    trial: &Trial<'_>,
) -> Result<Sweep, EngineError> {
    let mut curves = Vec::new();
    let shannon = Shannon::new(groups);
    let has_importance = recipe.importance.source.is_some();
    for id in ids {
        let Some(asked) = AskedCurve::parse(id) else { continue };
        let AskedCurve { method, word, is_plain: plain } = asked;
        let mut curve = Curve {
            method: (*id).to_owned(),
            title: asked.title(),
            parameter: method.swept.into(),
            points: vec![],
        };
        let mut base = recipe.with_method(method.id);
        if let Some((choice, word, _)) = word {
            base = base.with(choice, Value::Choice(word.to_owned()));
            // What names one format has no family.
            base.settings.retain(|id, _| {
                !method.parameters.iter().any(|own| own.id == id && own.kind == ParameterKind::Format)
            });
        }
        let values = swept_values(method, points).into_iter();
        let recipes: Vec<Checked> =
            values.map(|value| base.with(method.swept, value).check()).collect::<Result<_, _>>()?;
        let settings: Vec<Settings> = recipes.iter().map(|recipe| recipe.settings.clone()).collect();
        let solved = Evaluated::several(groups, method, &settings, plain);
        // A grid too fine for the weights' range ends the curve there.
        let solved: Vec<_> = recipes
            .iter()
            .zip(solved)
            .filter_map(|(recipe, evaluated)| Some((recipe, evaluated.ok()?)))
            .collect();
        let mut knots = Vec::new();
        for (at, (recipe, evaluated)) in solved.iter().enumerate() {
            curve.points.push(evaluated.point(recipe, kept_bits, parameters));
            if pilot::is_knot(at, solved.len()) {
                knots.extend(trial(recipe, evaluated)?.map(|scale| (at, scale)));
            }
        }
        let weighted = has_importance && !plain;
        let measure = Measure { groups, weighted, shannon: shannon.as_ref() };
        measure.fill(method, &mut curve, reference);
        pilot::correct(&knots, &mut curve.points, kept_bits, parameters);
        if word.is_some() {
            // What says its bits itself is one point.
            curve.points.dedup_by(|next, last| (next.bits, next.mse) == (last.bits, last.mse));
        }
        curves.push(curve);
    }
    let bounds = shannon.map(|shannon| shannon.drawn()).unwrap_or_default();
    Ok(Sweep { curves, bounds, left_out: Vec::new() })
}
