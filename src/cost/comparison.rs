//! A bill beside the baselines, in words: what tables of the program and the page show.

use super::{Bill, Quantity};

impl Bill {
    /// Its figures beside those of the first two of `all`, single and half precision, in words: energy of the arithmetic alone
    /// and how many times less than in fp32, time of the multiply-adds alone and the same; energy of the whole system and how
    /// many times less than in fp32 and fp16, time and the same; what it waits for.
    pub fn beside(&self, all: &[Self]) -> [String; 11] {
        let [fp32, fp16] = [0, 1].map(|at| all.get(at));
        let times = |figure: fn(&Self) -> f64, base: Option<&Self>| {
            let own = figure(self);
            let times = |base: &Self| if own > 0.0 { figure(base) / own } else { 1.0 };
            base.map_or_else(String::new, |base| format!("{:.2}", times(base)))
        };
        let energy = |figure: fn(&Self) -> f64| Quantity::Energy.text(figure(self));
        let time = |figure: fn(&Self) -> f64| Quantity::Time.text(figure(self));
        [
            energy(|bill| bill.energy.arithmetic()),
            times(|bill| bill.energy.arithmetic(), fp32),
            time(|bill| bill.time.multiply_adds),
            times(|bill| bill.time.multiply_adds, fp32),
            energy(|bill| bill.energy.total()),
            times(|bill| bill.energy.total(), fp32),
            times(|bill| bill.energy.total(), fp16),
            time(|bill| bill.time.total),
            times(|bill| bill.time.total, fp32),
            times(|bill| bill.time.total, fp16),
            self.bound().to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Constants, Design, Layer, Workload};
    use super::*;

    #[test]
    fn a_baseline_is_once_itself_and_nothing_is_not_divided_by() {
        let workload = Workload { layers: vec![Layer::dense("fc", 500, 10)] };
        let bills = |workload: &Workload| {
            let of = |design: &Design| Bill::of(workload, design, &Constants::default()).unwrap();
            Design::baselines().iter().map(of).collect::<Vec<_>>()
        };
        let all = bills(&workload);
        let texts = all[0].beside(&all);
        assert_eq!(["1.00"; 4], [1, 3, 5, 8].map(|at| texts[at].as_str()));
        assert_eq!(all[1].beside(&all)[9], "1.00");
        assert!(all[2].beside(&all)[5].starts_with("4."));
        assert_eq!(texts[10], "off-chip memory");
        let none = bills(&Workload::default());
        assert!(none[2].beside(&none)[..10].iter().all(|text| text == "1.00" || text.starts_with("0 ")));
    }
}
