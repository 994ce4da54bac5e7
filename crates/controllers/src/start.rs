//! Starting the controllers.

use crate::addresses::{NODES, NodeRanges};
use crate::approver::Approver;
use crate::csr::CSRS;
use crate::endpoints::{SLICES, Slices};
use crate::follow::{Informers, run};
use crate::kubernetes_service::KubernetesService;
use crate::namespaces::{DEFAULT, NAMESPACES, ROOT_CA, RootCa, ServiceAccounts};
use crate::scheduler::{PODS, Scheduler};
use crate::signer::{Signers, Signing};
use ipnet::IpNet;
use jiff::SignedDuration;
use ravelin_client::{Client, ClientConfig};
use ravelin_host::{HostRef, Task};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// What the controllers need.
#[derive(Clone, Debug)]
pub struct ControllersConfig {
    /// How the controller manager reaches the apiserver.
    pub controller_manager: ClientConfig,
    /// How the scheduler does.
    pub scheduler: ClientConfig,
    /// How the writer of the `kubernetes` service does; upstream this is the apiserver itself.
    pub kubernetes_service: ClientConfig,
    /// Who signs certificates.
    pub signers: Signers,
    /// How long they are valid at most (`--cluster-signing-duration`; a year).
    pub signing_duration: SignedDuration,
    /// What pods verify the apiserver with (`--root-ca-file`), PEM.
    pub root_ca_pem: String,
    /// The address of the `kubernetes` service.
    pub kubernetes_service_ip: IpAddr,
    /// The address that the `kubernetes` service leads to.
    pub apiserver: SocketAddr,
    /// The range of all pod addresses (`--cluster-cidr`); `None`: nodes get none from here.
    pub cluster_cidr: Option<IpNet>,
    /// The ranges of certain nodes, by name, so that they do not depend on who registers first.
    pub node_cidrs: BTreeMap<String, IpNet>,
    /// The prefix length of a node's part of it (`--node-cidr-mask-size`; 24).
    pub node_cidr_prefix: u8,
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
        let service = KubernetesService {
            client: Client::new(host.clone(), config.kubernetes_service),
            cluster_ip: config.kubernetes_service_ip,
            apiserver: config.apiserver,
        };
        tasks.push(host.spawn("controller kubernetes-service", Box::pin(service.keep())));
        Running { _tasks: tasks }
    }
}

fn controller_manager(host: &HostRef, config: &ControllersConfig) -> Vec<Task> {
    let client = Client::new(host.clone(), config.controller_manager.clone());
    let mut informers = Informers::new(&client);
    let csrs = informers.all(CSRS);
    let namespaces = informers.all(NAMESPACES);
    let published = informers.named("/api/v1/configmaps", ROOT_CA);
    let accounts = informers.named("/api/v1/serviceaccounts", DEFAULT);
    let (services, pods, slices) =
        (informers.all("/api/v1/services"), informers.all(PODS), informers.all(SLICES));
    let signing = Signing::new(&client, &csrs, config.signers.clone(), config.signing_duration);
    let root_ca = RootCa {
        client: client.clone(),
        namespaces: namespaces.clone(),
        published: published.clone(),
        root_ca_pem: config.root_ca_pem.clone(),
    };
    let service_accounts = ServiceAccounts {
        client: client.clone(),
        namespaces: namespaces.clone(),
        accounts: accounts.clone(),
    };
    let endpoints = Slices {
        client: client.clone(),
        services: services.clone(),
        pods: pods.clone(),
        slices: slices.clone(),
    };
    let mut tasks = vec![
        run(host, Approver::new(&client, &csrs), vec![csrs.clone()]),
        run(host, root_ca, vec![namespaces.clone(), published]),
        run(host, service_accounts, vec![namespaces, accounts]),
        run(host, endpoints, vec![services, pods, slices]),
    ];
    tasks.push(run(host, signing, vec![csrs]));
    if let Some(cluster) = config.cluster_cidr {
        let nodes = informers.all(NODES);
        let ranges = NodeRanges {
            client,
            nodes: nodes.clone(),
            reserved: config.node_cidrs.clone(),
            cluster,
            node_prefix: config.node_cidr_prefix,
            given: BTreeSet::new(),
        };
        tasks.push(run(host, ranges, vec![nodes]));
    }
    tasks.extend(informers.into_tasks());
    tasks
}

fn scheduler(host: &HostRef, config: &ControllersConfig) -> Vec<Task> {
    let client = Client::new(host.clone(), config.scheduler.clone());
    let mut informers = Informers::new(&client);
    let (nodes, pods) = (informers.all(NODES), informers.all(PODS));
    let stores = vec![nodes.clone(), pods.clone()];
    let scheduler = Scheduler { client, nodes, pods, assumed: BTreeMap::new() };
    let mut tasks = vec![run(host, scheduler, stores)];
    tasks.extend(informers.into_tasks());
    tasks
}
