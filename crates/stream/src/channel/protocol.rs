//! The versions of the protocols, and how client and server agree on one.

/// The `Upgrade` token of SPDY.
pub const SPDY: &str = "SPDY/3.1";

/// The header in which a client offers stream protocols and the server names the one it took.
pub const PROTOCOL_HEADER: &str = "x-stream-protocol-version";

/// The header in which a server that refused names what it would take.
pub const ACCEPTED_PROTOCOLS_HEADER: &str = "x-accepted-stream-protocol-versions";

/// Port-forward over SPDY.
pub const PORT_FORWARD_PROTOCOL: &str = "portforward.k8s.io";

/// Port-forward's SPDY within a WebSocket's binary messages (KEP-4006): its subprotocol.
pub const TUNNEL_PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";

/// The headers of a SPDY stream. On the wire, SPDY has them in lower case.
pub mod stream_header {
    /// What the stream carries, one of [`super::stream_type`].
    pub const STREAM_TYPE: &str = "streamtype";
    /// The pod's port of a port-forward.
    pub const PORT: &str = "port";
    /// Which two streams of a port-forward belong together.
    pub const REQUEST_ID: &str = "requestid";
}

/// What a stream carries.
pub mod stream_type {
    /// The command's standard input.
    pub const STDIN: &str = "stdin";
    /// Its standard output.
    pub const STDOUT: &str = "stdout";
    /// Its standard error.
    pub const STDERR: &str = "stderr";
    /// How it ended.
    pub const ERROR: &str = "error";
    /// The sizes of its terminal.
    pub const RESIZE: &str = "resize";
    /// The bytes of a forwarded connection.
    pub const DATA: &str = "data";
}

/// The versions of exec and attach over SPDY, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamProtocol {
    /// The first.
    V1,
    /// Its streams are closed in order.
    V2,
    /// With sizes of the terminal.
    V3,
    /// Its errors are a Status, with exit codes.
    V4,
    /// Over WebSockets, with a signal that a channel is closed. Over SPDY the same as v4.
    V5,
}

impl StreamProtocol {
    /// All, in the order in which `kubectl` and the apiserver offer them.
    pub const OFFER: [Self; 5] = [Self::V5, Self::V4, Self::V3, Self::V2, Self::V1];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "channel.k8s.io",
            Self::V2 => "v2.channel.k8s.io",
            Self::V3 => "v3.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
            Self::V5 => "v5.channel.k8s.io",
        }
    }

    /// The version of this name. No name is the first version.
    pub fn parse(name: &str) -> Option<Self> {
        if name.is_empty() {
            return Some(Self::V1);
        }
        Self::OFFER.into_iter().find(|version| version.name() == name)
    }

    /// Has it a stream for the sizes of a terminal?
    pub fn has_resize(self) -> bool {
        self >= Self::V3
    }

    /// Is a command's end told as a Status in JSON, and not as text?
    pub fn has_status(self) -> bool {
        self >= Self::V4
    }
}

/// The subprotocols of exec and attach over a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WebSocketProtocol {
    /// `v5.channel.k8s.io`: channels can be closed one by one.
    V5,
    /// `v4.channel.k8s.io`: the end is told as a Status.
    V4,
    /// `v4.base64.channel.k8s.io`: the same in base64.
    V4Base64,
    /// `channel.k8s.io`, or no subprotocol at all.
    V1,
    /// `base64.channel.k8s.io`.
    V1Base64,
}

impl WebSocketProtocol {
    const ALL: [Self; 5] = [Self::V5, Self::V4, Self::V4Base64, Self::V1, Self::V1Base64];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::V5 => "v5.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
            Self::V4Base64 => "v4.base64.channel.k8s.io",
            Self::V1 => "channel.k8s.io",
            Self::V1Base64 => "base64.channel.k8s.io",
        }
    }

    /// The subprotocol of this name. No name is `channel.k8s.io`.
    pub fn parse(name: &str) -> Option<Self> {
        if name.is_empty() {
            return Some(Self::V1);
        }
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// Are channels closed one by one?
    pub fn has_close(self) -> bool {
        self == Self::V5
    }

    /// Is a command's end told as a Status in JSON, and not as text?
    pub fn has_status(self) -> bool {
        matches!(self, Self::V5 | Self::V4 | Self::V4Base64)
    }

    /// Are messages base64?
    pub fn is_base64(self) -> bool {
        matches!(self, Self::V4Base64 | Self::V1Base64)
    }
}

/// Why no protocol was agreed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The client offered none.
    #[error("unable to upgrade: X-Stream-Protocol-Version is required")]
    Missing,
    /// The client offered none that the server takes. To be answered with 403 and one
    /// [`ACCEPTED_PROTOCOLS_HEADER`] for each protocol that it takes.
    #[error(
        "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]",
        offered.join(" "), accepted.join(" ")
    )]
    Unknown {
        /// What the client offered.
        offered: Vec<String>,
        /// What the server takes.
        accepted: Vec<String>,
    },
}

/// The most protocols of an offer that are looked at.
const MAX_OFFERED: usize = 32;

/// Agrees on a protocol as `httpstream.Handshake` does: the first of the **client's** that the server
/// takes. `offered` are the values of the client's [`PROTOCOL_HEADER`]s.
///
/// # Errors
/// As [`Refusal`] says.
pub fn negotiate<'a>(
    offered: impl IntoIterator<Item = &'a str>,
    accepted: &[&'static str],
) -> Result<&'static str, Refusal> {
    let names = offered.into_iter().flat_map(|value| value.split(','));
    let offered: Vec<&str> =
        names.map(|name| name.trim_matches(' ')).filter(|name| !name.is_empty()).take(MAX_OFFERED).collect();
    if offered.is_empty() {
        return Err(Refusal::Missing);
    }
    let agreed = offered.iter().find_map(|name| accepted.iter().find(|taken| *taken == name));
    agreed.copied().ok_or_else(|| Refusal::Unknown {
        offered: offered.iter().map(|name| (*name).to_owned()).collect(),
        accepted: accepted.iter().map(|name| (*name).to_owned()).collect(),
    })
}
