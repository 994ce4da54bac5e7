//! SPDY/3.1 as far as Kubernetes uses it (draft-mbelshe-httpbis-spdy-00): exec, attach and
//! port-forward before they went over WebSockets, and still between apiserver and kubelet.
//!
//! Flow control windows are not kept: `spdystream`, the other end of every connection here, neither
//! sends nor honours window updates. See [`crate::Session`] for what is done instead.

mod connection;
mod dictionary;
mod frame;
mod header_block;

pub use connection::{Connection, MAX_HEADERS_BYTES, MAX_STREAMS, Role};
pub use frame::{Decoder, Encoder, Item, MAX_CONTROL_FRAME_BYTES, SpdyError, status};
pub use header_block::{Deflater, Headers, Inflater, MAX_HEADER_BLOCK_BYTES, MAX_HEADERS};

#[cfg(test)]
mod tests;
