//! The apiserver's end: a dialer behind `Egress` (`egress_selector.go` of k8s.io/apiserver).

pub(super) mod connect;
pub(super) mod grpc;

use super::metrics::{self, Declared, Metrics};
use async_trait::async_trait;
use ravelin_host::{BoxedStream, Endpoint, Flaw, HostRef, field};
use ravelin_pki::{Identity, ServerTrust};
use ravelin_transport::egress::{DIAL_TIMEOUT, Destination, Egress, EgressError};
use ravelin_transport::metrics::{Family, Histogram, Kind};
use ravelin_transport::{TlsClient, TlsError};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// How the server's frontend is reached (`EgressSelectorConfiguration`).
#[derive(Clone, Debug)]
pub enum KonnectivityEgressConfig {
    /// `GRPC` over a Unix socket.
    Grpc {
        /// `udsName`.
        path: String,
    },
    /// `HTTPConnect` over a Unix socket.
    HttpConnectUnix {
        /// `udsName`.
        path: String,
    },
    /// `HTTPConnect` over TLS.
    HttpConnectTls {
        /// The host of the URL, a name or an address.
        host: String,
        /// Its port.
        port: u16,
        /// How the server is judged (`caBundle`).
        trust: ServerTrust,
        /// What is presented (`clientCert`, `clientKey`).
        identity: Option<Identity>,
        /// The name that the certificate must be for, where it is not the host (`tlsServerName`).
        server_name: Option<String>,
    },
    /// `HTTPConnect` to an `http://` URL: who listens on the way reads and changes everything that is
    /// not encrypted by itself.
    DangerHttpConnect {
        /// The host of the URL, a name or an address.
        host: String,
        /// Its port.
        port: u16,
    },
}

impl KonnectivityEgressConfig {
    /// What `apiserver_egress_dialer_…` calls protocol and transport.
    fn labels(&self) -> [(&'static str, &'static str); 2] {
        let (protocol, transport) = match self {
            Self::Grpc { .. } => ("grpc", "uds"),
            Self::HttpConnectUnix { .. } => ("http_connect", "uds"),
            Self::HttpConnectTls { .. } | Self::DangerHttpConnect { .. } => ("http_connect", "tcp"),
        };
        [("protocol", protocol), ("transport", transport)]
    }

    /// The frontend as errors call it.
    fn proxy(&self) -> String {
        match self {
            Self::Grpc { path } | Self::HttpConnectUnix { path } => path.clone(),
            Self::HttpConnectTls { host, port, .. } | Self::DangerHttpConnect { host, port } => {
                if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
            }
        }
    }
}

/// The dialer: a tunnel of its own for each connection, as the original has it.
pub struct KonnectivityEgress {
    host: HostRef,
    config: KonnectivityEgressConfig,
    /// `konnectivity_network_proxy_client_…`
    client: Arc<Metrics>,
    /// `apiserver_egress_dialer_…`
    dialer: Metrics,
    took: Mutex<Histogram>,
}

impl std::fmt::Debug for KonnectivityEgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KonnectivityEgress({})", self.config.proxy())
    }
}

impl KonnectivityEgress {
    /// A dialer. Nothing is connected yet.
    pub fn new(host: HostRef, config: KonnectivityEgressConfig) -> Self {
        Self {
            host,
            config,
            client: Arc::new(Metrics::new("konnectivity_network_proxy_client", metrics::CLIENT)),
            dialer: Metrics::new("apiserver_egress_dialer", DIALER),
            took: Mutex::new(Histogram::new(&[0.005, 0.025, 0.1, 0.5, 2.5, 12.5])),
        }
    }

    /// Connects to the frontend; no later than the dial's end.
    async fn connect(&self) -> Result<BoxedStream, EgressError> {
        match &self.config {
            KonnectivityEgressConfig::Grpc { path } | KonnectivityEgressConfig::HttpConnectUnix { path } => {
                let connection = self.host.connect(&Endpoint::Unix(path.clone())).await;
                let connection =
                    connection.map_err(|error| unavailable(&format!("dial unix {path}"), &error))?;
                Ok(connection.stream)
            }
            KonnectivityEgressConfig::DangerHttpConnect { host, port } => self.dial_tcp(host, *port).await,
            KonnectivityEgressConfig::HttpConnectTls { host, port, trust, identity, server_name } => {
                let stream = self.dial_tcp(host, *port).await?;
                let anybody = self.host.flaws().has(Flaw::KonnectivityEgressTrustsAnyServer);
                let tls = TlsClient {
                    trust: if anybody { ServerTrust::DangerAny } else { trust.clone() },
                    identity: identity.clone(),
                    server_name: server_name.as_ref().unwrap_or(host).clone(),
                };
                let secured = tls.connect(&self.host, stream).await.map_err(refused)?;
                Ok(secured.stream)
            }
        }
    }

    async fn dial_tcp(&self, host: &str, port: u16) -> Result<BoxedStream, EgressError> {
        let address = match host.parse() {
            Ok(address) => address,
            Err(_) => {
                let found = self.host.resolve(host).await.ok().and_then(|found| found.into_iter().next());
                let unknown = || EgressError::Unavailable(format!("dial tcp: lookup {host}: no such host"));
                found.ok_or_else(unknown)?
            }
        };
        let to = SocketAddr::new(address, port);
        let connection = self.host.connect(&Endpoint::Tcp(to)).await;
        Ok(connection.map_err(|error| unavailable(&format!("dial tcp {to}"), &error))?.stream)
    }

    async fn tunnel(&self, target: &str) -> Result<BoxedStream, (&'static str, EgressError)> {
        let stream = self.connect().await.map_err(|error| ("connect", error))?;
        let dialled = match &self.config {
            KonnectivityEgressConfig::Grpc { .. } => {
                grpc::dial(&self.host, stream, target, &self.client).await
            }
            _ => connect::connect(stream, target, &self.config.proxy()).await,
        };
        dialled.map_err(|error| ("proxy", error))
    }

    fn failed(&self, stage: &str) {
        let [protocol, transport] = self.config.labels();
        self.dialer.add("dial_failure_count", &[protocol, transport, ("stage", stage)], 1);
    }
}

/// `apiserver_egress_dialer_…` (`egressselector/metrics/metrics.go`).
const DIALER: &[Declared] = &[
    Declared {
        name: "dial_start_total",
        kind: Kind::Counter,
        help: "[ALPHA] Dial starts, labeled by the protocol (http-connect or grpc) and transport (tcp or uds).",
        bounds: &[],
        from_zero: false,
    },
    Declared {
        name: "dial_failure_count",
        kind: Kind::Counter,
        help: "[ALPHA] Dial failure count, labeled by the protocol (http-connect or grpc), transport (tcp or \
               uds), and stage (connect or proxy). The stage indicates at which stage the dial failed",
        bounds: &[],
        from_zero: false,
    },
];

fn unavailable(what: &str, error: &io::Error) -> EgressError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            EgressError::Unavailable(format!("{what}: connect: connection refused"))
        }
        io::ErrorKind::NotFound => {
            EgressError::Unavailable(format!("{what}: connect: no such file or directory"))
        }
        io::ErrorKind::TimedOut => EgressError::Timeout,
        _ => EgressError::Unavailable(format!("{what}: {error}")),
    }
}

/// A handshake that did not succeed.
fn refused(error: TlsError) -> EgressError {
    match error {
        TlsError::PeerRefused { reason } => EgressError::Refused(format!("tls: {reason}")),
        TlsError::PeerRefusedUs { alert } => EgressError::Refused(format!("remote error: tls: {alert}")),
        TlsError::Timeout => EgressError::Timeout,
        other => EgressError::Unavailable(other.to_string()),
    }
}

#[async_trait]
impl Egress for KonnectivityEgress {
    async fn dial(&self, to: SocketAddr, what: &Destination) -> Result<BoxedStream, EgressError> {
        let (began, target) = (Instant::now(), to.to_string());
        let labels = self.config.labels();
        self.dialer.add("dial_start_total", &labels, 1);
        let result = match tokio::time::timeout(DIAL_TIMEOUT, self.tunnel(&target)).await {
            Ok(result) => result,
            Err(_) => Err(("proxy", EgressError::Timeout)),
        };
        let outcome = match &result {
            Ok(_) => "open".to_owned(),
            Err((_, error)) => error.to_string(),
        };
        let [(_, protocol), _] = labels;
        self.host.observe(
            "konnectivity.egress",
            &[
                field("to", &target),
                field("for", what),
                field("protocol", protocol),
                field("outcome", outcome),
            ],
        );
        match result {
            Ok(stream) => {
                let took = began.elapsed().as_secs_f64();
                self.took.lock().unwrap_or_else(PoisonError::into_inner).observe(took);
                Ok(stream)
            }
            Err((stage, error)) => {
                self.failed(stage);
                Err(error)
            }
        }
    }

    fn name(&self) -> &str {
        "konnectivity"
    }

    fn metrics(&self) -> Vec<Family> {
        let took = self.took.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let labels = self.config.labels().map(|(label, value)| (label, value.to_owned()));
        let help = "[ALPHA] Dial latency histogram in seconds, labeled by the protocol (http-connect or grpc), \
                    transport (tcp or uds)";
        let name = "apiserver_egress_dialer_dial_duration_seconds";
        let took = Family::new(name, Kind::Histogram, help).with_histogram(&labels, &took);
        self.dialer.families().into_iter().chain([took]).chain(self.client.families()).collect()
    }
}
