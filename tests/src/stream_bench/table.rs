//! Measurements taken in turns, and how they are shown.

use super::BYTES;
use std::time::Duration;

/// What was measured in every turn, in the order of the rows; the first is the floor.
pub(super) struct Table {
    rows: Vec<(&'static str, Vec<Duration>)>,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds a turn's measurement to its row.
    pub(super) fn add(&mut self, what: &'static str, taken: Duration) {
        match self.rows.iter_mut().find(|(known, _)| *known == what) {
            Some((_, all)) => all.push(taken),
            None => self.rows.push((what, vec![taken])),
        }
    }

    /// MB a second and the ratio to the first row's throughput, each the median of all turns.
    pub(super) fn print(&self) {
        let Some((_, floor)) = self.rows.first() else { return };
        for (what, all) in &self.rows {
            let rate = middle(all.iter().map(|taken| BYTES as f64 / 1e6 / taken.as_secs_f64()));
            let ratio =
                middle(all.iter().zip(floor).map(|(taken, floor)| floor.as_secs_f64() / taken.as_secs_f64()));
            println!("  {what:<58} {rate:>7.0} MB/s   {ratio:>5.2} of the floor");
        }
    }
}

/// The middle one.
pub(crate) fn middle(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
