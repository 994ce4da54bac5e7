//! Users by bearer token.
//!
//! Tokens are secrets: they stand in no error and in no `Debug`.

mod authenticator;
pub mod bootstrap;
mod jwt;
mod leniency;
mod service_account;
mod static_file;

pub use authenticator::{Authenticated, TokenAuthenticator, TokenRefused, bearer};
pub use bootstrap::{BootstrapRefused, BootstrapToken};
pub use jwt::JwtRefused;
pub use leniency::Leniency;
pub use service_account::{
    Bound, CannotIssue, Issued, Reference, ServiceAccountIssuer, ServiceAccountKeys, ServiceAccountRefused,
    TokenSpec,
};
pub use static_file::{BadTokenFile, StaticTokens};
