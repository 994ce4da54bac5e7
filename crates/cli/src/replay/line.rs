//! One event of a trace as one line for people.

use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The machines' names, as the trace has them.
#[derive(Default)]
pub(super) struct Names(BTreeMap<IpAddr, String>);

impl Names {
    /// Reads an event of the kind `machine`.
    pub(super) fn add(&mut self, event: &Value) {
        let address = event["address"].as_str().and_then(|address| address.parse().ok());
        if let (Some(address), Some(name)) = (address, event["name"].as_str()) {
            self.0.insert(address, name.to_owned());
        }
    }

    /// A machine and port by name where the address is known.
    fn of(&self, address: &str) -> String {
        if let Ok(socket) = address.parse::<SocketAddr>() {
            let name = self.0.get(&socket.ip());
            return name.map_or_else(|| address.to_owned(), |name| format!("{name}:{}", socket.port()));
        }
        let name = address.parse().ok().and_then(|ip: IpAddr| self.0.get(&ip));
        name.map_or_else(|| address.to_owned(), Clone::clone)
    }
}

/// When, in seconds since the simulation's start, to the microsecond.
pub(super) fn time(event: &Value) -> Option<String> {
    let at = event["at_us"].as_u64()?;
    Some(format!("{}.{:06} s", at / 1_000_000, at % 1_000_000))
}

/// The line of an event.
pub(super) fn said(event: &Value, names: &Names) -> String {
    let kind = event["kind"].as_str().unwrap_or_default();
    let text = match kind {
        "packet" => packet(event, names),
        "diverted" => format!("{}: the attacker answers in the server's place", flow(event, names)),
        "tls.handshake" => handshake(event, names),
        "attacker" | "caller" | "evidence" => told(event),
        "verdict" => verdict(event),
        _ => fields(event, names),
    };
    let time = time(event).unwrap_or_default();
    format!("{time:>16}  {kind:<21} {text}")
}

fn text<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap_or_default()
}

fn flow(event: &Value, names: &Names) -> String {
    format!("{} > {}", names.of(text(event, "from")), names.of(text(event, "to")))
}

fn packet(event: &Value, names: &Names) -> String {
    let number = |name: &str| event[name].as_u64().unwrap_or_default();
    let length = number("len");
    let payload = match (length, text(event, "sha")) {
        (0, _) => String::new(),
        (length, sha) => format!("  {length} bytes, sha {sha}"),
    };
    format!(
        "{:<7} {}  [{}] seq {} ack {}{payload}",
        text(event, "segment"),
        flow(event, names),
        text(event, "flags"),
        number("seq"),
        number("ack"),
    )
}

fn handshake(event: &Value, names: &Names) -> String {
    let certificate = match text(event, "peer_certificate") {
        "" => String::new(),
        certificate => format!(", who showed certificate {}", certificate.get(..16).unwrap_or(certificate)),
    };
    format!(
        "{} as {} with {}{certificate}: {}",
        text(event, "machine"),
        text(event, "role"),
        names.of(text(event, "peer")),
        text(event, "result"),
    )
}

/// What the attacker did, or what was seen of it.
fn told(event: &Value) -> String {
    let about = match (text(event, "broken"), text(event, "refused_by")) {
        ("", "") => String::new(),
        ("", by) => format!("refused by {by}: "),
        (broken, _) => format!("{broken} BROKEN: "),
    };
    let flow = match text(event, "flow") {
        "" => String::new(),
        flow => format!("{flow}: "),
    };
    let segment = match text(event, "segment") {
        "" => String::new(),
        segment => format!("  ({segment})"),
    };
    format!("{}: {flow}{about}{}{segment}", text(event, "tactic"), text(event, "text"))
}

fn verdict(event: &Value) -> String {
    let states = event["states"].as_object().into_iter().flatten();
    let states = states.map(|(property, state)| format!("{property} {}", state.as_str().unwrap_or_default()));
    let states = states.collect::<Vec<_>>().join(", ");
    format!("{}/{}@{}: {states}", text(event, "path"), text(event, "attacker"), text(event, "egress"))
}

/// Whatever an event has, as it has it.
fn fields(event: &Value, names: &Names) -> String {
    let mut said = vec![text(event, "machine").to_owned()];
    for (name, value) in event.as_object().into_iter().flatten() {
        if matches!(name.as_str(), "at_us" | "kind" | "machine") {
            continue;
        }
        let value = value.as_str().map_or_else(|| value.to_string(), |value| names.of(value));
        if !value.is_empty() {
            said.push(format!("{name}={value}"));
        }
    }
    said.retain(|word| !word.is_empty());
    said.join(" ")
}
