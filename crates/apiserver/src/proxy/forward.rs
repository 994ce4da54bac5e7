//! Passing a request on and its answer back (`apimachinery/pkg/util/proxy`).

use super::dial;
use super::headers::{onwards, without_hop_by_hop};
use super::target::Target;
use crate::answer;
use crate::patience::not_idle_for;
use crate::server::{Asked, Server};
use http::header::{HOST, HeaderValue, LOCATION};
use http::{Method, StatusCode, Uri};
use ravelin_api::Status;
use ravelin_transport::{Request, Response};
use std::fmt::Write;
use std::time::Duration;

/// How long either side may fall silent within a body.
const IDLE: Duration = Duration::from_secs(60);

/// Passes a request on. The caller's credential stays here; what comes back is passed on as it
/// is, redirects included, and if it breaks off, so does the answer.
pub(super) async fn forward(server: &Server, mut asked: Asked, target: Target) -> Result<Response, Status> {
    let path = clean(&asked.info.rest);
    if path.is_empty() && matches!(asked.method, Method::GET | Method::HEAD) {
        return Ok(to_directory(&asked));
    }
    let path = if path.is_empty() { "/".to_owned() } else { path };
    let prefix = prefix_of(&asked.info.path, &asked.info.rest, &path);
    let original_host =
        asked.headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let request = onward_request(&mut asked, &path, &prefix)?;
    let answer = dial::send(server, &target, request).await.map_err(|failure| failure.status())?;
    let (mut head, body) = answer.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Status::service_unavailable(
            "error trying to reach service: the backend switched protocols without being asked to",
        ));
    }
    head.headers = without_hop_by_hop(&head.headers);
    if let Some(location) = head.headers.get(LOCATION).and_then(|value| value.to_str().ok()) {
        let own = [target.address.to_string(), original_host];
        if let Ok(value) = HeaderValue::from_str(&rewritten(location, &prefix, &own)) {
            head.headers.insert(LOCATION, value);
        }
    }
    let mut passed = Response::new(not_idle_for(body, IDLE));
    *passed.status_mut() = head.status;
    *passed.headers_mut() = head.headers;
    Ok(passed)
}

fn onward_request(asked: &mut Asked, path: &str, prefix: &str) -> Result<Request, Status> {
    let mut onward = encode(path);
    if let Some(query) = asked.uri.query() {
        onward = format!("{onward}?{query}");
    }
    let uri: Uri = onward.parse().map_err(|_| Status::bad_request("the path cannot be passed on"))?;
    let headers = onwards(&asked.headers, &asked.peer, &encode(&joined(prefix, path)));
    let mut request = Request::new(not_idle_for(asked.take_body(), IDLE));
    *request.method_mut() = asked.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The path that an upgrade is passed on with: without the query, which gets lost upstream
/// (kubernetes/kubernetes issue 77142).
pub(super) fn upgrade_path(rest: &str) -> String {
    let path = clean(rest);
    if path.is_empty() { "/".to_owned() } else { encode(&path) }
}

/// A path without its slash would make relative links of the page lead elsewhere.
fn to_directory(asked: &Asked) -> Response {
    let query = asked.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut answer = answer::empty(StatusCode::MOVED_PERMANENTLY);
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{query}", encode(&asked.info.path))) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

/// The path without empty and dotted segments (Go's `path.Clean`), its last slash kept. It never
/// leads above its root.
fn clean(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    if segments.is_empty() {
        return if path.is_empty() { String::new() } else { "/".to_owned() };
    }
    let slash = if path.ends_with('/') { "/" } else { "" };
    format!("/{}{slash}", segments.join("/"))
}

/// What of the path as it was asked lies before the proxied path. Where the latter was cleaned it
/// is all of it, as in `defaultProxyTransport`.
fn prefix_of(asked: &str, rest: &str, path: &str) -> String {
    let suffix = if rest == path { path } else { "" };
    asked.strip_suffix(suffix).unwrap_or(asked).trim_end_matches('/').to_owned()
}

fn joined(prefix: &str, path: &str) -> String {
    format!("{prefix}{}{path}", if path.starts_with('/') { "" } else { "/" })
}

/// Encodes a decoded path as Go's `URL.EscapedPath` does.
fn encode(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("strings take everything");
        }
    }
    encoded
}

/// A redirect within the backend leads through the proxy again; one elsewhere stays as it is
/// (`Transport.rewriteURL`). Nobody here follows either.
fn rewritten(location: &str, prefix: &str, own_hosts: &[String]) -> String {
    let Ok(uri) = location.parse::<Uri>() else { return location.to_owned() };
    let foreign =
        uri.authority().is_some_and(|authority| own_hosts.iter().all(|own| own != authority.as_str()));
    if foreign || !uri.path().starts_with('/') || !(location.starts_with('/') || uri.authority().is_some()) {
        return location.to_owned();
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let fragment = location.split_once('#').map(|(_, fragment)| format!("#{fragment}")).unwrap_or_default();
    if uri.path().starts_with(prefix) {
        return format!("{}{query}{fragment}", uri.path());
    }
    format!("{prefix}{}{query}{fragment}", uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_and_never_leave_their_root() {
        for (path, cleaned) in [
            ("", ""),
            ("/", "/"),
            ("/a/b/", "/a/b/"),
            ("/a/b/../c//d", "/a/c/d"),
            ("/../../etc", "/etc"),
            ("/..", "/"),
            ("/./a", "/a"),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
        assert_eq!(encode("/a b?c%/é"), "/a%20b%3Fc%25/%C3%A9");
    }

    #[test]
    fn redirects_within_the_backend_stay_within_the_proxy() {
        let own = ["10.0.0.1:80".to_owned(), "api:6443".to_owned()];
        let prefix = "/api/v1/namespaces/d/pods/p/proxy";
        for (location, result) in [
            ("/x?y=1", "/api/v1/namespaces/d/pods/p/proxy/x?y=1"),
            ("http://10.0.0.1:80/x", "/api/v1/namespaces/d/pods/p/proxy/x"),
            ("https://evil.example/x", "https://evil.example/x"),
            ("/api/v1/namespaces/d/pods/p/proxy/z", "/api/v1/namespaces/d/pods/p/proxy/z"),
            ("relative", "relative"),
        ] {
            assert_eq!(rewritten(location, prefix, &own), result, "{location}");
        }
    }
}
