//! Protobuf by itself: recorded bytes, round trips, broken bytes.

use super::*;
use crate::{RESOURCES, Status};
use proptest::prelude::*;

fn read(body: &[u8], api_version: &str, kind: &str) -> Value {
    Enveloped::open(body).unwrap().read(api_version, kind).unwrap().unwrap()
}

#[test]
fn a_status_is_byte_for_byte_as_recorded() {
    let recorded = b"k8s\x00\n\x0c\n\x02v1\x12\x06Status\x120\n\x06\n\x00\x12\x00\x1a\x00\x12\x07Failure\x1a\x0cUnauthorized\"\x0cUnauthorized0\x91\x03\x1a\x00\"\x00";
    assert_eq!(to_protobuf(&Status::unauthorized().to_value()).unwrap(), recorded);
}

#[test]
fn a_delete_options_body_of_kubectl_is_read() {
    // `kubectl drain`: grace period 0 (a pointer's zero counts), propagation Background.
    let mut inner = Bytes::default();
    inner.number(1, 0);
    inner.text(4, "Background");
    inner.text(5, "All");
    let mut meta = Bytes::default();
    meta.text(1, "policy/v1");
    meta.text(2, "DeleteOptions");
    let mut unknown = Bytes::default();
    unknown.bytes(1, &meta.0);
    unknown.bytes(2, &inner.0);
    let body = [PROTOBUF_PREFIX.as_slice(), &unknown.0].concat();
    let opened = Enveloped::open(&body).unwrap();
    assert_eq!((opened.api_version.as_str(), opened.kind.as_str()), ("policy/v1", "DeleteOptions"));
    assert_eq!(
        opened.read("meta.k8s.io/v1", "DeleteOptions").unwrap().unwrap(),
        json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "gracePeriodSeconds": 0,
            "propagationPolicy": "Background", "dryRun": ["All"]})
    );
}

#[test]
fn objects_survive_the_way_through_protobuf() {
    for object in [
        json!({"kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": "p", "namespace": "n", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"a": "b", "c": ""}, "deletionGracePeriodSeconds": 0},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "100m"}},
                    "livenessProbe": {"httpGet": {"port": "web", "path": "/"}}, "ports": [{"containerPort": 80}]}],
                "volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": 420}},
                    {"name": "w", "configMap": {"name": "cm"}}],
                "securityContext": {"supplementalGroups": [1, 2]}, "automountServiceAccountToken": false},
            "status": {}}),
        json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {"a": "AAEC/w=="}}),
        json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"name": "l"},
            "spec": {"renewTime": "2026-01-01T00:00:00.250000Z", "leaseDurationSeconds": 40}}),
        json!({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {},
            "spec": {"user": "u", "extra": {"k": ["a", "b"]}, "resourceAttributes": {"verb": "get"}},
            "status": {"allowed": false}}),
    ] {
        let body = to_protobuf(&object).unwrap();
        let (version, kind) = (crate::object::api_version(&object), crate::object::kind(&object));
        assert_eq!(read(&body, version, kind), object);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), which in 0..RESOURCES.len()) {
        let _ = Enveloped::open(&bytes);
        let resource = &RESOURCES[which];
        let opened = Enveloped { raw: bytes, ..Enveloped::default() };
        if let Ok(Some(object)) = opened.read(&resource.api_version(), resource.kind) {
            prop_assert!(to_protobuf(&object).is_some());
        }
    }

    #[test]
    fn a_broken_body_never_panics(cut in 0_usize..400, flip in 0_usize..400, with in any::<u8>()) {
        let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}]}]}});
        let mut body = to_protobuf(&pod).unwrap();
        let (cut, flip) = (cut % body.len(), flip % body.len());
        body[flip] ^= with;
        if let Ok(opened) = Enveloped::open(&body[..cut]) {
            let _ = opened.read("v1", "Pod");
        }
    }
}
