//! Who gets which credential, as installers hand them out.

use crate::material::Material;
use crate::objects::BOOTSTRAP_GROUP;
use ravelin_config::{ClusterConfig, StaticUser};
use ravelin_pki::{Identity, Subject};

/// How new nodes prove that they may ask for a certificate.
#[derive(Clone)]
pub(crate) enum Bootstrap {
    /// A token in a Secret.
    Secret(String),
    /// A token in the apiserver's token file, and whose it is.
    File(String, StaticUser),
    /// Not at all: kubelets come with their certificate.
    Nothing,
}

/// Where kubeadm keeps a joining node's bootstrap kubeconfig; it deletes the file once the node has
/// its certificate (`cmd/kubeadm/app/cmd/phases/join/kubelet.go`). Nobody else does.
const KUBEADM_BOOTSTRAP: &str = "/etc/kubernetes/bootstrap-kubelet.conf";

/// Does the bootstrap token stay on the disk of a node that has joined?
pub(crate) fn bootstrap_token_stays(config: &ClusterConfig) -> bool {
    config.kubelet.bootstrap_kubeconfig.as_ref().is_some_and(|file| file.as_str() != KUBEADM_BOOTSTRAP)
}

impl Bootstrap {
    pub(crate) fn of(config: &ClusterConfig, material: &mut Material) -> Self {
        if config.kubelet.bootstrap_kubeconfig.is_none() {
            return Self::Nothing;
        }
        let entropy = material.entropy();
        let token = format!("{}.{}", entropy.word(6), entropy.word(16));
        match (config.apiserver.enable_bootstrap_token_auth, &config.apiserver.token_auth_file) {
            (false, Some(_)) => match bootstrapper(config) {
                Some(user) => Self::File(token, user),
                None => Self::Secret(token),
            },
            // With neither, the token opens nothing, and the baseline will show it.
            _ => Self::Secret(token),
        }
    }

    pub(crate) fn token(&self) -> Option<&str> {
        match self {
            Self::Secret(token) | Self::File(token, _) => Some(token),
            Self::Nothing => None,
        }
    }

    /// The content of the apiserver's token file: of its users, only who bootstraps nodes has a token
    /// that anybody holds.
    pub(crate) fn file(&self, config: &ClusterConfig) -> Option<String> {
        config.apiserver.token_auth_file.as_ref()?;
        Some(match self {
            Self::File(token, user) => {
                let StaticUser { name, uid, groups } = user;
                format!("{token},{name},{uid},\"{}\"\n", groups.join(","))
            }
            _ => String::new(),
        })
    }

    /// What the token's user is called at the apiserver.
    pub(crate) fn subject(&self) -> Subject {
        match self {
            Self::Secret(token) => {
                let id = token.split('.').next().unwrap_or_default();
                Subject::new(format!("system:bootstrap:{id}"), &["system:bootstrappers", BOOTSTRAP_GROUP])
            }
            Self::File(_, user) => {
                let groups: Vec<&str> = user.groups.iter().map(String::as_str).collect();
                Subject::new(user.name.clone(), &groups)
            }
            Self::Nothing => Subject::new("kubelet-bootstrap", &["system:bootstrappers"]),
        }
    }
}

/// Who bootstraps nodes, of the token file's users: whoever is called so, or is in a group of that
/// name. Where the file is not in the input, as the documentation of TLS bootstrapping has it.
fn bootstrapper(config: &ClusterConfig) -> Option<StaticUser> {
    let is_it = |user: &&StaticUser| {
        let mut groups = user.groups.iter();
        user.name == "kubelet-bootstrap" || groups.any(|group| group.starts_with("system:bootstrappers"))
    };
    let documented = StaticUser {
        name: "kubelet-bootstrap".to_owned(),
        uid: "10001".to_owned(),
        groups: vec!["system:bootstrappers".to_owned()],
    };
    match &config.apiserver.token_auth_users {
        Some(users) => users.iter().find(is_it).cloned(),
        None => Some(documented),
    }
}

/// What the apiserver presents to kubelets: kubeadm's, whose group stopped being `system:masters`
/// with 1.29 (kubernetes/kubeadm issue 2414).
pub(crate) fn kubelet_client(config: &ClusterConfig, material: &mut Material) -> Option<Identity> {
    config.apiserver.kubelet.client.as_ref()?;
    let (name, group) = kubelet_client_name(config);
    Some(material.client(name, &[group]))
}

pub(crate) fn kubelet_client_name(config: &ClusterConfig) -> (&'static str, &'static str) {
    let modern = config.version.major_minor() >= (1, 29);
    ("kube-apiserver-kubelet-client", if modern { "kubeadm:cluster-admins" } else { "system:masters" })
}

/// Certificates of the authority whose word about others the apiserver takes.
#[derive(Clone, Default)]
pub(crate) struct FrontProxies {
    /// One with an allowed name.
    pub(crate) allowed: Option<Identity>,
    /// One with another name, where the name matters.
    pub(crate) other: Option<Identity>,
}

impl FrontProxies {
    pub(crate) fn of(config: &ClusterConfig, material: &mut Material) -> Self {
        let Some(header) = &config.apiserver.request_header else { return Self::default() };
        let file = header.client_ca_file.as_str();
        let name = header.allowed_names.first().map_or("front-proxy-client", String::as_str);
        let other = header.allowed_names.iter().all(|name| name != OTHER_FRONT_PROXY);
        let other = other && !header.allowed_names.is_empty();
        Self {
            allowed: Some(material.client_of(file, name)),
            other: other.then(|| material.client_of(file, OTHER_FRONT_PROXY)),
        }
    }
}

/// A name that nobody would put among the allowed ones: a client of an aggregated API server.
const OTHER_FRONT_PROXY: &str = "another-aggregated-client";
