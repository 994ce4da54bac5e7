//! Packets as pcapng, the format of Wireshark (draft-ietf-opsawg-pcapng): with the names of the
//! machines, the secrets of the TLS sessions, and a comment where evidence arose. Wireshark needs
//! nothing else to show what was encrypted.
//!
//! All simulations are in one section, one after another, each with an interface for each segment.
//! They have the same addresses, and honest components begin each with the same connections: so that
//! a reader does not take two of them for one, the TCP numbers of every simulation but the first
//! are moved by a constant.

mod block;
mod comments;
mod packet;

#[cfg(test)]
mod reader;
#[cfg(test)]
mod tests;

use block::{Block, Options};
use ravelin_assess::model::{Capture, Report};
use std::collections::BTreeMap;

/// What the TCP numbers of each simulation are ahead of those of the one before.
const MOVED_BY: u32 = 0x3d09_0017;

/// All packets of a run as one file, with what the report found as comments.
pub fn pcapng(report: &Report, captures: &[Capture]) -> Vec<u8> {
    let mut file = Vec::new();
    section(report).write(&mut file);
    let mut names = BTreeMap::new();
    for capture in captures {
        names.extend(capture.names.iter().map(|(address, name)| (*address, name.as_str())));
    }
    block::names(&names).write(&mut file);
    let mut interfaces = 0;
    let mut moved_by = 0_u32;
    for capture in captures {
        for segment in &capture.segments {
            interface(capture, segment, moved_by).write(&mut file);
        }
        if !capture.secrets.is_empty() {
            block::secrets(&capture.secrets).write(&mut file);
        }
        let comments = comments::of(report, capture);
        for (number, captured) in capture.packets.iter().enumerate() {
            let comments = comments.get(&number).map(Vec::as_slice).unwrap_or_default();
            packet::write(
                &mut file,
                captured,
                &packet::Frame {
                    interface: interfaces + captured.segment as u32,
                    began_unix_ns: capture.began_unix_ns,
                    moved_by,
                    comments,
                },
            );
        }
        interfaces += capture.segments.len() as u32;
        moved_by = moved_by.wrapping_add(MOVED_BY);
    }
    file
}

/// The section header: what wrote the file, and how it is written again.
fn section(report: &Report) -> Block {
    let mut options = Options::default();
    options.text(block::COMMENT, &format!("seed {}, trace {}", report.seed, report.trace_sha256));
    options.text(block::HARDWARE, "simulated");
    options.text(block::SYSTEM, "simulated");
    options.text(block::APPLICATION, &format!("ravelin {}", report.commit));
    block::section(&options)
}

fn interface(capture: &Capture, segment: &str, moved_by: u32) -> Block {
    let mut options = Options::default();
    options.text(block::INTERFACE_NAME, &format!("{}/{segment}", capture.simulation));
    if moved_by != 0 {
        let text = format!("TCP sequence numbers here are {moved_by} ahead of the trace's");
        options.text(block::COMMENT, &text);
    }
    options.bytes(block::TIME_RESOLUTION, &[block::NANOSECONDS]);
    block::interface(&options)
}
