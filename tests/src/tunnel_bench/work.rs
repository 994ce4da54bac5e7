//! What is carried.

use super::Way;
use super::far::Far;
use crate::stream_bench::now;
use anyhow::{Result, ensure};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CHUNK: usize = 64 * 1024;

/// How long it takes until so many bytes have come.
pub(super) async fn download(way: &Way, far: &Far, bytes: usize) -> Result<Duration> {
    downloads(way, far, (1, bytes)).await
}

/// The same over several streams at once, so many bytes each.
pub(super) async fn downloads(way: &Way, far: &Far, (streams, bytes): (usize, usize)) -> Result<Duration> {
    let mut open = Vec::new();
    for _ in 0..streams {
        open.push(way.connect(far.source).await?);
    }
    let started = now();
    let reading = open.into_iter().map(async |mut stream| -> Result<usize> {
        stream.write_u64(bytes as u64).await?;
        let (mut buffer, mut came) = (vec![0; CHUNK], 0);
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(came),
                length => came += length,
            }
        }
    });
    let came = futures_util::future::try_join_all(reading).await?;
    let taken = started.elapsed();
    ensure!(came.iter().all(|came| *came == bytes), "not all bytes came");
    Ok(taken)
}

/// How long it takes until so many bytes have gone, and the far end says so.
pub(super) async fn upload(way: &Way, far: &Far, bytes: usize) -> Result<Duration> {
    let mut stream = way.connect(far.sink).await?;
    let started = now();
    let chunk = vec![0x2a; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let length = left.min(CHUNK);
        stream.write_all(&chunk[..length]).await?;
        left -= length;
    }
    stream.shutdown().await?;
    let counted = stream.read_u64().await?;
    let taken = started.elapsed();
    ensure!(counted == bytes as u64, "{counted} bytes came");
    Ok(taken)
}

/// How long one byte after the other takes to go to and fro.
pub(super) async fn rounds(way: &Way, far: &Far, rounds: usize) -> Result<Duration> {
    let mut stream = way.connect(far.echo).await?;
    let started = now();
    for _ in 0..rounds {
        stream.write_all(b"x").await?;
        ensure!(stream.read_u8().await? == b'x', "another byte came back");
    }
    Ok(started.elapsed())
}
