//! The identity that the kubelet uses as a client of the apiserver.

use crate::bootstrap::{self, Wanted};
use crate::config::KubeletConfig;
use crate::state::Shared;
use ravelin_client::{Client, ClientConfig, Credential, TokenSource};
use ravelin_host::HostRef;
use ravelin_pki::{Identity, Subject, inspect};
use std::time::Duration;

/// Each request to the apiserver ends within this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the client certificate and its key are kept.
const CLIENT_FILE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
const CLIENT_KEY_FILE: &str = "/var/lib/kubelet/pki/kubelet-client-current.key";

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

/// The identity of a node: given, kept from before, or asked for with the bootstrap token.
pub(crate) async fn node_identity(shared: &Shared) -> Identity {
    let (host, config) = (&shared.host, &shared.config);
    if let Some(given) = &config.client_identity {
        return given.clone();
    }
    if let Some(kept) = kept(host) {
        return kept;
    }
    let credential = match &config.bootstrap_token {
        Some(token) => Credential::Token(TokenSource::fixed(token.clone())),
        None => Credential::Anonymous,
    };
    let client = Client::new(host.clone(), client_config(config, credential));
    let wanted = Wanted {
        signer: "kubernetes.io/kube-apiserver-client-kubelet",
        usages: ["digital signature", "client auth"],
        subject: node_subject(&config.node_name),
        sans: vec![],
    };
    let identity = bootstrap::obtain(&client, shared, &wanted).await;
    // A disk that refuses costs a bootstrap at the next start, nothing now.
    let _ = host.disk().write(CLIENT_FILE, identity.chain_pem().as_bytes());
    let _ = host.disk().write(CLIENT_KEY_FILE, identity.key_pem().as_bytes());
    identity
}

/// The subject of all of a node's certificates.
pub(crate) fn node_subject(node: &str) -> Subject {
    Subject::new(format!("system:node:{node}"), &["system:nodes"])
}

fn kept(host: &HostRef) -> Option<Identity> {
    let read = |name| host.disk().read(name).and_then(|content| String::from_utf8(content).ok());
    let identity = Identity::from_pem(&read(CLIENT_FILE)?, &read(CLIENT_KEY_FILE)?).ok()?;
    let certificate = inspect(identity.chain.first()?)?;
    (host.now() < certificate.not_after).then_some(identity)
}
