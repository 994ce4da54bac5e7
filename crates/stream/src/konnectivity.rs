//! Konnectivity's packets (`konnectivity-client/proto/client/client.proto` of
//! kubernetes-sigs/apiserver-network-proxy), and the names of its calls and metadata.
//!
//! Two packets are ours, for peers that both say so in their metadata ([`FLOW_METADATA`]): a window for
//! each connection, and the end of one direction. The originals' protocol has neither; they ignore
//! packets of a type that they do not know, and are sent none. Who sends what when is for the crates
//! above.

mod identifiers;
mod wire;

use bytes::Bytes;
pub use identifiers::{AgentIdentifiers, IdentifiersError, MAX_IDENTIFIERS};

/// The call of a frontend (an apiserver): one for each connection that it dials.
pub const PROXY_METHOD: &str = "/ProxyService/Proxy";
/// The call of an agent: one for each server.
pub const CONNECT_METHOD: &str = "/AgentService/Connect";

/// Metadata of an agent: which one it is.
pub const AGENT_ID: &str = "agentid";
/// Metadata of an agent: what it says it can reach ([`AgentIdentifiers`]).
pub const AGENT_IDENTIFIERS: &str = "agentidentifiers";
/// Metadata of a server: which one it is.
pub const SERVER_ID: &str = "serverid";
/// Metadata of a server: how many there are.
pub const SERVER_COUNT: &str = "servercount";
/// Metadata of both, ours: each connection has a window, and its directions end one by one. The value
/// is the window in bytes that the sender grants at the beginning of each connection.
pub const FLOW_METADATA: &str = "ravelin-flow";

/// The longest address of a request to dial: a DNS name of 253 bytes, a port, and some air.
pub const MAX_ADDRESS_BYTES: usize = 512;

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet {
    /// `DIAL_REQ`: open a connection.
    DialRequest {
        /// Always `tcp`.
        protocol: String,
        /// Host and port, as Go's `net.Dial` takes them.
        address: String,
        /// Names this dial until it is answered.
        random: i64,
    },
    /// `DIAL_RSP`: it is open, or why not.
    DialResponse {
        /// Why not; empty where it is open.
        error: String,
        /// Names the connection from now on, for this agent. Never 0 for one that is open.
        connect_id: i64,
        /// That of the request.
        random: i64,
    },
    /// `CLOSE_REQ`: close a connection.
    CloseRequest {
        /// Which one.
        connect_id: i64,
    },
    /// `CLOSE_RSP`: it is closed, asked for or not.
    CloseResponse {
        /// What went wrong, if anything did.
        error: String,
        /// Which one.
        connect_id: i64,
    },
    /// `DATA`: bytes of a connection.
    Data {
        /// Which one.
        connect_id: i64,
        /// Never set by the originals.
        error: String,
        /// The bytes.
        data: Bytes,
    },
    /// `DIAL_CLS`: nobody waits for this dial any more.
    CloseDial {
        /// That of the request.
        random: i64,
    },
    /// `DRAIN`: the agent is about to stop; prefer others.
    Drain,
    /// Ours: so many more bytes of a connection may be sent.
    Credit {
        /// Which one.
        connect_id: i64,
        /// How many.
        bytes: u64,
    },
    /// Ours: no more bytes of this connection will come from here. The other direction goes on.
    Eof {
        /// Which one.
        connect_id: i64,
    },
    /// A type that is not known here, to be ignored.
    Unknown(i32),
}

/// A message that is no packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("grpc: failed to unmarshal the received message: {reason}")]
pub struct PacketError {
    /// What is wrong with it.
    pub reason: String,
}

impl Packet {
    /// Reads a message. A payload that is missing reads as one of zeros, as Go's getters do; a second
    /// payload is ignored unless it is the one that the type names.
    ///
    /// # Errors
    /// Where it is not of this shape: no more is held of it than its own length.
    pub fn decode(message: Bytes) -> Result<Self, PacketError> {
        wire::decode(message)
    }

    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// The message with gRPC's prefix.
    pub fn frame(&self) -> Bytes {
        crate::grpc::framed(|out| wire::encode_after(out, self))
    }

    /// A packet of bytes.
    pub fn data(connect_id: i64, data: Bytes) -> Self {
        Self::Data { connect_id, error: String::new(), data }
    }

    /// The type as the protocol and its metrics call it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DialRequest { .. } => "DIAL_REQ",
            Self::DialResponse { .. } => "DIAL_RSP",
            Self::CloseRequest { .. } => "CLOSE_REQ",
            Self::CloseResponse { .. } => "CLOSE_RSP",
            Self::Data { .. } => "DATA",
            Self::CloseDial { .. } => "DIAL_CLS",
            Self::Drain => "DRAIN",
            Self::Credit { .. } => "CREDIT",
            Self::Eof { .. } => "EOF",
            Self::Unknown(_) => "UNKNOWN",
        }
    }
}

#[cfg(test)]
mod tests;
