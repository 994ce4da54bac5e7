//! One change told to 1,000 watchers over TLS, beside the same bytes from a bare handler.

use super::stage::{Bare, Side, Stage, get, piece};
use super::{median, ms, now};
use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use ravelin_apiserver::Key;
use ravelin_transport::{Body, HttpConnection};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;

const WATCHERS: usize = 1_000;
const PATH: &str = "/api/v1/namespaces/default/configmaps?watch=1";

pub(super) async fn run(runs: usize) -> Result<()> {
    let stage = Stage::new().await?;
    stage.api.store().seed(object(0))?;
    let connecting = now();
    let (_api, mut watchers) = watching(&stage, Side::Api).await?;
    let connected = connecting.elapsed();
    let mut taken = Vec::new();
    let mut event = Bytes::new();
    for n in 1..=runs {
        let started = now();
        change(&stage, n)?;
        event = told(&mut watchers).await?;
        taken.push(started.elapsed());
    }
    drop(watchers);
    let (tell, hears) = watch::channel(event.clone());
    let _task = stage.floor(Bare::Told(hears)).await?;
    let (_floor, mut watchers) = watching(&stage, Side::Floor).await?;
    let mut least = Vec::new();
    for _ in 0..runs {
        let started = now();
        tell.send_replace(event.clone());
        told(&mut watchers).await?;
        least.push(started.elapsed());
    }
    println!(
        "a change to {WATCHERS} watchers, an event of {} bytes (connecting them took {:.0} ms):",
        event.len(),
        ms(connected)
    );
    let row = |what: &str, taken: Vec<Duration>| {
        let time = median(taken);
        let events = WATCHERS as f64 / time.as_secs_f64();
        println!("  {what:<46} {:>10.1} ms   {events:>8.0} events/s", ms(time));
        time
    };
    let time = row("the API server: until the last has it", taken);
    let least = row("the floor: the same bytes, a bare handler", least);
    println!("  ratio {:.2}", time.as_secs_f64() / least.as_secs_f64());
    Ok(())
}

/// All watchers, each past its first event, with their connections.
async fn watching(stage: &Stage, side: Side) -> Result<(Vec<HttpConnection>, Vec<Body>)> {
    let (mut connections, mut bodies) = (Vec::new(), Vec::new());
    for _ in 0..WATCHERS {
        let mut connection = stage.connect(side).await?;
        let mut body = get(&mut connection, PATH).await?;
        ensure!(piece(&mut body).await?.is_some_and(|event| event.ends_with(b"\n")), "no first event");
        connections.push(connection);
        bodies.push(body);
    }
    Ok((connections, bodies))
}

/// Waits until every watcher has the next event; gives one.
async fn told(watchers: &mut [Body]) -> Result<Bytes> {
    let events = try_join_all(watchers.iter_mut().map(|body| async move {
        let event = piece(body).await?.unwrap_or_default();
        ensure!(event.ends_with(b"\n"), "half an event");
        Ok(event)
    }));
    let events = events.await?;
    ensure!(events.iter().all(|event| *event == events[0]), "not everybody was told the same");
    Ok(events[0].clone())
}

fn change(stage: &Stage, n: usize) -> Result<()> {
    let key = Key::namespaced("configmaps", "default", "one");
    let mut object = object(n);
    let before = stage.api.store().get(&key).map(|object| object["metadata"].clone()).unwrap_or_default();
    object["metadata"] = before;
    stage.api.store().update(&key, object)?;
    Ok(())
}

fn object(n: usize) -> Value {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "one", "namespace": "default"},
        "data": {"content": "x".repeat(1_000), "count": n.to_string()}})
}
