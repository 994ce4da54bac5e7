//! With a captured bootstrap token the attacker joins the cluster: it becomes a node.

use super::certify::{Outcome, Wish, certify};
use super::spend::Shown;
use crate::notes::Notes;
use crate::target::Target;
use ravelin_pki::Identity;

/// Asks for a node's certificate with a bootstrap token; gives what was issued.
pub async fn join(notes: &Notes<'_>, target: &Target, token: &str) -> Option<Identity> {
    let name = format!("attacker-{}", notes.field().host().entropy("joining").word(6));
    let flow = notes.field().flow(target.apiserver);
    let shown = Shown { token: Some(token), identity: None };
    match certify(notes, target, (&Wish::node_client(&name), &shown)).await {
        Outcome::Issued(identity) => {
            notes.tell(format!("{flow}: joined the cluster as system:node:{name} with the captured token"));
            return Some(*identity);
        }
        Outcome::NotSigned(why) => notes.tell(format!("{flow}: its signing request was not signed: {why}")),
        Outcome::NotTaken(_) | Outcome::Nothing => {
            notes.tell(format!("{flow}: the captured token was not allowed to ask for a certificate"));
        }
    }
    None
}
