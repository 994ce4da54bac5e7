//! Who is asking, and may they?
//!
//! Authentication turns a credential into a [`UserInfo`]; authorization turns what that user asks
//! into a [`Decision`], and only an allowed one into a [`Permit`]. Everything is pure: the time is
//! a parameter, and objects are looked up through [`Lookup`]. This crate must never know sockets,
//! requests' bodies on the wire or how objects are stored.
//!
//! What cannot be understood is denied.

mod attributes;
mod decision;
pub mod kubelet;
mod lookup;
pub mod node;
pub mod node_restriction;
pub mod rbac;
pub mod token;
mod user;
pub mod x509;

pub use attributes::Attributes;
pub use decision::{
    AlwaysAllow, AlwaysDeny, Authorizer, Decision, Denied, Permit, SystemMasters, authorize, decide,
};
pub use lookup::{Lookup, NoObjects};
pub use user::{NodeIdentity, UserInfo, names};
