//! Which headers pass a proxy (Go's `httputil.ReverseProxy`, `proxyutil.Transport`).

use http::HeaderMap;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use ravelin_host::Endpoint;

/// Headers that speak of one connection only (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// The headers of the request that goes on: never the caller's credential.
pub(super) fn onwards(headers: &HeaderMap, peer: &Endpoint, uri: &str) -> HeaderMap {
    let replaced = [AUTHORIZATION, EXPECT, CONTENT_LENGTH, FORWARDED_FOR, FORWARDED_URI];
    let mut passed = without(headers, &replaced);
    forwarded_for(headers, peer, &mut passed);
    if let Ok(value) = HeaderValue::from_str(uri) {
        passed.insert(FORWARDED_URI, value);
    }
    passed
}

/// The headers of a request for an upgrade that goes on: all of them, and where it came from
/// (`tryUpgrade`). The caller's credential was taken off before.
pub(super) fn upgrading(headers: &HeaderMap, peer: &Endpoint) -> HeaderMap {
    let mut passed = headers.clone();
    for name in [AUTHORIZATION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        passed.remove(name);
    }
    forwarded_for(headers, peer, &mut passed);
    passed
}

/// The headers of an answer that goes back.
pub(super) fn without_hop_by_hop(headers: &HeaderMap) -> HeaderMap {
    without(headers, &[])
}

/// Adds the peer to those that a request has come by.
fn forwarded_for(headers: &HeaderMap, peer: &Endpoint, passed: &mut HeaderMap) {
    let mut hops: Vec<String> = headers
        .get_all(&FORWARDED_FOR)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect();
    hops.extend(peer.socket_addr().map(|address| address.ip().to_canonical().to_string()));
    if let Ok(value) = HeaderValue::from_str(&hops.join(", ")) {
        passed.insert(FORWARDED_FOR, value);
    }
}

fn without(headers: &HeaderMap, others: &[HeaderName]) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut passed = HeaderMap::new();
    for (name, value) in headers {
        let hop = HOP_BY_HOP.contains(&name.as_str()) || named.iter().any(|named| named == name.as_str());
        if !hop && !others.contains(name) {
            passed.append(name.clone(), value.clone());
        }
    }
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_credentials_nor_hop_by_hop_headers_go_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer x"),
            ("authorization", "Bearer y"),
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("x-foo", "1"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-uri", "/forged"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let passed = onwards(&headers, &Endpoint::tcp([10, 0, 0, 7], 9), "/real");
        let seen: Vec<(&str, &str)> =
            passed.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let expected =
            [("x-foo", "1"), ("x-forwarded-for", "1.2.3.4, 10.0.0.7"), ("x-forwarded-uri", "/real")];
        assert_eq!(seen, expected);
    }
}
