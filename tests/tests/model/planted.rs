//! Flaws that are planted on purpose: with each, some run must contradict the model. If one did not,
//! the comparison would pass for a simulation whose checks are missing.

use super::case::Case;
use super::settings::THEMES;
use ravelin_adversary::Attacker;
use ravelin_assess::model::State as Found;
use ravelin_assess::{Path, UnitPlan, run_unit, verdict_of};
use ravelin_host::{Flaw, Flaws};
use ravelin_oracle::Property as Judged;
use ravelin_tests::model::{self, Property, Rules, State, Way};

/// A cluster: which themes differ from kubeadm's, and how.
type Cluster = &'static [(&'static str, &'static str)];

/// kubeadm's.
const KUBEADM: Cluster = &[];
/// Kubelets whose certificates the apiserver verifies.
const VERIFIED: Cluster = &[
    ("--kubelet-certificate-authority", "the cluster's"),
    ("kubelets' serving certificates", "serverTLSBootstrap"),
];

/// A flaw, and where it must show: a cluster, an attacker, a path, and a property that the model
/// does not call broken.
struct Planted(Flaw, Cluster, Attacker, Path, Property);

use Attacker::{Eavesdropper, Impostor, RogueNode, RoguePod, TokenThief};
use Property::{AccessControlled, CredentialSafe, RequestAuthentic, RequestSecret, ResponseSecret};

const PLANTED: &[Planted] = &[
    // Certificate checks off.
    Planted(Flaw::ClientsTrustAnyServer, KUBEADM, Impostor, Path::PodToApiserver, RequestSecret),
    Planted(Flaw::ApiserverTrustsAnyKubelet, VERIFIED, Impostor, Path::KubeletLogs, RequestSecret),
    Planted(
        Flaw::ApiserverTrustsAnyClientCertificate,
        KUBEADM,
        Impostor,
        Path::NodeToApiserver,
        RequestAuthentic,
    ),
    Planted(Flaw::KubeletTrustsAnyClientCertificate, KUBEADM, Impostor, Path::KubeletLogs, ResponseSecret),
    Planted(Flaw::ServersSkipPossessionProof, KUBEADM, Impostor, Path::UserToApiserver, CredentialSafe),
    // Name checks off.
    Planted(Flaw::ClientsIgnoreServerName, VERIFIED, RogueNode, Path::UserToApiserver, RequestSecret),
    // Encryption and freshness off.
    Planted(Flaw::SessionsWithoutSecrecy, KUBEADM, Eavesdropper, Path::KubeletLogs, ResponseSecret),
    Planted(Flaw::ServersRepeatHandshakes, KUBEADM, Eavesdropper, Path::NodeToApiserver, CredentialSafe),
    // Token checks off.
    Planted(Flaw::ApiserverTrustsAnyToken, KUBEADM, Impostor, Path::PodToApiserver, RequestAuthentic),
    Planted(Flaw::ApiserverIgnoresTokenAudience, KUBEADM, TokenThief, Path::PodToApiserver, RequestAuthentic),
    Planted(Flaw::ApiserverIgnoresTokenExpiry, KUBEADM, TokenThief, Path::PodToApiserver, RequestAuthentic),
    // Authorization off.
    Planted(Flaw::ApiserverAllowsEveryone, KUBEADM, Impostor, Path::UserToApiserver, AccessControlled),
    Planted(Flaw::KubeletAllowsEveryone, KUBEADM, Impostor, Path::KubeletLogs, AccessControlled),
    Planted(
        Flaw::ApiserverSkipsAuthorizationOfUpgrades,
        KUBEADM,
        RoguePod,
        Path::UserToApiserver,
        AccessControlled,
    ),
    // A redirect followed.
    Planted(Flaw::ApiserverFollowsRedirects, KUBEADM, Impostor, Path::KubeletLogs, RequestAuthentic),
];

#[test]
fn every_planted_flaw_contradicts_the_model() {
    let (rules, mut missed) = (Rules::read(), Vec::new());
    for Planted(flaw, cluster, attacker, path, property) in PLANTED {
        let case = Case {
            seed: 81,
            nodes: 2,
            attacker: *attacker,
            untrusted: (true, true),
            paths: vec![*path],
            choices: choices(cluster),
            faults: Vec::new(),
        };
        let cell = (
            Way::named(path.name()).expect("the model knows every path"),
            model::Attacker::named(attacker.name()).expect("the model knows every attacker"),
            *property,
        );
        let said = rules.state(&case.facts(), cell);
        assert_ne!(
            said.then,
            State::Broken,
            "{flaw:?}: the model calls {path} {attacker} {property} broken anyway"
        );
        let found = with_flaw(&case, *flaw, *property);
        if found != Found::Broken {
            missed.push(format!("{flaw:?}: {path} {attacker} {property} is {found} all the same"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// The state of a property in a cluster with a flaw.
fn with_flaw(case: &Case, flaw: Flaw, property: Property) -> Found {
    let config = case.config().expect("the files are accepted");
    let plan = UnitPlan { flaws: Flaws::danger([flaw]), ..case.plan(&config, case.seed) };
    let run = run_unit(plan).expect("the simulation ends");
    let verdict = verdict_of(case.attacker, &run.egress, &run.paths[0], &[]);
    let judged = Judged::ALL.into_iter().find(|known| known.to_string() == property.name());
    verdict.state(judged.expect("both have the same six properties"))
}

fn choices(cluster: Cluster) -> Vec<(usize, usize)> {
    let chosen = cluster.iter().map(|(theme, choice)| {
        let at = THEMES.iter().position(|(name, _)| name == theme).expect("it is a theme");
        let choice = THEMES[at].1.iter().position(|(name, _)| name == choice);
        (at, choice.expect("it is one of its choices"))
    });
    chosen.collect()
}
