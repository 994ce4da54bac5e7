//! Watching objects: what there is, then every change, once and in order.

use super::{Target, read, revision, selection};
use crate::negotiate::{Form, View, Wanted};
use crate::server::{Asked, Server};
use crate::store::{Change, Compacted, EventKind, Stored, Watcher, line};
use crate::table::Tables;
use bytes::Bytes;
use futures_util::stream::{once, unfold};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use ravelin_api::{ListOptions, Status, to_protobuf};
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
    permit: &Permit,
    (asked, target): (&Asked, &Target),
    (wanted, tables): (Wanted, Option<Tables>),
) -> Result<Response, Status> {
    let mut options = read::options(asked, target)?;
    // The old paths are watches by their name.
    options.watch = true;
    selection::check_watch(&options)?;
    let mut writer = Writer { wanted, tables, columns_told: false };
    let media_type = writer.media_type();
    let (pending, from) = beginning(server, permit, (&options, target, &mut writer))?;
    let watching = match server.objects(permit).watch(&target.stored_as(), from) {
        Ok(watcher) => Watching {
            watcher,
            target: target.clone(),
            writer,
            until: Instant::now() + duration(server, &options),
            bookmark_at: options.bookmarks.then(|| Instant::now() + BOOKMARK_EVERY),
            options,
            pending,
            ended: false,
        },
        Err(compacted) => {
            let event = writer.expired(compacted);
            return Ok(answer(media_type, body::stream(once(async move { Ok(event) }))));
        }
    };
    let events = unfold(watching, |mut watching| async move {
        let event = watching.next().await?;
        Some((Ok::<_, BoxError>(event), watching))
    });
    Ok(answer(media_type, body::stream(events)))
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
    permit: &Permit,
    (options, target, writer): (&ListOptions, &Target, &mut Writer),
) -> Result<(VecDeque<Bytes>, u64), Status> {
    let from = revision::parse(&options.resource_version).map_err(Status::plain_error)?;
    let initial = options.initial_events == Some(true);
    if from > 0 && !initial {
        return Ok((VecDeque::new(), from));
    }
    let store = server.objects(permit);
    if options.initial_events == Some(false) {
        return Ok((VecDeque::new(), store.revision()));
    }
    let (found, revision) = store.list_stored(&target.stored_as(), read::scope(target));
    revision::not_in_the_future(from, revision)?;
    let matching = found.iter().filter(|item| read::matches(options, target, item));
    let mut pending: VecDeque<Bytes> = matching.map(|item| writer.stored("ADDED", item)).collect();
    if initial && options.bookmarks {
        let mark = json!({"k8s.io/initial-events-end": "true"});
        pending.push_back(writer.bookmark(target, revision, Some(mark)));
    }
    Ok((pending, revision))
}

struct Watching {
    watcher: Watcher,
    target: Target,
    options: ListOptions,
    writer: Writer,
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

    fn take(&mut self, change: Result<Arc<Change>, Compacted>) {
        match change {
            Ok(change) => {
                let kind = self.meaning(&change);
                self.pending.extend(kind.map(|kind| self.writer.change(&change, kind)));
            }
            Err(compacted) => {
                self.pending.push_back(self.writer.expired(compacted));
                self.ended = true;
            }
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now >= self.until {
            self.ended = true;
        } else if self.bookmark_at.is_some_and(|at| now >= at) {
            let bookmark = self.writer.bookmark(&self.target, self.watcher.revision(), None);
            self.pending.push_back(bookmark);
            self.bookmark_at = Some(now + BOOKMARK_EVERY);
        }
    }

    /// What a change is to this watcher: an object that begins to match was added, one that no
    /// longer does was deleted.
    fn meaning(&self, change: &Change) -> Option<EventKind> {
        if read::scope(&self.target).is_some_and(|namespace| namespace != change.key.namespace)
            || !self.target.name.is_empty() && self.target.name != change.key.name
        {
            return None;
        }
        let matches = |item: &Value| read::matches(&self.options, &self.target, item);
        let before = change.before.as_ref().is_some_and(|before| matches(before));
        let after = !change.deleted && matches(&change.after);
        match (before, after) {
            (false, true) => Some(EventKind::Added),
            (true, true) => Some(EventKind::Modified),
            (true, false) if change.deleted => Some(EventKind::Deleted),
            (true, false) => Some(EventKind::Left),
            (false, false) => None,
        }
    }
}

fn answer(media_type: &'static str, body: ravelin_transport::Body) -> Response {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::OK;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

/// Writes events in the form that is wanted.
struct Writer {
    wanted: Wanted,
    tables: Option<Tables>,
    /// Did a table name its columns yet? Only the first does (`watchEmbeddedEncoder`).
    columns_told: bool,
}

impl Writer {
    fn media_type(&self) -> &'static str {
        match self.wanted.form {
            Form::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            Form::Json | Form::Yaml => "application/json",
        }
    }

    fn change(&mut self, change: &Change, kind: EventKind) -> Bytes {
        if self.is_plain() {
            return change.line(kind);
        }
        self.value(kind.name(), &change.object_of(kind))
    }

    fn stored(&mut self, event: &str, object: &Stored) -> Bytes {
        if self.is_plain() { line(event, object) } else { self.value(event, object) }
    }

    fn is_plain(&self) -> bool {
        self.wanted.form != Form::Protobuf && self.wanted.view == View::Whole
    }

    fn value(&mut self, event: &str, object: &Value) -> Bytes {
        let viewed = match self.wanted.view {
            View::Whole => None,
            _ if object["kind"] == "Status" => None,
            View::Table(_) => {
                let with_columns = !std::mem::replace(&mut self.columns_told, true);
                self.tables.as_ref().map(|tables| tables.of_one(object, with_columns))
            }
            View::Metadata | View::MetadataList => Some(json!({"kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1", "metadata": object.get("metadata")})),
        };
        let object = viewed.as_ref().unwrap_or(object);
        if self.wanted.form == Form::Protobuf
            && let Some(bytes) = to_protobuf(object)
        {
            return frame(event, &bytes);
        }
        let rendered = ravelin_api::render(object);
        let mut line = format!("{{\"type\":\"{event}\",\"object\":").into_bytes();
        line.extend_from_slice(rendered.trim_ascii_end());
        line.extend_from_slice(b"}\n");
        Bytes::from(line)
    }

    fn bookmark(&mut self, target: &Target, revision: u64, annotations: Option<Value>) -> Bytes {
        let mut object = json!({
            "kind": target.resource.kind,
            "apiVersion": target.resource.api_version(),
            "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null},
        });
        if let Some(annotations) = annotations {
            object["metadata"]["annotations"] = annotations;
        }
        self.value("BOOKMARK", &object)
    }

    fn expired(&mut self, compacted: Compacted) -> Bytes {
        self.value("ERROR", &Status::expired(compacted.to_string()).to_value())
    }
}

/// An event in protobuf: its length, then a `WatchEvent` whose object is an enveloped one
/// (`serializer/protobuf`, `lengthDelimitedFrameWriter`).
fn frame(event: &str, object: &[u8]) -> Bytes {
    let message = ravelin_api::watch_event(event, object);
    let mut frame = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    frame.extend_from_slice(&message);
    Bytes::from(frame)
}
