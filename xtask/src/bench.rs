//! `cargo xtask bench …`: how fast simulations and the API server are; the measuring is `ravelin-tests`'.

use crate::repository::{cargo, commit, handed_on};
use anyhow::Result;
use std::process::ExitCode;

/// Runs the bench binary of the tests package with these arguments.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    let mut bench = cargo(&["run", "--release", "--quiet", "-p", "ravelin-tests", "--bin", "bench", "--"]);
    Ok(handed_on(bench.args(arguments).env("RAVELIN_COMMIT", commit()).status()?))
}
