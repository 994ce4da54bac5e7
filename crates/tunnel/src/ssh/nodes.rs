//! Which nodes there are, and where.

use async_trait::async_trait;
use ravelin_api::object;
use ravelin_client::Client;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Where a tunneler learns of nodes.
#[async_trait]
pub(crate) trait NodeSource: Send + Sync {
    /// Every node's name and the address of its SSH server.
    async fn nodes(&self) -> Result<BTreeMap<String, IpAddr>, String>;
}

/// The nodes that the apiserver lists.
pub(crate) struct Listed {
    pub(crate) client: Client,
    /// The types of addresses to use, the preferred one first.
    pub(crate) address_types: Vec<String>,
}

#[async_trait]
impl NodeSource for Listed {
    async fn nodes(&self) -> Result<BTreeMap<String, IpAddr>, String> {
        let list = self.client.list("/api/v1/nodes", &[]).await.map_err(|error| error.to_string())?;
        let nodes = object::list(&list, "items").iter();
        Ok(nodes
            .filter_map(|node| Some((object::name(node).to_owned(), address_of(node, &self.address_types)?)))
            .collect())
    }
}

/// The node's first address of the most preferred type that it has.
fn address_of(node: &Value, types: &[String]) -> Option<IpAddr> {
    let addresses = object::list(node, "status.addresses");
    types.iter().find_map(|wanted| {
        let mut of_type = addresses.iter().filter(|address| object::text(address, "type") == wanted);
        of_type.find_map(|address| object::text(address, "address").parse().ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_preferred_type_of_address_is_used() {
        let node = json!({"status": {"addresses": [
            {"type": "Hostname", "address": "node-1"},
            {"type": "InternalIP", "address": "10.0.0.1"},
            {"type": "ExternalIP", "address": "not an address"},
            {"type": "ExternalIP", "address": "203.0.113.1"},
        ]}});
        let address =
            |types: &[&str]| address_of(&node, &types.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(address(&["ExternalIP", "InternalIP"]), Some([203, 0, 113, 1].into()));
        assert_eq!(address(&["ExternalDNS", "InternalIP"]), Some([10, 0, 0, 1].into()));
        assert_eq!(address(&["Hostname"]), None);
    }
}
