//! What the server says of itself: groups, versions, resources, health.

mod aggregated;
mod health;
mod listed;
mod openapi;

use crate::answer;
use crate::negotiate::Wanted;
use crate::oidc;
use crate::server::{Asked, Server};
use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderValue, VARY};
use listed::{GROUPS, group_name};
use ravelin_api::{RESOURCES, Status};
use ravelin_auth::Permit;
use ravelin_transport::Response;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Answers for a path that is no resource.
pub(super) async fn serve(server: &Server, _permit: &Permit, asked: &Asked) -> Result<Response, Status> {
    let path = asked.info.path.as_str();
    if let Some(answer) = health::serve(server, path, &asked.query) {
        return Ok(answer);
    }
    if asked.info.verb == "get"
        && let Some(answer) = openapi::serve(path, &asked.headers)
    {
        return Ok(answer);
    }
    // A path with empty segments is another path, which nobody serves.
    let segments: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').skip(1).collect();
    let reads = asked.info.verb == "get";
    let group = match segments.as_slice() {
        ["api"] if reads => Some(vec![""]),
        ["apis"] if reads => Some(GROUPS.to_vec()),
        _ => None,
    };
    if let Some(groups) = group
        && let Some(answer) = aggregated::serve(&asked.headers, &groups)
    {
        return Ok(answer);
    }
    let described = match segments.as_slice() {
        [] => paths(server),
        ["version"] if reads => return Ok(version(server)),
        ["metrics"] if reads => return Ok(health::metrics(server)),
        ["api"] => versions(server),
        ["apis"] => groups(),
        ["api", "v1"] => listed::resources(""),
        ["apis", group] if GROUPS.contains(group) => group_object(group),
        ["apis", group, "v1"] if GROUPS.contains(group) => listed::resources(group),
        ["version"] => Value::Null,
        _ => {
            let document = if reads { oidc::document(server, path) } else { None };
            return Ok(document.unwrap_or_else(answer::page_not_found));
        }
    };
    if !reads {
        return if segments.is_empty() {
            Ok(answer::page_not_found())
        } else {
            Err(Status::method_not_allowed())
        };
    }
    // Of what is wanted in another form than there is, JSON is given.
    let wanted = Wanted::of_error(&asked.headers, asked.uri.query());
    let mut answer = wanted.apply(answer::object(StatusCode::OK, &described), None).await?;
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    Ok(answer)
}

fn paths(server: &Server) -> Value {
    let mut paths: BTreeSet<String> = RESOURCES
        .iter()
        .map(|resource| resource.path("").rsplit_once('/').map_or_else(String::new, |p| p.0.to_owned()))
        .collect();
    paths.extend(["/.well-known/openid-configuration", "/openid/v1/jwks"].map(str::to_owned));
    paths.extend(["/api", "/apis", "/apis/", "/metrics", "/version"].map(str::to_owned));
    paths.extend(health::paths(server));
    paths.extend(openapi::paths());
    paths.extend(GROUPS.iter().map(|group| format!("/apis/{group}")));
    json!({"paths": paths})
}

/// The version whose behaviour is shown; the build says whose server it is. What it emulates is told
/// since 1.34 (`apimachinery/pkg/version/types.go`).
fn version(server: &Server) -> Response {
    let (major, minor) = server.config.kubernetes_version;
    let mut fields: Vec<(&str, String)> = vec![("major", major.to_string()), ("minor", minor.to_string())];
    if minor >= 34 {
        fields.extend([
            ("emulationMajor", major.to_string()),
            ("emulationMinor", minor.to_string()),
            ("minCompatibilityMajor", major.to_string()),
            ("minCompatibilityMinor", minor.saturating_sub(1).to_string()),
        ]);
    }
    fields.extend([
        ("gitVersion", format!("v{major}.{minor}.0+ravelin.{}", env!("CARGO_PKG_VERSION"))),
        ("gitCommit", String::new()),
        ("gitTreeState", String::new()),
        ("buildDate", "1970-01-01T00:00:00Z".to_owned()),
        ("goVersion", String::new()),
        ("compiler", "rustc".to_owned()),
        ("platform", String::new()),
    ]);
    let lines: Vec<String> =
        fields.iter().map(|(name, value)| format!("  \"{name}\": {}", json!(value))).collect();
    answer::json(StatusCode::OK, Bytes::from(format!("{{\n{}\n}}", lines.join(",\n"))))
}

fn versions(server: &Server) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs":
            [{"clientCIDR": "0.0.0.0/0", "serverAddress": server.config.advertise.to_string()}],
    })
}

fn group_object(group: &str) -> Value {
    let version = json!({"groupVersion": group_name(group), "version": "v1"});
    json!({"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": [version], "preferredVersion": version})
}

fn groups() -> Value {
    let groups: Vec<Value> = GROUPS
        .iter()
        .map(|group| {
            let mut described = group_object(group);
            if let Some(members) = described.as_object_mut() {
                members.remove("kind");
                members.remove("apiVersion");
            }
            described
        })
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}
