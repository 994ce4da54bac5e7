//! Many streams: how many open a second, and what an open one weighs.

use super::chain::{Chain, SINK};
use super::now;
use super::table::middle;
use crate::api_bench::resident_bytes;
use anyhow::{Context, Result, ensure};
use ravelin_client::{Carrier, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How many are open at a time while memory is looked at.
const OPEN: usize = 500;

/// How many are opened one after the other.
const OPENED: usize = 100;

/// What is open. It must come first in a process: memory that was used before does not show.
pub(super) async fn memory() -> Result<()> {
    let chain = Chain::in_memory().await?;
    let Some(before) = resident_bytes()? else {
        println!("memory: this computer does not tell (no /proc)");
        return Ok(());
    };
    let forwarding = chain.forward(Carrier::WebSocket).await?;
    let mut forwarded = Vec::new();
    for _ in 0..OPEN {
        forwarded.push(forwarding.connect(SINK).await?);
    }
    // The last is whole, so all are.
    let mut last = forwarded.pop().context("none is open")?;
    last.writer.write_all(b"seven!!").await?;
    last.writer.shutdown().await?;
    let mut counted = String::new();
    last.reader.read_to_string(&mut counted).await?;
    ensure!(counted == "7", "the pod counted {counted:?}");
    let with_ports = resident_bytes()?.context("it told before")?;
    let mut commands = Vec::new();
    for _ in 0..OPEN {
        let mut command = chain.exec(&["cat"], Carrier::WebSocket).await?;
        let (stdin, stdout) = (&mut command.stdin, &mut command.stdout);
        stdin.as_mut().context("no input")?.write_all(b"!").await?;
        let mut echoed = [0];
        stdout.as_mut().context("no output")?.read_exact(&mut echoed).await?;
        commands.push(command);
    }
    let with_commands = resident_bytes()?.context("it told before")?;
    println!("memory of open streams, all ends and the pod's side in this process:");
    let kb = |more: usize, less: usize| more.saturating_sub(less) as f64 / OPEN as f64 / 1e3;
    println!("  {OPEN} forwarded connections in one session {:>13.1} kB each", kb(with_ports, before));
    println!(
        "  {OPEN} commands, each with its own connections {:>10.1} kB each",
        kb(with_commands, with_ports)
    );
    drop((commands, forwarded));
    Ok(())
}

/// How fast they are opened, used and closed, one after the other.
pub(super) async fn rates(runs: usize) -> Result<()> {
    let chain = Chain::on_loopback().await?;
    let (mut commands, mut ports) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let started = now();
        for _ in 0..OPENED {
            let mut command = chain.exec(&["true"], Carrier::WebSocket).await?;
            drop(command.stdin.take());
            let outcome = command.outcome.read().await?;
            ensure!(outcome == Outcome::Success, "{outcome:?}");
        }
        commands.push(OPENED as f64 / started.elapsed().as_secs_f64());
        let forwarding = chain.forward(Carrier::WebSocket).await?;
        let started = now();
        for _ in 0..OPENED {
            let mut forwarded = forwarding.connect(SINK).await?;
            forwarded.writer.shutdown().await?;
            let mut counted = String::new();
            forwarded.reader.read_to_string(&mut counted).await?;
            ensure!(counted == "0", "the pod counted {counted:?}");
        }
        ports.push(OPENED as f64 / started.elapsed().as_secs_f64());
    }
    println!("opened, used and closed one after the other, over sockets of the loopback:");
    println!(
        "  commands (`true`) in a WebSocket of their own {:>17.0} a second",
        middle(commands.into_iter())
    );
    println!("  forwarded connections in one session {:>26.0} a second", middle(ports.into_iter()));
    Ok(())
}
