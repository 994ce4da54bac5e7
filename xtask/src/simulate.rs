//! `cargo xtask simulate …`: builds the release binary and runs it.

use crate::repository::{cargo, commit, handed_on, metadata};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Command, ExitCode};

/// Runs `ravelin simulate` with these arguments, from the folder that the caller is in.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    let built = cargo(&["build", "--release", "-p", "ravelin-cli", "--bin", "ravelin"]).status()?;
    if !built.success() {
        // The documented status of a run that could not be: nothing says that the input was bad.
        return Ok(ExitCode::from(3));
    }
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    let binary = Path::new(target).join("release/ravelin");
    let mut ravelin = Command::new(&binary);
    ravelin.arg("simulate").args(arguments).env("RAVELIN_COMMIT", commit());
    let status = ravelin.status().with_context(|| binary.display().to_string())?;
    Ok(handed_on(status))
}
