//! The paths of a group's document: which kind each serves, by which methods, with which options.

use super::REFERENCES;
use crate::Resource;
use serde_json::{Map, Value, json};

/// The paths of resources.
pub(super) fn of(resources: &[&Resource]) -> Map<String, Value> {
    let mut paths = Map::new();
    for resource in resources {
        let namespace = if resource.namespaced { "{namespace}" } else { "" };
        let collection = resource.path(namespace);
        paths.insert(collection.clone(), self::collection(resource));
        if !resource.stored {
            continue;
        }
        if resource.namespaced {
            paths.insert(resource.path(""), json!({"get": operation(resource, "list", READ)}));
        }
        let one = format!("{collection}/{{name}}");
        paths.insert(one.clone(), object(resource));
        for subresource in resource.subresources {
            if let Some(item) = part(resource, subresource) {
                paths.insert(format!("{one}/{subresource}"), item);
            }
        }
    }
    paths
}

const READ: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
const WRITE: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const PATCH: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];
const DELETE: &[&str] = &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];

fn collection(resource: &Resource) -> Value {
    let mut item = json!({"post": operation(resource, "post", WRITE), "parameters": names(resource, false)});
    if resource.stored {
        item["get"] = operation(resource, "list", READ);
        if resource.plural != "namespaces" {
            item["delete"] = operation(resource, "deletecollection", DELETE);
        }
    }
    item
}

fn object(resource: &Resource) -> Value {
    json!({
        "get": operation(resource, "get", &[]),
        "put": operation(resource, "put", WRITE),
        "patch": operation(resource, "patch", PATCH),
        "delete": operation(resource, "delete", DELETE),
        "parameters": names(resource, true),
    })
}

/// A subresource that has an object: the resource's own, or what it takes.
fn part(resource: &Resource, subresource: &str) -> Option<Value> {
    let mut item = match subresource {
        "status" | "approval" => json!({
            "get": operation(resource, "get", &[]),
            "put": operation(resource, "put", WRITE),
            "patch": operation(resource, "patch", PATCH),
        }),
        "finalize" => json!({"put": operation(resource, "put", WRITE)}),
        _ => {
            let (group, version, kind) = super::taken(subresource)?;
            json!({"post": described((group, version, kind), "post", WRITE)})
        }
    };
    item["parameters"] = names(resource, true);
    Some(item)
}

/// The parameters in the path itself.
fn names(resource: &Resource, named: bool) -> Value {
    let names = [(resource.namespaced, "namespace"), (named, "name")];
    let shown = names
        .iter()
        .filter(|(shown, _)| *shown)
        .map(|(_, name)| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    shown.collect()
}

fn operation(resource: &Resource, action: &str, options: &[&str]) -> Value {
    described((resource.group, resource.version, resource.kind), action, options)
}

fn described((group, version, kind): (&str, &str, &str), action: &str, options: &[&str]) -> Value {
    let parameters: Vec<Value> = options.iter().map(|name| parameter(name)).collect();
    let package = if group.is_empty() { "core" } else { group.split('.').next().unwrap_or_default() };
    let shown = if action == "list" { format!("{kind}List") } else { kind.to_owned() };
    let answer = match action {
        "delete" | "deletecollection" => format!("{REFERENCES}{}.Status", super::META),
        _ => format!("{REFERENCES}io.k8s.api.{package}.{version}.{shown}"),
    };
    let content = json!({"application/json": {"schema": {"$ref": answer}}});
    let mut operation = json!({
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": content}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    });
    if matches!(action, "post" | "put") {
        operation["requestBody"] =
            json!({"content": {"*/*": {"schema": {"$ref": answer}}}, "required": true});
    }
    operation
}

fn parameter(name: &str) -> Value {
    let kind = match name {
        "limit" | "timeoutSeconds" | "gracePeriodSeconds" => "integer",
        "watch" | "allowWatchBookmarks" | "sendInitialEvents" | "force" | "orphanDependents" => "boolean",
        _ => "string",
    };
    json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
}

#[cfg(test)]
mod tests {
    use crate::openapi_v3;
    use serde_json::{Value, json};

    #[test]
    fn every_object_can_be_patched_with_field_validation() {
        let document = openapi_v3("rbac.authorization.k8s.io").unwrap();
        let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/{name}";
        let patch = &document["paths"][path]["patch"];
        let kind = json!({"group": "rbac.authorization.k8s.io", "version": "v1", "kind": "Role"});
        assert_eq!(patch["x-kubernetes-group-version-kind"], kind);
        let parameters: Vec<&Value> =
            patch["parameters"].as_array().unwrap().iter().map(|parameter| &parameter["name"]).collect();
        assert_eq!(parameters, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    }
}
