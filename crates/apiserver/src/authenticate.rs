//! Who is asking: by a front proxy's word, client certificate, bearer token, or nobody in particular.
//!
//! The order and the failures are those of `apiserver/pkg/authentication/request/union`: the
//! first good credential counts; where one was shown and none is good the answer is 401, also
//! where anonymous requests are welcome.

use crate::config::Anonymous;
use crate::front_proxy;
use crate::server::Server;
use crate::websocket_token;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use ravelin_auth::token::{Authenticated, TokenRefused};
use ravelin_auth::{Lookup, UserInfo, token, x509};
use ravelin_host::Flaw;
use ravelin_pki::{TrustAnchors, VerifiedPeer, danger_unverified_client, verify_client};
use ravelin_transport::PeerInfo;

/// No credential is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unauthenticated;

/// What became of one kind of credential.
enum Shown {
    /// There was none.
    Nothing,
    Good(UserInfo),
    Bad,
}

/// Finds out who makes a request for a (decoded) path.
pub(crate) fn authenticate(
    server: &Server,
    (path, headers): (&str, &HeaderMap),
    peer: &PeerInfo,
) -> Result<UserInfo, Unauthenticated> {
    let mut refused = false;
    for judge in [front_proxy, certificate, bearer, subprotocol] {
        match judge(server, headers, peer) {
            Shown::Good(user) => return Ok(user),
            Shown::Bad => refused = true,
            Shown::Nothing => {}
        }
    }
    // Where everybody is allowed everything, whoever proves nothing is still served.
    if server.host.flaws().has(Flaw::ApiserverAllowsEveryone) {
        return Ok(UserInfo::anonymous());
    }
    let welcome = match &server.config.anonymous {
        Anonymous::Off => false,
        Anonymous::On => true,
        // To the letter: no prefix, no trailing slash (KEP-4633).
        Anonymous::OnPaths(paths) => paths.iter().any(|open| open == path),
    };
    if welcome && !refused { Ok(UserInfo::anonymous()) } else { Err(Unauthenticated) }
}

/// Whose a bearer token is, for these audiences; with none, for this API.
///
/// # Errors
/// Where it is nobody's.
pub(crate) fn token(
    server: &Server,
    token: &str,
    audiences: &[String],
) -> Result<Authenticated, TokenRefused> {
    let now = server.host.now();
    let objects: &dyn Lookup = server.reading().lookup();
    server.token_cache.authenticate((token, audiences), now, || {
        server.tokens.authenticate(token, audiences, (now, objects))
    })
}

fn front_proxy(server: &Server, headers: &HeaderMap, peer: &PeerInfo) -> Shown {
    let config = server.config.front_proxy.as_ref();
    if server.host.flaws().has(Flaw::ApiserverTrustsAnyFrontProxy) {
        return front_proxy::danger_said_by_anybody(config, headers).map_or(Shown::Nothing, Shown::Good);
    }
    let Some(config) = config.filter(|_| !peer.chain.is_empty()) else { return Shown::Nothing };
    match verified(server, peer, &config.client_ca) {
        Some(proxy) if config.allows(&proxy) => config.user(headers).map_or(Shown::Nothing, Shown::Good),
        _ => Shown::Bad,
    }
}

/// The chain is judged for each request, so that a certificate that expires on an open connection
/// no longer counts.
fn certificate(server: &Server, _: &HeaderMap, peer: &PeerInfo) -> Shown {
    if peer.chain.is_empty() {
        return Shown::Nothing;
    }
    if server.host.flaws().has(Flaw::ApiserverTrustsAnyClientCertificate) {
        let claimed = danger_unverified_client(&peer.chain);
        return claimed.as_ref().and_then(x509::user).map_or(Shown::Bad, Shown::Good);
    }
    let Some(anchors) = server.client_ca() else { return Shown::Nothing };
    match verified(server, peer, &anchors) {
        None => Shown::Bad,
        // A good certificate without a common name says nothing (`CommonNameUserConversion`).
        Some(peer) => x509::user(&peer).map_or(Shown::Nothing, Shown::Good),
    }
}

fn verified(server: &Server, peer: &PeerInfo, anchors: &TrustAnchors) -> Option<VerifiedPeer> {
    verify_client(&peer.chain, anchors, server.host.now()).ok()
}

fn bearer(server: &Server, headers: &HeaderMap, _: &PeerInfo) -> Shown {
    // Of several headers the first counts, as in Go's `Header.Get`.
    let Some(header) = headers.get(AUTHORIZATION) else { return Shown::Nothing };
    let Ok(header) = header.to_str() else { return Shown::Bad };
    let Some(shown) = token::bearer(header) else { return Shown::Nothing };
    token(server, shown, &[]).map_or(Shown::Bad, |whose| Shown::Good(whose.user))
}

fn subprotocol(server: &Server, headers: &HeaderMap, _: &PeerInfo) -> Shown {
    match websocket_token::shown(headers) {
        websocket_token::Shown::Nothing => Shown::Nothing,
        websocket_token::Shown::Bad => Shown::Bad,
        websocket_token::Shown::Token(shown) => {
            token(server, &shown, &[]).map_or(Shown::Bad, |whose| Shown::Good(whose.user))
        }
    }
}
