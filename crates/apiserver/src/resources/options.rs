//! What a write's query asks beside the object: `dryRun`, `fieldValidation`, `fieldManager`
//! (`apimachinery/pkg/apis/meta/v1/validation`).

use super::body::Validation;
use super::cause;
use ravelin_api::{Cause, GroupResource, Query, Status};

const MAX_FIELD_MANAGER: usize = 128;
const META: &str = "meta.k8s.io";

/// The options of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriteOptions {
    /// Is nothing to be stored?
    pub(crate) dry_run: bool,
    pub(crate) validation: Validation,
}

impl WriteOptions {
    /// Reads `CreateOptions`, `UpdateOptions`, `PatchOptions`.
    ///
    /// # Errors
    /// 422 with all that is wrong.
    pub(crate) fn read(query: &Query, kind: &str) -> Result<Self, Status> {
        let mut causes = Vec::new();
        if kind == "PatchOptions" && query.first("force").is_some_and(|force| !force.is_empty()) {
            let message = "Forbidden: may not be specified for non-apply patch";
            causes.push(cause("FieldValueForbidden", "force", message));
        }
        causes.extend(field_manager(query.first("fieldManager").unwrap_or_default()));
        let dry_run: Vec<&str> = query.iter().filter(|(name, _)| *name == "dryRun").map(|(_, v)| v).collect();
        let dry_run: &[&str] = if dry_run == [""] { &[] } else { &dry_run };
        causes.extend(dry_run_cause(dry_run));
        let validation = match query.first("fieldValidation").unwrap_or_default() {
            // `fieldValidation` of handlers/rest.go: the default is Warn.
            "" | "Warn" => Validation::Warn,
            "Ignore" => Validation::Ignore,
            "Strict" => Validation::Strict,
            other => {
                let message = format!(
                    "Unsupported value: {other:?}: supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""
                );
                causes.push(cause("FieldValueNotSupported", "fieldValidation", message));
                Validation::Warn
            }
        };
        if causes.is_empty() {
            return Ok(Self { dry_run: !dry_run.is_empty(), validation });
        }
        Err(invalid(kind, causes))
    }
}

/// 422 for options of a kind.
pub(super) fn invalid(kind: &str, causes: Vec<Cause>) -> Status {
    Status::invalid(GroupResource { group: META, resource: kind }, "", causes)
}

/// What is wrong with the values of `dryRun`.
pub(super) fn dry_run_cause(values: &[&str]) -> Option<Cause> {
    if values.iter().all(|value| *value == "All") {
        return None;
    }
    let shown: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    let message = format!("Unsupported value: [{}]: supported values: \"All\"", shown.join(","));
    Some(cause("FieldValueNotSupported", "dryRun", message))
}

fn field_manager(name: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    if name.len() > MAX_FIELD_MANAGER {
        let message = format!("Too long: may not be more than {MAX_FIELD_MANAGER} bytes");
        causes.push(cause("FieldValueTooLong", "fieldManager", message));
    }
    if let Some((at, letter)) = name.char_indices().find(|(_, letter)| letter.is_control()) {
        let message = format!(
            "Invalid value: {name:?}: invalid character U+{:04X} (at position {at})",
            u32::from(letter)
        );
        causes.push(cause("FieldValueInvalid", "fieldManager", message));
    }
    causes
}
