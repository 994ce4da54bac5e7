//! The logs of a container, fetched from its kubelet (`pkg/registry/core/pod/rest/log.go`).

use super::dial;
use super::failure::Failure;
use super::kubelet;
use super::redirect;
use super::target::Target;
use crate::answer;
use crate::patience::not_idle_for;
use crate::server::{Asked, Server};
use http::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{StatusCode, Uri};
use ravelin_api::{Cause, GroupResource, Query, Status, object, percent_encode, time};
use ravelin_transport::egress::Destination;
use ravelin_transport::{Body, BodyError, Request, Response, body, collect};
use serde_json::Value;
use std::net::SocketAddr;
use std::num::{IntErrorKind, ParseIntError};
use std::time::Duration;

/// How long a kubelet may fall silent within a log, and within one that is followed.
const IDLE: Duration = Duration::from_secs(60);
const FOLLOW_IDLE: Duration = Duration::from_secs(4 * 3600);
/// How much of a kubelet's error is passed on (`maxReadLength`).
const MAX_ERROR_BYTES: usize = 50_000;

const PODS: GroupResource<'static> = GroupResource { group: "", resource: "pods" };
const LOGS: GroupResource<'static> = GroupResource { group: "", resource: "pods/log" };

/// Answers with a container's log. What the kubelet sends is passed on piece by piece; if it
/// breaks off, so does the answer.
pub(super) async fn serve(server: &Server, asked: &Asked) -> Result<Response, Status> {
    let name = &asked.info.name;
    let options = Options::read(&asked.query, name)?;
    let pod = server.reading().core("pods", &asked.info.namespace, name);
    let pod = pod.ok_or_else(|| Status::not_found(PODS, name))?;
    let container = container(&pod, &options.container)?;
    let node = object::text(&pod, "spec.nodeName");
    if node.is_empty() {
        return Ok(answer::empty(StatusCode::NO_CONTENT));
    }
    let kubelet = kubelet::connection(server, node).map_err(|status| {
        // Upstream names the node as if it were a pod.
        if status.code == 404 { Status::not_found(PODS, node) } else { status }
    })?;
    let path = format!(
        "/containerLogs/{}/{}/{}{}",
        percent_encode(&asked.info.namespace),
        percent_encode(name),
        percent_encode(container),
        options.kubelet_query
    );
    let url = format!("https://{}{path}", kubelet.authority());
    let failed = |failure: Failure| Status::plain_error(format!("Get {url:?}: {}", failure.text()));
    let ip = kubelet.resolve(server).await.map_err(failed)?;
    let tls = if options.unverified { kubelet.danger_unverified_tls(server) } else { kubelet.tls(server) };
    let target = Target {
        address: SocketAddr::new(ip, kubelet.port),
        destination: Destination::Kubelet { node: node.to_owned() },
        tls: Some(tls),
    };
    let request = request(&path, &kubelet.authority())?;
    let answer = dial::send(server, &target, request).await.map_err(failed)?;
    let answer = redirect::settle(server, kubelet, answer).await?;
    let idle = if options.follow { FOLLOW_IDLE } else { IDLE };
    passed_on(answer, (name, idle)).await
}

/// A GET of a path at a kubelet.
pub(super) fn request(path: &str, authority: &str) -> Result<Request, Status> {
    let mut request = Request::new(body::empty());
    *request.uri_mut() =
        path.parse::<Uri>().map_err(|_| Status::bad_request("the path cannot be passed on"))?;
    let host = HeaderValue::from_str(authority)
        .map_err(|_| Status::plain_error("the node's address is no host name"))?;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("ravelin-apiserver"));
    Ok(request)
}

async fn passed_on(answer: Response, (name, idle): (&str, Duration)) -> Result<Response, Status> {
    let (head, body) = answer.into_parts();
    // 200 to 206, as `GenericHttpResponseChecker` has it.
    if !(200..=206).contains(&head.status.as_u16()) {
        return Err(refused(head.status, body, name).await);
    }
    let mut passed = Response::new(not_idle_for(body, idle));
    passed.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(passed)
}

async fn refused(status: StatusCode, body: Body, name: &str) -> Status {
    let text = match collect(body, MAX_ERROR_BYTES).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(BodyError::TooLong(_)) => "the kubelet's error is too long".to_owned(),
        Err(error) => return Status::internal_error(&error.to_string()),
    };
    match status.as_u16() {
        500 => Status::internal_error(&text),
        400 => Status::bad_request(text),
        code => Status::generic(code, "", (LOGS, name), &text),
    }
}

/// The container that is meant, which must be the pod's.
pub(super) fn container<'a>(pod: &'a Value, asked: &str) -> Result<&'a str, Status> {
    let names = |list: &str| -> Vec<&'a str> {
        object::list(pod, list).iter().map(|one| object::text(one, "name")).collect()
    };
    let (containers, init) = (names("spec.containers"), names("spec.initContainers"));
    let pod_name = object::name(pod);
    if !asked.is_empty() {
        let all = containers.into_iter().chain(init).chain(names("spec.ephemeralContainers"));
        return all.into_iter().find(|name| *name == asked).ok_or_else(|| {
            Status::bad_request(format!("container {asked} is not valid for pod {pod_name}"))
        });
    }
    match containers.as_slice() {
        [] => Err(Status::bad_request(format!("a container name must be specified for pod {pod_name}"))),
        [one] => Ok(one),
        many => {
            let mut text = format!(
                "a container name must be specified for pod {pod_name}, choose one of: [{}]",
                many.join(" ")
            );
            if !init.is_empty() {
                text = format!("{text} or one of the init containers: [{}]", init.join(" "));
            }
            Err(Status::bad_request(text))
        }
    }
}

/// What of a log is wanted (`PodLogOptions`).
struct Options {
    container: String,
    follow: bool,
    unverified: bool,
    /// What of it concerns the kubelet, as its query.
    kubelet_query: String,
}

impl Options {
    fn read(query: &Query, name: &str) -> Result<Self, Status> {
        let number = |option: &str| query.first(option).map(whole_number).transpose();
        let (limit, since, tail) = (number("limitBytes")?, number("sinceSeconds")?, number("tailLines")?);
        let since_time = query.first("sinceTime").filter(|time| is_time(time));
        let since_time = since_time.map(whole_seconds).transpose()?;
        let causes = causes(query, (limit, since, tail));
        if !causes.is_empty() {
            let kind = GroupResource { group: "", resource: "PodLogOptions" };
            return Err(Status::invalid(kind, name, causes));
        }
        let flag = |option: &str| query.flag(option).then(|| "true".to_owned());
        let text = |number: Option<i64>| number.map(|number| number.to_string());
        let wanted = [
            ("follow", flag("follow")),
            ("limitBytes", text(limit)),
            ("previous", flag("previous")),
            ("sinceSeconds", text(since)),
            ("sinceTime", since_time.as_deref().map(percent_encode)),
            ("tailLines", text(tail)),
            ("timestamps", flag("timestamps")),
        ];
        let pairs = wanted.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        let pairs = pairs.collect::<Vec<_>>().join("&");
        Ok(Self {
            container: query.first("container").unwrap_or_default().to_owned(),
            follow: query.flag("follow"),
            unverified: query.flag("insecureSkipTLSVerifyBackend"),
            kubelet_query: if pairs.is_empty() { pairs } else { format!("?{pairs}") },
        })
    }
}

/// A number, as Go reads one.
fn whole_number(text: &str) -> Result<i64, Status> {
    text.parse().map_err(|error: ParseIntError| {
        let why = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}"))
    })
}

/// Is it a time that is asked for? Clients that wrote JSON into a query say `null` for none
/// (`UnmarshalQueryParameter` of `apimachinery/pkg/apis/meta/v1/time.go`).
fn is_time(text: &str) -> bool {
    !matches!(text, "" | "null")
}

/// A time as the kubelet is asked for it.
fn whole_seconds(text: &str) -> Result<String, Status> {
    time::parse(text).map(time::format).ok_or_else(|| {
        Status::bad_request(format!(
            "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
        ))
    })
}

/// `ValidatePodLogOptions`.
fn causes(query: &Query, (limit, since, tail): (Option<i64>, Option<i64>, Option<i64>)) -> Vec<Cause> {
    let cause = |reason: &str, field: &str, message: String| Cause {
        reason: reason.to_owned(),
        message,
        field: field.to_owned(),
    };
    let mut causes = Vec::new();
    let too_small = |least: i64, field: &str, number: Option<i64>| {
        let number = number.filter(|number| *number < least)?;
        let why = if least == 0 { "must be greater than or equal to 0" } else { "must be greater than 0" };
        Some(cause("FieldValueInvalid", field, format!("Invalid value: {number}: {why}")))
    };
    causes.extend(too_small(0, "tailLines", tail));
    causes.extend(too_small(1, "limitBytes", limit));
    let both = since.is_some() && query.first("sinceTime").is_some_and(is_time);
    if both {
        let message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
        causes.push(cause("FieldValueForbidden", "[]", message.to_owned()));
    } else {
        causes.extend(too_small(1, "sinceSeconds", since));
    }
    if query.first("stream").is_some_and(|stream| !stream.is_empty()) {
        causes.push(cause("FieldValueForbidden", "stream", "Forbidden: may not be specified".to_owned()));
    }
    causes
}
