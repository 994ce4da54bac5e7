//! What a tunneler is told to verify.

use super::SshPublicKey;
use std::collections::BTreeMap;

/// Which host keys are taken for a node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// Any: what Kubernetes' tunneler does (`ssh.InsecureIgnoreHostKey`, issue 81118).
    DangerAny,
    /// The one listed under the node's name; a node that is not listed is refused.
    Pinned(BTreeMap<String, SshPublicKey>),
}

impl HostKeyPolicy {
    pub(crate) fn accepts(&self, node: &str, key: &SshPublicKey) -> bool {
        match self {
            Self::DangerAny => true,
            Self::Pinned(keys) => keys.get(node) == Some(key),
        }
    }
}

/// What to do with a target that is no node: a pod, for instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownNode {
    /// Go through the tunnel of a random node, as Kubernetes' tunneler does ("SSH tunnel not found
    /// for address, picking random node"): the rest of the way is that node's network.
    DangerRandom,
    /// Fail.
    Fail,
}
