//! `ravelin scenario`: attacks from the record, each with its control.

use crate::console::Console;
use crate::outcome::Status;
use clap::{Args, Subcommand};
use ravelin_scenario::{Outcome, Scenario};
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Attacks from the record: reproduce them, and see their controls stop them
///
/// Each is told in one file: hosts, configuration, steps, evidence, and a control, the one change
/// after which the evidence must flip. Both sides run in the simulated network, with the same seed.
#[derive(Args, Clone, Debug)]
pub(crate) struct ScenarioOptions {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// List what is there, and what waits for something
    List,
    /// Run attacks and their controls, and show the evidence of both
    #[command(after_help = EXIT_STATUS)]
    Run {
        /// Names (see list), or files of your own
        #[arg(value_name = "NAME|FILE.yaml", required_unless_present = "all")]
        names: Vec<String>,
        /// Every one that can run
        #[arg(long, conflicts_with = "names")]
        all: bool,
        /// The number that decides every random choice
        #[arg(long, value_name = "N", default_value_t = 42)]
        seed: u64,
    },
    /// Tell one from the beginning to the end, step by step, the attack and the control
    #[command(after_help = EXIT_STATUS)]
    Explain {
        /// A name (see list), or a file of your own
        #[arg(value_name = "NAME|FILE.yaml")]
        name: String,
        /// The number that decides every random choice
        #[arg(long, value_name = "N", default_value_t = 42)]
        seed: u64,
    },
}

const EXIT_STATUS: &str = "\
Exit status:
  0  everything was as the files say: the attacks were reproduced, the controls stopped them
  1  something was not
  2  bad input or usage; nothing was run
  3  a bug";

/// A scenario, and what it was called on the command line.
type Chosen = (String, Scenario);

/// Why nothing was shown: the lines to say, and the status.
type Refused = (Status, Vec<String>);

/// Runs the command, and says what became of it.
pub(crate) fn run(options: &ScenarioOptions, console: &mut Console<'_>) -> Status {
    let shown = match &options.what {
        What::List => recorded().map(|all| (ravelin_scenario::listed(&all), Status::Ran)),
        What::Run { names, seed, .. } => {
            chosen(names).and_then(|chosen| run_them(&chosen, (*seed, &console.commit)))
        }
        What::Explain { name, seed } => one(name).and_then(|scenario| explain(&scenario, *seed)),
    };
    match shown {
        Ok((text, status)) => {
            let lines = text.lines().map(|line| ravelin_report::harmless(line) + "\n");
            // A reader that left early is no failure.
            let _ = console.output.write_all(lines.collect::<String>().as_bytes());
            let _ = console.output.flush();
            status
        }
        Err((status, lines)) => {
            for line in lines {
                console.say(&ravelin_report::harmless(&format!("error: {line}")));
            }
            status
        }
    }
}

fn recorded() -> Result<Vec<Scenario>, Refused> {
    let bug = |errors: Vec<ravelin_scenario::FileError>| {
        (Status::Incomplete, errors.iter().map(ToString::to_string).collect())
    };
    ravelin_scenario::recorded().map_err(bug)
}

/// The named ones, or all.
fn chosen(names: &[String]) -> Result<Vec<Chosen>, Refused> {
    if names.is_empty() {
        return Ok(recorded()?.into_iter().map(|scenario| (scenario.name.clone(), scenario)).collect());
    }
    let named = |name: &String| Ok((name.clone(), one(name)?));
    let chosen = names.iter().map(named).collect::<Result<Vec<Chosen>, Refused>>()?;
    let waits = |(_, scenario): &Chosen| {
        let what = scenario.waits_for.as_ref()?;
        Some(format!("{} waits for {what} and cannot run yet; explain tells what it is about", scenario.name))
    };
    let waiting: Vec<String> = chosen.iter().filter_map(waits).collect();
    if waiting.is_empty() { Ok(chosen) } else { Err((Status::Usage, waiting)) }
}

/// A scenario by its name, or from a file.
fn one(name: &str) -> Result<Scenario, Refused> {
    let usage = |line: String| (Status::Usage, vec![line]);
    let text = match ravelin_scenario::find(name) {
        Some(text) => text.to_owned(),
        None if Path::new(name).is_file() => read(name).map_err(usage)?,
        None => {
            let known = recorded()?.into_iter().map(|known| known.name).collect::<Vec<_>>().join(", ");
            return Err(usage(format!(
                "there is no scenario and no file {name:?}; accepted: {known}, or a file"
            )));
        }
    };
    let errors = |errors: Vec<ravelin_scenario::FileError>| {
        (Status::Usage, errors.iter().map(ToString::to_string).collect())
    };
    Scenario::read(&with_ending(name), &text).map_err(errors)
}

fn with_ending(name: &str) -> String {
    if name.ends_with(".yaml") { name.to_owned() } else { format!("{name}.yaml") }
}

fn read(name: &str) -> Result<String, String> {
    let mut text = String::new();
    let file = std::fs::File::open(name).map_err(|error| format!("{name}: {error}"))?;
    let read = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text);
    match read {
        Ok(bytes) if bytes as u64 > MAX_FILE_BYTES => {
            Err(format!("{name}: larger than {MAX_FILE_BYTES} bytes"))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

fn run_them(chosen: &[Chosen], (seed, commit): (u64, &str)) -> Result<(String, Status), Refused> {
    let runnable: Vec<&Chosen> = chosen.iter().filter(|(_, scenario)| scenario.waits_for.is_none()).collect();
    let scenarios: Vec<&Scenario> = runnable.iter().map(|(_, scenario)| scenario).collect();
    let outcomes = outcomes(&scenarios, seed)?;
    let mut text = format!("seed {seed}, commit {commit}; * differs between the attack and its control\n\n");
    for (scenario, outcome) in scenarios.iter().zip(&outcomes) {
        text.push_str(&ravelin_scenario::summarised(scenario, outcome));
        text.push('\n');
    }
    let good = outcomes.iter().filter(|outcome| outcome.is_as_described()).count();
    text.push_str(&format!("{good} of {} reproduced, and stopped by their controls\n", runnable.len()));
    for (name, scenario) in chosen {
        if let Some(what) = &scenario.waits_for {
            text.push_str(&format!("not run: {name} waits for {what}\n"));
        }
    }
    for ((name, _), _) in runnable.iter().zip(&outcomes).filter(|(_, outcome)| !outcome.is_as_described()) {
        text.push_str(&format!("not as described: ravelin scenario explain {name} --seed {seed}\n"));
    }
    Ok((text, if good == runnable.len() { Status::Ran } else { Status::Found }))
}

fn explain(scenario: &Scenario, seed: u64) -> Result<(String, Status), Refused> {
    if scenario.waits_for.is_some() {
        return Ok((ravelin_scenario::described(scenario), Status::Ran));
    }
    let outcomes = outcomes(&[scenario], seed)?;
    let mut text = String::new();
    for outcome in &outcomes {
        text.push_str(&ravelin_scenario::explained(scenario, outcome));
    }
    let good = outcomes.iter().all(Outcome::is_as_described);
    Ok((text, if good { Status::Ran } else { Status::Found }))
}

/// What became of each; a bug in one spoils the run.
fn outcomes(scenarios: &[&Scenario], seed: u64) -> Result<Vec<Outcome>, Refused> {
    let bug = |line: String| (Status::Incomplete, vec![line]);
    let ended = catch_unwind(AssertUnwindSafe(|| ravelin_scenario::run(scenarios, seed)));
    let ended = ended.map_err(|_| bug(format!("a bug in ravelin (seed {seed}): please report it")))?;
    let named = ended.into_iter().zip(scenarios);
    named.map(|(outcome, scenario)| outcome.map_err(|why| bug(format!("{}: {why}", scenario.name)))).collect()
}
