//! Servers, agents and dialers between hosts in memory.

#![expect(clippy::disallowed_methods, reason = "what stands around a tunnel in a test is no component")]

mod carrying;
mod choosing;
mod forging;
mod refusing;
mod stage;
