//! Which packet a piece of evidence belongs to.
//!
//! Evidence has a time and names a flow, in addresses or names, its client first. Its packet is the
//! last one until then that has the most of the ends that the flow names: one with data before one
//! without, and where a request or a response was broken, one that goes its way.

use ravelin_assess::model::{Capture, CapturedPacket, Property, Report, State};
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
                let mut named = Named::of(capture, &evidence.flow);
                named.way = if found.state == State::Broken { way(*property) } else { None };
                let Some(packet) = packet(capture, evidence.at_ms, &named) else { continue };
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

/// What a flow's name says: its ends, addresses or machines' names, with ports or without; and the
/// way that what is looked for went.
struct Named {
    client: Option<End>,
    others: Vec<End>,
    way: Option<Way>,
}

impl Named {
    fn of(capture: &Capture, flow: &str) -> Self {
        let ends = |text: &str| {
            let words = text.split(|c: char| c.is_whitespace() || "(),;".contains(c));
            words.filter_map(|word| end(capture, word)).collect::<Vec<_>>()
        };
        let (client, others) = flow.split_once(" > ").unwrap_or(("", flow));
        Self { client: ends(client).first().copied(), others: ends(others), way: None }
    }

    /// How many of the ends are this packet's.
    fn ends_of(&self, packet: &CapturedPacket) -> usize {
        let ends = self.client.iter().chain(&self.others);
        ends.filter(|end| end.is(packet.source) || end.is(packet.destination)).count()
    }

    /// Does it go the way?
    fn goes_its_way(&self, packet: &CapturedPacket) -> bool {
        let (from, to) = match self.way {
            Some(Way::FromClient) => (packet.source, packet.destination),
            Some(Way::ToClient) => (packet.destination, packet.source),
            None => return true,
        };
        match self.client {
            Some(client) => client.is(from),
            None => self.others.iter().any(|end| end.is(to)),
        }
    }
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

/// Does what breaks a property go from the client, or to it?
fn way(property: Property) -> Option<Way> {
    match property {
        Property::RequestSecret | Property::RequestAuthentic => Some(Way::FromClient),
        Property::ResponseSecret | Property::ResponseAuthentic => Some(Way::ToClient),
        Property::CredentialSafe | Property::AccessControlled => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    FromClient,
    ToClient,
}

fn packet(capture: &Capture, at_ms: u64, named: &Named) -> Option<usize> {
    // Evidence has whole milliseconds: it arose before the next one.
    let at = Duration::from_millis(at_ms.saturating_add(1));
    let after = capture.packets.partition_point(|packet| packet.at < at);
    let recent = capture.packets[..after].iter().enumerate().rev();
    let recent = recent.take_while(|(_, packet)| packet.at + OLDEST >= at);
    let worth = |packet: &CapturedPacket| {
        let data = !packet.payload.is_empty();
        (named.ends_of(packet), data && named.goes_its_way(packet), data)
    };
    let mut best: Option<((usize, bool, bool), usize)> = None;
    for (number, packet) in recent {
        let worth = worth(packet);
        if worth.0 > 0 && best.is_none_or(|(known, _)| worth > known) {
            best = Some((worth, number));
        }
    }
    best.map(|(_, number)| number)
}
