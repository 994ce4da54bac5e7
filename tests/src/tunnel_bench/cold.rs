//! A thousand nodes: how long it takes until all tunnels are open, and what an idle one weighs.

use super::far::node;
use super::ours::new_key;
use crate::api_bench::resident_bytes;
use crate::apiserver::{API, Authorities, configured};
use crate::stream_bench::now;
use anyhow::{Context, Result};
use ravelin_apiserver::{Apiserver, Running};
use ravelin_client::{ClientConfig, Credential};
use ravelin_entropy::Entropy;
use ravelin_host::HostRef;
use ravelin_host::memory::Network;
use ravelin_pki::{KeyPair, ServerTrust};
use ravelin_tunnel::{
    Forwarding, HostKeyPolicy, NodeTargets, SSH_PORT, SshConfig, SshKey, SshNodeServer, SshTunneler,
};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const NODES: usize = 1_000;
/// How long they may take.
const LIMIT: Duration = Duration::from_secs(300);

/// An apiserver that lists a thousand nodes, and their SSH servers, on computers in memory.
struct Stage {
    control: HostRef,
    client: ClientConfig,
    user: SshKey,
    known: BTreeMap<String, ravelin_tunnel::SshPublicKey>,
    _servers: Vec<SshNodeServer>,
    _api: Running,
}

impl Stage {
    async fn new() -> Result<Self> {
        let network = Network::new();
        let control = network.host("control", API);
        let authorities = Authorities::new(&network);
        let key = Arc::new(KeyPair::generate(&mut Entropy::operating_system()));
        let api = Apiserver::start(Arc::clone(&control), configured(&authorities, (&control, &key))).await?;
        let (user, mut known, mut servers) = (new_key(), BTreeMap::new(), Vec::new());
        for number in 0..NODES {
            let (name, key) = (format!("node-{number}"), new_key());
            let address = IpAddr::from([10, 1, u8::try_from(number / 250)?, u8::try_from(number % 250)? + 1]);
            let host = network.host(&name, address);
            known.insert(name.clone(), key.public());
            let nowhere = Forwarding::To(NodeTargets::default());
            let config = node(SocketAddr::new(address, SSH_PORT), (key, &user), nowhere);
            servers.push(SshNodeServer::start(host, config).await?);
            let address = json!({"type": "InternalIP", "address": address.to_string()});
            api.store().seed(json!({
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
                "status": {"addresses": [address]},
            }))?;
        }
        let client = ClientConfig {
            server: SocketAddr::new(API, 6443),
            server_name: API.to_string(),
            trust: ServerTrust::Anchors(authorities.anchors()),
            credential: Credential::Certificate(authorities.client("cert", "admin").context("no identity")?),
            request_timeout: LIMIT,
        };
        Ok(Self { control, client, user, known, _servers: servers, _api: api })
    }

    async fn open(&self) -> Result<Arc<SshTunneler>> {
        let policy = HostKeyPolicy::Pinned(self.known.clone());
        let config = SshConfig::new("tunnel", self.user.clone(), policy);
        let tunnels = SshTunneler::start(Arc::clone(&self.control), config, self.client.clone());
        tunnels.wait_ready(NODES, LIMIT).await?;
        Ok(tunnels)
    }
}

/// What an idle tunnel weighs, both ends together.
pub(super) fn memory() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let stage = Stage::new().await?;
        let Some(before) = resident_bytes()? else {
            println!("memory: this computer does not tell (no /proc)");
            return Ok(());
        };
        let tunnels = stage.open().await?;
        let grown = resident_bytes()?.context("it told before")?.saturating_sub(before);
        println!("memory of {NODES} idle tunnels, their two ends and pipes between them in one process:");
        println!("  {:.1} KiB a tunnel", grown as f64 / 1024.0 / NODES as f64);
        drop(tunnels);
        Ok(())
    })
}

/// How long a thousand tunnels take from cold, everything on one core.
pub(super) fn opened() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let stage = Stage::new().await?;
        let started = now();
        let tunnels = stage.open().await?;
        let taken = started.elapsed().as_secs_f64();
        println!("{NODES} tunnels opened from cold, both ends on one core:");
        println!("  {taken:.2} s, {:.2} ms each", taken * 1e3 / NODES as f64);
        drop(tunnels);
        Ok(())
    })
}
