//! What the network shows afterwards: what could be read of connections without any key, and how
//! SSH sessions went, read with the run's own keys.

use crate::attempt::Attempt;
use crate::fact::Fact;
use ravelin_adversary::referee_secrets;
use ravelin_oracle::dissect::{Dissected, Secrets, Side, dissect, plain_streams};
use ravelin_sim::Flow;
use ravelin_tunnel::SSH_PORT;

/// What the connections show that crossed an untrusted segment since the first step, or before and
/// went on.
pub(crate) fn facts(attempt: &Attempt) -> Vec<Fact> {
    let (names, zero) = (attempt.names(), attempt.notebook.zero());
    let keys = referee_secrets(&attempt.world.secrets());
    let mut facts = Vec::new();
    for flow in attempt.world.wire().flows() {
        let name = |address: std::net::SocketAddr| match names.get(&address.ip()) {
            Some(name) => name.clone(),
            None => address.ip().to_string(),
        };
        let from = if flow.by_attacker { "attacker".to_owned() } else { name(flow.client) };
        let at = flow.opened_at.saturating_sub(zero);
        let fact = |kind| Fact::new(at, kind).with("from", &from).with("to", name(flow.server));
        if flow.server.port() == SSH_PORT {
            facts.extend(ssh_session(&flow, &keys, fact("ssh-session")));
        }
        if !flow.by_attacker {
            let port = flow.server.port();
            facts.extend(
                readable(&flow).map(|bytes| fact("read-on-the-wire").with("port", port).holding(&bytes)),
            );
        }
    }
    facts
}

/// What anybody can read who sees the packets.
fn readable(flow: &Flow) -> impl Iterator<Item = Vec<u8>> + use<> {
    let streams = plain_streams(&flow.from_client, &flow.from_server, &Secrets::default());
    streams.into_iter().map(|stream| [stream.client, stream.server].concat())
}

/// How an SSH session went: what its two ends would say of it, if they told.
fn ssh_session(flow: &Flow, keys: &Secrets, fact: Fact) -> Option<Fact> {
    let Dissected::Ssh(session) = dissect(&flow.from_client, &flow.from_server, keys) else { return None };
    let yes = |is: bool| if is { "yes" } else { "no" };
    let told = session.extensions_told_by.contains(&Side::Server);
    let fact = fact.with("strict", yes(session.strict)).with("authenticated", yes(session.authenticated));
    Some(fact.with("extensions", if told { "told" } else { "missing" }))
}
