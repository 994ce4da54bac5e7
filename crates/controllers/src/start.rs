//! Starting the controllers.

use crate::account_secrets::AccountSecrets;
use crate::addresses::{NODES, NodeRanges};
use crate::approver::Approver;
use crate::bootstrap_tokens::TokenCleaner;
use crate::cleaner::Cleaner;
use crate::csr::CSRS;
use crate::endpoints::{Backends, ENDPOINTS, LegacyEndpoints, Mirroring, SLICES, Slices};
use crate::follow::{Controller, Informers, run};
use crate::garbage::GarbageCollector;
use crate::lifecycle::{NODE_LEASES, NodeLifecycle};
use crate::namespaces::{NAMESPACES, RootCa, ServiceAccounts};
use crate::orphans::Orphans;
use crate::scheduler::{PODS, Scheduler};
use crate::signer::{Signers, Signing};
use crate::terminating::Terminating;
use ipnet::IpNet;
use jiff::SignedDuration;
use ravelin_client::{Client, ClientConfig, EventRecorder, EventSource, Store, Watches};
use ravelin_host::{HostRef, Task};
use ravelin_pki::KeyPair;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What the controllers need.
#[derive(Clone, Debug)]
pub struct ControllersConfig {
    /// How the controller manager reaches the apiserver.
    pub controller_manager: ClientConfig,
    /// How the scheduler does.
    pub scheduler: ClientConfig,
    /// Who signs certificates.
    pub signers: Signers,
    /// How long they are valid at most (`--cluster-signing-duration`; a year).
    pub signing_duration: SignedDuration,
    /// What pods verify the apiserver with (`--root-ca-file`), PEM.
    pub root_ca_pem: String,
    /// What the tokens in Secrets are signed with (`--service-account-private-key-file`); without it
    /// no Secret gets one.
    pub service_account_key: Option<Arc<KeyPair>>,
    /// The range of all pod addresses (`--cluster-cidr`); `None`: nodes get none from here.
    pub cluster_cidr: Option<IpNet>,
    /// The ranges of certain nodes, by name, so that they do not depend on who registers first.
    pub node_cidrs: BTreeMap<String, IpNet>,
    /// The prefix length of a node's part of it (`--node-cidr-mask-size`; 24).
    pub node_cidr_prefix: u8,
    /// How long a node may be silent (`--node-monitor-grace-period`; 50 s, before 1.32 40 s).
    pub node_monitor_grace: Duration,
    /// Which loops of the controller manager do not run, by their short names in `--controllers`
    /// (`csrapproving`, `csrsigning`, `csrcleaner`, `garbagecollector`, `namespace`, `nodeipam`,
    /// `nodelifecycle`, `podgc`, `root-ca-cert-publisher`, `serviceaccount`, `tokencleaner` …).
    pub disabled: BTreeSet<String>,
    /// Does the scheduler tell of pods by events?
    pub events: bool,
    /// How the loops watch.
    pub watches: Watches,
}

/// The controllers to be started.
#[derive(Debug)]
pub struct Controllers;

/// Running controllers; they end when this is dropped.
#[derive(Debug)]
pub struct Running {
    _tasks: Vec<Task>,
}

impl Controllers {
    /// Starts all controllers on one host.
    pub fn start(host: HostRef, config: ControllersConfig) -> Running {
        let mut tasks = controller_manager(&host, &config);
        tasks.extend(scheduler(&host, &config));
        Running { _tasks: tasks }
    }

    /// Starts the controller manager's loops alone.
    pub fn start_manager(host: HostRef, config: ControllersConfig) -> Running {
        Running { _tasks: controller_manager(&host, &config) }
    }
}

fn controller_manager(host: &HostRef, config: &ControllersConfig) -> Vec<Task> {
    let client = Client::new(host.clone(), config.controller_manager.clone()).with_watches(config.watches);
    let mut manager = Manager { host, config, informers: Informers::new(&client), client, tasks: Vec::new() };
    manager.certificates();
    manager.namespaces();
    manager.nodes();
    manager.objects();
    let Manager { mut tasks, informers, .. } = manager;
    tasks.extend(informers.into_tasks());
    tasks
}

/// The controller manager while it starts.
struct Manager<'a> {
    host: &'a HostRef,
    config: &'a ControllersConfig,
    client: Client,
    informers: Informers,
    tasks: Vec<Task>,
}

impl Manager<'_> {
    /// Starts a loop, unless it is switched off.
    fn start(&mut self, controller: impl Controller, stores: Vec<Store>) {
        if !self.config.disabled.contains(controller.name()) {
            self.tasks.push(run(self.host, controller, stores));
        }
    }

    fn certificates(&mut self) {
        let (config, csrs) = (self.config, self.informers.all(CSRS));
        self.start(Approver::new(&self.client, &csrs), vec![csrs.clone()]);
        self.start(Cleaner::new(&self.client, &csrs), vec![csrs.clone()]);
        let signing = Signing::new(&self.client, &csrs, config.signers.clone(), config.signing_duration);
        self.start(signing, vec![csrs]);
    }

    fn namespaces(&mut self) {
        let namespaces = self.informers.all(NAMESPACES);
        let published = self.informers.all("/api/v1/configmaps");
        let accounts = self.informers.all("/api/v1/serviceaccounts");
        let client = self.client.clone();
        let root_ca = RootCa {
            client: client.clone(),
            namespaces: namespaces.clone(),
            published: published.clone(),
            root_ca_pem: self.config.root_ca_pem.clone(),
        };
        self.start(root_ca, vec![namespaces.clone(), published]);
        let service_accounts = ServiceAccounts {
            client: client.clone(),
            namespaces: namespaces.clone(),
            accounts: accounts.clone(),
        };
        self.start(service_accounts, vec![namespaces.clone(), accounts.clone()]);
        if let Some(key) = self.config.service_account_key.clone() {
            let secrets = self.informers.all("/api/v1/secrets");
            let stores = vec![secrets.clone(), accounts.clone()];
            let root_ca_pem = self.config.root_ca_pem.clone();
            let filling = AccountSecrets { client: client.clone(), secrets, accounts, key, root_ca_pem };
            self.start(filling, stores);
        }
        let terminating = Terminating { client, namespaces: namespaces.clone(), due: None };
        self.start(terminating, vec![namespaces]);
    }

    fn nodes(&mut self) {
        let (nodes, pods) = (self.informers.all(NODES), self.informers.all(PODS));
        let leases = self.informers.all(NODE_LEASES);
        let client = self.client.clone();
        let lifecycle = NodeLifecycle {
            client: client.clone(),
            nodes: nodes.clone(),
            leases: leases.clone(),
            pods: pods.clone(),
            grace: self.config.node_monitor_grace,
            heard: BTreeMap::new(),
        };
        self.start(lifecycle, vec![nodes.clone(), leases, pods.clone()]);
        let orphans = Orphans {
            client: client.clone(),
            nodes: nodes.clone(),
            pods: pods.clone(),
            missing: BTreeMap::new(),
        };
        self.start(orphans, vec![nodes.clone(), pods]);
        if let Some(cluster) = self.config.cluster_cidr {
            let ranges = NodeRanges {
                client,
                nodes: nodes.clone(),
                reserved: self.config.node_cidrs.clone(),
                cluster,
                node_prefix: self.config.node_cidr_prefix,
                given: BTreeSet::new(),
            };
            self.start(ranges, vec![nodes]);
        }
    }

    /// What keeps endpoints; gives the services and slices that it looks at.
    fn endpoints(&mut self, pods: &Store) -> (Store, Store) {
        let (services, slices) = (self.informers.all("/api/v1/services"), self.informers.all(SLICES));
        let endpoints = self.informers.all(ENDPOINTS);
        let backends = Backends { services: services.clone(), pods: pods.clone() };
        let stores = |own: &Store| vec![services.clone(), pods.clone(), own.clone()];
        let client = self.client.clone();
        let sliced = Slices { client: client.clone(), backends: backends.clone(), slices: slices.clone() };
        self.start(sliced, stores(&slices));
        let legacy = LegacyEndpoints { client: client.clone(), backends, endpoints: endpoints.clone() };
        self.start(legacy, stores(&endpoints));
        let mirroring = Mirroring {
            client,
            services: services.clone(),
            endpoints: endpoints.clone(),
            slices: slices.clone(),
        };
        self.start(mirroring, vec![services.clone(), endpoints, slices.clone()]);
        (services, slices)
    }

    fn objects(&mut self) {
        let (nodes, pods) = (self.informers.all(NODES), self.informers.all(PODS));
        let (services, slices) = self.endpoints(&pods);
        let (secrets, leases) = (self.informers.all("/api/v1/secrets"), self.informers.all(NODE_LEASES));
        let client = self.client.clone();
        let tokens = TokenCleaner { client: client.clone(), secrets: secrets.clone(), due: None };
        self.start(tokens, vec![secrets.clone()]);
        let collected = [
            ("v1", "Pod", pods),
            ("v1", "Node", nodes),
            ("v1", "ConfigMap", self.informers.all("/api/v1/configmaps")),
            ("v1", "Secret", secrets),
            ("v1", "Service", services),
            ("discovery.k8s.io/v1", "EndpointSlice", slices),
            ("coordination.k8s.io/v1", "Lease", leases),
        ];
        // Leases change all the time, and their owners never: they are looked at with the rest.
        let others = collected.iter().filter(|(_, kind, _)| *kind != "Lease");
        let stores = others.map(|(_, _, store)| store.clone()).collect();
        self.start(GarbageCollector::new(&client, &collected), stores);
    }
}

fn scheduler(host: &HostRef, config: &ControllersConfig) -> Vec<Task> {
    let client = Client::new(host.clone(), config.scheduler.clone()).with_watches(config.watches);
    let mut informers = Informers::new(&client);
    let (nodes, pods) = (informers.all(NODES), informers.all(PODS));
    let stores = vec![nodes.clone(), pods.clone()];
    let source = EventSource { component: "default-scheduler", host: None };
    let recorder = config.events.then(|| EventRecorder::new(client.clone(), source));
    let (assumed, told) = (BTreeMap::new(), BTreeMap::new());
    let scheduler = Scheduler { client, nodes, pods, assumed, recorder, told };
    let mut tasks = vec![run(host, scheduler, stores)];
    tasks.extend(informers.into_tasks());
    tasks
}
