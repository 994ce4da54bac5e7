//! `/healthz`, `/livez` and `/readyz` (`apiserver/pkg/server/healthz/healthz.go`). The store is in
//! memory, and whoever is answered has an apiserver that is well: every check passes.

use crate::answer;
use http::StatusCode;
use ravelin_api::Query;
use ravelin_transport::Response;

const CHECKS: [&str; 3] = ["ping", "log", "etcd"];
/// What being ready asks for beyond that.
const READY: [&str; 3] = ["etcd-readiness", "informer-sync", "shutdown"];

fn checks(root: &str) -> Vec<&'static str> {
    let more: &[&str] = if root == "readyz" { &READY } else { &[] };
    CHECKS.iter().chain(more).copied().collect()
}

/// The paths of all checks.
pub(super) fn paths() -> impl Iterator<Item = String> {
    ["healthz", "livez", "readyz"].into_iter().flat_map(|root| {
        let own = [format!("/{root}")];
        own.into_iter().chain(checks(root).into_iter().map(move |check| format!("/{root}/{check}")))
    })
}

/// Answers for one of these paths, by whatever method; `None` for other paths.
pub(super) fn serve(path: &str, query: &Query) -> Option<Response> {
    let mut segments = path.strip_prefix('/')?.split('/');
    let root = segments.next().filter(|root| matches!(*root, "healthz" | "livez" | "readyz"))?;
    match (segments.next(), segments.next()) {
        (None, _) => {}
        (Some(check), None) if checks(root).contains(&check) => {
            return Some(answer::text(StatusCode::OK, "ok"));
        }
        _ => return Some(answer::page_not_found()),
    }
    if query.first("verbose").is_none() {
        return Some(answer::text(StatusCode::OK, "ok"));
    }
    let excluded: Vec<&str> = query.iter().filter(|(name, _)| *name == "exclude").map(|(_, v)| v).collect();
    let mut report = String::new();
    for check in checks(root) {
        let how = if excluded.contains(&check) { "excluded: ok" } else { "ok" };
        report.push_str(&format!("[+]{check} {how}\n"));
    }
    report.push_str(&format!("{root} check passed\n"));
    Some(answer::text(StatusCode::OK, report))
}
