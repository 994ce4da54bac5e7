//! One side of a scenario, from a booted cluster to what was seen.

use crate::attempt::Attempt;
use crate::fact::{Fact, Pattern};
use crate::file::{Scenario, Setting, Step, Verb};
use crate::intercept::Impostor;
use crate::outcome::{Seen, SideOutcome, Told};
use crate::overheard;
use ravelin_cluster::{Cluster, Hosts, Layout};
use ravelin_config::{ClusterConfig, Egress, FileName, SshHostKeys};
use ravelin_host::Flaws;
use ravelin_runtime::Served;
use ravelin_sim::{SimConfig, Trace, Untrusted, World};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

/// How long the cluster gets to boot, in simulated time; the steps begin then.
const BOOT: Duration = Duration::from_secs(60);
/// What is still under way after the last step gets this long.
const AFTERMATH: Duration = Duration::from_secs(1);
/// No scenario lasts longer, in simulated time.
const LIMIT: Duration = Duration::from_secs(6 * 3600);

/// What the simulation gives: how the steps went, and all facts but those in the trace.
struct Played {
    steps: Vec<Told>,
    facts: Vec<Fact>,
    patterns: Vec<Result<Pattern, String>>,
    zero: Duration,
    trouble: Option<String>,
}

/// Plays one side.
///
/// # Errors
/// Where the simulation itself ended badly: a bug.
pub(crate) fn play(scenario: &Scenario, control: bool, seed: u64) -> Result<SideOutcome, String> {
    let setting = if control { &scenario.control.cluster } else { &scenario.cluster };
    let config = configured(setting)?;
    let layout = setting.layout(&config)?;
    let mut simulation = SimConfig::new(seed);
    simulation.untrusted = Untrusted { access: setting.untrusted.0, fabric: setting.untrusted.1 };
    simulation.flaws = Flaws::danger(setting.flaws.iter().copied());
    simulation.conditions.limit = LIMIT;
    let rogue = layout.rogue().map(|node| layout.members()[node].machine.name.clone());
    simulation.owned = rogue.into_iter().collect();
    let topology = ravelin_assess::topology(&layout);
    let (steps, evidence) = (scenario.steps_of(control), scenario.evidence.clone());
    let patterns: Vec<Pattern> = evidence.iter().map(|evidence| evidence.pattern.clone()).collect();
    let plan = Plan { config, layout, steps, patterns };
    let finished = ravelin_sim::run(simulation, topology, move |world| Box::pin(plan.play(world)));
    let finished = finished.map_err(|error| error.to_string())?;
    let Played { steps, mut facts, patterns, zero, mut trouble } = finished.value;
    facts.extend(of_trace(&finished.trace, zero));
    facts.sort_by_key(|fact| fact.at);
    let mut seen = Vec::new();
    for (evidence, pattern) in evidence.into_iter().zip(patterns) {
        let matching: Vec<&Fact> = match &pattern {
            Ok(pattern) => facts.iter().filter(|fact| pattern.matches(fact)).collect(),
            Err(why) => {
                trouble.get_or_insert_with(|| why.clone());
                Vec::new()
            }
        };
        let expected = if control { evidence.control } else { evidence.attack };
        let (count, first) = (matching.len(), matching.first().map(|fact| Fact::clone(fact)));
        seen.push(Seen { tell: evidence.tell, expected, count, first });
    }
    Ok(SideOutcome { steps, seen, trouble, trace_sha256: finished.trace.sha256() })
}

/// The cluster of a setting, with what no file can say.
fn configured(setting: &Setting) -> Result<ClusterConfig, String> {
    let mut config = setting.config().map_err(|errors| errors.join("; "))?;
    if let Egress::SshTunnels { settings, .. } = &mut config.apiserver.egress
        && setting.ssh_host_keys_pinned
    {
        settings.host_keys = SshHostKeys::KnownHosts(FileName::new("/etc/kubernetes/ssh/known_hosts"));
    }
    Ok(config)
}

struct Plan {
    config: ClusterConfig,
    layout: Layout,
    steps: Vec<Step>,
    patterns: Vec<Pattern>,
}

impl Plan {
    async fn play(self, world: World) -> Played {
        world.enter_cell("boot");
        let hosts = Hosts::of(&self.layout, |name| world.host(name));
        let cluster = Cluster::start(&self.config, self.layout, hosts.clone(), BOOT).await;
        tokio::time::sleep(BOOT.saturating_sub(world.elapsed())).await;
        world.enter_cell("scenario");
        let attempt = Attempt::new(world, cluster, (hosts, self.config));
        attempt.look_at_pods();
        let impostor = Impostor::start(&attempt);
        let zero = attempt.notebook.zero();
        let (mut told, mut trouble) = (Vec::new(), None);
        for step in self.steps {
            let due = (zero + step.at).saturating_sub(attempt.world.elapsed());
            tokio::time::sleep(due).await;
            let at = attempt.world.elapsed().saturating_sub(zero);
            let done = match &step.verb {
                Verb::Told => Ok(String::new()),
                Verb::Ask(ask) => attempt.ask(ask).await,
                Verb::Intercept(plan) => impostor.take_place(&attempt, plan).await,
                Verb::Wait(wait) => attempt.wait(wait).await,
            };
            attempt.look_at_pods();
            let outcome = match done {
                Ok(outcome) => outcome,
                Err(why) => {
                    trouble.get_or_insert_with(|| format!("{}: {why}", step.tell));
                    format!("could not be done: {why}")
                }
            };
            told.push(Told { at, tell: step.tell, outcome });
        }
        tokio::time::sleep(AFTERMATH).await;
        attempt.look_at_pods();
        let mut facts = attempt.notebook.facts();
        facts.extend(executed(&attempt));
        facts.extend(connections(&attempt));
        facts.extend(overheard::facts(&attempt));
        let fill = |pattern: Pattern| filled(&attempt, pattern);
        let patterns = self.patterns.into_iter().map(fill).collect();
        Played { steps: told, facts, patterns, zero, trouble }
    }
}

fn filled(attempt: &Attempt, mut pattern: Pattern) -> Result<Pattern, String> {
    for (_, value) in &mut pattern.fields {
        *value = attempt.filled(value)?;
    }
    for text in &mut pattern.contains {
        *text = attempt.filled(text)?;
    }
    Ok(pattern)
}

/// What the servers in pods executed.
fn executed(attempt: &Attempt) -> Vec<Fact> {
    let names = attempt.pod_names();
    let mut facts = Vec::new();
    // Wall clocks are right here: their zero is the steps' zero.
    let now = attempt.world.now();
    let elapsed = attempt.world.elapsed().saturating_sub(attempt.notebook.zero());
    for (uid, ledger) in attempt.cluster.ledgers() {
        let pod = names.get(&uid).cloned().unwrap_or(uid);
        for Served { request, .. } in ledger.served() {
            let ago = Duration::try_from(now.duration_since(request.at)).unwrap_or_default();
            let Some(at) = elapsed.checked_sub(ago) else { continue };
            let path = request.path.split('?').next().unwrap_or_default();
            let fact = Fact::new(at, "executed").with("pod", &pod).with("method", &request.method);
            let fact = fact.with("path", path).with("tls", request.tls);
            let content = [request.path.as_bytes(), b"\n", &request.body].concat();
            facts.push(fact.holding(&content));
        }
    }
    facts
}

/// Which machines opened connections to which.
fn connections(attempt: &Attempt) -> Vec<Fact> {
    let (names, zero) = (attempt.names(), attempt.notebook.zero());
    let name = |address: SocketAddr| match names.get(&address.ip()) {
        Some(name) => name.clone(),
        None => address.ip().to_string(),
    };
    let packets = attempt.world.wire().packets();
    let opening = packets.iter().filter(|packet| packet.flags.syn && !packet.flags.ack && packet.at >= zero);
    let fact = |at: Duration, (from, to): (SocketAddr, SocketAddr)| {
        let fact = Fact::new(at.saturating_sub(zero), "connection").with("from", name(from));
        fact.with("to", name(to)).with("port", to.port())
    };
    opening.map(|packet| fact(packet.at, (packet.source, packet.destination))).collect()
}

/// What apiserver and kubelets answered, and to whom, as they tell it themselves.
fn of_trace(trace: &Trace, zero: Duration) -> Vec<Fact> {
    let mut facts = Vec::new();
    for line in trace.iter() {
        let of_kubelet = line.contains("\"kind\":\"kubelet.request\"");
        if !of_kubelet && !line.contains("\"kind\":\"apiserver.request\"") {
            continue;
        }
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let at = Duration::from_micros(event["at_us"].as_u64().unwrap_or(0));
        let Some(at) = at.checked_sub(zero) else { continue };
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let user = Some(text("user")).filter(|user| !user.is_empty());
        let fact = |kind| Fact::new(at, kind).with("user", user.clone().unwrap_or("nobody".to_owned()));
        let fact = if of_kubelet {
            fact("kubelet-request").with("node", text("machine")).with("method", text("verb"))
        } else {
            fact("apiserver-request").with("verb", text("verb"))
        };
        facts.push(fact.with("path", text("path")).with("status", text("code")));
    }
    facts
}
