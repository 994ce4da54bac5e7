//! How a node's kubelet is reached (`pkg/kubelet/client/kubelet_client.go`).

use super::failure::Failure;
use super::target::Tls;
use crate::server::Server;
use ravelin_api::{GroupResource, Status, object};
use ravelin_auth::names;
use ravelin_host::Flaw;
use ravelin_pki::ServerTrust;
use serde_json::Value;
use std::net::IpAddr;
use std::time::Duration;

/// How long a name may take to resolve.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(10);

/// Where a kubelet listens, by its Node.
pub(super) struct Kubelet {
    /// The name of its Node.
    pub(super) node: String,
    /// The address or name that was chosen: what its certificate must be for.
    pub(super) host: String,
    pub(super) port: u16,
}

/// The kubelet of a node.
pub(super) fn connection(server: &Server, node: &str) -> Result<Kubelet, Status> {
    let resource = GroupResource { group: "", resource: "nodes" };
    let found = server.reading().core("nodes", "", node);
    let found = found.ok_or_else(|| Status::not_found(resource, node))?;
    let config = &server.config.kubelet;
    let addresses = object::list(&found, "status.addresses");
    let of_type = |wanted: &String| addresses.iter().find(|address| object::text(address, "type") == wanted);
    let Some(chosen) = config.preferred_address_types.iter().find_map(of_type) else {
        let known = addresses.iter().map(|address| {
            format!("{{{} {}}}", object::text(address, "type"), object::text(address, "address"))
        });
        let known = known.collect::<Vec<_>>().join(" ");
        return Err(Status::plain_error(format!("no preferred addresses found; known addresses: [{known}]")));
    };
    let port = object::at(&found, "status.daemonEndpoints.kubeletEndpoint.Port").and_then(Value::as_u64);
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
    Ok(Kubelet {
        node: node.to_owned(),
        host: object::text(chosen, "address").to_owned(),
        port: port.unwrap_or(config.default_port),
    })
}

/// The node that has this address or name.
pub(super) fn node_at(server: &Server, host: &str) -> Option<String> {
    let (nodes, _) = server.reading().list("nodes", None);
    let has = |node: &&std::sync::Arc<Value>| {
        object::list(node, "status.addresses").iter().any(|one| object::text(one, "address") == host)
    };
    nodes.iter().find(has).map(|node| object::name(node).to_owned())
}

impl Kubelet {
    /// The address of the chosen name.
    pub(super) async fn resolve(&self, server: &Server) -> Result<IpAddr, Failure> {
        if let Ok(ip) = self.host.parse() {
            return Ok(ip);
        }
        let resolved = tokio::time::timeout(RESOLVE_DEADLINE, server.host.resolve(&self.host)).await;
        let first = resolved.ok().and_then(Result::ok).and_then(|addresses| addresses.first().copied());
        first.ok_or_else(|| Failure::new(format!("dial tcp: lookup {}: no such host", self.host)))
    }

    /// As what the server speaks to a kubelet, and whom it believes to be one.
    pub(super) fn tls(&self, server: &Server) -> Tls {
        let identity = server.config.kubelet.identity.clone();
        Tls { trust: self.trust(server), identity, server_name: self.host.clone() }
    }

    fn trust(&self, server: &Server) -> ServerTrust {
        let (config, flaws) = (&server.config.kubelet, server.host.flaws());
        if flaws.has(Flaw::ApiserverTrustsAnyKubelet) {
            return ServerTrust::DangerAny;
        }
        let mut trust = config.trust.clone();
        if config.cert_cn_validation && !flaws.has(Flaw::ApiserverIgnoresKubeletNodeName) {
            trust = trust.with_common_name(format!("{}{}", names::NODE_PREFIX, self.node));
        }
        if flaws.has(Flaw::ApiserverIgnoresKubeletAddress) {
            trust = trust.danger_any_name();
        }
        trust
    }

    /// As [`Kubelet::tls`], but whoever asked wants no verification
    /// (`insecureSkipTLSVerifyBackend`).
    pub(super) fn danger_unverified_tls(&self, server: &Server) -> Tls {
        Tls { trust: ServerTrust::DangerAny, ..self.tls(server) }
    }

    /// Host and port, as URLs and `Host` headers hold them.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}
