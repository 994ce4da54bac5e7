//! The sending half of a call: a queue, and the body that takes from it.
//!
//! Bytes wait for room ([`Outgoing::send_data`], first come, first served, so that many connections
//! share a call fairly); other packets never wait, and a peer that makes too many of them without
//! reading ends the call.

use super::metrics::Segment;
use bytes::Bytes;
use futures_util::stream;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use ravelin_stream::grpc::{self, Status, code};
use ravelin_stream::konnectivity::Packet;
use ravelin_transport::http2::{Frame, frames};
use ravelin_transport::{Body, BoxError};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How many bytes of all connections may wait to be sent.
const MAX_QUEUED_BYTES: usize = 256 * 1024;
/// The most bytes of one packet that we send: the originals' buffers are of 4 to 32 KiB.
pub(super) const MAX_DATA_BYTES: usize = 32 * 1024;
/// How many other packets may wait to be sent.
const MAX_QUEUED_PACKETS: usize = 16 * 1024;

/// The call has ended in this direction: nothing can be sent any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CallEnded;

enum Item {
    Packet(Packet),
    /// The end: a status from servers, nothing from clients.
    End(Option<Status>),
}

struct Queued {
    item: Item,
    /// Room among the bytes, given back when the packet goes out.
    _room: Option<OwnedSemaphorePermit>,
    /// Counted among the other packets.
    small: bool,
}

/// The sending half.
#[derive(Clone)]
pub(super) struct Outgoing {
    queue: mpsc::UnboundedSender<Queued>,
    room: Arc<Semaphore>,
    small: Arc<AtomicUsize>,
    segment: Segment,
}

impl Outgoing {
    /// A sending half and the body that it fills.
    pub(super) fn new(segment: Segment) -> (Self, Body) {
        let (queue, queued) = mpsc::unbounded_channel();
        let small = Arc::new(AtomicUsize::new(0));
        let outgoing = Self {
            queue,
            room: Arc::new(Semaphore::new(MAX_QUEUED_BYTES)),
            small: Arc::clone(&small),
            segment,
        };
        (outgoing, sent(queued, small))
    }

    /// Sends a packet without bytes, at once.
    pub(super) fn send(&self, packet: Packet) -> Result<(), CallEnded> {
        if self.small.fetch_add(1, Ordering::Relaxed) >= MAX_QUEUED_PACKETS {
            self.abandon();
            return Err(CallEnded);
        }
        self.segment.packet(packet.kind());
        self.push(Item::Packet(packet), None, true)
    }

    /// Sends bytes of a connection, of at most [`MAX_DATA_BYTES`], once there is room.
    pub(super) async fn send_data(&self, connect_id: i64, data: Bytes) -> Result<(), CallEnded> {
        let length = u32::try_from(data.len().min(MAX_QUEUED_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(length).await.map_err(|_| CallEnded)?;
        self.segment.packet("DATA");
        self.push(Item::Packet(Packet::data(connect_id, data)), Some(room), false)
    }

    /// Ends this direction, after what was sent before.
    pub(super) fn finish(&self, status: Option<Status>) {
        let _ = self.push(Item::End(status), None, false);
    }

    /// Ends the call: whoever waits for room fails.
    fn abandon(&self) {
        self.room.close();
        self.finish(Some(Status::new(code::RESOURCE_EXHAUSTED, "too many packets wait to be sent")));
    }

    fn push(&self, item: Item, room: Option<OwnedSemaphorePermit>, small: bool) -> Result<(), CallEnded> {
        self.queue.send(Queued { item, _room: room, small }).map_err(|_| {
            self.room.close();
            CallEnded
        })
    }
}

/// The body of what is queued.
fn sent(queued: mpsc::UnboundedReceiver<Queued>, small: Arc<AtomicUsize>) -> Body {
    frames(stream::unfold(Some((queued, small)), |state| async move {
        let (mut queued, small) = state?;
        let Some(next) = queued.recv().await else {
            // Everything that could send is gone, and said no word of it.
            return Some((Err(BoxError::from("the call was abandoned")), None));
        };
        if next.small {
            small.fetch_sub(1, Ordering::Relaxed);
        }
        match next.item {
            Item::Packet(packet) => Some((Ok(Frame::data(packet.frame())), Some((queued, small)))),
            Item::End(Some(status)) => Some((Ok(Frame::trailers(trailers(&status))), None)),
            Item::End(None) => None,
        }
    }))
}

/// The trailers that tell a status.
pub(super) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(HeaderName::from_static(grpc::STATUS), HeaderValue::from(status.code));
    if let Ok(message) = HeaderValue::from_str(&status.encoded_message())
        && !message.is_empty()
    {
        trailers.insert(HeaderName::from_static(grpc::MESSAGE), message);
    }
    trailers
}
