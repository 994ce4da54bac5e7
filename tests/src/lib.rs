//! What the scenarios and the benchmark share: clusters to run, runs, and verdicts as tables.
//!
//! The scenarios themselves are in `tests/tests`, one folder a theme. Nothing here decides what
//! must come out.

mod cells;
mod clusters;
mod runs;

pub use cells::{Cells, Row};
pub use clusters::{Files, Sample};
pub use runs::{ATTACKERS, Run, plan, unit, unit_of};
