//! What the kubelet tells people of its pods, in upstream's words (`pkg/kubelet/kuberuntime`,
//! `pkg/kubelet/images`, `pkg/kubelet/events`).

use crate::config::KubeletConfig;
use ravelin_client::{Client, Event, EventRecorder, EventSource};
use ravelin_runtime::{ContainerState, ContainerView, PodState, PodView, Terminated};
use serde_json::Value;

/// From when on the events of a container do not name it.
const NAMELESS_FROM: (u32, u32) = (1, 36);
/// From when on a colon stands before the name of a container that was created.
const COLON_FROM: (u32, u32) = (1, 32);
/// From when on an image that is there can also be accessed.
const ACCESSIBLE_FROM: (u32, u32) = (1, 35);

/// Tells what happens to pods, or does not.
pub(super) struct Events {
    recorder: Option<EventRecorder>,
    version: (u32, u32),
}

impl Events {
    pub(super) fn new(client: &Client, config: &KubeletConfig) -> Self {
        let source = EventSource { component: "kubelet", host: Some(config.node_name.clone()) };
        let recorder = config.events.then(|| EventRecorder::new(client.clone(), source));
        Self { recorder, version: config.version() }
    }

    fn tell(
        &self,
        pod: &Value,
        container: &str,
        (is_warning, reason): (bool, &'static str),
        message: String,
    ) {
        if let Some(recorder) = &self.recorder {
            let field_path = format!("spec.containers{{{container}}}");
            recorder.tell(pod, Event { is_warning, reason, message, field_path });
        }
    }

    /// Containers were tried to be started: those that `before` does not know as started.
    pub(super) fn tried(&self, pod: &Value, view: &PodView, (before, now): (Option<&PodState>, &PodState)) {
        if self.recorder.is_none() {
            return;
        }
        for container in &view.containers {
            let known = before.and_then(|before| before.containers.get(&container.name));
            if known.is_some_and(|known| !known.is_waiting()) {
                continue;
            }
            if let Some(state) = now.containers.get(&container.name) {
                self.started(pod, container, state);
            }
        }
    }

    /// A container was tried to be started.
    pub(super) fn started(&self, pod: &Value, view: &ContainerView, state: &ContainerState) {
        let (name, image) = (view.name.as_str(), view.image.as_str());
        let normal = |reason, message| self.tell(pod, name, (false, reason), message);
        let warning = |reason, message| self.tell(pod, name, (true, reason), message);
        match state {
            ContainerState::Waiting { reason: "ErrImagePull", message } => {
                normal("Pulling", format!("Pulling image {image:?}"));
                warning("Failed", format!("Failed to pull image {image:?}: {message}"));
                warning("Failed", "Error: ErrImagePull".to_owned());
            }
            ContainerState::Waiting { reason: "ImagePullBackOff", message } => {
                normal("BackOff", message.clone());
                warning("Failed", "Error: ImagePullBackOff".to_owned());
            }
            ContainerState::Waiting { message, .. } => {
                self.pulled(pod, view);
                warning("Failed", format!("Error: {message}"));
            }
            ContainerState::Terminated(Terminated { reason: "StartError", message, .. }) => {
                self.pulled(pod, view);
                normal("Created", self.created(name));
                warning("Failed", format!("Error: {message}"));
            }
            ContainerState::Running { .. } | ContainerState::Terminated(_) => {
                self.pulled(pod, view);
                normal("Created", self.created(name));
                let nameless = self.version >= NAMELESS_FROM;
                let started = if nameless {
                    "Container started".to_owned()
                } else {
                    format!("Started container {name}")
                };
                normal("Started", started);
            }
        }
    }

    fn pulled(&self, pod: &Value, view: &ContainerView) {
        let more = if self.version >= ACCESSIBLE_FROM { " and can be accessed by the pod" } else { "" };
        let message = format!("Container image {:?} already present on machine{more}", view.image);
        self.tell(pod, &view.name, (false, "Pulled"), message);
    }

    fn created(&self, name: &str) -> String {
        match self.version {
            version if version >= NAMELESS_FROM => "Container created".to_owned(),
            version if version >= COLON_FROM => format!("Created container: {name}"),
            _ => format!("Created container {name}"),
        }
    }

    /// A container that ended waits before it is started anew.
    pub(super) fn backs_off(&self, pod: &Value, view: &PodView, container: &str) {
        let PodView { namespace, name, uid, .. } = view;
        let message =
            format!("Back-off restarting failed container {container} in pod {name}_{namespace}({uid})");
        self.tell(pod, container, (true, "BackOff"), message);
    }

    /// A pod is told to end.
    pub(super) fn killing(&self, pod: &Value, state: &PodState) {
        for (name, _) in state.containers.iter().filter(|(_, state)| state.is_running()) {
            self.tell(pod, name, (false, "Killing"), format!("Stopping container {name}"));
        }
    }
}
