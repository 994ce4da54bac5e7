//! Where a proxied request goes (`pkg/registry/core/{node,pod,service}`: `ResourceLocation`).

use super::kubelet;
use crate::server::Server;
use crate::store::Key;
use ravelin_api::{GroupResource, Status, object};
use ravelin_host::Flaw;
use ravelin_pki::{Identity, ServerTrust};
use ravelin_transport::egress::Destination;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A server that a request may be passed on to.
pub(crate) struct Target {
    /// What is dialled.
    pub(crate) address: SocketAddr,
    /// What is behind it.
    pub(crate) destination: Destination,
    /// How the connection is secured; `None` for plain HTTP.
    pub(crate) tls: Option<Tls>,
}

/// How a connection into the cluster is secured.
pub(crate) struct Tls {
    pub(crate) trust: ServerTrust,
    pub(crate) identity: Option<Identity>,
    pub(crate) server_name: String,
}

impl Tls {
    /// The proxies do not verify: they know no name to verify (upstream: `InsecureSkipVerify`).
    fn danger_unverified(address: SocketAddr) -> Self {
        Self { trust: ServerTrust::DangerAny, identity: None, server_name: address.ip().to_string() }
    }
}

/// A node: on its kubelet's port with the kubelet's credentials, whatever the scheme says.
pub(super) async fn node(server: &Server, id: &str) -> Result<Target, Status> {
    let Some((scheme, name, port)) = split(id) else {
        return Err(Status::bad_request(format!("invalid node request {id:?}")));
    };
    let kubelet = kubelet::connection(server, name)?;
    let ip = kubelet.resolve(server).await.map_err(|failure| failure.status())?;
    let of_kubelet = port.is_empty() || port == kubelet.port.to_string();
    // CVE-2022-3294: only other ports than the kubelet's were looked at.
    if !of_kubelet || !server.host.flaws().has(Flaw::ApiserverProxiesToAnyAddress) {
        proxyable(ip)?;
    }
    if of_kubelet {
        return Ok(Target {
            address: SocketAddr::new(ip, kubelet.port),
            destination: Destination::Kubelet { node: name.to_owned() },
            tls: Some(kubelet.tls(server)),
        });
    }
    let address = SocketAddr::new(ip, port_number(port)?);
    let tls = (scheme == "https").then(|| Tls::danger_unverified(address));
    Ok(Target { address, destination: Destination::Node { node: name.to_owned() }, tls })
}

/// A pod at its own address.
pub(super) fn pod(server: &Server, namespace: &str, id: &str) -> Result<Target, Status> {
    let Some((scheme, name, port)) = split(id) else {
        return Err(Status::bad_request(format!("invalid pod request {id:?}")));
    };
    let resource = GroupResource { group: "", resource: "pods" };
    let pod = server.reading().core("pods", namespace, name);
    let pod = pod.ok_or_else(|| Status::not_found(resource, name))?;
    let ip = pod_ips(&pod).first().copied().ok_or_else(not_allowed)?;
    proxyable(ip)?;
    let port = match port {
        "" => first_port(&pod).unwrap_or(if scheme == "https" { 443 } else { 80 }),
        port => port_number(port)?,
    };
    let address = SocketAddr::new(ip, port);
    let destination =
        Destination::Pod { namespace: namespace.to_owned(), name: name.to_owned(), node: node_of(&pod) };
    let tls = (scheme == "https").then(|| Tls::danger_unverified(address));
    Ok(Target { address, destination, tls })
}

/// A service, at one of its ready pods.
pub(super) fn service(server: &Server, namespace: &str, id: &str) -> Result<Target, Status> {
    let Some((scheme, name, port)) = split(id) else {
        return Err(Status::bad_request(format!("invalid service request {id:?}")));
    };
    let port_name = service_port(server, (namespace, name), port)?;
    let slices = slices_of(server, namespace, name);
    if slices.is_empty() {
        return Err(Status::not_found(GroupResource { group: "", resource: "services" }, name));
    }
    let mut choices = ready_endpoints(server, &slices, &port_name);
    if choices.is_empty() {
        return Err(Status::service_unavailable(format!("no endpoints available for service {name:?}")));
    }
    let count = u64::try_from(choices.len()).expect("lengths fit into 64 bits");
    let chosen = server.host.entropy("apiserver/endpoint").below(count);
    let (address, node) = choices.swap_remove(usize::try_from(chosen).expect("below a length"));
    proxyable(address.ip())?;
    let destination = Destination::Service { namespace: namespace.to_owned(), name: name.to_owned(), node };
    let tls = (scheme == "https").then(|| Tls::danger_unverified(address));
    Ok(Target { address, destination, tls })
}

/// `name`, `name:port` or `scheme:name:port` (`SplitSchemeNamePort`).
fn split(id: &str) -> Option<(&str, &str, &str)> {
    let parts: Vec<&str> = id.split(':').collect();
    let (scheme, name, port) = match parts.as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme @ ("" | "http" | "https"), name, port] => (*scheme, *name, *port),
        _ => return None,
    };
    (!name.is_empty()).then_some((scheme, name, port))
}

fn port_number(port: &str) -> Result<u16, Status> {
    port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
        Status::service_unavailable(format!(
            "error trying to reach service: dial tcp: address {port}: invalid port"
        ))
    })
}

fn not_allowed() -> Status {
    Status::bad_request("address not allowed")
}

/// Refuses addresses that would lead to the server itself or its link
/// (`proxyutil.IsProxyableIP`: nothing but global unicast).
fn proxyable(ip: IpAddr) -> Result<(), Status> {
    let local = match ip.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let ip = ip.to_canonical();
    if local || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() {
        return Err(not_allowed());
    }
    Ok(())
}

fn pod_ips(pod: &Value) -> Vec<IpAddr> {
    let listed: Vec<IpAddr> = object::list(pod, "status.podIPs")
        .iter()
        .filter_map(|ip| object::text(ip, "ip").parse().ok())
        .collect();
    if listed.is_empty() { object::text(pod, "status.podIP").parse().into_iter().collect() } else { listed }
}

fn first_port(pod: &Value) -> Option<u16> {
    let containers = object::list(pod, "spec.containers").iter();
    let ports = containers.flat_map(|container| object::list(container, "ports"));
    let port = ports.filter_map(|port| port.get("containerPort").and_then(Value::as_u64)).next()?;
    u16::try_from(port).ok()
}

/// The name of the port that was asked for: a number is the service's own.
fn service_port(server: &Server, (namespace, name): (&str, &str), port: &str) -> Result<String, Status> {
    let Ok(number) = port.parse::<u64>() else { return Ok(port.to_owned()) };
    let service = server.reading().core("services", namespace, name);
    let service =
        service.ok_or_else(|| Status::not_found(GroupResource { group: "", resource: "services" }, name))?;
    let ports = object::list(&service, "spec.ports");
    let found = ports.iter().find(|port| port.get("port").and_then(Value::as_u64) == Some(number));
    found.map(|port| object::text(port, "name").to_owned()).ok_or_else(|| {
        Status::service_unavailable(format!("no service port {number} found for service {name:?}"))
    })
}

fn slices_of(server: &Server, namespace: &str, service: &str) -> Vec<Arc<Value>> {
    let (slices, _) = server.reading().list("endpointslices.discovery.k8s.io", Some(namespace));
    let of_service =
        |slice: &Arc<Value>| object::labels(slice).get("kubernetes.io/service-name") == Some(&service);
    slices.into_iter().filter(of_service).collect()
}

/// The node that a pod was bound to.
fn node_of(pod: &Value) -> Option<String> {
    Some(object::text(pod, "spec.nodeName")).filter(|node| !node.is_empty()).map(str::to_owned)
}

/// Every ready endpoint of the port that really is the pod it says (`isValidAddress`), and its node:
/// who may write slices may not send the server's requests anywhere else.
fn ready_endpoints(
    server: &Server,
    slices: &[Arc<Value>],
    port_name: &str,
) -> Vec<(SocketAddr, Option<String>)> {
    let mut found = Vec::new();
    for slice in slices {
        let ports = object::list(slice, "ports").iter();
        let port = ports.filter(|port| object::text(port, "name") == port_name).find_map(|port| {
            u16::try_from(port.get("port").and_then(Value::as_u64)?).ok().filter(|port| *port != 0)
        });
        let Some(port) = port else { continue };
        for endpoint in object::list(slice, "endpoints") {
            let ready = object::flag(endpoint, "conditions.ready").unwrap_or(true);
            let addresses = object::texts(endpoint, "addresses").into_iter();
            let addresses = addresses.filter_map(|address| address.parse::<IpAddr>().ok()).filter(|_| ready);
            let Some(pod) = pod_of(server, slice, endpoint) else { continue };
            let of_pod = addresses.filter(|ip| pod_ips(&pod).contains(ip));
            found.extend(of_pod.map(|ip| (SocketAddr::new(ip, port), node_of(&pod))));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The pod that an endpoint names.
fn pod_of(server: &Server, slice: &Value, endpoint: &Value) -> Option<Arc<Value>> {
    let reference = endpoint.get("targetRef")?;
    let namespace = object::namespace(slice);
    if object::kind(reference) != "Pod" || object::text(reference, "namespace") != namespace {
        return None;
    }
    server.reading().get(&Key::namespaced("pods", namespace, object::text(reference, "name")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_global_unicast_addresses_are_proxied_to() {
        for (address, allowed) in [
            ("10.0.0.1", true),
            ("203.0.113.9", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("127.9.9.9", false),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
            ("255.255.255.255", false),
            ("224.0.0.1", false),
            ("::1", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("fe80::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(proxyable(address.parse().unwrap()).is_ok(), allowed, "{address}");
        }
    }

    #[test]
    fn names_are_split_as_kubernetes_splits_them() {
        for (id, expected) in [
            ("n", Some(("", "n", ""))),
            ("n:1", Some(("", "n", "1"))),
            ("https:n:1", Some(("https", "n", "1"))),
            ("http:n:", Some(("http", "n", ""))),
            (":n:1", Some(("", "n", "1"))),
            ("ftp:n:1", None),
            ("HTTPS:n:1", None),
            ("", None),
            (":1", None),
            ("https:n:1:2", None),
        ] {
            assert_eq!(split(id), expected, "{id}");
        }
    }
}
