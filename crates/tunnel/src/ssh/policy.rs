//! What a tunneler is told to verify, and the verification of host keys.
//!
//! Which key the other end holds, key exchange has proved by then; whose key it is, is decided here.

use super::certificate::Expected;
use super::known_hosts::{KnownHosts, Place, Verdict};
use super::nodes::NodeSource;
use super::{CertificateRefused, SshCertificate, SshCertificateKind, SshPublicKey};
use jiff::Timestamp;
use ravelin_api::SSH_HOST_KEY_ANNOTATION;
use russh::Preferred;
use russh::keys::ssh_key::EcdsaCurve;
use russh::keys::{Algorithm, PublicKeyOrCertificate};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Which host keys are taken for a node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// Any: what Kubernetes' tunneler does (`ssh.InsecureIgnoreHostKey`, issue 81118).
    DangerAny,
    /// The one listed under the node's name; a node that is not listed is refused.
    Pinned(BTreeMap<String, SshPublicKey>),
    /// Those of a `known_hosts` file of OpenSSH.
    KnownHosts(Arc<KnownHosts>),
    /// The first that a node shows. It is recorded in the Node object's annotation
    /// [`SSH_HOST_KEY_ANNOTATION`], and no other is taken as long as it stands there. Whoever answers
    /// the very first connection is believed.
    TrustOnFirstUse,
    /// Those that one of these keys certified for the node, by its name or by the address that was
    /// dialled (OpenSSH's host certificates).
    CertificateAuthority(Vec<SshPublicKey>),
}

/// What to do with a target whose node has no tunnel because nobody knows the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownNode {
    /// Go by the address alone, as Kubernetes' tunneler does, and where no tunnel to it is open,
    /// through that of a random node ("SSH tunnel not found for address, picking random node"): the
    /// rest of the way is that node's network.
    DangerRandom,
    /// Fail. Pods and services go through their own node's tunnel.
    Fail,
}

/// Which check of a host key failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostKeyFault {
    /// Another key is pinned.
    #[error("{0} is not the one that is pinned for it")]
    NotPinned(String),
    /// The known hosts do not list the node.
    #[error("{0} is not in the known hosts, and nothing else is for this node")]
    Unlisted(String),
    /// The known hosts list another key for the node.
    #[error("{fingerprint} is not the one in line {line} of the known hosts")]
    Changed {
        /// What was shown.
        fingerprint: String,
        /// Where the other is, counted from 1.
        line: usize,
    },
    /// The known hosts revoke the key.
    #[error("{fingerprint} is revoked in line {line} of the known hosts")]
    Revoked {
        /// What was shown.
        fingerprint: String,
        /// Where it is revoked, counted from 1.
        line: usize,
    },
    /// Another key is recorded in the Node object.
    #[error(
        "{fingerprint} is not the one that was recorded at first contact, {recorded}; if the node really \
         has a new key: kubectl annotate node {node} {SSH_HOST_KEY_ANNOTATION}-"
    )]
    NotRecorded {
        /// The node.
        node: String,
        /// What was shown.
        fingerprint: String,
        /// What is recorded.
        recorded: String,
    },
    /// The key could neither be compared nor recorded.
    #[error("{fingerprint} could not be compared with the Node object's record: {reason}")]
    NoRecord {
        /// What was shown.
        fingerprint: String,
        /// Why.
        reason: String,
    },
    /// A plain key where a certificate is asked for.
    #[error("{0} came without a certificate")]
    NoCertificate(String),
    /// A certificate that nobody asked for.
    #[error("{0} came with a certificate that was not asked for")]
    UnaskedCertificate(String),
    /// The certificate does not vouch for the node.
    #[error("the certificate {key_id:?} of {fingerprint}: {fault}")]
    Certificate {
        /// The certificate's name, as its authority gave it.
        key_id: String,
        /// The key that it certifies.
        fingerprint: String,
        /// The check that failed.
        fault: CertificateRefused,
    },
}

/// The node that is expected at the other end.
pub(crate) struct ExpectedNode {
    pub(crate) node: String,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) policy: HostKeyPolicy,
    /// Where first contacts are recorded.
    pub(crate) records: Option<Arc<dyn NodeSource>>,
    /// The kind of the key that was recorded when nodes were listed last.
    pub(crate) recorded: Option<Algorithm>,
}

/// The kinds of keys that are spoken here; ed25519 is always offered.
const KINDS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
];

impl ExpectedNode {
    /// Whoever answers.
    pub(crate) fn danger_any(name: &str) -> Self {
        Self {
            node: name.to_owned(),
            address: Ipv4Addr::UNSPECIFIED.into(),
            port: super::SSH_PORT,
            policy: HostKeyPolicy::DangerAny,
            records: None,
            recorded: None,
        }
    }

    fn place(&self) -> Place<'_> {
        Place { name: &self.node, address: self.address, port: self.port }
    }

    /// What to offer, so that a node that has several keys shows the one that can be verified:
    /// certificates where there are authorities, and first the kinds that are known for it.
    pub(crate) fn offered(&self, preferred: Preferred) -> Preferred {
        let mut offered = preferred;
        let (known, certificates) = match &self.policy {
            HostKeyPolicy::DangerAny | HostKeyPolicy::Pinned(_) => (Vec::new(), false),
            HostKeyPolicy::KnownHosts(hosts) => {
                (hosts.kinds(&self.place()), !hosts.authorities(&self.place()).is_empty())
            }
            HostKeyPolicy::TrustOnFirstUse => (self.recorded.iter().cloned().collect(), false),
            HostKeyPolicy::CertificateAuthority(_) => (Vec::new(), true),
        };
        if certificates {
            offered.host_key_certificates = Cow::Borrowed(&KINDS[..1]);
        }
        let mut kinds: Vec<Algorithm> = KINDS.into_iter().filter(|kind| known.contains(kind)).collect();
        kinds.extend(offered.key.iter().filter(|kind| !known.contains(kind)).cloned());
        offered.key = Cow::Owned(kinds);
        offered
    }

    /// Is what was shown this node's?
    pub(crate) async fn verify(
        &self,
        shown: &PublicKeyOrCertificate,
        now: Timestamp,
    ) -> Result<(), HostKeyFault> {
        match (&self.policy, shown) {
            (HostKeyPolicy::DangerAny, _) => Ok(()),
            (policy, PublicKeyOrCertificate::PublicKey { key, .. }) => {
                self.verify_key(policy, &SshPublicKey::new(key)).await
            }
            (policy, PublicKeyOrCertificate::Certificate(certificate)) => {
                self.verify_certificate(policy, &SshCertificate::of(certificate), now)
            }
        }
    }

    async fn verify_key(&self, policy: &HostKeyPolicy, key: &SshPublicKey) -> Result<(), HostKeyFault> {
        let fingerprint = key.fingerprint();
        match policy {
            HostKeyPolicy::DangerAny => Ok(()),
            HostKeyPolicy::Pinned(keys) if keys.get(&self.node) == Some(key) => Ok(()),
            HostKeyPolicy::Pinned(_) => Err(HostKeyFault::NotPinned(fingerprint)),
            HostKeyPolicy::KnownHosts(hosts) => match hosts.judge(&self.place(), key) {
                Verdict::Known => Ok(()),
                Verdict::Unlisted if !hosts.authorities(&self.place()).is_empty() => {
                    Err(HostKeyFault::NoCertificate(fingerprint))
                }
                Verdict::Unlisted => Err(HostKeyFault::Unlisted(fingerprint)),
                Verdict::Changed { line } => Err(HostKeyFault::Changed { fingerprint, line }),
                Verdict::Revoked { line } => Err(HostKeyFault::Revoked { fingerprint, line }),
            },
            HostKeyPolicy::TrustOnFirstUse => self.verify_recorded(key).await,
            HostKeyPolicy::CertificateAuthority(_) => Err(HostKeyFault::NoCertificate(fingerprint)),
        }
    }

    /// The record decides; where there is none yet, this key becomes it.
    async fn verify_recorded(&self, key: &SshPublicKey) -> Result<(), HostKeyFault> {
        let fingerprint = key.fingerprint();
        let recorded = match &self.records {
            Some(records) => records.record(&self.node, key).await,
            None => Err("there is nowhere to look it up".to_owned()),
        };
        match recorded {
            Ok(recorded) if recorded == *key => Ok(()),
            Ok(recorded) => Err(HostKeyFault::NotRecorded {
                node: self.node.clone(),
                fingerprint,
                recorded: recorded.fingerprint(),
            }),
            Err(reason) => Err(HostKeyFault::NoRecord { fingerprint, reason }),
        }
    }

    fn verify_certificate(
        &self,
        policy: &HostKeyPolicy,
        certificate: &SshCertificate,
        now: Timestamp,
    ) -> Result<(), HostKeyFault> {
        let key = certificate.key();
        let authorities = match policy {
            HostKeyPolicy::CertificateAuthority(authorities) => authorities.clone(),
            HostKeyPolicy::KnownHosts(hosts) => {
                for key in [&key, &certificate.authority()] {
                    if let Some(line) = hosts.revokes(&self.place(), key) {
                        return Err(HostKeyFault::Revoked { fingerprint: key.fingerprint(), line });
                    }
                }
                hosts.authorities(&self.place())
            }
            _ => return Err(HostKeyFault::UnaskedCertificate(key.fingerprint())),
        };
        let names = [self.node.clone(), self.address.to_string()];
        let expected = Expected {
            kind: SshCertificateKind::Host,
            authorities: &authorities,
            names: &names,
            now,
            source: None,
        };
        certificate.check(&expected).map_err(|fault| HostKeyFault::Certificate {
            key_id: certificate.key_id().to_owned(),
            fingerprint: key.fingerprint(),
            fault,
        })
    }
}
