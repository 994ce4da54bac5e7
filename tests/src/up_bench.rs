//! How long it takes from the start of `ravelin up` to the first answered `kubectl get nodes`: the built
//! binary, real sockets, and whatever `kubectl` the computer has.

use crate::stream_bench::{middle, now};
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A cluster that runs; killed when this is dropped, its folder removed.
struct Up {
    child: Child,
    folder: PathBuf,
}

impl Drop for Up {
    fn drop(&mut self) {
        // Where it has ended already, there is nothing to kill; a folder that stays does no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Measures and prints it. `binary` is `ravelin`, as it was built.
///
/// # Errors
/// Where the cluster or kubectl cannot be started, or kubectl does not see all nodes ready.
pub fn run(binary: &Path, runs: usize) -> Result<()> {
    let (mut ready, mut answered, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let started = now();
        let up = start(binary)?;
        ready.push(started.elapsed());
        get_nodes(&up)?;
        answered.push(started.elapsed());
        let asked = now();
        get_nodes(&up)?;
        again.push(asked.elapsed());
    }
    println!("\n`ravelin up` with three nodes, {runs} runs:");
    let row = |what: &str, taken: Vec<Duration>| {
        println!("  {what:<58} {:>7.0} ms", middle(taken.iter().map(|time| time.as_secs_f64() * 1e3)));
    };
    row("from the start until it says that it is ready", ready);
    row("from the start until `kubectl get nodes` was answered", answered);
    row("of that, what kubectl takes: the same call again", again);
    Ok(())
}

/// Starts it, and waits until it says that it is ready.
fn start(binary: &Path) -> Result<Up> {
    let beside = binary.parent().context("the binary is in no folder")?;
    let folder = beside.join(format!("bench-up-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut command = Command::new(binary);
    command.args(["up", "--listen", "127.0.0.1:0"]).current_dir(&folder).env("HOME", &folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let child = command.spawn().with_context(|| binary.display().to_string())?;
    let mut up = Up { child, folder };
    let output = up.child.stdout.take().context("it is piped")?;
    for line in BufReader::new(output).lines() {
        if line?.starts_with("ready in") {
            return Ok(up);
        }
    }
    bail!("`ravelin up` ended before it was ready")
}

fn get_nodes(up: &Up) -> Result<()> {
    let mut command = Command::new("kubectl");
    command.args(["get", "nodes"]).env("KUBECONFIG", up.folder.join("ravelin.kubeconfig"));
    let ran = command.env("HOME", &up.folder).output().context("kubectl")?;
    let (told, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let ready = told.lines().filter(|line| line.split_whitespace().nth(1) == Some("Ready")).count();
    ensure!(ran.status.success() && ready == 3, "kubectl get nodes: {told}{errors}");
    Ok(())
}
