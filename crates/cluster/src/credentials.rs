//! Who gets which credential, as installers hand them out.

use crate::material::Material;
use crate::objects::BOOTSTRAP_GROUP;
use ravelin_config::ClusterConfig;
use ravelin_pki::{Identity, Subject};

/// How new nodes prove that they may ask for a certificate.
#[derive(Clone)]
pub(crate) enum Bootstrap {
    /// A token in a Secret.
    Secret(String),
    /// A token in the apiserver's token file.
    File(String),
    /// Not at all: kubelets come with their certificate.
    Nothing,
}

impl Bootstrap {
    pub(crate) fn of(config: &ClusterConfig, material: &mut Material) -> Self {
        if config.kubelet.bootstrap_kubeconfig.is_none() {
            return Self::Nothing;
        }
        let entropy = material.entropy();
        let token = format!("{}.{}", entropy.word(6), entropy.word(16));
        match (config.apiserver.enable_bootstrap_token_auth, &config.apiserver.token_auth_file) {
            (false, Some(_)) => Self::File(token),
            // With neither, the token opens nothing, and the baseline will show it.
            _ => Self::Secret(token),
        }
    }

    pub(crate) fn token(&self) -> Option<&str> {
        match self {
            Self::Secret(token) | Self::File(token) => Some(token),
            Self::Nothing => None,
        }
    }

    /// The content of the apiserver's token file.
    pub(crate) fn file(&self, config: &ClusterConfig) -> Option<String> {
        config.apiserver.token_auth_file.as_ref()?;
        Some(match self {
            Self::File(token) => format!("{token},kubelet-bootstrap,10001,system:bootstrappers\n"),
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
            _ => Subject::new("kubelet-bootstrap", &["system:bootstrappers"]),
        }
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
