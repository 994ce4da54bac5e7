//! Which packet a piece of evidence belongs to.
//!
//! Evidence has a time and names a flow, in addresses or names. Its packet is the last one until
//! then that has the most of the ends that the flow names, one with data before one without.

use ravelin_assess::model::{Capture, CapturedPacket, Report, State};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// No packet is older than this when what it brought is noticed.
const OLDEST: Duration = Duration::from_secs(60);

/// What is to be said about which packet, by its number.
pub fn of(report: &Report, capture: &Capture) -> BTreeMap<usize, Vec<String>> {
    let mut comments: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for verdict in report.verdicts.iter().filter(|verdict| verdict.attacker == capture.simulation) {
        for (property, found) in &verdict.properties {
            let what = match found.state {
                State::Broken => "broken",
                State::Held => "held",
                _ => continue,
            };
            for evidence in &found.evidence {
                let ends = ends(capture, &evidence.flow);
                let Some(packet) = packet(capture, evidence.at_ms, &ends) else { continue };
                let (tactic, text, name) = (&evidence.tactic, &evidence.text, verdict.name());
                let against = if found.state == State::Broken { "by" } else { "against" };
                let line = format!("evidence: {property} {what} {against} {tactic}: {text} ({name})");
                let lines = comments.entry(packet).or_default();
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
        }
    }
    comments
}

/// One end of a flow, as far as it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    ip: IpAddr,
    port: Option<u16>,
}

impl End {
    fn is(self, address: SocketAddr) -> bool {
        self.ip == address.ip() && self.port.is_none_or(|port| port == address.port())
    }
}

/// The ends that a flow's name has: addresses or machines' names, with ports or without.
fn ends(capture: &Capture, flow: &str) -> Vec<End> {
    let words = flow.split(|c: char| c.is_whitespace() || "(),;".contains(c));
    words.filter_map(|word| end(capture, word)).collect()
}

fn end(capture: &Capture, word: &str) -> Option<End> {
    if let Ok(address) = word.parse::<SocketAddr>() {
        return Some(End { ip: address.ip(), port: Some(address.port()) });
    }
    if let Ok(ip) = word.parse() {
        return Some(End { ip, port: None });
    }
    let (name, port) = match word.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (word, None),
    };
    let found = capture.names.iter().find(|(_, known)| known == name);
    found.map(|(ip, _)| End { ip: *ip, port })
}

fn packet(capture: &Capture, at_ms: u64, ends: &[End]) -> Option<usize> {
    // Evidence has whole milliseconds: it arose before the next one.
    let at = Duration::from_millis(at_ms.saturating_add(1));
    let after = capture.packets.partition_point(|packet| packet.at < at);
    let recent = capture.packets[..after].iter().enumerate().rev();
    let recent = recent.take_while(|(_, packet)| packet.at + OLDEST >= at);
    let worth = |packet: &CapturedPacket| {
        let named = |end: &&End| end.is(packet.source) || end.is(packet.destination);
        (ends.iter().filter(named).count(), !packet.payload.is_empty())
    };
    let mut best: Option<((usize, bool), usize)> = None;
    for (number, packet) in recent {
        let worth = worth(packet);
        if worth.0 > 0 && best.is_none_or(|(known, _)| worth > known) {
            best = Some((worth, number));
        }
    }
    best.map(|(_, number)| number)
}
