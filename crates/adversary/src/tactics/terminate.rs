//! The impostor takes the server's place: it ends the path's connections itself and answers with
//! something made up, or relays them to the genuine server and changes what passes.

use super::Tactic;
use super::spend::{self, Shown};
use crate::field::{Field, Probe};
use crate::forge::{self, Issuer};
use crate::intercept::{Intercepted, Interception};
use crate::listen::bearer;
use crate::notes::Notes;
use crate::speak::{Answer, Request, answer, read_request};
use crate::target::{ClientProof, ServerKind, Target};
use async_trait::async_trait;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use ravelin_host::{BoxedStream, Connection, Endpoint};
use ravelin_oracle::dissect::{Message, StartLine};
use ravelin_oracle::{Attempt, GainKind, Property, Protection};
use ravelin_transport::danger;
use std::net::SocketAddr;
use std::time::Duration;

/// How long connections are served after the caller has its answer.
const AFTERMATH: Duration = Duration::from_secs(1);

/// What the impostor does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It answers itself.
    Forge,
    /// It passes the request on, changed, without the client's credentials.
    Relay,
    /// It passes the request on, changed, with the credentials that it holds now.
    RelayWithCredentials,
}

/// Taking the server's place.
pub struct Terminate {
    /// Who vouches for the impostor's certificate; none where the path has no TLS.
    pub issuer: Option<Issuer>,
    /// What it does then.
    pub then: Then,
}

#[async_trait(?Send)]
impl Tactic for Terminate {
    fn name(&self) -> &'static str {
        match (self.issuer, self.then) {
            (None, Then::Forge) => "forge-http",
            (None, _) => "rewrite-http",
            (Some(Issuer::Itself), Then::Forge) => "self-signed-certificate",
            (Some(Issuer::OwnAuthority), Then::Forge) => "own-authority-certificate",
            (Some(_), Then::Relay) => "relay",
            (Some(_), Then::RelayWithCredentials) => "relay-with-credentials",
        }
    }

    async fn run(&self, field: &Field, target: &Target, mut probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        {
            let interception = Interception::start(&notes, target).await;
            let mut serving: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
            loop {
                tokio::select! {
                    biased;
                    () = &mut probe => break,
                    taken = interception.next() => {
                        serving.push(Box::pin(self.serve(&notes, target, taken)));
                    }
                    _ = serving.next(), if !serving.is_empty() => {}
                }
            }
            // The caller may have its answer before the impostor has its refusal.
            let rest = async { while serving.next().await.is_some() {} };
            let _ = tokio::time::timeout(AFTERMATH, rest).await;
        }
        spend::spend(&notes, target).await;
        notes.finish()
    }
}

impl Terminate {
    /// Serves one intercepted connection until it ends.
    async fn serve(&self, notes: &Notes<'_>, target: &Target, taken: Intercepted) {
        let (source, original) = (taken.source, taken.original);
        let flow = format!("{source} > {original} (the impostor)");
        let Some(mut stream) = self.accept(notes, target, (&flow, taken)).await else { return };
        while let Some(message) = read_request(&mut stream).await {
            notes.tell(format!("{flow}: the client sent its request"));
            notes.learned(&flow, request_text(&message));
            notes.learned(&flow, message.body.clone());
            if let Some(token) = message.header("authorization").and_then(bearer) {
                notes.captured(token);
            }
            let reply = match self.then {
                Then::Forge => forge::made_up_answer(),
                _ => self.relay(notes, target, (original, &message)).await,
            };
            if answer(&mut stream, &reply).await.is_err() {
                return;
            }
        }
    }

    /// Ends the path's TLS with a certificate of the impostor's own, where the path has TLS.
    async fn accept(
        &self,
        notes: &Notes<'_>,
        target: &Target,
        (flow, taken): (&str, Intercepted),
    ) -> Option<BoxedStream> {
        let Some(issuer) = self.issuer else { return Some(taken.stream) };
        let field = notes.field();
        let identity = forge::server(field, target, issuer);
        let (local, peer) = (Endpoint::Tcp(taken.original), Endpoint::Tcp(taken.source));
        let connection = Connection { stream: taken.stream, local, peer };
        match danger::accept(field.host(), identity, connection).await {
            Ok(secured) => {
                notes.tell(format!("{flow}: the client accepted the forged certificate"));
                Some(secured.stream)
            }
            Err(alerted) if alerted.by_peer => {
                let text = format!("the client refused the forged certificate: {}", alerted.alert);
                notes.refused(flow, Protection::ServerCertificate, text, &self.aims(target));
                None
            }
            Err(alerted) => {
                notes.tell(format!("{flow}: no handshake: {}", alerted.alert));
                None
            }
        }
    }

    /// What a client that verifies its server's certificate keeps from this tactic.
    fn aims(&self, target: &Target) -> Vec<Property> {
        let mut aims = match self.then {
            Then::Forge => vec![Property::RequestSecret, Property::ResponseAuthentic],
            Then::Relay => vec![Property::RequestSecret],
            Then::RelayWithCredentials => {
                vec![Property::ResponseSecret, Property::ResponseAuthentic, Property::RequestAuthentic]
            }
        };
        if matches!(target.proof, ClientProof::Token) && self.then != Then::Relay {
            aims.extend([Property::CredentialSafe, Property::AccessControlled]);
        }
        aims
    }

    /// Passes a request on, changed; gives the genuine server's answer, changed too.
    async fn relay(
        &self,
        notes: &Notes<'_>,
        target: &Target,
        (to, message): (SocketAddr, &Message),
    ) -> Answer {
        let flow = notes.field().flow(to);
        let Some(mut request) = Request::of(message) else { return unreachable() };
        if self.then == Then::Relay {
            request.headers.retain(|(name, _)| name != "authorization");
        }
        let request = forge::altered_request(request);
        notes.tell(format!("{flow}: passed the request on, changed"));
        let sent = spend::request(notes, to, target.speaks, (request, Shown::default())).await;
        let Ok(answer) = sent else { return unreachable() };
        if !answer.granted() {
            notes.refused_by_status(&flow, answer.status, &relay_aims(target));
            return answer;
        }
        notes.tell(format!("{flow}: the genuine server answered"));
        notes.learned(&flow, answer.body.clone());
        self.gains(notes, target, &flow);
        forge::altered_answer(answer)
    }

    fn gains(&self, notes: &Notes<'_>, target: &Target, flow: &str) {
        if self.then == Then::RelayWithCredentials {
            notes.gained(flow, GainKind::CredentialUsed, "used the client's token for a request of its own");
        }
        if target.server == ServerKind::Workload {
            return;
        }
        notes.gained(flow, GainKind::BeyondRights, "was served what it has no right to");
        if target.server == ServerKind::Kubelet && matches!(target.proof, ClientProof::Nothing) {
            let text = "had a changed request executed: the server asks nobody for an identity";
            notes.gained(flow, GainKind::ExecutedAsClient, text);
        }
    }
}

/// What a server that asks who is there keeps from a relay that cannot say.
fn relay_aims(target: &Target) -> Vec<Property> {
    let mut aims = vec![Property::ResponseSecret];
    if target.server != ServerKind::Workload {
        aims.push(Property::AccessControlled);
    }
    aims
}

/// The target of a request, and its headers: where the body is, the caller adds it.
fn request_text(message: &Message) -> Vec<u8> {
    let target = match &message.start {
        StartLine::Request { target, .. } => target.as_str(),
        StartLine::Response { .. } => "",
    };
    let headers = message.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
    format!("{target}\n{}", headers.collect::<String>()).into_bytes()
}

/// What the impostor says where it could not reach the genuine server.
fn unreachable() -> Answer {
    Answer { status: 502, content_type: "text/plain".into(), body: b"bad gateway".to_vec() }
}
