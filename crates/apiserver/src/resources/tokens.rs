//! Tokens of service accounts, on request (`pkg/registry/core/serviceaccount/storage/token.go`).

use super::{Target, body, cause};
use crate::admit::{self, Change, Operation};
use crate::answer;
use crate::server::{Asked, Server};
use http::StatusCode;
use jiff::SignedDuration;
use ravelin_api::{GroupResource, Status, object, time};
use ravelin_auth::token::{Bound, Reference, TokenSpec};
use ravelin_auth::{Lookup, Permit};
use ravelin_transport::Response;
use serde_json::{Value, json};

/// How long a token lives that nobody asks otherwise of (`SetDefaults_TokenRequestSpec`).
const DEFAULT_SECONDS: i64 = 3600;
/// The shortest (`ValidateTokenRequest`) and the longest life.
const MIN_SECONDS: i64 = 600;
const MAX_SECONDS: i64 = 1 << 32;
/// What kubelets ask for where a pod did not choose, and how long that really lives
/// (`WarnOnlyBoundTokenExpirationSeconds` and `ExpirationExtensionSeconds` of
/// `pkg/serviceaccount/claims.go`), so that clients which never read their file again still work.
const KUBELETS_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

/// Issues a token for the service account of the path.
pub(super) async fn request(
    server: &Server,
    permit: &Permit,
    mut asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    let account = server.store.get(&target.key());
    let account = account.ok_or_else(|| Status::not_found(target.group_resource(), &target.name))?;
    let bytes = body::bytes(asked.take_body()).await?;
    let mut request = body::decode(&bytes, "TokenRequest", "authentication.k8s.io/v1")?;
    complete(&mut request)?;
    let change =
        Change { user: permit.user(), target: &target, subresource: "token", operation: Operation::Create };
    admit::before_create(server, &change, &mut request)?;
    // After admission, as upstream: a request for no audience asks for no particular one.
    default_audiences(server, &mut request);
    let told = shortened(server, &mut request);
    let audiences: Vec<String> =
        object::texts(&request, "spec.audiences").into_iter().map(str::to_owned).collect();
    let bound = bound(server, &target, &request)?;
    let extended = server.config.token_lives.extended
        && told == KUBELETS_SECONDS
        && matches!(bound, Some(Bound::Pod { .. }))
        && audiences.iter().all(|audience| server.tokens.service_accounts.audiences().contains(audience));
    let spec = TokenSpec {
        namespace: target.namespace.clone(),
        account: Reference::to(&account),
        audiences,
        bound,
        seconds: if extended { EXTENDED_SECONDS } else { told },
        warn_after_seconds: extended.then_some(told),
    };
    let now = server.host.now();
    let mut entropy = server.host.entropy("apiserver/token");
    let issued = server
        .tokens
        .service_accounts
        .issue(&spec, now, &mut entropy)
        .map_err(|cannot| Status::plain_error(format!("failed to generate token: {cannot}")))?;
    request["metadata"] = json!({
        "name": target.name,
        "namespace": target.namespace,
        "creationTimestamp": time::format(now),
    });
    // Of the extension nobody is told: whoever renews tokens in time shall go on doing so.
    let expires = now + SignedDuration::from_secs(told);
    request["status"] = json!({"token": issued.token, "expirationTimestamp": time::format(expires)});
    Ok(answer::object(StatusCode::CREATED, &request))
}

/// The life that was asked for, or the longest there is; it is what the answer says.
fn shortened(server: &Server, request: &mut Value) -> i64 {
    let asked = object::at(request, "spec.expirationSeconds").and_then(Value::as_i64);
    let longest = server.config.token_lives.max_seconds.and_then(|seconds| i64::try_from(seconds).ok());
    let seconds = asked.unwrap_or(DEFAULT_SECONDS).min(longest.unwrap_or(MAX_SECONDS));
    object::section_mut(request, "spec").insert("expirationSeconds".into(), json!(seconds));
    seconds
}

fn default_audiences(server: &Server, request: &mut Value) {
    let own = server.tokens.service_accounts.audiences().to_vec();
    let spec = object::section_mut(request, "spec");
    let named =
        spec.get("audiences").and_then(Value::as_array).is_some_and(|audiences| !audiences.is_empty());
    if !named {
        spec.insert("audiences".into(), json!(own));
    }
}

fn complete(request: &mut Value) -> Result<(), Status> {
    let spec = object::section_mut(request, "spec");
    let seconds = spec.entry("expirationSeconds").or_insert_with(|| json!(DEFAULT_SECONDS));
    let why = match seconds.as_i64() {
        Some(seconds) if seconds > MAX_SECONDS => Some("may not specify a duration larger than 2^32 seconds"),
        Some(MIN_SECONDS..) => None,
        _ => Some("may not specify a duration less than 10 minutes"),
    };
    let seconds = seconds.clone();
    spec.entry("boundObjectRef").or_insert(Value::Null);
    let Some(why) = why else { return Ok(()) };
    let kind = GroupResource { group: "authentication.k8s.io", resource: "TokenRequest" };
    let cause =
        cause("FieldValueInvalid", "spec.expirationSeconds", format!("Invalid value: {seconds}: {why}"));
    Err(Status::invalid(kind, "", vec![cause]))
}

/// With what the token shall end: it must exist, and be what the request means.
fn bound(server: &Server, target: &Target, request: &Value) -> Result<Option<Bound>, Status> {
    let Some(reference) = object::at(request, "spec.boundObjectRef").filter(|given| !given.is_null()) else {
        return Ok(None);
    };
    let (version, kind) = (object::api_version(reference), object::kind(reference));
    let name = object::text(reference, "name");
    let (plural, namespace) = match (version, kind) {
        ("v1", "Pod") => ("pods", target.namespace.as_str()),
        ("v1", "Secret") => ("secrets", target.namespace.as_str()),
        ("v1", "Node") => ("nodes", ""),
        _ => {
            return Err(Status::bad_request(format!(
                "cannot bind token to object of type {version}, Kind={kind}"
            )));
        }
    };
    let resource = GroupResource { group: "", resource: plural };
    let found = server.store.core(plural, namespace, name);
    let found = found.ok_or_else(|| Status::not_found(resource, name))?;
    let uid = object::text(reference, "uid");
    if !uid.is_empty() && uid != object::uid(&found) {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(resource, name, &why));
    }
    Ok(Some(match plural {
        "secrets" => Bound::Secret(Reference::to(&found)),
        "nodes" => Bound::Node(Reference::to(&found)),
        _ => bound_to_pod(server, target, &found)?,
    }))
}

fn bound_to_pod(server: &Server, target: &Target, pod: &Value) -> Result<Bound, Status> {
    if object::text(pod, "spec.serviceAccountName") != target.name {
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
            target.name
        )));
    }
    let node = object::text(pod, "spec.nodeName");
    let node = server.store.core("nodes", "", node).filter(|_| !node.is_empty());
    Ok(Bound::Pod { pod: Reference::to(pod), node: node.map(|node| Reference::to(&node)) })
}
