//! Keys, authorities, certificates, signing requests, and the policy that judges them.
//!
//! Everything is a function of its inputs: randomness comes in as an [`Entropy`] (or, within a
//! handshake, from this thread's stream), the time as a parameter. This crate must never know a
//! socket, HTTP or Kubernetes: what a name in a certificate *means* is `auth`'s.
//!
//! What weakens a check has `danger` in its name.
//!
//! [`Entropy`]: ravelin_entropy::Entropy

mod authority;
mod encode;
mod exchange;
mod identity;
mod inspect;
mod key;
mod name;
mod peer;
mod pem;
mod provider;
mod request;
mod rsa;
mod signer;
mod subject_key;
mod trust;
mod verifier;

pub use authority::{Authority, MaterialError, self_signed};
pub use identity::{Identity, IdentityKey};
pub use inspect::{Inspected, fingerprint_sha256, inspect};
pub use key::{KeyError, KeyNumbers, KeyPair, PublicKey};
pub use name::{Profile, San, Subject, Usage};
pub use peer::{PeerRefused, VerifiedPeer, danger_unverified_client, verify_client};
pub use pem::certificates_to_pem;
pub use provider::{danger_frozen_provider, provider};
pub use request::{MAX_REQUEST_BYTES, RequestRefused, SigningRequest};
pub use rustls_pki_types::CertificateDer;
pub use subject_key::SubjectKey;
pub use trust::{ServerChecks, ServerTrust, TrustAnchors};
pub use verifier::{
    WrongCommonName, client_verifier, danger_client_verifier_without_possession, required_client_verifier,
    server_verifier,
};

#[cfg(test)]
mod tests;
