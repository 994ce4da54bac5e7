//! Which nodes there are, where, and which host key was recorded of each.

use super::SshPublicKey;
use async_trait::async_trait;
use ravelin_api::{SSH_HOST_KEY_ANNOTATION, object, percent_encode};
use ravelin_client::{Client, ClientError, PatchKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// How often a record is tried again because the Node changed meanwhile.
const MAX_RECORD_ATTEMPTS: usize = 5;
/// Addresses of a node that are tried; nodes write them themselves.
const MAX_ADDRESSES: usize = 8;

/// A node as it was listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListedNode {
    /// Where its SSH server may be, the preferred address first.
    pub(crate) addresses: Vec<IpAddr>,
    /// The host key that is recorded of it, if that is a key.
    pub(crate) recorded: Option<SshPublicKey>,
}

/// Where a tunneler learns of nodes.
#[async_trait]
pub(crate) trait NodeSource: std::fmt::Debug + Send + Sync {
    /// Every node that has an address.
    async fn nodes(&self) -> Result<BTreeMap<String, ListedNode>, String>;

    /// The host key that is recorded of a node; where none is, this one is from now on. Of two who
    /// record at once one is first, and the other is told of its key.
    async fn record(&self, node: &str, key: &SshPublicKey) -> Result<SshPublicKey, String>;
}

/// The nodes that the apiserver lists.
pub(crate) struct Listed {
    pub(crate) client: Client,
    /// The types of addresses to use, the preferred one first.
    pub(crate) address_types: Vec<String>,
}

impl std::fmt::Debug for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Listed({})", self.address_types.join(", "))
    }
}

#[async_trait]
impl NodeSource for Listed {
    async fn nodes(&self) -> Result<BTreeMap<String, ListedNode>, String> {
        let list = self.client.list("/api/v1/nodes", &[]).await.map_err(|error| error.to_string())?;
        let nodes = object::list(&list, "items").iter().map(|node| {
            let addresses = addresses_of(node, &self.address_types);
            let recorded = recorded_of(node).and_then(|key| key.ok());
            (object::name(node).to_owned(), ListedNode { addresses, recorded })
        });
        Ok(nodes.filter(|(_, node)| !node.addresses.is_empty()).collect())
    }

    async fn record(&self, node: &str, key: &SshPublicKey) -> Result<SshPublicKey, String> {
        let path = format!("/api/v1/nodes/{}", percent_encode(node));
        for _ in 0..MAX_RECORD_ATTEMPTS {
            let present = self.client.get(&path).await.map_err(|error| error.to_string())?;
            if let Some(recorded) = recorded_of(&present) {
                return recorded;
            }
            // With the version that had no record: a change meanwhile is a conflict.
            let patch = json!({ "metadata": {
                "uid": object::uid(&present),
                "resourceVersion": object::resource_version(&present),
                "annotations": { SSH_HOST_KEY_ANNOTATION: key.to_openssh() },
            }});
            match self.client.patch(&path, PatchKind::Merge, &patch).await {
                Ok(_) => return Ok(key.clone()),
                Err(ClientError::Status(status)) if status.code == 409 => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Err("the Node object changes too often".to_owned())
    }
}

/// The host key that a Node object records, if it records anything.
fn recorded_of(node: &Value) -> Option<Result<SshPublicKey, String>> {
    let text = *object::annotations(node).get(SSH_HOST_KEY_ANNOTATION)?;
    let key = SshPublicKey::from_openssh(text.trim());
    Some(key.map_err(|_| format!("its annotation {SSH_HOST_KEY_ANNOTATION} is not a public key")))
}

/// The node's addresses of these types, the more preferred types first.
fn addresses_of(node: &Value, types: &[String]) -> Vec<IpAddr> {
    let addresses = object::list(node, "status.addresses");
    let of_types = types.iter().flat_map(|wanted| {
        let of_type = addresses.iter().filter(move |address| object::text(address, "type") == wanted);
        of_type.filter_map(|address| object::text(address, "address").parse().ok())
    });
    let mut found: Vec<IpAddr> = Vec::new();
    for address in of_types {
        if !found.contains(&address) && found.len() < MAX_ADDRESSES {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_the_order_of_the_preferred_types() {
        let node = json!({"status": {"addresses": [
            {"type": "Hostname", "address": "node-1"},
            {"type": "InternalIP", "address": "10.0.0.1"},
            {"type": "InternalIP", "address": "fd00::1"},
            {"type": "ExternalIP", "address": "not an address"},
            {"type": "ExternalIP", "address": "203.0.113.1"},
        ]}});
        let addresses = |types: &[&str]| {
            let types: Vec<String> = types.iter().map(|t| (*t).to_owned()).collect();
            addresses_of(&node, &types).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(addresses(&["ExternalIP", "InternalIP"]), ["203.0.113.1", "10.0.0.1", "fd00::1"]);
        assert_eq!(addresses(&["ExternalDNS", "InternalIP"]), ["10.0.0.1", "fd00::1"]);
        assert_eq!(addresses(&["Hostname"]), [""; 0]);
        let many: Vec<Value> =
            (0..100).map(|n| json!({"type": "InternalIP", "address": format!("10.1.0.{n}")})).collect();
        let boastful = json!({"status": {"addresses": many}});
        assert_eq!(addresses_of(&boastful, &["InternalIP".to_owned()]).len(), MAX_ADDRESSES);
    }

    #[test]
    fn what_is_recorded_and_no_key_is_no_first_contact() {
        let node = |text: &str| json!({"metadata": {"annotations": {SSH_HOST_KEY_ANNOTATION: text}}});
        assert_eq!(recorded_of(&json!({"metadata": {}})), None);
        for text in ["", "x", "ssh-ed25519"] {
            assert!(recorded_of(&node(text)).unwrap().is_err(), "{text:?}");
        }
    }
}
