//! Bytes through the whole chain: client, apiserver, kubelet, pod.

use super::chain::{Chain, SINK, SOURCE};
use super::floors;
use super::pair::Pair;
use super::table::Table;
use super::{BYTES, CHUNK, now};
use anyhow::{Context, Result, ensure};
use ravelin_client::{Carrier, Outcome};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(super) async fn run(runs: usize) -> Result<()> {
    let loopback = Pair::on_loopback();
    let (memory, sockets) = (Chain::in_memory().await?, Chain::on_loopback().await?);
    let (mut in_memory, mut on_loopback) = (Table::new(), Table::new());
    for _ in 0..runs {
        in_memory.add("the floor: one rustls connection in memory", floors::in_memory()?);
        measure(&memory, &mut in_memory).await?;
        on_loopback
            .add("the floor: one rustls connection over loopback", floors::on_loopback(&loopback).await?);
        measure(&sockets, &mut on_loopback).await?;
    }
    println!("through apiserver and kubelet (two TLS connections), over a network in memory:");
    in_memory.print();
    println!("the same over sockets of the loopback:");
    on_loopback.print();
    Ok(())
}

async fn measure(chain: &Chain, table: &mut Table) -> Result<()> {
    let (websocket, spdy) = (Carrier::WebSocket, Carrier::Spdy);
    let mut add = |what, taken: Result<Duration>| -> Result<()> {
        table.add(what, taken.context(what)?);
        Ok(())
    };
    add("exec, out of the pod, WebSocket", output(chain, websocket).await)?;
    add("exec, into the pod, WebSocket", input(chain, websocket).await)?;
    add("exec, out of the pod, SPDY", output(chain, spdy).await)?;
    add("port-forward, out of the pod, WebSocket", download(chain, websocket).await)?;
    add("port-forward, into the pod, WebSocket", upload(chain, websocket).await)?;
    add("port-forward, out of the pod, SPDY", download(chain, spdy).await)
}

async fn output(chain: &Chain, carrier: Carrier) -> Result<Duration> {
    let count = BYTES.to_string();
    let started = now();
    let exec = chain.exec(&["head", "-c", &count, "/dev/zero"], carrier).await?;
    let came = drained(exec.stdout.context("no output")?).await?;
    let outcome = exec.outcome.read().await?;
    let taken = started.elapsed();
    ensure!(came == BYTES && outcome == Outcome::Success, "{came} bytes came, then {outcome:?}");
    Ok(taken)
}

async fn input(chain: &Chain, carrier: Carrier) -> Result<Duration> {
    let started = now();
    // It reads all, and looks at nothing but the end: `wc` would be measured instead.
    let exec = chain.exec(&["tail", "-c", "1"], carrier).await?;
    let (stdin, mut stdout) = (exec.stdin.context("no input")?, exec.stdout.context("no output")?);
    let mut last = String::new();
    let (filled, read) = tokio::join!(biased; fill(stdin), stdout.read_to_string(&mut last));
    filled?;
    read?;
    let outcome = exec.outcome.read().await?;
    let taken = started.elapsed();
    ensure!(outcome == Outcome::Success && last == "!", "{last:?} came last, then {outcome:?}");
    Ok(taken)
}

async fn download(chain: &Chain, carrier: Carrier) -> Result<Duration> {
    let started = now();
    let forwarding = chain.forward(carrier).await?;
    let forwarded = forwarding.connect(SOURCE).await?;
    let came = drained(forwarded.reader).await?;
    let taken = started.elapsed();
    ensure!(came == BYTES, "{came} bytes came");
    Ok(taken)
}

async fn upload(chain: &Chain, carrier: Carrier) -> Result<Duration> {
    let started = now();
    let forwarding = chain.forward(carrier).await?;
    let mut forwarded = forwarding.connect(SINK).await?;
    let mut counted = String::new();
    let (filled, read) =
        tokio::join!(biased; fill(forwarded.writer), forwarded.reader.read_to_string(&mut counted));
    filled?;
    read?;
    let taken = started.elapsed();
    ensure!(counted == BYTES.to_string(), "the pod counted {counted:?}");
    Ok(taken)
}

/// Sends [`BYTES`], the last of which is another.
async fn fill(mut into: impl AsyncWrite + Unpin) -> Result<()> {
    let chunk = vec![0x2a; CHUNK];
    let mut left = BYTES - 1;
    while left > 0 {
        let length = left.min(CHUNK);
        into.write_all(&chunk[..length]).await?;
        left -= length;
    }
    into.write_all(b"!").await?;
    into.shutdown().await?;
    Ok(())
}

async fn drained(mut out_of: impl AsyncRead + Unpin) -> Result<usize> {
    let (mut buffer, mut came) = (vec![0; CHUNK], 0);
    loop {
        match out_of.read(&mut buffer).await? {
            0 => return Ok(came),
            length => came += length,
        }
    }
}
