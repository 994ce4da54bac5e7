//! Observations are falsified, and nothing that was falsified may come out as `held`.

use async_trait::async_trait;
use ravelin_adversary::{Attacker, Field, Holdings, Probe, Tactic, Target};
use ravelin_assess::model::{PathOutcome, State, Verdict};
use ravelin_assess::{Path, PathRun, Secrets, Tampering, run_tampered, verdict_of};
use ravelin_host::Flaws;
use ravelin_oracle::{Attempt, Call, Canary, Handed, Property};
use ravelin_sim::{Action, PacketView};
use ravelin_tests::{ATTACKERS, Sample, plan};

/// Paths of every kind: to the apiserver, to a kubelet, to a server of somebody's.
const PATHS: [Path; 7] = [
    Path::NodeBootstrap,
    Path::PodToApiserver,
    Path::KubeletLogs,
    Path::KubeletExec,
    Path::KubeletPortForward,
    Path::NodeHttp,
    Path::ServiceHttps,
];

fn run(attacker: Attacker, tampering: impl Tampering) -> Vec<PathRun> {
    let mut plan = plan(&Sample::KubeadmVerified.config(), attacker, (Flaws::none(), 61));
    plan.paths = PATHS.to_vec();
    run_tampered(plan, tampering).expect("the simulation ends").paths
}

fn verdicts(attacker: Attacker, runs: &[PathRun]) -> Vec<Verdict> {
    assert_eq!(runs.len(), PATHS.len());
    runs.iter()
        .map(|run| {
            assert_eq!(run.state, PathOutcome::Works, "{}: {:?}", run.path, run.error);
            let exposed = run.exposed_packets > 0 || !run.waits_for_packets;
            assert!(exposed && !run.rounds.is_empty(), "{}: nothing was tried", run.path);
            verdict_of(attacker, "direct", run, &[])
        })
        .collect()
}

fn all_fail(runs: &[PathRun], why: &str) {
    assert_eq!(runs.len(), PATHS.len());
    for run in runs {
        let error = run.error.as_deref().unwrap_or_default();
        assert!(
            run.state == PathOutcome::Failed && error.contains(why),
            "{}: {:?} {error}",
            run.path,
            run.state
        );
        assert!(run.rounds.is_empty(), "{}: a path that fails is not attacked", run.path);
    }
}

/// A probe whose caller looks at no body.
struct IgnoresBodies;

impl Tampering for IgnoresBodies {
    fn handed(&self, mut call: Call) -> Call {
        if let Handed::Success(body) = &mut call.handed {
            body.clear();
        }
        call
    }
}

#[test]
fn a_probe_that_ignores_bodies_fails_the_baseline() {
    all_fail(&run(Attacker::Impostor, IgnoresBodies), "never issued");
}

/// A caller that is content with the beginning of its answer.
struct ReadsHalf;

impl Tampering for ReadsHalf {
    fn handed(&self, mut call: Call) -> Call {
        if let Handed::Success(body) = &mut call.handed {
            body.truncate(body.len() / 2);
        }
        call
    }
}

#[test]
fn a_probe_that_reads_half_of_its_answer_fails_the_baseline() {
    all_fail(&run(Attacker::Eavesdropper, ReadsHalf), "never issued");
}

/// Servers that were told to answer something else than what is looked for.
struct AnswersWithoutCanary;

impl Tampering for AnswersWithoutCanary {
    fn used(&self, secrets: &Secrets, _attacked: bool) -> Secrets {
        Secrets { response: Canary::new("something-else-altogether".to_owned()), ..secrets.clone() }
    }
}

#[test]
fn a_server_that_answers_without_the_canary_fails_the_baseline() {
    all_fail(&run(Attacker::Eavesdropper, AnswersWithoutCanary), "did not hold what the server was told");
}

/// Under attack, the probe carries other secrets than those that are looked for.
struct CapturesSomethingElse;

impl Tampering for CapturesSomethingElse {
    fn used(&self, secrets: &Secrets, attacked: bool) -> Secrets {
        if !attacked {
            return secrets.clone();
        }
        let (request, response) =
            (Canary::new("4242424242424242".to_owned()), Canary::new("another-answer-altogether".to_owned()));
        Secrets { id: secrets.id.clone(), request, response }
    }
}

#[test]
fn an_eavesdropper_without_the_canary_in_its_capture_was_not_engaged() {
    let runs = run(Attacker::Eavesdropper, CapturesSomethingElse);
    for verdict in verdicts(Attacker::Eavesdropper, &runs) {
        for property in [Property::RequestSecret, Property::ResponseSecret] {
            assert_eq!(verdict.state(property), State::Untested, "{} {property}", verdict.name());
        }
    }
}

/// What an attacker does that reaches nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    /// It loses every packet of the path.
    Drops,
    /// It lets every packet through and does nothing.
    Watches,
    /// It never lets the path be used.
    Sleeps,
}

#[async_trait(?Send)]
impl Tactic for Idle {
    fn name(&self) -> &'static str {
        match self {
            Self::Drops => "drop",
            Self::Watches => "watch",
            Self::Sleeps => "sleep",
        }
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        match self {
            Self::Drops => {
                let path = target.clone();
                let cut = move |packet: &PacketView| {
                    let ours = path.joins(packet.source.ip(), packet.destination.ip());
                    if ours { Action::Drop } else { Action::Pass }
                };
                field.wire().set_hook(Some(Box::new(cut)));
                probe.await;
                field.wire().set_hook(None);
            }
            Self::Watches => probe.await,
            Self::Sleeps => drop(probe),
        }
        Attempt::default()
    }
}

impl Tampering for Idle {
    fn tactics(&self, _: Attacker, _: &Holdings, _: &Target) -> Vec<Box<dyn Tactic>> {
        vec![Box::new(*self)]
    }
}

/// Nothing that such an attacker did may count for or against a property.
fn shows_nothing(verdict: &Verdict) {
    for (property, found) in &verdict.properties {
        // Off the path nobody can answer in the apiserver's name, whatever they do.
        let unseen = found.state == State::NotExposed && *property == Property::ResponseAuthentic;
        let shown = matches!(found.state, State::Untested | State::NotApplicable)
            || unseen && ["rogue-pod", "outsider", "token-thief"].contains(&verdict.attacker.as_str());
        assert!(shown, "{} {property}: {:?}", verdict.name(), found);
    }
    assert!(verdict.has(State::Untested), "{}", verdict.name());
}

#[test]
fn an_impostor_that_only_cuts_the_line_shows_nothing() {
    let runs = run(Attacker::Impostor, Idle::Drops);
    for verdict in verdicts(Attacker::Impostor, &runs) {
        shows_nothing(&verdict);
        assert_eq!(verdict.failed_closed, Some(false), "{}: a hang is no failing closed", verdict.name());
    }
}

#[test]
fn an_impostor_that_only_watches_shows_nothing() {
    let runs = run(Attacker::Impostor, Idle::Watches);
    for verdict in verdicts(Attacker::Impostor, &runs) {
        shows_nothing(&verdict);
        assert_eq!(verdict.failed_closed, None, "{}: no call failed", verdict.name());
    }
}

#[test]
fn an_attack_during_which_the_path_is_not_used_shows_nothing() {
    for attacker in ATTACKERS {
        let runs = run(attacker, Idle::Sleeps);
        verdicts(attacker, &runs).iter().for_each(shows_nothing);
    }
}
