//! How fast the API server is: decisions, lists, watches, and what objects weigh.
//!
//! Server and clients are in this process, on one thread, on a network in memory (`host::memory`:
//! pipes, no latency), with real TLS. What crosses it is measured beside its floor: a bare handler
//! that writes the same bytes over the same TLS.

mod authorize;
mod lists;
mod memory;
mod stage;
mod watches;

pub(crate) use memory::resident_bytes;

use anyhow::Result;
use std::time::{Duration, Instant};

/// Measures everything and prints it.
///
/// # Errors
/// Where the server does not answer as it must.
pub fn run(runs: usize) -> Result<()> {
    println!("the API server, on one core, over a network in memory, {runs} runs");
    // First, while nobody else has taken memory that could be used again.
    memory::run()?;
    authorize::run(runs);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(lists::run(runs))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(watches::run(runs))
}

fn now() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "measuring the computer is what this is for")]
    let now = Instant::now();
    now
}

/// The middle of several measurements.
fn median(mut taken: Vec<Duration>) -> Duration {
    taken.sort();
    taken[taken.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
