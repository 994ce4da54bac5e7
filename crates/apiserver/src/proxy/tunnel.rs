//! A port-forward whose SPDY comes in the messages of a WebSocket
//! (`apiserver/pkg/util/proxy/streamtunnel.go`): the kubelet gets plain SPDY.

use super::join::{Passed, join};
use super::running::Tale;
use super::splice::{Onward, Way, reach, refused, unreached};
use crate::answer;
use crate::audit::StreamEnd;
use crate::server::{Asked, Server};
use http::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use http::{HeaderMap, Method, StatusCode};
use ravelin_api::Status;
use ravelin_transport::streams::tunnel_server;
use ravelin_transport::{Response, Upgraded, upgrade};
use std::sync::Arc;

/// What the name of a tunnelled protocol begins with (`WebsocketsSPDYTunnelingPrefix`).
const PREFIX: &str = "SPDY/3.1+";
const SPDY: &str = "SPDY/3.1";
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const OF_WEBSOCKETS: [&str; 3] = ["sec-websocket-protocol", "sec-websocket-key", "sec-websocket-version"];

/// The stream protocols that a client wants to have tunnelled.
pub(super) fn protocols(offered: &[String]) -> Vec<String> {
    let tunnelled = offered.iter().filter(|name| name.ends_with(".k8s.io"));
    tunnelled.filter_map(|name| name.strip_prefix(PREFIX)).map(str::to_owned).collect()
}

/// Serves such a port-forward.
pub(super) async fn tunnel(
    server: &Arc<Server>,
    user: &str,
    mut asked: Asked,
    (way, path, protocols): (Way, String, Vec<String>),
) -> Result<Response, Status> {
    let onward = onward(&asked, path, &protocols);
    let reached = reach(server, way, onward).await?.map_err(|unanswered| unreached(&unanswered))?;
    let (head, backend) = match reached {
        Upgraded::Refused(answer) => return refused(server, answer).await,
        Upgraded::Switched { head, stream } => (head, stream),
    };
    if !switched_to_spdy(&head.headers) {
        let text = "unable to upgrade: missing upgrade headers in response\n";
        return Ok(answer::text(StatusCode::INTERNAL_SERVER_ERROR, text));
    }
    let chosen = chosen(&head.headers, &protocols);
    let mut answer = match upgrade::websocket_answer(&asked.headers, chosen.as_deref()) {
        Ok(answer) => answer,
        Err(refusal) => return Ok(*refusal),
    };
    let Some(pending) = asked.upgrading.take() else {
        return Err(Status::bad_request("Upgrade request required"));
    };
    let end = StreamEnd::default();
    let tale = Tale::begin(&server.host, (user, &asked.info.path), "websocket tunnel", end.clone());
    let host = server.host.clone();
    let joined = async move {
        let passed = match pending.stream().await {
            Ok(client) => join(tunnel_server(&host, client), backend).await,
            Err(_) => Passed::default(),
        };
        tale.end(&passed);
    };
    server.streams.run(&server.host, Box::pin(joined))?;
    answer.extensions_mut().insert(end);
    Ok(answer)
}

/// The request for plain SPDY (`createSPDYRequest`).
fn onward(asked: &Asked, path: String, protocols: &[String]) -> Onward {
    let mut onward = Onward { method: Method::POST, ..Onward::of(asked, path) };
    for name in OF_WEBSOCKETS {
        onward.headers.remove(name);
    }
    onward.headers.insert(UPGRADE, HeaderValue::from_static(SPDY));
    onward.headers.remove(&STREAM_PROTOCOL);
    for protocol in protocols.iter().filter_map(|name| HeaderValue::from_str(name).ok()) {
        onward.headers.append(STREAM_PROTOCOL, protocol);
    }
    onward
}

/// The protocol that the kubelet took, where it is one of those that the client offered: no other is
/// named to it (`selectSubprotocol` of gorilla's upgrader).
fn chosen(answer: &HeaderMap, offered: &[String]) -> Option<String> {
    let chosen = answer.get(STREAM_PROTOCOL)?.to_str().ok()?.trim();
    offered.iter().any(|offer| offer == chosen).then(|| format!("{PREFIX}{chosen}"))
}

fn switched_to_spdy(headers: &HeaderMap) -> bool {
    let holds = |name: HeaderName, what: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.to_ascii_lowercase().contains(what))
    };
    holds(CONNECTION, "upgrade") && holds(UPGRADE, "spdy/3.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_spdy_of_kubernetes_is_tunnelled() {
        let offered = ["SPDY/3.1+portforward.k8s.io", "SPDY/3.1+x", "v4.channel.k8s.io"].map(str::to_owned);
        assert_eq!(protocols(&offered), ["portforward.k8s.io"]);
    }

    #[test]
    fn a_kubelet_names_no_protocol_that_was_not_offered() {
        let offered = ["portforward.k8s.io".to_owned()];
        for (named, told) in
            [("portforward.k8s.io", Some("SPDY/3.1+portforward.k8s.io")), ("x.k8s.io", None), ("", None)]
        {
            let answer = HeaderMap::from_iter([(STREAM_PROTOCOL, HeaderValue::from_static(named))]);
            assert_eq!(chosen(&answer, &offered).as_deref(), told, "{named}");
        }
        assert_eq!(chosen(&HeaderMap::new(), &offered), None);
    }
}
