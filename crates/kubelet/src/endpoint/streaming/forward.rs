//! Port-forward over SPDY (`portforward/httpstream.go`): for each forwarded connection a pair of
//! streams, one for its bytes and one for what went wrong. Pairs do not wait for each other, as far
//! as one connection lets them.

use ravelin_host::{BoxedStream, HostRef, Task};
use ravelin_runtime::Runtime;
use ravelin_transport::streams::{BoxedReader, BoxedWriter, CREATION_TIMEOUT, Spdy, SpdyStream};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// The most forwarded connections of one connection at a time.
const MAX_FORWARDED: usize = 1024;
/// What one direction of a forwarded connection holds at most, in bytes.
const HELD_BYTES: usize = 32 * 1024;

/// The streams of one forwarded connection, as they come.
struct Pair {
    data: Option<SpdyStream>,
    error: Option<SpdyStream>,
    /// Until when the other must have come.
    deadline: Instant,
}

/// Forwards connections until the client's ends.
pub(super) async fn serve(host: HostRef, runtime: Arc<dyn Runtime>, stream: BoxedStream, uid: String) {
    let spdy = Spdy::server(&host, stream);
    let mut waiting: BTreeMap<String, Pair> = BTreeMap::new();
    // They end with this connection.
    let mut forwarding: Vec<Task> = Vec::new();
    loop {
        let next = waiting.values().map(|pair| pair.deadline).min();
        let stream = tokio::select! {
            biased;
            stream = spdy.accept() => stream,
            () = until(next) => {
                expire(&host, &mut waiting);
                continue;
            }
        };
        let Some(stream) = stream else { break };
        let Some((port, is_error)) = wanted(&stream) else { continue };
        forwarding.retain(|task| !task.is_finished());
        let id = request_id(&stream, is_error);
        let pair = waiting.entry(id.clone()).or_insert_with(|| Pair {
            data: None,
            error: None,
            deadline: Instant::now() + CREATION_TIMEOUT,
        });
        let slot = if is_error { &mut pair.error } else { &mut pair.data };
        if slot.is_some() {
            let kind = if is_error { "error" } else { "data" };
            complain(
                &host,
                pair.error.take(),
                format!("error processing stream for request {id}: {kind} stream already assigned"),
            );
            continue;
        }
        *slot = Some(stream);
        if let Some(Pair { data: Some(data), error: Some(error), .. }) = whole(&mut waiting, &id) {
            if forwarding.len() >= MAX_FORWARDED {
                complain(
                    &host,
                    Some(error),
                    format!("error forwarding port {port} to pod {uid}, uid : too many connections"),
                );
                continue;
            }
            let forwarded = forward(Arc::clone(&runtime), uid.clone(), port, (data, error));
            forwarding.push(host.spawn("kubelet.forward", Box::pin(forwarded)));
        }
        if waiting.len() > MAX_FORWARDED {
            waiting.pop_first();
        }
    }
}

/// Takes a pair out once both streams are there.
fn whole(waiting: &mut BTreeMap<String, Pair>, id: &str) -> Option<Pair> {
    let is_whole = waiting.get(id).is_some_and(|pair| pair.data.is_some() && pair.error.is_some());
    if is_whole { waiting.remove(id) } else { None }
}

/// The port that a stream is for, and whether it is for errors. Any other stream is reset.
fn wanted(stream: &SpdyStream) -> Option<(u16, bool)> {
    let port: u16 = stream.header("port")?.parse().ok().filter(|port| *port > 0)?;
    match stream.header("streamType")? {
        "error" => Some((port, true)),
        "data" => Some((port, false)),
        _ => None,
    }
}

/// Which streams belong together. Old clients do not say: their data stream comes right behind the
/// other.
fn request_id(stream: &SpdyStream, is_error: bool) -> String {
    match stream.header("requestID").filter(|id| !id.is_empty()) {
        Some(id) => id.to_owned(),
        None if is_error => stream.id().to_string(),
        None => stream.id().saturating_sub(2).to_string(),
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Gives up the pairs of which only one stream came in time.
fn expire(host: &HostRef, waiting: &mut BTreeMap<String, Pair>) {
    let now = Instant::now();
    let late: Vec<String> =
        waiting.iter().filter(|(_, pair)| pair.deadline <= now).map(|(id, _)| id.clone()).collect();
    for id in late {
        let pair = waiting.remove(&id);
        complain(
            host,
            pair.and_then(|pair| pair.error),
            format!("(request={id}) timed out waiting for streams"),
        );
    }
}

/// Tells what went wrong, if there is a stream to tell it by; nobody waits for that.
fn complain(host: &HostRef, error: Option<SpdyStream>, text: String) {
    let Some(error) = error else { return };
    let told = async move {
        let (_, mut writer) = error.into_split();
        let told = async {
            writer.write_all(text.as_bytes()).await?;
            writer.shutdown().await
        };
        // A client that takes no errors is none to wait for.
        let _ = tokio::time::timeout(CREATION_TIMEOUT, told).await;
    };
    host.spawn("kubelet.complaint", Box::pin(told)).detach();
}

/// Forwards one connection.
async fn forward(runtime: Arc<dyn Runtime>, uid: String, port: u16, (data, error): (SpdyStream, SpdyStream)) {
    let (_, mut complaints) = error.into_split();
    let (from_client, to_client) = data.into_split();
    let ended = match runtime.port_forward(&uid, port).await {
        Ok(pod) => copy((from_client, to_client), pod).await.map_err(|error| error.to_string()),
        Err(error) => {
            let (mut to_client, from_client) = (to_client, from_client);
            // Its end is in order, whatever the other stream says.
            let _ = to_client.shutdown().await;
            drop(from_client);
            Err(error.to_string())
        }
    };
    if let Err(why) = ended {
        let text = format!("error forwarding port {port} to pod {uid}, uid : {why}");
        let _ = complaints.write_all(text.as_bytes()).await;
    }
    let _ = complaints.shutdown().await;
}

/// Copies both ways until the pod's side has ended, or the client has cut off its own; the client's end
/// is passed on.
pub(super) async fn copy(
    (from_client, mut to_client): (BoxedReader, BoxedWriter),
    pod: BoxedStream,
) -> std::io::Result<()> {
    let (from_pod, to_pod) = tokio::io::split(pod);
    let onwards = async {
        if !was_cut_off(from_client, to_pod).await {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        ended = pump_into(from_pod, &mut to_client) => ended?,
        () = onwards => {}
    }
    to_client.shutdown().await
}

/// Copies until the client's end, which is passed on. Was it no end in order? Then nobody waits for
/// what the pod still has to say.
async fn was_cut_off(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
) -> bool {
    let mut held = vec![0; HELD_BYTES];
    loop {
        let Ok(count) = from.read(&mut held).await else { return true };
        // A pod that takes nothing any more may still speak.
        if count == 0 {
            let _ = to.shutdown().await;
            return false;
        }
        if to.write_all(&held[..count]).await.is_err() || to.flush().await.is_err() {
            return false;
        }
    }
}

async fn pump_into(
    mut from: impl tokio::io::AsyncRead + Unpin,
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
) -> std::io::Result<()> {
    let mut held = vec![0; HELD_BYTES];
    loop {
        let count = from.read(&mut held).await?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&held[..count]).await?;
        to.flush().await?;
    }
}
