//! A format for every layer, by measured sensitivity, beside one format for all.
//!
//! The ladder is the formats of a space, from few bits to many, on each number of bits the one with the largest R², where that is
//! larger than with fewer bits. All layers
//! start on the rung of the uniform choice, from which a layer can only go down. Of every layer and every lower rung the first
//! set of samples says what is lost, 1 − R², the others staying where they are. Then, greedily, the step down that loses least
//! for what it saves, bits times multiply-adds, is tried on all samples: it stays where the target holds, else the layer goes
//! no further.
//!
//! The paper argues against mixing (Hill et al. 2018, section 4.2): units as wide as the widest layer idle where others are
//! narrower. [`Mixed::idle`] says by how much.
//!
//! Cost: layers × lower rungs × the first set, and all samples for every step that is tried.

use super::race::Target;
use super::scorer::Scorer;
use super::trial::{Ask, Candidate, Fate, Heard};
use crate::network::NetworkError;
use crate::network::emulate::TensorFormat;
use crate::order::key_f64;
use std::collections::BTreeMap;

/// A layer that can have a format of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighed {
    /// Its node's name.
    pub name: String,
    /// Its multiply-adds for one sample.
    pub multiply_adds: u64,
}

/// Formats by layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixed {
    /// The ladder, from few bits to many, up to the uniform choice.
    pub ladder: Vec<TensorFormat>,
    /// Each layer with its rung.
    pub layers: Vec<(Weighed, usize)>,
    /// What all samples said of them.
    pub heard: Heard,
    /// Samples that were run.
    pub runs: usize,
}

impl Mixed {
    /// The format of a layer.
    fn format(&self, layer: usize) -> Option<TensorFormat> {
        let (_, rung) = self.layers.get(layer)?;
        self.ladder.get(*rung).copied()
    }

    /// Bits of a multiply-add's operands, in the mean over all of them.
    pub fn mean_bits(&self) -> f64 {
        let all: f64 = self.layers.iter().map(|(layer, _)| layer.multiply_adds as f64).sum();
        let bits = |(at, (layer, _)): (usize, &(Weighed, usize))| {
            layer.multiply_adds as f64 * self.format(at).map_or(32.0, |format| format.bits())
        };
        self.layers.iter().enumerate().map(bits).sum::<f64>() / all.max(1.0)
    }

    /// The share of bits that units as wide as the widest layer leave unused.
    pub fn idle(&self) -> f64 {
        let bits = (0..self.layers.len()).filter_map(|at| self.format(at)).map(|format| format.bits());
        let widest = bits.fold(0.0, f64::max);
        if widest > 0.0 { 1.0 - self.mean_bits() / widest } else { 0.0 }
    }

    /// The formats by the names of their nodes.
    pub fn formats(&self) -> BTreeMap<String, TensorFormat> {
        let formats = self.layers.iter().enumerate();
        formats.filter_map(|(at, (layer, _))| Some((layer.name.clone(), self.format(at)?))).collect()
    }
}

/// On each number of bits up to those of `choice` the candidate with the largest R², if none with fewer bits has as large a one.
fn ladder(candidates: &[Candidate], formats: &[TensorFormat], choice: usize) -> Vec<TensorFormat> {
    let Some(top) = formats.get(choice) else { return Vec::new() };
    let mut rungs: BTreeMap<u64, (f64, TensorFormat)> = BTreeMap::new();
    for (candidate, format) in candidates.iter().zip(formats).filter(|(c, _)| c.bits < top.bits()) {
        let best = rungs.entry(key_f64(candidate.bits)).or_insert((candidate.heard.r2, *format));
        if candidate.heard.r2 > best.0 {
            *best = (candidate.heard.r2, *format);
        }
    }
    // What has a larger R² with fewer bits leaves no reason for a rung.
    let mut most = f64::NEG_INFINITY;
    rungs.retain(|_, (r2, _)| {
        let is_more = *r2 > most;
        most = most.max(*r2);
        is_more
    });
    rungs.into_values().map(|(_, format)| format).chain([*top]).collect()
}

/// Runs the network with formats by layer.
pub type Run<'a> =
    &'a dyn Fn(TensorFormat, &BTreeMap<String, TensorFormat>, &Ask) -> Result<Heard, NetworkError>;

/// Gives layers formats of their own below the uniform `choice`; `run` scores formats by layer, `hear` hears of steps tried.
pub fn mix(
    (candidates, formats, choice): (&[Candidate], &[TensorFormat], usize),
    layers: Vec<Weighed>,
    target: &Target,
    run: Run,
    hear: &dyn Fn(u64),
) -> Result<Mixed, NetworkError> {
    let ladder = ladder(candidates, formats, choice);
    let Some(top) = ladder.last().copied() else {
        return Err(NetworkError::data(
            "formats by layer",
            "a format that reaches the target for all",
            "none",
        ));
    };
    let rung = ladder.len() - 1;
    let heard = candidates.get(choice).map(|candidate| candidate.heard.clone()).unwrap_or_default();
    let layers = layers.into_iter().map(|layer| (layer, rung)).collect();
    let mut mixed = Mixed { ladder, layers, heard, runs: 0 };
    let losses = losses(&mut mixed, target, top, run)?;
    let mut open = vec![true; mixed.layers.len()];
    let mut tried = 0;
    while let Some(layer) = next(&mixed, &losses, &open) {
        let mut further = mixed.clone();
        if let Some((_, rung)) = further.layers.get_mut(layer) {
            *rung -= 1;
        }
        let ask = Ask { candidate: choice, range: 0..target.samples };
        let heard = run(top, &further.formats(), &ask)?;
        mixed.runs += target.samples;
        let holds = heard.right >= target.right;
        if holds {
            mixed.layers = further.layers;
            mixed.heard = heard;
        } else if let Some(open) = open.get_mut(layer) {
            *open = false;
        }
        tried += 1;
        hear(tried);
    }
    Ok(mixed)
}

/// What each layer loses on each lower rung, 1 − R² of the first samples.
fn losses(
    mixed: &mut Mixed,
    target: &Target,
    top: TensorFormat,
    run: Run,
) -> Result<Vec<Vec<f64>>, NetworkError> {
    let first = target.next(0);
    let mut all = Vec::with_capacity(mixed.layers.len());
    for (layer, rung) in &mixed.layers {
        let mut losses = Vec::with_capacity(*rung);
        for format in mixed.ladder.iter().take(*rung) {
            let own = BTreeMap::from([(layer.name.clone(), *format)]);
            losses.push(1.0 - run(top, &own, &Ask { candidate: 0, range: 0..first })?.r2);
            mixed.runs += first;
        }
        losses.push(0.0);
        all.push(losses);
    }
    Ok(all)
}

/// The layer whose next step down loses least for the bits it saves.
fn next(mixed: &Mixed, losses: &[Vec<f64>], open: &[bool]) -> Option<usize> {
    let price = |at: usize| {
        let (layer, rung) = mixed.layers.get(at)?;
        let (below, losses) = (rung.checked_sub(1)?, losses.get(at)?);
        let bits = |rung: usize| mixed.ladder.get(rung).map(TensorFormat::bits);
        let saved = (bits(*rung)? - bits(below)?) * layer.multiply_adds.max(1) as f64;
        // What a layer alone is known to lose may fall from rung to rung by chance; a step never pays.
        Some(((losses.get(below)? - losses.get(*rung)?).max(1e-12) / saved, at))
    };
    let prices = open.iter().enumerate().filter(|(_, open)| **open).filter_map(|(at, _)| price(at));
    prices.min_by(|(a, i), (b, j)| a.total_cmp(b).then(i.cmp(j))).map(|(_, at)| at)
}

/// The candidate that holds, in a list of candidates in the order of cost.
pub fn uniform(candidates: &[Candidate]) -> Option<usize> {
    candidates.iter().position(|candidate| candidate.fate == Fate::Holds)
}

impl Scorer {
    /// The layers that can have formats of their own: those that multiply by weights, with what they weigh.
    pub fn weighed(&self, multiply_adds: &BTreeMap<String, u64>) -> Vec<Weighed> {
        let of = |name: &str| multiply_adds.get(name).copied().filter(|count| *count > 0);
        let layers = self.layers();
        layers.filter_map(|name| Some(Weighed { multiply_adds: of(name)?, name: name.to_owned() })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::precision::space;

    /// A network whose layers each need some bits: every bit that is missing costs so many of 100 answers.
    fn run(needs: &[(&str, u32)], top: TensorFormat, own: &BTreeMap<String, TensorFormat>, of: u64) -> Heard {
        let missing: u32 = needs
            .iter()
            .map(|(name, bits)| bits.saturating_sub(own.get(*name).copied().unwrap_or(top).element().bits()))
            .sum();
        let right = of.saturating_sub(u64::from(missing) * of / 20);
        Heard { right, of, r2: 1.0 - 0.05 * f64::from(missing), ..Heard::default() }
    }

    #[test]
    fn every_layer_ends_at_what_it_needs() {
        let needs = [("a", 6), ("b", 9), ("c", 7)];
        let formats = space::formats("m1..8e4").unwrap();
        let ranked = Candidate::ranked(&formats, &TensorFormat::bits);
        let (formats, mut candidates): (Vec<TensorFormat>, Vec<Candidate>) = ranked.into_iter().unzip();
        let target = Target::new(100, 100, 100, 1.0, 0.95).unwrap();
        for (candidate, format) in candidates.iter_mut().zip(&formats) {
            let heard = run(&needs, *format, &BTreeMap::new(), 100);
            candidate.take(&Ask { candidate: 0, range: 0..100 }, heard);
            candidate.fate = target.judge(candidate);
        }
        let choice = uniform(&candidates).unwrap();
        assert_eq!(candidates[choice].bits, 9.0);
        let layers = [("a", 10), ("b", 1), ("c", 5)]
            .map(|(name, multiply_adds)| Weighed { name: name.to_owned(), multiply_adds })
            .to_vec();
        let run = |top: TensorFormat, own: &BTreeMap<String, TensorFormat>, ask: &Ask| {
            Ok(run(&needs, top, own, ask.range.len() as u64))
        };
        let mixed = mix((&candidates, &formats, choice), layers, &target, &run, &|_| ()).unwrap();
        let bits: Vec<f64> = mixed.formats().values().map(TensorFormat::bits).collect();
        assert_eq!(bits, [6.0, 9.0, 7.0]);
        assert!((mixed.mean_bits() - (60.0 + 9.0 + 35.0) / 16.0).abs() < 1e-12);
        assert!((mixed.idle() - (1.0 - 6.5 / 9.0)).abs() < 1e-12);
        assert_eq!(mixed.heard.right, 100);
    }
}
