//! Which names objects may have (`apimachinery/pkg/api/validate/content`, and the name function of
//! each kind in `pkg/apis`).

use super::Target;
pub(super) use ravelin_api::names::{LABEL, is_label, label, label_value, qualified, subdomain};
use ravelin_api::names::{label_1035, path_segment};

/// What is wrong with a name that an object of this resource would have; or, for a prefix of names,
/// that names with it would have.
pub(super) fn faults(target: &Target, name: &str, is_prefix: bool) -> Vec<String> {
    let masked = match name.strip_suffix('-') {
        // Something will follow the dash.
        Some(rest) if is_prefix && !rest.is_empty() => format!("{}a", &rest[..rest.len() - last_len(rest)]),
        _ => name.to_owned(),
    };
    match (target.resource.group, target.resource.plural) {
        ("rbac.authorization.k8s.io", _) | (_, "certificatesigningrequests") => path_segment(name, is_prefix),
        ("", "namespaces") => label(&masked),
        ("", "services") => label_1035(&masked),
        _ => subdomain(&masked),
    }
}

fn last_len(text: &str) -> usize {
    text.chars().next_back().map_or(0, char::len_utf8)
}
