//! `cargo xtask test`: everything that must pass before a change goes in.
//!
//! All steps run even after one has failed, and all but the format use one set of features and
//! one profile, so that nothing is compiled twice.

use crate::repository::{cargo, metadata};
use crate::tidy;
use anyhow::Result;
use std::process::ExitCode;
use std::time::{Duration, Instant};

struct Step {
    name: &'static str,
    passed: bool,
    took: Duration,
}

/// What is built and tested besides with `--deep`: the Rust client kube against our cluster, which
/// brings sixty crates.
const DEEP_FEATURES: [&str; 2] = ["--features", "ravelin-tests/kube-client"];

/// Runs every step; `deep` lets property tests draw many more cases (`RAVELIN_DEEP=1`), and other
/// clients speak with the cluster.
pub fn run(deep: bool) -> Result<ExitCode> {
    let mut steps = Vec::new();
    let mut step = |name, check: &dyn Fn() -> Result<bool>| -> Result<()> {
        println!("\n==> {name}");
        let started = Instant::now();
        let passed = check()?;
        let took = started.elapsed();
        println!(
            "==> {name}: {} after {:.1} s",
            if passed { "passed" } else { "FAILED" },
            took.as_secs_f64()
        );
        steps.push(Step { name, passed, took });
        Ok(())
    };
    step("format", &|| starts(deep, &["fmt", "--all", "--check"]))?;
    step("tidy", &|| Ok(tidy::report(&tidy::findings()?)))?;
    let features = if deep { &DEEP_FEATURES[..] } else { &[] };
    let lints = ["clippy", "--release", "--workspace", "--all-targets", "--quiet"];
    step("lints", &|| starts(deep, &[&lints[..], features, &["--", "-D", "warnings"]].concat()))?;
    // One selection of packages and targets for all that follows, since another one would have other
    // features and be compiled again; the scenarios start the binary itself.
    let build = ["build", "--release", "--workspace", "--all-targets"];
    step("build", &|| starts(deep, &[&build[..], features].concat()))?;
    let tests = [&["test", "--release", "--workspace", "--no-fail-fast"][..], features].concat();
    step("unit tests", &|| starts(deep, &[&tests[..], &["--lib", "--bins"]].concat()))?;
    if has_scenarios()? {
        step("scenarios", &|| starts(deep, &[&tests[..], &["--test", "*"]].concat()))?;
    }
    Ok(summary(&steps))
}

fn starts(deep: bool, arguments: &[&str]) -> Result<bool> {
    let mut command = cargo(arguments);
    if deep {
        command.env("RAVELIN_DEEP", "1");
    }
    Ok(command.status()?.success())
}

/// Does any package have integration tests? To cargo, a pattern without a match is an error.
fn has_scenarios() -> Result<bool> {
    let metadata = metadata()?;
    let targets = metadata["packages"].as_array().into_iter().flatten().flat_map(|p| p["targets"].as_array());
    Ok(targets.flatten().any(|target| target["kind"][0] == "test"))
}

fn summary(steps: &[Step]) -> ExitCode {
    println!("\nSummary");
    for step in steps {
        let passed = if step.passed { "passed" } else { "FAILED" };
        println!("  {:<12} {passed}  {:>7.1} s", step.name, step.took.as_secs_f64());
    }
    let total: Duration = steps.iter().map(|step| step.took).sum();
    let failed = steps.iter().filter(|step| !step.passed).count();
    println!("  {} of {} steps passed in {:.1} s", steps.len() - failed, steps.len(), total.as_secs_f64());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
