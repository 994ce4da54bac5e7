//! Bodies of requests, read into objects of the kind that the path names.

use super::Target;
use crate::server::Asked;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use ravelin_api::{Query, Status, object};
use ravelin_transport::{Body, BodyError, collect};
use serde_json::{Value, json};
use std::time::Duration;

/// The longest body of a request (`DefaultMaxRequestSizeBytes`).
pub(crate) const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// The whole body.
pub(super) async fn bytes(body: Body) -> Result<Bytes, Status> {
    match tokio::time::timeout(BODY_DEADLINE, collect(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(BodyError::TooLong(_))) => Err(Status::too_large(&format!("limit is {MAX_BODY_BYTES}"))),
        Ok(Err(_)) => Err(Status::bad_request("unexpected EOF")),
        Err(_) => Err(Status::timeout("the request's body did not arrive in time", 0)),
    }
}

/// Refuses a caller who cannot read the JSON that everything here is answered in.
pub(super) fn check_accept(asked: &Asked) -> Result<(), Status> {
    let accepted: Vec<&str> = asked
        .headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    let plain = |range: &&str| {
        let (media_type, parameters) = range.split_once(';').unwrap_or((range, ""));
        let json = matches!(
            media_type.trim().to_ascii_lowercase().as_str(),
            "" | "application/json" | "application/*" | "*/*"
        );
        // Tables and other views of objects are asked for by parameters.
        json && !parameters.split(';').any(|parameter| parameter.trim().starts_with("as="))
    };
    if accepted.is_empty() || accepted.iter().any(plain) {
        return Ok(());
    }
    Err(Status::not_acceptable("406: Not Acceptable\n\nAvailable representations: application/json"))
}

/// The media type of a request's body, without parameters.
pub(super) fn media_type(asked: &Asked) -> String {
    let header = asked.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = header.unwrap_or("application/json").split(';').next().unwrap_or_default();
    media_type.trim().to_ascii_lowercase()
}

/// The object in the body: JSON, of the target's kind. `kind` and `apiVersion` may be missing.
pub(super) async fn object(asked: &mut Asked, target: &Target) -> Result<Value, Status> {
    if media_type(asked) != "application/json" {
        return Err(Status::unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json",
        ));
    }
    let bytes = bytes(asked.take_body()).await?;
    decode(&bytes, target.resource.kind, &target.resource.api_version())
}

/// Reads an object of a kind.
pub(super) fn decode(bytes: &[u8], kind: &str, api_version: &str) -> Result<Value, Status> {
    let unrecognized = |why: &str| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse error: {why}"
        ))
    };
    let mut value: Value = serde_json::from_slice(bytes).map_err(|error| {
        let why = if error.is_eof() { "unexpected end of JSON input".to_owned() } else { error.to_string() };
        unrecognized(&why)
    })?;
    if !value.is_object() {
        return Err(unrecognized("json: cannot unmarshal into Go value of type struct"));
    }
    if value.get("metadata").is_some_and(|metadata| !metadata.is_object() && !metadata.is_null()) {
        return Err(Status::bad_request(format!(
            "{kind} in version \"v1\" cannot be handled as a {kind}: json: cannot unmarshal metadata into Go struct"
        )));
    }
    let (given_kind, given_version) = (object::kind(&value), object::api_version(&value));
    if !given_kind.is_empty() && given_kind != kind {
        return Err(Status::bad_request(format!(
            "{given_kind} in version \"{version}\" cannot be handled as a {kind}: converting to ({kind}): unknown conversion",
            version = given_version.rsplit('/').next().unwrap_or_default(),
        )));
    }
    if !given_version.is_empty() && given_version != api_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({api_version})"
        )));
    }
    value["kind"] = json!(kind);
    value["apiVersion"] = json!(api_version);
    Ok(value)
}

/// Is nothing to be stored? An unknown value of `dryRun` is refused.
pub(super) fn dry_run(query: &Query, options_kind: &str) -> Result<bool, Status> {
    match query.first("dryRun") {
        None | Some("") => Ok(false),
        Some("All") => Ok(true),
        Some(other) => {
            let message = format!("Unsupported value: [\"{other}\"]: supported values: \"All\"");
            let kind = ravelin_api::GroupResource { group: "meta.k8s.io", resource: options_kind };
            Err(Status::invalid(kind, "", vec![super::cause("FieldValueNotSupported", "dryRun", message)]))
        }
    }
}
