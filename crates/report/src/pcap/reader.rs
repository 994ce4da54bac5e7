//! A reader of pcapng that shares nothing with the writer: it follows the draft, and panics where a
//! file does not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a file holds.
#[derive(Debug, Default)]
pub struct Read {
    pub section_options: Vec<(u16, Vec<u8>)>,
    /// The names of the interfaces, and whether they have comments.
    pub interfaces: Vec<(String, bool)>,
    pub names: Vec<(IpAddr, String)>,
    /// The key log, and how many packets came before it.
    pub secrets: Vec<(usize, String)>,
    pub packets: Vec<Packet>,
}

/// A packet, with its checksums verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub interface: u32,
    pub at_ns: u64,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub payload: Vec<u8>,
    pub comments: Vec<String>,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text is UTF-8")
}

/// Reads a whole file.
pub fn read(file: &[u8]) -> Read {
    let (mut read, mut rest) = (Read::default(), file);
    let mut first = true;
    while !rest.is_empty() {
        let length = u32_at(rest, 4) as usize;
        assert!(
            length.is_multiple_of(4) && length >= 12 && length <= rest.len(),
            "a block of {length} bytes"
        );
        assert_eq!(u32_at(rest, length - 4) as usize, length, "both lengths agree");
        let (kind, body) = (u32_at(rest, 0), &rest[8..length - 4]);
        assert_eq!(kind == 0x0a0d_0d0a, first, "one section, which begins the file");
        first = false;
        block(&mut read, kind, body);
        rest = &rest[length..];
    }
    read
}

fn block(read: &mut Read, kind: u32, body: &[u8]) {
    match kind {
        0x0a0d_0d0a => {
            assert_eq!((u32_at(body, 0), u16_at(body, 4), u16_at(body, 6)), (0x1a2b_3c4d, 1, 0));
            read.section_options = options(&body[16..]);
        }
        1 => {
            assert_eq!((u16_at(body, 0), u32_at(body, 4)), (101, 0), "raw IP, cut nowhere");
            let options = options(&body[8..]);
            let resolution = options.iter().find(|(code, _)| *code == 9).expect("a time resolution");
            assert_eq!(resolution.1, [9], "nanoseconds");
            let name = options.iter().find(|(code, _)| *code == 2).expect("a name");
            read.interfaces.push((text(&name.1), options.iter().any(|(code, _)| *code == 1)));
        }
        4 => read.names = names(body),
        6 => read.packets.push(packet(body)),
        10 => {
            assert_eq!(u32_at(body, 0), 0x544c_534b, "TLS");
            let log = text(&body[8..8 + u32_at(body, 4) as usize]);
            read.secrets.push((read.packets.len(), log));
        }
        other => panic!("a block of the unknown type {other}"),
    }
}

fn options(mut rest: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut options = Vec::new();
    while !rest.is_empty() {
        let (code, length) = (u16_at(rest, 0), u16_at(rest, 2) as usize);
        if code == 0 {
            assert_eq!((length, rest.len()), (0, 4), "the end of options is the last");
            return options;
        }
        options.push((code, rest[4..4 + length].to_vec()));
        rest = &rest[4 + length.next_multiple_of(4)..];
        assert!(!rest.is_empty(), "options have an end");
    }
    options
}

fn names(mut rest: &[u8]) -> Vec<(IpAddr, String)> {
    let mut names = Vec::new();
    loop {
        let (kind, length) = (u16_at(rest, 0), u16_at(rest, 2) as usize);
        if kind == 0 {
            assert_eq!((length, rest.len()), (0, 4));
            return names;
        }
        let record = &rest[4..4 + length];
        let (address, name) = match kind {
            1 => (Ipv4Addr::from(<[u8; 4]>::try_from(&record[..4]).unwrap()).into(), &record[4..]),
            2 => (Ipv6Addr::from(<[u8; 16]>::try_from(&record[..16]).unwrap()).into(), &record[16..]),
            other => panic!("a name of the unknown type {other}"),
        };
        let (zero, name) = name.split_last().expect("names end");
        assert!(*zero == 0 && !name.contains(&0));
        names.push((address, text(name)));
        rest = &rest[4 + length.next_multiple_of(4)..];
    }
}

fn packet(body: &[u8]) -> Packet {
    let at_ns = u64::from(u32_at(body, 4)) << 32 | u64::from(u32_at(body, 8));
    let length = u32_at(body, 12) as usize;
    assert_eq!(length, u32_at(body, 16) as usize, "nothing was cut");
    let options = options(&body[20 + length.next_multiple_of(4)..]);
    let comments = options.iter().filter(|(code, _)| *code == 1).map(|(_, comment)| text(comment));
    let ip = &body[20..20 + length];
    let word = |at: usize| u16::from_be_bytes([ip[at], ip[at + 1]]);
    let (source, destination, header, pseudo): (IpAddr, IpAddr, usize, &[u8]) = match ip[0] >> 4 {
        4 => {
            assert_eq!((ip[0], word(2) as usize, ip[9]), (0x45, length, 6));
            assert_eq!(sum(&ip[..20]), 0xffff, "the header's checksum");
            let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]).into();
            (address(12), address(16), 20, &ip[12..20])
        }
        6 => {
            assert_eq!((word(4) as usize + 40, ip[6]), (length, 6));
            let address = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&ip[at..at + 16]).unwrap()).into();
            (address(8), address(24), 40, &ip[8..40])
        }
        other => panic!("IP version {other}"),
    };
    let tcp = &ip[header..];
    let added = u32::from(sum(pseudo)) + 6 + tcp.len() as u32 + u32::from(sum(tcp));
    assert_eq!((added & 0xffff) + (added >> 16), 0xffff, "the segment's checksum");
    assert_eq!(tcp[12], 5 << 4, "no options");
    let number = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
    Packet {
        interface: u32_at(body, 0),
        at_ns,
        source: SocketAddr::new(source, word(header)),
        destination: SocketAddr::new(destination, word(header + 2)),
        seq: number(4),
        ack: number(8),
        flags: tcp[13],
        window: word(header + 14),
        payload: tcp[20..].to_vec(),
        comments: comments.collect(),
    }
}

/// The ones' complement sum of 16-bit words.
fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
