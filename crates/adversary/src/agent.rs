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

/// What a server that asks agents who they are keeps from whoever is none.
const AIMS: &[Property] = &[
    Property::RequestSecret,
    Property::ResponseSecret,
    Property::ResponseAuthentic,
    Property::RequestAuthentic,
    Property::AccessControlled,
];

/// What is shown to a server.
struct Shown {
    /// For people.
    what: String,
    identity: Option<Identity>,
    token: Option<String>,
}

/// Becomes an agent of every server that takes it for one.
pub async fn join(notes: &Notes<'_>, target: &Target) -> Vec<(SocketAddr, Impostor)> {
    let Transport::Konnectivity(tunnel) = &target.transport else { return Vec::new() };
    let mut taken = Vec::new();
    for server in &tunnel.servers {
        for shown in everything(notes.field(), tunnel) {
            if let Some(impostor) = join_as(notes, target, (*server, &shown)).await {
                taken.push((*server, impostor));
                break;
            }
        }
    }
    taken
}

async fn join_as(
    notes: &Notes<'_>,
    target: &Target,
    (server, shown): (SocketAddr, &Shown),
) -> Option<Impostor> {
    let (field, flow) = (notes.field(), notes.field().flow(server));
    let what = &shown.what;
    let Ok(connection) = field.connect(server).await else {
        notes.tell(format!("{flow}: no connection"));
        AIMS.iter().for_each(|property| notes.out_of_reach(*property));
        return None;
    };
    let name = server.ip().to_string();
    let secured = danger::connect_http2(field.host(), connection.stream, &name, shown.identity.clone());
    let stream = match timeout(STEP, secured).await {
        Ok(Ok(secured)) => secured.stream,
        Ok(Err(TlsError::PeerRefusedUs { alert })) => {
            let text = format!("with {what}: the server ended the handshake: {alert}");
            notes.refused(&flow, Protection::AgentCredential, text, AIMS);
            return None;
        }
        Ok(Err(_)) | Err(_) => {
            notes.tell(format!("{flow}: with {what}: no handshake"));
            return None;
        }
    };
    let claimed = Pose {
        agent_id: format!("{}-agent", field.host().name()),
        identifiers: everywhere(target),
        token: shown.token.clone(),
    };
    match timeout(STEP, pose(field.host(), stream, &claimed)).await {
        Ok(Ok(impostor)) => {
            notes.tell(format!("{flow}: was taken for an agent with {what}"));
            Some(impostor)
        }
        Ok(Err(refused)) => {
            notes.refused(&flow, Protection::AgentCredential, format!("with {what}: {refused}"), AIMS);
            None
        }
        Err(_) => {
            notes.tell(format!("{flow}: with {what}: no answer"));
            None
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
