//! WebSockets (RFC 6455): frames, the handshake's values, and a session of whole messages.

mod frame;
mod handshake;
mod messages;
mod wire;

pub use frame::{Decoder, FrameError, Item, Kind, MAX_CONTROL_BYTES, MAX_FRAME_BYTES, Opcode, encode};
pub use handshake::{VERSION, accept_key, is_key, key, offered_protocols};
pub use messages::{MAX_QUEUED_MESSAGES, Message, Messages};
pub use wire::{Close, MaskSource, Role, close_code};

pub(crate) use wire::{Incoming, Wire};

#[cfg(test)]
mod tests;
