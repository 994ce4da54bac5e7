//! A container's log (`getContainerLogs` of `pkg/kubelet/server/server.go`).

use super::answer::{Answer, TEXT};
use crate::state::Shared;
use futures_util::StreamExt;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use ravelin_api::{Query, object, time};
use ravelin_runtime::{ContainerState, LogOptions, RuntimeError};
use ravelin_transport::{BoxError, Response, body};

/// Answers with a container's log, which is sent as it comes.
pub(super) async fn serve(
    shared: &Shared,
    (namespace, name, container): (&str, &str, &str),
    query: &str,
) -> Answer {
    let options = match options(query, shared.host.now()) {
        Ok(options) => options,
        Err(refused) => return Answer::text(refused.status(), refused.text()),
    };
    let Some(pod) = shared.pod(namespace, name) else {
        return Answer::text(StatusCode::NOT_FOUND, format!("pod {name:?} does not exist"));
    };
    let lists = ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"];
    let exists = lists.iter().any(|list| object::list(&pod, list).iter().any(|one| one["name"] == container));
    if !exists {
        let text = format!("container {container:?} not found in pod {name:?}");
        return Answer::text(StatusCode::NOT_FOUND, text);
    }
    let runtime = &shared.config.runtime;
    match runtime.logs(object::uid(&pod), container, &options).await {
        Ok(log) => {
            let pieces = log.map(|piece| piece.map_err(|error| Box::new(error) as BoxError));
            let mut response = Response::new(body::stream(pieces));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
            Answer::ready(response)
        }
        Err(error) => {
            let state = runtime.status(object::uid(&pod)).await;
            let state = state.as_ref().and_then(|state| state.containers.get(container));
            Answer::text(StatusCode::BAD_REQUEST, why_none((name, container), &error, state))
        }
    }
}

/// Why there is no log (`validateContainerLogStatus` of `pkg/kubelet/kubelet_pods.go`).
fn why_none((pod, container): (&str, &str), error: &RuntimeError, state: Option<&ContainerState>) -> String {
    if let RuntimeError::NoPreviousContainer(_) = error {
        return format!("previous terminated container {container:?} in pod {pod:?} not found");
    }
    let why = match state {
        Some(ContainerState::Waiting { reason: "ErrImagePull", .. }) => "image can't be pulled",
        Some(ContainerState::Waiting { reason: "ImagePullBackOff", .. }) => {
            "trying and failing to pull image"
        }
        Some(ContainerState::Waiting { reason, .. }) => reason,
        _ => "ContainerCreating",
    };
    format!("container {container:?} in pod {pod:?} is waiting to start: {why}")
}

/// Why a query is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// It cannot be decoded.
    Unreadable,
    /// It is not what `ValidatePodLogOptions` allows.
    Invalid,
}

impl Refused {
    fn status(self) -> StatusCode {
        match self {
            Self::Unreadable => StatusCode::BAD_REQUEST,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Unreadable => r#"{"message": "Unable to decode query."}"#,
            Self::Invalid => r#"{"message": "Invalid request."}"#,
        }
    }
}

/// The options of a log request.
fn options(query: &str, now: Timestamp) -> Result<LogOptions, Refused> {
    let query = Query::parse(query);
    let number = |name: &str| match query.first(name) {
        None => Ok(None),
        Some(text) => text.parse::<i64>().map(Some).map_err(|_| Refused::Unreadable),
    };
    // `tail` is an older name; with `all` it asks for everything.
    let tail = match query.first("tail").filter(|tail| !tail.is_empty()) {
        Some("all") => None,
        Some(text) => Some(text.parse().map_err(|_| Refused::Unreadable)?),
        None => number("tailLines")?,
    };
    let (limit, since) = (number("limitBytes")?, number("sinceSeconds")?);
    let since_time = match query.first("sinceTime").filter(|text| !matches!(*text, "" | "null")) {
        None => None,
        Some(text) => Some(time::parse(text).ok_or(Refused::Unreadable)?),
    };
    let is_too_small = |least: i64, number: Option<i64>| number.is_some_and(|number| number < least);
    if is_too_small(0, tail)
        || is_too_small(1, limit)
        || is_too_small(1, since)
        || (since.is_some() && since_time.is_some())
        // Only with the feature gate PodLogsQuerySplitStreams, which is off in all versions.
        || query.first("stream").is_some()
    {
        return Err(Refused::Invalid);
    }
    let ago = |seconds: i64| now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN);
    Ok(LogOptions {
        limit_bytes: limit.map(i64::unsigned_abs),
        tail_lines: tail.map(i64::unsigned_abs),
        since: since.map(ago).or(since_time),
        source: None,
        timestamps: query.flag("timestamps"),
        follow: query.flag("follow"),
        previous: query.flag("previous"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_767_225_600, 0);

    #[test]
    fn log_options_are_read_as_upstream_reads_them() {
        let table = [
            ("", LogOptions::default()),
            ("limitBytes=7&other=1", LogOptions { limit_bytes: Some(7), ..LogOptions::default() }),
            ("tailLines=0", LogOptions { tail_lines: Some(0), ..LogOptions::default() }),
            ("tail=3&tailLines=9", LogOptions { tail_lines: Some(3), ..LogOptions::default() }),
            ("tail=all&tailLines=9", LogOptions::default()),
            ("follow=true&previous=false", LogOptions { follow: true, ..LogOptions::default() }),
            ("previous=1&timestamps=true", {
                LogOptions { previous: true, timestamps: true, ..LogOptions::default() }
            }),
            ("sinceSeconds=60", {
                let since = Some(Timestamp::constant(1_767_225_540, 0));
                LogOptions { since, ..LogOptions::default() }
            }),
            ("sinceTime=2026-01-01T00%3A00%3A00Z", LogOptions { since: Some(NOW), ..LogOptions::default() }),
            ("sinceTime=", LogOptions::default()),
            ("sinceSeconds=9223372036854775807", {
                LogOptions { since: Some(Timestamp::MIN), ..LogOptions::default() }
            }),
        ];
        for (query, expected) in table {
            assert_eq!(options(query, NOW), Ok(expected), "{query}");
        }
    }

    #[test]
    fn options_that_cannot_be_honoured_are_refused() {
        let table = [
            ("limitBytes=0", Refused::Invalid),
            ("limitBytes=-1", Refused::Invalid),
            ("tailLines=-1", Refused::Invalid),
            ("sinceSeconds=0", Refused::Invalid),
            ("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", Refused::Invalid),
            ("stream=Stdout", Refused::Invalid),
            ("limitBytes=", Refused::Unreadable),
            ("tailLines=x", Refused::Unreadable),
            ("tail=x", Refused::Unreadable),
            ("sinceTime=yesterday", Refused::Unreadable),
            ("sinceSeconds=9223372036854775808", Refused::Unreadable),
        ];
        for (query, refused) in table {
            assert_eq!(options(query, NOW), Err(refused), "{query}");
        }
    }
}
