//! The way out: logs, and the proxies to nodes, pods and services.
//!
//! Everything here goes through [`Egress`](ravelin_transport::egress::Egress). Where to is
//! decided in [`target`], how a connection is made and judged in [`dial`], what of a request and
//! its answer passes in [`forward`]. Answers over a WebSocket are in [`messages`].

mod dial;
mod failure;
mod forward;
mod headers;
mod join;
mod kubelet;
mod logs;
mod messages;
mod redirect;
mod running;
mod splice;
mod spliced;
mod stream_options;
mod streams;
mod target;
mod translate;
mod tunnel;

use crate::server::{Asked, Server};
use http::HeaderMap;
use http::header::CONNECTION;
pub(crate) use messages::watch as watch_messages;
use ravelin_api::{Resource, Status};
use ravelin_auth::Permit;
use ravelin_transport::Response;
pub(crate) use running::Streams;
use splice::{Way, splice};
use std::sync::Arc;
use stream_options::Kind;

/// Serves `pods/log`.
pub(crate) async fn log(server: &Arc<Server>, permit: Permit, asked: Asked) -> Result<Response, Status> {
    let answer = logs::serve(server, &asked).await?;
    messages::log(server, &permit.user().name, asked, answer)
}

/// Does a request ask for an upgrade (`httpstream.IsUpgradeRequest`)?
pub(crate) fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.to_ascii_lowercase().contains("upgrade"))
}

/// Serves `pods/exec`, `pods/attach` and `pods/portforward`.
pub(crate) async fn stream(server: &Arc<Server>, permit: Permit, asked: Asked) -> Result<Response, Status> {
    let kind = match asked.info.subresource.as_str() {
        "exec" => Kind::Exec,
        "attach" => Kind::Attach,
        _ => Kind::PortForward,
    };
    streams::serve(server, &permit, asked, kind).await
}

/// Serves the `proxy` subresource of nodes, pods and services.
pub(crate) async fn serve(
    server: &Arc<Server>,
    permit: Permit,
    asked: Asked,
    resource: &'static Resource,
) -> Result<Response, Status> {
    let info = &asked.info;
    if !resource.subresources.contains(&"proxy") {
        return Err(Status::no_such_resource());
    }
    // The same words that were authorized: `create` came by POST, and so on.
    if !matches!(info.verb.as_str(), "get" | "create" | "update" | "patch" | "delete") {
        return Err(Status::method_not_allowed());
    }
    let target = match resource.plural {
        "nodes" => target::node(server, &info.name).await?,
        "pods" => target::pod(server, &info.namespace, &info.name)?,
        _ => target::service(server, &info.namespace, &info.name)?,
    };
    if asks_for_upgrade(&asked.headers) {
        let path = forward::upgrade_path(&asked.info.rest);
        let user = permit.user().name.clone();
        return splice(server, &user, asked, (Way { target, kubelet: None }, path)).await;
    }
    forward::forward(server, asked, target).await
}
