//! Which names objects may have (`apimachinery/pkg/util/validation`).

use super::{Target, cause};
use ravelin_api::Status;

const MAX_SUBDOMAIN: usize = 253;
const MAX_LABEL: usize = 63;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
/// What is wrong with a name that is no label.
pub(super) const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

/// Refuses a name that objects of this resource may not have.
pub(super) fn check(target: &Target, name: &str) -> Result<(), Status> {
    let why = match (target.resource.group, target.resource.plural) {
        ("rbac.authorization.k8s.io", _) => path_segment(name),
        ("", "namespaces" | "services") if name.len() > MAX_LABEL => {
            Some(format!("must be no more than {MAX_LABEL} characters"))
        }
        ("", "namespaces" | "services") => (!is_label(name)).then(|| LABEL.to_owned()),
        _ if name.len() > MAX_SUBDOMAIN => Some(format!("must be no more than {MAX_SUBDOMAIN} characters")),
        _ => (!name.split('.').all(is_part)).then(|| SUBDOMAIN.to_owned()),
    };
    match why {
        None => Ok(()),
        Some(why) => {
            let named = Target { name: name.to_owned(), ..target.clone() };
            let message = format!("Invalid value: {name:?}: {why}");
            Err(named.invalid(vec![cause("FieldValueInvalid", "metadata.name", message)]))
        }
    }
}

fn path_segment(name: &str) -> Option<String> {
    if name.is_empty() || matches!(name, "." | "..") {
        return Some(format!("may not be '{name}'"));
    }
    name.chars().find(|c| "/%".contains(*c)).map(|c| format!("may not contain '{c}'"))
}

/// Parts of a subdomain may be longer than labels.
fn is_part(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Is it a label as of RFC 1123?
pub(super) fn is_label(text: &str) -> bool {
    text.len() <= MAX_LABEL && is_part(text)
}
