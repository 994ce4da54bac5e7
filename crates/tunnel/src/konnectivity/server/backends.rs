//! The agents that are connected, and which of them a dial goes to (`pkg/server/backend_manager.go` and
//! its relatives).

use super::super::metrics::Metrics;
use super::Strategy;
use super::backend::Backend;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// No agent will do (`ErrNotFound`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("No agent available")]
pub(super) struct NoAgent;

/// The agents that are connected.
pub(super) struct Backends {
    strategies: Vec<Strategy>,
    metrics: Arc<Metrics>,
    /// In the order in which they came.
    all: Mutex<Vec<Arc<Backend>>>,
}

impl Backends {
    pub(super) fn new(strategies: Vec<Strategy>, metrics: Arc<Metrics>) -> Self {
        let strategies = if strategies.is_empty() { vec![Strategy::Default] } else { strategies };
        let backends = Self { strategies, metrics, all: Mutex::default() };
        backends.count(&backends.all());
        backends
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Backend>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, backend: &Arc<Backend>) {
        let mut all = self.all();
        all.push(Arc::clone(backend));
        self.count(&all);
    }

    pub(super) fn remove(&self, backend: &Arc<Backend>) {
        let mut all = self.all();
        all.retain(|other| !Arc::ptr_eq(other, backend));
        self.count(&all);
    }

    fn count(&self, all: &[Arc<Backend>]) {
        for strategy in &self.strategies {
            let count = identifiers(*strategy, all).len();
            self.metrics.set("ready_backends", &[("proxy_strategy", strategy.name())], count);
            self.metrics.set("ready_backend_connections", &[], count);
        }
    }

    /// The identifiers of all agents.
    pub(super) fn agents(&self) -> Vec<String> {
        self.all().iter().map(|backend| backend.agent_id().to_owned()).collect()
    }

    /// How many connections all agents have open.
    pub(super) fn established(&self) -> usize {
        self.all().iter().map(|backend| backend.established()).sum()
    }

    /// Is there an agent by the first strategy?
    pub(super) fn is_ready(&self) -> bool {
        let first = self.strategies.first().copied();
        first.is_some_and(|strategy| !identifiers(strategy, &self.all()).is_empty())
    }

    /// The agent for a dial to `address`. `chance` gives a number below its argument.
    pub(super) fn choose(
        &self,
        address: &str,
        mut chance: impl FnMut(u64) -> u64,
    ) -> Result<Arc<Backend>, NoAgent> {
        let all = self.all();
        let found = self.strategies.iter().find_map(|strategy| match strategy {
            Strategy::Default => by_chance(&all, |_| true, &mut chance),
            Strategy::DefaultRoute => {
                by_chance(&all, |backend| backend.identifiers().default_route, &mut chance)
            }
            Strategy::DestHost => {
                let host = host_of(address);
                let claims = |backend: &&Arc<Backend>| claims(backend, &host);
                first_of(all.iter().filter(claims))
            }
        });
        found.ok_or(NoAgent)
    }
}

/// The first that is not about to stop, else the first.
fn first_of<'a>(backends: impl Iterator<Item = &'a Arc<Backend>> + Clone) -> Option<Arc<Backend>> {
    let staying = backends.clone().find(|backend| !backend.is_draining());
    staying.or_else(|| backends.clone().next()).cloned()
}

/// One by chance, of those that are not about to stop if there is one. Of an agent with several
/// connections the oldest is taken: it closes the others itself.
fn by_chance(
    all: &[Arc<Backend>],
    wanted: impl Fn(&Backend) -> bool,
    chance: &mut impl FnMut(u64) -> u64,
) -> Option<Arc<Backend>> {
    let mut seen = BTreeSet::new();
    let candidates: Vec<_> =
        all.iter().filter(|backend| wanted(backend) && seen.insert(backend.agent_id())).collect();
    let count = u64::try_from(candidates.len()).ok().filter(|count| *count > 0)?;
    let start = usize::try_from(chance(count)).ok()?;
    first_of(candidates.iter().cycle().skip(start).take(candidates.len()).copied())
}

fn claims(backend: &Backend, host: &str) -> bool {
    let identifiers = backend.identifiers();
    [&identifiers.ipv4, &identifiers.ipv6, &identifiers.host].into_iter().any(|of| of.contains(host))
}

/// What a strategy tells agents apart by.
fn identifiers(strategy: Strategy, all: &[Arc<Backend>]) -> BTreeSet<&str> {
    let of = |backend: &'_ Arc<Backend>| -> bool {
        strategy == Strategy::Default || backend.identifiers().default_route
    };
    match strategy {
        Strategy::Default | Strategy::DefaultRoute => {
            all.iter().filter(|backend| of(backend)).map(|backend| backend.agent_id()).collect()
        }
        Strategy::DestHost => all
            .iter()
            .map(|backend| backend.identifiers())
            .flat_map(|found| [&found.ipv4, &found.ipv6, &found.host])
            .flatten()
            .map(String::as_str)
            .collect(),
    }
}

/// The host of `host:port` (`pkg/util/net.go`, `RemovePortFromHost`).
fn host_of(address: &str) -> String {
    if address.matches(':').count() < 2 {
        return address.split(':').next().unwrap_or_default().to_owned();
    }
    let host = match (address.contains('['), address.rfind(':')) {
        (true, Some(end)) => &address[..end],
        _ => address,
    };
    host.trim_matches(['[', ']']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_addresses() {
        for (address, host) in [
            ("10.0.0.1:10250", "10.0.0.1"),
            ("node-1:443", "node-1"),
            ("node-1", "node-1"),
            ("[fd00::1]:443", "fd00::1"),
            ("fd00::1", "fd00::1"),
            ("", ""),
        ] {
            assert_eq!(host_of(address), host);
        }
    }
}
