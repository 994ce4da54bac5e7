//! How fast tunnels are, beside those that people have: our SSH tunnel beside OpenSSH's `ssh -L`,
//! Konnectivity beside a TLS connection, in the same turns, on sockets of this computer's loopback.
//!
//! Each end has a thread of its own, as OpenSSH's ends have processes of their own; who sends and who
//! receives is the same for all. The floor is a bare TCP connection.

mod cold;
mod far;
mod konnectivity;
mod openssh;
mod ours;
mod table;
mod work;

use anyhow::{Context, Result};
use far::Far;
use konnectivity::{Konnectivity, Tls};
use openssh::OpenSsh;
use ours::Ours;
use ravelin_host::{BoxedStream, Endpoint, HostRef, os};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use table::Table;

/// What one measurement of throughput carries.
const BYTES: usize = 256_000_000;
/// How many streams there are where there are many.
const MANY: usize = 100;
/// How often one byte goes to and fro.
const ROUNDS: usize = 3_000;

const BARE: &str = "a bare connection";
const OPENSSH: &str = "OpenSSH's ssh -L and sshd";
const TLS: &str = "TLS to a forwarder";

/// Measures everything and prints it.
///
/// # Errors
/// Where a tunnel does not carry what it must.
pub fn run(runs: usize) -> Result<()> {
    println!("tunnels over the loopback, {runs} runs of {} MB each", BYTES / 1_000_000);
    // First, while nobody else has taken memory that could be used again.
    cold::memory()?;
    let folder = Scratch::new()?;
    let far = Far::start(&folder.0)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ways = vec![Way::Direct(near(&folder.0))];
        match OpenSsh::start(&folder.0, &far)? {
            Some(openssh) => ways.push(Way::OpenSsh(near(&folder.0), Box::new(openssh))),
            None => println!("OpenSSH is not there: nothing to compare with"),
        }
        ways.push(Way::Ours(Ours::open(&near(&folder.0), &far).await?));
        ways.push(Way::Tls(Box::new(Tls::open(&folder.0).await?)));
        ways.push(Way::Konnectivity(Box::new(Konnectivity::open(&folder.0).await?)));
        measure(&ways, &far, runs).await
    })?;
    cold::opened()
}

async fn measure(ways: &[Way], far: &Far, runs: usize) -> Result<()> {
    let titles = [
        ("one stream, from the node", "MB/s"),
        ("one stream, to the node", "MB/s"),
        ("a hundred streams, from the node", "MB/s"),
        ("a byte to and fro", "µs"),
    ];
    let mut tables = titles.map(|(what, unit)| Table::new(what, unit));
    for _ in 0..runs {
        for way in ways {
            let name = (way.name(), way.beside());
            let took = work::download(way, far, BYTES).await.context(name.0)?;
            tables[0].add(name, BYTES as f64 / 1e6 / took.as_secs_f64());
            let took = work::upload(way, far, BYTES).await.context(name.0)?;
            tables[1].add(name, BYTES as f64 / 1e6 / took.as_secs_f64());
            let took = work::downloads(way, far, (MANY, BYTES / MANY)).await.context(name.0)?;
            tables[2].add(name, BYTES as f64 / 1e6 / took.as_secs_f64());
            let took = work::rounds(way, far, ROUNDS).await.context(name.0)?;
            tables[3].add(name, took.as_secs_f64() * 1e6 / ROUNDS as f64);
        }
    }
    tables.iter().for_each(Table::print);
    Ok(())
}

/// A way to the far end's services.
enum Way {
    Direct(HostRef),
    OpenSsh(HostRef, Box<OpenSsh>),
    Ours(Ours),
    Tls(Box<Tls>),
    Konnectivity(Box<Konnectivity>),
}

impl Way {
    fn name(&self) -> &'static str {
        match self {
            Self::Direct(_) => BARE,
            Self::OpenSsh(..) => OPENSSH,
            Self::Ours(_) => "our SSH tunnel and node server",
            Self::Tls(_) => TLS,
            Self::Konnectivity(_) => "our Konnectivity",
        }
    }

    /// Which one it is compared with.
    fn beside(&self) -> Option<&'static str> {
        match self {
            Self::Direct(_) => None,
            Self::OpenSsh(..) | Self::Tls(_) => Some(BARE),
            Self::Ours(_) => Some(OPENSSH),
            Self::Konnectivity(_) => Some(TLS),
        }
    }

    /// Connects to a service of the far end.
    async fn connect(&self, port: u16) -> Result<BoxedStream> {
        match self {
            Self::Direct(host) => dial(host, port).await,
            Self::OpenSsh(host, openssh) => dial(host, openssh.local(port)).await,
            Self::Ours(ours) => ours.connect(port).await,
            Self::Tls(tls) => tls.connect(port).await,
            Self::Konnectivity(konnectivity) => konnectivity.connect(port).await,
        }
    }
}

async fn dial(host: &HostRef, port: u16) -> Result<BoxedStream> {
    Ok(host.connect(&Endpoint::tcp(Ipv4Addr::LOCALHOST, port)).await?.stream)
}

/// This computer, for one thread.
fn near(folder: &Path) -> HostRef {
    os::computer(os::Computer {
        name: "bench".to_owned(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        files: folder.to_owned(),
        places: Vec::new(),
        observer: None,
    })
}

/// A port that nobody listens on now.
#[allow(clippy::disallowed_types, reason = "the port is for another process")]
fn free_port() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A folder for keys and configurations, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let this = std::env::current_exe()?;
        let beside = this.parent().context("the binary is in no folder")?;
        let folder = beside.join(format!("bench-tunnels-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
