//! The six properties of a path and the five states of each.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The six things that can break, in the order that every report has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Property {
    /// It breaks when the attacker learned the request's canary.
    RequestSecret,
    /// It breaks when the attacker learned the genuine response's canary.
    ResponseSecret,
    /// It breaks when the caller was handed anything but a genuine response to this request.
    ResponseAuthentic,
    /// It breaks when a server executed something that the client did not send.
    RequestAuthentic,
    /// It breaks when the attacker gained a credential and used it with success.
    CredentialSafe,
    /// It breaks when the attacker got more than its own rights.
    AccessControlled,
}

impl Property {
    /// All six, in their order.
    pub const ALL: [Self; 6] = [
        Self::RequestSecret,
        Self::ResponseSecret,
        Self::ResponseAuthentic,
        Self::RequestAuthentic,
        Self::CredentialSafe,
        Self::AccessControlled,
    ];
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::RequestSecret => "request_secret",
            Self::ResponseSecret => "response_secret",
            Self::ResponseAuthentic => "response_authentic",
            Self::RequestAuthentic => "request_authentic",
            Self::CredentialSafe => "credential_safe",
            Self::AccessControlled => "access_controlled",
        })
    }
}

/// What is known of a property, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// An attacker broke it, with evidence.
    Broken,
    /// A tactic reached the honest party and was refused by the protection itself.
    Held,
    /// Counted: no packet of this path crossed a segment that this attacker touches.
    NotExposed,
    /// By the fixed table in `docs/threat-model.md`.
    NotApplicable,
    /// None of the others. It is never shown as if it held.
    Untested,
}

impl State {
    /// All five, in their order.
    pub const ALL: [Self; 5] =
        [Self::Broken, Self::Held, Self::NotExposed, Self::NotApplicable, Self::Untested];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Broken => "broken",
            Self::Held => "held",
            Self::NotExposed => "not_exposed",
            Self::NotApplicable => "not_applicable",
            Self::Untested => "untested",
        })
    }
}
