//! What an attacker makes itself: certificates, and changes to what others sent.

use crate::field::Field;
use crate::speak::{Answer, Request};
use crate::target::{Konnectivity, Target};
use jiff::{Timestamp, ToSpan};
use ravelin_pki::{Authority, CertificateDer, Identity, KeyPair, Profile, Subject, Usage, self_signed};

/// What the attacker writes into whatever it changes, so that it can be found again.
pub const MARK: &str = "altered-by-the-impostor";

/// What stands in a command that a redirect asks for, so that it is known where it was executed.
pub const REDIRECTED: &str = "redirected-by-the-impostor";

/// What an impostor makes of the word `"secret"` in bytes whose length it cannot change.
pub const RELABELLED: &str = "\"SECRET\"";

/// What an attacker adds to the query of requests of its own to a forwarded port.
pub const OWN_QUERY: &str = "by=the-attacker";

/// The `limitBytes` of a request that a redirect asks for, so that it is known where it was executed.
pub const REDIRECTED_LIMIT: u64 = 666_000_000_000_007;

/// Who vouches for a forged certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// Itself.
    Itself,
    /// An authority of the attacker's that bears the genuine one's name.
    OwnAuthority,
    /// The genuine one: it is the attacker's own serving certificate.
    Genuine,
    /// The genuine one: it is for an address that was the attacker's before.
    GenuineFormer,
}

/// A certificate for the server's own names, or one that the attacker holds.
pub fn server(field: &Field, target: &Target, issuer: Issuer) -> Identity {
    let held = match issuer {
        Issuer::Genuine => &field.holdings().serving,
        Issuer::GenuineFormer => &field.holdings().former_serving,
        Issuer::Itself | Issuer::OwnAuthority => &None,
    };
    if let Some(held) = held {
        return held.clone();
    }
    let name = target.names.first().map_or_else(|| "server".to_owned(), ToString::to_string);
    let mut profile = profile(field, Subject::new(name, &[]), Usage::Server);
    profile.sans.clone_from(&target.names);
    certify(field, &target.authority, issuer, &profile)
}

/// A certificate in the name of the path's client.
pub fn client(field: &Field, target: &Target, issuer: Issuer) -> Identity {
    certify(field, &target.authority, issuer, &profile(field, target.client.clone(), Usage::Client))
}

/// A certificate for the names of a Konnectivity server, of an authority that bears the genuine one's
/// name.
pub fn tunnel_server(field: &Field, tunnel: &Konnectivity) -> Identity {
    let name = tunnel.names.first().map_or_else(|| "server".to_owned(), ToString::to_string);
    let mut profile = profile(field, Subject::new(name, &[]), Usage::Server);
    profile.sans.clone_from(&tunnel.names);
    certify(field, &tunnel.authority, Issuer::OwnAuthority, &profile)
}

/// A certificate in the name of a Konnectivity agent.
pub fn agent(field: &Field, tunnel: &Konnectivity, issuer: Issuer) -> Identity {
    certify(field, &tunnel.authority, issuer, &profile(field, tunnel.agent.clone(), Usage::Client))
}

/// The client's own certificate, with a key that is not its.
pub fn without_its_key(field: &Field, chain: &[CertificateDer<'static>]) -> Identity {
    let key = KeyPair::generate(&mut field.host().entropy("forged-key"));
    Identity { chain: chain.to_vec(), key: key.into() }
}

fn certify(field: &Field, authority: &str, issuer: Issuer, profile: &Profile) -> Identity {
    let mut entropy = field.host().entropy("forged-certificate");
    match issuer {
        Issuer::Itself => self_signed(profile, &mut entropy),
        Issuer::OwnAuthority | Issuer::Genuine | Issuer::GenuineFormer => {
            let key = KeyPair::generate(&mut entropy);
            let (from, until) = (profile.not_before, profile.not_after);
            let authority = Authority::new(authority, key, from, until, &mut entropy);
            let mut identity = authority.identity(profile, &mut entropy);
            identity.chain.push(authority.certificate());
            identity
        }
    }
}

fn profile(field: &Field, subject: Subject, usage: Usage) -> Profile {
    let now = field.host().now();
    let hours = |hours: i64| now.saturating_add(hours.hours()).unwrap_or(Timestamp::MAX);
    Profile { subject, sans: vec![], usages: vec![usage], not_before: hours(-1), not_after: hours(24) }
}

/// The same request, changed in a way that its server still executes.
pub fn altered_request(mut request: Request) -> Request {
    if let Ok(serde_json::Value::Object(mut object)) = serde_json::from_slice(&request.body) {
        let annotations = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations"));
        match annotations.and_then(serde_json::Value::as_object_mut) {
            Some(annotations) => annotations.insert("ravelin.test/altered".into(), MARK.into()),
            None => object.insert("altered".into(), MARK.into()),
        };
        request.body = serde_json::Value::Object(object).to_string().into_bytes();
    } else {
        let separator = if request.target.contains('?') { '&' } else { '?' };
        request.target = format!("{}{separator}timestamps=true", request.target);
    }
    request
}

/// The same bytes with a word changed, so that no length in or around them is wrong: what reads the
/// probe's name and not its secret takes them all the same.
pub fn relabelled(bytes: &[u8]) -> Vec<u8> {
    const FROM: &[u8] = b"\"secret\"";
    let to = RELABELLED.as_bytes();
    let mut changed = bytes.to_vec();
    let found = bytes.windows(FROM.len()).position(|window| window == FROM);
    if let Some(at) = found {
        changed[at..at + to.len()].copy_from_slice(to);
    }
    changed
}

/// The same answer, changed.
pub fn altered_answer(mut answer: Answer) -> Answer {
    match serde_json::from_slice(&answer.body) {
        Ok(serde_json::Value::Object(mut object)) => {
            object.insert("altered".into(), MARK.into());
            answer.body = serde_json::Value::Object(object).to_string().into_bytes();
        }
        _ => answer.body.extend_from_slice(format!("{MARK}\n").as_bytes()),
    }
    answer
}

/// An answer that sends its reader to another server.
pub fn redirect(to: &str) -> Answer {
    let content_type = "text/plain".to_owned();
    Answer { status: 307, content_type, location: Some(to.to_owned()), body: Vec::new() }
}

/// An answer made up from nothing.
pub fn made_up_answer() -> Answer {
    let body =
        serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "message": MARK});
    let content_type = "application/json".to_owned();
    Answer { status: 200, content_type, location: None, body: body.to_string().into_bytes() }
}
