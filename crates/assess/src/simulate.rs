//! A whole run: one simulation for each attacker, and the report over all of them.

use crate::model::{self, ClusterSummary, PathState, Report, UnknownEffect};
use crate::path::matches;
use crate::request::{AssessError, Progress, SimulateRequest, Simulated};
use crate::unit::{self, PathRun, UnitPlan, UnitRun};
use crate::verdict;
use crate::weather::Weather;
use ravelin_adversary::Attacker;
use ravelin_cluster::Layout;
use ravelin_host::Flaws;
use ravelin_sim::Untrusted;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Simulates a cluster under attack.
///
/// # Errors
/// Where the request names something unknown, the cluster cannot be laid out, or a simulation
/// ended badly.
pub fn simulate(
    request: SimulateRequest,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Simulated, AssessError> {
    let (paths, attackers) = (request.chosen_paths()?, request.chosen_attackers()?);
    let layout = Layout::new(&request.config, request.nodes)?;
    let total = attackers.len() * (paths.len() + 1);
    let done = AtomicUsize::new(0);
    let plan = |attacker: Attacker| UnitPlan {
        config: request.config.clone(),
        seed: request.seed,
        layout: layout.clone(),
        attacker,
        untrusted: Untrusted { access: request.untrusted.0, fabric: request.untrusted.1 },
        paths: paths.clone(),
        flaws: Flaws::none(),
        weather: Weather::calm(),
        step: None,
    };
    let runs = thread::scope(|scope| {
        let (done, plan) = (&done, &plan);
        let (tell, told) = std::sync::mpsc::channel::<String>();
        let handles: Vec<_> = attackers
            .iter()
            .map(|attacker| {
                let (attacker, tell) = (*attacker, tell.clone());
                let step = move |what: &str| {
                    // Nobody listens any more where the run was given up.
                    let _ = tell.send(format!("{what} ({attacker})"));
                };
                let plan = UnitPlan { step: Some(Arc::new(step)), ..plan(attacker) };
                scope.spawn(move || unit::run(plan))
            })
            .collect();
        drop(tell);
        for what in told {
            progress(Progress { done: done.fetch_add(1, Ordering::Relaxed), total, what });
        }
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    let mut finished = Vec::new();
    for (attacker, run) in attackers.iter().zip(runs) {
        let failed = |why: String| AssessError::Simulation { attacker: attacker.name(), why };
        finished.push((*attacker, run.map_err(|error| failed(error.to_string()))?));
    }
    Ok(assemble(&request, &finished))
}

fn assemble(request: &SimulateRequest, finished: &[(Attacker, UnitRun)]) -> Simulated {
    let mut report = Report {
        schema: model::SCHEMA.to_owned(),
        seed: request.seed,
        commit: request.commit.clone(),
        cluster: summary(request),
        simulated_ms: finished.iter().map(|(_, run)| milliseconds(run.simulated)).sum(),
        // Simulations have no other clock than their own: whoever runs them fills this in.
        wall_ms: 0,
        trace_sha256: String::new(),
        paths: Vec::new(),
        verdicts: Vec::new(),
    };
    let mut stories = Vec::new();
    let mut lines = Vec::new();
    for (attacker, run) in finished {
        lines.push(serde_json::json!({"kind": "simulation", "attacker": attacker.name()}).to_string());
        lines.extend(run.trace.iter().map(str::to_owned));
        for path in &run.paths {
            let egress = if path.path.uses_egress() { run.egress.as_str() } else { "direct" };
            note_state(&mut report, path, egress);
            let unknown = unknown_for(&report.cluster.unknown_effect, path);
            if path.state == model::PathOutcome::Works || !unknown.is_empty() {
                report.verdicts.push(verdict::verdict(*attacker, egress, path, &unknown));
            }
            stories.push(verdict::story(*attacker, egress, path));
        }
    }
    report
        .verdicts
        .sort_by_key(|verdict| crate::Path::ALL.iter().position(|path| path.name() == verdict.path));
    report.trace_sha256 = sha256(&lines);
    let trace_lines = if request.want_trace { lines } else { Vec::new() };
    Simulated { report, trace_lines, stories }
}

/// A path has the state that its worst baseline had.
fn note_state(report: &mut Report, path: &PathRun, egress: &str) {
    let name = path.path.name();
    let state = PathState {
        path: name.to_owned(),
        egress: egress.to_owned(),
        state: path.state,
        error: path.error.clone(),
    };
    match report.paths.iter_mut().find(|known| known.path == name && known.egress == egress) {
        Some(known) if known.state < state.state => *known = state,
        Some(_) => {}
        None => report.paths.push(state),
    }
}

fn unknown_for(unknown: &[UnknownEffect], path: &PathRun) -> Vec<String> {
    let touches = |setting: &&UnknownEffect| setting.paths.iter().any(|p| matches(p, path.path.name()));
    unknown.iter().filter(touches).map(|setting| setting.key.clone()).collect()
}

fn summary(request: &SimulateRequest) -> ClusterSummary {
    let provenance = &request.config.provenance;
    let unknown = provenance.unknown_effect.iter().map(|setting| UnknownEffect {
        key: setting.key.clone(),
        file: setting.file.clone(),
        line: Some(setting.line),
        paths: setting.paths.clone(),
        why: setting.why.clone(),
    });
    let files = provenance.settings.iter().map(|s| s.file.clone());
    let files = files.chain(provenance.no_effect.iter().map(|s| s.file.clone()));
    let mut files: Vec<String> = files.collect();
    files.sort();
    files.dedup();
    let segments = [("access", request.untrusted.0), ("fabric", request.untrusted.1)];
    ClusterSummary {
        kubernetes_version: request.config.version.to_string(),
        nodes: request.nodes,
        untrusted: segments.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()).collect(),
        files,
        provenance: serde_json::to_value(provenance).expect("provenance is plain data"),
        assumed: provenance.assumed.iter().map(|assumed| assumed.0.clone()).collect(),
        unknown_effect: unknown.collect(),
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// SHA-256 over lines, each ended by a newline, in lower-case hexadecimal.
fn sha256(lines: &[String]) -> String {
    use sha2::Digest;
    let mut hash = sha2::Sha256::new();
    for line in lines {
        hash.update(line.as_bytes());
        hash.update(b"\n");
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
