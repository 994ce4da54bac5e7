//! What 5,000 pods weigh in the store.

use super::stage::{Stage, pod};
use anyhow::{Context, Result};

const PODS: usize = 5_000;

pub(super) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let stage = runtime.block_on(Stage::new())?;
    let store = stage.api.store();
    let json = (0..PODS).map(|n| pod(n).to_string().len()).sum::<usize>();
    let Some(before) = resident_bytes()? else {
        println!("memory: this computer does not tell (no /proc)");
        return Ok(());
    };
    for n in 0..PODS {
        store.seed(pod(n))?;
    }
    let after = resident_bytes()?.context("it told before")?;
    let grown = after.saturating_sub(before);
    println!("memory of {PODS} pods in the store:");
    println!("  resident before and after {:.1} MB, {:.1} MB", before as f64 / 1e6, after as f64 / 1e6);
    println!(
        "  {:.0} bytes a pod, {:.0} of JSON: {:.2} times",
        grown as f64 / PODS as f64,
        json as f64 / PODS as f64,
        grown as f64 / json as f64
    );
    Ok(())
}

/// The memory that this process really has (`VmRSS` of proc(5)).
pub(crate) fn resident_bytes() -> Result<Option<usize>> {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return Ok(None) };
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")).context("no VmRSS")?;
    Ok(Some(kib.trim().parse::<usize>()? * 1024))
}
