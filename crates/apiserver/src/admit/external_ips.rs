//! No service takes addresses that are not the cluster's to give
//! (`plugin/pkg/admission/denyserviceexternalips/admission.go`, CVE-2020-8554).

use super::Change;
use ravelin_api::{Status, object};
use serde_json::Value;

/// Addresses that the service has already stay.
pub(super) fn admit(change: &Change<'_>, new: &Value, present: Option<&Value>) -> Result<(), Status> {
    let had = present.map(|service| object::texts(service, "spec.externalIPs")).unwrap_or_default();
    // What is no text is an address that nobody had.
    let known = |ip: &Value| ip.as_str().is_some_and(|ip| had.contains(&ip));
    if object::list(new, "spec.externalIPs").iter().all(known) {
        return Ok(());
    }
    change.refuse(new, "Use of external IPs is denied by admission control")
}
