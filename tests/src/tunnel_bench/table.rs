//! What was measured in turns, and how it is shown.

use crate::stream_bench::middle;

/// One kind of measurement, a row for each way.
pub(super) struct Table {
    what: &'static str,
    unit: &'static str,
    rows: Vec<Row>,
}

struct Row {
    way: &'static str,
    beside: Option<&'static str>,
    values: Vec<f64>,
}

impl Table {
    pub(super) fn new(what: &'static str, unit: &'static str) -> Self {
        Self { what, unit, rows: Vec::new() }
    }

    /// Adds a turn's value to the row of a way that is compared with another.
    pub(super) fn add(&mut self, (way, beside): (&'static str, Option<&'static str>), value: f64) {
        match self.rows.iter_mut().find(|row| row.way == way) {
            Some(row) => row.values.push(value),
            None => self.rows.push(Row { way, beside, values: vec![value] }),
        }
    }

    /// The median of each row, and the median of its ratios to the row beside it, turn by turn.
    pub(super) fn print(&self) {
        println!("{}:", self.what);
        for row in &self.rows {
            let value = middle(row.values.iter().copied());
            let beside = self.rows.iter().find(|other| Some(other.way) == row.beside);
            let ratio = beside.map_or_else(String::new, |other| {
                let ratios = row.values.iter().zip(&other.values).map(|(one, other)| one / other);
                format!("   {:.2} of {}", middle(ratios), other.way)
            });
            println!("  {:<32} {value:>8.1} {}{ratio}", row.way, self.unit);
        }
    }
}
