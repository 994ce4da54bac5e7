//! The exit status, and which one wins where several apply.

use crate::args::FailOn;
use ravelin_assess::model::{PathOutcome, Report, State};
use std::process::ExitCode;

/// What the process tells its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// The simulation ran.
    Ran,
    /// `--fail-on` found what it looks for.
    Found,
    /// Bad input or usage; nothing was run.
    Usage,
    /// A path failed, a property is untested, or a bug.
    Incomplete,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::Ran => 0,
            Status::Found => 1,
            Status::Usage => 2,
            Status::Incomplete => 3,
        })
    }
}

/// The status of a run that came to a report.
pub(crate) fn of_report(report: &Report, fail_on: FailOn) -> Status {
    let failed = report.paths.iter().any(|path| path.state == PathOutcome::Failed);
    let has = |state| report.verdicts.iter().any(|verdict| verdict.has(state));
    // A report that says nothing must not pass for one that found nothing.
    if failed || has(State::Untested) || report.paths.is_empty() {
        Status::Incomplete
    } else if fail_on == FailOn::Broken && has(State::Broken) {
        Status::Found
    } else {
        Status::Ran
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ravelin_assess::model::{ClusterSummary, PathState, Property, PropertyVerdict, SCHEMA, Verdict};

    /// A report with one path, and one verdict whose properties are all in `state`.
    pub(crate) fn report(outcome: PathOutcome, state: State) -> Report {
        Report {
            schema: SCHEMA.into(),
            seed: 7,
            commit: "unknown".into(),
            cluster: ClusterSummary {
                kubernetes_version: "1.33".into(),
                nodes: 3,
                untrusted: vec!["access".into()],
                files: vec![],
                provenance: Default::default(),
                assumed: vec![],
                unknown_effect: vec![],
            },
            simulated_ms: 1,
            wall_ms: 1,
            trace_sha256: "00".into(),
            paths: vec![PathState {
                path: "direct-to-apiserver".into(),
                egress: "direct".into(),
                state: outcome,
                error: None,
            }],
            verdicts: vec![Verdict {
                path: "direct-to-apiserver".into(),
                attacker: "outsider".into(),
                egress: "direct".into(),
                failed_closed: None,
                properties: Property::ALL.map(|property| (property, PropertyVerdict::new(state))).into(),
                fix: vec![],
                controls: None,
            }],
        }
    }

    #[test]
    fn incomplete_wins_over_found() {
        use PathOutcome::{Absent, Failed, Works};
        use State::{Broken, Held, NotApplicable, Untested};
        let status = |outcome, state, fail_on| of_report(&report(outcome, state), fail_on);
        assert_eq!(status(Works, Held, FailOn::Broken), Status::Ran);
        assert_eq!(status(Absent, NotApplicable, FailOn::Broken), Status::Ran);
        assert_eq!(status(Works, Broken, FailOn::None), Status::Ran);
        assert_eq!(status(Works, Broken, FailOn::Broken), Status::Found);
        assert_eq!(status(Failed, Broken, FailOn::Broken), Status::Incomplete);
        assert_eq!(status(Works, Untested, FailOn::None), Status::Incomplete);
        let mut mixed = report(Works, Broken);
        mixed.verdicts[0].properties.remove(&Property::CredentialSafe);
        assert_eq!(of_report(&mixed, FailOn::Broken), Status::Incomplete, "what nobody mentions is untested");
    }

    #[test]
    fn an_empty_report_is_no_success() {
        let mut empty = report(PathOutcome::Works, State::Held);
        empty.paths.clear();
        assert_eq!(of_report(&empty, FailOn::None), Status::Incomplete);
    }
}
