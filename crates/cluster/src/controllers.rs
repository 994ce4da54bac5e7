//! Starting the controller manager and the scheduler: what they do, and the ports they answer on.

use crate::cluster::Facts;
use crate::member::told;
use crate::start::Setup;
use ravelin_client::{ClientConfig, Watches};
use ravelin_config::{InsecureListener, ServingListener};
use ravelin_controllers::{Component, ComponentPorts, Controllers, ControllersConfig, PortsConfig};
use ravelin_pki::{KeyPair, San};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

impl Setup<'_> {
    /// Starts both.
    pub(crate) async fn controllers(&mut self, facts: &Facts) {
        let seconds = self.config.controller_manager.cluster_signing_duration_s;
        let duration = i64::try_from(seconds).unwrap_or(i64::MAX);
        let config = ControllersConfig {
            controller_manager: facts.controller_manager.clone(),
            scheduler: self.client("system:kube-scheduler", &[]),
            signers: self.material.signers(),
            signing_duration: jiff::SignedDuration::from_secs(duration),
            root_ca_pem: self.material.server_anchors().to_pem(),
            service_account_key: self.manager_key(),
            cluster_cidr: None,
            node_cidrs: self
                .layout
                .nodes
                .iter()
                .map(|node| (node.machine.name.clone(), node.pod_cidr))
                .collect(),
            node_cidr_prefix: self.config.network.node_cidr_mask_size,
            node_monitor_grace: Duration::from_secs(
                self.config.controller_manager.node_monitor_grace_period_s,
            ),
            disabled: self.config.controller_manager.switched_off().into_iter().map(str::to_owned).collect(),
            events: self.hosts.workloads.events,
            watches: Watches::USUAL,
        };
        let (manager, scheduler) = (&self.config.controller_manager, &self.config.scheduler);
        let ports = [
            Opening {
                component: Component::ControllerManager,
                listener: &manager.listener,
                insecure: manager.insecure,
                profiling: manager.profiling,
                client: config.controller_manager.clone(),
            },
            Opening {
                component: Component::Scheduler,
                listener: &scheduler.listener,
                insecure: scheduler.insecure,
                profiling: scheduler.profiling,
                client: config.scheduler.clone(),
            },
        ];
        let host = self.hosts.controllers.clone();
        let running = Controllers::start(host.clone(), config);
        self.others.push(Box::new(running));
        for opening in ports {
            let name = opening.component.name();
            let config = self.ports_config(opening);
            // One that cannot listen does not: whoever dials it will see.
            let opened = told(&host, name, ComponentPorts::open(host.clone(), config).await);
            self.others.push(Box::new(opened));
        }
    }

    /// What the controller manager signs the tokens in Secrets with: the apiserver's key where both
    /// name the same file.
    fn manager_key(&mut self) -> Option<Arc<KeyPair>> {
        let file = self.config.controller_manager.service_account_private_key_file.as_ref()?;
        let given = &self.config.apiserver.service_accounts;
        let name = given.public_half(file).unwrap_or(file);
        Some(self.material.key(name.as_str()))
    }

    fn ports_config(&mut self, opening: Opening<'_>) -> PortsConfig {
        let Opening { component, listener, insecure, profiling, client } = opening;
        let machine = self.layout.controllers.address;
        let names = || vec![San::Dns(component.name().to_owned()), San::Ip(machine)];
        let given = listener.serving.is_some();
        let asks = listener.authentication_kubeconfig.is_some();
        PortsConfig {
            component,
            secure: listener.port.map(|port| SocketAddr::new(bound(listener.address, machine), port)),
            insecure: insecure
                .map(|port| SocketAddr::new(bound(port.address.ip(), machine), port.address.port())),
            identity: given.then(|| self.material.component(component.name(), names())),
            client_ca: match &listener.client_ca_file {
                Some(file) => Some(self.material.anchors(file.as_str())),
                // It is in the ConfigMap `extension-apiserver-authentication`, which holds what the
                // apiserver itself believes.
                None if asks => self.material.client_anchors(self.config),
                None => None,
            },
            authentication: asks.then(|| client.clone()),
            authorization: listener.authorization_kubeconfig.is_some().then_some(client),
            always_allow_paths: listener.always_allow_paths.clone(),
            profiling,
        }
    }
}

/// A component whose ports are to be opened.
struct Opening<'a> {
    component: Component,
    listener: &'a ServingListener,
    insecure: Option<InsecureListener>,
    profiling: bool,
    client: ClientConfig,
}

/// An address of a machine's own in a file is this machine's here.
fn bound(given: IpAddr, machine: IpAddr) -> IpAddr {
    if given.is_unspecified() || given.is_loopback() { given } else { machine }
}
