//! What the scenarios and the benchmark share: clusters to run, runs, and verdicts as tables.
//!
//! The scenarios themselves are in `tests/tests`, one folder a theme. Nothing here decides what
//! must come out.

pub mod api_bench;
pub mod apiserver;
mod cells;
mod clusters;
mod floor;
pub mod model;
pub mod openssh;
pub mod rbac_model;
mod runs;
pub mod stream_bench;
pub mod tunnel_bench;
pub mod up_bench;
mod work;

pub use cells::{Cells, Row};
pub use clusters::{Files, Sample, verified_ssh_tunnels};
pub use floor::Floor;
pub use runs::{ATTACKERS, Run, layout, plan, unit, unit_of};
pub use work::Work;
