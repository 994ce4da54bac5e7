//! The connections inside a Konnectivity tunnel: gRPC messages, each of which is a `Packet`
//! (`konnectivity-client/proto/client/client.proto` of apiserver-network-proxy).
//!
//! Either side may dial: towards an agent it is the server, towards the server the apiserver.

use super::Side;
use super::cursor::Cursor;
use std::collections::BTreeMap;

/// Bytes before each gRPC message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
const DIAL_REQUEST: u64 = 2;
const DIAL_RESPONSE: u64 = 3;
const DATA: u64 = 4;
/// A number of 64 bits has no more bytes (protobuf's encoding guide).
const MAX_VARINT_BYTES: usize = 10;
const VARINT: u64 = 0;
const BYTES: u64 = 2;

/// One connection inside a tunnel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelledConnection {
    /// Where it was to lead; empty where the request for it was not captured.
    pub address: String,
    /// Who asked for it: the client's bytes are this side's.
    pub dialled_by: Option<Side>,
    /// What the side sent that asked for it.
    pub client: Vec<u8>,
    /// What the other side sent.
    pub server: Vec<u8>,
}

/// The connections of one gRPC stream, in the order of their numbers; none where it carries
/// something else.
pub(super) fn read(client: &[u8], server: &[u8]) -> Option<Vec<TunnelledConnection>> {
    let mut tunnel = Tunnel::default();
    let (from_client, from_server) = (packets(client)?, packets(server)?);
    let known = |packet: &Packet<'_>| !matches!(packet, Packet::Other);
    if !from_client.iter().chain(&from_server).any(known) {
        return None;
    }
    for (from, packets) in [(Side::Client, from_client), (Side::Server, from_server)] {
        packets.into_iter().for_each(|packet| tunnel.take(from, packet));
    }
    Some(tunnel.finish())
}

/// What of a packet matters here; ends, windows and what is not known does not.
enum Packet<'a> {
    Dial { address: String, random: u64 },
    Answer { connection: u64, random: u64 },
    Data { connection: u64, bytes: &'a [u8] },
    Other,
}

#[derive(Default)]
struct Tunnel<'a> {
    /// By the side that dialled and its random number: where to.
    dialled: BTreeMap<(Side, u64), String>,
    /// By connection: who dialled it, and with which number.
    answered: BTreeMap<u64, (Side, u64)>,
    /// By connection and sender.
    data: BTreeMap<u64, BTreeMap<Side, Vec<&'a [u8]>>>,
}

impl<'a> Tunnel<'a> {
    fn take(&mut self, from: Side, packet: Packet<'a>) {
        match packet {
            Packet::Dial { address, random } => _ = self.dialled.insert((from, random), address),
            Packet::Answer { connection, random } => {
                _ = self.answered.insert(connection, (other(from), random));
            }
            Packet::Data { connection, bytes } => {
                self.data.entry(connection).or_default().entry(from).or_default().push(bytes);
            }
            Packet::Other => {}
        }
    }

    fn finish(mut self) -> Vec<TunnelledConnection> {
        let numbers: Vec<u64> = self.data.keys().copied().collect();
        let connection = |number| {
            let mut data = self.data.remove(&number).unwrap_or_default();
            let dialled = self.answered.get(&number);
            // Where no answer was captured, the tunnel's client is taken for the one that asked.
            let by = dialled.map_or(Side::Client, |(by, _)| *by);
            let mut of = |side| data.remove(&side).unwrap_or_default().concat();
            TunnelledConnection {
                address: dialled.and_then(|key| self.dialled.get(key)).cloned().unwrap_or_default(),
                dialled_by: dialled.map(|(by, _)| *by),
                client: of(by),
                server: of(other(by)),
            }
        };
        numbers.into_iter().map(connection).collect()
    }
}

fn other(side: Side) -> Side {
    match side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    }
}

/// The packets of one direction; none where a whole message is no packet.
fn packets(bytes: &[u8]) -> Option<Vec<Packet<'_>>> {
    let (mut cursor, mut found) = (Cursor(bytes), Vec::new());
    while cursor.0.len() >= PREFIX_BYTES {
        let compressed = cursor.byte()?;
        if compressed > 1 {
            return None;
        }
        // What ends early says nothing.
        let Some(message) = cursor.field(4) else { break };
        found.push(if compressed == 0 { packet(message)? } else { Packet::Other });
    }
    Some(found)
}

fn packet(message: &[u8]) -> Option<Packet<'_>> {
    let mut found = Packet::Other;
    for field in fields(message)? {
        let Field::Bytes(number, content) = field else { continue };
        let inner = fields(content)?;
        let text = |wanted| {
            let bytes = inner.iter().find_map(|field| field.bytes(wanted)).unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        let number_of = |wanted| inner.iter().find_map(|field| field.number(wanted)).unwrap_or_default();
        found = match number {
            DIAL_REQUEST => Packet::Dial { address: text(2), random: number_of(3) },
            DIAL_RESPONSE => Packet::Answer { connection: number_of(2), random: number_of(3) },
            DATA => Packet::Data {
                connection: number_of(1),
                bytes: inner.iter().find_map(|field| field.bytes(3)).unwrap_or_default(),
            },
            _ => Packet::Other,
        };
    }
    Some(found)
}

/// A field of a protobuf message, by its number.
enum Field<'a> {
    Number(u64, u64),
    Bytes(u64, &'a [u8]),
}

impl<'a> Field<'a> {
    fn number(&self, wanted: u64) -> Option<u64> {
        match self {
            Self::Number(number, value) if *number == wanted => Some(*value),
            _ => None,
        }
    }

    fn bytes(&self, wanted: u64) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(number, value) if *number == wanted => Some(value),
            _ => None,
        }
    }
}

/// Every field; none where these bytes are no message with fields of these two kinds.
fn fields(message: &[u8]) -> Option<Vec<Field<'_>>> {
    let (mut cursor, mut found) = (Cursor(message), Vec::new());
    while !cursor.0.is_empty() {
        let key = varint(&mut cursor)?;
        let number = key >> 3;
        found.push(match key & 7 {
            VARINT => Field::Number(number, varint(&mut cursor)?),
            BYTES => {
                let length = usize::try_from(varint(&mut cursor)?).ok()?;
                Field::Bytes(number, cursor.take(length)?)
            }
            _ => return None,
        });
    }
    Some(found)
}

fn varint(cursor: &mut Cursor<'_>) -> Option<u64> {
    let mut value = 0_u64;
    for place in 0..MAX_VARINT_BYTES {
        let byte = cursor.byte()?;
        value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(place * 7).ok()?)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
