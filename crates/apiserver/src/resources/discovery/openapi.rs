//! `/openapi/v3`: which documents there are, and each of them (KEP-2896).
//!
//! `/openapi/v2` is there for kubectl up to 1.28, which fails without it, and describes nothing: what
//! such a client finds undescribed it knows by itself, or asks v3.

use super::listed::{GROUPS, group_name};
use crate::answer;
use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use ravelin_api::{openapi_v3, render};
use ravelin_transport::Response;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

const ROOT: &str = "/openapi/v3";
const V2: &str = "/openapi/v2";
/// How v2 is asked for in protobuf, and how the answer calls itself: an `@` may not stand in it.
const V2_WANTED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The documents by path below the root, rendered once: they are the same for every server.
static DOCUMENTS: LazyLock<BTreeMap<String, Bytes>> = LazyLock::new(|| {
    let groups = std::iter::once("").chain(GROUPS);
    let documents = groups.filter_map(|group| {
        let root = if group.is_empty() { "api" } else { "apis" };
        let document = openapi_v3(group)?;
        Some((format!("{root}/{}", group_name(group)), Bytes::from(render(&document))))
    });
    documents.collect()
});

/// The roots' paths.
pub(super) fn paths() -> impl Iterator<Item = String> {
    [V2, ROOT].map(str::to_owned).into_iter()
}

/// Answers for these paths and those below; `None` for other paths.
pub(super) fn serve(path: &str, headers: &HeaderMap) -> Option<Response> {
    if path == V2 {
        return Some(undescribed(headers));
    }
    let below = path.strip_prefix(ROOT)?;
    match below.strip_prefix('/') {
        None if below.is_empty() => Some(answer::object(StatusCode::OK, &index())),
        None => None,
        Some("") => Some(answer::object(StatusCode::OK, &index())),
        Some(name) => {
            let document = DOCUMENTS.get(name.trim_end_matches('/'))?;
            Some(answer::json(StatusCode::OK, document.clone()))
        }
    }
}

/// The document of v2: a swagger, a title, a version.
fn undescribed(headers: &HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if ![V2_WANTED, V2_PROTOBUF].iter().any(|wanted| accept.contains(wanted)) {
        let info = json!({"title": "Kubernetes", "version": "v1"});
        return answer::object(StatusCode::OK, &json!({"swagger": "2.0", "info": info, "paths": {}}));
    }
    // `Document` of gnostic's OpenAPIv2.proto: field 1 is `swagger`, field 2 `info`.
    let mut answer =
        answer::json(StatusCode::OK, Bytes::from_static(b"\x0a\x032.0\x12\x10\x0a\x0aKubernetes\x12\x02v1"));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(V2_PROTOBUF));
    answer
}

fn index() -> Value {
    let paths: Map<String, Value> = DOCUMENTS
        .iter()
        .map(|(name, document)| {
            let url = format!("{ROOT}/{name}?hash={:016X}", hash(document));
            (name.clone(), json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// FNV-1a: by it clients see that a document has changed.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_leads_to_every_document() {
        let index = index();
        let paths = index["paths"].as_object().unwrap();
        assert_eq!(paths.len(), GROUPS.len() + 1);
        for (name, place) in paths {
            let url = place["serverRelativeURL"].as_str().unwrap();
            let (path, hash) = url.split_once("?hash=").unwrap();
            assert_eq!((path, hash.len()), (format!("{ROOT}/{name}").as_str(), 16));
            assert_eq!(serve(path, &HeaderMap::new()).unwrap().status(), StatusCode::OK);
        }
        for nowhere in ["/openapi/v2x", "/openapi/v3x", "/openapi/v3/apis/apps/v1", "/openapi"] {
            assert!(serve(nowhere, &HeaderMap::new()).is_none(), "{nowhere}");
        }
    }
}
