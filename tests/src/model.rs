//! The reference model: what must come of a configuration, by what Kubernetes documents.
//!
//! It is written apart from the simulation and uses nothing of it: what it knows of a cluster is
//! [`Facts`], what it knows of Kubernetes is the tables of `model/rules.md`, each row with its
//! source. Whether the simulation agrees is for the tests to find out.

mod facts;
mod rules;
mod words;

pub use facts::{Ca, Facts, NodeClients, Serving, TokenSource, Tunnels};
pub use rules::{Prediction, Rule, Rules};
pub use words::{Attacker, Outcome, Property, State, Way};
