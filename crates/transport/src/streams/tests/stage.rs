//! What the tests share: a host, pipes, and bytes that can be told from others.

use super::super::{BoxedReader, BoxedWriter, Spdy, SpdyStream};
use ravelin_host::memory::Network;
use ravelin_host::{BoxedStream, HostRef};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a pipe holds, as a socket's buffer does.
pub(super) const PIPE_BYTES: usize = 64 * 1024;

pub(super) fn host() -> HostRef {
    Network::new().host("node", [10, 0, 0, 1])
}

pub(super) fn pipe() -> (BoxedStream, BoxedStream) {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    (Box::new(near), Box::new(far))
}

/// A client's and a server's end.
pub(super) fn spdy(host: &HostRef) -> (Spdy, Spdy) {
    let (near, far) = pipe();
    (Spdy::client(host, near), Spdy::server(host, far))
}

/// A stream's two ends, the client's first.
pub(super) async fn stream(client: &Spdy, server: &Spdy) -> (SpdyStream, SpdyStream) {
    let (opened, accepted) = tokio::join!(client.open(&[("streamType", "data")]), server.accept());
    (opened.unwrap(), accepted.unwrap())
}

/// The bytes of a transfer, made and checked as they pass, and a hash of them (FNV-1a).
pub(super) struct Pattern {
    state: u64,
    pub(super) hash: u64,
    pub(super) count: usize,
}

impl Pattern {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed, hash: 0xcbf2_9ce4_8422_2325, count: 0 }
    }

    fn next(&mut self) -> u8 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 56) as u8
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.count += bytes.len();
    }
}

/// Writes this many bytes of a pattern, ends, and gives their hash.
pub(super) async fn pour(mut into: BoxedWriter, seed: u64, bytes: usize) -> io::Result<u64> {
    let mut pattern = Pattern::new(seed);
    let mut left = bytes;
    while left > 0 {
        let chunk: Vec<u8> = (0..left.min(50_000)).map(|_| pattern.next()).collect();
        into.write_all(&chunk).await?;
        pattern.take(&chunk);
        left -= chunk.len();
    }
    into.shutdown().await?;
    Ok(pattern.hash)
}

/// Reads to the end, and gives the bytes' number and hash.
pub(super) async fn drain(mut from: BoxedReader) -> io::Result<(usize, u64)> {
    let mut pattern = Pattern::new(0);
    let mut buffer = vec![0; 60_000];
    loop {
        match from.read(&mut buffer).await? {
            0 => return Ok((pattern.count, pattern.hash)),
            length => pattern.take(&buffer[..length]),
        }
    }
}

/// Runs a task until it is done or the test ends.
pub(super) fn spawn<T: Send + 'static>(
    host: &HostRef,
    work: impl Future<Output = T> + Send + 'static,
) -> tokio::sync::oneshot::Receiver<T> {
    let (done, waiting) = tokio::sync::oneshot::channel();
    let work = async move {
        // The test may have what it needs already.
        let _ = done.send(work.await);
    };
    host.spawn("test", Box::pin(work)).detach();
    waiting
}

/// Lets everything happen that can, for this long.
pub(super) async fn settle(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Does nobody but the test hold the network's end of this pipe any more?
pub(super) async fn is_closed(end: &mut BoxedStream) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(60), end.read_to_end(&mut rest)).await.is_ok()
}

/// How many tasks are alive.
pub(super) fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}
