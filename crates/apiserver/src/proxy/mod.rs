//! The way out: logs, and the proxies to nodes, pods and services.
//!
//! Everything here goes through [`Egress`](ravelin_transport::egress::Egress). Where to is
//! decided in [`target`], how a connection is made and judged in [`dial`], what of a request and
//! its answer passes in [`forward`].

mod dial;
mod failure;
mod forward;
mod headers;
mod kubelet;
mod logs;
mod redirect;
mod target;

use crate::server::{Asked, Server};
use ravelin_api::{Resource, Status};
use ravelin_auth::Permit;
use ravelin_transport::Response;
use std::sync::Arc;

/// Serves `pods/log`.
pub(crate) async fn log(server: &Arc<Server>, _permit: Permit, asked: Asked) -> Result<Response, Status> {
    logs::serve(server, &asked).await
}

/// Serves the `proxy` subresource of nodes, pods and services.
pub(crate) async fn serve(
    server: &Arc<Server>,
    _permit: Permit,
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
    forward::forward(server, asked, target).await
}
