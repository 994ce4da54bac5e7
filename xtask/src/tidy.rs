//! `cargo xtask tidy`: the invariants of docs/architecture.md that a machine can check.
//!
//! The compiler cannot see them and reviewers tire; so each is a small function from the sources,
//! or from cargo's metadata, to findings. The rules stand in tables, each exception with its reason.

mod calls;
mod code;
mod floors;
mod shape;

use crate::repository::{TextFile, files, metadata};
use anyhow::Result;
use std::fmt;
use std::process::ExitCode;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, or the manifest of the package.
    pub file: String,
    /// The line, counted from 1; 0 where the whole file is meant.
    pub line: usize,
    /// The rule's name.
    pub rule: &'static str,
    /// What is wrong, and what to do instead.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.rule, self.text)
    }
}

/// Everything that is wrong with the repository as it lies there.
pub fn findings() -> Result<Vec<Finding>> {
    let mut found = floors::check(&floors::packages(&metadata()?));
    for file in files()? {
        found.extend(of_file(&file));
    }
    found.sort();
    Ok(found)
}

/// Everything that is wrong with one file.
fn of_file(file: &TextFile) -> Vec<Finding> {
    let mut found = shape::machine_paths(file);
    if file.path.ends_with(".rs") {
        found.extend(calls::check(file));
        found.extend(shape::check(file));
    }
    found
}

/// Prints the findings; were there none?
pub fn report(findings: &[Finding]) -> bool {
    for finding in findings {
        println!("{finding}");
    }
    println!("tidy: {} finding{}", findings.len(), if findings.len() == 1 { "" } else { "s" });
    findings.is_empty()
}

/// The command.
pub fn run() -> Result<ExitCode> {
    Ok(if report(&findings()?) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests;
