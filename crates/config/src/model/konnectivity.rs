//! Konnectivity: how the apiserver reaches its server, that server, and the agents among the nodes.

use std::net::SocketAddr;

use serde::Serialize;

use super::{FileName, FilePair};

/// All of it: what the egress selection of `cluster` names, and the two programs' flags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KonnectivityConfig {
    /// How the apiserver reaches the server.
    pub connection: EgressConnection,
    /// The server's flags: one runs beside each apiserver.
    pub server: KonnectivityServer,
    /// The agents' flags.
    pub agent: KonnectivityAgent,
}

/// `connection` of an egress selection that is not `Direct`
/// (staging/src/k8s.io/apiserver/pkg/apis/apiserver/v1beta1/types.go).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum EgressConnection {
    /// `GRPC` over a Unix socket.
    GrpcUnix {
        /// `transport.uds.udsName`.
        socket: FileName,
    },
    /// `HTTPConnect` over a Unix socket.
    HttpConnectUnix {
        /// `transport.uds.udsName`.
        socket: FileName,
    },
    /// `HTTPConnect` over TCP.
    HttpConnectTcp {
        /// The host of `transport.tcp.url`: a name or an address.
        host: String,
        /// Its port.
        port: u16,
        /// `transport.tcp.tlsConfig`. `None`: the URL is `http://`, and nothing on the way is protected.
        tls: Option<EgressTls>,
    },
}

impl EgressConnection {
    /// The protocol, in the spelling of `proxyProtocol`.
    #[must_use]
    pub const fn protocol(&self) -> &'static str {
        match self {
            Self::GrpcUnix { .. } => "GRPC",
            Self::HttpConnectUnix { .. } | Self::HttpConnectTcp { .. } => "HTTPConnect",
        }
    }
}

/// `tlsConfig` of an egress selection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EgressTls {
    /// `caBundle`: who may have signed the server's certificate. `None`: the system's authorities.
    pub ca_bundle: Option<FileName>,
    /// `clientCert` and `clientKey`.
    pub client: FilePair,
}

/// What konnectivity-server's flags say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KonnectivityServer {
    /// `--mode`: what is spoken with the apiserver. Default gRPC.
    pub mode: KonnectivityMode,
    /// Where the apiserver is awaited.
    pub frontend: KonnectivityFrontend,
    /// `--agent-bind-address` and `--agent-port`: where agents are awaited. Default 0.0.0.0:8091.
    pub agents: SocketAddr,
    /// `--cluster-cert` and `--cluster-key`: what agents are shown.
    pub serving: FilePair,
    /// Who may be an agent.
    pub authentication: AgentAuthentication,
    /// `--kubeconfig`: with what the apiserver is asked about tokens. `None`: as a pod asks.
    pub kubeconfig: Option<FileName>,
    /// `--health-bind-address` and `--health-port`: plain HTTP. Default 0.0.0.0:8092.
    pub health: SocketAddr,
    /// `--admin-bind-address` and `--admin-port`: plain HTTP. Default 127.0.0.1:8095.
    pub admin: SocketAddr,
    /// `--proxy-strategies`: how an agent is chosen, the first that finds one counts. Default `default`.
    pub strategies: Vec<ProxyStrategy>,
    /// `--server-id`, with [`PLACEHOLDERS`]. `None`: a random one.
    pub id: Option<String>,
    /// `--server-count`: how many servers agents are told that there are. Default 1.
    pub count: u32,
    /// `--enable-lease-controller`: whether, and how, servers count themselves by leases.
    pub leases: Option<LeaseSettings>,
    /// `--keepalive-time`, in seconds: after how much silence an agent is asked for a sign of life. Default 3600.
    pub keepalive_s: u64,
    /// `--frontend-keepalive-time`, in seconds: the same of the apiserver. Default 3600.
    pub frontend_keepalive_s: u64,
    /// `--backend-dial-timeout`, in seconds: how long an agent may take to open a connection. 0: no limit, the default.
    pub backend_dial_timeout_s: u64,
}

/// `--mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum KonnectivityMode {
    /// `grpc`.
    Grpc,
    /// `http-connect`.
    HttpConnect,
}

/// Where konnectivity-server awaits the apiserver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum KonnectivityFrontend {
    /// `--uds-name`: whoever can open the socket may use it.
    Unix(FileName),
    /// `--server-port` with TLS.
    Tcp {
        /// `--server-bind-address` and `--server-port`. Default 0.0.0.0:8090.
        listen: SocketAddr,
        /// `--server-cert` and `--server-key`.
        serving: FilePair,
        /// `--server-ca-cert`. `None` (before v0.35): anybody may have a connection into the cluster opened.
        client_ca: Option<FileName>,
    },
}

/// Whom konnectivity-server takes for an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum AgentAuthentication {
    /// `--cluster-ca-cert`: whoever shows a certificate of this authority.
    Certificate {
        /// The authority.
        ca: FileName,
    },
    /// `--agent-namespace`, `--agent-service-account`, `--authentication-audience`: whoever has this account's token.
    Token {
        /// The account's namespace.
        namespace: String,
        /// The account's name.
        service_account: String,
        /// Whom the token must be meant for.
        audience: String,
    },
    /// Neither: anybody who reaches the port (CVE-2026-16242).
    DangerNone,
}

/// How an agent is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ProxyStrategy {
    /// Any, at random.
    #[serde(rename = "default")]
    Default,
    /// One that says that it is, or is near, the address that is dialled.
    #[serde(rename = "destHost")]
    DestHost,
    /// One that says that it leads anywhere.
    #[serde(rename = "defaultRoute")]
    DefaultRoute,
}

/// Where servers' leases are, and which they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeaseSettings {
    /// `--lease-namespace`. Default kube-system.
    pub namespace: String,
    /// `--lease-label` (a label of the servers', a selector of the agents'). Default `k8s-app=konnectivity-server`.
    pub label: String,
}

/// What an agent's text flags may hold that differs from pod to pod: the downward API's fields, in braces.
pub const PLACEHOLDERS: [&str; 6] = [
    "{metadata.name}",
    "{metadata.namespace}",
    "{metadata.uid}",
    "{spec.nodeName}",
    "{status.hostIP}",
    "{status.podIP}",
];

/// What konnectivity-agent's flags say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KonnectivityAgent {
    /// How it runs; `None`: as a program of its node.
    pub pod: Option<AgentPod>,
    /// `--proxy-server-host`: a name or an address. Default 127.0.0.1.
    pub server_host: String,
    /// `--proxy-server-port`. Default 8091.
    pub server_port: u16,
    /// `--ca-cert`: who may have signed the server's certificate.
    pub ca: FileName,
    /// `--agent-cert` and `--agent-key`.
    pub client: Option<FilePair>,
    /// `--service-account-token-path`.
    pub token: Option<FileName>,
    /// `--agent-id`, with [`PLACEHOLDERS`]. `None`: a random one.
    pub id: Option<String>,
    /// `--agent-identifiers`, with [`PLACEHOLDERS`]: which addresses it says it leads to, as a query string.
    pub identifiers: String,
    /// `--sync-interval`, in seconds: how often it looks whether it is connected to every server. Default 1.
    pub sync_interval_s: u64,
    /// `--sync-interval-cap`, in seconds. Default 10.
    pub sync_interval_cap_s: u64,
    /// `--probe-interval`, in seconds. Default 1.
    pub probe_interval_s: u64,
    /// `--keepalive-time`, in seconds. Default 3600.
    pub keepalive_s: u64,
    /// `--sync-forever`. Default false.
    pub sync_forever: bool,
    /// `--count-server-leases`, and which.
    pub leases: Option<LeaseSettings>,
    /// `--server-count-source=max`: the larger of what leases and servers say. Default false.
    pub larger_server_count: bool,
    /// `--kubeconfig`: with what leases are listed. `None`: as a pod asks.
    pub kubeconfig: Option<FileName>,
    /// `--health-server-host` and `--health-server-port`: plain HTTP. Default 0.0.0.0:8093.
    pub health: SocketAddr,
    /// `--admin-bind-address` and `--admin-server-port`: plain HTTP. Default 127.0.0.1:8094.
    pub admin: SocketAddr,
}

/// The pods that agents are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentPod {
    /// The workload's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// How many there are; `None`: one on every node (a DaemonSet).
    pub replicas: Option<u32>,
    /// `hostNetwork`: they share their nodes' addresses.
    pub host_network: bool,
    /// `spec` of the pods as it was written, with the agent's container alone.
    pub spec: serde_json::Value,
}

impl AgentPod {
    /// The pods' service account.
    #[must_use]
    pub fn service_account(&self) -> &str {
        let name = self.spec["serviceAccountName"].as_str().or_else(|| self.spec["serviceAccount"].as_str());
        name.filter(|name| !name.is_empty()).unwrap_or("default")
    }
}
