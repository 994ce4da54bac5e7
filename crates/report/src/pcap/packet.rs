//! Captured packets with real headers: IPv4 (RFC 791) or IPv6 (RFC 8200), and TCP (RFC 9293).

use super::block::{self, Options};
use ravelin_assess::model::CapturedPacket;
use std::net::IpAddr;

/// The longest payload with which a packet's length fits into 16 bits.
const MAX_PAYLOAD: usize = 65_535 - 20 - 20;
const TTL: u8 = 64;
const TCP: u8 = 6;
/// Flags that belong to the last part of a segment only.
const FIN: u8 = 1;
const PSH: u8 = 8;

/// Where and when a packet was captured, and what is to be said about it.
pub struct Frame<'a> {
    pub interface: u32,
    pub began_unix_ns: u64,
    pub moved_by: u32,
    pub comments: &'a [String],
}

/// Appends the packet's block; more than one where its payload is too long for one packet.
pub fn write(file: &mut Vec<u8>, packet: &CapturedPacket, frame: &Frame<'_>) {
    let since = u64::try_from(packet.at.as_nanos()).unwrap_or(u64::MAX);
    let at_ns = frame.began_unix_ns.saturating_add(since);
    let parts = packet.payload.len().div_ceil(MAX_PAYLOAD).max(1);
    for part in 0..parts {
        let first = part * MAX_PAYLOAD;
        let payload = &packet.payload[first..packet.payload.len().min(first + MAX_PAYLOAD)];
        let last = part + 1 == parts;
        let mut options = Options::default();
        if last {
            for comment in packet.note.into_iter().chain(frame.comments.iter().map(String::as_str)) {
                options.text(block::COMMENT, comment);
            }
        }
        let flags = if last { packet.flags } else { packet.flags & !(FIN | PSH) };
        let bytes = ip(packet, &tcp(packet, frame.moved_by, (first as u32, payload), flags));
        block::packet((frame.interface, at_ns), &bytes, &options).write(file);
    }
}

/// The TCP segment, without its checksum.
fn tcp(packet: &CapturedPacket, moved_by: u32, (first, payload): (u32, &[u8]), flags: u8) -> Vec<u8> {
    const ACK: u8 = 16;
    const RST: u8 = 4;
    // A reset that answers a segment without acknowledgement has the number 0 (RFC 9293 section 3.10.7).
    let fixed = packet.seq == 0 && flags & RST != 0;
    let seq = if fixed { 0 } else { packet.seq.wrapping_add(moved_by).wrapping_add(first) };
    let ack = if flags & ACK != 0 { packet.ack.wrapping_add(moved_by) } else { 0 };
    let mut segment = Vec::with_capacity(20 + payload.len());
    segment.extend(packet.source.port().to_be_bytes());
    segment.extend(packet.destination.port().to_be_bytes());
    segment.extend(seq.to_be_bytes());
    segment.extend(ack.to_be_bytes());
    segment.extend([5 << 4, flags]);
    segment.extend(packet.window.to_be_bytes());
    segment.extend([0; 4]);
    segment.extend(payload);
    segment
}

/// The IP packet around a TCP segment, which gets its checksum.
fn ip(packet: &CapturedPacket, segment: &[u8]) -> Vec<u8> {
    let length = u16::try_from(segment.len()).expect("payloads are cut");
    let (mut bytes, mut pseudo) = (Vec::with_capacity(40 + segment.len()), Vec::new());
    match (packet.source.ip(), packet.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            bytes.extend([4 << 4 | 5, 0]);
            bytes.extend((length + 20).to_be_bytes());
            // No identification; do not fragment.
            bytes.extend([0, 0, 0x40, 0, TTL, TCP, 0, 0]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            let sum = checksum(&[&bytes]);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            pseudo.extend(&bytes[12..20]);
        }
        (source, destination) => {
            bytes.extend([6 << 4, 0, 0, 0]);
            bytes.extend(length.to_be_bytes());
            bytes.extend([TCP, TTL]);
            bytes.extend(v6(source));
            bytes.extend(v6(destination));
            pseudo.extend(&bytes[8..40]);
        }
    }
    // The pseudo-header: its fields are as long as the checksum's words, in either version.
    pseudo.extend([0, TCP]);
    pseudo.extend(length.to_be_bytes());
    let sum = checksum(&[&pseudo, segment]);
    let at = bytes.len() + 16;
    bytes.extend(segment);
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The internet checksum (RFC 1071) over parts of which all but the last have even lengths.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u64 =
        words.map(|word| u64::from(word[0]) << 8 | word.get(1).map_or(0, |low| u64::from(*low))).sum();
    let mut sum = sum;
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}
