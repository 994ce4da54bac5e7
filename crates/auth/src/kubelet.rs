//! What a request to a kubelet asks for (`pkg/kubelet/server/auth.go`).

use crate::{Attributes, UserInfo};

/// Does a kubelet of this version tell `/pods`, `/healthz` and `/configz` apart from the rest?
/// `KubeletFineGrainedAuthz` is on by default from 1.33 (`pkg/features/kube_features.go`).
pub fn is_fine_grained(version: (u32, u32)) -> bool {
    version >= (1, 33)
}

/// The attributes of a request: it is allowed if any of them is. The path is the decoded one.
pub fn attributes(
    user: &UserInfo,
    node_name: &str,
    request: (&str, &str),
    fine_grained: bool,
) -> Vec<Attributes> {
    let (method, path) = request;
    subresources(path, fine_grained)
        .into_iter()
        .map(|subresource| Attributes {
            name: node_name.to_owned(),
            subresource: subresource.to_owned(),
            path: path.to_owned(),
            ..Attributes::of_resource(user.clone(), verb(method), "", "nodes")
        })
        .collect()
}

/// The body of the 403, with its newline.
pub fn forbidden_text(asked: &[Attributes], fine_grained: bool) -> String {
    let subresources: Vec<&str> = asked.iter().map(|a| a.subresource.as_str()).collect();
    let subresources = subresources.join(" ");
    let (user, verb) = asked.first().map_or(("", ""), |a| (&a.user.name, &a.verb));
    if fine_grained {
        format!("Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)=[{subresources}])\n")
    } else {
        format!("Forbidden (user={user}, verb={verb}, resource=nodes, subresource={subresources})\n")
    }
}

fn verb(method: &str) -> &'static str {
    match method {
        "POST" => "create",
        "GET" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

fn subresources(path: &str, fine_grained: bool) -> Vec<&'static str> {
    let below =
        |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match () {
        () if below("/stats") => vec!["stats"],
        () if below("/metrics") => vec!["metrics"],
        // "log" as of pods and of everything else that has logs.
        () if below("/logs") => vec!["log"],
        () if below("/checkpoint") => vec!["checkpoint"],
        () if fine_grained && below("/statusz") => vec!["statusz"],
        () if fine_grained && below("/flagz") => vec!["flagz"],
        () if fine_grained && (below("/pods") || below("/runningpods")) => vec!["pods", "proxy"],
        () if fine_grained && below("/healthz") => vec!["healthz", "proxy"],
        () if fine_grained && below("/configz") => vec!["configz", "proxy"],
        () => vec!["proxy"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_subresources_that_were_recorded() {
        let user = UserInfo::new("system:node:n2", &[]);
        for (request, verb, subresources) in [
            ("GET /healthz/ping", "get", "healthz proxy"),
            ("GET /stats/summary", "get", "stats"),
            ("GET /stats/", "get", "stats"),
            ("GET /metrics", "get", "metrics"),
            ("GET /metrics/probes", "get", "metrics"),
            ("GET /logs/", "get", "log"),
            ("GET /pods", "get", "pods proxy"),
            ("GET /runningpods/", "get", "pods proxy"),
            ("GET /configz", "get", "configz proxy"),
            ("GET /debug/flags/v", "get", "proxy"),
            ("PUT /debug/flags/v", "update", "proxy"),
            ("GET /exec/default/hp/c", "get", "proxy"),
            ("POST /run/default/hp/c", "create", "proxy"),
            ("GET /containerLogs/default/hp/c", "get", "proxy"),
            ("POST /checkpoint/default/hp/c", "create", "checkpoint"),
            ("GET /statusz", "get", "statusz"),
            ("GET /metricsx", "get", "proxy"),
        ] {
            let request = request.split_once(' ').unwrap();
            let asked = attributes(&user, "n1", request, true);
            let expected = format!(
                "Forbidden (user=system:node:n2, verb={verb}, resource=nodes, subresource(s)=[{subresources}])\n"
            );
            assert_eq!(forbidden_text(&asked, true), expected);
            assert!(asked.iter().all(|a| a.name == "n1" && a.resource_request && a.namespace.is_empty()));
        }
        let old = attributes(&user, "n1", ("GET", "/pods"), is_fine_grained((1, 32)));
        assert_eq!(
            forbidden_text(&old, false),
            "Forbidden (user=system:node:n2, verb=get, resource=nodes, subresource=proxy)\n"
        );
    }
}
