//! A whole cluster with one node: what a user's client gets through apiserver and kubelet.

use super::BYTES;
use anyhow::{Context, Result, anyhow, bail};
use ravelin_client::{Carrier, Client, Forwarding, PodName, Remote, RemoteClient, RemoteOptions};
use ravelin_cluster::{Cluster, Demo, DemoPod, Hosts, Layout, Who};
use ravelin_config::ClusterConfig;
use ravelin_host::{Connection, Endpoint, HostRef, Listener, Task, memory, os};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long the cluster may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The pod whose commands are run.
const SHELL: &str = "bench";

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A port of the pod whose server sends [`BYTES`] to everybody.
pub(super) const SOURCE: u16 = 9001;

/// A port of the pod whose server reads to the end, then says how much came.
pub(super) const SINK: u16 = 9002;

/// A cluster, and a client of its administrator.
pub(super) struct Chain {
    pub(super) client: Client,
    /// Where the servers are; the commands run beside it, in [`SHELL`].
    web: DemoPod,
    _servers: [Task; 2],
    _cluster: Cluster,
}

impl Chain {
    /// On computers in memory.
    pub(super) async fn in_memory() -> Result<Self> {
        let network = memory::Network::new();
        Self::start(|name, address, pods| {
            for pod in pods {
                network.host(&format!("pod-{pod}"), *pod);
            }
            network.host(name, address)
        })
        .await
    }

    /// On sockets of this computer's loopback.
    pub(super) async fn on_loopback() -> Result<Self> {
        let network = os::Network::default();
        Self::start(|name, address, pods| network.host(name, address, pods.to_vec())).await
    }

    async fn start(host: impl Fn(&str, IpAddr, &[IpAddr]) -> HostRef) -> Result<Self> {
        let config = ClusterConfig::read(&[], None).map_err(|errors| anyhow!("refused: {errors:?}"))?;
        let layout = Layout::new(&config, 1)?;
        let hosts = Hosts::of(&layout, |name| {
            let others = [&layout.controllers, &layout.operator, &layout.user];
            let nodes = layout.nodes.iter().map(|node| (&node.machine, &node.pods[..]));
            let others = layout.control_planes().chain(others).map(|place| (place, &[][..]));
            let found = nodes.chain(others).find(|(place, _)| place.name == name);
            let (place, pods) = found.expect("it is laid out");
            host(name, place.address, pods)
        });
        let cluster = Cluster::start(&config, layout, hosts, LIMIT).await;
        let web = cluster.pod(Demo::Web, 0).map_err(|why| anyhow!("{why}"))?;
        let user = cluster.client(Who::User).map_err(|why| anyhow!("{why}"))?;
        let client = user.context("no administrator")?;
        create_shell(&client, &web).await?;
        let servers = [serve(&web, SOURCE).await?, serve(&web, SINK).await?];
        Ok(Self { client, web, _servers: servers, _cluster: cluster })
    }

    /// Runs a command.
    pub(super) async fn exec(&self, command: &[&str], carrier: Carrier) -> Result<RemoteClient> {
        let pod = PodName { namespace: &self.web.namespace, name: SHELL };
        let options = RemoteOptions { stdin: true, stdout: true, stderr: false, tty: false };
        Ok(self.client.exec(pod, command, Remote { container: None, options, carrier }).await?)
    }

    /// Opens a connection over which ports are forwarded.
    pub(super) async fn forward(&self, carrier: Carrier) -> Result<Forwarding> {
        let pod = PodName { namespace: &self.web.namespace, name: &self.web.name };
        Ok(self.client.port_forward(pod, carrier).await?)
    }
}

/// A pod beside `beside` that has the programs of a shell, once it runs.
async fn create_shell(client: &Client, beside: &DemoPod) -> Result<()> {
    let container = json!({"name": "main", "image": "ravelin.test/shell", "stdin": true});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": SHELL},
        "spec": {"nodeName": beside.node, "containers": [container]},
    });
    let pods = format!("/api/v1/namespaces/{}/pods", beside.namespace);
    client.create(&pods, &pod).await?;
    let began = tokio::time::Instant::now();
    loop {
        let pod = client.get(&format!("{pods}/{SHELL}")).await?;
        match pod["status"]["phase"].as_str() {
            Some("Running") => return Ok(()),
            _ if began.elapsed() > LIMIT => bail!("{SHELL} does not run: {}", pod["status"]),
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

/// A server in a pod, on all of its addresses.
async fn serve(pod: &DemoPod, port: u16) -> Result<Task> {
    let at = Endpoint::tcp(Ipv4Addr::UNSPECIFIED, port);
    let listener = pod.host.listen(&at).await?;
    let host = HostRef::clone(&pod.host);
    Ok(pod.host.spawn("bench", Box::pin(accept(host, listener, port))))
}

async fn accept(host: HostRef, listener: Box<dyn Listener>, port: u16) {
    while let Ok(connection) = listener.accept().await {
        // A client that went away shows at the client's end.
        let answer = async move {
            let _ = if port == SOURCE { send(connection).await } else { receive(connection).await };
        };
        host.spawn("bench", Box::pin(answer)).detach();
    }
}

async fn send(mut connection: Connection) -> std::io::Result<()> {
    let chunk = [0x2a; super::CHUNK];
    let mut left = BYTES;
    while left > 0 {
        let length = left.min(chunk.len());
        connection.stream.write_all(&chunk[..length]).await?;
        left -= length;
    }
    connection.stream.shutdown().await
}

async fn receive(mut connection: Connection) -> std::io::Result<()> {
    // Who only waits has no buffer: it would count as the stream's.
    let mut first = [0];
    let mut came = connection.stream.read(&mut first).await?;
    let mut buffer = vec![0; if came == 0 { 0 } else { super::CHUNK }];
    while came > 0 {
        match connection.stream.read(&mut buffer).await? {
            0 => break,
            length => came += length,
        }
    }
    connection.stream.write_all(came.to_string().as_bytes()).await?;
    connection.stream.shutdown().await
}
