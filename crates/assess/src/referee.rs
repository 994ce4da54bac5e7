//! What the referee adds to an eavesdropper's attempt: did its capture hold the canaries at all?
//!
//! An eavesdropper was kept out by encryption only if what it captured, read with the run's own
//! keys, does hold what it was after.

use crate::probe::Secrets;
use ravelin_adversary::{Field, Target, hear, read, tokens};
use ravelin_oracle::{Attempt, Property, Protection, Refusal};

/// Adds the refusals that the capture proves.
pub fn add_encryption(field: &Field, target: &Target, secrets: &Secrets, attempt: &mut Attempt) {
    let heard = hear(field, target);
    let keys = field.referee_secrets();
    let opened = read(&heard, &keys, field.now());
    let readable = |canary: &ravelin_oracle::Canary| {
        opened.iter().find(|learned| canary.is_in(&learned.bytes)).map(|learned| learned.flow.clone())
    };
    let mut refused = |flow: String, aims: &[Property], what: &str| {
        let text = format!("{what} was captured and could not be read: the session is encrypted");
        let (at, aims) = (field.now(), aims.to_vec());
        attempt.story.push((at, format!("{flow}: {text}")));
        attempt.refusals.push(Refusal { at, flow, by: Protection::Encryption, text, aims });
    };
    if let Some(flow) = readable(&secrets.request) {
        refused(flow, &[Property::RequestSecret], "the request");
    }
    if let Some(flow) = readable(&secrets.response) {
        refused(flow, &[Property::ResponseSecret], "the response");
    }
    if !tokens(&heard, &keys).is_empty() {
        let aims = [Property::CredentialSafe, Property::AccessControlled];
        refused("the path's connection".into(), &aims, "a bearer token");
    }
}
