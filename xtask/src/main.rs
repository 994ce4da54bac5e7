//! `cargo xtask …`: what developers and continuous integration run.
//!
//! Thin on purpose: it starts other programs and uses none of this workspace's crates, so that it
//! builds in seconds and works while they do not.

#![allow(
    clippy::disallowed_methods,
    reason = "it starts programs in this process's environment and times them"
)]

mod bench;
mod repository;
mod simulate;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  simulate …     build ravelin and run `ravelin simulate …` (see `cargo xtask simulate --help`)
  test [--deep]  everything that must pass: format, lints, tidy, unit tests, scenarios
                 (--deep: property tests draw many more cases, and the clients of other
                 languages speak with a cluster)
  tidy           the architecture's invariants, from cargo metadata and the sources
  bench …        how fast the API server, streams, a start and simulations are";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let ended = match (arguments.first().map(String::as_str), rest) {
        (Some("simulate"), _) => simulate::run(rest),
        (Some("bench"), _) => bench::run(rest),
        (Some("tidy"), []) => tidy::run(),
        (Some("test"), []) => test::run(false),
        (Some("test"), [deep]) if deep == "--deep" => test::run(true),
        (Some("--help" | "-h" | "help"), _) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
