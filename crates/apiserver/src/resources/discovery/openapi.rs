//! `/openapi/v3`: which documents there are, and each of them (KEP-2896). There is no `/openapi/v2`:
//! clients that know both ask for it only where v3 is missing.

use super::listed::{GROUPS, group_name};
use crate::answer;
use bytes::Bytes;
use http::StatusCode;
use ravelin_api::{openapi_v3, render};
use ravelin_transport::Response;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

const ROOT: &str = "/openapi/v3";

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

/// The root's path.
pub(super) fn paths() -> impl Iterator<Item = String> {
    [ROOT.to_owned()].into_iter()
}

/// Answers for a path below the root; `None` for other paths.
pub(super) fn serve(path: &str) -> Option<Response> {
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
            assert_eq!(serve(path).unwrap().status(), StatusCode::OK);
        }
        for nowhere in ["/openapi/v2", "/openapi/v3x", "/openapi/v3/apis/apps/v1", "/openapi"] {
            assert!(serve(nowhere).is_none(), "{nowhere}");
        }
    }
}
