//! Every packet of a simulation, and what is needed to read them. Kept only where it was asked for,
//! and no part of the report: it holds the sessions' secrets.

use bytes::Bytes;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The packets of one simulation.
#[derive(Clone, PartialEq, Eq)]
pub struct Capture {
    /// Whose simulation: the attacker's name.
    pub simulation: String,
    /// The simulated wall clock at its start, in nanoseconds since 1970.
    pub began_unix_ns: u64,
    /// Machines and pods by address.
    pub names: Vec<(IpAddr, String)>,
    /// The segments; packets name theirs by its number here.
    pub segments: Vec<String>,
    /// In the order in which they were sent.
    pub packets: Vec<CapturedPacket>,
    /// The secrets of all TLS sessions, as lines of a key log (`CLIENT_RANDOM` format of NSS).
    pub secrets: Vec<String>,
}

/// One packet as its sender put it on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedPacket {
    /// Simulated time since the simulation's start.
    pub at: Duration,
    /// The number of its segment.
    pub segment: usize,
    /// Whom it says it is from.
    pub source: SocketAddr,
    /// Whom it says it is for.
    pub destination: SocketAddr,
    /// The low byte of TCP's flags (RFC 9293 section 3.1).
    pub flags: u8,
    /// Its sequence number.
    pub seq: u32,
    /// What it acknowledges.
    pub ack: u32,
    /// The bytes that its sender would take.
    pub window: u16,
    /// What it carries.
    pub payload: Bytes,
    /// What nobody sees who only looks at the packet, such as that it was forged.
    pub note: Option<&'static str>,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Capture({}, {} packets)", self.simulation, self.packets.len())
    }
}
