//! Attackers and their tactics, from packets up.
//!
//! An attacker holds a machine, its credentials where it has any, what it could read, and what is
//! public: names, addresses, certificates. It is judged by others: a [`Tactic`] only says what its machine
//! holds, what it achieved and who refused it. This crate must never know the configuration.

mod agent;
mod attacker;
mod field;
mod forge;
mod gate;
mod holdings;
mod intercept;
mod listen;
mod notes;
mod speak;
mod tactics;
mod target;
mod treasure;

pub use attacker::{Attacker, Untouched};
pub use field::{Field, Probe, referee_secrets};
pub use forge::{MARK, OWN_QUERY, REDIRECTED, REDIRECTED_LIMIT, RELABELLED};
pub use holdings::{Held, Holdings, Loot, Secret};
pub use listen::{Heard, hear, read, tokens};
pub use tactics::{Tactic, most_tactics, most_tactics_of_who_asks, tactics};
pub use target::{
    Ask, Claim, ClientProof, Konnectivity, NodeAt, ServerKind, Speaks, Stale, Streams, Target, TokenShape,
    Transport,
};
