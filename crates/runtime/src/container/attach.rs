//! Joining a container's main process.

use super::{Main, Resizes, Stdin, Work};
use crate::log::{LogReader, LogSource, SharedLog};
use crate::{BoxedReader, BoxedWriter, ProcessIo, Terminated};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

const PIECE_BYTES: usize = 32 * 1024;

/// Somebody who is attached to a main process, without keeping it alive.
pub(crate) struct Joined {
    end: watch::Receiver<Option<Terminated>>,
    pieces: Pieces,
    stdin: Option<Arc<Stdin>>,
    terminal: Option<Arc<dyn Resizes>>,
}

/// What the process writes from now on.
enum Pieces {
    Console(mpsc::Receiver<(LogSource, Bytes)>),
    /// What has no outputs but its log.
    Log(LogReader),
}

/// Closes an input that ends with the first who was attached.
struct Once(Option<Arc<Stdin>>);

impl Drop for Once {
    fn drop(&mut self) {
        if let Some(stdin) = self.0.as_ref().filter(|stdin| stdin.is_once) {
            stdin.close();
        }
    }
}

impl Main {
    /// Joins the process.
    pub(crate) fn join(&self, log: &Arc<SharedLog>) -> Joined {
        let (pieces, stdin, terminal) = match &self.work {
            Work::Process(parts) => {
                (Pieces::Console(parts.console.attach()), parts.stdin.clone(), parts.terminal.clone())
            }
            _ => (Pieces::Log(LogReader::following(log, log.end_cursor())), None, None),
        };
        Joined { end: self.watch(), pieces, stdin, terminal }
    }
}

impl Joined {
    /// Passes bytes on until the process has ended, or whoever is attached has.
    pub(crate) async fn run(self, io: ProcessIo) {
        let Self { mut end, pieces, stdin, terminal } = self;
        let sizes = io.resize;
        let resizing = async {
            if let (Some(terminal), Some(mut sizes)) = (&terminal, sizes) {
                while let Some(size) = sizes.recv().await {
                    terminal.resize(size);
                }
            }
            std::future::pending::<()>().await;
        };
        // Who ends an input that ends with them sees what comes of it; who leaves any other lets go of
        // the process (containerd's `ContainerIO.Attach`).
        let stays = stdin.as_ref().is_some_and(|stdin| stdin.is_once) && terminal.is_none();
        let feeding = async {
            feed(io.stdin, stdin).await;
            if stays {
                std::future::pending::<()>().await;
            }
        };
        let showing = show(pieces, io.stdout, io.stderr, &mut end);
        tokio::select! {
            biased;
            () = resizing => {}
            () = feeding => {}
            () = showing => {}
        }
    }
}

/// Passes on what is typed.
async fn feed(from: Option<BoxedReader>, to: Option<Arc<Stdin>>) {
    let (Some(mut from), Some(to)) = (from, to) else { return std::future::pending().await };
    let _once = Once(Some(Arc::clone(&to)));
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        let Some(writer) = to.writer().filter(|_| count > 0) else { return };
        if writer.lock().await.write_all(&buffer[..count]).await.is_err() {
            return;
        }
        // Who types wants it to be seen.
        if writer.lock().await.flush().await.is_err() {
            return;
        }
    }
}

async fn show(
    mut pieces: Pieces,
    mut stdout: Option<BoxedWriter>,
    mut stderr: Option<BoxedWriter>,
    end: &mut watch::Receiver<Option<Terminated>>,
) {
    loop {
        let piece = match &mut pieces {
            Pieces::Console(pieces) => pieces.recv().await,
            Pieces::Log(reader) => tokio::select! {
                biased;
                piece = reader.next() => piece.map(|piece| (LogSource::Stdout, piece)),
                // A workload that was taken away does not end its log.
                _ = end.wait_for(Option::is_some) => None,
            },
        };
        let Some((source, piece)) = piece else { break };
        let writer = match source {
            LogSource::Stdout => &mut stdout,
            LogSource::Stderr => &mut stderr,
        };
        if let Some(writer) = writer
            && write(writer, &piece).await.is_err()
        {
            return;
        }
    }
    for mut writer in stdout.into_iter().chain(stderr) {
        // Who has gone misses nothing.
        let _ = writer.shutdown().await;
    }
}

async fn write(writer: &mut BoxedWriter, piece: &[u8]) -> io::Result<()> {
    writer.write_all(piece).await?;
    writer.flush().await
}
