//! The certificates and keys behind the file names of a configuration.
//!
//! No file is read. Options that name the same file share what is made for it; options that name
//! different files do not. What no file says follows the installers, and is listed by `config`.

use jiff::{Timestamp, ToSpan};
use ravelin_config::{ClusterConfig, FileName, SigningFiles};
use ravelin_controllers::Signers;
use ravelin_entropy::Entropy;
use ravelin_pki::{Authority, Identity, KeyPair, Profile, San, ServerTrust, Subject, TrustAnchors, Usage};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The file name that stands for the cluster's CA where no option names one.
const CLUSTER_CA: &str = "/etc/kubernetes/pki/ca.crt";

/// How long leaf certificates last, in days (kubeadm's and the signer's default).
const LEAF_DAYS: i64 = 365;
/// How long authorities last, in days (kubeadm's default).
const AUTHORITY_DAYS: i64 = 3650;

/// Everything that the configuration's file names stand for.
pub struct Material {
    authorities: BTreeMap<String, Arc<Authority>>,
    keys: BTreeMap<String, Arc<KeyPair>>,
    names: CaNames,
    entropy: Entropy,
    now: Timestamp,
}

/// Which file each role's CA is named by.
#[derive(Clone, Debug)]
struct CaNames {
    clients: String,
    servers: String,
    /// Of clients that are no kubelets.
    client_signer: Option<String>,
    kubelet_client_signer: Option<String>,
    kubelet_serving_signer: Option<String>,
    kubelet_verifier: Option<String>,
    kubelet_clients: Option<String>,
}

impl Material {
    /// The material of a configuration, made at `now`.
    pub fn new(config: &ClusterConfig, now: Timestamp, entropy: Entropy) -> Self {
        let name = |file: &FileName| file.as_str().to_owned();
        let clients = config.apiserver.client_ca_file.as_ref().map(name);
        let manager = &config.controller_manager;
        let signing = |files: &Option<SigningFiles>| files.as_ref().map(|files| name(&files.cert));
        let signer = signing(&manager.cluster_signing);
        let servers = manager.root_ca_file.as_ref().map(name);
        let fallback = || clients.clone().unwrap_or_else(|| CLUSTER_CA.to_owned());
        let names = CaNames {
            servers: servers.unwrap_or_else(fallback),
            kubelet_client_signer: signing(&manager.kubelet_client_signing).or_else(|| signer.clone()),
            kubelet_serving_signer: signing(&manager.kubelet_serving_signing).or_else(|| signer.clone()),
            client_signer: signing(&manager.client_signing).or(signer),
            kubelet_verifier: config.apiserver.kubelet.certificate_authority.as_ref().map(name),
            kubelet_clients: config.kubelet.client_ca_file.as_ref().map(name),
            clients: fallback(),
        };
        Self { authorities: BTreeMap::new(), keys: BTreeMap::new(), names, entropy, now }
    }

    /// The authority that a file name stands for.
    pub fn authority(&mut self, file: &str) -> Arc<Authority> {
        if let Some(found) = self.authorities.get(file) {
            return Arc::clone(found);
        }
        let until = self.now.saturating_add((AUTHORITY_DAYS * 24).hours()).unwrap_or(Timestamp::MAX);
        let key = KeyPair::generate(&mut self.entropy);
        let made = Arc::new(Authority::new(common_name(file), key, self.now, until, &mut self.entropy));
        self.authorities.insert(file.to_owned(), Arc::clone(&made));
        made
    }

    /// What trusts the authority of a file name.
    pub fn anchors(&mut self, file: &str) -> TrustAnchors {
        TrustAnchors::new([self.authority(file).certificate()]).expect("our own certificate can be read")
    }

    /// Whom the apiserver believes client certificates of, if anybody.
    pub fn client_anchors(&mut self, config: &ClusterConfig) -> Option<TrustAnchors> {
        let file = config.apiserver.client_ca_file.as_ref()?.as_str().to_owned();
        Some(self.anchors(&file))
    }

    /// Whom kubelets believe client certificates of, if anybody.
    pub fn kubelet_client_anchors(&mut self) -> Option<TrustAnchors> {
        let file = self.names.kubelet_clients.clone()?;
        Some(self.anchors(&file))
    }

    /// What clients of the apiserver trust.
    pub fn server_anchors(&mut self) -> TrustAnchors {
        let file = self.names.servers.clone();
        self.anchors(&file)
    }

    /// The file of the authority that clients of the apiserver trust.
    pub fn servers_file(&self) -> &str {
        &self.names.servers
    }

    /// The common name of the authority that a file name stands for.
    pub fn name_of(file: &str) -> &str {
        common_name(file)
    }

    /// The common name of the authority that clients of the apiserver trust.
    pub fn servers_name(&self) -> &str {
        common_name(&self.names.servers)
    }

    /// The common name of the authority that kubelets are verified by, or would be.
    pub fn kubelets_name(&self) -> &str {
        common_name(self.names.kubelet_verifier.as_ref().unwrap_or(&self.names.servers))
    }

    /// How the apiserver judges kubelets.
    pub fn kubelet_trust(&mut self) -> ServerTrust {
        match self.names.kubelet_verifier.clone() {
            Some(file) => ServerTrust::Anchors(self.anchors(&file)),
            None => ServerTrust::DangerAny,
        }
    }

    /// The authorities that sign certificate signing requests, where there are any.
    pub fn signers(&mut self) -> Signers {
        let names = self.names.clone();
        let mut authority = |file: Option<String>| file.map(|file| self.authority(&file));
        Signers {
            apiserver_client: authority(names.client_signer),
            kubelet_client: authority(names.kubelet_client_signer),
            kubelet_serving: authority(names.kubelet_serving_signer),
        }
    }

    /// A client's certificate, as the installer issues them.
    pub fn client(&mut self, common_name: &str, organizations: &[&str]) -> Identity {
        let file = self.names.clients.clone();
        let profile = self.profile(Subject::new(common_name, organizations), vec![], Usage::Client);
        self.authority(&file).identity(&profile, &mut self.entropy)
    }

    /// A client's certificate of the authority that a file name stands for.
    pub fn client_of(&mut self, file: &str, common_name: &str) -> Identity {
        let profile = self.profile(Subject::new(common_name, &[]), vec![], Usage::Client);
        self.authority(file).identity(&profile, &mut self.entropy)
    }

    /// The apiserver's own certificate.
    pub fn apiserver(&mut self, sans: Vec<San>) -> Identity {
        let file = self.names.servers.clone();
        let profile = self.profile(Subject::new("kube-apiserver", &[]), sans, Usage::Server);
        self.authority(&file).identity(&profile, &mut self.entropy)
    }

    /// The serving certificate of another component of the control plane.
    pub fn component(&mut self, name: &str, sans: Vec<San>) -> Identity {
        let file = self.names.servers.clone();
        let profile = self.profile(Subject::new(name, &[]), sans, Usage::Server);
        self.authority(&file).identity(&profile, &mut self.entropy)
    }

    /// A server's certificate of the authority that a file name stands for.
    pub fn server_of(&mut self, file: &str, common_name: &str, sans: Vec<San>) -> Identity {
        let profile = self.profile(Subject::new(common_name, &[]), sans, Usage::Server);
        self.authority(file).identity(&profile, &mut self.entropy)
    }

    /// A kubelet's serving certificate that somebody put beside it: from the CA that its verifier
    /// names, or the servers' CA where nobody verifies it.
    pub fn kubelet_serving(&mut self, node: &str, sans: Vec<San>) -> Identity {
        let file = self.names.kubelet_verifier.clone().unwrap_or_else(|| self.names.servers.clone());
        let subject = Subject::new(format!("system:node:{node}"), &["system:nodes"]);
        let profile = self.profile(subject, sans, Usage::Server);
        self.authority(&file).identity(&profile, &mut self.entropy)
    }

    /// A kubelet's serving certificate as it is issued for a signing request; `None` where nobody
    /// signs these.
    pub fn requested_serving(&mut self, node: &str, sans: Vec<San>) -> Option<Identity> {
        let file = self.names.kubelet_serving_signer.clone()?;
        let subject = Subject::new(format!("system:node:{node}"), &["system:nodes"]);
        let profile = self.profile(subject, sans, Usage::Server);
        Some(self.authority(&file).identity(&profile, &mut self.entropy))
    }

    /// The key that a name stands for, for service account tokens.
    pub fn key(&mut self, name: &str) -> Arc<KeyPair> {
        if let Some(found) = self.keys.get(name) {
            return Arc::clone(found);
        }
        let made = Arc::new(KeyPair::generate(&mut self.entropy));
        self.keys.insert(name.to_owned(), Arc::clone(&made));
        made
    }

    /// The randomness that material is made from.
    pub fn entropy(&mut self) -> &mut Entropy {
        &mut self.entropy
    }

    fn profile(&self, subject: Subject, sans: Vec<San>, usage: Usage) -> Profile {
        let not_after = self.now.saturating_add((LEAF_DAYS * 24).hours()).unwrap_or(Timestamp::MAX);
        Profile { subject, sans, usages: vec![usage], not_before: self.now, not_after }
    }
}

/// kubeadm's name for its CA; every other file's CA is named after the file.
fn common_name(file: &str) -> &str {
    if file == CLUSTER_CA { "kubernetes" } else { file }
}
