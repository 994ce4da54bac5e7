//! What of a pod's volumes becomes files, and where; pure.
//!
//! After `pkg/volume/{projected,secret,configmap,downwardapi}`. Other kinds hold nothing that comes
//! from the cluster, and are empty here.

use ravelin_api::object;
use serde_json::Value;
use std::collections::BTreeMap;

/// How long a token is asked for where the volume does not say (core/v1 defaults).
const DEFAULT_TOKEN_SECONDS: u64 = 3600;

/// Which token: its audience (`None`: the apiserver's) and how long it is to live, in seconds.
pub(super) type TokenKey = (Option<String>, u64);

/// A ConfigMap or a Secret of the pod's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ObjectKey {
    /// `configmaps` or `secrets`.
    pub(super) plural: &'static str,
    pub(super) name: String,
}

/// What a file's content comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A token of the pod's service account.
    Token { path: String, key: TokenKey },
    /// The keys of an object: all, or some, each under a path.
    Object { of: ObjectKey, items: Option<Vec<(String, String)>>, optional: bool },
    /// What the pod's own object says.
    Pod { path: String, content: Vec<u8> },
}

/// A volume that becomes files, and the directories where containers find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) directories: Vec<String>,
    pub(super) pieces: Vec<Piece>,
}

/// The volumes of a pod that become files and that some container mounts.
pub(super) fn volumes_of(pod: &Value) -> Vec<Volume> {
    let mut all = Vec::new();
    for volume in object::list(pod, "spec.volumes") {
        let (directories, pieces) = (directories(pod, object::text(volume, "name")), pieces(pod, volume));
        if !(directories.is_empty() || pieces.is_empty()) {
            all.push(Volume { directories, pieces });
        }
    }
    all
}

/// Where containers mount a volume. A path that leaves where it belongs is none; parts of volumes
/// (`subPath`) are not mounted.
fn directories(pod: &Value, volume: &str) -> Vec<String> {
    let containers = object::list(pod, "spec.containers").iter();
    let mounts = containers.flat_map(|container| object::list(container, "volumeMounts"));
    let mounts = mounts.filter(|mount| object::text(mount, "name") == volume && mount["subPath"].is_null());
    let paths = mounts.map(|mount| object::text(mount, "mountPath").trim_end_matches('/'));
    let mut paths: Vec<String> =
        paths.filter(|path| path.starts_with('/') && is_tame(path)).map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    paths
}

fn is_tame(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| part != "..")
}

fn pieces(pod: &Value, volume: &Value) -> Vec<Piece> {
    let whole = [
        object_piece("configmaps", &volume["configMap"], "name"),
        object_piece("secrets", &volume["secret"], "secretName"),
    ];
    let sources = object::list(volume, "projected.sources").iter();
    let mut pieces: Vec<Piece> = whole.into_iter().flatten().collect();
    pieces.extend(downward(pod, &volume["downwardAPI"]));
    for source in sources {
        pieces.extend(object_piece("configmaps", &source["configMap"], "name"));
        pieces.extend(object_piece("secrets", &source["secret"], "name"));
        pieces.extend(downward(pod, &source["downwardAPI"]));
        pieces.extend(token_piece(&source["serviceAccountToken"]));
    }
    pieces.retain(|piece| match piece {
        Piece::Token { path, .. } | Piece::Pod { path, .. } => is_tame(path),
        Piece::Object { items, .. } => items.iter().flatten().all(|(_, path)| is_tame(path)),
    });
    pieces
}

fn token_piece(source: &Value) -> Option<Piece> {
    let path = source["path"].as_str()?.to_owned();
    let audience = source["audience"].as_str().filter(|audience| !audience.is_empty()).map(str::to_owned);
    let seconds = source["expirationSeconds"].as_u64().unwrap_or(DEFAULT_TOKEN_SECONDS);
    Some(Piece::Token { path, key: (audience, seconds) })
}

fn object_piece(plural: &'static str, source: &Value, name: &str) -> Option<Piece> {
    let name = source[name].as_str().filter(|name| is_tame(name) && !name.contains('/'))?.to_owned();
    let item = |item: &Value| Some((item["key"].as_str()?.to_owned(), item["path"].as_str()?.to_owned()));
    let items = source["items"].as_array().map(|items| items.iter().filter_map(item).collect());
    let optional = source["optional"] == true;
    Some(Piece::Object { of: ObjectKey { plural, name }, items, optional })
}

/// `FieldPath` of `pkg/fieldpath`, of what a volume may name.
fn downward(pod: &Value, source: &Value) -> Vec<Piece> {
    let items = source["items"].as_array().into_iter().flatten();
    let read = items.filter_map(|item| {
        let content = field(pod, item["fieldRef"]["fieldPath"].as_str()?)?;
        Some(Piece::Pod { path: item["path"].as_str()?.to_owned(), content: content.into_bytes() })
    });
    read.collect()
}

fn field(pod: &Value, path: &str) -> Option<String> {
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = object::strings(object::at(pod, map).filter(|_| is_map(map)));
        return Some(map.get(key).copied().unwrap_or_default().to_owned());
    }
    if is_map(path) {
        let map: BTreeMap<&str, &str> = object::strings(object::at(pod, path));
        let lines: Vec<String> = map.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
        return Some(lines.join("\n"));
    }
    let known = ["metadata.name", "metadata.namespace", "metadata.uid"].contains(&path);
    known.then(|| object::text(pod, path).to_owned())
}

fn is_map(path: &str) -> bool {
    matches!(path, "metadata.labels" | "metadata.annotations")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(volumes: Value, mounts: Value) -> Value {
        json!({
            "metadata": { "name": "p", "namespace": "ns", "labels": { "b": "2", "a": "1" } },
            "spec": { "volumes": volumes, "containers": [{ "volumeMounts": mounts }, { "volumeMounts": mounts }] },
        })
    }

    #[test]
    fn a_projected_volume_is_read_source_by_source() {
        let sources = json!([
            { "serviceAccountToken": { "path": "token", "expirationSeconds": 3607 } },
            { "serviceAccountToken": { "path": "vault", "audience": "vault" } },
            { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
            { "downwardAPI": { "items": [
                { "path": "namespace", "fieldRef": { "fieldPath": "metadata.namespace" } },
                { "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } },
                { "path": "b", "fieldRef": { "fieldPath": "metadata.labels['b']" } },
                { "path": "no", "fieldRef": { "fieldPath": "spec.nodeName" } },
            ] } },
        ]);
        let pod = pod(
            json!([{ "name": "v", "projected": { "sources": sources } }]),
            json!([{ "name": "v", "mountPath": "/var/run/x/" }]),
        );
        let said = |path: &str, content: &str| Piece::Pod { path: path.into(), content: content.into() };
        let expected = Volume {
            directories: vec!["/var/run/x".to_owned()],
            pieces: vec![
                Piece::Token { path: "token".into(), key: (None, 3607) },
                Piece::Token { path: "vault".into(), key: (Some("vault".into()), 3600) },
                Piece::Object {
                    of: ObjectKey { plural: "configmaps", name: "kube-root-ca.crt".into() },
                    items: Some(vec![("ca.crt".into(), "ca.crt".into())]),
                    optional: false,
                },
                said("namespace", "ns"),
                said("labels", "a=\"1\"\nb=\"2\""),
                said("b", "2"),
            ],
        };
        assert_eq!(volumes_of(&pod), [expected]);
    }

    #[test]
    fn volumes_that_nobody_mounts_or_that_leave_their_place_are_left_out() {
        let volumes = json!([
            { "name": "s", "secret": { "secretName": "s", "optional": true } },
            { "name": "e", "emptyDir": {} },
            { "name": "out", "configMap": { "name": "c", "items": [{ "key": "k", "path": "../k" }] } },
            { "name": "odd", "configMap": { "name": "../secrets/x" } },
        ]);
        let mount = |name: &str, path: &str| json!({ "name": name, "mountPath": path });
        assert!(volumes_of(&pod(volumes.clone(), json!([]))).is_empty());
        let mounts = ["s", "e", "out", "odd"].map(|name| mount(name, "/a"));
        let read = volumes_of(&pod(volumes.clone(), json!(mounts)));
        assert_eq!(read.len(), 1);
        assert!(matches!(&read[0].pieces[..], [Piece::Object { optional: true, items: None, .. }]));
        assert!(volumes_of(&pod(volumes.clone(), json!([mount("s", "/a/../../etc")]))).is_empty());
        assert!(volumes_of(&pod(volumes, json!([mount("s", "relative")]))).is_empty());
    }
}
