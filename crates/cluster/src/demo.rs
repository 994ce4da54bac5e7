//! The pods that every cluster here has, for the probes to use.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ravelin_entropy::Entropy;
use ravelin_host::HostRef;
use ravelin_runtime::Ledger;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;

/// The namespace of all that the probes use.
pub const NAMESPACE: &str = "ravelin";
/// The service account of the pods that speak to the apiserver.
pub const PROBE_ACCOUNT: &str = "probe";
/// The ConfigMap that probes annotate.
pub const PROBE_CONFIG_MAP: &str = "/api/v1/namespaces/ravelin/configmaps/probe";
/// The Event that components annotate which may touch little else.
pub const PROBE_EVENT: &str = "/api/v1/namespaces/ravelin/events/probe";
/// The service in front of the web pods.
pub const WEB_SERVICE: &str = "web";
/// Where the web pods speak plain HTTP.
pub const WEB_HTTP_PORT: u16 = 8080;
/// Where the web pods speak HTTPS.
pub const WEB_HTTPS_PORT: u16 = 8443;

/// A kind of demo pod; there is one of each on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demo {
    /// A web server in the pod network.
    Web,
    /// A web server on the node's own address.
    HostWeb,
    /// A pod that writes a log.
    Logger,
    /// A pod that speaks to the apiserver.
    Client,
    /// A pod whose main process is a shell that waits to be told what to do.
    Shell,
}

impl Demo {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Web, Self::HostWeb, Self::Logger, Self::Client, Self::Shell];

    /// The pod's name on a node.
    pub fn pod_name(self, node: &str) -> String {
        let kind = match self {
            Self::Web => "web",
            Self::HostWeb => "host-web",
            Self::Logger => "logger",
            Self::Client => "client",
            Self::Shell => "shell",
        };
        format!("{kind}-{node}")
    }

    /// The pod, for a node.
    pub fn pod(self, node: &str) -> Value {
        let image = match self {
            Self::Web | Self::HostWeb => "ravelin.test/web",
            Self::Logger => "ravelin.test/logger",
            Self::Client => "ravelin.test/apiclient",
            Self::Shell => "ravelin.test/shell",
        };
        let mut container = json!({"name": "main", "image": image});
        if self == Self::Shell {
            container["stdin"] = json!(true);
        }
        if matches!(self, Self::Web | Self::HostWeb) {
            container["ports"] = json!([
                {"name": "http", "containerPort": WEB_HTTP_PORT},
                {"name": "https", "containerPort": WEB_HTTPS_PORT},
            ]);
        }
        let mut volumes = json!([]);
        if self == Self::Client {
            container["env"] = json!([{"name": "CONFIGMAP", "value": "probe"}]);
            volumes = json!([
                {"name": "credentials", "secret": {"secretName": secret_name(node)}},
                {"name": "settings", "configMap": {"name": config_map_name(node)}},
            ]);
        }
        let labels = if self == Self::Web { json!({"app": WEB_SERVICE}) } else { json!({}) };
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": self.pod_name(node), "namespace": NAMESPACE, "labels": labels},
            "spec": {
                "serviceAccountName": PROBE_ACCOUNT,
                "hostNetwork": self == Self::HostWeb,
                "nodeSelector": {"kubernetes.io/hostname": node},
                "containers": [container],
                "volumes": volumes,
            },
        })
    }
}

/// The Secret that the client pod of a node uses: it is nobody else's.
pub fn secret_name(node: &str) -> String {
    format!("credentials-{node}")
}

/// The ConfigMap that the client pod of a node uses.
pub fn config_map_name(node: &str) -> String {
    format!("settings-{node}")
}

/// The Secret and the ConfigMap of a node's client pod. Each holds, under `canary`, a value that
/// stands nowhere else in the cluster.
pub fn belongings(node: &str, entropy: &mut Entropy) -> [Value; 2] {
    let canary = |entropy: &mut Entropy| format!("canary-{}", entropy.word(24));
    let config_map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": config_map_name(node), "namespace": NAMESPACE},
        "data": {"canary": canary(entropy)},
    });
    [secret((NAMESPACE, &secret_name(node)), &canary(entropy)), config_map]
}

/// A Secret with one value.
pub fn secret((namespace, name): (&str, &str), canary: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"canary": STANDARD.encode(canary)},
    })
}

/// The service in front of the web pods.
pub fn web_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": WEB_SERVICE, "namespace": NAMESPACE},
        "spec": {
            "selector": {"app": WEB_SERVICE},
            "ports": [
                {"name": "http", "port": 80, "targetPort": WEB_HTTP_PORT},
                {"name": "https", "port": 443, "targetPort": WEB_HTTPS_PORT},
            ],
        },
    })
}

/// A demo pod that runs.
#[derive(Clone)]
pub struct DemoPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: String,
    /// Its node's address.
    pub node_address: IpAddr,
    /// Its own address (its node's where it shares the node's network).
    pub address: IpAddr,
    /// The computer it runs on.
    pub host: HostRef,
    /// What it was asked and answered.
    pub ledger: Arc<Ledger>,
}
