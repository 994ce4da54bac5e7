//! Bodies of requests, read into objects of the kind that the path names: JSON and protobuf, with
//! Kubernetes' words for what is wrong with them (`apiserver/pkg/endpoints/handlers/rest.go`).

use super::options::WriteOptions;
use super::{Target, registered};
use crate::answer;
use crate::negotiate::MEDIA_TYPES;
use crate::server::Asked;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use ravelin_api::{BadProtobuf, Enveloped, Status, Typed, Untyped, yaml_text};
use ravelin_transport::{Body, BodyError, Response, collect};
use serde_json::{Value, json};
use std::time::Duration;

/// The longest body of a request (`DefaultMaxRequestSizeBytes`).
pub(crate) const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// How much of a body that cannot be read is told (`summarizeData`).
const MAX_SUMMARY_BYTES: usize = 30;

/// What is done with fields that a kind does not know (`fieldValidation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validation {
    Ignore,
    Warn,
    Strict,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyForm {
    Json,
    Yaml,
    Protobuf,
}

/// An object from a body.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) object: Value,
    /// What its author is warned of.
    pub(crate) warnings: Vec<String>,
    /// What the request's options say.
    pub(crate) options: WriteOptions,
}

impl Given {
    /// The answer, with the warnings in its headers.
    pub(crate) fn warn(&self, answer: Response) -> Response {
        answer::with_warnings(answer, &self.warnings)
    }
}

/// The whole body.
pub(super) async fn bytes(body: Body) -> Result<Bytes, Status> {
    match tokio::time::timeout(BODY_DEADLINE, collect(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(BodyError::TooLong(_))) => Err(Status::too_large(&format!("limit is {MAX_BODY_BYTES}"))),
        Ok(Err(_)) => Err(Status::bad_request("unexpected EOF")),
        Err(_) => Err(Status::timeout("the request's body did not arrive in time", 0)),
    }
}

/// The media type of a request's body, without parameters, in the letters that it came in.
pub(super) fn media_type(asked: &Asked) -> &str {
    let header = asked.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    header.unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

/// How the body is written.
///
/// # Errors
/// 415 where it is in none of the forms that are read.
pub(super) fn form(asked: &Asked) -> Result<BodyForm, Status> {
    match media_type(asked).to_ascii_lowercase().as_str() {
        "" | "application/json" => Ok(BodyForm::Json),
        "application/yaml" => Ok(BodyForm::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(BodyForm::Protobuf),
        _ => Err(Status::unsupported_media_type(&format!(
            "the body of the request was in an unknown format - accepted media types include: {MEDIA_TYPES}"
        ))),
    }
}

/// The object in the body, of the target's kind, and what the request's options say. `kind` and
/// `apiVersion` may be missing.
pub(super) async fn read(asked: &mut Asked, kind: (&str, &str), options: &str) -> Result<Given, Status> {
    let form = form(asked)?;
    let bytes = bytes(asked.take_body()).await?;
    let options = WriteOptions::read(&asked.query, options)?;
    let Typed { object, findings } = match form {
        BodyForm::Json => from_json(&bytes, kind, options.validation)?,
        BodyForm::Yaml => {
            let json = yaml_to_json(&bytes).map_err(|why| unrecognized(kind.1, &why, &bytes))?;
            from_json(&json, kind, options.validation)?
        }
        BodyForm::Protobuf => from_protobuf(&bytes, kind)?,
    };
    asked.written.remember(&object);
    let warnings = if options.validation == Validation::Warn { findings } else { Vec::new() };
    Ok(Given { object, warnings, options })
}

/// The JSON of a YAML text: of its first document, as `sigs.k8s.io/yaml` reads no other.
///
/// # Errors
/// What is wrong with it.
pub(super) fn yaml_to_json(bytes: &[u8]) -> Result<Vec<u8>, String> {
    const REFUSED: &str = "error converting YAML to JSON: yaml";
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{REFUSED}: invalid UTF-8"))?;
    let documents = yaml_text::documents(text)
        .map_err(|wrong| format!("{REFUSED}: line {}: {}", wrong.line, wrong.problem))?;
    let value = documents.first().map_or(Value::Null, yaml_text::Node::to_json);
    Ok(value.to_string().into_bytes())
}

/// The object in the body, of the target's kind.
pub(super) async fn object(asked: &mut Asked, target: &Target) -> Result<Value, Status> {
    let (version, kind) = (target.resource.api_version(), target.resource.kind);
    read(asked, (&version, kind), "CreateOptions").await.map(|given| given.object)
}

/// Reads JSON as an object of a kind, given as `apiVersion` and `kind`.
pub(super) fn from_json(bytes: &[u8], expected: (&str, &str), how: Validation) -> Result<Typed, Status> {
    let unrecognized = |why: &str| unrecognized(expected.1, why, bytes);
    let parse_error =
        |why: &str| unrecognized(&format!("couldn't get version/kind; json parse error: {why}"));
    let given = Untyped::read(bytes).map_err(|why| parse_error(&why))?;
    if !matches!(given.go_kind(), "object" | "null") {
        return Err(parse_error(&no_object(given.go_kind())));
    }
    let text = |name: &str| {
        given.text(name).map(str::to_owned).map_err(|other| {
            parse_error(&format!(
                "json: cannot unmarshal {other} into Go struct field .{name} of type string"
            ))
        })
    };
    let (version, kind) = (text("apiVersion")?, text("kind")?);
    if version.matches('/').count() > 1 {
        return Err(unrecognized(&format!("unexpected GroupVersion string: {version}")));
    }
    let named = check_kind((&version, &kind), expected)?;
    let cannot = |why: &str| cannot_be_handled(&named, expected.1, why);
    let mut typed = given.of_kind(expected.0, expected.1).map_err(|why| cannot(&why))?;
    if how == Validation::Strict && !typed.findings.is_empty() {
        return Err(cannot(&format!("strict decoding error: {}", typed.findings.join(", "))));
    }
    name_kind(&mut typed.object, expected);
    Ok(typed)
}

fn from_protobuf(bytes: &[u8], expected: (&str, &str)) -> Result<Typed, Status> {
    let opened = Enveloped::open(bytes).map_err(|bad| match bad {
        BadProtobuf::Prefix if bytes.is_empty() => unrecognized(expected.1, "empty data", bytes),
        bad => unrecognized(expected.1, &bad.to_string(), bytes),
    })?;
    let named = check_kind((&opened.api_version, &opened.kind), expected)?;
    let read = opened.read(expected.0, expected.1);
    let object = read.map_err(|bad| cannot_be_handled(&named, expected.1, &bad.to_string()))?;
    let object = object.ok_or_else(|| unrecognized(expected.1, "its fields are not known here", bytes))?;
    Ok(Typed { object, findings: Vec::new() })
}

fn name_kind(object: &mut Value, (version, kind): (&str, &str)) {
    if !object.is_object() {
        *object = json!({});
    }
    object["kind"] = json!(kind);
    object["apiVersion"] = json!(version);
}

/// What Go says of JSON, of a kind that it calls so, that is no object.
pub(super) fn no_object(go_kind: &str) -> String {
    format!(
        "json: cannot unmarshal {go_kind} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
    )
}

/// 400 for data of no known kind.
fn unrecognized(kind: &str, why: &str, bytes: &[u8]) -> Status {
    let summary = summary(bytes);
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {kind}): {why} ({summary})"
    ))
}

fn summary(bytes: &[u8]) -> String {
    let (shown, more) = match bytes.get(..MAX_SUMMARY_BYTES) {
        Some(shown) if bytes.len() > MAX_SUMMARY_BYTES => (shown, " ..."),
        _ => (bytes, ""),
    };
    match bytes.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(shown)),
        Some(_) => {
            let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{hex}{more}")
        }
    }
}

/// 400 for data of a kind, given as `(version, kind)`, that does not become what is wanted.
fn cannot_be_handled((version, kind): &(String, String), expected: &str, why: &str) -> Status {
    Status::bad_request(format!("{kind} in version {version:?} cannot be handled as a {expected}: {why}"))
}

/// Is the named kind the expected one? What is not named is taken from it. Gives back the version
/// (without the group) and the kind, as errors name them.
fn check_kind(given: (&str, &str), expected: (&str, &str)) -> Result<(String, String), Status> {
    let (version, kind) = match given {
        ("", "") => expected,
        (version, "") => (version, expected.1),
        ("", kind) => (expected.0, kind),
        both => both,
    };
    let short = version.rsplit('/').next().unwrap_or_default().to_owned();
    let named = (short, kind.to_owned());
    match mistaken((version, kind), expected) {
        None => Ok(named),
        Some(why) => Err(cannot_be_handled(&named, expected.1, &why)),
    }
}

/// Why a kind, given as `apiVersion` and `kind`, does not become another: it is unknown, or known and not
/// to be converted.
pub(super) fn mistaken((version, kind): (&str, &str), expected: (&str, &str)) -> Option<String> {
    if (version, kind) == expected {
        return None;
    }
    if !registered::is_registered(version, kind) {
        return Some(format!(
            "no kind {kind:?} is registered for version {version:?} in scheme \"pkg/api/legacyscheme/scheme.go:30\""
        ));
    }
    let short = version.rsplit('/').next().unwrap_or_default();
    let internal = registered::internal_package(expected.0);
    Some(format!("converting ({short}.{kind}) to ({internal}.{}): unknown conversion", expected.1))
}
