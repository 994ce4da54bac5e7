//! The client of a program that runs in a pod.
//!
//! As `rest.InClusterConfig` of client-go: the address comes from the environment, the token and the
//! root certificate from the files that the kubelet projects into the pod. One thing is stricter: a
//! pod without a root certificate trusts nobody, where client-go falls back to the system's roots.

use crate::{Client, ClientConfig, Credential, ServerTrust, TokenSource};
use ravelin_host::HostRef;
use ravelin_pki::TrustAnchors;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Where a pod finds its token (`token`), root certificate (`ca.crt`) and namespace (`namespace`).
pub const SERVICE_ACCOUNT_DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Each request ends within this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How a program in a pod reaches the apiserver.
#[derive(Clone, Debug)]
pub struct InCluster {
    /// What its client is made with. The token is read from its file again and again.
    pub config: ClientConfig,
    /// The pod's namespace.
    pub namespace: String,
}

/// What a pod lacks to reach the apiserver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotInCluster {
    /// Its environment names no apiserver (`ErrNotInCluster`).
    #[error(
        "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
    )]
    NoAddress,
    /// What its environment names is no address and port.
    #[error("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are no address and port")]
    MalformedAddress,
    /// It has no token.
    #[error("open {0}: no such file or directory")]
    NoToken(String),
    /// It has no root certificate that can be read.
    #[error("expected to load root CA config from {0}")]
    NoRoot(String),
}

impl InCluster {
    /// Reads a pod's files, whose names begin with `root`, and its environment.
    ///
    /// # Errors
    /// Where one is missing or malformed.
    pub fn load(host: &HostRef, root: &str, env: &BTreeMap<String, String>) -> Result<Self, NotInCluster> {
        let variable = |name: &str| env.get(name).filter(|value| !value.is_empty());
        let address = variable("KUBERNETES_SERVICE_HOST").ok_or(NotInCluster::NoAddress)?;
        let port = variable("KUBERNETES_SERVICE_PORT").ok_or(NotInCluster::NoAddress)?;
        let ip: IpAddr = address.parse().map_err(|_| NotInCluster::MalformedAddress)?;
        let port: u16 = port.parse().map_err(|_| NotInCluster::MalformedAddress)?;
        let path = |name: &str| format!("{SERVICE_ACCOUNT_DIRECTORY}/{name}");
        let read = |name: &str| {
            let content = host.disk().read(&format!("{root}{}", path(name)))?;
            String::from_utf8(content).ok()
        };
        read("token").ok_or_else(|| NotInCluster::NoToken(path("token")))?;
        let trust = read("ca.crt").and_then(|pem| TrustAnchors::from_pem(&pem).ok());
        let trust = trust.ok_or_else(|| NotInCluster::NoRoot(path("ca.crt")))?;
        // As `inClusterClientConfig.Namespace` of client-go has it.
        let namespace = variable("POD_NAMESPACE").cloned();
        let namespace = namespace.or_else(|| read("namespace").map(|text| text.trim().to_owned()));
        let config = ClientConfig {
            server: SocketAddr::new(ip, port),
            server_name: address.clone(),
            trust: ServerTrust::Anchors(trust),
            credential: Credential::Token(TokenSource::file(format!("{root}{}", path("token")))),
            request_timeout: REQUEST_TIMEOUT,
        };
        let namespace = namespace.filter(|namespace| !namespace.is_empty());
        Ok(Self { config, namespace: namespace.unwrap_or_else(|| "default".to_owned()) })
    }

    /// A client of the apiserver, as the pod.
    pub fn client(&self, host: &HostRef) -> Client {
        Client::new(host.clone(), self.config.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ravelin_host::memory::Network;

    #[test]
    fn a_pod_that_lacks_anything_is_told_what() {
        let host = Network::new().host("pod", [10, 1, 0, 2]);
        let put = |name: &str, content: &str| {
            host.disk()
                .write(&format!("/root{SERVICE_ACCOUNT_DIRECTORY}/{name}"), content.as_bytes())
                .unwrap();
        };
        let mut env = BTreeMap::new();
        let mut set = |name: &str, value: &str| {
            env.insert(name.to_owned(), value.to_owned());
            env.clone()
        };
        let load =
            |env: &BTreeMap<String, String>| InCluster::load(&host, "/root", env).map(|pod| pod.namespace);
        assert_eq!(load(&BTreeMap::new()), Err(NotInCluster::NoAddress));
        set("KUBERNETES_SERVICE_HOST", "kubernetes");
        assert_eq!(load(&set("KUBERNETES_SERVICE_PORT", "443")), Err(NotInCluster::MalformedAddress));
        let env = set("KUBERNETES_SERVICE_HOST", "10.96.0.1");
        let file = |name: &str| format!("{SERVICE_ACCOUNT_DIRECTORY}/{name}");
        assert_eq!(load(&env), Err(NotInCluster::NoToken(file("token"))));
        put("token", "t");
        put("ca.crt", "no certificate");
        assert_eq!(load(&env), Err(NotInCluster::NoRoot(file("ca.crt"))), "it trusts nobody instead");
    }
}
