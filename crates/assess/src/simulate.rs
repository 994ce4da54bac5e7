//! A whole run: one simulation for each attacker, and the report over all of them.

use crate::fixes;
use crate::model::{self, ClusterSummary, PathState, Report, UnknownEffect};
use crate::path::matches;
use crate::places::Places;
use crate::queue;
use crate::request::{AssessError, Progress, SimulateRequest, Simulated};
use crate::rerun::Rerun;
use crate::story::{self, Beginnings};
use crate::trace::RunTrace;
use crate::twins;
use crate::unit::{self, PathRun, UnitPlan, UnitRun};
use crate::verdict;
use crate::weather::Weather;
use ravelin_adversary::Attacker;
use ravelin_cluster::Layout;
use ravelin_config::ClusterConfig;
use ravelin_host::Flaws;
use ravelin_sim::Untrusted;
use std::sync::Arc;
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
    let (tell, told) = std::sync::mpsc::channel::<String>();
    let listening = |attacker: &Attacker| {
        let (attacker, tell) = (*attacker, tell.clone());
        let step = move |what: &str| {
            // Nobody listens any more where the run was given up.
            let _ = tell.send(format!("{what} ({attacker})"));
        };
        let plan = plan(&request, (request.config.clone(), layout.clone()), attacker);
        UnitPlan { paths: paths.clone(), step: Some(Arc::new(step)), ..plan }
    };
    let plans = attackers.iter().map(listening).collect();
    drop(tell);
    let run = if request.want_packets { unit::run_captured } else { unit::run };
    let runs = queue::in_order(plans, &run, || {
        for (before, what) in told.into_iter().enumerate() {
            progress(Progress { done: before, total, what });
        }
    });
    let mut finished = Vec::new();
    for (attacker, run) in attackers.iter().zip(runs) {
        let failed = |why: String| AssessError::Simulation { attacker: attacker.name(), why };
        finished.push((*attacker, run.map_err(|error| failed(error.to_string()))?));
    }
    let mut simulated = assemble(&request, &layout, &finished);
    simulated.captures = finished.iter_mut().filter_map(|(_, run)| run.capture.take()).collect();
    let rerun = Rerun::new(&request, progress);
    if request.fixes {
        fixes::add(&rerun, &mut simulated.report)?;
    }
    if request.twins {
        twins::add(&rerun, &finished, &mut simulated.report)?;
    }
    simulated.report.simulated_ms += milliseconds(rerun.simulated());
    Ok(simulated)
}

/// One attacker's simulation of a cluster, with no path yet.
pub(crate) fn plan(
    request: &SimulateRequest,
    (config, layout): (ClusterConfig, Layout),
    attacker: Attacker,
) -> UnitPlan {
    UnitPlan {
        config,
        seed: request.seed,
        layout,
        attacker,
        untrusted: Untrusted { access: request.untrusted.0, fabric: request.untrusted.1 },
        paths: Vec::new(),
        flaws: Flaws::none(),
        weather: Weather::calm(),
        step: None,
    }
}

fn assemble(request: &SimulateRequest, layout: &Layout, finished: &[(Attacker, UnitRun)]) -> Simulated {
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
    let mut trace = RunTrace::new(request.want_trace);
    for (attacker, run) in finished {
        let untrusted = Untrusted { access: request.untrusted.0, fabric: request.untrusted.1 };
        let places = Places::of(layout, untrusted).with_pods(&run.trace);
        let beginnings = Beginnings::of(&run.trace);
        let (first_story, first_verdict) = (stories.len(), report.verdicts.len());
        for path in &run.paths {
            let egress = egress_of(run, path);
            note_state(&mut report, path_state(egress, path));
            let unknown = unknown_for(&report.cluster.unknown_effect, path);
            if path.state == model::PathOutcome::Works || !unknown.is_empty() {
                let mut verdict = verdict::verdict(*attacker, egress, path, &unknown);
                name_machines(&mut verdict, &places);
                report.verdicts.push(verdict);
            }
            stories.push(story::story((*attacker, egress), path, &places, &beginnings));
        }
        trace.simulation(
            (*attacker, &places),
            run,
            (&stories[first_story..], &report.verdicts[first_verdict..]),
        );
    }
    report
        .verdicts
        .sort_by_key(|verdict| crate::Path::ALL.iter().position(|path| path.name() == verdict.path));
    let (sha256, trace_lines) = trace.finish();
    report.trace_sha256 = sha256;
    Simulated { report, trace_lines, captures: Vec::new(), stories }
}

/// Evidence names machines by their names.
fn name_machines(verdict: &mut model::Verdict, places: &Places) {
    for evidence in verdict.properties.values_mut().flat_map(|found| &mut found.evidence) {
        evidence.flow = places.named(&evidence.flow);
        evidence.text = places.named(&evidence.text);
    }
}

/// How the path's connections leave.
pub(crate) fn egress_of<'a>(run: &'a UnitRun, path: &PathRun) -> &'a str {
    if path.path.uses_egress() { run.egress.as_str() } else { "direct" }
}

/// What a simulation showed of a path by itself.
pub(crate) fn path_state(egress: &str, path: &PathRun) -> PathState {
    PathState {
        path: path.path.name().to_owned(),
        egress: egress.to_owned(),
        state: path.state,
        error: path.error.clone(),
    }
}

/// A path has the state that its worst baseline had.
fn note_state(report: &mut Report, state: PathState) {
    match report.paths.iter_mut().find(|known| known.path == state.path && known.egress == state.egress) {
        Some(known) if known.state < state.state => *known = state,
        Some(_) => {}
        None => report.paths.push(state),
    }
}

/// The settings of unknown effect that may touch a path.
pub(crate) fn unknown_for(unknown: &[UnknownEffect], path: &PathRun) -> Vec<String> {
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
