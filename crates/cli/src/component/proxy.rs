//! `ravelin proxy`.

use super::access::Access;
use super::given::{Given, text};
use super::kubelet::node_name;
use super::{cannot_listen, observer};
use crate::console::Console;
use crate::files::Refused;
use crate::outcome::Status;
use crate::up::stop::Stop;
use ravelin_api::yaml_text as yaml;
use ravelin_host::HostRef;
use ravelin_host::os::{Carried, Computer, carrying, computer, own_address_towards};
use ravelin_proxy::{PortsConfig, Proxy, ProxyPorts};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

/// What it answers when asked how it carries a service's packets: as kube-proxy once did everywhere.
const MODE: &str = "userspace";

pub(super) async fn run(given: &Given, mut stop: Stop, console: &mut Console<'_>) -> Result<Status, Refused> {
    let options = &given.config.proxy;
    let kubeconfig = options.kubeconfig.as_ref().ok_or_else(|| {
        Refused::usage("--kubeconfig (clientConnection.kubeconfig) is missing: where is the apiserver?")
    })?;
    let access = Access::load("--kubeconfig", Path::new(kubeconfig.as_str())).await?;
    let (host, carried) = host(given, &access).await?;
    let client = access.client("--kubeconfig", &host).await?;
    let apiserver = client.server;
    let proxy = Proxy::start(host.clone(), client);
    let ports = PortsConfig { healthz: options.healthz, metrics: options.metrics, mode: MODE };
    let at = |port: Option<SocketAddr>| port.map_or("nowhere".to_owned(), |at| format!("http://{at}"));
    let (healthz, metrics) = (at(ports.healthz), at(ports.metrics));
    let opened = ProxyPorts::open(&host, &proxy, ports).await;
    let opened = opened.map_err(|error| cannot_listen(&format!("{healthz} or {metrics}"), &error))?;
    console.say(&format!(
        "service proxy of {}: apiserver at {apiserver}, health at {healthz}, metrics at {metrics}",
        host.name()
    ));
    let signal = tokio::select! {
        biased;
        signal = stop.wait() => signal,
        () = tell(carried, console) => stop.wait().await,
    };
    drop((opened, proxy));
    console.say(&format!("{signal}: stopped"));
    Ok(Status::Ran)
}

/// This computer, as the node whose proxy it is.
async fn host(given: &Given, access: &Access) -> Result<(HostRef, Carried), Refused> {
    let file = own_keys(given)?;
    let name = match file.get("hostnameOverride").filter(|_| given.flag("hostname-override").is_none()) {
        Some(name) => name.trim().to_lowercase(),
        None => node_name(given)?,
    };
    let at = |address| Computer {
        name: name.clone(),
        address,
        files: "/".into(),
        places: Vec::new(),
        observer: observer(given.verbose),
    };
    let apiserver = access.resolved(&computer(at(IpAddr::V4(Ipv4Addr::LOCALHOST)))).await?;
    let bound = given.flag("bind-address").or(file.get("bindAddress").map(String::as_str));
    let bound = bound.and_then(|bound| bound.parse::<IpAddr>().ok()).filter(|bound| !bound.is_unspecified());
    let address = match bound {
        Some(address) => address,
        None => own_address_towards(apiserver)
            .map_err(|error| Refused::failed(format!("no way to the apiserver at {apiserver}: {error}")))?,
    };
    Ok(carrying(at(address)))
}

/// The keys of the configuration file that mean nothing where a whole cluster is laid out.
fn own_keys(given: &Given) -> Result<BTreeMap<&'static str, String>, Refused> {
    let Some(path) = given.file("config") else { return Ok(BTreeMap::new()) };
    let content = text("--config", &path)?;
    let documents = yaml::documents(&content).unwrap_or_default();
    let known = ["hostnameOverride", "bindAddress"].into_iter();
    let value = |key: &str| documents.first().and_then(|document| document.text_at(&[key]));
    Ok(known
        .filter_map(|key| Some((key, value(key).filter(|value| !value.is_empty())?.to_owned())))
        .collect())
}

/// Says where each service can be reached, whenever that changes.
async fn tell(mut carried: Carried, console: &mut Console<'_>) {
    let mut told = BTreeMap::new();
    loop {
        let now = carried.sockets();
        for (address, real) in now.iter().filter(|(address, real)| told.get(*address) != Some(*real)) {
            console.say(&match address == real {
                true => format!("carrying {address}"),
                false => format!("carrying {address}, here {real}"),
            });
        }
        for address in told.keys().filter(|address| !now.contains_key(address)) {
            console.say(&format!("no longer carrying {address}"));
        }
        told = now;
        if !carried.changed().await {
            return;
        }
    }
}
