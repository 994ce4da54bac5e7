//! Attackers and their tactics, from packets up.
//!
//! An attacker holds a machine on the untrusted segments, what it read there, and what is public:
//! names, addresses, certificates. It is judged by others: a [`Tactic`] only says what its machine
//! holds, what it achieved and who refused it. This crate must never know the configuration.

mod attacker;
mod field;
mod forge;
mod intercept;
mod listen;
mod notes;
mod speak;
mod tactics;
mod target;

pub use attacker::{Attacker, Untouched};
pub use field::{Field, Probe};
pub use forge::MARK;
pub use listen::{Heard, hear, read, tokens};
pub use tactics::{Tactic, tactics};
pub use target::{Ask, ClientProof, ServerKind, Speaks, Target, Transport};
