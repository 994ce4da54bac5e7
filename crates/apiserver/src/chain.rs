//! One request from its head to its answer: authenticate, impersonate, authorize, admit, serve.
//!
//! Each step needs what the one before it proved: without a user nothing is authorized, without a
//! [`Permit`] nothing is served. What happens is written to the audit log on the way. On the insecure
//! port nobody is authenticated, nobody impersonates and nothing is authorized: whoever reaches it is
//! the same almighty user (`pkg/kubeapiserver/server/insecure_handler.go`).

use crate::answer;
use crate::audit::{self, Audit, Outcome, Written};
use crate::authenticate::authenticate;
use crate::authorization::Authorization;
use crate::front_proxy;
use crate::impersonate::impersonate;
use crate::negotiate::Wanted;
use crate::proxy;
use crate::resources;
use crate::server::{Asked, Server};
use crate::websocket_token;
use async_trait::async_trait;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{StatusCode, Uri};
use ravelin_api::{BadPath, Query, RequestInfo, Status};
use ravelin_auth::{Attributes, Permit, UserInfo, names, token};
use ravelin_host::{Flaw, field};
use ravelin_transport::{Handler, PeerInfo, Request, Response, upgrade};
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
        let id = audit::id(server, request.headers());
        let audit = Audit::begin(server, &id, (request.uri(), request.headers()), peer);
        let mut seen = Seen { user: String::new(), verb: method, audit };
        let wanted = Wanted::of_error(request.headers(), request.uri().query());
        let warnings = warnings_of(request.headers(), peer);
        let (answer, outcome) = match self.answer_to(request, peer, &mut seen).await {
            Ok(answer) => (answer, Outcome::Code),
            Err(status) => (wanted.status(&status), Outcome::Status(Box::new(status))),
        };
        let mut answer = answer::with_warnings(answer, &warnings);
        // A switched connection's head is its protocol's alone.
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            audit::name(&mut answer, &id);
            let uncached = || HeaderValue::from_static("no-cache, private");
            answer.headers_mut().entry(CACHE_CONTROL).or_insert_with(uncached);
        }
        server.host.observe(
            "apiserver.request",
            &[
                field("user", &seen.user),
                field("verb", &seen.verb),
                field("path", path),
                field("code", answer.status().as_u16()),
            ],
        );
        seen.audit.end(server, answer, &outcome)
    }
}

/// What whoever asks is warned of: a token that is not looked at (`bearertoken.go`).
fn warnings_of(headers: &HeaderMap, peer: &PeerInfo) -> Vec<String> {
    let shown = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok()).unwrap_or_default();
    if !peer.chain.is_empty() || !token::is_behind_spaces(shown) {
        return Vec::new();
    }
    let ignored =
        "the provided Authorization header contains extra space before the bearer token, and is ignored";
    vec![ignored.to_owned()]
}

/// The answer to a path that names nothing (`WithRequestInfo`), or that is none (Go's server).
fn not_understood(bad: BadPath, uri: &Uri) -> Response {
    if bad == BadPath::Encoding {
        return answer::text(StatusCode::BAD_REQUEST, "400 Bad Request");
    }
    let sanitize = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let why =
        format!("Internal Server Error: {:?}: failed to create RequestInfo: {bad}, {uri}", uri.to_string());
    answer::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", sanitize(&why)))
}

/// What is told of a request afterwards.
struct Seen {
    user: String,
    verb: String,
    audit: Audit,
}

impl Chain {
    async fn answer_to(
        &self,
        mut request: Request,
        peer: &PeerInfo,
        seen: &mut Seen,
    ) -> Result<Response, Status> {
        let upgrading = upgrade::accept(&mut request);
        let (mut head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default();
        let info = match RequestInfo::parse(head.method.as_str(), head.uri.path(), query) {
            Ok(info) => info,
            Err(bad) => return Ok(not_understood(bad, &head.uri)),
        };
        let query = Query::parse(query);
        seen.verb.clone_from(&info.verb);
        seen.audit.note(|entry| entry.about(&info));
        let user = self.user((&info, &mut head), peer, seen)?;
        seen.user.clone_from(&user.name);
        let permit = self.permit(user, (&info, &head.headers), seen)?;
        let written = Written::default();
        seen.audit.note(|entry| entry.writes(&written));
        let asked = Asked {
            written,
            info,
            query,
            method: head.method,
            headers: head.headers,
            peer: peer.address.clone(),
            body,
            upgrading,
            uri: head.uri,
        };
        resources::serve(&self.server, permit, asked).await
    }

    /// As whom the request goes on. Of the headers that said so nothing is left.
    fn user(
        &self,
        (info, head): (&RequestInfo, &mut Parts),
        peer: &PeerInfo,
        seen: &mut Seen,
    ) -> Result<UserInfo, Status> {
        let server = &self.server;
        let user = match self.port {
            Port::Insecure => UserInfo::new(UNSECURED, &[names::MASTERS]).authenticated(),
            Port::Secure => {
                let known = authenticate(server, (&info.path, &head.headers), peer);
                known.map_err(|_| Status::unauthorized())?
            }
        };
        seen.user.clone_from(&user.name);
        seen.audit.note(|entry| entry.by(&user));
        head.headers.remove(AUTHORIZATION);
        websocket_token::clear(&mut head.headers);
        front_proxy::clear(&mut head.headers, server.config.front_proxy.as_ref());
        if self.port == Port::Insecure {
            return Ok(user);
        }
        let Some(other) = impersonate(server, &user, (info, &mut head.headers))? else { return Ok(user) };
        seen.audit.note(|entry| entry.impersonated(&other));
        let fields = [field("user", &user.name), field("as", &other.user.name)];
        server.host.observe("apiserver.impersonate", &fields);
        Ok(other.user)
    }

    /// Leave for a request, whether or not it asks for an upgrade. Where none is carried on it is not
    /// taken up, as HTTP allows (RFC 9110 section 7.8).
    fn permit(
        &self,
        user: UserInfo,
        (info, headers): (&RequestInfo, &HeaderMap),
        seen: &mut Seen,
    ) -> Result<Permit, Status> {
        let upgrade = proxy::asks_for_upgrade(headers);
        let unauthorized = self.server.host.flaws().has(Flaw::ApiserverSkipsAuthorizationOfUpgrades);
        if self.port == Port::Insecure || upgrade && unauthorized {
            return Ok(Authorization::danger_unasked(Attributes::of_request(user, info)));
        }
        authorize(&self.server, user, info, seen)
    }
}

fn authorize(server: &Server, user: UserInfo, info: &RequestInfo, seen: &mut Seen) -> Result<Permit, Status> {
    let attributes = Attributes::of_request(user, info);
    let decided = server.authorization.authorize(server, attributes);
    let (attributes, reason) = match &decided {
        Ok(permit) => (permit.attributes(), permit.reason()),
        Err(denied) => (&denied.attributes, denied.reason.as_str()),
    };
    let allowed = decided.is_ok();
    seen.audit.note(|entry| entry.decided(allowed, reason));
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
