//! `ravelin controller-manager`.

use super::access::Access;
use super::given::{Given, text};
use super::material;
use super::{cannot_listen, observer};
use crate::console::Console;
use crate::files::Refused;
use crate::outcome::Status;
use crate::up::stop::Stop;
use ravelin_client::{Client, ClientConfig, Watches};
use ravelin_config::SigningFiles;
use ravelin_controllers::{Component, ComponentPorts, Controllers, ControllersConfig, PortsConfig, Signers};
use ravelin_host::HostRef;
use ravelin_host::os::{Computer, computer};
use ravelin_pki::{Authority, ServerTrust, TrustAnchors};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn run(given: &Given, mut stop: Stop, console: &mut Console<'_>) -> Result<Status, Refused> {
    let kubeconfig = given.file("kubeconfig");
    let kubeconfig =
        kubeconfig.ok_or_else(|| Refused::usage("--kubeconfig is missing: where is the apiserver?"))?;
    let access = Access::load("--kubeconfig", &kubeconfig).await?;
    let host = computer(Computer {
        name: "controller-manager".to_owned(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        files: "/".into(),
        places: Vec::new(),
        observer: observer(given.verbose),
    });
    let client = access.client("--kubeconfig", &host).await?;
    let server = client.server;
    let config = config(given, client)?;
    let (ports, at) = ports(given, &host).await?;
    let opened = ComponentPorts::open(host.clone(), ports).await;
    let opened = opened.map_err(|error| cannot_listen(&at, &error))?;
    let running = Controllers::start_manager(host, config);
    console.say(&format!("controller manager of the apiserver at {server}; its own port: {at}"));
    let signal = stop.wait().await;
    drop((running, opened));
    console.say(&format!("{signal}: stopped"));
    Ok(Status::Ran)
}

/// Its ports, and where they are. Without `--authentication-kubeconfig` and
/// `--authorization-kubeconfig` nobody is believed and nothing allowed but the paths that always are.
async fn ports(given: &Given, host: &HostRef) -> Result<(PortsConfig, String), Refused> {
    let manager = &given.config.controller_manager;
    let listener = &manager.listener;
    let mut asked = Vec::new();
    for (flag, file) in [
        ("--authentication-kubeconfig", &listener.authentication_kubeconfig),
        ("--authorization-kubeconfig", &listener.authorization_kubeconfig),
    ] {
        asked.push(match file {
            Some(file) => {
                let access = Access::load(flag, Path::new(file.as_str())).await?;
                Some(access.client(flag, host).await?)
            }
            None => None,
        });
    }
    let authorization = asked.pop().flatten();
    let authentication = asked.pop().flatten();
    let client_ca = match &authentication {
        Some(client) if listener.client_ca_file.is_none() => published_ca(host, client).await,
        _ => material::optional_anchors("--client-ca-file", listener.client_ca_file.as_ref())?,
    };
    let identity = listener.serving.as_ref();
    let identity =
        identity.map(|pair| material::identity(("--tls-cert-file", "--tls-private-key-file"), pair));
    let secure = listener.port.map(|port| SocketAddr::new(listener.address, port));
    let insecure = manager.insecure.map(|listener| listener.address);
    let at = [secure.map(|at| format!("https://{at}")), insecure.map(|at| format!("http://{at}"))];
    let at: Vec<String> = at.into_iter().flatten().collect();
    let config = PortsConfig {
        component: Component::ControllerManager,
        secure,
        insecure,
        identity: identity.transpose()?,
        client_ca,
        authentication,
        authorization,
        always_allow_paths: listener.always_allow_paths.clone(),
        profiling: manager.profiling,
    };
    Ok((config, if at.is_empty() { "none".to_owned() } else { at.join(", ") }))
}

/// Whom the apiserver itself believes, as it says in a ConfigMap (`DynamicConfigMapCAContent` in
/// `apiserver/pkg/server/options/authentication.go`); nobody where it does not say.
async fn published_ca(host: &HostRef, client: &ClientConfig) -> Option<TrustAnchors> {
    let client = Client::new(host.clone(), client.clone());
    let map =
        client.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication").await;
    TrustAnchors::from_pem(map.ok()?["data"]["client-ca-file"].as_str()?).ok()
}

fn config(given: &Given, client: ClientConfig) -> Result<ControllersConfig, Refused> {
    let (manager, network) = (&given.config.controller_manager, &given.config.network);
    let root_ca_pem = match (given.flag("root-ca-file"), &client.trust) {
        (Some(file), _) => material::anchors("--root-ca-file", file)?.to_pem(),
        (None, ServerTrust::Anchors(anchors)) => anchors.to_pem(),
        (None, _) => String::new(),
    };
    let key = manager.service_account_private_key_file.as_ref();
    let key = key.map(|file| material::private_key("--service-account-private-key-file", file.as_str()));
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
        events: true,
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
    let private = material::private_section(&private).unwrap_or_default();
    Authority::from_pem(&certificate, private).map(Arc::new).map_err(|error| {
        let keys = material::KEYS;
        Refused::usage(format!(
            "--cluster-signing-cert-file {cert}, --cluster-signing-key-file {key}: {error}; {keys}"
        ))
    })
}
