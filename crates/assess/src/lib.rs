//! Which simulations to run, and what they show: paths and probes, attackers, verdicts.
//!
//! [`simulate`] runs one simulation for each attacker: it boots the cluster, uses every path once
//! without attack (the baseline), then tries every tactic on every path that works, each with
//! canaries of its own, and hands what was seen from outside to `oracle`. How a report is shown is
//! the crate `report`'s job.

mod exposure;
pub mod model;
mod path;
mod probe;
mod referee;
mod request;
mod simulate;
mod stage;
mod tampering;
mod twin;
mod unit;
mod verdict;
mod weather;

pub use path::{Path, matches};
pub use probe::Secrets;
pub use request::{AssessError, Progress, SimulateRequest, Simulated};
pub use simulate::simulate;
pub use tampering::{Honest, Tampering};
pub use twin::{Twin, twin_of};
pub use unit::{PathRun, Round, StepListener, UnitPlan, UnitRun, run as run_unit, run_tampered};
pub use verdict::verdict as verdict_of;
pub use weather::{Fault, FaultKind, Weather};
