//! A SPDY connection over a stream of bytes.

use super::StreamError;
use super::driver::{Link, Side};
use super::half::{BoxedReader, BoxedWriter, Dropped, Held, Reader, Writer};
use super::remote::CREATION_TIMEOUT;
use ravelin_host::{BoxedStream, HostRef};
use ravelin_stream::Session;
use ravelin_stream::spdy::{Connection, Headers, Role};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// One end of a SPDY connection. It ends when this and all its streams are dropped.
pub struct Spdy {
    pub(super) link: Link<Connection>,
}

impl std::fmt::Debug for Spdy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Spdy({} bytes buffered)", self.buffered_bytes())
    }
}

impl Spdy {
    /// The end that answered the upgrade.
    pub fn server(host: &HostRef, stream: BoxedStream) -> Self {
        Self { link: Link::drive(host, stream, Connection::new(Role::Server)) }
    }

    /// The end that asked for it.
    pub fn client(host: &HostRef, stream: BoxedStream) -> Self {
        Self { link: Link::drive(host, stream, Connection::new(Role::Client)) }
    }

    /// Sends pings, as Kubernetes' clients do every [`super::PING_PERIOD`]. A peer that sends nothing
    /// for [`super::PING_TIMEOUT`] is gone: all streams end with an error.
    pub fn with_pings(self, every: Duration) -> Self {
        self.link.ping_every(every);
        self
    }

    /// Opens a stream and waits until the peer took it.
    ///
    /// # Errors
    /// Where the peer refuses it, or does not answer for [`CREATION_TIMEOUT`].
    pub async fn open(&self, headers: &[(&str, &str)]) -> Result<SpdyStream, StreamError> {
        let id = self.link.with(|session| session.open(headers)).ok_or(StreamError::Refused)?;
        let held = Held::new(&self.link, id);
        let replied = poll_fn(|cx| {
            self.link.poll(cx, (id, Side::Read), |state| match state.session.replied(id) {
                Some(true) => Poll::Ready(Ok(())),
                Some(false) => Poll::Ready(Err(state.ended.clone().unwrap_or(StreamError::Refused))),
                None => Poll::Pending,
            })
        });
        tokio::time::timeout(CREATION_TIMEOUT, replied).await.map_err(|_| StreamError::Unanswered)??;
        let headers =
            headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned())).collect();
        Ok(SpdyStream { held, headers })
    }

    /// The next stream that the peer opened; it was told already that it is taken. `None` where no
    /// more can come. To be waited for by one task at a time.
    pub async fn accept(&self) -> Option<SpdyStream> {
        let (id, headers) = poll_fn(|cx| {
            self.link.poll(cx, (0, Side::Accept), |state| match state.session.accept() {
                None if state.session.no_more_streams() => Poll::Ready(None),
                None => Poll::Pending,
                opened => Poll::Ready(opened),
            })
        })
        .await?;
        Some(SpdyStream { held: Held::new(&self.link, id), headers })
    }

    /// Ends the connection in order, its streams with it, and waits until all was sent.
    pub async fn close(self) {
        self.link.close().await;
    }

    /// How many bytes are held in all streams, received and unread or unsent.
    pub fn buffered_bytes(&self) -> usize {
        self.link.with(|session| session.buffered_bytes())
    }
}

/// A stream of a SPDY connection. Dropping it cuts it off.
pub struct SpdyStream {
    pub(super) held: Arc<Held<Connection>>,
    headers: Headers,
}

impl std::fmt::Debug for SpdyStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SpdyStream({}, {:?})", self.held.id, self.headers)
    }
}

impl SpdyStream {
    /// Its number.
    pub fn id(&self) -> u32 {
        self.held.id
    }

    /// What it was opened with; names are lower case.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The value of a header, whatever the case of its name; the first where there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, values) = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name))?;
        values.split('\0').next()
    }

    /// Its halves. `shutdown` of the writer ends our half; a writer that is dropped without it cuts
    /// the stream off. Dropping the reader throws away what still comes.
    pub fn into_split(self) -> (BoxedReader, BoxedWriter) {
        let writer = Writer::new(Arc::clone(&self.held), Dropped::Reset);
        (Box::new(Reader::new(self.held)), Box::new(writer))
    }

    /// Cuts the stream off.
    pub fn reset(self) {
        self.held.link.with(|session| session.reset(self.held.id));
    }
}
