//! What a cluster's SSH tunnels are made from: the tunnels' key, the nodes' host keys, certificates of
//! both, and what the apiservers know of them beforehand.
//!
//! No file is read: for each name that the configuration has, the material is made.

use crate::demo::{WEB_HTTP_PORT, WEB_HTTPS_PORT};
use crate::layout::NodePlace;
use crate::start::Setup;
use jiff::{Timestamp, ToSpan};
use ravelin_config::{self as config, SshHostKeys, SshTunnelSettings, SshUnknownNode};
use ravelin_host::HostRef;
use ravelin_tunnel::{
    Forwarding, HostKeyPolicy, KnownHosts, NodeTargets, SshCertificate, SshCertificateKind, SshClaim,
    SshConfig, SshKey, SshNodeConfig, SshPublicKey, SshTunneler, UnknownNode,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;

/// How long certificates of SSH last, in days: a hundred years, since russh judges a user's by the
/// computer's own clock as well, and that goes on while simulations always begin at one date.
const CERTIFICATE_DAYS: i64 = 36_500;

/// The keys of a cluster's SSH tunnels, made before anything starts.
pub(crate) struct SshMaterial {
    user: String,
    settings: SshTunnelSettings,
    key: SshKey,
    certificate: Option<SshCertificate>,
    /// Who certifies users, where anybody does.
    user_authority: Option<SshPublicKey>,
    host_keys: HostKeyPolicy,
    /// By node.
    hosts: BTreeMap<String, HostIdentity>,
}

/// What a node's SSH server shows.
#[derive(Clone)]
struct HostIdentity {
    key: SshKey,
    certificate: Option<SshCertificate>,
}

impl SshMaterial {
    /// What the configuration's tunnels need, if it has any.
    pub(crate) fn of(setup: &mut Setup<'_>, now: Timestamp) -> Option<Self> {
        let config::Egress::SshTunnels { user, settings, .. } = &setup.config.apiserver.egress else {
            return None;
        };
        let key = SshKey::generate(setup.material.entropy());
        let mut made = Self {
            user: user.clone(),
            settings: settings.clone(),
            key,
            certificate: None,
            user_authority: None,
            host_keys: HostKeyPolicy::DangerAny,
            hosts: BTreeMap::new(),
        };
        for place in setup.layout.members() {
            let identity =
                HostIdentity { key: SshKey::generate(setup.material.entropy()), certificate: None };
            made.hosts.insert(place.machine.name.clone(), identity);
        }
        made.host_keys = made.host_keys(setup, now);
        made.certify_user(setup, now);
        Some(made)
    }

    /// What the apiservers verify hosts by; it certifies the hosts where an authority is to vouch for
    /// them.
    fn host_keys(&mut self, setup: &mut Setup<'_>, now: Timestamp) -> HostKeyPolicy {
        match &self.settings.host_keys {
            SshHostKeys::DangerAny => HostKeyPolicy::DangerAny,
            SshHostKeys::TrustOnFirstUse => HostKeyPolicy::TrustOnFirstUse,
            SshHostKeys::KnownHosts(_) => {
                let mut lines = String::new();
                for place in setup.layout.members() {
                    let (name, address) = (&place.machine.name, place.machine.address);
                    if let Some(host) = self.hosts.get(name) {
                        let _ = writeln!(lines, "{name},{address} {}", host.key.public().to_openssh());
                    }
                }
                let known = KnownHosts::parse(&lines).expect("our own lines can be read");
                HostKeyPolicy::KnownHosts(Arc::new(known))
            }
            SshHostKeys::CertificateAuthority(files) => {
                // The first signs; the others are believed as well, and sign nothing.
                let entropy = setup.material.entropy();
                let authorities: Vec<SshKey> = files.iter().map(|_| SshKey::generate(entropy)).collect();
                if let Some(authority) = authorities.first() {
                    for place in setup.layout.members() {
                        let Some(host) = self.hosts.get_mut(&place.machine.name) else { continue };
                        let names = vec![place.machine.name.clone(), place.machine.address.to_string()];
                        let claim = claim(SshCertificateKind::Host, &host.key, names, now);
                        host.certificate =
                            Some(SshCertificate::issue(authority, &claim, setup.material.entropy()));
                    }
                }
                HostKeyPolicy::CertificateAuthority(authorities.iter().map(SshKey::public).collect())
            }
        }
    }

    /// The certificate of the tunnels' key, where the configuration names one: nodes then know its
    /// authority, and not the key.
    fn certify_user(&mut self, setup: &mut Setup<'_>, now: Timestamp) {
        if self.settings.user_certificate_file.is_none() {
            return;
        }
        let entropy = setup.material.entropy();
        let authority = SshKey::generate(entropy);
        // russh's server judges a user's certificate by the computer's own clock as well, which rules no
        // simulation: so it is of the kind that is always valid.
        let always = SshClaim {
            from: Timestamp::UNIX_EPOCH,
            until: Timestamp::MAX,
            ..claim(SshCertificateKind::User, &self.key, vec![self.user.clone()], now)
        };
        self.certificate = Some(SshCertificate::issue(&authority, &always, entropy));
        self.user_authority = Some(authority.public());
    }

    /// What an apiserver's tunneler is told.
    fn tunneler(&self, kubelet: &config::KubeletConfig) -> SshConfig {
        let everywhere = kubelet.address.is_unspecified() || kubelet.address.is_loopback();
        SshConfig {
            user: self.user.clone(),
            key: self.key.clone(),
            certificate: self.certificate.clone(),
            host_keys: self.host_keys.clone(),
            unknown_node: match self.settings.unknown_node {
                SshUnknownNode::DangerRandom => UnknownNode::DangerRandom,
                SshUnknownNode::Fail => UnknownNode::Fail,
            },
            address_types: self.settings.address_types.clone(),
            port: self.settings.port,
            health_port: kubelet.read_only_port.filter(|_| everywhere),
        }
    }

    /// The user and the key that nodes let in.
    pub(crate) fn login(&self) -> (String, SshKey) {
        (self.user.clone(), self.key.clone())
    }

    /// What a node's SSH server is told.
    fn node(&self, place: &NodePlace, config: &config::ClusterConfig) -> Option<SshNodeConfig> {
        let host = self.hosts.get(&place.machine.name)?.clone();
        Some(SshNodeConfig {
            listen: SocketAddr::new(place.machine.address, self.settings.port),
            host_key: host.key,
            host_certificate: host.certificate,
            user: self.user.clone(),
            authorized_keys: if self.user_authority.is_some() { Vec::new() } else { vec![self.key.public()] },
            user_authorities: self.user_authority.iter().cloned().collect(),
            forwarding: match self.settings.unknown_node {
                // Who sends connections through any node needs nodes that send them on anywhere.
                SshUnknownNode::DangerRandom => Forwarding::DangerAnywhere,
                SshUnknownNode::Fail => Forwarding::To(targets(place, config)),
            },
        })
    }
}

/// The node's kubelet, its web server on the node's own network, its pods, and services.
fn targets(place: &NodePlace, config: &config::ClusterConfig) -> NodeTargets {
    let own = [Some(config.kubelet.port), config.kubelet.read_only_port];
    let web = [Some(WEB_HTTP_PORT), Some(WEB_HTTPS_PORT)];
    NodeTargets {
        kubelet_ports: own.into_iter().chain(web).flatten().collect(),
        pods: vec![place.pod_cidr],
        services: vec![config.apiserver.service_cluster_ip_range],
    }
}

fn claim(kind: SshCertificateKind, key: &SshKey, principals: Vec<String>, now: Timestamp) -> SshClaim {
    let until = now.saturating_add((CERTIFICATE_DAYS * 24).hours()).unwrap_or(Timestamp::MAX);
    let key_id = principals.first().cloned().unwrap_or_default();
    SshClaim { kind, key: key.public(), key_id, principals, from: now, until, sources: Vec::new() }
}

impl Setup<'_> {
    /// An apiserver's tunnels, where the configuration has any.
    pub(crate) fn tunneler(&mut self, host: &HostRef) -> Option<Arc<SshTunneler>> {
        let config = self.ssh.as_ref()?.tunneler(&self.config.kubelet);
        let client = self.client("system:apiserver", &["system:masters"]);
        Some(SshTunneler::start(host.clone(), config, client))
    }

    /// A node's SSH server, where the configuration has tunnels.
    pub(crate) fn ssh_config(&self, place: &NodePlace) -> Option<SshNodeConfig> {
        self.ssh.as_ref()?.node(place, self.config)
    }
}
