//! Attacks from the record, each told in one file and shown in two simulations.
//!
//! A [`Scenario`] is a file that can be read without this code: hosts, configuration, steps,
//! evidence, and a control, the one change after which the evidence must flip. [`run`] plays both
//! sides with one seed. What counts as evidence are [`Fact`]s seen from outside the one they
//! concern: what a caller was handed, what the attacker's machine could read, what a receiver
//! executed and in whose name. This crate knows no verdicts and no reports.

mod attempt;
mod fact;
mod file;
mod flaw_names;
mod gates;
mod intercept;
mod outcome;
mod overheard;
mod parse;
mod perform;
mod reading;
mod record;
mod run;
mod shown;
mod side;
mod stream;
mod terrapin;
mod vocabulary;
mod way;

pub use fact::Fact;
pub use file::{Control, Evidence, FileError, Reference, Scenario, Setting, Step, Verb};
pub use outcome::{Outcome, Seen, SideOutcome, Told};
pub use record::{find, recorded};
pub use run::run;
pub use shown::{described, explained, listed, summarised};

#[cfg(test)]
mod tests;
