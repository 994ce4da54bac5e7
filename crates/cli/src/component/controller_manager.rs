//! `ravelin controller-manager`.

use super::access::Access;
use super::given::{Given, text};
use super::observer;
use crate::console::Console;
use crate::files::Refused;
use crate::outcome::Status;
use crate::up::stop::Stop;
use ravelin_client::{ClientConfig, Credential, TokenSource, Watches};
use ravelin_config::SigningFiles;
use ravelin_controllers::{Controllers, ControllersConfig, Signers};
use ravelin_host::HostRef;
use ravelin_host::os::{Computer, computer};
use ravelin_pki::{Authority, ServerTrust};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long its requests may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn run(given: &Given, mut stop: Stop, console: &mut Console<'_>) -> Result<Status, Refused> {
    let kubeconfig = given.file("kubeconfig");
    let kubeconfig =
        kubeconfig.ok_or_else(|| Refused::usage("--kubeconfig is missing: where is the apiserver?"))?;
    let access = Access::read("--kubeconfig", &kubeconfig)?;
    let host = computer(Computer {
        name: "controller-manager".to_owned(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        files: "/".into(),
        places: Vec::new(),
        observer: observer(given.verbose),
    });
    let client = client(&access, &host).await?;
    let server = client.server;
    let running = Controllers::start_manager(host, config(given, client)?);
    console
        .say(&format!("controller manager of the apiserver at {server}; its own port 10257 is not served"));
    let signal = stop.wait().await;
    drop(running);
    console.say(&format!("{signal}: stopped"));
    Ok(Status::Ran)
}

async fn client(access: &Access, host: &HostRef) -> Result<ClientConfig, Refused> {
    let credential = match (&access.identity, &access.token) {
        (Some(identity), _) => Credential::Certificate(identity.clone()),
        (None, Some(token)) => Credential::Token(TokenSource::fixed(token.clone())),
        (None, None) => {
            return Err(Refused::usage("--kubeconfig: its user has neither a certificate nor a token"));
        }
    };
    Ok(ClientConfig {
        server: access.resolved(host).await?,
        server_name: access.server_name.clone(),
        trust: access.trust.clone(),
        credential,
        request_timeout: REQUEST_TIMEOUT,
    })
}

fn config(given: &Given, client: ClientConfig) -> Result<ControllersConfig, Refused> {
    let (manager, network) = (&given.config.controller_manager, &given.config.network);
    let root_ca_pem = match (given.flag("root-ca-file"), &client.trust) {
        (Some(file), _) => super::material::anchors("--root-ca-file", file)?.to_pem(),
        (None, ServerTrust::Anchors(anchors)) => anchors.to_pem(),
        (None, _) => String::new(),
    };
    let key = manager.service_account_private_key_file.as_ref();
    let key =
        key.map(|file| super::material::private_key("--service-account-private-key-file", file.as_str()));
    let duration = i64::try_from(manager.cluster_signing_duration_s).unwrap_or(i64::MAX);
    Ok(ControllersConfig {
        scheduler: client.clone(),
        controller_manager: client,
        signers: signers(given)?,
        signing_duration: jiff::SignedDuration::from_secs(duration),
        root_ca_pem,
        service_account_key: key.transpose()?.map(Arc::new),
        cluster_cidr: manager.allocate_node_cidrs.then_some(network.pod_cidr),
        node_cidrs: BTreeMap::new(),
        node_cidr_prefix: network.node_cidr_mask_size,
        node_monitor_grace: Duration::from_secs(manager.node_monitor_grace_period_s),
        disabled: manager.switched_off().into_iter().map(str::to_owned).collect(),
        watches: Watches::USUAL,
    })
}

/// Who signs what: the files of one signer, or the general ones.
fn signers(given: &Given) -> Result<Signers, Refused> {
    let manager = &given.config.controller_manager;
    let signer = |own: &Option<SigningFiles>| {
        own.as_ref().or(manager.cluster_signing.as_ref()).map(authority).transpose()
    };
    Ok(Signers {
        apiserver_client: signer(&manager.client_signing)?,
        kubelet_client: signer(&manager.kubelet_client_signing)?,
        kubelet_serving: signer(&manager.kubelet_serving_signing)?,
    })
}

fn authority(files: &SigningFiles) -> Result<Arc<Authority>, Refused> {
    let (cert, key) = (files.cert.as_str(), files.key.as_str());
    let certificate = text("--cluster-signing-cert-file", Path::new(cert))?;
    let private = text("--cluster-signing-key-file", Path::new(key))?;
    let private = super::material::private_section(&private).unwrap_or_default();
    Authority::from_pem(&certificate, private).map(Arc::new).map_err(|error| {
        let keys = super::material::KEYS;
        Refused::usage(format!(
            "--cluster-signing-cert-file {cert}, --cluster-signing-key-file {key}: {error}; {keys}"
        ))
    })
}
