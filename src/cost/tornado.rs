//! Which constant moves the result most: every one at half and at double.

use super::{Bill, CONSTANTS, Constant, Constants, CostError, Design, Key, Workload};

/// The result that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Quantity {
    /// Energy of an inference, in pJ.
    Energy,
    /// Time of an inference, in seconds.
    Time,
    /// Energy in single precision over energy in the design.
    EnergySaving,
    /// Time in single precision over time in the design.
    Speedup,
}

impl Quantity {
    /// Every quantity.
    pub const ALL: [Self; 4] = [Self::Energy, Self::Time, Self::EnergySaving, Self::Speedup];

    /// Its name on the command line.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::Time => "time",
            Self::EnergySaving => "saving",
            Self::Speedup => "speedup",
        }
    }

    /// The quantity of an id.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quantity| quantity.id() == id)
    }

    /// Its name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Energy => "energy of an inference",
            Self::Time => "time of an inference",
            Self::EnergySaving => "energy in fp32 over energy",
            Self::Speedup => "time in fp32 over time",
        }
    }

    /// The unit in which a value can be read, with what its size is in pJ or seconds.
    pub fn unit(self, value: f64) -> (&'static str, f64) {
        let units: &[(&str, f64)] = match self {
            Self::Energy => &[("pJ", 1.0), ("nJ", 1e3), ("µJ", 1e6), ("mJ", 1e9), ("J", 1e12)],
            Self::Time => &[("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)],
            Self::EnergySaving | Self::Speedup => &[("×", 1.0)],
        };
        let fits = units.iter().rev().find(|(_, size)| value.abs() >= *size);
        fits.or(units.first()).copied().unwrap_or(("", 1.0))
    }

    /// A value in four digits with its unit.
    ///
    /// ```
    /// use quantscope::cost::Quantity;
    /// assert_eq!(Quantity::Energy.text(1_234_567.0), "1.235 µJ");
    /// assert_eq!((Quantity::Time.text(0.0), Quantity::Speedup.text(7.2)), ("0 ns".to_owned(), "7.2 ×".to_owned()));
    /// ```
    pub fn text(self, value: f64) -> String {
        let (unit, size) = self.unit(value);
        format!("{} {unit}", crate::number::rounded(value / size, 4))
    }

    fn of(self, workload: &Workload, design: &Design, constants: &Constants) -> Result<f64, CostError> {
        let bill = Bill::of(workload, design, constants)?;
        let fp32 = || Bill::of(workload, &Design::fp32().beside(design), constants);
        let ratio = |own: f64, other: f64| if own > 0.0 { other / own } else { 1.0 };
        Ok(match self {
            Self::Energy => bill.energy.total(),
            Self::Time => bill.time.total,
            Self::EnergySaving => ratio(bill.energy.total(), fp32()?.energy.total()),
            Self::Speedup => ratio(bill.time.total, fp32()?.time.total),
        })
    }
}

/// What a constant does to a result.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Swing {
    /// The constant.
    pub key: Key,
    /// The result as it is.
    pub base: f64,
    /// With half the constant, or its smallest value.
    pub halved: f64,
    /// With twice the constant, or its largest value.
    pub doubled: f64,
}

impl Swing {
    /// The constant's row.
    pub fn constant(&self) -> Option<&'static Constant> {
        CONSTANTS.get(self.key as usize)
    }

    /// How far apart the two are.
    pub fn width(&self) -> f64 {
        (self.doubled - self.halved).abs()
    }
}

/// The constants that move a result, the one that moves it most first; those that do not are left out. Two bills for each.
pub fn tornado(
    workload: &Workload,
    design: &Design,
    constants: &Constants,
    quantity: Quantity,
) -> Result<Vec<Swing>, CostError> {
    let base = quantity.of(workload, design, constants)?;
    let mut swings = Vec::new();
    for constant in CONSTANTS {
        let with = |factor: f64| {
            let mut changed = constants.clone();
            changed.put(constant, constants.get(constant.key) * factor);
            quantity.of(workload, design, &changed)
        };
        let swing = Swing { key: constant.key, base, halved: with(0.5)?, doubled: with(2.0)? };
        if swing.halved != base || swing.doubled != base {
            swings.push(swing);
        }
    }
    swings.sort_by(|a, b| b.width().total_cmp(&a.width()).then(a.key.cmp(&b.key)));
    Ok(swings)
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::*;

    fn dense() -> Workload {
        Workload { layers: vec![Layer::dense("fc", 500, 100)] }
    }

    #[test]
    fn what_moves_weights_moves_a_fully_connected_layer_most() {
        let constants = Constants::default();
        let swings = tornado(&dense(), &Design::fp32(), &constants, Quantity::Energy).unwrap();
        assert_eq!(swings[0].key, Key::Dram);
        let base = Bill::of(&dense(), &Design::fp32(), &constants).unwrap();
        let dram = 50_000.0 * 32.0 / 64.0 * 1300.0;
        assert!((swings[0].doubled - base.energy.total() - dram).abs() < 1e-6);
        assert!((base.energy.total() - swings[0].halved - dram / 2.0).abs() < 1e-6);
        assert!(swings.windows(2).all(|pair| pair[0].width() >= pair[1].width()));
        assert!(swings.iter().all(|swing| swing.key != Key::Hbm2 && swing.key != Key::Clock));
    }

    #[test]
    fn ratios_do_not_move_with_what_both_sides_share() {
        let [_, half, _] = Design::baselines();
        let constants = Constants::default();
        let times = tornado(&dense(), &half, &constants, Quantity::Speedup).unwrap();
        // Both wait for DRAM whatever its bandwidth: half the bits, half the time.
        assert!(times.iter().all(|swing| swing.key != Key::DramBandwidth), "{times:?}");
        let own = tornado(&dense(), &Design::fp32(), &constants, Quantity::EnergySaving).unwrap();
        assert_eq!(own, []);
    }

    #[test]
    fn constants_stay_in_their_ranges() {
        let mut constants = Constants::default();
        constants.set("reuse", "1").unwrap();
        let swings = tornado(&dense(), &Design::fp32(), &constants, Quantity::Energy).unwrap();
        let reuse = swings.iter().find(|swing| swing.key == Key::Reuse).unwrap();
        assert_eq!(reuse.halved, reuse.base);
    }
}
