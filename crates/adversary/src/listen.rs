//! What an eavesdropper hears: the streams of a path on the untrusted segments.

use crate::field::Field;
use crate::target::Target;
use ravelin_oracle::Learned;
use ravelin_oracle::dissect::{Exchange, Secrets, exchanges, plain_streams};
use std::net::SocketAddr;
use std::time::Duration;

/// One connection of the path, as it crossed an untrusted segment.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Who opened it.
    pub client: SocketAddr,
    /// Who accepted it.
    pub server: SocketAddr,
    /// When it was opened.
    pub opened_at: Duration,
    /// What the opening side sent.
    pub from_client: Vec<u8>,
    /// What the accepting side sent.
    pub from_server: Vec<u8>,
}

impl Heard {
    /// From whom to whom.
    pub fn flow(&self) -> String {
        format!("{} > {}", self.client, self.server)
    }

    /// What can be read of it with these secrets: the plain bytes of both directions.
    pub fn plain(&self, secrets: &Secrets) -> Vec<(Vec<u8>, Vec<u8>)> {
        let streams = plain_streams(&self.from_client, &self.from_server, secrets);
        streams.into_iter().map(|stream| (stream.client, stream.server)).collect()
    }
}

/// Every connection of the path that carried something in this attempt, the attacker's own left
/// out.
pub fn hear(field: &Field, target: &Target) -> Vec<Heard> {
    let wire = field.wire();
    let flows = field.live_flows().into_iter().filter_map(|id| wire.flow(id));
    let ours =
        |flow: &ravelin_sim::Flow| !flow.by_attacker && target.joins(flow.client.ip(), flow.server.ip());
    let heard = |flow: ravelin_sim::Flow| Heard {
        client: flow.client,
        server: flow.server,
        opened_at: flow.opened_at,
        from_client: flow.from_client,
        from_server: flow.from_server,
    };
    flows.filter(ours).map(heard).collect()
}

/// What can be read of these connections: bodies decoded, and the streams as they are.
pub fn read(heard: &[Heard], secrets: &Secrets, at: Duration) -> Vec<Learned> {
    let mut learned = Vec::new();
    for connection in heard {
        let flow = connection.flow();
        let mut push = |bytes: Vec<u8>| learned.push(Learned { at, flow: flow.clone(), bytes });
        for (client, server) in connection.plain(secrets) {
            for exchange in exchanges(&client, &server) {
                exchange.carried().into_iter().for_each(&mut push);
                push(exchange.request.body);
                exchange.response.into_iter().for_each(|response| push(response.body));
            }
            push(client);
            push(server);
        }
    }
    learned
}

/// The bearer tokens in these connections.
pub fn tokens(heard: &[Heard], secrets: &Secrets) -> Vec<String> {
    let exchanges = heard
        .iter()
        .flat_map(|connection| connection.plain(secrets))
        .flat_map(|(client, server)| exchanges(&client, &server));
    let mut found: Vec<String> = exchanges.filter_map(|exchange| token(&exchange)).collect();
    found.sort();
    found.dedup();
    found
}

fn token(exchange: &Exchange) -> Option<String> {
    bearer(exchange.request.header("authorization")?)
}

/// The token of an `Authorization` header's value.
pub fn bearer(value: &str) -> Option<String> {
    value.strip_prefix("Bearer ").map(str::to_owned)
}
