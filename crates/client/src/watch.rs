//! A watch: one event a line, until the server ends it.

use crate::client::Idle;
use crate::{Client, ClientError};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use ravelin_api::Status;
use ravelin_transport::body::Body;
use serde_json::Value;
use std::time::Duration;

/// The longest event, in bytes.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// How reflectors watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watches {
    /// How long the server is asked to keep a watch, so that a silent loss is noticed.
    pub timeout: Duration,
    /// Is the server asked to tell from time to time how far it is?
    pub bookmarks: bool,
}

impl Watches {
    /// As client-go's reflector does it (`minWatchTimeout` in tools/cache/reflector.go).
    pub const USUAL: Self = Self { timeout: Duration::from_secs(300), bookmarks: true };

    /// A server that says nothing for so long has vanished: Kubernetes keeps watches for up to
    /// twice the timeout.
    pub(crate) fn longest_silence(self) -> Duration {
        self.timeout * 2 + Duration::from_secs(60)
    }
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchEventKind {
    /// It is there now.
    Added,
    /// It changed.
    Modified,
    /// It is gone; the event shows its last state.
    Deleted,
    /// Nothing: the event tells a resource version up to which all has been sent.
    Bookmark,
}

/// One event of a watch.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchEvent {
    /// What happened.
    pub kind: WatchEventKind,
    /// The object.
    pub object: Value,
}

/// A running watch; dropping it closes its connection.
pub struct Watch {
    body: Option<Body>,
    /// The connection that it is on, and whom it goes back to when the server has ended the watch.
    lent: Option<(Client, Idle)>,
    /// The longest silence before the server counts as gone.
    silence: Duration,
    received: BytesMut,
    /// How much of `received` is known to hold no line's end.
    searched: usize,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watch(open: {})", self.body.is_some())
    }
}

impl Watch {
    pub(crate) fn new(body: Body, silence: Duration, lent: (Client, Idle)) -> Self {
        Self { body: Some(body), lent: Some(lent), silence, received: BytesMut::new(), searched: 0 }
    }

    /// The next event; `None` once the server has ended the watch properly, and after an error.
    /// Nothing is lost where the future is dropped early.
    pub async fn next(&mut self) -> Option<Result<WatchEvent, ClientError>> {
        loop {
            if let Some(line) = self.line() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let event = event(&line);
                if event.is_err() {
                    self.end();
                }
                return Some(event);
            }
            let body = self.body.as_mut()?;
            let ended = match tokio::time::timeout(self.silence, body.frame()).await {
                Err(_) => Some(Err(ClientError::Timeout)),
                Ok(None) if self.received.is_empty() => None,
                Ok(None | Some(Err(_))) => Some(Err(ClientError::Truncated)),
                Ok(Some(Ok(frame))) => {
                    let data = frame.into_data().unwrap_or_default();
                    if self.received.len() + data.len() <= MAX_EVENT_BYTES {
                        self.received.extend_from_slice(&data);
                        continue;
                    }
                    Some(Err(ClientError::Malformed("an event is too long".to_owned())))
                }
            };
            let lent = self.lent.take();
            self.end();
            if let (None, Some((client, idle))) = (&ended, lent) {
                client.keep(idle);
            }
            return ended;
        }
    }

    fn end(&mut self) {
        self.body = None;
        self.lent = None;
        self.received.clear();
        self.searched = 0;
    }

    fn line(&mut self) -> Option<Bytes> {
        let found = self.received[self.searched..].iter().position(|&byte| byte == b'\n');
        let Some(end) = found else {
            self.searched = self.received.len();
            return None;
        };
        let end = self.searched + end;
        self.searched = 0;
        Some(self.received.split_to(end + 1).freeze())
    }
}

fn event(line: &[u8]) -> Result<WatchEvent, ClientError> {
    let malformed = |what: &str| ClientError::Malformed(what.to_owned());
    let mut event: Value =
        serde_json::from_slice(line).map_err(|error| ClientError::Malformed(error.to_string()))?;
    let object = event.get_mut("object").map(Value::take).unwrap_or_default();
    let kind = match event.get("type").and_then(Value::as_str) {
        Some("ADDED") => WatchEventKind::Added,
        Some("MODIFIED") => WatchEventKind::Modified,
        Some("DELETED") => WatchEventKind::Deleted,
        Some("BOOKMARK") => WatchEventKind::Bookmark,
        Some("ERROR") => {
            let status = Status::from_value(&object, 500);
            return Err(status.map_or_else(
                || malformed("an error without a status"),
                |status| ClientError::Status(Box::new(status)),
            ));
        }
        _ => return Err(malformed("an event of unknown type")),
    };
    if !object.is_object() {
        return Err(malformed("an event without an object"));
    }
    Ok(WatchEvent { kind, object })
}
