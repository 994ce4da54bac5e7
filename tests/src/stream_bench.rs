//! How fast streams are: exec and port-forward beside the floor, how many open a second, and what an
//! open one weighs.
//!
//! Everything is in this process, on one thread, with real TLS. A floor is the same bytes through
//! one rustls connection: in memory without anything else (its two ends called one after the
//! other), and over a socket of this computer's loopback. Both are measured in the same turns as
//! what stands beside them, so that a busy computer slows all of them.

mod chain;
mod floors;
mod layers;
mod many;
mod pair;
mod table;
mod throughput;

pub(crate) use table::middle;

use anyhow::Result;
use std::time::Instant;

/// Measures everything and prints it.
///
/// # Errors
/// Where a stream does not carry what it must.
pub fn run(runs: usize) -> Result<()> {
    println!("streams, on one core, {runs} runs of {} MB each", BYTES / 1_000_000);
    // First, while nobody else has taken memory that could be used again.
    alone(many::memory())?;
    framing(runs)?;
    alone(throughput::run(runs))?;
    alone(many::rates(runs))
}

/// Measures the framing alone, between two hosts.
///
/// # Errors
/// As [`run`].
pub fn framing(runs: usize) -> Result<()> {
    alone(layers::run(runs))
}

/// On a runtime of its own, with one thread.
fn alone(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// What each measurement carries.
const BYTES: usize = 64_000_000;

/// What is written at a time, as `io.Copy` does it.
const CHUNK: usize = 32 * 1024;

pub(crate) fn now() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "measuring the computer is what this is for")]
    let now = Instant::now();
    now
}
