//! What a request is about (`apiserver/pkg/endpoints/request/requestinfo.go`).

use crate::{GroupResource, ListOptions, Query, percent_decode};

/// A request's method and path, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Is it about a resource of the API (or about a path such as `/version`)?
    pub is_resource_request: bool,
    /// The decoded path.
    pub path: String,
    /// What is to be done: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`,
    /// `deletecollection`; for paths the method in lower case.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The group's version.
    pub version: String,
    /// The namespace; empty where there is none.
    pub namespace: String,
    /// The resource's plural.
    pub resource: String,
    /// The subresource; empty where there is none.
    pub subresource: String,
    /// The object's name; empty where there is none. A list or watch whose field selector
    /// requires one name bears it.
    pub name: String,
    /// The segments from the resource on.
    pub parts: Vec<String>,
    /// The decoded path behind the subresource (`/` and on), as proxies pass it on.
    pub rest: String,
    /// The field selector of a list, watch or deletecollection, as it was written.
    pub field_selector: String,
    /// The label selector of a list, watch or deletecollection, as it was written.
    pub label_selector: String,
}

/// The path cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// Its percent-encoding is broken.
    Encoding,
    /// It names no resource where one must be.
    NoResource,
}

impl std::fmt::Display for BadPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Encoding => "the request's path is not encoded as paths are",
            Self::NoResource => "unable to determine kind and namespace from url",
        })
    }
}

impl std::error::Error for BadPath {}

impl RequestInfo {
    /// Reads a request from its method, its encoded path and its encoded query (without the
    /// question mark).
    ///
    /// # Errors
    /// Where the path's percent-encoding is broken or it names no resource behind `/watch`.
    pub fn parse(method: &str, path: &str, query: &str) -> Result<Self, BadPath> {
        let path = percent_decode(path).ok_or(BadPath::Encoding)?;
        let mut info = Self { verb: method.to_ascii_lowercase(), path, ..Self::default() };
        let path = info.path.clone();
        let trimmed = path.trim_matches('/');
        let segments: Vec<&str> = if trimmed.is_empty() { Vec::new() } else { trimmed.split('/').collect() };
        let parts = match segments.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => {
                info.version = (*version).to_owned();
                rest
            }
            ["apis", group, version, rest @ ..] if !rest.is_empty() => {
                info.group = (*group).to_owned();
                info.version = (*version).to_owned();
                rest
            }
            _ => return Ok(info),
        };
        info.is_resource_request = true;
        let by_path = matches!(parts, ["watch" | "proxy", ..]);
        let parts = if by_path {
            info.verb = parts[0].to_owned();
            &parts[1..]
        } else {
            info.verb = verb_of(method).to_owned();
            parts
        };
        info.read_parts(parts)?;
        info.read_query(&Query::parse(query), by_path);
        Ok(info)
    }

    /// The resource with its group, as errors print it.
    pub fn group_resource(&self) -> GroupResource<'_> {
        GroupResource { group: &self.group, resource: &self.resource }
    }

    fn read_parts(&mut self, parts: &[&str]) -> Result<(), BadPath> {
        let parts = match parts {
            [] => return Err(BadPath::NoResource),
            ["namespaces", namespace, rest @ ..] => {
                self.namespace = (*namespace).to_owned();
                let own = matches!(rest, [] | ["status" | "finalize", ..]);
                if own { parts } else { rest }
            }
            _ => parts,
        };
        self.parts = parts.iter().map(|part| (*part).to_owned()).collect();
        let part = |index: usize| parts.get(index).copied().unwrap_or_default().to_owned();
        self.resource = part(0);
        self.name = part(1);
        if self.verb != "proxy" {
            self.subresource = part(2);
        }
        self.rest = self.rest_of_path(parts);
        Ok(())
    }

    fn rest_of_path(&self, parts: &[&str]) -> String {
        let Some(behind) = parts.get(3..).filter(|behind| !behind.is_empty()) else {
            return if parts.len() == 3 && self.path.ends_with('/') { "/".to_owned() } else { String::new() };
        };
        let slash = if self.path.ends_with('/') { "/" } else { "" };
        format!("/{}{slash}", behind.join("/"))
    }

    fn read_query(&mut self, query: &Query, by_path: bool) {
        if self.name.is_empty() && self.verb == "get" {
            // Where an option cannot be read, only `watch` is: the answer will be an error, and
            // no name may be taken from a selector that will not be applied.
            let options = ListOptions::parse(query).unwrap_or_default();
            self.verb = if query.flag("watch") { "watch" } else { "list" }.to_owned();
            if let Some(name) = options.fields.required("metadata.name")
                && is_path_segment(name)
            {
                self.name = name.to_owned();
            }
        }
        if self.name.is_empty() && self.verb == "delete" {
            self.verb = "deletecollection".to_owned();
        }
        if !by_path && matches!(self.verb.as_str(), "list" | "watch" | "deletecollection") {
            let text = |name| query.first(name).unwrap_or_default().to_owned();
            self.field_selector = text("fieldSelector");
            self.label_selector = text("labelSelector");
        }
    }
}

fn verb_of(method: &str) -> &'static str {
    match method {
        "POST" => "create",
        "GET" | "HEAD" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

fn is_path_segment(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '%'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(method: &str, target: &str) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let i = RequestInfo::parse(method, path, query).unwrap();
        if !i.is_resource_request {
            return format!("{} {}", i.verb, i.path);
        }
        let subresource =
            if i.subresource.is_empty() { String::new() } else { format!("/{}", i.subresource) };
        format!(
            "{} {}/{}{subresource} ns={} name={} rest={}",
            i.verb, i.group, i.resource, i.namespace, i.name, i.rest
        )
    }

    #[test]
    fn paths_are_read_as_kubernetes_reads_them() {
        for (request, expected) in [
            ("GET /", "get /"),
            ("GET /api/v1", "get /api/v1"),
            ("GET /apis/apps/v1", "get /apis/apps/v1"),
            ("POST /healthz/ping", "post /healthz/ping"),
            ("GET /api/v1/pods", "list /pods ns= name= rest="),
            ("GET /api/v1/nodes/", "list /nodes ns= name= rest="),
            ("GET /api/v1/pods?watch", "watch /pods ns= name= rest="),
            ("GET /api/v1/pods?watch=0", "list /pods ns= name= rest="),
            ("HEAD /api/v1/namespaces/a/pods/p", "get /pods ns=a name=p rest="),
            ("GET /api/v1/namespaces/a", "get /namespaces ns=a name=a rest="),
            ("PUT /api/v1/namespaces/a/status", "update /namespaces/status ns=a name=a rest="),
            ("GET /api/v1/namespaces/a/pods/p/log", "get /pods/log ns=a name=p rest="),
            ("POST /api/v1/nodes/n:10250/proxy/run/x/", "create /nodes/proxy ns= name=n:10250 rest=/run/x/"),
            ("GET /api/v1/nodes/n/proxy/", "get /nodes/proxy ns= name=n rest=/"),
            ("DELETE /api/v1/namespaces/a/pods", "deletecollection /pods ns=a name= rest="),
            ("GET /api/v1/watch/namespaces/a/pods", "watch /pods ns=a name= rest="),
            ("GET /api/v1/proxy/nodes/n/x", "proxy /nodes ns= name=n rest="),
            (
                "GET /apis/rbac.authorization.k8s.io/v1/roles",
                "list rbac.authorization.k8s.io/roles ns= name= rest=",
            ),
            ("GET /api/v1/namespaces/a/pods/a%2Fb", "get /pods/b ns=a name=a rest="),
            ("TRACE /api/v1/pods", " /pods ns= name= rest="),
            ("GET /api/v1/nodes?fieldSelector=metadata.name%3Dn1", "list /nodes ns= name=n1 rest="),
            ("GET /api/v1/nodes?fieldSelector=metadata.name!%3Dn1", "list /nodes ns= name= rest="),
            ("GET /api/v1/nodes?fieldSelector=metadata.name%3Da/b", "list /nodes ns= name= rest="),
            (
                "GET /api/v1/nodes?limit=x&watch=1&fieldSelector=metadata.name%3Dn",
                "watch /nodes ns= name= rest=",
            ),
        ] {
            let (method, target) = request.split_once(' ').unwrap();
            assert_eq!(parse(method, target), expected, "{request}");
        }
    }

    #[test]
    fn a_broken_path_is_refused() {
        for path in ["/api/v1/%zz", "/%", "/api/v1/%ff"] {
            assert_eq!(RequestInfo::parse("GET", path, ""), Err(BadPath::Encoding), "{path}");
        }
        assert_eq!(RequestInfo::parse("GET", "/api/v1/watch", ""), Err(BadPath::NoResource));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(method in "[A-Z]{0,6}", path in "(/api|/apis)?(/[a-z%0-9:.]{0,12}|/namespaces|/watch|/proxy){0,8}/?", query in "\\PC{0,40}") {
            let _ = RequestInfo::parse(&method, &path, &query);
        }

        #[test]
        fn any_text_at_all_never_panics(method in "\\PC{0,9}", path in "\\PC{0,60}", query in "\\PC{0,60}") {
            let _ = RequestInfo::parse(&method, &path, &query);
        }
    }
}
