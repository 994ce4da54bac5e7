//! What the apiserver's SSH tunnels verify and where they lead: `SSHTunnelConfiguration`, a document of
//! Ravelin's own. No version of Kubernetes had a flag for any of it.

use super::FileName;
use serde::Serialize;

/// The settings of SSH tunnels beside user and key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SshTunnelSettings {
    /// `hostKeys`: which host keys are taken for a node's.
    pub host_keys: SshHostKeys,
    /// `userCertificateFile`: an OpenSSH certificate of the user's key. `None`: the key alone logs in.
    pub user_certificate_file: Option<FileName>,
    /// `unknownNode`: what becomes of a connection whose node has no tunnel because nobody knows the node.
    pub unknown_node: SshUnknownNode,
    /// `addressTypes`: the node addresses to connect to, the preferred first.
    pub address_types: Vec<String>,
    /// `port` of the nodes' SSH servers.
    pub port: u16,
}

/// `hostKeys.mode`, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum SshHostKeys {
    /// Any is taken (`ssh.InsecureIgnoreHostKey`, kubernetes/kubernetes issue 81118).
    DangerAny,
    /// Those of `knownHostsFile`, in the form of OpenSSH.
    KnownHosts(FileName),
    /// The first that a node shows; it is recorded in the Node object, and no other is taken afterwards.
    TrustOnFirstUse,
    /// Those that an authority in `authorityFiles` certified for the node.
    CertificateAuthority(Vec<FileName>),
}

/// `unknownNode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SshUnknownNode {
    /// Through the tunnel of a random node, as Kubernetes' tunneler does.
    DangerRandom,
    /// The connection fails, and the error says why.
    Fail,
}

impl SshTunnelSettings {
    /// What Kubernetes' tunneler does (`pkg/ssh/ssh.go`, `pkg/master/tunneler/ssh.go`), but for nodes without an
    /// `ExternalIP`, which it could not reach (issues 11888 and 21668).
    #[must_use]
    pub fn legacy() -> Self {
        Self {
            host_keys: SshHostKeys::DangerAny,
            user_certificate_file: None,
            unknown_node: SshUnknownNode::DangerRandom,
            address_types: vec!["ExternalIP".to_owned(), "InternalIP".to_owned()],
            port: 22,
        }
    }
}
