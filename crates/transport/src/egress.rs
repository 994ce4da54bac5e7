//! How the apiserver reaches the cluster.

use crate::metrics::Family;
use async_trait::async_trait;
use ravelin_host::{BoxedStream, HostRef};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a connection may take to open, as in Kubernetes (the 30 s dialer of apimachinery's
/// `net/http.go`).
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// What is behind the address that is dialled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// The kubelet of a node.
    Kubelet {
        /// The node's name.
        node: String,
    },
    /// Another port of a node.
    Node {
        /// The node's name.
        node: String,
    },
    /// A pod.
    Pod {
        /// The pod's namespace.
        namespace: String,
        /// The pod's name.
        name: String,
        /// The node that it was bound to (`spec.nodeName`), where it is known.
        node: Option<String>,
    },
    /// An endpoint of a service.
    Service {
        /// The service's namespace.
        namespace: String,
        /// The service's name.
        name: String,
        /// The node that the endpoint's pod was bound to (`spec.nodeName`), where it is known.
        node: Option<String>,
    },
}

impl Destination {
    /// The node that the destination is on, where it is known. The apiserver knows it from its own
    /// objects: no address that a node says of itself or of its pods leads to another node's tunnel.
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::Kubelet { node } | Self::Node { node } => Some(node),
            Self::Pod { node, .. } | Self::Service { node, .. } => node.as_deref(),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kubelet { node } => write!(f, "kubelet {node}"),
            Self::Node { node } => write!(f, "node {node}"),
            Self::Pod { namespace, name, .. } => write!(f, "pod {namespace}/{name}"),
            Self::Service { namespace, name, .. } => write!(f, "service {namespace}/{name}"),
        }
    }
}

/// Why there is no connection into the cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EgressError {
    /// A check on the way refused it, or the far end did.
    #[error("refused: {0}")]
    Refused(String),
    /// Nobody answered in time.
    #[error("timed out")]
    Timeout,
    /// The way there does not work now.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

/// A check of a way's health, as the apiserver shows it at `/healthz/NAME`, `/livez/NAME` and
/// `/readyz/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The check's name.
    pub name: &'static str,
    /// Why it fails, if it does.
    pub outcome: Result<(), String>,
}

/// A way from the apiserver into the cluster.
#[async_trait]
pub trait Egress: Send + Sync {
    /// Opens a connection.
    ///
    /// # Errors
    /// As [`EgressError`] says; never later than [`DIAL_TIMEOUT`].
    async fn dial(&self, to: SocketAddr, what: &Destination) -> Result<BoxedStream, EgressError>;

    /// What configurations call it: `direct`, `ssh`.
    fn name(&self) -> &str;

    /// The checks that the apiserver adds to its own. The list's names never change.
    fn health(&self) -> Vec<HealthCheck> {
        Vec::new()
    }

    /// What the apiserver shows of it at `/metrics`.
    fn metrics(&self) -> Vec<Family> {
        Vec::new()
    }
}

/// Straight over the network.
#[derive(Clone)]
pub struct Direct(pub HostRef);

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Direct({})", self.0.name())
    }
}

#[async_trait]
impl Egress for Direct {
    async fn dial(&self, to: SocketAddr, _what: &Destination) -> Result<BoxedStream, EgressError> {
        let to = to.into();
        match tokio::time::timeout(DIAL_TIMEOUT, self.0.connect(&to)).await {
            Ok(Ok(connection)) => Ok(connection.stream),
            Ok(Err(error)) => Err(match error.kind() {
                io::ErrorKind::ConnectionRefused => EgressError::Refused(error.to_string()),
                io::ErrorKind::TimedOut => EgressError::Timeout,
                _ => EgressError::Unavailable(error.to_string()),
            }),
            Err(_) => Err(EgressError::Timeout),
        }
    }

    fn name(&self) -> &str {
        "direct"
    }
}
