//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng sections 3 and 4), little-endian.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// `opt_comment`, of any block.
pub const COMMENT: u16 = 1;
/// `shb_hardware`.
pub const HARDWARE: u16 = 2;
/// `shb_os`.
pub const SYSTEM: u16 = 3;
/// `shb_userappl`.
pub const APPLICATION: u16 = 4;
/// `if_name`.
pub const INTERFACE_NAME: u16 = 2;
/// `if_tsresol`.
pub const TIME_RESOLUTION: u16 = 9;
/// The value of `if_tsresol` for nanoseconds: a power of ten, negated.
pub const NANOSECONDS: u8 = 9;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const NAME_RESOLUTION: u32 = 4;
const ENHANCED_PACKET: u32 = 6;
const DECRYPTION_SECRETS: u32 = 10;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// The section's length is not given.
const LENGTH_UNKNOWN: u64 = u64::MAX;
/// `LINKTYPE_RAW`: packets begin with the IP header.
const RAW_IP: u16 = 101;
/// `nrb_record_ipv4` and `nrb_record_ipv6`.
const IPV4_NAME: u16 = 1;
const IPV6_NAME: u16 = 2;
/// `TLSK`: a key log in NSS's format.
const TLS_KEY_LOG: u32 = 0x544c_534b;

/// One block, without its length.
pub struct Block {
    kind: u32,
    body: Vec<u8>,
}

impl Block {
    fn new(kind: u32) -> Self {
        Self { kind, body: Vec::new() }
    }

    fn u16(mut self, value: u16) -> Self {
        self.body.extend(value.to_le_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.body.extend(value.to_le_bytes());
        self
    }

    fn padded(mut self, bytes: &[u8]) -> Self {
        pad(&mut self.body, bytes);
        self
    }

    fn options(mut self, options: &Options) -> Self {
        if !options.0.is_empty() {
            self.body.extend(&options.0);
            self.body.extend([0; 4]);
        }
        self
    }

    /// Appends it with its length at both ends.
    pub fn write(&self, file: &mut Vec<u8>) {
        let length = u32::try_from(self.body.len() + 12).expect("no block has four gigabytes");
        file.extend(self.kind.to_le_bytes());
        file.extend(length.to_le_bytes());
        file.extend(&self.body);
        file.extend(length.to_le_bytes());
    }
}

/// The options of a block.
#[derive(Default)]
pub struct Options(Vec<u8>);

impl Options {
    /// Adds text, cut where an option can hold no more.
    pub fn text(&mut self, code: u16, text: &str) {
        let mut end = text.len().min(usize::from(u16::MAX) - 3);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.bytes(code, &text.as_bytes()[..end]);
    }

    /// Adds bytes: 65,532 at most.
    pub fn bytes(&mut self, code: u16, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).expect("callers give no more than an option can hold");
        self.0.extend(code.to_le_bytes());
        self.0.extend(length.to_le_bytes());
        pad(&mut self.0, bytes);
    }
}

fn pad(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend(bytes);
    into.resize(into.len().next_multiple_of(4), 0);
}

/// The section header block.
pub fn section(options: &Options) -> Block {
    let mut block = Block::new(SECTION_HEADER).u32(BYTE_ORDER_MAGIC).u16(1).u16(0);
    block.body.extend(LENGTH_UNKNOWN.to_le_bytes());
    block.options(options)
}

/// The description of an interface of IP packets, cut nowhere.
pub fn interface(options: &Options) -> Block {
    Block::new(INTERFACE_DESCRIPTION).u16(RAW_IP).u16(0).u32(0).options(options)
}

/// A packet of an interface.
pub fn packet((interface, at_ns): (u32, u64), bytes: &[u8], options: &Options) -> Block {
    let length = u32::try_from(bytes.len()).expect("no IP packet is longer than 64 KiB");
    let (high, low) = ((at_ns >> 32) as u32, at_ns as u32);
    let block = Block::new(ENHANCED_PACKET).u32(interface).u32(high).u32(low);
    block.u32(length).u32(length).padded(bytes).options(options)
}

/// The secrets of TLS sessions, as the lines of a key log.
pub fn secrets(lines: &[String]) -> Block {
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    let length = u32::try_from(text.len()).expect("no key log has four gigabytes");
    Block::new(DECRYPTION_SECRETS).u32(TLS_KEY_LOG).u32(length).padded(text.as_bytes())
}

/// Names of addresses.
pub fn names(names: &BTreeMap<IpAddr, &str>) -> Block {
    let mut block = Block::new(NAME_RESOLUTION);
    for (address, name) in names {
        let (kind, mut record) = match address {
            IpAddr::V4(v4) => (IPV4_NAME, v4.octets().to_vec()),
            IpAddr::V6(v6) => (IPV6_NAME, v6.octets().to_vec()),
        };
        record.extend(name.bytes().filter(|byte| *byte != 0).take(MAX_NAME));
        record.push(0);
        let length = u16::try_from(record.len()).expect("names are cut");
        block = block.u16(kind).u16(length).padded(&record);
    }
    block.u16(0).u16(0)
}

/// The longest name of a machine, as in DNS.
const MAX_NAME: usize = 255;
