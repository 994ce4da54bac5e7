//! The identity that the kubelet uses as a client of the apiserver.

use crate::bootstrap::{self, Wanted};
use crate::certificate_files::{self, CLIENT, kept};
use crate::config::KubeletConfig;
use crate::state::Shared;
use ravelin_client::{Client, ClientConfig, Credential, TokenSource};
use ravelin_pki::{Identity, Subject};
use std::time::Duration;

/// Each request to the apiserver ends within this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How this kubelet reaches the apiserver with a credential.
pub(crate) fn client_config(config: &KubeletConfig, credential: Credential) -> ClientConfig {
    ClientConfig {
        server: config.apiserver.address,
        server_name: config.apiserver.server_name.clone(),
        trust: config.apiserver.trust.clone(),
        credential,
        request_timeout: REQUEST_TIMEOUT,
    }
}

/// The identity of a node: kept from before, given, or asked for with the bootstrap token.
pub(crate) async fn node_identity(shared: &Shared) -> Identity {
    // What took the place of a given certificate is newer than it.
    if let Some(kept) = kept(&shared.host, CLIENT) {
        return kept;
    }
    if let Some(given) = &shared.config.client_identity {
        return given.clone();
    }
    let identity = bootstrap::obtain_first(shared, &client_wanted(&shared.config)).await;
    certificate_files::keep(shared.host.disk(), CLIENT, &identity);
    identity
}

/// A client that has no certificate yet: with the bootstrap token, if there is one.
pub(crate) fn bootstrap_client(shared: &Shared) -> Client {
    let credential = match &shared.config.bootstrap_token {
        Some(token) => Credential::Token(TokenSource::fixed(token.clone())),
        None => Credential::Anonymous,
    };
    Client::new(shared.host.clone(), client_config(&shared.config, credential))
}

/// The client certificate that a node asks for.
pub(crate) fn client_wanted(config: &KubeletConfig) -> Wanted {
    Wanted {
        signer: "kubernetes.io/kube-apiserver-client-kubelet",
        usages: ["digital signature", "client auth"],
        subject: node_subject(&config.node_name),
        sans: vec![],
    }
}

/// The subject of all of a node's certificates.
pub(crate) fn node_subject(node: &str) -> Subject {
    Subject::new(format!("system:node:{node}"), &["system:nodes"])
}
