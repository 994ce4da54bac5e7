//! `cargo xtask bench …`: how fast simulations, the API server, streams, tunnels and a start are; the
//! measuring is `ravelin-tests`'.

use crate::repository::{cargo, commit, handed_on};
use anyhow::Result;
use std::process::ExitCode;

/// Runs the bench binary of the tests package with these arguments.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    // What starts is the binary itself, as people have it.
    let starts_none = ["api", "streams", "framing", "tunnels", "simulation"];
    if !arguments.first().is_some_and(|part| starts_none.contains(&part.as_str())) {
        let built = cargo(&["build", "--release", "-p", "ravelin-cli", "--bin", "ravelin"]).status()?;
        if !built.success() {
            return Ok(handed_on(built));
        }
    }
    let mut bench = cargo(&["run", "--release", "--quiet", "-p", "ravelin-tests", "--bin", "bench", "--"]);
    Ok(handed_on(bench.args(arguments).env("RAVELIN_COMMIT", commit()).status()?))
}
