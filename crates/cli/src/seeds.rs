//! `--seeds A..B`: the same cluster under many seeds, until one shows something else.
//!
//! A verdict says what a configuration allows: it must not depend on chance. So a seed fails if a
//! path failed in it, a property was untested, it ended in a bug, or a state differs from the first
//! seed's.

use crate::again;
use crate::args::{Seeds, Simulate};
use crate::console::Console;
use crate::files::{Refused, print};
use crate::outcome::{self, Status};
use crate::progress;
use crate::simulate::{Engine, request, run_one};
use ravelin_assess::model::{Property, Report};
use ravelin_config::ClusterConfig;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

/// How many differing cells are named.
const MAX_NAMED: usize = 20;

/// What a seed came to: the state of every cell, and the exit status that its report means.
struct Came {
    cells: BTreeMap<String, String>,
    status: Status,
}

type Ended = Result<Came, Refused>;

/// Runs every seed, and says what became of it.
pub(crate) fn run(
    options: &Simulate,
    seeds: Seeds,
    (config, engine): (ClusterConfig, Engine<'_>),
    console: &mut Console<'_>,
) -> Result<Status, Refused> {
    let total = seeds.count();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    // Each run has a simulation for each attacker, and all of them share the cores. Another run is
    // there to take a core that the last attacker of one leaves.
    let side_by_side = u64::try_from(ravelin_assess::cores()).unwrap_or(u64::MAX).min(total);
    let mut ended = BTreeMap::new();
    let commit = console.commit.clone();
    let work = |tell: mpsc::Sender<(u64, Ended)>| {
        while !stop.load(Ordering::SeqCst) {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= total {
                return;
            }
            let seed = seeds.first + number;
            let request = request(options, (config.clone(), seed), &commit);
            let came = run_one(request, engine, &|_| {}).map(|simulated| Came {
                cells: cells(&simulated.report),
                status: outcome::of_report(&simulated.report, options.fail_on),
            });
            if tell.send((seed, came)).is_err() {
                return;
            }
        }
    };
    let bar = progress::Bar::new(console.watched);
    std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        for _ in 0..side_by_side {
            let (work, tell) = (&work, tell.clone());
            scope.spawn(move || work(tell));
        }
        drop(tell);
        for (seed, came) in told {
            ended.insert(seed, came);
            let done = ended.len();
            bar.show(ravelin_assess::Progress {
                done,
                total: usize::try_from(total).unwrap_or(usize::MAX),
                what: format!("seed {seed}"),
            });
            if !console.watched && is_worth_a_line(done as u64, total) {
                console.say(&format!("{done} of {total} seeds"));
            }
            if first_failure(seeds.first, &ended).is_some() {
                stop.store(true, Ordering::SeqCst);
            }
        }
    });
    drop(bar);
    conclude(options, seeds, ended, console)
}

/// A tenth more is done: for whoever reads a log instead of watching a bar.
fn is_worth_a_line(done: u64, total: u64) -> bool {
    total >= 20 && (done * 10 / total) != ((done - 1) * 10 / total)
}

/// The lowest seed that is known to have failed.
fn first_failure(first: u64, ended: &BTreeMap<u64, Ended>) -> Option<u64> {
    let base = ended.get(&first).and_then(|came| came.as_ref().ok());
    let failed = |came: &Ended| match came {
        Err(_) => true,
        Ok(came) => came.status == Status::Incomplete || base.is_some_and(|base| base.cells != came.cells),
    };
    ended.iter().find(|(_, came)| failed(came)).map(|(seed, _)| *seed)
}

fn conclude(
    options: &Simulate,
    seeds: Seeds,
    mut ended: BTreeMap<u64, Ended>,
    console: &mut Console<'_>,
) -> Result<Status, Refused> {
    let failure = first_failure(seeds.first, &ended);
    let runs = ended.len();
    let base = match ended.get(&seeds.first) {
        Some(Ok(base)) => Some((base.cells.clone(), base.status)),
        _ => None,
    };
    let Some(seed) = failure else {
        let (cells, status) = base.expect("the first seed has ended and has not failed");
        print(console, &format!("{runs} seeds ({seeds}), all alike: {}\n", counted(&cells)))?;
        return Ok(status);
    };
    let came = ended.remove(&seed).expect("a seed that failed has ended");
    let mut lines = vec![format!("seed {seed} failed, after {runs} of {} seeds ({seeds})", seeds.count())];
    match came {
        // The request is at fault, and so with every seed: nothing was run.
        Err(Refused(Status::Usage, lines)) => return Err(Refused(Status::Usage, lines)),
        Err(Refused(_, why)) => lines.extend(why),
        Ok(came) => {
            let bad = |(_, state): &(&String, &String)| ["untested", "failed"].contains(&state.as_str());
            lines.extend(limited(
                came.cells.iter().filter(bad).map(|(cell, state)| format!("{cell}: {state}")),
            ));
            if let Some((base, _)) = base {
                lines.extend(limited(differences(seeds.first, &base, &came.cells).into_iter()));
            }
            print(console, &format!("seed {seed}: {}\n", counted(&came.cells)))?;
        }
    }
    for line in lines {
        console.say(&ravelin_report::harmless(&line));
    }
    console.say(&format!("repeat with: {}", again::narrowed(options, seed)));
    Ok(Status::Incomplete)
}

fn limited(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = lines.collect();
    let more = all.len().saturating_sub(MAX_NAMED);
    all.truncate(MAX_NAMED);
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    all
}

/// The state of every path and of every property of every verdict, by name.
fn cells(report: &Report) -> BTreeMap<String, String> {
    let paths =
        report.paths.iter().map(|path| (format!("{}@{}", path.path, path.egress), path.state.to_string()));
    let verdicts = report.verdicts.iter().flat_map(|verdict| {
        Property::ALL
            .map(|property| (format!("{} {property}", verdict.name()), verdict.state(property).to_string()))
    });
    paths.chain(verdicts).collect()
}

fn differences(first: u64, base: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<String> {
    let missing = "missing".to_owned();
    let names = base.keys().chain(other.keys().filter(|name| !base.contains_key(*name)));
    names
        .filter_map(|name| {
            let (was, is) = (base.get(name).unwrap_or(&missing), other.get(name).unwrap_or(&missing));
            (was != is).then(|| format!("{name}: {is}, with seed {first} {was}"))
        })
        .collect()
}

/// How many cells are in which state: `12 held, 3 broken`.
fn counted(cells: &BTreeMap<String, String>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for state in cells.values() {
        *counts.entry(state).or_default() += 1;
    }
    counts.iter().map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>().join(", ")
}
