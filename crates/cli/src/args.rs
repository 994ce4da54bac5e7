//! What a person may write after `ravelin`, and the help that explains it.

use crate::component::{Apiserver, ControllerManager, Kubelet, Proxy, TunnelAgent, TunnelServer};
use crate::processes::StartProgram;
use crate::scenario::ScenarioOptions;
use crate::up::Up;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

macro_rules! exit_status {
    () => {
        "\
Exit status:
  0  the simulation ran
  1  --fail-on found what it looks for
  2  bad input or usage; nothing was run
  3  a path failed without an attacker, a property is untested, or a bug
Where several apply: 2, then 3, then 1."
    };
}

/// Runs your Kubernetes cluster in a deterministic simulated network, puts an attacker on it, and
/// says which control-plane and node paths hold.
#[derive(Debug, Parser)]
#[command(name = "ravelin", version, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    // Described where their options are.
    Simulate(Simulate),
    Replay(Replay),
    Scenario(ScenarioOptions),
    Up(Up),
    Apiserver(Apiserver),
    ControllerManager(ControllerManager),
    Kubelet(Kubelet),
    #[command(hide = true)]
    StartProgram(StartProgram),
    Proxy(Proxy),
    TunnelServer(TunnelServer),
    TunnelAgent(TunnelAgent),
}

/// Simulate the cluster of these configuration files under attack
///
/// Give the files that the cluster already has: the kube-apiserver manifest or systemd unit,
/// KubeletConfiguration, EgressSelectorConfiguration, kubeadm ClusterConfiguration, RBAC and other
/// manifests. They are told apart by their content. Nothing is contacted: the whole cluster runs
/// inside this process, with real TLS, SSH and HTTP on a simulated network. Certificates, keys
/// and tokens that the files name are not read; the simulation makes its own for each name.
///
/// With no files it simulates what kubeadm sets up by default.
#[derive(Args, Clone, Debug)]
#[command(after_help = exit_status!(), after_long_help = LONG)]
pub(crate) struct Simulate {
    /// Configuration files, directories of them, or `-` for standard input
    #[arg(value_name = "FILE|DIR|-")]
    pub(crate) inputs: Vec<PathBuf>,

    /// The number that decides every random choice; the same seed gives the same run
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,

    /// Run every seed from A up to B (B itself with A..=B), and stop at the first that fails
    ///
    /// A seed fails if a path failed in it, a property was untested, it ended in a bug, or a state
    /// is another than with the first seed: verdicts must not depend on chance. The last line then
    /// is the command that repeats it. It shows no report: run the seed for that.
    #[arg(
        long,
        value_name = "A..B",
        value_parser = parse_seeds,
        conflicts_with_all = ["seed", "explain", "trace", "pcap", "output", "format", "twins", "fixes"]
    )]
    pub(crate) seeds: Option<Seeds>,

    /// How many nodes the cluster has
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) nodes: u32,

    /// Only paths of this name (repeatable, `*` allowed), such as 'apiserver-to-*'
    ///
    /// It only leaves out: the other paths behave as they would without it. A name that fits no
    /// path is an error that lists all paths.
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Vec<String>,

    /// Only attackers of this name (repeatable, `*` allowed), such as impostor
    ///
    /// A name that fits no attacker is an error that lists all attackers.
    #[arg(long, value_name = "NAME")]
    pub(crate) attacker: Vec<String>,

    /// Which network segments the attacker is on
    #[arg(long, value_enum, value_name = "SEGMENTS", default_value_t = Untrusted::All)]
    pub(crate) untrusted: Untrusted,

    /// The Kubernetes version, over what the files say, such as 1.33
    #[arg(long, value_name = "VERSION")]
    pub(crate) kubernetes_version: Option<String>,

    /// How to show the report
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,

    /// Write the report to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Tell how one verdict came about, step by step
    ///
    /// The story takes the report's place on standard output; --output still gets the report.
    /// Without @EGRESS it is told for every egress that the configuration has. Example:
    /// apiserver-to-kubelet/logs/impostor
    #[arg(long, value_name = "PATH/ATTACKER[@EGRESS]", value_parser = parse_explain)]
    pub(crate) explain: Option<Explain>,

    /// Try every attack that was refused again, without the protection that refused it
    ///
    /// It must then succeed: that proves that what was refused was an attack. A property that held
    /// and that no such twin breaks becomes untested. Takes several times as long.
    #[arg(long)]
    pub(crate) twins: bool,

    /// Look for settings with which what is broken would hold
    ///
    /// Each setting of your own configuration that bears on the evidence is changed, alone, then
    /// together with another where none helps alone, and the same attack is run again. Reported is
    /// what made every property of a verdict hold with the path still working, the smallest change
    /// first, with all that it changes elsewhere.
    #[arg(long)]
    pub(crate) fixes: bool,

    /// Exit with status 1 when a property is in this state
    #[arg(long, value_enum, value_name = "STATE", default_value_t = FailOn::None)]
    pub(crate) fail_on: FailOn,

    /// Write the event trace to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// Write every packet to this file, as pcapng for Wireshark
    ///
    /// It holds the secrets of the TLS sessions and the machines' names: Wireshark shows what was
    /// encrypted without further files. Each attacker's simulation has its own interfaces, one for
    /// each segment; the packets where evidence arose have comments (`frame.comment`).
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
}

/// Step through the events of a trace that `ravelin simulate --trace FILE` wrote
///
/// An event is a line: when, what, between whom. Packets with their flags and lengths, TLS
/// handshakes, requests and what was decided about them, what the attacker did, and the evidence of
/// each verdict. Nothing is run.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example: ravelin replay trace.jsonl --path apiserver-to-kubelet/logs --attacker impostor"
)]
pub(crate) struct Replay {
    /// The trace, or `-` for standard input
    #[arg(value_name = "TRACE")]
    pub(crate) trace: PathBuf,

    /// Only what happened up to this simulated time, in milliseconds since a simulation's start
    #[arg(long, value_name = "MS")]
    pub(crate) until: Option<u64>,

    /// Only while this path was used or attacked (repeatable, `*` allowed)
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Vec<String>,

    /// Only the simulation of this attacker (repeatable, `*` allowed)
    #[arg(long, value_name = "NAME")]
    pub(crate) attacker: Vec<String>,

    /// Only events of this kind (repeatable, `*` allowed), such as packet, evidence, 'http.*'
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Vec<String>,

    /// Wait after each event: Enter for the next one, c and Enter for the next tactic, q to end
    #[arg(long)]
    pub(crate) step: bool,
}

/// Seeds in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seeds {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Seeds {
    /// How many.
    pub(crate) fn count(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }
}

impl std::fmt::Display for Seeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..={}", self.first, self.last)
    }
}

/// `A..B` without B, `A..=B` with it.
fn parse_seeds(text: &str) -> Result<Seeds, String> {
    let wrong = || "expected A..B or A..=B with A below B, such as 0..100".to_owned();
    let (first, rest) = text.split_once("..").ok_or_else(wrong)?;
    let first: u64 = first.parse().map_err(|_| wrong())?;
    let last = match rest.strip_prefix('=') {
        Some(last) => last.parse().ok(),
        None => rest.parse::<u64>().ok().and_then(|end| end.checked_sub(1)),
    };
    last.filter(|last| first <= *last).map(|last| Seeds { first, last }).ok_or_else(wrong)
}

/// Which segments the attacker is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Untrusted {
    /// Between control plane (and users) and the nodes and pods
    Access,
    /// Between nodes, and between pods of different nodes
    Fabric,
    /// Both
    All,
}

impl Untrusted {
    /// Is the attacker on (`access`, `fabric`)?
    pub(crate) fn segments(self) -> (bool, bool) {
        (self != Self::Fabric, self != Self::Access)
    }
}

/// How to show the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs: schema ravelin.report/v1
    Json,
    /// For code scanning: SARIF 2.1.0, what is broken or untested at the configuration's lines
    Sarif,
    /// For build servers: JUnit XML, a case for each path, attacker and property
    Junit,
    /// For people: one page with all evidence, without scripts
    Html,
}

/// What turns into exit status 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Any property that an attacker broke
    Broken,
    /// Nothing
    None,
}

/// Which verdicts `--explain` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explain {
    pub(crate) path: String,
    pub(crate) attacker: String,
    pub(crate) egress: Option<String>,
}

/// `PATH/ATTACKER[@EGRESS]`, split at the last `/`: paths have slashes, attackers have none.
fn parse_explain(text: &str) -> Result<Explain, String> {
    let wrong = || "expected PATH/ATTACKER[@EGRESS], such as apiserver-to-kubelet/logs/impostor".to_owned();
    let (path, rest) = text.rsplit_once('/').ok_or_else(wrong)?;
    let (attacker, egress) = match rest.split_once('@') {
        Some((attacker, egress)) => (attacker, Some(egress)),
        None => (rest, None),
    };
    if path.is_empty() || attacker.is_empty() || egress == Some("") || text.contains('*') {
        return Err(wrong());
    }
    Ok(Explain { path: path.into(), attacker: attacker.into(), egress: egress.map(str::to_owned) })
}

const LONG: &str = concat!(
    "\
Examples:
  What kubeadm sets up by default, as a table:
    ravelin simulate

  The files of a control-plane node (and a kubelet's configuration):
    ravelin simulate /etc/kubernetes/manifests kubelet-config.yaml

  One path under one attacker, and how the verdict came about:
    ravelin simulate kube-apiserver.yaml --explain apiserver-to-kubelet/logs/impostor

  In continuous integration: a JSON report, and failure when something is broken:
    ravelin simulate cluster/ --format json --output report.json --fail-on broken

  Is every verdict the same whatever chance brings?
    ravelin simulate cluster/ --seeds 0..100

  For GitHub's code scanning, for a build server, for a colleague:
    ravelin simulate cluster/ --format sarif --output ravelin.sarif
    ravelin simulate cluster/ --format junit --output ravelin.xml
    ravelin simulate cluster/ --format html --output ravelin.html

  From a running cluster:
    kubectl -n kube-system get pod -l component=kube-apiserver -o yaml | ravelin simulate -

How to read the table:
  A row is a path, a column an attacker, a cell has one place for each of six properties. A letter
  is a property that the attacker broke; + it was refused by the protection itself; - nothing of
  this path passes where the attacker is; . it does not apply; ? nobody knows: never read it as safe.

Directories:
  Read with their subdirectories: .yaml .yml .json .service .conf .flags .env and files without an
  extension. What was ignored is named on standard error. A file given by name is always read.

",
    exit_status!()
);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Simulate, clap::Error> {
        let arguments =
            Arguments::try_parse_from(["ravelin", "simulate"].into_iter().chain(line.split_whitespace()))?;
        match arguments.command {
            Command::Simulate(options) => Ok(options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_manual() {
        let options = parse("").expect("no option is required");
        assert_eq!((options.seed, options.nodes, options.untrusted), (42, 3, Untrusted::All));
        assert_eq!((options.format, options.fail_on), (Format::Table, FailOn::None));
        assert!(options.inputs.is_empty() && options.path.is_empty() && options.explain.is_none());
    }

    #[test]
    fn what_this_build_cannot_do_is_a_usage_error() {
        for line in [
            "--format pdf",
            "--seeds 5",
            "--seeds 5..5",
            "--seeds 5..=4",
            "--seeds 0..3 --seed 1",
            "--seeds 0..3 --explain a/b",
            "--seeds 0..3 --format json",
            "--faults",
            "--nodes 0",
            "--seed -1",
            "--seed x",
            "--untrusted lan",
            "--fail-on held",
            "--explain logs",
            "--explain a/b@",
            "--explain */impostor",
        ] {
            assert!(parse(line).is_err_and(|refused| refused.use_stderr()), "{line}");
        }
        assert!(Arguments::try_parse_from(["ravelin", "down"]).is_err());
    }

    #[test]
    fn explain_splits_at_the_last_slash() {
        let explain = |text| parse_explain(text).expect("well formed");
        let logs = explain("apiserver-to-kubelet/logs/rogue-node@ssh");
        assert_eq!((logs.path.as_str(), logs.attacker.as_str()), ("apiserver-to-kubelet/logs", "rogue-node"));
        assert_eq!(logs.egress.as_deref(), Some("ssh"));
        assert_eq!(explain("direct-to-apiserver/outsider").egress, None);
    }

    #[test]
    fn seeds_are_written_like_ranges_of_rust() {
        let seeds = |text| parse_seeds(text).expect("well formed");
        assert_eq!(seeds("3..5"), Seeds { first: 3, last: 4 });
        assert_eq!(seeds("3..=5"), Seeds { first: 3, last: 5 });
        assert_eq!((seeds("7..8").count(), seeds("0..=9").count()), (1, 10));
        assert_eq!(seeds("3..5").to_string(), "3..=4");
    }

    #[test]
    fn untrusted_segments_are_access_and_fabric() {
        let segments = [Untrusted::Access, Untrusted::Fabric, Untrusted::All].map(Untrusted::segments);
        assert_eq!(segments, [(true, false), (false, true), (true, true)]);
    }

    #[test]
    fn the_help_is_well_formed() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
