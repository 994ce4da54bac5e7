//! Who asks a component that is not the apiserver, and may they? The apiserver knows.
//!
//! The kubelet, the controller manager and the scheduler ask it: a TokenReview says whose a bearer
//! token is, a SubjectAccessReview whether somebody may do something. Its answers are used for a
//! while. This is Kubernetes' `apiserver/pkg/authentication/authenticatorfactory/delegating.go` and
//! `authorizerfactory/delegating.go`; what is open without asking, and what is anonymous, is for
//! each component to say. No answer is a refusal.

mod authentication;
mod authorization;
mod expiring;

pub use authentication::{Authenticator, AuthenticatorConfig, Shown};
pub use authorization::{ReviewCache, Reviews};
