//! The protocols of exec, attach and port-forward: their names, how one is agreed on, the channels
//! of a WebSocket, and how a command's end is told.
//!
//! Names and numbers: `k8s.io/apimachinery/pkg/util/remotecommand` and `.../httpstream`,
//! `k8s.io/api/core/v1` (the header names of SPDY streams).

mod protocol;
mod session;
mod status;

pub use protocol::{
    ACCEPTED_PROTOCOLS_HEADER, PORT_FORWARD_PROTOCOL, PROTOCOL_HEADER, Refusal, SPDY, StreamProtocol,
    TUNNEL_PROTOCOL, WebSocketProtocol, negotiate, stream_header, stream_type,
};
pub use session::{Channel, Channels};
pub use status::{
    EXIT_CODE_CAUSE, MAX_STATUS_BYTES, NON_ZERO_EXIT_CODE, Outcome, SUCCESS_STATUS, exit_message, exit_status,
};

#[cfg(test)]
mod tests;
