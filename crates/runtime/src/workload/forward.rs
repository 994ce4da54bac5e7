//! The workload that passes every connection on to `TARGET`, byte for byte: what somebody runs in a
//! pod to be reached behind it.

use super::Container;
use ravelin_host::{BoxedStream, Endpoint, HostRef, Task};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::io::copy_bidirectional;

pub(super) async fn start(container: &Container<'_>, port: u16) -> io::Result<Task> {
    let host = container.sandbox.host.clone();
    let target: Option<SocketAddr> = container.view.env.get("TARGET").and_then(|text| text.parse().ok());
    let target = target.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "TARGET is no address"))?;
    let listener = host.listen(&Endpoint::tcp(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)).await?;
    let forwarding = host.clone();
    let accepting = async move {
        let mut passing: Vec<Task> = Vec::new();
        while let Ok(connection) = listener.accept().await {
            passing.retain(|task| !task.is_finished());
            let pass = pass_on(forwarding.clone(), connection.stream, target);
            passing.push(forwarding.spawn("forwarded", Box::pin(pass)));
        }
    };
    Ok(host.spawn("forward", Box::pin(accepting)))
}

async fn pass_on(host: HostRef, mut from: BoxedStream, target: SocketAddr) {
    let Ok(mut to) = host.connect(&target.into()).await else { return };
    // Either end may go away at any time.
    let _ = copy_bidirectional(&mut from, &mut to.stream).await;
}
