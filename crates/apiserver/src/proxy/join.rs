//! Two connections made one: what comes from either goes to the other.
//!
//! Each direction holds one buffer and waits for its reader, so that who reads slowly slows who
//! writes. The end of one direction is passed on as such; once one has ended the other may only go on
//! as long as it moves.

use ravelin_host::BoxedStream;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What one direction holds at most, in bytes.
const MAX_HELD_BYTES: usize = 32 * 1024;
/// How long a direction may stand still after the other has ended.
const MAX_STANDSTILL: Duration = Duration::from_secs(10);

/// What passed.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// From the client on, in bytes.
    pub(super) onwards: u64,
    /// Back to the client, in bytes.
    pub(super) back: u64,
    /// Why it ended, where not in peace.
    pub(super) error: Option<io::ErrorKind>,
}

/// Joins two connections until both directions have ended, or one has failed.
pub(super) async fn join(client: BoxedStream, backend: BoxedStream) -> Passed {
    let (from_client, to_client) = tokio::io::split(client);
    let (from_backend, to_backend) = tokio::io::split(backend);
    let (onwards, back) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut out = std::pin::pin!(pump(from_client, to_backend, &onwards));
    let mut home = std::pin::pin!(pump(from_backend, to_client, &back));
    let result = tokio::select! {
        biased;
        ended = &mut out => match ended {
            Ok(()) => rest(&mut home, &back).await,
            Err(error) => Err(error),
        },
        ended = &mut home => match ended {
            Ok(()) => rest(&mut out, &onwards).await,
            Err(error) => Err(error),
        },
    };
    Passed {
        onwards: onwards.load(Ordering::Relaxed),
        back: back.load(Ordering::Relaxed),
        error: result.err().map(|error| error.kind()),
    }
}

/// The remaining direction, for as long as it moves.
async fn rest(
    mut direction: impl Future<Output = io::Result<()>> + Unpin,
    moved: &AtomicU64,
) -> io::Result<()> {
    loop {
        let before = moved.load(Ordering::Relaxed);
        if let Ok(ended) = tokio::time::timeout(MAX_STANDSTILL, &mut direction).await {
            return ended;
        }
        if moved.load(Ordering::Relaxed) == before {
            return Ok(());
        }
    }
}

/// Copies until the reader's end, which is passed on. Counts what was passed on.
pub(super) async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: &AtomicU64,
) -> io::Result<()> {
    let mut held = vec![0; MAX_HELD_BYTES];
    loop {
        let count = from.read(&mut held).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&held[..count]).await?;
        to.flush().await?;
        moved.fetch_add(u64::try_from(count).expect("lengths fit into 64 bits"), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{DuplexStream, duplex};

    fn joined() -> (DuplexStream, DuplexStream, impl Future<Output = Passed>) {
        let (client, client_end) = duplex(1024);
        let (backend, backend_end) = duplex(1024);
        (client, backend, join(Box::new(client_end), Box::new(backend_end)))
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_one_direction_leaves_the_other_open() {
        let (mut client, mut backend, joining) = joined();
        let talk = async {
            client.write_all(b"ask").await.unwrap();
            client.shutdown().await.unwrap();
            let mut asked = Vec::new();
            backend.read_to_end(&mut asked).await.unwrap();
            for _ in 0..5 {
                tokio::time::sleep(MAX_STANDSTILL / 2).await;
                backend.write_all(b"x").await.unwrap();
            }
            backend.shutdown().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            (asked, answer)
        };
        let (passed, (asked, answer)) = tokio::join!(joining, talk);
        assert_eq!((asked.as_slice(), answer.as_slice()), (&b"ask"[..], &b"xxxxx"[..]));
        assert_eq!((passed.onwards, passed.back, passed.error), (3, 5, None));
    }

    #[tokio::test(start_paused = true)]
    async fn who_vanishes_ends_both_sides() {
        let (client, mut backend, joining) = joined();
        drop(client);
        let begun = tokio::time::Instant::now();
        let mut came = Vec::new();
        let (passed, read) = tokio::join!(joining, async {
            let read = backend.read_to_end(&mut came).await;
            // It neither answers nor ends.
            tokio::time::sleep(MAX_STANDSTILL * 2).await;
            read
        });
        assert_eq!((passed.onwards, read.unwrap()), (0, 0));
        assert!(begun.elapsed() <= MAX_STANDSTILL * 2, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stands_still_stops_the_writer() {
        let (mut client, backend, joining) = joined();
        let fill = async {
            let mut taken = 0;
            let chunk = [0; 512];
            while tokio::time::timeout(Duration::from_secs(1), client.write_all(&chunk)).await.is_ok() {
                taken += chunk.len();
            }
            taken
        };
        let taken = tokio::select! {
            biased;
            taken = fill => taken,
            _ = joining => panic!("it ended"),
        };
        assert!(taken <= MAX_HELD_BYTES + 3 * 1024, "{taken} bytes were taken");
        drop(backend);
    }
}
