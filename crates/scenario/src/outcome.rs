//! What became of a scenario.

use crate::fact::Fact;
use std::time::Duration;

/// What became of both sides.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The scenario's name.
    pub name: String,
    /// The attack.
    pub attack: SideOutcome,
    /// The control.
    pub control: SideOutcome,
}

/// What became of one side.
#[derive(Clone, Debug)]
pub struct SideOutcome {
    /// How the steps went.
    pub steps: Vec<Told>,
    /// What was seen of each piece of evidence, in the order of the file.
    pub seen: Vec<Seen>,
    /// Why a step could not be done at all.
    pub trouble: Option<String>,
    /// The SHA-256 of the simulation's trace.
    pub trace_sha256: String,
}

/// One step, as it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When it began, since time zero.
    pub at: Duration,
    /// What the file tells of it.
    pub tell: String,
    /// What came of it.
    pub outcome: String,
}

/// One piece of evidence, as it was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What the file tells of it.
    pub tell: String,
    /// Should it be seen on this side?
    pub expected: bool,
    /// How often it was.
    pub count: usize,
    /// The first time.
    pub first: Option<Fact>,
}

impl Seen {
    /// Is it as the file says?
    pub fn is_as_described(&self) -> bool {
        self.expected == (self.count > 0)
    }
}

impl SideOutcome {
    /// Is everything as the file says?
    pub fn is_as_described(&self) -> bool {
        self.trouble.is_none() && self.seen.iter().all(Seen::is_as_described)
    }
}

impl Outcome {
    /// Are both sides as the file says? Every file has evidence that flips.
    pub fn is_as_described(&self) -> bool {
        self.attack.is_as_described() && self.control.is_as_described()
    }
}
