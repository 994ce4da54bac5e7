//! One request from its head to its answer: authenticate, authorize, admit, serve.
//!
//! Each step needs what the one before it proved: without a user nothing is authorized, without a
//! [`Permit`] nothing is served. Auditing and impersonation belong between
//! the first two. On the insecure port nobody is authenticated and nothing authorized: whoever
//! reaches it is the same almighty user (`pkg/kubeapiserver/server/insecure_handler.go`).

use crate::answer;
use crate::authenticate::authenticate;
use crate::authorization::Authorization;
use crate::front_proxy;
use crate::resources;
use crate::server::{Asked, Server};
use async_trait::async_trait;
use http::HeaderMap;
use http::header::CONNECTION;
use ravelin_api::{Query, RequestInfo, Status};
use ravelin_auth::{Attributes, Permit, UserInfo, names};
use ravelin_host::{Flaw, field};
use ravelin_transport::{Handler, PeerInfo, Request, Response};
use std::sync::Arc;

/// Whom the insecure port takes everybody for.
const UNSECURED: &str = "system:unsecured";

/// Answers the requests of one port.
pub(crate) struct Chain {
    pub(crate) server: Arc<Server>,
    pub(crate) port: Port,
}

/// Who is let in where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// Whoever is authenticated, to what is authorized.
    Secure,
    /// Everybody, to everything.
    Insecure,
}

#[async_trait]
impl Handler for Chain {
    async fn handle(&self, request: Request, peer: &PeerInfo) -> Response {
        let server = &self.server;
        let path = request.uri().path().to_owned();
        let method = request.method().as_str().to_ascii_lowercase();
        let mut seen = Seen { user: String::new(), verb: method };
        let answer = match self.answer_to(request, peer, &mut seen).await {
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

impl Chain {
    async fn answer_to(
        &self,
        request: Request,
        peer: &PeerInfo,
        seen: &mut Seen,
    ) -> Result<Response, Status> {
        let (mut head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default();
        let info = RequestInfo::parse(head.method.as_str(), head.uri.path(), query)
            .map_err(|bad| Status::bad_request(bad.to_string()))?;
        seen.verb.clone_from(&info.verb);
        let user = match self.port {
            Port::Insecure => UserInfo::new(UNSECURED, &[names::MASTERS]).authenticated(),
            Port::Secure => {
                authenticate(&self.server, &head.headers, peer).map_err(|_| Status::unauthorized())?
            }
        };
        seen.user.clone_from(&user.name);
        front_proxy::clear(&mut head.headers, self.server.config.front_proxy.as_ref());
        refuse_impersonation(&head.headers)?;
        let permit = self.permit(user, (&info, &head.headers))?;
        let asked = Asked {
            info,
            query: Query::parse(query),
            method: head.method,
            headers: head.headers,
            peer: peer.address.clone(),
            body,
            uri: head.uri,
        };
        resources::serve(&self.server, permit, asked).await
    }

    /// Leave for a request. One whose upgrade would have to be carried on is refused after that, so
    /// that a stranger learns no more than from any other; elsewhere an upgrade is not taken up, as
    /// HTTP allows (RFC 9110 section 7.8).
    fn permit(&self, user: UserInfo, (info, headers): (&RequestInfo, &HeaderMap)) -> Result<Permit, Status> {
        let upgrade = asks_for_upgrade(headers);
        let unauthorized = self.server.host.flaws().has(Flaw::ApiserverSkipsAuthorizationOfUpgrades);
        if self.port == Port::Insecure || upgrade && unauthorized {
            return Ok(Authorization::danger_unasked(Attributes::of_request(user, info)));
        }
        let permit = authorize(&self.server, user, info)?;
        if upgrade && STREAMED.contains(&info.subresource.as_str()) {
            return Err(Status::bad_request("upgrade requests are not supported by this server"));
        }
        Ok(permit)
    }
}

fn authorize(server: &Server, user: UserInfo, info: &RequestInfo) -> Result<Permit, Status> {
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

/// The subresources whose upgrades lead to another server.
const STREAMED: [&str; 4] = ["proxy", "exec", "attach", "portforward"];

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

fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}
