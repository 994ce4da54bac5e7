//! Ports of programs: they listen on this computer's loopback, and are reached at their pod's address.

use crate::{RuntimeError, Sandbox};
use ravelin_host::program::Programs;
use ravelin_host::{BoxedStream, Connection, Endpoint, Task};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The most connections to a port at a time; more are closed.
const MAX_CONNECTIONS: usize = 1024;

/// After an error, the next connection is not waited for at once.
const PAUSE: Duration = Duration::from_millis(10);

/// The loopback address of a pod: `127` and the rest of its address in the cluster, so that no two pods
/// of a cluster have the same. A pod of a node's own network has the usual one.
pub(super) fn loopback(sandbox: &Sandbox) -> Ipv4Addr {
    match sandbox.host.addresses().first() {
        Some(IpAddr::V4(address)) if !sandbox.pod.host_network && !address.is_loopback() => {
            let [_, b, c, d] = address.octets();
            Ipv4Addr::new(127, b, c, d)
        }
        _ => Ipv4Addr::LOCALHOST,
    }
}

/// Opens the ports that a pod's containers name, at its address. A pod of its node's network needs none:
/// its programs listen there themselves.
pub(super) async fn open(sandbox: &Sandbox, programs: &Arc<dyn Programs>) -> Vec<Task> {
    let mut opened = Vec::new();
    if sandbox.pod.host_network {
        return opened;
    }
    let Some(address) = sandbox.host.addresses().first().copied() else { return opened };
    for port in sandbox.pod.containers.iter().flat_map(|view| &view.ports) {
        let Ok(listener) = sandbox.host.listen(&Endpoint::tcp(address, *port)).await else { continue };
        let (host, programs, port) = (sandbox.host.clone(), Arc::clone(programs), *port);
        let own = loopback(sandbox);
        let accepting = async move {
            let mut carried: BTreeMap<u64, Task> = BTreeMap::new();
            let mut number = 0;
            loop {
                let Ok(connection) = listener.accept().await else {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                carried.retain(|_, task| !task.is_finished());
                if carried.len() >= MAX_CONNECTIONS {
                    continue;
                }
                number += 1;
                let carry = carry(connection, Arc::clone(&programs), (own, port));
                carried.insert(number, host.spawn("port of a pod", Box::pin(carry)));
            }
        };
        opened.push(sandbox.host.spawn("ports of a pod", Box::pin(accepting)));
    }
    opened
}

async fn carry(mut from: Connection, programs: Arc<dyn Programs>, to: (Ipv4Addr, u16)) {
    if let Ok(mut to) = dial(&*programs, to).await {
        // What breaks off on one side breaks off on the other.
        let _ = tokio::io::copy_bidirectional(&mut from.stream, &mut to).await;
    }
}

async fn dial(programs: &dyn Programs, (own, port): (Ipv4Addr, u16)) -> io::Result<BoxedStream> {
    match programs.connect(SocketAddr::new(own.into(), port)).await {
        Ok(stream) => Ok(stream),
        // Most programs listen on the usual address.
        Err(_) => programs.connect(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)).await,
    }
}

/// Connects to a port inside a pod.
pub(super) async fn connect(
    programs: &dyn Programs,
    sandbox: &Sandbox,
    port: u16,
) -> Result<BoxedStream, RuntimeError> {
    let dialled = dial(programs, (loopback(sandbox), port)).await;
    dialled.map_err(|error| crate::ports::not_reached((&sandbox.pod.uid, port), &error))
}
