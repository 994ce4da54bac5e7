//! Which simulations to run, and what they show: paths and probes, attackers, verdicts.
//!
//! [`simulate`] runs one simulation for each attacker: it boots the cluster, uses every path once
//! without attack (the baseline), then tries every tactic on every path that works, each with
//! canaries of its own, and hands what was seen from outside to `oracle`. How a report is shown is
//! the crate `report`'s job.

mod capture;
mod exposure;
mod fixes;
mod holdings;
pub mod model;
mod path;
mod places;
mod probe;
mod queue;
mod referee;
mod request;
mod rerun;
mod settings;
mod simulate;
mod stage;
mod story;
mod tampering;
mod trace;
mod tunnel;
mod twin;
mod twins;
mod unit;
mod verdict;
mod weather;

pub use path::{Path, matches};
pub use probe::Secrets;
pub use queue::{Ended, cores, in_order, run_all};
pub use request::{AssessError, Progress, SimulateRequest, Simulated};
pub use simulate::simulate;
pub use tampering::{Honest, Tampering};
pub use twin::{Twin, twin_of};
pub use unit::{PathRun, Round, StepListener, UnitPlan, UnitRun, run as run_unit, run_tampered, topology};
pub use verdict::verdict as verdict_of;
pub use weather::{Fault, FaultKind, Weather};
