//! Bearer tokens of browsers, which can send no `Authorization` with a WebSocket: they name one as a
//! subprotocol (`apiserver/pkg/authentication/request/websocket/protocol.go`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use ravelin_transport::upgrade;

/// What such a subprotocol begins with; the token in base64url follows.
const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// What a request shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// No token.
    Nothing,
    /// This one.
    Token(String),
    /// Something that is none, or more than one, or one without a subprotocol besides.
    Bad,
}

/// The token that a request's subprotocols name.
pub(crate) fn shown(headers: &HeaderMap) -> Shown {
    if !upgrade::is_websocket(headers) {
        return Shown::Nothing;
    }
    let offered = upgrade::websocket_protocols(headers);
    let (tokens, others): (Vec<_>, Vec<_>) = offered.iter().partition(|name| name.starts_with(PREFIX));
    let [token] = tokens.as_slice() else {
        return if tokens.is_empty() { Shown::Nothing } else { Shown::Bad };
    };
    let token = URL_SAFE_NO_PAD.decode(&token[PREFIX.len()..]).ok();
    match token.and_then(|token| String::from_utf8(token).ok()) {
        Some(token) if token.is_empty() => Shown::Nothing,
        Some(token) if !others.is_empty() => Shown::Token(token),
        _ => Shown::Bad,
    }
}

/// Takes tokens out of a request's subprotocols: nobody behind this server sees them.
pub(crate) fn clear(headers: &mut HeaderMap) {
    let offered: Vec<String> = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_owned())
        .collect();
    if !offered.iter().any(|name| name.starts_with(PREFIX)) {
        return;
    }
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    let others: Vec<&str> =
        offered.iter().map(String::as_str).filter(|name| !name.starts_with(PREFIX)).collect();
    if let (false, Ok(value)) = (others.is_empty(), HeaderValue::from_str(&others.join(","))) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offering(protocols: &str) -> HeaderMap {
        let pairs =
            [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-protocol", protocols)];
        let pair = |(name, value): (&'static str, &str)| {
            (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.map(pair).into_iter().collect()
    }

    fn named(token: &str) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(token))
    }

    #[test]
    fn a_token_is_a_subprotocol_beside_another() {
        let (good, other) = (named("good"), named("other"));
        for (protocols, expected) in [
            (format!("v4.channel.k8s.io, {good}"), Shown::Token("good".to_owned())),
            ("v4.channel.k8s.io".to_owned(), Shown::Nothing),
            (good.clone(), Shown::Bad),
            (format!("{good}, {other}, x"), Shown::Bad),
            (format!("{PREFIX}&&, x"), Shown::Bad),
        ] {
            assert_eq!(shown(&offering(&protocols)), expected, "{protocols}");
        }
        let mut plain = offering(&format!("{good}, x"));
        plain.remove("upgrade");
        assert_eq!(shown(&plain), Shown::Nothing, "no WebSocket is asked for");
    }

    #[test]
    fn no_token_is_left_for_others() {
        let mut headers = offering(&format!("a, {}, b", named("good")));
        headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(&named("more")).unwrap());
        clear(&mut headers);
        assert_eq!(headers[SEC_WEBSOCKET_PROTOCOL], "a,b");
        assert_eq!(headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().count(), 1);
        let mut alone = offering(&named("good"));
        clear(&mut alone);
        assert!(!alone.contains_key(SEC_WEBSOCKET_PROTOCOL));
    }
}
