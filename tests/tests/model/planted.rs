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
use std::collections::BTreeSet;

/// A cluster: which themes differ from kubeadm's, and how.
type Cluster = &'static [(&'static str, &'static str)];

/// kubeadm's.
const KUBEADM: Cluster = &[];
/// Kubelets whose certificates the apiserver verifies.
const VERIFIED: Cluster = &[
    ("--kubelet-certificate-authority", "the cluster's"),
    ("kubelets' serving certificates", "serverTLSBootstrap"),
];

/// The same, whose certificates must also have the node's name.
const NAMED: Cluster = &[
    ("--kubelet-certificate-authority", "the cluster's"),
    ("kubelets' serving certificates", "serverTLSBootstrap"),
    ("--enable-kubelet-cert-cn-validation", "true"),
];

/// Tunnels that let in whom they know only.
const KNOWN_HOSTS: Cluster = &[("egress", "SSH tunnels with known host keys")];
const KONNECTIVITY: Cluster = &[("egress", "Konnectivity")];

/// A flaw, and where it must show: a cluster, an attacker, a path, and a property that the model
/// does not call broken.
struct Planted(Flaw, Cluster, Attacker, Path, Property);

use Attacker::{Eavesdropper, Impostor, Outsider, RogueNode, RoguePod, TokenThief};
use Property::{
    AccessControlled, CredentialSafe, RequestAuthentic, RequestSecret, ResponseAuthentic, ResponseSecret,
};

const PLANTED: &[Planted] = &[
    // Certificate checks off.
    Planted(Flaw::ClientsTrustAnyServer, KUBEADM, Impostor, Path::PodToApiserver, RequestSecret),
    Planted(Flaw::ApiserverTrustsAnyKubelet, VERIFIED, Impostor, Path::KubeletLogs, RequestSecret),
    Planted(Flaw::ApiserverTrustsAnyKubelet, VERIFIED, Impostor, Path::KubeletAttach, RequestSecret),
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
    Planted(Flaw::ApiserverIgnoresKubeletNodeName, NAMED, RogueNode, Path::KubeletLogs, RequestSecret),
    // Encryption and freshness off.
    Planted(Flaw::SessionsWithoutSecrecy, KUBEADM, Eavesdropper, Path::KubeletLogs, ResponseSecret),
    Planted(Flaw::SessionsWithoutSecrecy, KUBEADM, Eavesdropper, Path::KubeletExec, RequestSecret),
    Planted(Flaw::ServersRepeatHandshakes, KUBEADM, Eavesdropper, Path::NodeToApiserver, CredentialSafe),
    // Token checks off.
    Planted(Flaw::ApiserverTrustsAnyToken, KUBEADM, Impostor, Path::PodToApiserver, RequestAuthentic),
    Planted(Flaw::ApiserverIgnoresTokenAudience, KUBEADM, TokenThief, Path::PodToApiserver, RequestAuthentic),
    Planted(Flaw::ApiserverIgnoresTokenExpiry, KUBEADM, TokenThief, Path::PodToApiserver, RequestAuthentic),
    Planted(Flaw::ApiserverIgnoresTokenBinding, KUBEADM, TokenThief, Path::PodToApiserver, RequestAuthentic),
    // Anybody may say who they are.
    Planted(Flaw::ApiserverTrustsAnyFrontProxy, KUBEADM, Outsider, Path::DirectApiserver, AccessControlled),
    Planted(
        Flaw::ApiserverIgnoresImpersonationRights,
        KUBEADM,
        RoguePod,
        Path::DirectApiserver,
        AccessControlled,
    ),
    // The rules of what nodes may read off.
    Planted(Flaw::ApiserverIgnoresNodeRelations, KUBEADM, RogueNode, Path::DirectApiserver, CredentialSafe),
    // Authorization off.
    Planted(Flaw::ApiserverAllowsEveryone, KUBEADM, Impostor, Path::UserToApiserver, AccessControlled),
    Planted(Flaw::KubeletAllowsEveryone, KUBEADM, Impostor, Path::KubeletLogs, AccessControlled),
    Planted(Flaw::KubeletAllowsEveryone, KUBEADM, Outsider, Path::KubeletPortForward, ResponseSecret),
    Planted(
        Flaw::ApiserverSkipsAuthorizationOfUpgrades,
        KUBEADM,
        RoguePod,
        Path::UserToApiserver,
        AccessControlled,
    ),
    // A redirect followed.
    Planted(Flaw::ApiserverFollowsRedirects, KUBEADM, Impostor, Path::KubeletLogs, RequestAuthentic),
    Planted(Flaw::ApiserverFollowsRedirects, KUBEADM, Impostor, Path::KubeletExec, RequestAuthentic),
    // What nobody can see can be guessed.
    Planted(Flaw::PredictableSequenceNumbers, KUBEADM, Outsider, Path::PodHttp, ResponseAuthentic),
    // Tunnels.
    Planted(Flaw::SshTrustsAnyHostKey, KNOWN_HOSTS, Impostor, Path::PodHttp, RequestSecret),
    Planted(Flaw::KonnectivityTakesAnyAgent, KONNECTIVITY, Outsider, Path::PodHttp, RequestSecret),
];

/// Flaws that no run of these paths can show, and why.
const ELSEWHERE: &[(Flaw, &str)] = &[
    (
        Flaw::ApiserverIgnoresKubeletAddress,
        "a rogue node's former certificate fits the address anyway; the apiserver's own tests show it",
    ),
    (
        Flaw::ApiserverIgnoresNodeRestriction,
        "on both segments a rogue node breaks the same without it; the theme NodeRestriction and \
         `properties::nodes` show it",
    ),
    (
        Flaw::SignersTrustRequests,
        "NodeRestriction refuses a node's request before, and nobody else may make one; \
         `properties::signing` shows it",
    ),
    (
        Flaw::ApiserverAllowsExternalIps,
        "no attacker may make services, unless everything is allowed; the apiserver's own tests show it",
    ),
    (
        Flaw::ApiserverAllowsEscalation,
        "no attacker may write roles, unless everything is allowed; the apiserver's own tests show it",
    ),
    (
        Flaw::HostPortsBeforeServices,
        "no attacker may make a pod with a host port; the tests of `sim` show it",
    ),
    (
        Flaw::ServersAcceptSpacedHeaderNames,
        "it shows only behind a proxy that is believed; the tests of `transport` show it",
    ),
    (
        Flaw::ApiserverSplicesRefusedUpgrades,
        "whoever makes use of it may exec somewhere, and no attacker here may; its scenario and the \
         apiserver's own tests show it",
    ),
    (
        Flaw::ApiserverPassesRedirectsOn,
        "no client here follows a redirect; its scenario and the apiserver's own tests show it",
    ),
    (
        Flaw::ApiserverProxiesToAnyAddress,
        "the loopback address is no path; its scenario and the apiserver's own tests show it",
    ),
    (
        Flaw::KonnectivityTakesAnyFrontend,
        "a Unix socket, which no attacker reaches, is in front; its scenario and the tests of `tunnel` show it",
    ),
    (
        Flaw::KonnectivityAgentTrustsAnyServer,
        "whoever is taken for a server is sent no connection; the twins of `konnectivity` and the tests of \
         `tunnel` show it",
    ),
    (
        Flaw::KonnectivityEgressTrustsAnyServer,
        "between the apiserver and its tunnel server there is no segment; the tests of `tunnel` show it",
    ),
    (Flaw::SshServersAreNotStrict, "Terrapin by itself takes no byte of a tunnel; its scenario shows it"),
    (Flaw::SshPrefersCountedPackets, "it is no weakness by itself; Terrapin's scenario shows it"),
];

#[test]
fn every_flaw_is_planted_or_shown_elsewhere() {
    let planted = PLANTED.iter().map(|planted| planted.0).chain(ELSEWHERE.iter().map(|(flaw, _)| *flaw));
    let planted: BTreeSet<String> = planted.map(|flaw| format!("{flaw:?}")).collect();
    let source = include_str!("../../../crates/host/src/flaws.rs");
    let variants = source.lines().skip_while(|line| !line.starts_with("pub enum Flaw {")).skip(1);
    let variants = variants.take_while(|line| *line != "}").map(str::trim);
    let variants = variants.filter(|line| !line.starts_with("//")).filter_map(|line| line.strip_suffix(','));
    let all: BTreeSet<String> = variants.map(str::to_owned).collect();
    assert_eq!(all, planted);
}

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
