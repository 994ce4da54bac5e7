//! Watching objects: what there is, then every change, once and in order.

use super::{Target, read};
use crate::server::{Asked, Server};
use crate::store::{Change, Compacted, Watcher, render};
use bytes::Bytes;
use futures_util::stream::{once, unfold};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use ravelin_api::{ListOptions, Status};
use ravelin_auth::Permit;
use ravelin_transport::{BoxError, Response, body};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long a watch lasts that says nothing (`minRequestTimeout`, then up to twice that).
const MIN_WATCH_SECONDS: u64 = 1800;
/// How often a watcher that asked for bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// Answers with a stream of events.
pub(super) fn watch(
    server: &Arc<Server>,
    _permit: &Permit,
    asked: &Asked,
    target: &Target,
) -> Result<Response, Status> {
    let options = read::options(asked, target)?;
    let (pending, from) = beginning(server, &options, target)?;
    let watching = match server.store.watch(&target.stored_as(), from) {
        Ok(watcher) => Watching {
            watcher,
            target: target.clone(),
            until: Instant::now() + duration(server, &options),
            bookmark_at: options.bookmarks.then(|| Instant::now() + BOOKMARK_EVERY),
            options,
            pending,
            ended: false,
        },
        Err(compacted) => return Ok(answer(body::stream(once(async move { Ok(expired(compacted)) })))),
    };
    let events = unfold(watching, |mut watching| async move {
        let event = watching.next().await?;
        Some((Ok::<_, BoxError>(event), watching))
    });
    Ok(answer(body::stream(events)))
}

fn answer(body: ravelin_transport::Body) -> Response {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::OK;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

fn duration(server: &Server, options: &ListOptions) -> Duration {
    let asked = options.timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let seconds = asked.filter(|seconds| *seconds > 0).unwrap_or_else(|| {
        // Spread, so that not all watchers of a start come back at once.
        MIN_WATCH_SECONDS + server.host.entropy("apiserver/watch").below(MIN_WATCH_SECONDS)
    });
    Duration::from_secs(seconds)
}

/// The events to begin with, and the revision after which to go on.
fn beginning(
    server: &Server,
    options: &ListOptions,
    target: &Target,
) -> Result<(VecDeque<Bytes>, u64), Status> {
    let version = options.resource_version.as_str();
    let from = match version {
        "" => 0,
        text => text.parse::<u64>().map_err(|_| {
            Status::plain_error(format!(
                "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        })?,
    };
    let initial = options.initial_events == Some(true);
    if from > 0 && !initial {
        return Ok((VecDeque::new(), from));
    }
    if options.initial_events == Some(false) {
        return Ok((VecDeque::new(), server.store.revision()));
    }
    let (found, revision) = server.store.list(&target.stored_as(), read::scope(target));
    let matching = found.iter().filter(|item| read::matches(options, target, item));
    let mut pending: VecDeque<Bytes> = matching.map(|item| event("ADDED", item)).collect();
    if initial && options.bookmarks {
        let mark = json!({"k8s.io/initial-events-end": "true"});
        pending.push_back(bookmark(target, revision, Some(mark)));
    }
    Ok((pending, revision))
}

struct Watching {
    watcher: Watcher,
    target: Target,
    options: ListOptions,
    pending: VecDeque<Bytes>,
    until: Instant,
    bookmark_at: Option<Instant>,
    ended: bool,
}

impl Watching {
    /// The next event; `None` at the end of the watch.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let tick = self.bookmark_at.map_or(self.until, |at| at.min(self.until));
            tokio::select! {
                biased;
                change = self.watcher.next() => self.take(change),
                () = sleep_until(tick) => self.tick(),
            }
        }
    }

    fn take(&mut self, change: Result<Change, Compacted>) {
        match change {
            Ok(change) => self.pending.extend(self.event_of(&change)),
            Err(compacted) => {
                self.pending.push_back(expired(compacted));
                self.ended = true;
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now >= self.until {
            self.ended = true;
        } else if self.bookmark_at.is_some_and(|at| now >= at) {
            self.pending.push_back(bookmark(&self.target, self.watcher.revision(), None));
            self.bookmark_at = Some(now + BOOKMARK_EVERY);
        }
    }

    /// What a change is to this watcher: an object that begins to match was added, one that no
    /// longer does was deleted.
    fn event_of(&self, change: &Change) -> Option<Bytes> {
        if read::scope(&self.target).is_some_and(|namespace| namespace != change.key.namespace) {
            return None;
        }
        let matches = |item: &Value| read::matches(&self.options, &self.target, item);
        let before = change.before.as_deref().is_some_and(matches);
        let after = !change.deleted && matches(&change.after);
        match (before, after) {
            (false, true) => Some(event("ADDED", &change.after)),
            (true, true) => Some(event("MODIFIED", &change.after)),
            (true, false) if change.deleted => Some(event("DELETED", &change.after)),
            (true, false) => {
                // The watcher knows the old state; only the version is the change's.
                let mut last = change.before.as_deref()?.clone();
                last["metadata"]["resourceVersion"] = json!(change.revision.to_string());
                Some(event("DELETED", &last))
            }
            (false, false) => None,
        }
    }
}

/// A line of the stream. The object in it is rendered as in any other answer.
fn event(kind: &str, object: &Value) -> Bytes {
    let rendered = render(object);
    let object = rendered.strip_suffix(b"\n").unwrap_or(&rendered);
    let mut line = format!("{{\"type\":\"{kind}\",\"object\":").into_bytes();
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    Bytes::from(line)
}

fn bookmark(target: &Target, revision: u64, annotations: Option<Value>) -> Bytes {
    let mut object = json!({
        "kind": target.resource.kind,
        "apiVersion": target.resource.api_version(),
        "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null},
    });
    if let Some(annotations) = annotations {
        object["metadata"]["annotations"] = annotations;
    }
    event("BOOKMARK", &object)
}

fn expired(compacted: Compacted) -> Bytes {
    event("ERROR", &Status::expired(compacted.to_string()).to_value())
}
