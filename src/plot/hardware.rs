//! What the hardware model says, as charts: energies by part, and which constant moves a result.

use super::spans::{Span, SpanRow, Spans};
use crate::cost::{Bill, Energy, Quantity, Swing};

impl Spans {
    /// Energy of an inference by its parts, a row for every format.
    pub fn of_bills(bills: &[Bill]) -> Self {
        let most = bills.iter().map(|bill| bill.energy.total()).fold(0.0, f64::max);
        let (unit, size) = Quantity::Energy.unit(most);
        let row = |bill: &Bill| {
            let parts = bill.energy.parts().map(|(_, energy)| energy / size);
            SpanRow::stacked(bill.design.clone(), &parts, Quantity::Energy.text(bill.energy.total()))
        };
        Self {
            rows: bills.iter().map(row).collect(),
            keys: Energy::default().parts().map(|(part, _)| part.to_owned()).to_vec(),
            base: 0.0,
            x_title: format!("{}, {unit}", Quantity::Energy.title()),
        }
    }

    /// A result with every constant at half and at double, a row for each.
    pub fn of_tornado(swings: &[Swing], quantity: Quantity) -> Self {
        let most = swings.iter().map(|swing| swing.halved.max(swing.doubled)).fold(0.0, f64::max);
        let (unit, size) = quantity.unit(most);
        let row = |swing: &Swing| {
            let span = |to: f64, key| Span { from: swing.base / size, to: to / size, key };
            SpanRow {
                title: swing.constant().map(|constant| constant.title().to_owned()).unwrap_or_default(),
                spans: vec![span(swing.halved, 0), span(swing.doubled, 1)],
                label: format!("{} to {}", quantity.text(swing.halved), quantity.text(swing.doubled)),
            }
        };
        Self {
            rows: swings.iter().map(row).collect(),
            keys: vec!["with half the constant".to_owned(), "with twice the constant".to_owned()],
            base: swings.first().map_or(0.0, |swing| swing.base / size),
            x_title: format!("{}, {unit}", quantity.title()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::{Constants, Design, Layer, Workload, tornado};

    #[test]
    fn a_bar_ends_at_the_whole_energy_and_a_constant_leaves_what_is() {
        let workload = Workload { layers: vec![Layer::dense("fc", 500, 100)] };
        let (design, constants) = (Design::fp32(), Constants::default());
        let bill = Bill::of(&workload, &design, &constants).unwrap();
        let chart = Spans::of_bills(std::slice::from_ref(&bill));
        let end = chart.rows[0].spans.last().unwrap().to;
        assert!((end * 1e6 - bill.energy.total()).abs() < 1e-3 && chart.x_title.ends_with("µJ"), "{end}");
        let swings = tornado(&workload, &design, &constants, Quantity::Energy).unwrap();
        let chart = Spans::of_tornado(&swings, Quantity::Energy);
        assert_eq!(chart.rows[0].title, "access, DDR3/4");
        assert!(chart.rows.iter().flat_map(|row| &row.spans).all(|span| span.from == chart.base));
    }
}
