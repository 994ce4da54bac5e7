//! One request from its head to its answer: authenticate, authorize, admit, serve.
//!
//! Each step needs what the one before it proved: without a user nothing is authorized, without a
//! [`Permit`](ravelin_auth::Permit) nothing is served. Auditing and impersonation belong between
//! the first two.

use crate::answer;
use crate::authenticate::authenticate;
use crate::resources;
use crate::server::{Asked, Server};
use async_trait::async_trait;
use http::HeaderMap;
use http::header::CONNECTION;
use ravelin_api::{Query, RequestInfo, Status};
use ravelin_auth::{Attributes, UserInfo};
use ravelin_host::field;
use ravelin_transport::{Handler, PeerInfo, Request, Response};
use std::sync::Arc;

/// Answers the requests of the secure port.
pub(crate) struct Chain(pub(crate) Arc<Server>);

#[async_trait]
impl Handler for Chain {
    async fn handle(&self, request: Request, peer: &PeerInfo) -> Response {
        let server = &self.0;
        let path = request.uri().path().to_owned();
        let method = request.method().as_str().to_ascii_lowercase();
        let mut seen = Seen { user: String::new(), verb: method };
        let answer = match answer_to(server, request, peer, &mut seen).await {
            Ok(answer) => answer,
            Err(status) => answer::status(&status),
        };
        server.host.observe(
            "apiserver.request",
            &[
                field("user", &seen.user),
                field("verb", &seen.verb),
                field("path", path),
                field("code", answer.status().as_u16()),
            ],
        );
        answer
    }
}

/// What is told of a request afterwards.
struct Seen {
    user: String,
    verb: String,
}

async fn answer_to(
    server: &Arc<Server>,
    request: Request,
    peer: &PeerInfo,
    seen: &mut Seen,
) -> Result<Response, Status> {
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    let info = RequestInfo::parse(head.method.as_str(), head.uri.path(), query)
        .map_err(|bad| Status::bad_request(bad.to_string()))?;
    seen.verb.clone_from(&info.verb);
    let user = authenticate(server, &head.headers, peer).map_err(|_| Status::unauthorized())?;
    seen.user.clone_from(&user.name);
    refuse_impersonation(&head.headers)?;
    let permit = authorize(server, user, &info)?;
    let asked = Asked {
        info,
        query: Query::parse(query),
        method: head.method,
        headers: head.headers,
        peer: peer.address.clone(),
        body,
        uri: head.uri,
    };
    refuse_upgrade(&asked)?;
    resources::serve(server, permit, asked).await
}

fn authorize(server: &Server, user: UserInfo, info: &RequestInfo) -> Result<ravelin_auth::Permit, Status> {
    let attributes = Attributes::of_request(user, info);
    let decided = server.authorization.authorize(server, attributes);
    let (attributes, allowed) = match &decided {
        Ok(permit) => (permit.attributes(), true),
        Err(denied) => (&denied.attributes, false),
    };
    server.host.observe(
        "apiserver.authorize",
        &[
            field("user", &attributes.user.name),
            field("verb", &attributes.verb),
            field("resource", attributes.group_resource()),
            field("subresource", &attributes.subresource),
            field("namespace", &attributes.namespace),
            field("name", &attributes.name),
            field("allowed", allowed),
        ],
    );
    decided.map_err(|denied| denied.status())
}

/// To ignore these would serve a request under the wrong user.
fn refuse_impersonation(headers: &HeaderMap) -> Result<(), Status> {
    let impersonates = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().starts_with("impersonate-") && !value.is_empty()
    };
    if headers.iter().any(impersonates) {
        return Err(Status::bad_request("impersonation is not supported by this server"));
    }
    Ok(())
}

fn refuse_upgrade(asked: &Asked) -> Result<(), Status> {
    let tokens = asked.headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let upgrades =
        tokens.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    if upgrades {
        return Err(Status::bad_request("upgrade requests are not supported by this server"));
    }
    Ok(())
}
