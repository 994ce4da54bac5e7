//! One pod's way from bound to running.

use super::events::Events;
use super::host_ports::HostPorts;
use super::inject::{Files, Injector, NotInjected};
use super::restarts::{Next, Policy, Restarts};
use super::tokens::Tokens;
use crate::allocation::Allocation;
use crate::retry::Backoff;
use crate::state::Shared;
use crate::status::{self, Placed, Seen};
use crate::ticks::Ticks;
use ipnet::IpNet;
use ravelin_api::object;
use ravelin_client::{Client, ClientError, PatchKind};
use ravelin_host::{HostRef, field};
use ravelin_runtime::{ContainerState, PodState, PodView, RuntimeError, Sandbox};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// What a pod needs on its way.
pub(super) struct Context<'a> {
    pub(super) shared: &'a Shared,
    pub(super) client: &'a Client,
    pub(super) injector: &'a mut Injector,
    pub(super) events: &'a Events,
    pub(super) addresses: &'a mut Allocation,
    pub(super) host_ports: &'a mut HostPorts,
    pub(super) range: IpNet,
}

/// The state of one pod here.
pub(super) struct Worker {
    /// When something is to be done next.
    due: Option<Instant>,
    backoff: Backoff,
    running: Option<Runs>,
    tokens: Tokens,
    /// When a container that ended is to be started anew.
    restart: Option<Instant>,
    /// When it is to be seen whether the apiserver still says something else of the pod.
    disputed: Option<Instant>,
    is_ending: bool,
    /// Was it told to end, and had not yet?
    is_waited_for: bool,
}

/// A pod that was started.
struct Runs {
    state: PodState,
    restarts: Restarts,
    address: IpAddr,
    /// The files that it was given last.
    files: Files,
    /// Which waits for a restart were told of, by container.
    told: BTreeMap<String, Instant>,
    /// The status as it was reported, once it was.
    reported: Option<Value>,
    /// Is another to be reported?
    is_stale: bool,
}

#[derive(Debug, thiserror::Error)]
enum NotStarted {
    #[error(transparent)]
    Injection(#[from] NotInjected),
    #[error("the node has no free pod address")]
    NoAddress,
    #[error(transparent)]
    Host(#[from] std::io::Error),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("its status could not be reported: {0}")]
    Report(#[from] ClientError),
    #[error("a container waits")]
    NotReady,
}

/// The path of a pod.
pub(super) fn path(pod: &Value) -> String {
    format!("/api/v1/namespaces/{}/pods/{}", object::namespace(pod), object::name(pod))
}

impl Worker {
    pub(super) fn new(host: &HostRef) -> Self {
        Self::with(Backoff::new(host, "pod"))
    }

    fn with(backoff: Backoff) -> Self {
        let (due, tokens) = (Some(Instant::now()), Tokens::default());
        let (running, restart, disputed) = (None, None, None);
        let (is_ending, is_waited_for) = (false, false);
        Self { due, backoff, running, tokens, restart, disputed, is_ending, is_waited_for }
    }

    /// From here on the pod only ends: what was due for running it is no more. If it runs, it goes on
    /// for so long. Was that news?
    pub(super) fn begin_ending(&mut self, grace: Duration) -> bool {
        let is_news = !self.is_ending;
        if is_news {
            let grace = if self.running.is_some() { grace } else { Duration::ZERO };
            *self = Self {
                due: Some(Instant::now() + grace),
                is_ending: true,
                running: self.running.take().filter(|_| !grace.is_zero()),
                ..Self::with(self.backoff.clone())
            };
        }
        is_news
    }

    /// Does it end, and serves until it is due?
    pub(super) fn is_draining(&mut self) -> bool {
        if self.is_due() {
            self.running = None;
        }
        self.is_ending && self.running.is_some()
    }

    /// It was told to end, and nothing is to be done until it has.
    pub(super) fn wait_for_its_end(&mut self) {
        self.is_waited_for = true;
        self.due = None;
    }

    /// Did it end only now?
    pub(super) fn was_waited_for(&mut self) -> bool {
        std::mem::take(&mut self.is_waited_for)
    }

    /// A pod that runs is to be given what its volumes hold now.
    pub(super) fn look_again(&mut self) {
        if self.running.is_some() && !self.is_ending {
            self.due = Some(Instant::now());
        }
    }

    /// When something is to be done next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.restart).chain(self.disputed).min()
    }

    /// Sees which containers have ended, starts those anew whose time it is, and reports what changed.
    pub(super) async fn settle(&mut self, context: &Context<'_>, pod: &Value, view: &PodView) {
        self.restart = None;
        let runtime = &context.shared.config.runtime;
        let Some(runs) = self.running.as_mut().filter(|runs| !self.is_ending && runs.state.is_started())
        else {
            return;
        };
        let Some(mut state) = runtime.status(&view.uid).await else { return };
        if state == runs.state && state.is_ready() {
            return;
        }
        let policy = Policy::of(pod);
        for (name, container) in &mut state.containers {
            let ContainerState::Terminated(end) = container else { continue };
            let now = Instant::now();
            match runs.restarts.next(policy, name, (end, now)) {
                Next::Stay => {}
                Next::Wait(until, _) => {
                    if runs.told.insert(name.clone(), until) != Some(until) {
                        context.events.backs_off(pod, view, name);
                    }
                    self.restart = self.restart.into_iter().chain([until]).min();
                }
                Next::Restart => {
                    if let Ok(started) = runtime.restart(&view.uid, name).await {
                        runs.restarts.restarted(name, (end.clone(), now));
                        runs.is_stale = true;
                        if let Some(view) = view.containers.iter().find(|view| view.name == *name) {
                            context.events.started(pod, view, &started);
                        }
                        // What ends at once has told so already.
                        self.restart = if started.is_running() { self.restart } else { Some(now) };
                        *container = started;
                    }
                }
            }
        }
        runs.is_stale |= state != runs.state;
        runs.state = state;
        if runs.is_stale && runs.reported.is_some() {
            match report(context, pod, (view, runs)).await {
                Ok(status) => {
                    runs.reported = Some(status);
                    runs.is_stale = false;
                }
                Err(error) => self.retry_unless_done(&context.shared.host, pod, Err(error)),
            }
        }
    }

    /// Compares what the apiserver says of the pod with what was reported. What was changed by
    /// somebody else is reported again at the next tick, if it still is then (`needsReconcile` of
    /// `pkg/kubelet/status/status_manager.go`).
    pub(super) async fn reconcile(
        &mut self,
        context: &Context<'_>,
        (pod, view): (&Value, &PodView),
        ticks: Option<Ticks>,
    ) {
        let reported = self.running.as_ref().and_then(|runs| runs.reported.as_ref());
        let is_disputed = reported.is_some_and(|reported| contradicts(&pod["status"], reported));
        let (Some(ticks), true) = (ticks, is_disputed) else {
            self.disputed = None;
            return;
        };
        let due = *self.disputed.get_or_insert_with(|| ticks.next());
        if let (true, Some(runs)) = (due <= Instant::now(), &self.running) {
            self.disputed = Some(ticks.next());
            if let Err(error) = report(context, pod, (view, runs)).await {
                let name = format!("{}/{}", view.namespace, view.name);
                context.shared.host.observe("kubelet.pod", &[field("pod", name), field("result", error)]);
            }
        }
    }

    /// Is something to be done now?
    pub(super) fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Comes back later after an error, or never.
    pub(super) fn retry_unless_done<E: std::fmt::Display>(
        &mut self,
        host: &HostRef,
        pod: &Value,
        outcome: Result<(), E>,
    ) {
        match outcome {
            Ok(()) => self.due = None,
            Err(error) => {
                let name = format!("{}/{}", object::namespace(pod), object::name(pod));
                host.observe("kubelet.pod", &[field("pod", name), field("result", error)]);
                self.due = Some(Instant::now() + self.backoff.next());
            }
        }
    }

    /// Does what is due.
    pub(super) async fn advance(&mut self, mut context: Context<'_>, pod: &Value, view: &PodView) {
        let host = context.shared.host.clone();
        let outcome = self.step(&mut context, pod, view).await;
        if outcome.is_ok() {
            self.backoff.reset();
        }
        let refresh = outcome.as_ref().ok().copied().flatten();
        self.retry_unless_done(&host, pod, outcome.map(|_| ()));
        if refresh.is_some() {
            self.due = refresh;
        }
    }

    /// Starts, reports or refreshes; gives when one of the pod's tokens is to be replaced.
    async fn step(
        &mut self,
        context: &mut Context<'_>,
        pod: &Value,
        view: &PodView,
    ) -> Result<Option<Instant>, NotStarted> {
        let runtime = &context.shared.config.runtime;
        let running = self.running.as_mut().filter(|runs| runs.state.is_started());
        let files = context.injector.files((pod, view), &mut self.tokens, running.is_some()).await?;
        match running {
            Some(runs) if runs.files == files => {}
            Some(runs) => {
                runtime.write_files(&view.uid, &files).await?;
                runs.files = files;
            }
            None => {
                let before = self.running.as_ref().map(|runs| runs.state.clone());
                let mut runs = start(context, (pod, view), files).await?;
                if before.is_some() {
                    back_off(&mut runs.state, view);
                }
                context.events.tried(pod, view, (before.as_ref(), &runs.state));
                self.running = Some(runs);
            }
        }
        let refresh = self.tokens.refresh();
        let runs = self.running.as_mut().expect("it was just started");
        if runs.reported.is_none() || runs.is_stale {
            runs.reported = Some(report(context, pod, (view, runs)).await?);
            runs.is_stale = false;
        }
        if runs.state.is_started() { Ok(refresh) } else { Err(NotStarted::NotReady) }
    }
}

/// Who has tried to pull an image without success waits before the next time, and says so
/// (`pkg/kubelet/images/image_manager.go`).
fn back_off(state: &mut PodState, view: &PodView) {
    for (name, container) in &mut state.containers {
        if matches!(container, ContainerState::Waiting { reason: "ErrImagePull", .. }) {
            let known = view.containers.iter().find(|known| known.name == *name);
            let image = known.map_or("", |known| known.image.as_str());
            let message = format!("Back-off pulling image {image:?}");
            *container = ContainerState::Waiting { reason: "ImagePullBackOff", message };
        }
    }
}

async fn start(
    context: &mut Context<'_>,
    (pod, view): (&Value, &PodView),
    files: Files,
) -> Result<Runs, NotStarted> {
    let env = context.injector.environment(pod).await?;
    let (shared, uid) = (context.shared, &view.uid);
    let node_address = shared.config.addresses.first().copied().ok_or(NotStarted::NoAddress)?;
    let (host, address, root) = if view.host_network {
        (shared.host.clone(), node_address, format!("/var/lib/kubelet/pods/{uid}"))
    } else {
        let usable = |address| shared.host.pod(address).is_ok();
        let address = context.addresses.take(uid, context.range, usable).ok_or(NotStarted::NoAddress)?;
        (shared.host.pod(address)?, address, String::new())
    };
    let sandbox = Sandbox { pod: view.clone(), host, root, files: files.clone(), env };
    let state = shared.config.runtime.run_pod(sandbox).await?;
    if context.host_ports.add(pod, address) {
        shared.host.set_port_maps(context.host_ports.all());
    }
    let restarts = Restarts::default();
    let told = BTreeMap::new();
    Ok(Runs { state, restarts, address, files, told, reported: None, is_stale: false })
}

async fn report(
    context: &Context<'_>,
    pod: &Value,
    (view, runs): (&PodView, &Runs),
) -> Result<Value, ClientError> {
    let shared = context.shared;
    let host_ip = shared.config.addresses.first().copied().unwrap_or(runs.address);
    let placed = Placed { host_ip, pod_ip: runs.address, now: shared.host.now() };
    let policy = Policy::of(pod);
    let names = (view.namespace.as_str(), view.name.as_str(), view.uid.as_str());
    let (state, restarts) = runs.restarts.shown(&runs.state, policy, names);
    let seen = Seen { state: &state, restarts: &restarts, policy, before: runs.reported.as_ref() };
    let status = status::started(view, seen, placed);
    let patch = json!({ "metadata": { "uid": view.uid }, "status": status });
    let path = format!("{}/status", path(pod));
    context.client.patch(&path, PatchKind::StrategicMerge, &patch).await?;
    let name = format!("{}/{}", view.namespace, view.name);
    let fields = [field("pod", name), field("address", runs.address), field("ready", runs.state.is_ready())];
    shared.host.observe("kubelet.pod", &fields);
    Ok(status)
}

/// Does a status say something else than the one that was reported?
fn contradicts(status: &Value, reported: &Value) -> bool {
    let condition = |status: &Value, kind: &Value| {
        let all = status["conditions"].as_array();
        all.and_then(|all| all.iter().find(|one| one["type"] == *kind)).map(|one| one["status"].clone())
    };
    let other = |one: &Value| condition(status, &one["type"]).as_ref() != Some(&one["status"]);
    ["phase", "hostIP", "podIP", "podIPs"].iter().any(|part| status[part] != reported[part])
        || reported["conditions"].as_array().is_some_and(|reported| reported.iter().any(other))
}
