//! Bytes from and to a program.

use crate::{BoxedReader, BoxedWriter};
use std::future::pending;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

/// How much is moved at once, in bytes.
pub(super) const PIECE_BYTES: usize = 32 * 1024;

/// What a program has let go of may keep its outputs open: nothing is waited for that does not come within
/// this after its end.
const LINGER: Duration = Duration::from_millis(500);

/// A program's output, until its end.
pub(super) struct Output {
    reader: BoxedReader,
    end: watch::Receiver<Option<i32>>,
    buffer: Vec<u8>,
}

impl Output {
    pub(super) fn new(reader: BoxedReader, end: watch::Receiver<Option<i32>>) -> Self {
        Self { reader, end, buffer: vec![0; PIECE_BYTES] }
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<&[u8]> {
        let lingered = async {
            if self.end.wait_for(Option::is_some).await.is_ok() {
                tokio::time::sleep(LINGER).await;
            }
        };
        let count = tokio::select! {
            biased;
            read = self.reader.read(&mut self.buffer) => read.unwrap_or(0),
            () = lingered => 0,
        };
        (count > 0).then(|| &self.buffer[..count])
    }
}

/// Passes an output on to its end, or until nobody takes it.
pub(super) async fn show(output: Option<Output>, mut to: Option<BoxedWriter>) {
    if let Some(mut output) = output {
        while let Some(piece) = output.next().await {
            if let Some(writer) = &mut to
                && (writer.write_all(piece).await.is_err() || writer.flush().await.is_err())
            {
                return;
            }
        }
    }
    if let Some(mut writer) = to {
        // Who has gone misses nothing.
        let _ = writer.shutdown().await;
    }
}

/// Passes an input on; never returns. A program without a terminal sees its end.
pub(super) async fn feed(from: Option<BoxedReader>, to: Option<BoxedWriter>, has_terminal: bool) {
    let (Some(mut from), Some(mut to)) = (from, to) else { return pending().await };
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    if !has_terminal {
        drop(to);
        return pending().await;
    }
    pending().await
}
