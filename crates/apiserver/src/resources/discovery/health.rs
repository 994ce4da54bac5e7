//! `/healthz`, `/livez` and `/readyz` (`apiserver/pkg/server/healthz/healthz.go`), and `/metrics`. The
//! store is in memory, and whoever is answered has an apiserver that is well: of its own checks all
//! pass. Those of its way into the cluster may fail.

use crate::answer;
use crate::server::Server;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use ravelin_api::Query;
use ravelin_transport::egress::HealthCheck;
use ravelin_transport::{Response, metrics};

const CHECKS: [&str; 3] = ["ping", "log", "etcd"];
/// What being ready asks for beyond that.
const READY: [&str; 3] = ["etcd-readiness", "informer-sync", "shutdown"];

fn checks(root: &str, server: &Server) -> Vec<HealthCheck> {
    let more: &[&str] = if root == "readyz" { &READY } else { &[] };
    let own = CHECKS.iter().chain(more).map(|name| HealthCheck { name, outcome: Ok(()) });
    own.chain(server.config.egress.health()).collect()
}

/// The paths of all checks.
pub(super) fn paths(server: &Server) -> Vec<String> {
    let of = |root: &&str| {
        let checks = checks(root, server).into_iter().map(|check| format!("/{root}/{}", check.name));
        std::iter::once(format!("/{root}")).chain(checks).collect::<Vec<_>>()
    };
    ["healthz", "livez", "readyz"].iter().flat_map(of).collect()
}

/// Answers for one of these paths, by whatever method; `None` for other paths.
pub(super) fn serve(server: &Server, path: &str, query: &Query) -> Option<Response> {
    let mut segments = path.strip_prefix('/')?.split('/');
    let root = segments.next().filter(|root| matches!(*root, "healthz" | "livez" | "readyz"))?;
    let checks = checks(root, server);
    match (segments.next(), segments.next()) {
        (None, _) => Some(all(root, &checks, query)),
        (Some(name), None) => {
            let check = checks.iter().find(|check| check.name == name);
            Some(check.map_or_else(answer::page_not_found, |check| match &check.outcome {
                Ok(()) => answer::text(StatusCode::OK, "ok"),
                Err(why) => failed(format!("internal server error: {why}\n")),
            }))
        }
        _ => Some(answer::page_not_found()),
    }
}

/// What all checks of a root say together.
fn all(root: &str, checks: &[HealthCheck], query: &Query) -> Response {
    let excluded: Vec<&str> = query.iter().filter(|(name, _)| *name == "exclude").map(|(_, v)| v).collect();
    let (mut report, mut well) = (String::new(), true);
    for HealthCheck { name, outcome } in checks {
        if excluded.contains(name) {
            report.push_str(&format!("[+]{name} excluded: ok\n"));
        } else if outcome.is_ok() {
            report.push_str(&format!("[+]{name} ok\n"));
        } else {
            well = false;
            report.push_str(&format!("[-]{name} failed: reason withheld\n"));
        }
    }
    if !well {
        return failed(format!("{report}{root} check failed\n"));
    }
    if query.first("verbose").is_none() {
        return answer::text(StatusCode::OK, "ok");
    }
    answer::text(StatusCode::OK, format!("{report}{root} check passed\n"))
}

fn failed(text: String) -> Response {
    answer::text(StatusCode::INTERNAL_SERVER_ERROR, text)
}

/// What is counted here: of the way into the cluster only.
pub(super) fn metrics(server: &Server) -> Response {
    let mut answer = answer::text(StatusCode::OK, metrics::text(&server.config.egress.metrics()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
    answer
}
