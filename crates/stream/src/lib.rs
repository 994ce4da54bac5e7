//! The framing of exec, attach and port-forward (WebSocket channels and SPDY/3.1), and of Konnectivity
//! (gRPC messages and their packets).
//!
//! Everything here is pure: bytes in, frames and events out, and back. What a peer sent never
//! panics and never makes more memory be held than a named limit. Sockets, TLS, HTTP upgrades and
//! what runs at the far end are for the crates above.

pub mod channel;
pub mod grpc;
pub mod konnectivity;
pub mod session;
pub mod spdy;
mod terminal;
pub mod websocket;

pub use session::{Reading, Session, Violation, Writing};
pub use terminal::{Sizes, TerminalSize};
