//! The framing alone: a stream of SPDY, a channel of a WebSocket, and SPDY within a WebSocket, over
//! one TLS connection in memory.

use super::floors;
use super::now;
use super::pair::{Pair, carried};
use super::table::{Table, middle};
use anyhow::{Context, Result};
use ravelin_transport::streams::{
    RemoteOptions, Spdy, remote_client_websocket, remote_server_websocket, tunnel_client, tunnel_server,
};
use std::time::Duration;

/// How many streams are opened one after the other.
const OPENED: usize = 2_000;

pub(super) async fn run(runs: usize) -> Result<()> {
    let (memory, loopback) = (Pair::in_memory(), Pair::on_loopback());
    let mut table = Table::new();
    let mut opened = Vec::new();
    for _ in 0..runs {
        table.add("the floor: one rustls connection in memory", floors::in_memory()?);
        table.add(
            "the second floor: one rustls connection over loopback",
            floors::on_loopback(&loopback).await?,
        );
        table.add("TLS of a host over a pipe in memory", plain(&memory).await?);
        table.add("a SPDY stream over it", spdy(&memory).await?);
        table.add("standard output in a WebSocket (v5) over it", websocket(&memory).await?);
        table.add("a SPDY stream in a WebSocket over it", tunnelled(&memory).await?);
        opened.push(opening(&memory).await?);
    }
    println!("the framing, between two hosts:");
    table.print();
    let each = middle(opened.iter().map(Duration::as_secs_f64)) / OPENED as f64;
    println!("  SPDY streams opened and closed one after the other {:>13.0} a second", 1.0 / each);
    Ok(())
}

async fn plain(pair: &Pair) -> Result<Duration> {
    let (client, server) = pair.connect().await?;
    carried(server, client).await
}

async fn spdy(pair: &Pair) -> Result<Duration> {
    let (client, server) = pair.connect().await?;
    through(Spdy::client(&pair.client, client), Spdy::server(&pair.server, server)).await
}

async fn tunnelled(pair: &Pair) -> Result<Duration> {
    let (client, server) = pair.connect().await?;
    let client = Spdy::client(&pair.client, tunnel_client(&pair.client, client));
    let server = Spdy::server(&pair.server, tunnel_server(&pair.server, server));
    through(client, server).await
}

async fn through(client: Spdy, server: Spdy) -> Result<Duration> {
    let accept = async { server.accept().await.context("the connection ended") };
    let open = async { Ok(client.open(&[("streamtype", "data")]).await?) };
    let (accepted, opened) = tokio::try_join!(biased; accept, open)?;
    let ((reader, _writer), (_reader, writer)) = (opened.into_split(), accepted.into_split());
    carried(writer, reader).await
}

async fn websocket(pair: &Pair) -> Result<Duration> {
    let (client, server) = pair.connect().await?;
    let options = RemoteOptions { stdout: true, ..RemoteOptions::default() };
    let protocol = "v5.channel.k8s.io";
    let server = remote_server_websocket(&pair.server, server, protocol, options).await?;
    let client = remote_client_websocket(&pair.client, client, protocol, options).await?;
    let (Some(writer), Some(reader)) = (server.stdout, client.stdout) else { anyhow::bail!("no output") };
    carried(writer, reader).await
}

/// Opens streams one after the other, each closed before the next.
async fn opening(pair: &Pair) -> Result<Duration> {
    let (client, server) = pair.connect().await?;
    let (client, server) = (Spdy::client(&pair.client, client), Spdy::server(&pair.server, server));
    let started = now();
    let open = async {
        for _ in 0..OPENED {
            let (reader, mut writer) =
                client.open(&[("streamtype", "data"), ("port", "8080")]).await?.into_split();
            tokio::io::AsyncWriteExt::shutdown(&mut writer).await?;
            drop(reader);
        }
        Ok::<_, anyhow::Error>(())
    };
    let accept = async {
        for _ in 0..OPENED {
            server.accept().await.context("the connection ended")?;
        }
        Ok(())
    };
    tokio::try_join!(biased; open, accept)?;
    Ok(started.elapsed())
}
