//! All groups and resources in one answer (KEP-3352), for whoever asks for that form.

use super::listed::{Entry, categories, entries, short_names};
use crate::answer;
use crate::negotiate::clauses;
use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use ravelin_transport::Response;
use serde_json::{Value, json};

const GROUP: &str = "apidiscovery.k8s.io";
const KIND: &str = "APIGroupDiscoveryList";

/// The groups in the form that is wanted most, if that is this one.
pub(super) fn serve(headers: &HeaderMap, groups: &[&str]) -> Option<Response> {
    let version = version(headers.get(ACCEPT)?.to_str().ok()?)?;
    let items: Vec<Value> = groups.iter().map(|group| described(group)).collect();
    let list = json!({
        "kind": KIND,
        "apiVersion": format!("{GROUP}/{version}"),
        "metadata": {},
        "items": items,
    });
    let mut answer = answer::json(StatusCode::OK, Bytes::from(ravelin_api::render(&list)));
    let media_type = match version {
        "v2" => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        _ => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    };
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    Some(answer)
}

/// The version of the aggregated form that is wanted before plain JSON.
fn version(accept: &str) -> Option<&'static str> {
    for clause in clauses(accept) {
        let about = |name| clause.parameter(name);
        match (about("g"), about("v"), about("as")) {
            (Some(GROUP), Some("v2"), Some(KIND)) if clause.is("application", "json") => return Some("v2"),
            (Some(GROUP), Some("v2beta1"), Some(KIND)) if clause.is("application", "json") => {
                return Some("v2beta1");
            }
            (None, None, None) => return None,
            _ => {}
        }
    }
    None
}

fn described(group: &str) -> Value {
    let entries = entries(group);
    let resources: Vec<Value> = entries
        .iter()
        .filter(|entry| entry.subresource.is_empty())
        .map(|entry| resource(entry, &entries))
        .collect();
    let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
    json!({
        "metadata": metadata,
        "versions": [{"version": "v1", "resources": resources, "freshness": "Current"}],
    })
}

fn resource(entry: &Entry, entries: &[Entry]) -> Value {
    let plural = entry.resource.plural;
    let mut described = json!({
        "resource": plural,
        "responseKind": kind(entry),
        "scope": if entry.resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": entry.resource.singular,
        "verbs": entry.verbs,
    });
    let subresources: Vec<Value> = entries
        .iter()
        .filter(|other| other.resource.plural == plural && !other.subresource.is_empty())
        .map(|other| json!({"subresource": other.subresource, "responseKind": kind(other), "verbs": other.verbs}))
        .collect();
    if !subresources.is_empty() {
        described["subresources"] = json!(subresources);
    }
    for (name, list) in [("shortNames", short_names(plural)), ("categories", categories(plural))] {
        if !list.is_empty() {
            described[name] = json!(list);
        }
    }
    described
}

fn kind(entry: &Entry) -> Value {
    let (group, version, kind) = entry.kind;
    json!({"group": group, "version": version, "kind": kind})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_negotiated_for_real() {
        let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let beta = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
        for (accept, chosen) in [
            (format!("{v2},{beta},application/json"), Some("v2")),
            (format!("{beta},application/json"), Some("v2beta1")),
            ("application/json".to_owned(), None),
            (format!("application/json,{v2};q=0.5"), None),
            ("application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,*/*".to_owned(), None),
        ] {
            assert_eq!(version(&accept), chosen, "{accept}");
        }
    }
}
