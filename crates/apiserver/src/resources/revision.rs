//! Resource versions that callers name.

use super::cause;
use ravelin_api::Status;

/// The revision of a parameter; empty is 0, which means any.
///
/// # Errors
/// The text that Kubernetes has for it (`APIObjectVersioner.ParseResourceVersion`).
pub(super) fn parse(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let why = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        "value out of range"
    } else {
        "invalid syntax"
    };
    text.parse().ok().filter(|_| !text.starts_with('+')).ok_or_else(|| {
        format!("resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: {why}")
    })
}

/// Nobody waits here for a revision to come: what is not yet is an error at once
/// (`NewTooLargeResourceVersionError`).
pub(super) fn not_in_the_future(asked: u64, current: u64) -> Result<(), Status> {
    if asked <= current {
        return Ok(());
    }
    let mut status = Status::timeout(&format!("Too large resource version: {asked}, current: {current}"), 1);
    if let Some(details) = &mut status.details {
        details.causes.push(cause("ResourceVersionTooLarge", "", "Too large resource version"));
    }
    Err(status)
}
