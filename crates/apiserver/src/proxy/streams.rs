//! `pods/exec`, `pods/attach` and `pods/portforward`
//! (`pkg/registry/core/pod/rest/subresources.go`, `streamLocation` of `pkg/registry/core/pod`).
//!
//! Which container, which kubelet, and by what it is carried: passed on as it is, translated
//! ([`translate`]) or tunnelled ([`tunnel`]).

use super::kubelet::{self, Kubelet};
use super::logs;
use super::splice::{Way, splice};
use super::stream_options::{Kind, Options};
use super::target::Target;
use super::translate::{self, Translation};
use super::tunnel;
use crate::server::{Asked, Server};
use ravelin_api::{GroupResource, Status, object, percent_encode};
use ravelin_auth::{Attributes, Permit};
use ravelin_host::Flaw;
use ravelin_transport::egress::Destination;
use ravelin_transport::{Response, upgrade};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;

const PODS: GroupResource<'static> = GroupResource { group: "", resource: "pods" };

/// From when on WebSockets of version 5 are translated (`TranslateStreamCloseWebsocketRequests`).
const TRANSLATES_FROM: (u32, u32) = (1, 30);
/// From when on port-forwards are tunnelled through WebSockets (`PortForwardWebsockets`).
const TUNNELS_FROM: (u32, u32) = (1, 31);
/// From when on a WebSocket needs the right to `create` too
/// (`AuthorizePodWebsocketUpgradeCreatePermission`).
const CREATES_FROM: (u32, u32) = (1, 35);
/// From when on WebSockets are left to kubelets that declare that they take them.
const EXTENDS_FROM: (u32, u32) = (1, 36);
/// What such a node declares.
const EXTENDS: &str = "ExtendWebSocketsToKubelet";

/// Serves a stream.
pub(super) async fn serve(
    server: &Arc<Server>,
    permit: &Permit,
    asked: Asked,
    kind: Kind,
) -> Result<Response, Status> {
    let options = Options::read(kind, &asked.query)?;
    may_create(server, permit, &asked)?;
    let (kubelet, path) = location(server, &asked, (kind, &options))?;
    if !super::asks_for_upgrade(&asked.headers) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let ip = kubelet.resolve(server).await;
    let ip =
        ip.map_err(|failure| Status::plain_error(format!("error dialing backend: {}", failure.text())))?;
    let target = Target {
        address: SocketAddr::new(ip, kubelet.port),
        destination: Destination::Kubelet { node: kubelet.node.clone() },
        tls: Some(kubelet.tls(server)),
    };
    let left_to_kubelet = takes_websockets(server, &kubelet.node);
    let url = format!("https://{}{path}", kubelet.authority());
    let way = Way { target, kubelet: Some(kubelet) };
    let user = permit.user().name.clone();
    if left_to_kubelet || !upgrade::is_websocket(&asked.headers) {
        return splice(server, &user, asked, (way, path)).await;
    }
    let version = server.config.kubernetes_version;
    let offered = upgrade::websocket_protocols(&asked.headers);
    if kind == Kind::PortForward {
        let protocols = tunnel::protocols(&offered);
        if version >= TUNNELS_FROM && !protocols.is_empty() {
            return tunnel::tunnel(server, &user, asked, (way, path, protocols)).await;
        }
    } else if version >= TRANSLATES_FROM && offered.iter().any(|name| name == translate::V5) {
        return translate::translate(server, &user, asked, Translation { way, url, path, options });
    }
    splice(server, &user, asked, (way, path)).await
}

/// A WebSocket comes by GET, and does what is a POST otherwise (`ensureAuthorizedForVerb`).
fn may_create(server: &Server, permit: &Permit, asked: &Asked) -> Result<(), Status> {
    let unauthorized = server.host.flaws().has(Flaw::ApiserverSkipsAuthorizationOfUpgrades);
    if asked.info.verb == "create" || server.config.kubernetes_version < CREATES_FROM || unauthorized {
        return Ok(());
    }
    let wanted = Attributes { verb: "create".to_owned(), ..permit.attributes().clone() };
    let decided = server.authorization.authorize(server, wanted);
    decided.map(drop).map_err(|denied| Status::forbidden(PODS, &asked.info.name, &denied.reason))
}

/// The kubelet of the pod, and what it is asked for.
fn location(
    server: &Server,
    asked: &Asked,
    (kind, options): (Kind, &Options),
) -> Result<(Kubelet, String), Status> {
    let (namespace, name) = (&asked.info.namespace, &asked.info.name);
    let pod = server.reading().core("pods", namespace, name);
    let pod = pod.ok_or_else(|| Status::not_found(PODS, name))?;
    let mut path = match kind {
        Kind::Exec => "/exec",
        Kind::Attach => "/attach",
        Kind::PortForward => "/portForward",
    }
    .to_owned();
    let mut segments = vec![namespace.as_str(), name];
    if kind != Kind::PortForward {
        segments.push(logs::container(&pod, &options.container)?);
    }
    for segment in segments {
        path = format!("{path}/{}", percent_encode(segment));
    }
    let node = object::text(&pod, "spec.nodeName");
    if node.is_empty() {
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let kubelet = kubelet::connection(server, node).map_err(|status| {
        // Upstream names the node as if it were a pod.
        if status.code == 404 { Status::not_found(PODS, node) } else { status }
    })?;
    Ok((kubelet, path + &options.kubelet_query()))
}

/// Does the node's kubelet take WebSockets itself, and say so (`checkNodeSupportsWebsockets`)?
fn takes_websockets(server: &Server, node: &str) -> bool {
    let declares = |node: &Value| object::texts(node, "status.declaredFeatures").contains(&EXTENDS);
    server.config.kubernetes_version >= EXTENDS_FROM
        && server.reading().core("nodes", "", node).is_some_and(|node| declares(&node))
}
