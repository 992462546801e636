//! Methods ranked by what was measured, and how far that is from what was predicted.
//!
//! Weighted squared errors predict the change of the loss by its second-order term, ½ Σ h δ² (`LeCun`, Denker and Solla,
//! 1990). Far from the float weights no parabola holds, and a method that is best by the prediction may be the worst by the
//! answers: where networks were run, their answers rank the methods, at the same number of bits.

use super::measure::Measures;

/// A point counts as apart from its prediction where the loss changes by more than so many times of what was predicted, and
/// by more nats than these: below, both are nothing.
const APART: f64 = 3.0;
const NATS: f64 = 0.02;

/// A measured point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked<'a> {
    /// The method, as it is to be called.
    pub method: &'a str,
    /// Bits per weight of the whole file.
    pub bits: f64,
    /// What the network answered.
    pub measures: &'a Measures,
    /// ½ Σ h δ², nats, where there is curvature.
    pub predicted: Option<f64>,
}

impl Ranked<'_> {
    /// Right answers, or where there are no labels those that are the float network's.
    fn share(&self) -> Option<f64> {
        let against = self.measures.against.as_ref().map(|against| &against.agreement);
        self.measures.top1.as_ref().or(against).map(super::measure::Share::value)
    }

    fn change(&self) -> Option<f64> {
        self.measures.against.as_ref()?.loss_change
    }
}

/// The methods by their measured shares at the same number of bits, best first, in a sentence; `None` where there are not two to
/// compare.
pub fn ranking(points: &[Ranked<'_>]) -> Option<String> {
    let mut curves: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    for point in points {
        let Some(share) = point.share() else { continue };
        match curves.iter_mut().find(|(method, _)| *method == point.method) {
            Some((_, curve)) => curve.push((point.bits, share)),
            None => curves.push((point.method, vec![(point.bits, share)])),
        }
    }
    curves.retain(|(_, curve)| curve.len() > 1);
    for (_, curve) in &mut curves {
        curve.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    let ends = |(_, curve): &(&str, Vec<(f64, f64)>)| Some((curve.first()?.0, curve.last()?.0));
    let (low, high) = curves
        .iter()
        .filter_map(ends)
        .fold((0.0, f64::INFINITY), |(low, high), (a, b)| (f64::max(low, a), f64::min(high, b)));
    if curves.len() < 2 || low > high {
        return None;
    }
    // Where files are small, methods differ most.
    let at = low + (high - low) / 4.0;
    let mut ranked: Vec<(&str, f64)> =
        curves.iter().filter_map(|(method, curve)| Some((*method, between(curve, at)?))).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let list: Vec<String> =
        ranked.iter().map(|(method, share)| format!("{method} {:.1} %", 100.0 * share)).collect();
    Some(format!("Measured at {at:.2} bits per weight, best first: {}.", list.join(", ")))
}

fn between(curve: &[(f64, f64)], at: f64) -> Option<f64> {
    let next = curve.iter().position(|(bits, _)| *bits >= at)?;
    let (right, left) = (curve.get(next)?, curve.get(next.saturating_sub(1))?);
    let width = right.0 - left.0;
    Some(if width > 0.0 { left.1 + (right.1 - left.1) * (at - left.0) / width } else { right.1 })
}

/// A warning where the loss changes by much more than errors weighed by curvature let expect.
pub fn parting(points: &[Ranked<'_>]) -> Option<String> {
    let both: Vec<(&Ranked<'_>, f64, f64)> =
        points.iter().filter_map(|point| Some((point, point.predicted?, point.change()?))).collect();
    let apart: Vec<_> =
        both.iter().filter(|(_, predicted, change)| *change > NATS && *change > APART * predicted).collect();
    let (point, predicted, change) = apart.iter().max_by(|a, b| (a.2 - a.1).total_cmp(&(b.2 - b.1)))?;
    Some(format!(
        "Prediction and measurement part: {} of {} points lose more than three times what ½ Σ h δ² predicts, most of all {} at {:.2} \
         bits ({predicted:.3} nats predicted, {change:.3} measured). Weighted SQNR is the same prediction: rank methods by what was \
         measured.",
        apart.len(),
        both.len(),
        point.method,
        point.bits
    ))
}

#[cfg(test)]
mod tests {
    use super::super::measure::{Against, Share};
    use super::*;

    fn measures(right: u64, change: f64) -> Measures {
        let share = Share::new(right, 100);
        let against = Against {
            agreement: share,
            lost: 0,
            won: 0,
            p_value: None,
            sqnr_db: 10.0,
            divergence: 0.0,
            divergence_error: 0.0,
            acceptance: 1.0,
            loss_change: Some(change),
            loss_error: None,
        };
        Measures { answers: 100, top1: Some(share), top5: None, loss: None, against: Some(against) }
    }

    #[test]
    fn methods_are_ranked_at_the_same_bits_between_their_points() {
        let (all, some, few) = (measures(90, 0.0), measures(80, 0.0), measures(40, 0.0));
        let point = |method, bits, measures| Ranked { method, bits, measures, predicted: None };
        let points = [
            point("late", 4.0, &all),
            point("late", 2.0, &few),
            point("early", 2.0, &some),
            point("early", 6.0, &all),
            point("single", 3.0, &all),
        ];
        let said = ranking(&points).unwrap();
        assert_eq!(said, "Measured at 2.50 bits per weight, best first: early 81.2 %, late 52.5 %.");
        assert_eq!(ranking(&points[..2]), None);
        assert_eq!(ranking(&[]), None);
    }

    #[test]
    fn a_loss_far_beyond_its_prediction_is_warned_of() {
        let (bad, fair, nothing) = (measures(60, 1.706), measures(90, 0.03), measures(95, 0.01));
        let point = |method, measures, predicted| Ranked { method, bits: 2.5, measures, predicted };
        let points = [
            point("ecsq", &bad, Some(0.019)),
            point("trellis", &fair, Some(0.02)),
            point("rdo", &nothing, Some(0.001)),
            point("kmeans", &bad, None),
        ];
        let said = parting(&points).unwrap();
        assert!(said.starts_with("Prediction and measurement part: 1 of 3 points"), "{said}");
        assert!(said.contains("ecsq at 2.50 bits (0.019 nats predicted, 1.706 measured)"), "{said}");
        assert_eq!(parting(&points[1..]), None);
    }
}
