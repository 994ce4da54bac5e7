//! What somebody wants to do.

use crate::UserInfo;
use ravelin_api::{FieldSelector, GroupResource, RequestInfo, Status};

/// A request, as authorizers see it (`apiserver/pkg/authorization/authorizer/interfaces.go`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Who asks.
    pub user: UserInfo,
    /// What is to be done.
    pub verb: String,
    /// In which namespace; empty for the whole cluster.
    pub namespace: String,
    /// To what API group; empty for the core group.
    pub group: String,
    /// To what version.
    pub version: String,
    /// To what resource.
    pub resource: String,
    /// To what part of it; empty for the whole.
    pub subresource: String,
    /// To which object; empty where it is not one object.
    pub name: String,
    /// The path, for what is no resource.
    pub path: String,
    /// Is it about a resource?
    pub resource_request: bool,
    /// What a list or watch is narrowed to; empty where that cannot be read.
    pub fields: FieldSelector,
}

impl Attributes {
    /// What a user wants with a request to the API.
    pub fn of_request(user: UserInfo, info: &RequestInfo) -> Self {
        Self {
            user,
            verb: info.verb.clone(),
            namespace: info.namespace.clone(),
            group: info.group.clone(),
            version: info.version.clone(),
            resource: info.resource.clone(),
            subresource: info.subresource.clone(),
            name: info.name.clone(),
            path: info.path.clone(),
            resource_request: info.is_resource_request,
            // A selector that cannot be read narrows nothing.
            fields: FieldSelector::parse(&info.field_selector).unwrap_or_default(),
        }
    }

    /// What a user wants with a resource across the cluster; set the rest as needed.
    pub fn of_resource(user: UserInfo, verb: &str, group: &str, resource: &str) -> Self {
        Self {
            user,
            verb: verb.to_owned(),
            group: group.to_owned(),
            version: "v1".to_owned(),
            resource: resource.to_owned(),
            resource_request: true,
            ..Self::default()
        }
    }

    /// The resource with its group, as errors print it.
    pub fn group_resource(&self) -> GroupResource<'_> {
        GroupResource { group: &self.group, resource: &self.resource }
    }

    /// Who may not do what, in Kubernetes' words
    /// (`apiserver/pkg/endpoints/handlers/responsewriters/errors.go`).
    pub fn forbidden_text(&self) -> String {
        let (user, verb) = (&self.user.name, &self.verb);
        if !self.resource_request {
            return format!("User {user:?} cannot {verb} path {:?}", self.path);
        }
        let mut resource = self.resource.clone();
        if !self.subresource.is_empty() {
            resource = format!("{resource}/{}", self.subresource);
        }
        let place = if self.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {:?}", self.namespace)
        };
        format!("User {user:?} cannot {verb} resource {resource:?} in API group {:?} {place}", self.group)
    }

    /// The 403 for this, with the reason where there is one.
    pub fn forbidden(&self, reason: &str) -> Status {
        // No error may look like HTML (`sanitizer` in the same file).
        let text = self.forbidden_text();
        let mut why = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        if !reason.is_empty() {
            why = format!("{why}: {reason}");
        }
        Status::forbidden(self.group_resource(), &self.name, &why)
    }
}
