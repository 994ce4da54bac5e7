//! What the server says of itself: groups, versions, resources, health.

use crate::answer;
use crate::server::{Asked, Server};
use bytes::Bytes;
use http::StatusCode;
use ravelin_api::{RESOURCES, Resource};
use ravelin_auth::Permit;
use ravelin_transport::Response;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Answers for a path that is no resource.
pub(super) fn serve(server: &Server, _permit: &Permit, asked: &Asked) -> Response {
    // A path with empty segments is another path, which nobody serves.
    let path = asked.info.path.strip_suffix('/').unwrap_or(&asked.info.path);
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    if !matches!(asked.info.verb.as_str(), "get" | "head") {
        return answer::page_not_found();
    }
    let described = match segments.as_slice() {
        [] => paths(),
        ["version"] => return version(server),
        ["healthz" | "livez" | "readyz"] => return answer::text(StatusCode::OK, "ok"),
        ["healthz" | "livez" | "readyz", "ping"] => return answer::text(StatusCode::OK, "ok"),
        ["api"] => versions(server),
        ["apis"] => groups(),
        ["api", version] => match resources("", version) {
            Some(list) => list,
            None => return answer::page_not_found(),
        },
        ["apis", group] if group_names().contains(group) => group_object(group),
        ["apis", group, version] => match resources(group, version) {
            Some(list) => list,
            None => return answer::page_not_found(),
        },
        _ => return answer::page_not_found(),
    };
    answer::object(StatusCode::OK, &described)
}

fn group_names() -> BTreeSet<&'static str> {
    RESOURCES.iter().map(|resource| resource.group).filter(|group| !group.is_empty()).collect()
}

fn paths() -> Value {
    let mut paths: BTreeSet<String> = RESOURCES
        .iter()
        .map(|resource| resource.path("").rsplit_once('/').map_or_else(String::new, |p| p.0.to_owned()))
        .collect();
    paths.extend(["/api", "/apis", "/healthz", "/livez", "/readyz", "/version"].map(str::to_owned));
    paths.extend(group_names().into_iter().map(|group| format!("/apis/{group}")));
    json!({"paths": paths})
}

/// The version whose behaviour is shown; the build says whose server it is.
fn version(server: &Server) -> Response {
    let (major, minor) = server.config.kubernetes_version;
    let minimal = minor.saturating_sub(1);
    let version = json!({
        "major": major.to_string(),
        "minor": minor.to_string(),
        "emulationMajor": major.to_string(),
        "emulationMinor": minor.to_string(),
        "minCompatibilityMajor": major.to_string(),
        "minCompatibilityMinor": minimal.to_string(),
        "gitVersion": format!("v{major}.{minor}.0+ravelin.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": "",
    });
    let text = serde_json::to_string_pretty(&version).expect("strings can be written");
    answer::json(StatusCode::OK, Bytes::from(text))
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
    let version = json!({"groupVersion": format!("{group}/v1"), "version": "v1"});
    json!({"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": [version], "preferredVersion": version})
}

fn groups() -> Value {
    let groups: Vec<Value> = group_names()
        .into_iter()
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

fn resources(group: &str, version: &str) -> Option<Value> {
    let of_group: Vec<&Resource> =
        RESOURCES.iter().filter(|resource| (resource.group, resource.version) == (group, version)).collect();
    let group_version = of_group.first()?.api_version();
    let described: Vec<Value> = of_group.iter().flat_map(|resource| describe(resource)).collect();
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": described,
    }))
}

fn describe(resource: &Resource) -> Vec<Value> {
    let verbs: &[&str] = if resource.stored {
        &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    } else {
        &["create"]
    };
    let mut described = vec![json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": verbs,
    })];
    for subresource in resource.subresources {
        let (kind, verbs): (&str, &[&str]) = match *subresource {
            "status" | "approval" => (resource.kind, &["get", "patch", "update"]),
            "log" => (resource.kind, &["get"]),
            "proxy" => (proxy_kind(resource), &["create", "delete", "get", "patch", "update"]),
            "binding" => ("Binding", &["create"]),
            "token" => ("TokenRequest", &["create"]),
            _ => continue,
        };
        described.push(json!({
            "name": format!("{}/{subresource}", resource.plural),
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": kind,
            "verbs": verbs,
        }));
    }
    described
}

fn proxy_kind(resource: &Resource) -> &'static str {
    match resource.plural {
        "nodes" => "NodeProxyOptions",
        "pods" => "PodProxyOptions",
        _ => "ServiceProxyOptions",
    }
}
