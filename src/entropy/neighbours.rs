//! What a number's neighbours let expect: its value, and how far it will be from it.
//!
//! The value is a linear prediction (`super::predict`), zero without one. The distance is a weighted mean of how far the two
//! to the left, the one above, and on average the row and the column were from what they were expected to be: weights of one
//! input or output channel share a scale, and that is what the running means find.

use super::Rows;
use super::predict::{AdaptiveFilter, PACES, Predictor, REACH};

/// Buckets of the expected distance: half octaves.
pub(super) const BUCKETS: usize = 40;
/// Shares of the distance from the expected value to the place nearest to it.
pub(super) const FRACTIONS: usize = 4;

/// Weights of what the prediction is made of: two to the left, one above, the row's and the column's running mean.
const LEFT: u32 = 1;
const LEFT_2: u32 = 1;
const ABOVE: u32 = 1;
const ROW: u32 = 6;
const COLUMN: u32 = 6;
/// How fast the running means of a row and of a column move at most, as shifts, by the predictor's pace.
const ROW_RATES: [u32; PACES as usize] = [4, 5, 6];
const COLUMN_RATES: [u32; PACES as usize] = [3, 5, 6];
/// How fast the mean of a column's numbers moves, as a shift.
const MEAN_RATE: u32 = 4;

/// What the next number's coding depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prediction {
    /// Half octaves of the expected distance.
    pub bucket: usize,
    /// The place nearest to the expected value.
    pub centre: i32,
    /// Whether the expected value is below that place.
    pub below: bool,
    /// How far from that place it is, 0 to 3.
    pub fraction: usize,
}

/// What has been coded just before the next number. Distances are in 1/256.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Path {
    left: u32,
    left_2: u32,
    /// Running mean along the row.
    row: u32,
}

/// A running mean after one more.
#[inline(always)]
fn towards(mean: u32, distance: u32, rate: u32) -> u32 {
    (mean as i32 + ((distance as i32 - mean as i32) >> rate)) as u32
}

/// How far a number is from the expected value in 1/64, in 1/256.
#[inline(always)]
fn distance(number: i32, expected: i32) -> u32 {
    (256 * number - 4 * expected).unsigned_abs()
}

impl Path {
    /// The path after `number` where `expected` was expected.
    #[inline(always)]
    pub(super) fn then(self, number: i32, expected: i32, pace: u32) -> Self {
        let distance = distance(number, expected);
        let rate = ROW_RATES[pace as usize % ROW_RATES.len()];
        Self { left: distance, left_2: self.left, row: towards(self.row, distance, rate) }
    }
}

/// Where the next number is in its tensor, and what has been coded in this row and above it.
#[derive(Debug)]
pub(super) struct Columns {
    predictor: Predictor,
    filter: AdaptiveFilter,
    length: usize,
    row_index: usize,
    /// How fast the columns' means move in this row, as a shift.
    column_rate: u32,
    column: usize,
    /// Numbers coded in this row.
    in_row: usize,
    first_row: bool,
    /// What the factors leave of the numbers of this row, in 1/16, behind as many zeros as a prediction reaches back.
    row: Vec<i32>,
    above: Vec<Above>,
}

/// What is known of a column.
#[derive(Debug, Clone, Copy, Default)]
struct Above {
    /// What the factors left of the number, in 1/16.
    left: i32,
    /// Running mean of that.
    mean: i32,
    distance: u32,
    /// Running mean of distances.
    mean_distance: u32,
}

/// What a number's prediction is made of apart from the path that leads to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neighbourhood {
    pub column: usize,
    /// What the factors expect, in 1/64.
    pub base: i32,
    in_row: usize,
    first_row: bool,
    above: Above,
}

impl Columns {
    /// Before the first of `count` numbers.
    pub(super) fn new(rows: Rows, count: usize, predictor: Predictor) -> Self {
        // Without a second row there is nothing above.
        let length = if rows.length < count { rows.length } else { 0 };
        Self {
            predictor,
            filter: AdaptiveFilter::default(),
            length,
            row_index: 0,
            column_rate: 2,
            column: rows.start.checked_rem(length).unwrap_or(0),
            in_row: 0,
            first_row: true,
            row: vec![0; REACH + length],
            above: vec![Above::default(); length],
        }
    }

    /// How fast running means move.
    #[inline]
    pub(super) fn pace(&self) -> u32 {
        self.predictor.pace()
    }

    /// Numbers until the end of this row; none where there are no rows.
    pub(super) fn left_in_row(&self) -> Option<usize> {
        (self.length > 0).then(|| self.length - self.column)
    }

    /// What is around the number `ahead` of the next, in the same row.
    #[inline(always)]
    pub(super) fn ahead(&self, ahead: usize) -> Neighbourhood {
        let column = self.column + ahead;
        Neighbourhood {
            column,
            base: self.predictor.factors.expected(self.row_index, column),
            in_row: self.in_row + ahead,
            first_row: self.first_row || self.length == 0,
            above: self.above.get(column).copied().unwrap_or_default(),
        }
    }

    /// The expected value in 1/64, by the numbers of this row that have been coded.
    #[inline(always)]
    pub(super) fn expected(&self, around: &Neighbourhood) -> i32 {
        let before = |lag: u32| self.row.get(REACH + around.column - lag as usize).copied().unwrap_or(0);
        self.predict(around, before)
    }

    /// The expected value in 1/64, by what `before` says is left of the numbers of this row, by distance.
    #[inline]
    pub(super) fn predict(&self, around: &Neighbourhood, before: impl Fn(u32) -> i32) -> i32 {
        let above = &around.above;
        self.predictor.expected((around.column, around.base), above.left, above.mean, &self.filter, before)
    }

    /// Takes it that the number `ahead` of the next, in the same row, will be `number`, until it is pushed.
    #[inline]
    pub(super) fn suppose(&mut self, ahead: usize, number: i32, base: i32) {
        if self.length > 0
            && let Some(slot) = self.row.get_mut(REACH + self.column + ahead)
        {
            *slot = 16 * number - (base >> 2);
        }
    }

    /// Moves on by `number`, where `expected` was expected, after which the path is `path`.
    #[inline]
    pub(super) fn push(&mut self, number: i32, base: i32, expected: i32, path: Path) {
        let left = 16 * number - (base >> 2);
        if self.predictor.rate() > 0 {
            let (row, column) = (&self.row, self.column);
            let before = |lag: u32| row.get(REACH + column - lag as usize).copied().unwrap_or(0);
            self.filter.learn(self.predictor.rate(), 64 * number - expected, before);
        }
        if let Some(above) = self.above.get_mut(self.column) {
            let distance = distance(number, expected);
            // Nothing is known of a new column but what its row has.
            let (from, rate) =
                if self.first_row { (path.row, 2) } else { (above.mean_distance, self.column_rate) };
            *above = Above {
                left,
                mean: above.mean + ((left - above.mean) >> MEAN_RATE),
                distance,
                mean_distance: towards(from, distance, rate),
            };
        }
        if let Some(slot) = self.row.get_mut(REACH + self.column).filter(|_| self.length > 0) {
            *slot = left;
        }
        self.in_row += 1;
        self.column += 1;
        if self.column == self.length {
            (self.column, self.in_row, self.first_row) = (0, 0, false);
            self.row_index += 1;
            self.column_rate =
                (2 + self.row_index.ilog2()).min(COLUMN_RATES[self.pace() as usize % COLUMN_RATES.len()]);
        }
    }
}

impl Neighbourhood {
    /// What to expect of the next number after `path`, where `expected` is its expected value in 1/64.
    #[inline(always)]
    pub(super) fn prediction(&self, path: Path, expected: i32, scalar: bool, odd: bool) -> Prediction {
        let (up, column) = if self.first_row {
            (path.row, path.row)
        } else {
            (self.above.distance, self.above.mean_distance)
        };
        let left = if self.in_row > 0 { path.left } else { path.row };
        let left_2 = if self.in_row > 1 { path.left_2 } else { path.row };
        let sum = LEFT * left + LEFT_2 * left_2 + ABOVE * up + ROW * path.row + COLUMN * column;
        let mean = sum / (LEFT + LEFT_2 + ABOVE + ROW + COLUMN);
        let bucket = match mean.checked_ilog2() {
            None => 0,
            Some(0) => 1,
            Some(octave) => ((2 * octave + (mean >> (octave - 1) & 1)) as usize + 1).min(BUCKETS - 1),
        };
        let (centre, number) = nearest(expected, scalar, odd);
        let off = expected - 64 * number;
        let half = if scalar { 33 } else { 65 };
        let fraction = ((off.unsigned_abs() * FRACTIONS as u32 / half) as usize).min(FRACTIONS - 1);
        Prediction { bucket, centre, below: off < 0, fraction }
    }
}

/// The place nearest to `expected` / 64 on a grid, and its number.
#[inline(always)]
fn nearest(expected: i32, scalar: bool, odd: bool) -> (i32, i32) {
    if scalar {
        let place = (expected + 32) >> 6;
        (place, place)
    } else if !odd {
        let place = (expected + 64) >> 7;
        (place, 2 * place)
    } else if expected.abs() < 32 {
        (0, 0)
    } else {
        let place = expected.signum() * ((expected.abs() + 128) >> 7);
        (place, 2 * place - place.signum())
    }
}

#[cfg(test)]
mod tests {
    use super::super::trellis::Trellis;
    use super::*;

    #[test]
    fn the_nearest_place_is_the_nearest() {
        for states in [1, 4] {
            let trellis = Trellis::new(states).unwrap();
            for odd in [false, true] {
                if states == 1 && odd {
                    continue;
                }
                for expected in -2000..2000 {
                    let (place, number) = nearest(expected, states == 1, odd);
                    assert_eq!(trellis.number(u8::from(odd), place), number);
                    let off = |place: i32| (64 * trellis.number(u8::from(odd), place) - expected).abs();
                    assert!(off(place) <= off(place - 1).min(off(place + 1)), "{states} {odd} {expected}");
                }
            }
        }
    }
}
