//! The event trace: one JSON object a line.

use crate::PacketRecord;
use ravelin_host::Field;
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};
use std::time::Duration;

/// What happened, one JSON object a line (`at_us`, `kind`, then what the kind has).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trace {
    lines: String,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({} lines)", self.iter().count())
    }
}

impl Trace {
    /// The lines, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &str> + '_ {
        self.lines.lines()
    }

    /// All lines, each ended by a newline.
    pub fn as_str(&self) -> &str {
        &self.lines
    }

    /// The SHA-256 of all lines, in hex.
    pub fn sha256(&self) -> String {
        hex(&Sha256::digest(self.lines.as_bytes()))
    }

    /// Writes an event of a machine, or of the harness where `machine` is `None`.
    pub(crate) fn event(&mut self, at: Duration, event: &Event<'_>) {
        let _ = write!(self.lines, "{{\"at_us\":{},\"kind\":", at.as_micros());
        self.text(event.kind);
        if let Some(machine) = event.machine {
            self.lines.push_str(",\"machine\":");
            self.text(machine);
        }
        for (name, value) in event.fields {
            self.lines.push(',');
            // Field names never replace the three that every line has.
            match *name {
                "at_us" | "kind" | "machine" => self.text(&format!("{name}_")),
                _ => self.text(name),
            }
            self.lines.push(':');
            self.text(value);
        }
        self.lines.push_str("}\n");
    }

    pub(crate) fn packet(&mut self, packet: &PacketRecord) {
        let _ = write!(
            self.lines,
            "{{\"at_us\":{},\"kind\":\"packet\",\"segment\":\"{}\",\"from\":\"{}\",\"to\":\"{}\",\
             \"flags\":\"{}\",\"seq\":{},\"ack\":{},\"len\":{}",
            packet.at.as_micros(),
            packet.segment,
            packet.source,
            packet.destination,
            packet.flags,
            packet.seq,
            packet.ack,
            packet.payload_len,
        );
        if packet.payload_len > 0 {
            let digest = Sha256::digest(&packet.payload);
            let _ = write!(self.lines, ",\"sha\":\"{}\"", hex(&digest[..8]));
        }
        self.lines.push_str("}\n");
    }

    fn text(&mut self, text: &str) {
        let quoted = serde_json::to_string(text).expect("a string is JSON");
        self.lines.push_str(&quoted);
    }
}

/// One line that is no packet.
pub(crate) struct Event<'a> {
    pub(crate) kind: &'a str,
    pub(crate) machine: Option<&'a str>,
    pub(crate) fields: &'a [Field],
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
