//! Running the cluster again with something changed, beside the report's own simulations.

use crate::path::Path;
use crate::queue;
use crate::request::{AssessError, Progress, SimulateRequest};
use crate::simulate;
use crate::unit::{self, UnitPlan, UnitRun};
use ravelin_adversary::Attacker;
use ravelin_cluster::Layout;
use ravelin_config::ClusterConfig;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What is run again: the same seed, machines and attackers.
pub(crate) struct Rerun<'a> {
    request: &'a SimulateRequest,
    progress: &'a (dyn Fn(Progress) + Sync),
    simulated: Cell<Duration>,
}

/// One simulation of its own.
pub(crate) struct Job {
    /// What it is for, for people.
    pub what: String,
    /// What it runs.
    pub plan: UnitPlan,
}

impl<'a> Rerun<'a> {
    /// Runs of what was requested.
    pub fn new(request: &'a SimulateRequest, progress: &'a (dyn Fn(Progress) + Sync)) -> Self {
        Self { request, progress, simulated: Cell::default() }
    }

    /// What was requested.
    pub fn request(&self) -> &'a SimulateRequest {
        self.request
    }

    /// One attacker on some paths of a cluster.
    ///
    /// # Errors
    /// Where the cluster cannot be laid out.
    pub fn plan(
        &self,
        config: &ClusterConfig,
        attacker: Attacker,
        paths: Vec<Path>,
    ) -> Result<UnitPlan, AssessError> {
        let layout = Layout::new(config, self.request.nodes)?;
        Ok(UnitPlan { paths, ..simulate::plan(self.request, (config.clone(), layout), attacker) })
    }

    /// Runs every job, and keeps of each what `keep` takes from it: whole runs would fill the
    /// memory. The results are in the order of the jobs.
    ///
    /// # Errors
    /// Where a simulation itself ended badly.
    pub fn all<R: Send>(
        &self,
        jobs: Vec<Job>,
        keep: &(dyn Fn(Attacker, UnitRun) -> R + Sync),
    ) -> Result<Vec<R>, AssessError> {
        let (total, done, progress) = (jobs.len(), AtomicUsize::new(0), self.progress);
        let run = |job: Job| {
            let attacker = job.plan.attacker;
            let ended = unit::run(job.plan).map(|run| (run.simulated, keep(attacker, run)));
            progress(Progress { done: done.fetch_add(1, Ordering::Relaxed) + 1, total, what: job.what });
            let failed = |why: String| AssessError::Simulation { attacker: attacker.name(), why };
            ended.map_err(|error| failed(error.to_string()))
        };
        let ended: Vec<_> = queue::in_order(jobs, &run, || {});
        let mut kept = Vec::new();
        for ended in ended {
            let (simulated, result) = ended?;
            self.simulated.set(self.simulated.get() + simulated);
            kept.push(result);
        }
        Ok(kept)
    }

    /// The simulated time of all these runs.
    pub fn simulated(&self) -> Duration {
        self.simulated.get()
    }
}
