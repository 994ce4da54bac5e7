//! Users by bearer token.
//!
//! Tokens are secrets: they stand in no error and in no `Debug`.

mod authenticator;
pub mod bootstrap;
mod claims;
mod jwt;
mod legacy;
mod leniency;
mod openid;
mod service_account;
mod static_file;

pub use authenticator::{Authenticated, TokenAuthenticator, TokenRefused, bearer, is_behind_spaces};
pub use bootstrap::{BootstrapRefused, BootstrapToken};
pub use jwt::JwtRefused;
pub use legacy::secret_token;
pub use leniency::Leniency;
pub use openid::{DISCOVERY_PATH, KEYS_PATH};
pub use service_account::{
    Bound, CannotIssue, Issued, Reference, ServiceAccountIssuer, ServiceAccountKeys, ServiceAccountRefused,
    TokenSpec,
};
pub use static_file::{BadTokenFile, StaticTokens};
