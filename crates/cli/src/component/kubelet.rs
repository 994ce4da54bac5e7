//! `ravelin kubelet`.

use super::access::Access;
use super::given::Given;
use super::material;
use super::{cannot_listen, observer};
use crate::console::Console;
use crate::files::Refused;
use crate::outcome::Status;
use crate::processes::{self, RuntimeKind};
use crate::up::stop::Stop;
use ravelin_cluster::KubeletParts;
use ravelin_config::{Component, FileName, FilePair, KubeletServing};
use ravelin_host::HostRef;
use ravelin_host::os::{Computer, computer, own_address_towards};
use ravelin_kubelet::{ApiserverTarget, Kubelet, KubeletConfig, Running, Serving};
use ravelin_pki::ServerTrust;
use ravelin_runtime::{Builtin, Processes, Runtime};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where a kubelet keeps its files, and its certificates (`--root-dir`, `--cert-dir`).
const ROOT: &str = "/var/lib/kubelet";
const CERTIFICATES: &str = "/var/lib/kubelet/pki";
/// What it serves as the node's log folder; of this computer's own nothing is shown.
const LOGS: &str = "/var/log";
/// How often it is looked whether it has joined.
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn run(given: &Given, mut stop: Stop, console: &mut Console<'_>) -> Result<Status, Refused> {
    let kubeconfig = given.file("kubeconfig");
    let access = access(given, kubeconfig.as_deref()).await?;
    let node_name = node_name(given)?;
    let certificates = given.file("cert-dir").unwrap_or_else(|| {
        given.file("root-dir").map_or_else(|| CERTIFICATES.into(), |root| root.join("pki"))
    });
    let (host, apiserver) = host(given, (&node_name, &certificates), &access).await?;
    let mut config = config(given, (&host, node_name.clone()), (&access, apiserver))?;
    config.events = true;
    config.runtime = runtime(given, console)?;
    let port = SocketAddr::new(config.address, config.port);
    let running =
        Kubelet::start(host, config).await.map_err(|error| cannot_listen(&format!("{port}"), &error))?;
    console.say(&format!("kubelet of {node_name}: endpoint at https://{port}, apiserver at {apiserver}"));
    let written = Identity { kubeconfig, certificates, access: &access, apiserver };
    let signal = tokio::select! {
        biased;
        signal = stop.wait() => signal,
        () = follow(&running, &written, console) => stop.wait().await,
    };
    console.say(&format!("{signal}: stopped"));
    Ok(Status::Ran)
}

/// What runs its pods.
fn runtime(given: &Given, console: &mut Console<'_>) -> Result<Arc<dyn Runtime>, Refused> {
    let builtin = Arc::new(Builtin::with(processes::RETENTION));
    processes::may_run(given.runtime, given.processes_as_root)?;
    if given.runtime == RuntimeKind::Builtin {
        return Ok(builtin);
    }
    processes::warn(console);
    let programs = processes::programs(&root(given))?;
    Ok(Arc::new(Processes::new(builtin, programs)))
}

/// Where its files are.
fn root(given: &Given) -> PathBuf {
    given.file("root-dir").unwrap_or_else(|| ROOT.into())
}

/// How the apiserver is reached: by the kubeconfig, or where there is none yet by the bootstrap
/// kubeconfig.
async fn access(given: &Given, kubeconfig: Option<&Path>) -> Result<Access, Refused> {
    match (kubeconfig.filter(|file| file.exists()), given.file("bootstrap-kubeconfig")) {
        (Some(file), _) => {
            let access = Access::load("--kubeconfig", file).await?;
            if access.identity.is_none() {
                let file = file.display();
                return Err(Refused::usage(format!(
                    "--kubeconfig: {file}: a kubelet needs a client certificate; to ask for one, remove this file \
                     and give --bootstrap-kubeconfig"
                )));
            }
            Ok(access)
        }
        (None, Some(file)) => {
            let access = Access::load("--bootstrap-kubeconfig", &file).await?;
            if access.token.is_none() {
                let file = file.display();
                return Err(Refused::usage(format!(
                    "--bootstrap-kubeconfig: {file}: accepted: a user with a token"
                )));
            }
            Ok(access)
        }
        (None, None) => Err(Refused::usage(match kubeconfig {
            Some(file) => format!(
                "--kubeconfig: {}: there is no such file; give --bootstrap-kubeconfig too, and it is made",
                file.display()
            ),
            None => "--kubeconfig is missing: a kubelet without an apiserver cannot be run".to_owned(),
        })),
    }
}

/// The node's name: `--hostname-override`, or this computer's.
pub(super) fn node_name(given: &Given) -> Result<String, Refused> {
    if let Some(name) = given.flag("hostname-override") {
        return Ok(name.trim().to_lowercase());
    }
    let known = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let name = known.iter().find_map(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    match name.trim() {
        "" => Err(Refused::usage("this computer's name is not known; give --hostname-override")),
        name => Ok(name.to_lowercase()),
    }
}

/// This computer as the kubelet's, and the apiserver's address.
async fn host(
    given: &Given,
    (name, certificates): (&str, &Path),
    access: &Access,
) -> Result<(HostRef, SocketAddr), Refused> {
    let at = |address: IpAddr| {
        let root = root(given);
        let places = vec![
            (CERTIFICATES.to_owned(), certificates.to_owned()),
            (ROOT.to_owned(), root.clone()),
            (LOGS.to_owned(), root.join("logs")),
        ];
        let (name, files) = (name.to_owned(), root);
        computer(Computer { name, address, files, places, observer: observer(given.verbose) })
    };
    let localhost = IpAddr::from([127, 0, 0, 1]);
    let apiserver = access.resolved(&at(localhost)).await?;
    let address = match given.flag("node-ip") {
        Some(ip) => {
            ip.parse().map_err(|_| Refused::usage(format!("--node-ip: {ip}: accepted: one IP address")))?
        }
        None => own_address_towards(apiserver)
            .map_err(|error| Refused::failed(format!("no way to the apiserver at {apiserver}: {error}")))?,
    };
    Ok((at(address), apiserver))
}

fn config(
    given: &Given,
    (host, node_name): (&HostRef, String),
    (access, apiserver): (&Access, SocketAddr),
) -> Result<KubeletConfig, Refused> {
    let options = &given.config.kubelet;
    let parts = KubeletParts {
        node_name,
        address: host.addresses()[0],
        apiserver: ApiserverTarget {
            address: apiserver,
            server_name: access.server_name.clone(),
            trust: access.trust.clone(),
        },
        bootstrap_token: access.identity.is_none().then(|| access.token.clone()).flatten(),
        client_identity: access.identity.clone(),
        serving: match &options.serving {
            KubeletServing::SelfSigned => Serving::SelfSigned,
            KubeletServing::Bootstrap => Serving::Bootstrap,
            KubeletServing::Files(pair) => {
                let named =
                    |keys, pair: &FileName| given.named(Component::Kubelet, keys).unwrap_or(pair.clone());
                let cert = named(&["--tls-cert-file", "tlsCertFile"], &pair.cert);
                let key = named(&["--tls-private-key-file", "tlsPrivateKeyFile"], &pair.key);
                let pair = FilePair { cert, key };
                Serving::Given(material::identity(("tlsCertFile", "tlsPrivateKeyFile"), &pair)?)
            }
        },
        client_ca: material::optional_anchors(
            "clientCAFile",
            given
                .named(Component::Kubelet, &["--client-ca-file", "authentication.x509.clientCAFile"])
                .as_ref(),
        )?,
        pod_cidr: options.pod_cidr,
    };
    let mut config = ravelin_cluster::kubelet(&given.config, parts);
    config.address = options.address;
    for label in given.flag("node-labels").unwrap_or_default().split(',').filter(|label| !label.is_empty()) {
        let wrong = || Refused::usage(format!("--node-labels: {label}: accepted: key=value,…"));
        let (key, value) = label.split_once('=').ok_or_else(wrong)?;
        config.labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(config)
}

/// Where a new identity is written down.
struct Identity<'a> {
    kubeconfig: Option<PathBuf>,
    certificates: PathBuf,
    access: &'a Access,
    apiserver: SocketAddr,
}

/// Says how it goes until the node is registered; writes the kubeconfig of a node that has joined.
async fn follow(running: &Running, written: &Identity<'_>, console: &mut Console<'_>) {
    let (mut told, mut is_written) = (String::new(), false);
    loop {
        let is_registered = running.is_registered();
        if !is_written && running.client_config().is_some() {
            is_written = true;
            if let Err(error) = written.write() {
                console.say(&format!("the kubeconfig could not be written: {error}"));
            }
        }
        if is_registered {
            break;
        }
        let trouble = running.trouble().unwrap_or_default();
        if trouble != told {
            console.say(&ravelin_report::harmless(&format!("not joined yet: {trouble}")));
            told = trouble;
        }
        tokio::time::sleep(LOOK).await;
    }
    console.say("the node is registered");
}

impl Identity<'_> {
    /// Writes the kubeconfig as the kubelet's TLS bootstrap does (`writeKubeconfigFromBootstrapping` in
    /// `pkg/kubelet/certificate/bootstrap/bootstrap.go`); one that is there stays.
    fn write(&self) -> io::Result<()> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let Some(path) = self.kubeconfig.as_ref().filter(|path| !path.exists()) else { return Ok(()) };
        let current = std::path::absolute(self.certificates.join("kubelet-client-current.pem"))?;
        let current = current.display().to_string();
        let mut cluster = serde_json::json!({
            "server": format!("https://{}", self.apiserver), "tls-server-name": self.access.server_name,
        });
        match &self.access.trust {
            ServerTrust::Anchors(anchors) => {
                use base64::Engine;
                let encoded = base64::engine::general_purpose::STANDARD.encode(anchors.to_pem());
                cluster["certificate-authority-data"] = encoded.into();
            }
            _ => cluster["insecure-skip-tls-verify"] = true.into(),
        }
        let user = serde_json::json!({"client-certificate": current, "client-key": current});
        let context =
            serde_json::json!({"cluster": "default-cluster", "user": "default-auth", "namespace": "default"});
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "default-context",
            "clusters": [{"name": "default-cluster", "cluster": cluster}],
            "users": [{"name": "default-auth", "user": user}],
            "contexts": [{"name": "default-context", "context": context}],
        });
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(ravelin_api::to_yaml(&config).as_bytes())
    }
}
