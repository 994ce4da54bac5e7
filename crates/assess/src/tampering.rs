//! Where tests falsify what is observed, to show that no falsified observation passes for `held`.

use crate::probe::Secrets;
use ravelin_adversary::{Attacker, Holdings, Tactic, Target};
use ravelin_oracle::Call;

/// What is falsified: in its default form, nothing.
pub trait Tampering: Send + Sync + 'static {
    /// The secrets that a probe uses, in place of those that are looked for afterwards. `attacked`
    /// tells a tactic's use of the path from the baseline's.
    fn used(&self, secrets: &Secrets, _attacked: bool) -> Secrets {
        secrets.clone()
    }

    /// What a caller says that it was handed.
    fn handed(&self, call: Call) -> Call {
        call
    }

    /// What the attacker tries.
    fn tactics(&self, attacker: Attacker, holdings: &Holdings, target: &Target) -> Vec<Box<dyn Tactic>> {
        ravelin_adversary::tactics(attacker, holdings, target)
    }
}

/// Nothing is falsified.
pub struct Honest;

impl Tampering for Honest {}
