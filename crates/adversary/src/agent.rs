//! Somebody in front of a Konnectivity server who wants to be taken for an agent of the cluster's.
//!
//! It shows nothing, then what it made up, then what it holds, and says that it leads to wherever the
//! path's connections go: who is taken for an agent is sent other nodes' traffic.

use crate::field::{Field, STEP};
use crate::forge::{self, Issuer};
use crate::holdings::Secret;
use crate::notes::Notes;
use crate::tactics::forged_tokens;
use crate::target::{Konnectivity, Target, Transport};
use ravelin_oracle::{Property, Protection};
use ravelin_pki::Identity;
use ravelin_transport::{TlsError, danger};
use ravelin_tunnel::konnectivity::AgentIdentifiers;
use ravelin_tunnel::konnectivity::danger::{Impostor, Pose, pose};
use std::net::{IpAddr, SocketAddr};
use tokio::time::timeout;

/// As how many agents it connects: each draws its share of connections.
const AGENTS: usize = 8;

/// What is shown to a server.
struct Shown {
    /// For people.
    what: String,
    identity: Option<Identity>,
    token: Option<String>,
}

/// Becomes several agents of every server that takes it for one. `aims` is what a server keeps from it
/// that asks agents who they are.
pub async fn join(notes: &Notes<'_>, target: &Target, aims: &[Property]) -> Vec<(SocketAddr, Impostor)> {
    let Transport::Konnectivity(tunnel) = &target.transport else { return Vec::new() };
    let mut taken = Vec::new();
    for server in &tunnel.servers {
        for shown in everything(notes.field(), tunnel) {
            let door = Door { server: *server, shown: &shown, aims };
            let Some(first) = door.join(notes, target, 1).await else { continue };
            taken.push((*server, first));
            for number in 2..=AGENTS {
                taken.extend(door.join(notes, target, number).await.map(|more| (*server, more)));
            }
            break;
        }
    }
    taken
}

/// A server, and what is shown to it.
struct Door<'a> {
    server: SocketAddr,
    shown: &'a Shown,
    aims: &'a [Property],
}

impl Door<'_> {
    async fn join(&self, notes: &Notes<'_>, target: &Target, number: usize) -> Option<Impostor> {
        let Self { server, shown, aims } = *self;
        let (field, flow) = (notes.field(), notes.field().flow(server));
        let what = &shown.what;
        let Ok(connection) = field.connect(server).await else {
            notes.tell(format!("{flow}: no connection"));
            aims.iter().for_each(|property| notes.out_of_reach(*property));
            return None;
        };
        let name = server.ip().to_string();
        let secured = danger::connect_http2(field.host(), connection.stream, &name, shown.identity.clone());
        let stream = match timeout(STEP, secured).await {
            Ok(Ok(secured)) => secured.stream,
            Ok(Err(TlsError::PeerRefusedUs { alert })) => {
                let text = format!("with {what}: the server ended the handshake: {alert}");
                notes.refused(&flow, Protection::AgentCredential, text, aims);
                return None;
            }
            Ok(Err(_)) | Err(_) => {
                notes.tell(format!("{flow}: with {what}: no handshake"));
                return None;
            }
        };
        let claimed = Pose {
            agent_id: format!("{}-{number}", field.host().name()),
            identifiers: everywhere(target),
            token: shown.token.clone(),
        };
        match timeout(STEP, pose(field.host(), stream, &claimed)).await {
            Ok(Ok(impostor)) => {
                notes.tell(format!("{flow}: was taken for an agent with {what}"));
                Some(impostor)
            }
            Ok(Err(refused)) => {
                notes.refused(&flow, Protection::AgentCredential, format!("with {what}: {refused}"), aims);
                None
            }
            Err(_) => {
                notes.tell(format!("{flow}: with {what}: no answer"));
                None
            }
        }
    }
}

/// What there is to show, the cheapest first.
fn everything(field: &Field, tunnel: &Konnectivity) -> Vec<Shown> {
    let shown = |what: &str, identity, token| Shown { what: what.to_owned(), identity, token };
    let mut all = vec![
        shown("no credential", None, None),
        shown("a certificate of its own making", Some(forge::agent(field, tunnel, Issuer::Itself)), None),
        shown(
            "a certificate of an authority of its own",
            Some(forge::agent(field, tunnel, Issuer::OwnAuthority)),
            None,
        ),
    ];
    let tokens = forged_tokens(field, &tunnel.token).into_iter();
    all.extend(tokens.map(|(what, token)| shown(what, None, Some(token))));
    all.extend(field.credentials().into_iter().map(|held| match held.secret {
        Secret::Token(token) => Shown { what: held.what, identity: None, token: Some(token) },
        Secret::Certificate(identity) => Shown { what: held.what, identity: Some(identity), token: None },
    }));
    all
}

/// Says that it is wherever the path leads.
fn everywhere(target: &Target) -> AgentIdentifiers {
    let mut claimed = AgentIdentifiers { default_route: true, ..AgentIdentifiers::default() };
    for server in &target.servers {
        let address = server.ip().to_string();
        match server.ip() {
            IpAddr::V4(_) => claimed.ipv4.insert(address.clone()),
            IpAddr::V6(_) => claimed.ipv6.insert(address.clone()),
        };
        claimed.host.insert(address);
    }
    claimed
}
