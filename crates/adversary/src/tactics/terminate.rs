//! The impostor takes the server's place: it ends the path's connections itself and answers with
//! something made up, or relays them to the genuine server and changes what passes.

use super::Tactic;
use super::spend::{self, Shown};
use super::takeover::Wanted;
use crate::field::{Field, Probe};
use crate::forge::{self, Issuer};
use crate::intercept::{Intercepted, Interception};
use crate::listen::bearer;
use crate::notes::Notes;
use crate::speak::{Answer, Request, Switch, answer, read_request};
use crate::target::{ClientProof, ServerKind, Target};
use async_trait::async_trait;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use ravelin_host::{BoxedStream, Connection, Endpoint};
use ravelin_oracle::dissect::{Message, StartLine};
use ravelin_oracle::{Attempt, GainKind, Property, Protection};
use ravelin_pki::{Identity, San, inspect};
use ravelin_transport::danger;
use std::cell::Cell;
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
    /// It sends the client to another genuine server, once, and lets it go there.
    Redirect,
}

/// Taking the server's place.
pub struct Terminate {
    /// Who vouches for the impostor's certificate; none where the path has no TLS.
    issuer: Option<Issuer>,
    /// What it does then.
    then: Then,
    /// In whose name it redirected a client.
    redirected: Cell<Option<SocketAddr>>,
}

#[async_trait(?Send)]
impl Tactic for Terminate {
    fn name(&self) -> &'static str {
        match (self.issuer, self.then) {
            (None, Then::Forge) => "forge-http",
            (None, _) => "rewrite-http",
            (Some(Issuer::Genuine), Then::Redirect) => "redirect-with-own-certificate",
            (Some(Issuer::GenuineFormer), Then::Redirect) => "redirect-with-former-certificate",
            (Some(_), Then::Redirect) => "redirect",
            (Some(Issuer::Itself), Then::Forge) => "self-signed-certificate",
            (Some(Issuer::OwnAuthority), Then::Forge) => "own-authority-certificate",
            (Some(Issuer::Genuine), _) => "own-node-certificate",
            (Some(Issuer::GenuineFormer), _) => "reassigned-address",
            (Some(_), Then::Relay) => "relay",
            (Some(_), Then::RelayWithCredentials) => "relay-with-credentials",
        }
    }

    async fn run(&self, field: &Field, target: &Target, probe: Probe<'_>) -> Attempt {
        let notes = Notes::new(field);
        let interception = Interception::start(&notes, target, &self.reach(target)).await;
        self.serve_during(&notes, target, (&interception, probe)).await;
        drop(interception);
        self.see_who_was_redirected(&notes, target);
        spend::spend(&notes, target).await;
        notes.finish()
    }
}

impl Terminate {
    /// Taking the server's place so.
    pub fn new(issuer: Option<Issuer>, then: Then) -> Self {
        Self { issuer, then, redirected: Cell::default() }
    }

    /// Serves what is intercepted while the path is used once.
    pub async fn serve_during(
        &self,
        notes: &Notes<'_>,
        target: &Target,
        (interception, mut probe): (&Interception<'_>, Probe<'_>),
    ) {
        let mut serving: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = &mut probe => break,
                taken = interception.next() => {
                    serving.push(Box::pin(self.serve(notes, target, (taken, interception))));
                }
                _ = serving.next(), if !serving.is_empty() => {}
            }
        }
        // The caller may have its answer before the impostor has its refusal.
        let rest = async { while serving.next().await.is_some() {} };
        let _ = tokio::time::timeout(AFTERMATH, rest).await;
    }

    /// A client that followed a redirect opened a connection more than the path's use needs.
    fn see_who_was_redirected(&self, notes: &Notes<'_>, target: &Target) {
        let (Some(from), Some((elsewhere, _))) = (self.redirected.get(), &target.elsewhere) else { return };
        let field = notes.field();
        let live = field.live_flows().into_iter().filter_map(|id| field.wire().flow(id));
        let came = live.filter(|flow| {
            let to_there = flow.server == *elsewhere && flow.opened_at >= field.began();
            to_there && !flow.by_attacker && !flow.diverted
        });
        let own_use = usize::from(from != *elsewhere);
        let flow = format!("the client > {elsewhere}");
        if came.count() <= own_use {
            let text = format!("the redirect to {elsewhere} was not followed");
            notes.refused(&flow, Protection::NoRedirect, text, &[Property::RequestAuthentic]);
        } else {
            notes.tell(format!("{flow}: the redirect was followed"));
        }
    }

    /// Serves one intercepted connection until it ends.
    async fn serve(
        &self,
        notes: &Notes<'_>,
        target: &Target,
        (taken, interception): (Intercepted, &Interception<'_>),
    ) {
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
            if let Some(wanted) = Wanted::of(&message).filter(|_| self.then != Then::Redirect) {
                return self.take_over(notes, target, (wanted, (&flow, stream), original)).await;
            }
            let reply = match (self.then, &target.elsewhere) {
                (Then::Redirect, Some((elsewhere, path))) => {
                    self.redirected.set(Some(original));
                    interception.stop();
                    notes.tell(format!("{flow}: sent the client to {elsewhere}"));
                    forge::redirect(&format!("https://{elsewhere}{path}"))
                }
                (Then::Forge | Then::Redirect, _) => forge::made_up_answer(),
                _ => self.relay(notes, target, (original, &message)).await,
            };
            if answer(&mut stream, &reply).await.is_err() {
                return;
            }
        }
    }

    /// Serves a connection that the client asked to be upgraded.
    async fn take_over(
        &self,
        notes: &Notes<'_>,
        target: &Target,
        (wanted, (flow, mut stream), to): (Wanted<'_>, (&str, BoxedStream), SocketAddr),
    ) {
        if self.then == Then::Forge {
            return wanted.forge(notes, (flow, stream)).await;
        }
        match wanted.ask(notes, target, to).await {
            Some(Switch::Made(genuine)) => {
                self.gains(notes, target, &notes.field().flow(to));
                wanted.splice(notes, flow, (stream, genuine)).await;
            }
            Some(Switch::Not(answer)) => {
                notes.refused_by_status(&notes.field().flow(to), answer.status, &relay_aims(target));
                // Whom the genuine server refuses goes on alone: the client would still say more.
                wanted.forge(notes, (flow, stream)).await;
            }
            None => {
                // Who is gone needs no answer.
                let _ = answer(&mut stream, &unreachable()).await;
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
        let (field, original) = (notes.field(), taken.original);
        let identity = forge::server(field, target, issuer);
        let vouched = matches!(issuer, Issuer::Genuine | Issuer::GenuineFormer).then(|| identity.clone());
        let (local, peer) = (Endpoint::Tcp(taken.original), Endpoint::Tcp(taken.source));
        let connection = Connection { stream: taken.stream, local, peer };
        match danger::accept(field.host(), identity, connection).await {
            Ok(secured) => {
                notes.tell(format!("{flow}: the client accepted the forged certificate"));
                Some(secured.stream)
            }
            Err(alerted) if alerted.by_peer => {
                let by = refusing_check(&alerted.alert, (&vouched, original));
                let text = format!("the client refused the certificate: {}", alerted.alert);
                notes.refused(flow, by, text, &self.aims(target));
                None
            }
            Err(alerted) => {
                notes.tell(format!("{flow}: no handshake: {}", alerted.alert));
                None
            }
        }
    }

    /// All that this tactic breaks where nobody refuses it: what a tunnel keeps from whoever is not let
    /// into it.
    fn reach(&self, target: &Target) -> Vec<Property> {
        if self.then != Then::Relay {
            return self.aims(target);
        }
        let mut reach = vec![Property::RequestSecret, Property::ResponseSecret];
        if target.server == ServerKind::Workload {
            reach.extend([Property::ResponseAuthentic, Property::RequestAuthentic]);
            return reach;
        }
        reach.push(Property::AccessControlled);
        if matches!(target.proof, ClientProof::Nothing) {
            reach.push(Property::RequestAuthentic);
        }
        reach
    }

    /// What a client that verifies its server's certificate keeps from this tactic.
    fn aims(&self, target: &Target) -> Vec<Property> {
        let mut aims = match self.then {
            Then::Forge => vec![Property::RequestSecret, Property::ResponseAuthentic],
            Then::Relay => vec![Property::RequestSecret],
            // Whom the certificate stops has not been redirected yet.
            Then::Redirect => return Vec::new(),
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

/// Which check an alert speaks of. A certificate that the attacker was issued has a genuine issuer
/// where clients know it; then its names are wrong, or whose it is.
fn refusing_check(alert: &str, (vouched, original): (&Option<Identity>, SocketAddr)) -> Protection {
    let Some(held) = vouched else { return Protection::ServerCertificate };
    if alert.contains("UnknownCA") {
        return Protection::ServerCertificate;
    }
    let names = held.chain.first().and_then(inspect).map(|found| found.sans).unwrap_or_default();
    let fits = names.contains(&San::Ip(original.ip()));
    if fits { Protection::NodeName } else { Protection::ServerName }
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
pub fn request_text(message: &Message) -> Vec<u8> {
    let target = match &message.start {
        StartLine::Request { target, .. } => target.as_str(),
        StartLine::Response { .. } => "",
    };
    let headers = message.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
    format!("{target}\n{}", headers.collect::<String>()).into_bytes()
}

/// What the impostor says where it could not reach the genuine server.
fn unreachable() -> Answer {
    Answer { status: 502, content_type: "text/plain".into(), location: None, body: b"bad gateway".to_vec() }
}
