//! Which resources there are.

use std::fmt;

/// A kind of object that the API serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The group's version.
    pub version: &'static str,
    /// The name in paths: `pods`.
    pub plural: &'static str,
    /// The name of one: `pod`.
    pub singular: &'static str,
    /// The kind: `Pod`.
    pub kind: &'static str,
    /// Does it live in a namespace?
    pub namespaced: bool,
    /// Is it stored? Reviews are only answered.
    pub stored: bool,
    /// Its subresources.
    pub subresources: &'static [&'static str],
}

/// The name of a resource with its group, as errors print it: `leases.coordination.k8s.io`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupResource<'a> {
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The plural.
    pub resource: &'a str,
}

impl fmt::Display for GroupResource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        Ok(())
    }
}

impl Resource {
    /// The resource of a path.
    pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Self> {
        RESOURCES.iter().find(|r| (r.group, r.version, r.plural) == (group, version, plural))
    }

    /// The resource of an object's `apiVersion` and `kind`.
    pub fn of_kind(api_version: &str, kind: &str) -> Option<&'static Self> {
        RESOURCES.iter().find(|r| r.kind == kind && r.api_version() == api_version)
    }

    /// The `apiVersion` of its objects.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The kind of a list of them.
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// Its name and group.
    pub fn group_resource(&self) -> GroupResource<'static> {
        GroupResource { group: self.group, resource: self.plural }
    }

    /// The path of its collection, in a namespace or (with an empty one) across all.
    pub fn path(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if namespace.is_empty() {
            format!("{root}/{}", self.plural)
        } else {
            format!("{root}/namespaces/{namespace}/{}", self.plural)
        }
    }

    /// The path of one object.
    pub fn object_path(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.path(namespace))
    }
}

type Row = (&'static str, &'static str, &'static str, &'static str, bool, &'static [&'static str]);

const fn resource(row: Row, stored: bool) -> Resource {
    let (group, plural, singular, kind, namespaced, subresources) = row;
    Resource { group, version: "v1", plural, singular, kind, namespaced, stored, subresources }
}

const fn stored(row: Row) -> Resource {
    resource(row, true)
}

const fn review(row: Row) -> Resource {
    resource(row, false)
}

const RBAC: &str = "rbac.authorization.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";
const STORAGE: &str = "storage.k8s.io";
const POD_SUBRESOURCES: &[&str] =
    &["status", "attach", "binding", "eviction", "exec", "log", "portforward", "proxy"];

/// Every resource that the API serves.
pub const RESOURCES: &[Resource] = &[
    stored(("", "namespaces", "namespace", "Namespace", false, &["finalize", "status"])),
    stored(("", "nodes", "node", "Node", false, &["status", "proxy"])),
    stored(("", "pods", "pod", "Pod", true, POD_SUBRESOURCES)),
    stored(("", "services", "service", "Service", true, &["status", "proxy"])),
    stored(("", "endpoints", "endpoints", "Endpoints", true, &[])),
    stored(("", "configmaps", "configmap", "ConfigMap", true, &[])),
    stored(("", "secrets", "secret", "Secret", true, &[])),
    stored(("", "serviceaccounts", "serviceaccount", "ServiceAccount", true, &["token"])),
    stored(("", "events", "event", "Event", true, &[])),
    stored(("", "persistentvolumes", "persistentvolume", "PersistentVolume", false, &["status"])),
    stored((
        "",
        "persistentvolumeclaims",
        "persistentvolumeclaim",
        "PersistentVolumeClaim",
        true,
        &["status"],
    )),
    stored(("coordination.k8s.io", "leases", "lease", "Lease", true, &[])),
    stored(("discovery.k8s.io", "endpointslices", "endpointslice", "EndpointSlice", true, &[])),
    stored((
        CERTIFICATES,
        "certificatesigningrequests",
        "certificatesigningrequest",
        "CertificateSigningRequest",
        false,
        &["approval", "status"],
    )),
    stored((RBAC, "roles", "role", "Role", true, &[])),
    stored((RBAC, "rolebindings", "rolebinding", "RoleBinding", true, &[])),
    stored((RBAC, "clusterroles", "clusterrole", "ClusterRole", false, &[])),
    stored((RBAC, "clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding", false, &[])),
    stored((STORAGE, "storageclasses", "storageclass", "StorageClass", false, &[])),
    stored((STORAGE, "csidrivers", "csidriver", "CSIDriver", false, &[])),
    stored((STORAGE, "csinodes", "csinode", "CSINode", false, &[])),
    stored((STORAGE, "volumeattachments", "volumeattachment", "VolumeAttachment", false, &["status"])),
    review((AUTHENTICATION, "tokenreviews", "tokenreview", "TokenReview", false, &[])),
    review((AUTHENTICATION, "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview", false, &[])),
    review((AUTHORIZATION, "subjectaccessreviews", "subjectaccessreview", "SubjectAccessReview", false, &[])),
    review((
        AUTHORIZATION,
        "localsubjectaccessreviews",
        "localsubjectaccessreview",
        "LocalSubjectAccessReview",
        true,
        &[],
    )),
    review((
        AUTHORIZATION,
        "selfsubjectaccessreviews",
        "selfsubjectaccessreview",
        "SelfSubjectAccessReview",
        false,
        &[],
    )),
    review((
        AUTHORIZATION,
        "selfsubjectrulesreviews",
        "selfsubjectrulesreview",
        "SelfSubjectRulesReview",
        false,
        &[],
    )),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_kinds_lead_to_the_same_resource() {
        for resource in RESOURCES {
            assert_eq!(Resource::of_kind(&resource.api_version(), resource.kind), Some(resource));
            assert_eq!(Resource::find(resource.group, resource.version, resource.plural), Some(resource));
        }
        let lease = Resource::of_kind("coordination.k8s.io/v1", "Lease").unwrap();
        assert_eq!(lease.object_path("ns", "x"), "/apis/coordination.k8s.io/v1/namespaces/ns/leases/x");
        assert_eq!(lease.group_resource().to_string(), "leases.coordination.k8s.io");
        assert_eq!(Resource::of_kind("v2", "Pod"), None);
    }
}
