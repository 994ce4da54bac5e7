//! Verdicts from what was seen from outside: canaries, observations, the six properties.
//!
//! Three observations decide ([`Observed`]): what the attacker's machines hold, what the probe's
//! caller was handed, and what the probe's own servers (and the store) issued and executed. This
//! crate must never know configuration, components or the network.

mod canary;
pub mod dissect;
mod judge;
mod observed;
mod property;

pub use canary::Canary;
pub use judge::{Finding, Judged, judge, not_genuine};
pub use observed::{
    Attempt, Call, Executed, Gain, GainKind, Handed, Issued, Learned, Observed, Protection, Refusal,
};
pub use property::{Property, State};
