//! A list of 5,000 pods over TLS, beside the same bytes from a bare handler.

use super::stage::{Bare, Side, Stage, get, length, pod};
use super::{median, ms, now};
use anyhow::{Result, ensure};
use bytes::{Bytes, BytesMut};
use ravelin_transport::HttpConnection;
use std::time::Duration;

const PODS: usize = 5_000;
const PATH: &str = "/api/v1/pods";

pub(super) async fn run(runs: usize) -> Result<()> {
    let stage = Stage::new().await?;
    for n in 0..PODS {
        stage.api.store().seed(pod(n))?;
    }
    let mut api = stage.connect(Side::Api).await?;
    let mut list = get(&mut api, PATH).await?;
    let mut content = BytesMut::new();
    while let Some(piece) = super::stage::piece(&mut list).await? {
        content.extend_from_slice(&piece);
    }
    drop(list);
    let content: Bytes = content.freeze();
    let _task = stage.floor(Bare::Whole(content.clone())).await?;
    let mut floor = stage.connect(Side::Floor).await?;
    let (mut taken, mut least, mut first) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        taken.push(timed(&mut api, content.len()).await?);
        least.push(timed(&mut floor, content.len()).await?);
        // After a change of one object nothing of the list may have been kept as it was.
        let name = format!("web-5d8c7b6f9d-{:05}", 17);
        stage
            .api
            .store()
            .delete(&ravelin_apiserver::Key::namespaced("pods", "default", &name), &Default::default())?;
        stage.api.store().seed(pod(17))?;
        first.push(timed(&mut api, content.len()).await?);
    }
    let bytes = content.len() as f64;
    let row = |what: &str, taken: Vec<Duration>| {
        let time = median(taken);
        println!("  {what:<46} {:>10.1} ms   {:>8.0} MB/s", ms(time), bytes / 1e6 / time.as_secs_f64());
        time
    };
    println!("a list of {PODS} pods, {:.1} MB of JSON, one client:", bytes / 1e6);
    let time = row("the API server", taken);
    row("the API server, after one pod was replaced", first);
    let least = row("the floor: the same bytes, a bare handler", least);
    println!("  ratio {:.2}", time.as_secs_f64() / least.as_secs_f64());
    Ok(())
}

async fn timed(connection: &mut HttpConnection, bytes: usize) -> Result<Duration> {
    connection.ready().await?;
    let started = now();
    let came = length(get(connection, PATH).await?).await?;
    let taken = started.elapsed();
    // Another resourceVersion may have one digit more.
    ensure!(came.abs_diff(bytes) < 64, "{came} bytes came instead of {bytes}");
    Ok(taken)
}
