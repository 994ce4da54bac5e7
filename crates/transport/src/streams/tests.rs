//! Whole connections between two hosts in memory.

mod connections;
mod remote;
mod stage;
mod upgrades;
