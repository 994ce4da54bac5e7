//! Decisions, and the proof of an allowed one.

use crate::{Attributes, UserInfo, names};
use ravelin_api::Status;

/// What an authorizer says. The texts may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is allowed.
    Allow(String),
    /// It is denied, whatever others say.
    Deny(String),
    /// Not decided here; denied if nobody else allows it.
    NoOpinion(String),
}

impl Decision {
    /// Is it allowed?
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// The text.
    pub fn reason(&self) -> &str {
        match self {
            Self::Allow(reason) | Self::Deny(reason) | Self::NoOpinion(reason) => reason,
        }
    }
}

/// Decides what users may do.
pub trait Authorizer: Send + Sync {
    /// Decides one request.
    fn decide(&self, attributes: &Attributes) -> Decision;
}

/// Allows everything to everybody (`--authorization-mode=AlwaysAllow`).
#[derive(Clone, Copy, Debug)]
pub struct AlwaysAllow;

/// Denies everything (`--authorization-mode=AlwaysDeny`).
#[derive(Clone, Copy, Debug)]
pub struct AlwaysDeny;

/// Allows everything to `system:masters`. Kubernetes asks it before every other
/// (`pkg/kubeapiserver/authorizer/reload.go`).
#[derive(Clone, Copy, Debug)]
pub struct SystemMasters;

impl Authorizer for AlwaysAllow {
    fn decide(&self, _: &Attributes) -> Decision {
        Decision::Allow(String::new())
    }
}

impl Authorizer for AlwaysDeny {
    fn decide(&self, _: &Attributes) -> Decision {
        Decision::NoOpinion("Everything is forbidden.".to_owned())
    }
}

impl Authorizer for SystemMasters {
    fn decide(&self, attributes: &Attributes) -> Decision {
        if attributes.user.is_in(names::MASTERS) {
            Decision::Allow(String::new())
        } else {
            Decision::NoOpinion(String::new())
        }
    }
}

/// Asks authorizers in order. The first that allows or denies has decided; where none does, the
/// texts of all are gathered, one a line, and nothing is allowed.
///
/// The result is an answer for reviews. To do something, one needs the [`Permit`] of
/// [`authorize`].
pub fn decide(chain: &[&dyn Authorizer], attributes: &Attributes) -> Decision {
    let mut reasons = Vec::new();
    for authorizer in chain {
        match authorizer.decide(attributes) {
            Decision::NoOpinion(reason) if reason.is_empty() => {}
            Decision::NoOpinion(reason) => reasons.push(reason),
            decided => return decided,
        }
    }
    Decision::NoOpinion(reasons.join("\n"))
}

/// The proof that a request was allowed. Only [`authorize`] makes one:
///
/// ```
/// use ravelin_auth::{AlwaysAllow, Attributes, Permit, authorize};
/// let permit: Permit = authorize(&[&AlwaysAllow], Attributes::default()).expect("all is allowed");
/// # drop(permit);
/// ```
///
/// Nobody else can, not even from the same parts:
///
/// ```compile_fail,E0451
/// use ravelin_auth::{Attributes, Permit};
/// let forged = Permit { attributes: Attributes::default(), reason: String::new() };
/// ```
#[derive(Debug)]
pub struct Permit {
    attributes: Attributes,
    reason: String,
}

impl Permit {
    /// What was allowed.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// To whom.
    pub fn user(&self) -> &UserInfo {
        &self.attributes.user
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// A request that was not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// What was asked.
    pub attributes: Attributes,
    /// Why not; may be empty.
    pub reason: String,
}

impl Denied {
    /// The answer to whoever asked.
    pub fn status(&self) -> Status {
        self.attributes.forbidden(&self.reason)
    }
}

/// Asks authorizers in order, as [`decide`] does, for leave to do something.
///
/// # Errors
/// Where none allows it.
pub fn authorize(chain: &[&dyn Authorizer], attributes: Attributes) -> Result<Permit, Box<Denied>> {
    match decide(chain, &attributes) {
        Decision::Allow(reason) => Ok(Permit { attributes, reason }),
        Decision::Deny(reason) | Decision::NoOpinion(reason) => Err(Box::new(Denied { attributes, reason })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Says(Decision);

    impl Authorizer for Says {
        fn decide(&self, _: &Attributes) -> Decision {
            self.0.clone()
        }
    }

    #[test]
    fn the_first_opinion_decides_and_none_denies() {
        let allow = Says(Decision::Allow("a".to_owned()));
        let deny = Says(Decision::Deny("d".to_owned()));
        let none = Says(Decision::NoOpinion("n".to_owned()));
        let ask = |chain: &[&dyn Authorizer]| {
            authorize(chain, Attributes::default()).map(|p| p.reason).map_err(|d| d.reason)
        };
        assert_eq!(ask(&[]), Err(String::new()));
        assert_eq!(ask(&[&none]), Err("n".to_owned()));
        assert_eq!(ask(&[&none, &none]), Err("n\nn".to_owned()));
        assert_eq!(ask(&[&none, &allow, &deny]), Ok("a".to_owned()));
        assert_eq!(ask(&[&deny, &allow]), Err("d".to_owned()));
        assert_eq!(ask(&[&AlwaysDeny, &SystemMasters]), Err("Everything is forbidden.".to_owned()));
    }

    #[test]
    fn masters_may_do_everything_and_others_nothing_by_it() {
        let of = |groups: &[&str]| Attributes { user: UserInfo::new("u", groups), ..Attributes::default() };
        assert!(SystemMasters.decide(&of(&[names::MASTERS])).is_allowed());
        assert!(!SystemMasters.decide(&of(&["system:master", "masters"])).is_allowed());
    }
}
