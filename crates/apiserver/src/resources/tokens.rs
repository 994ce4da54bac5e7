//! Tokens of service accounts, on request (`pkg/registry/core/serviceaccount/storage/token.go`).

use super::{Target, body, cause, write};
use crate::admit::{self, Change, Operation};
use crate::answer;
use crate::audit::Annotation;
use crate::server::{Asked, Server};
use http::StatusCode;
use jiff::SignedDuration;
use ravelin_api::{GroupResource, Status, object, time};
use ravelin_auth::Permit;
use ravelin_auth::token::{Bound, Reference, TokenSpec};
use ravelin_transport::Response;
use serde_json::{Value, json};
use std::sync::Arc;

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

const KIND: GroupResource<'static> =
    GroupResource { group: "authentication.k8s.io", resource: "TokenRequest" };
/// Since when a token may be bound to a node, since when without being told to (feature gate
/// `ServiceAccountTokenNodeBinding`), and since when those of pods name their node
/// (`ServiceAccountTokenPodNodeInfo`).
const NODE_BINDING: (u32, u32) = (1, 29);
const NODE_BINDING_BY_DEFAULT: (u32, u32) = (1, 31);
const NODE_OF_POD: (u32, u32) = (1, 30);
/// Since when a request may name the account's uid, and the answer does
/// (`TokenRequestServiceAccountUIDValidation`).
const ACCOUNT_UID: (u32, u32) = (1, 34);

/// Issues a token for the service account of the path.
pub(super) async fn request(
    server: &Server,
    permit: &Permit,
    mut asked: Asked,
    target: Target,
) -> Result<Response, Status> {
    let expected = ("authentication.k8s.io/v1", "TokenRequest");
    let mut given = body::read(&mut asked, expected, "CreateOptions").await?;
    write::same_namespace(&mut given.object, &target)?;
    let request = &mut given.object;
    let spec = object::section_mut(request, "spec");
    spec.entry("expirationSeconds").or_insert_with(|| json!(DEFAULT_SECONDS));
    spec.entry("boundObjectRef").or_insert(Value::Null);
    let change =
        Change { user: permit.user(), target: &target, subresource: "token", operation: Operation::Create };
    admit::namespace_is_open(server, &target)?;
    admit::before_create(server, &change, request)?;
    let account = account(server, &target, request)?;
    // After admission, as upstream: a request for no audience asks for no particular one.
    default_audiences(server, request);
    check_seconds(request)?;
    let bound = bound(server, &target, request)?;
    let asked_seconds = object::at(request, "spec.expirationSeconds").and_then(Value::as_i64).unwrap_or(0);
    let told = shortened(server, request);
    if told < asked_seconds {
        given
            .warnings
            .push(format!("requested expiration of {asked_seconds} seconds shortened to {told} seconds"));
    }
    let request = &mut given.object;
    let spec = spec_of(server, (&target, &account), request, (bound, told));
    let now = server.host.now();
    let issued = server
        .tokens
        .service_accounts
        .issue(&spec, now, &mut server.host.entropy("apiserver/token"))
        .map_err(|cannot| Status::plain_error(format!("failed to generate token: {cannot}")))?;
    describe(server, (&target, &account), request);
    // Of the extension nobody is told: whoever renews tokens in time shall go on doing so.
    let expires = now + SignedDuration::from_secs(told);
    request["status"] = json!({"token": issued.token, "expirationTimestamp": time::format(expires)});
    let mut answer = given.warn(answer::object(StatusCode::CREATED, &given.object));
    let key = "authentication.kubernetes.io/issued-credential-id";
    answer.extensions_mut().insert(Annotation { key, value: format!("JTI={}", issued.id) });
    Ok(answer)
}

/// The service account, which must be what the request's metadata says, if they say anything.
fn account(server: &Server, target: &Target, request: &Value) -> Result<Arc<Value>, Status> {
    let other = |field: &str, wanted: &str| {
        let given = object::text(request, &format!("metadata.{field}"));
        (!given.is_empty() && given != wanted).then(|| given.to_owned())
    };
    if let Some(given) = other("name", &target.name) {
        let why = format!("Invalid value: {given:?}: must match the service account name if specified");
        let cause = cause("FieldValueInvalid", "metadata.name", why);
        return Err(Status::invalid(KIND, &target.name, vec![cause]));
    }
    let account = server.reading().core("serviceaccounts", &target.namespace, &target.name);
    let account = account.ok_or_else(|| Status::not_found(target.group_resource(), &target.name))?;
    let uid = object::uid(&account);
    match other("uid", uid).filter(|_| server.config.kubernetes_version >= ACCOUNT_UID) {
        None => Ok(account),
        Some(given) => {
            let why = format!(
                "the UID in the token request ({given}) does not match the UID of the service account ({uid})"
            );
            Err(Status::conflict(KIND, &target.name, &why))
        }
    }
}

/// The token that is asked for; `told` is the life that whoever asks is told of.
fn spec_of(
    server: &Server,
    (target, account): (&Target, &Value),
    request: &Value,
    (bound, told): (Option<Bound>, i64),
) -> TokenSpec {
    let audiences: Vec<String> =
        object::texts(request, "spec.audiences").into_iter().map(str::to_owned).collect();
    let own = server.tokens.service_accounts.audiences();
    let extended = server.config.token_lives.extended
        && told == KUBELETS_SECONDS
        && matches!(bound, Some(Bound::Pod { .. }))
        && audiences.iter().all(|audience| own.contains(audience));
    TokenSpec {
        namespace: target.namespace.clone(),
        account: Reference::to(account),
        audiences,
        bound,
        seconds: if extended { EXTENDED_SECONDS } else { told },
        warn_after_seconds: extended.then_some(told),
    }
}

/// Completes the metadata of the answer.
fn describe(server: &Server, (target, account): (&Target, &Value), request: &mut Value) {
    let metadata = object::metadata_mut(request);
    metadata.insert("name".into(), json!(target.name));
    metadata.insert("namespace".into(), json!(target.namespace));
    metadata.insert("creationTimestamp".into(), json!(time::format(server.host.now())));
    metadata.remove("uid");
    if server.config.kubernetes_version >= ACCOUNT_UID {
        metadata.insert("uid".into(), json!(object::uid(account)));
    }
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

/// `ValidateTokenRequest`.
fn check_seconds(request: &Value) -> Result<(), Status> {
    let seconds = object::at(request, "spec.expirationSeconds").cloned().unwrap_or_default();
    let why = match seconds.as_i64() {
        Some(seconds) if seconds > MAX_SECONDS => "may not specify a duration larger than 2^32 seconds",
        Some(MIN_SECONDS..) => return Ok(()),
        _ => "may not specify a duration less than 10 minutes",
    };
    let cause =
        cause("FieldValueInvalid", "spec.expirationSeconds", format!("Invalid value: {seconds}: {why}"));
    Err(Status::invalid(KIND, "", vec![cause]))
}

/// With what the token shall end: it must exist, and be what the request means.
fn bound(server: &Server, target: &Target, request: &Value) -> Result<Option<Bound>, Status> {
    let Some(reference) = object::at(request, "spec.boundObjectRef").filter(|given| !given.is_null()) else {
        return Ok(None);
    };
    let (group, version) = group_version(object::api_version(reference));
    let (kind, name) = (object::kind(reference), object::text(reference, "name"));
    let (plural, namespace) = match (group, kind) {
        ("", "Pod") => ("pods", target.namespace.as_str()),
        ("", "Secret") => ("secrets", target.namespace.as_str()),
        ("", "Node") if server.config.kubernetes_version >= NODE_BINDING => {
            if server.config.kubernetes_version < NODE_BINDING_BY_DEFAULT {
                let why = "cannot bind token to a Node object as the \"ServiceAccountTokenNodeBinding\" feature-gate is disabled";
                return Err(Status::bad_request(why));
            }
            ("nodes", "")
        }
        _ => {
            let why = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(Status::bad_request(why));
        }
    };
    if name.is_empty() {
        return Err(Status::bad_request("Name parameter required."));
    }
    let found = server.reading().core(plural, namespace, name);
    let missing = || Status::not_found(GroupResource { group: "", resource: plural }, name);
    let found = found.ok_or_else(missing)?;
    let bound = match plural {
        "secrets" => Bound::Secret(Reference::to(&found)),
        "nodes" => Bound::Node(Reference::to(&found)),
        _ => bound_to_pod(server, target, &found)?,
    };
    let uid = object::text(reference, "uid");
    if !uid.is_empty() && uid != object::uid(&found) {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        // Upstream names the kind where the resource should be.
        return Err(Status::conflict(GroupResource { group: "", resource: kind }, name, &why));
    }
    Ok(Some(bound))
}

/// The group and version of an `apiVersion`; of one that is none, nothing (`FromAPIVersionAndKind`).
fn group_version(api_version: &str) -> (&str, &str) {
    match api_version.split_once('/') {
        None => ("", api_version),
        Some((_, version)) if version.contains('/') => ("", ""),
        Some(both) => both,
    }
}

fn bound_to_pod(server: &Server, target: &Target, pod: &Value) -> Result<Bound, Status> {
    if object::text(pod, "spec.serviceAccountName") != target.name {
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
            target.name
        )));
    }
    let name = object::text(pod, "spec.nodeName");
    let named = !name.is_empty() && server.config.kubernetes_version >= NODE_OF_POD;
    let node = named.then(|| match server.reading().core("nodes", "", name) {
        Some(node) => Reference::to(&node),
        None => Reference { name: name.to_owned(), uid: String::new() },
    });
    Ok(Bound::Pod { pod: Reference::to(pod), node })
}
