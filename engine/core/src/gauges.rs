//! The conditions that rules put on one leaf, all read at once: a mask with a bit for each.
//!
//! Many rules ask the same leaf ("orders in 30 days") for different bounds. A gauge holds all their bounds in order, so
//! that one binary search answers them all, and so that the next instant at which any answer changes is found from the
//! panes that will leave. A gauge is never changed: a leaf that gets a new condition gets a new gauge.

use crate::decimals::micros_of;
use crate::predicates::Bound;
use crate::series::{Reading, Series};
use crate::windows::Window;

/// What a measure is held against; all must hold.
pub type Bounds = Vec<(Bound, f64)>;

/// Conditions, each with the number of its bit.
pub type BitBounds<T> = Vec<(usize, Vec<(Bound, T)>)>;

/// A set of bits.
pub type Mask = Vec<u64>;

pub fn bit_of(mask: &[u64], bit: usize) -> bool {
    mask.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
}

fn flip(mask: &mut Mask, bit: usize) {
    if mask.len() <= bit / 64 {
        mask.resize(bit / 64 + 1, 0);
    }
    mask[bit / 64] ^= 1 << (bit % 64);
}

/// A row of bounds as a step function from a measured value to a mask.
///
/// Cell 2i+1 is bound i, cell 2i lies just below it; the last cell lies above all.
pub struct Scale<T> {
    points: Vec<T>,
    masks: Vec<Mask>,
    /// For each cell the lowest that is reached downwards without another mask.
    floors: Vec<usize>,
    /// The same upwards.
    ceilings: Vec<usize>,
}

impl<T: PartialOrd + Copy> Scale<T> {
    pub fn new(conditions: &BitBounds<T>) -> Scale<T> {
        let mut points: Vec<T> = conditions.iter().flat_map(|(_, bounds)| bounds.iter().map(|(_, at)| *at)).collect();
        points.sort_by(|one, other| one.partial_cmp(other).expect("bounds are ordered"));
        points.dedup_by(|one, other| one == other);
        let width = conditions.iter().map(|(bit, _)| bit / 64 + 1).max().unwrap_or(0);
        let cells = 2 * points.len() + 1;
        let mut masks = vec![vec![0; width]; cells];
        for (bit, bounds) in conditions {
            let cells: Vec<(Bound, usize)> =
                bounds.iter().map(|(op, at)| (*op, 2 * points.partition_point(|point| point < at) + 1)).collect();
            for (cell, mask) in masks.iter_mut().enumerate() {
                if cells.iter().all(|(op, at)| op.holds(&cell, at)) {
                    flip(mask, *bit);
                }
            }
        }
        let mut floors: Vec<usize> = Vec::with_capacity(cells);
        for cell in 0..cells {
            floors.push(if cell > 0 && masks[cell - 1] == masks[cell] { floors[cell - 1] } else { cell });
        }
        let mut ceilings: Vec<usize> = (0..cells).collect();
        for cell in (0..cells - 1).rev() {
            if masks[cell + 1] == masks[cell] {
                ceilings[cell] = ceilings[cell + 1];
            }
        }
        Scale { points, masks, floors, ceilings }
    }

    pub fn mask(&self, value: T) -> &[u64] {
        &self.masks[self.cell(value)]
    }

    /// Twice the index of the first bound not below the value, plus one where it equals that bound.
    fn cell(&self, value: T) -> usize {
        let index = self.points.partition_point(|point| *point < value);
        2 * index + usize::from(self.points.get(index).is_some_and(|point| *point == value))
    }

    /// How far the value can fall with the mask it has: a bound, and whether the bound itself still has that mask.
    ///
    /// None where it can fall for ever.
    fn floor(&self, value: T) -> Option<(T, bool)> {
        let cell = self.floors[self.cell(value)];
        (cell > 0).then(|| (self.points[(cell - 1) / 2], cell % 2 == 1))
    }

    /// How far it can rise with the mask it has: a bound, and whether the bound itself still has that mask.
    fn ceiling(&self, value: T) -> Option<(T, bool)> {
        let cell = self.ceilings[self.cell(value)];
        (cell < self.masks.len() - 1).then(|| (self.points[cell / 2], cell % 2 == 1))
    }
}

/// Turns what a leaf reads into the conditions that hold, and tells how far the reading is from changing them.
pub enum Gauge {
    /// Bounds of a number of events.
    Count(Scale<f64>),
    /// Bounds of a sum of millionths.
    Sum(Scale<i128>),
    /// Bounds of an average, and of a sum beside it.
    Average(Scale<i128>, BitBounds<i128>),
    /// Bounds of a least, greatest or distinct value; nothing to measure holds none of them.
    Value(Scale<f64>),
    /// For leaves that only computed traits read.
    None,
}

impl Gauge {
    /// The conditions that hold; `scratch` is where an average's are put together.
    pub fn mask<'a>(&'a self, reading: &Reading, scratch: &'a mut Mask) -> &'a [u64] {
        match (self, reading) {
            (Gauge::Count(scale), Reading::Count(count)) => scale.mask(*count as f64),
            (Gauge::Sum(scale), Reading::Sums(total, _)) => scale.mask(*total),
            (Gauge::Average(scale, averages), Reading::Sums(total, count)) => {
                scratch.clear();
                scratch.extend_from_slice(scale.mask(*total));
                if *count > 0 {
                    for (bit, bounds) in averages {
                        if bounds.iter().all(|(op, bound)| op.holds(total, &(bound * i128::from(*count)))) {
                            flip(scratch, *bit);
                        }
                    }
                }
                scratch
            }
            (Gauge::Value(scale), Reading::Number(Some(number))) => scale.mask(*number),
            _ => &[],
        }
    }

    /// An instant before which panes that leave do not change the mask, whatever events come; None for never.
    pub fn next_change_ms(&self, kept: &Series, reading: &Reading, window: Window, first_pane: i64) -> Option<i64> {
        match (self, reading) {
            (Gauge::None, _) => None,
            (Gauge::Count(scale), Reading::Count(count)) => {
                let (bound, included) = scale.floor(*count as f64)?;
                // The count falls by whole events: the least of it that still has this mask.
                let least = if included { bound.ceil() } else { bound.floor() + 1.0 };
                (least > 0.0).then(|| window.leaves_at(kept.pane_that_leaves(least as u64)))
            }
            (Gauge::Sum(scale), Reading::Sums(total, _)) => {
                let mask = scale.mask(*total);
                let floor = scale.floor(*total);
                kept.ahead(first_pane, |following| {
                    let Reading::Sums(total, _) = following else { return false };
                    // More may have come by then, so that the sum lands on any bound that it falls to or below meanwhile.
                    let below =
                        floor.is_some_and(|(bound, included)| if included { *total < bound } else { *total <= bound });
                    below || scale.mask(*total) != mask
                })
                .map(|pane| window.leaves_at(pane))
            }
            _ => {
                let (mut one, mut other) = (Mask::new(), Mask::new());
                let mask = self.mask(reading, &mut one);
                kept.ahead(first_pane, |following| !equal(self.mask(following, &mut other), mask))
                    .map(|pane| window.leaves_at(pane))
            }
        }
    }

    /// By how much the reading must grow to change the mask: events, or millionths. None where it never does.
    ///
    /// Only gauges of counts and sums can tell; the others say 1, to be asked after every event.
    pub fn headroom(&self, reading: &Reading) -> Option<i64> {
        match (self, reading) {
            (Gauge::None, _) => None,
            (Gauge::Count(scale), Reading::Count(count)) => {
                let (bound, included) = scale.ceiling(*count as f64)?;
                // The least count that has another mask.
                let least = if included { bound.floor() + 1.0 } else { bound.ceil() };
                Some(least as i64 - count)
            }
            (Gauge::Sum(scale), Reading::Sums(total, _)) => {
                let (bound, included) = scale.ceiling(*total)?;
                Some(i64::try_from(bound + i128::from(included) - total).unwrap_or(i64::MAX))
            }
            _ => Some(1),
        }
    }
}

/// Whether two masks have the same bits; one may have more words.
pub fn equal(one: &[u64], other: &[u64]) -> bool {
    (0..one.len().max(other.len())).all(|word| one.get(word).unwrap_or(&0) == other.get(word).unwrap_or(&0))
}

/// Bounds of a sum or average in millionths. The parser refuses those that are no decimals.
pub fn in_micros(bounds: &Bounds) -> Vec<(Bound, i128)> {
    bounds.iter().map(|(op, bound)| (*op, micros_of(*bound).expect("a bound of a sum is a decimal"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Family;

    fn scale(conditions: &[(Bound, f64)]) -> Scale<f64> {
        Scale::new(&conditions.iter().enumerate().map(|(bit, bound)| (bit, vec![*bound])).collect())
    }

    #[test]
    fn every_condition_has_its_bit() {
        let every = [Bound::Eq, Bound::Ne, Bound::Gt, Bound::Gte, Bound::Lt, Bound::Lte];
        let conditions: Vec<(Bound, f64)> =
            every.iter().flat_map(|op| [2.0, 3.0, 5.0].map(|bound| (*op, bound))).collect();
        let scale = scale(&conditions);
        for value in [1.0, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0] {
            for (bit, (op, bound)) in conditions.iter().enumerate() {
                assert_eq!(bit_of(scale.mask(value), bit), op.holds(&value, bound), "{value} {op:?} {bound}");
            }
        }
    }

    #[test]
    fn many_conditions_need_more_than_one_word() {
        let conditions: Vec<(Bound, f64)> = (0..200).map(|bound| (Bound::Gte, f64::from(bound))).collect();
        let scale = scale(&conditions);
        assert!(bit_of(scale.mask(150.0), 150));
        assert!(!bit_of(scale.mask(150.0), 151));
    }

    #[test]
    fn a_count_tells_how_far_it_is_from_a_bound() {
        let gauge = Gauge::Count(scale(&[(Bound::Gte, 3.0), (Bound::Eq, 7.0)]));
        assert_eq!(gauge.headroom(&Reading::Count(0)), Some(3));
        assert_eq!(gauge.headroom(&Reading::Count(3)), Some(4));
        assert_eq!(gauge.headroom(&Reading::Count(7)), Some(1));
        assert_eq!(gauge.headroom(&Reading::Count(8)), None);
        let gauge = Gauge::Count(scale(&[(Bound::Gt, 2.5)]));
        assert_eq!(gauge.headroom(&Reading::Count(1)), Some(2));
    }

    #[test]
    fn a_sum_tells_how_far_it_is_from_a_bound() {
        let bounds = vec![(0, vec![(Bound::Gte, 30)]), (1, vec![(Bound::Gt, 70)]), (64, vec![(Bound::Lt, 30)])];
        let gauge = Gauge::Sum(Scale::new(&bounds));
        let headroom = |total| gauge.headroom(&Reading::Sums(total, 1));
        assert_eq!([headroom(-5), headroom(29), headroom(30), headroom(70)], [Some(35), Some(1), Some(41), Some(1)]);
        assert_eq!(headroom(71), None);
        assert_eq!(headroom(i128::MIN / 2), Some(i64::MAX));
        assert_eq!(Gauge::None.headroom(&Reading::Sums(1, 1)), None);
        assert_eq!(gauge.headroom(&Reading::Number(None)), Some(1));
    }

    #[test]
    fn a_condition_changes_when_the_pane_that_holds_it_leaves() {
        let window = Window { within_ms: 10_000 };
        let mut kept = Series::new(Family::Count);
        for pane in [3, 5, 5, 9] {
            kept.add_event(pane);
        }
        let change = |conditions: &[(Bound, f64)]| {
            Gauge::Count(scale(conditions)).next_change_ms(&kept, &kept.reading(0), window, 0)
        };
        assert_eq!(change(&[(Bound::Gte, 1.0)]), Some(window.leaves_at(9)));
        assert_eq!(change(&[(Bound::Gte, 2.0)]), Some(window.leaves_at(5)));
        assert_eq!(change(&[(Bound::Gt, 2.5)]), Some(window.leaves_at(5)));
        assert_eq!(change(&[(Bound::Gt, 3.0)]), Some(window.leaves_at(3)));
        assert_eq!(change(&[(Bound::Gte, 0.0)]), None);
        assert_eq!(change(&[(Bound::Gte, 5.0)]), None);
        assert_eq!(Gauge::None.next_change_ms(&kept, &kept.reading(0), window, 0), None);
    }

    #[test]
    fn a_falling_sum_may_land_on_any_bound_below_it() {
        let window = Window { within_ms: 10_000 };
        let mut kept = Series::new(Family::Numbers);
        for (pane, number) in [(3, 10), (5, 20), (9, 40)] {
            kept.add_number(pane, number);
        }
        let change = |op, bound| {
            let gauge = Gauge::Sum(Scale::new(&vec![(0, vec![(op, bound)])]));
            gauge.next_change_ms(&kept, &kept.reading(0), window, 0)
        };
        assert_eq!(change(Bound::Gte, 61), Some(window.leaves_at(3)));
        assert_eq!(change(Bound::Gte, 60), Some(window.leaves_at(5)));
        assert_eq!(change(Bound::Gt, 60), Some(window.leaves_at(3)));
        assert_eq!(change(Bound::Eq, 50), Some(window.leaves_at(5)));
        assert_eq!(change(Bound::Lt, 40), Some(window.leaves_at(9)));
        assert_eq!(change(Bound::Lt, -1), None);
    }

    #[test]
    fn masks_are_equal_by_their_bits() {
        assert!(equal(&[], &[0, 0]) && equal(&[5], &[5, 0]));
        assert!(!equal(&[5], &[5, 1]) && !equal(&[4], &[5]) && !equal(&[0, 1], &[]));
    }

    #[test]
    fn averages_are_compared_without_division() {
        let gauge = Gauge::Average(Scale::new(&vec![]), vec![(70, vec![(Bound::Gt, 333_333)])]);
        let mut scratch = Mask::new();
        assert!(bit_of(gauge.mask(&Reading::Sums(1_000_000, 3), &mut scratch), 70));
        assert!(!bit_of(gauge.mask(&Reading::Sums(999_999, 3), &mut scratch), 70));
        assert!(!bit_of(gauge.mask(&Reading::Sums(0, 0), &mut scratch), 70));
    }
}
