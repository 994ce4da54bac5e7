//! An apiserver on a network in memory, and whoever asks it.

use super::compare::Answer;
use super::kubelets::Kubelets;
use super::row::{Section, document};
use jiff::SignedDuration;
use ravelin_apiserver::{Anonymous, Apiserver, Key, Running};
use ravelin_client::{ClientConfig, Credential};
use ravelin_controllers::{
    Controllers, ControllersConfig, KubernetesService, KubernetesServiceConfig, Signers,
};
use ravelin_entropy::Entropy;
use ravelin_host::memory::Network;
use ravelin_host::{Endpoint, HostRef, Task};
use ravelin_pki::{Identity, KeyPair, ServerTrust};
use ravelin_tests::apiserver::{API, Authorities, configured};
use ravelin_transport::{HttpConnection, Request, TlsClient, collect};
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// No answer is longer.
const MAX_ANSWER_BYTES: usize = 8 << 20;
/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server and its surroundings.
pub struct Rig {
    pub network: Network,
    pub authorities: Authorities,
    pub caller: HostRef,
    /// What signs service-account tokens.
    pub key: Arc<KeyPair>,
    api: Running,
    _kubelets: Option<Kubelets>,
    _controllers: Option<(ravelin_controllers::Running, Task)>,
}

impl Rig {
    /// What a section asks for, with the objects of `fixture.yaml` in `folder`.
    pub async fn new(section: &Section, folder: &Path) -> Self {
        let network = Network::new();
        let authorities = Authorities::new(&network);
        let host = network.host("api", API);
        let key = Arc::new(KeyPair::generate(&mut Entropy::operating_system()));
        let mut config = configured(&authorities, (&host, &key));
        config.anonymous = if section.server.anonymous { Anonymous::On } else { Anonymous::Off };
        let api = Apiserver::start(Arc::clone(&host), config).await.expect("the configuration is good");
        let caller = network.host("caller", [10, 0, 0, 9]);
        let fixture = document(&folder.join("fixture.yaml"));
        let given = fixture["objects"].as_array().expect("a list of objects").iter().chain(&section.given);
        for object in given {
            api.store().seed(object.clone()).unwrap_or_else(|error| panic!("{object}: {error}"));
        }
        let mut kubelets = None;
        if section.server.kubelets {
            kubelets = Some(Kubelets::start(&host, &authorities, &api.store()).await);
        }
        let controllers = section.server.controllers.then(|| {
            for object in ravelin_auth::rbac::run_by_controller_manager() {
                api.store().seed(object).expect("it is a role or a binding");
            }
            controllers(&network, &authorities)
        });
        Self { network, authorities, caller, key, api, _kubelets: kubelets, _controllers: controllers }
    }

    /// An object, by `RESOURCE/NAMESPACE/NAME` (`RESOURCE//NAME` where it has no namespace).
    pub fn object(&self, path: &str) -> Arc<Value> {
        let [resource, namespace, name] = path.split('/').collect::<Vec<_>>()[..] else {
            panic!("RESOURCE/NAMESPACE/NAME, not {path}")
        };
        let found = self.api.store().get(&Key::namespaced(resource, namespace, name));
        found.unwrap_or_else(|| panic!("there is no {path}"))
    }

    /// Lets time pass, on all clocks.
    pub async fn pass(&self, seconds: f64) {
        if seconds > 0.0 {
            let time = SignedDuration::from_secs_f64(seconds);
            self.network.set_clock(self.caller.now() + time);
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        }
    }

    /// Sends a request on a connection of its own and reads the whole answer.
    pub async fn ask(&self, identity: Option<Identity>, request: Request) -> Result<Answer, String> {
        let asked = tokio::time::timeout(PATIENCE, self.ask_in_time(identity, request)).await;
        asked.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    async fn ask_in_time(&self, identity: Option<Identity>, request: Request) -> Result<Answer, String> {
        let connection = self.caller.connect(&Endpoint::tcp(API, 6443)).await.map_err(told)?;
        let trust = ServerTrust::Anchors(self.authorities.anchors());
        let tls = TlsClient { trust, identity, server_name: API.to_string() };
        let secured = tls.connect(&self.caller, connection.stream).await.map_err(told)?;
        let mut http = HttpConnection::open(&self.caller, secured.stream).await.map_err(told)?;
        let (head, body) = http.send(request).await.map_err(told)?.into_parts();
        let body = collect(body, MAX_ANSWER_BYTES).await.map_err(told)?.to_vec();
        Ok(Answer { code: head.status.as_u16(), headers: head.headers, body })
    }
}

fn told(error: impl std::fmt::Display) -> String {
    format!("no answer: {error}")
}

fn controllers(network: &Network, authorities: &Authorities) -> (ravelin_controllers::Running, Task) {
    let client = |user: &str| ClientConfig {
        server: SocketAddr::new(API, 6443),
        server_name: API.to_string(),
        trust: ServerTrust::Anchors(authorities.anchors()),
        credential: Credential::Certificate(authorities.client("cert", user).expect("it is a client")),
        request_timeout: Duration::from_secs(30),
    };
    let authority = Some(Arc::clone(&authorities.clients));
    let config = ControllersConfig {
        controller_manager: client("system:kube-controller-manager"),
        scheduler: client("system:kube-scheduler"),
        signers: Signers {
            apiserver_client: authority.clone(),
            kubelet_client: authority.clone(),
            kubelet_serving: authority,
        },
        signing_duration: SignedDuration::from_hours(8760),
        root_ca_pem: authorities.clients.certificate_pem(),
        cluster_cidr: None,
        node_cidrs: std::collections::BTreeMap::new(),
        node_cidr_prefix: 24,
        node_monitor_grace: Duration::from_secs(50),
        disabled: std::collections::BTreeSet::new(),
        events: false,
        watches: ravelin_client::Watches::USUAL,
        service_account_key: None,
    };
    let service = KubernetesServiceConfig {
        client: client("system:apiserver/system:masters"),
        cluster_ip: IpAddr::from([10, 96, 0, 1]),
        apiserver: SocketAddr::new(API, 6443),
        alone: true,
    };
    let host = network.host("controllers", [10, 0, 0, 3]);
    (Controllers::start(Arc::clone(&host), config), KubernetesService::start(host, service))
}
