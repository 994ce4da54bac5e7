//! The protobuf messages, as `client.proto` has them.

use super::{Packet, PacketError};
use bytes::{Bytes, BytesMut};
use prost::Message;

const DIAL_REQ: i32 = 0;
const DIAL_RSP: i32 = 1;
const CLOSE_REQ: i32 = 2;
const CLOSE_RSP: i32 = 3;
const DATA: i32 = 4;
const DIAL_CLS: i32 = 5;
const DRAIN: i32 = 6;
// Far from what the protocol may grow to.
const CREDIT: i32 = 1001;
const EOF: i32 = 1002;

#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(oneof = "Payload", tags = "2, 3, 4, 5, 6, 7, 8, 1001, 1002")]
    payload: Option<Payload>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Payload {
    #[prost(message, tag = "2")]
    DialRequest(DialRequest),
    #[prost(message, tag = "3")]
    DialResponse(DialResponse),
    #[prost(message, tag = "4")]
    Data(Data),
    #[prost(message, tag = "5")]
    CloseRequest(OfConnection),
    #[prost(message, tag = "6")]
    CloseResponse(CloseResponse),
    #[prost(message, tag = "7")]
    CloseDial(CloseDial),
    #[prost(message, tag = "8")]
    Drain(Nothing),
    #[prost(message, tag = "1001")]
    Credit(Credit),
    #[prost(message, tag = "1002")]
    Eof(OfConnection),
}

#[derive(Clone, PartialEq, Message)]
struct DialRequest {
    #[prost(string, tag = "1")]
    protocol: String,
    #[prost(string, tag = "2")]
    address: String,
    #[prost(int64, tag = "3")]
    random: i64,
}

#[derive(Clone, PartialEq, Message)]
struct DialResponse {
    #[prost(string, tag = "1")]
    error: String,
    #[prost(int64, tag = "2")]
    connect_id: i64,
    #[prost(int64, tag = "3")]
    random: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Data {
    #[prost(int64, tag = "1")]
    connect_id: i64,
    #[prost(string, tag = "2")]
    error: String,
    #[prost(bytes = "bytes", tag = "3")]
    data: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct OfConnection {
    #[prost(int64, tag = "1")]
    connect_id: i64,
}

#[derive(Clone, PartialEq, Message)]
struct CloseResponse {
    #[prost(string, tag = "1")]
    error: String,
    #[prost(int64, tag = "2")]
    connect_id: i64,
}

#[derive(Clone, PartialEq, Message)]
struct CloseDial {
    #[prost(int64, tag = "1")]
    random: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Credit {
    #[prost(int64, tag = "1")]
    connect_id: i64,
    #[prost(uint64, tag = "2")]
    bytes: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

/// The payload of one type, or zeros where there is another or none.
macro_rules! of {
    ($payload:expr, $kind:ident) => {
        match $payload {
            Some(Payload::$kind(found)) => found,
            _ => Default::default(),
        }
    };
}

pub(super) fn decode(message: Bytes) -> Result<Packet, PacketError> {
    let Envelope { kind, payload } =
        Envelope::decode(message).map_err(|error| PacketError { reason: error.to_string() })?;
    Ok(match kind {
        DIAL_REQ => {
            let DialRequest { protocol, address, random } = of!(payload, DialRequest);
            Packet::DialRequest { protocol, address, random }
        }
        DIAL_RSP => {
            let DialResponse { error, connect_id, random } = of!(payload, DialResponse);
            Packet::DialResponse { error, connect_id, random }
        }
        CLOSE_REQ => Packet::CloseRequest { connect_id: of!(payload, CloseRequest).connect_id },
        CLOSE_RSP => {
            let CloseResponse { error, connect_id } = of!(payload, CloseResponse);
            Packet::CloseResponse { error, connect_id }
        }
        DATA => {
            let Data { connect_id, error, data } = of!(payload, Data);
            Packet::Data { connect_id, error, data }
        }
        DIAL_CLS => Packet::CloseDial { random: of!(payload, CloseDial).random },
        DRAIN => Packet::Drain,
        CREDIT => {
            let Credit { connect_id, bytes } = of!(payload, Credit);
            Packet::Credit { connect_id, bytes }
        }
        EOF => Packet::Eof { connect_id: of!(payload, Eof).connect_id },
        other => Packet::Unknown(other),
    })
}

pub(super) fn encode(packet: &Packet) -> Vec<u8> {
    envelope(packet).encode_to_vec()
}

/// The message after `before`, in one piece.
pub(super) fn encode_after(before: &mut BytesMut, packet: &Packet) {
    let envelope = envelope(packet);
    before.reserve(envelope.encoded_len());
    envelope.encode(before).expect("a BytesMut grows");
}

fn envelope(packet: &Packet) -> Envelope {
    let (kind, payload) = match packet.clone() {
        Packet::DialRequest { protocol, address, random } => {
            (DIAL_REQ, Some(Payload::DialRequest(DialRequest { protocol, address, random })))
        }
        Packet::DialResponse { error, connect_id, random } => {
            (DIAL_RSP, Some(Payload::DialResponse(DialResponse { error, connect_id, random })))
        }
        Packet::CloseRequest { connect_id } => {
            (CLOSE_REQ, Some(Payload::CloseRequest(OfConnection { connect_id })))
        }
        Packet::CloseResponse { error, connect_id } => {
            (CLOSE_RSP, Some(Payload::CloseResponse(CloseResponse { error, connect_id })))
        }
        Packet::Data { connect_id, error, data } => {
            (DATA, Some(Payload::Data(Data { connect_id, error, data })))
        }
        Packet::CloseDial { random } => (DIAL_CLS, Some(Payload::CloseDial(CloseDial { random }))),
        Packet::Drain => (DRAIN, Some(Payload::Drain(Nothing {}))),
        Packet::Credit { connect_id, bytes } => (CREDIT, Some(Payload::Credit(Credit { connect_id, bytes }))),
        Packet::Eof { connect_id } => (EOF, Some(Payload::Eof(OfConnection { connect_id }))),
        Packet::Unknown(kind) => (kind, None),
    };
    Envelope { kind, payload }
}
