//! Windows and the panes that they move in (rules.md, "Durations and windows").

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A duration; it moves in steps of its panes. All in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    pub within_ms: i64,
}

impl Window {
    pub fn step_ms(self) -> i64 {
        match self.within_ms {
            within_ms if within_ms <= HOUR_MS => SECOND_MS,
            within_ms if within_ms <= DAY_MS => MINUTE_MS,
            within_ms if within_ms <= 31 * DAY_MS => HOUR_MS,
            _ => DAY_MS,
        }
    }

    /// How many panes before the current one count.
    fn panes(self) -> i64 {
        self.within_ms / self.step_ms()
    }

    /// The oldest pane that counts at `now_ms`.
    pub fn first_pane(self, now_ms: i64) -> i64 {
        now_ms.div_euclid(self.step_ms()) - self.panes()
    }

    /// The first instant at which events of `pane` no longer count.
    pub fn leaves_at(self, pane: i64) -> i64 {
        (pane + self.panes() + 1) * self.step_ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_moves_in_panes_by_its_length() {
        for (within_ms, step_ms) in [
            (HOUR_MS, SECOND_MS),
            (HOUR_MS + 1, MINUTE_MS),
            (DAY_MS, MINUTE_MS),
            (DAY_MS + 1, HOUR_MS),
            (31 * DAY_MS, HOUR_MS),
            (31 * DAY_MS + 1, DAY_MS),
        ] {
            assert_eq!(Window { within_ms }.step_ms(), step_ms, "{within_ms}");
        }
    }

    #[test]
    fn a_pane_leaves_when_it_is_no_longer_among_those_that_count() {
        let window = Window { within_ms: 10 * SECOND_MS };
        assert_eq!((window.first_pane(20_999), window.first_pane(21_000)), (10, 11));
        assert_eq!(window.leaves_at(10), 21_000);
        assert_eq!(window.first_pane(-1), -11);
    }
}
