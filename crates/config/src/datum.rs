//! The text of an option, parsed once into the shape that the option has.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::catalogue::Kind;
use crate::suggest::closest;

/// A parsed value. `Unset` is the empty text, which Kubernetes reads as "not given" for everything but numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Datum {
    Unset,
    Bool(bool),
    Int(i64),
    Seconds(u64),
    Text(String),
    List(Vec<String>),
    Ip(IpAddr),
    Ips(Vec<IpAddr>),
    Nets(Vec<IpNet>),
    Socket(Option<IpAddr>, Option<u16>),
    Ports(u16, u16),
}

/// What is wrong with a text, and what would be right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Misfit {
    pub problem: String,
    pub accepted: String,
}

pub(crate) fn misfit(problem: impl Into<String>, accepted: impl Into<String>) -> Misfit {
    Misfit { problem: problem.into(), accepted: accepted.into() }
}

/// Parses as pflag and the component's own validation do.
pub(crate) fn parse(kind: Kind, text: &str) -> Result<Datum, Misfit> {
    let wrong = |what: &str, accepted: &str| Err(misfit(format!("{text:?} is not {what}"), accepted));
    if text.is_empty() && !matches!(kind, Kind::Bool | Kind::Int | Kind::Port | Kind::Float | Kind::Duration)
    {
        return Ok(Datum::Unset);
    }
    match kind {
        Kind::Bool => boolean(text).map_or_else(|| wrong("a boolean", "true, false"), |b| Ok(Datum::Bool(b))),
        Kind::Int => {
            integer(text).map_or_else(|| wrong("a whole number", "a whole number"), |n| Ok(Datum::Int(n)))
        }
        Kind::Port => match integer(text) {
            Some(n) if (0..=65535).contains(&n) => Ok(Datum::Int(n)),
            _ => wrong("a port", "0 to 65535"),
        },
        Kind::Float => match text.parse::<f64>() {
            Ok(n) if n.is_finite() => Ok(Datum::Text(text.to_owned())),
            _ => wrong("a number", "a number"),
        },
        Kind::Duration => seconds(text).map_or_else(
            || wrong("a duration", "a duration such as 30s, 5m or 1h30m"),
            |s| Ok(Datum::Seconds(s)),
        ),
        Kind::Text | Kind::File | Kind::Any => Ok(Datum::Text(text.to_owned())),
        Kind::Ip => {
            text.parse().map_or_else(|_| wrong("an IP address", "an IP address"), |ip| Ok(Datum::Ip(ip)))
        }
        Kind::Ips => every(text, |part| part.parse::<IpAddr>().ok(), "an IP address").map(Datum::Ips),
        Kind::Nets => every(text, |part| part.parse::<IpNet>().ok().map(|n| n.trunc()), "a range")
            .map(Datum::Nets)
            .map_err(|m| misfit(m.problem, "CIDR notation, such as 10.96.0.0/12")),
        Kind::Ports => ports(text).map_or_else(
            || wrong("a range of ports", "first-last, such as 30000-32767"),
            |(first, last)| Ok(Datum::Ports(first, last)),
        ),
        Kind::Taints => match parts(text).iter().find(|part| taint(part).is_none()) {
            Some(part) => Err(misfit(
                format!("{part:?} is not a taint"),
                "key=value:Effect or key:Effect, with NoSchedule, PreferNoSchedule or NoExecute",
            )),
            None => Ok(Datum::List(parts(text))),
        },
        Kind::Socket => socket(text)
            .map_or_else(|| wrong("an address with a port", "address:port, such as 127.0.0.1:10249"), Ok),
        Kind::List => Ok(Datum::List(parts(text))),
        Kind::Array => Ok(Datum::List(vec![text.to_owned()])),
        Kind::One(accepted) => one(text, accepted).map(Datum::Text),
        Kind::Many(accepted) => {
            parts(text).iter().map(|part| one(part, accepted)).collect::<Result<Vec<_>, _>>().map(Datum::List)
        }
        Kind::Map => match parts(text).iter().find(|part| !part.contains('=')) {
            Some(part) => Err(misfit(format!("{part:?} is not key=value"), "key=value, separated by commas")),
            None => Ok(Datum::List(parts(text))),
        },
    }
}

/// A value that must be one of a closed set, with a hint for near misses.
pub(crate) fn one(text: &str, accepted: &'static [&'static str]) -> Result<String, Misfit> {
    if accepted.contains(&text) {
        return Ok(text.to_owned());
    }
    let hint = closest(text, accepted.iter().copied())
        .map_or(String::new(), |name| format!(" (did you mean {name}?)"));
    Err(misfit(format!("{text:?} is not one of its values{hint}"), accepted.join(", ")))
}

fn parts(text: &str) -> Vec<String> {
    text.split(',')
        .map(|part| part.trim().trim_matches('"').to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

fn every<T>(text: &str, parse: impl Fn(&str) -> Option<T>, what: &str) -> Result<Vec<T>, Misfit> {
    parts(text)
        .iter()
        .map(|part| {
            parse(part).ok_or_else(|| {
                misfit(format!("{part:?} is not {what}"), format!("{what}, separated by commas"))
            })
        })
        .collect()
}

/// The first and the last port of a range (`apimachinery/pkg/util/net/port_range.go`): `first-last`,
/// `first+more`, or one port alone. All of it empty or 0 means the default.
fn ports(text: &str) -> Option<(u16, u16)> {
    let text = text.trim();
    let (first, last) = match (text.split_once('-'), text.split_once('+')) {
        (Some((first, last)), _) => (first.parse().ok()?, last.parse().ok()?),
        (None, Some((first, more))) => {
            let first: u16 = first.parse().ok()?;
            (first, first.checked_add(more.parse().ok()?)?)
        }
        (None, None) => (text.parse().ok()?, text.parse().ok()?),
    };
    (first <= last).then_some((first, last))
}

/// Key, value and effect of a taint (`pkg/util/taints/taints.go`).
pub(crate) fn taint(text: &str) -> Option<(&str, &str, &str)> {
    const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    let (pair, effect) = text.rsplit_once(':')?;
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    (!key.is_empty() && EFFECTS.contains(&effect)).then_some((key, value, effect))
}

/// As Go's `strconv.ParseBool`.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn integer(text: &str) -> Option<i64> {
    text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| i64::from_str_radix(hex, 16).ok())
}

/// A Go duration in whole seconds, rounded up; negative durations are none.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, factor) =
            [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)]
                .into_iter()
                .filter(|(unit, _)| rest.starts_with(unit))
                .max_by_key(|(unit, _)| unit.len())?;
        total += number * factor;
        rest = &rest[unit.len()..];
    }
    (!text.is_empty() && total < 1e12).then_some(total.ceil() as u64)
}

fn socket(text: &str) -> Option<Datum> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(Datum::Socket(Some(ip), None));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse::<u16>().ok()?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let ip = if host.is_empty() { None } else { Some(host.parse().ok()?) };
    Some(Datum::Socket(ip, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read_in_seconds() {
        for (text, expected) in [
            ("1h30m", Some(5400)),
            ("8760h0m0s", Some(31_536_000)),
            ("500ms", Some(1)),
            ("0", Some(0)),
            ("5", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text:?}");
        }
    }

    #[test]
    fn values_of_the_wrong_shape_are_refused_with_what_is_accepted() {
        for (kind, text, accepted) in [
            (Kind::Bool, "yes", "true, false"),
            (Kind::Port, "65536", "0 to 65535"),
            (Kind::Nets, "10.0.0.0/33", "CIDR notation, such as 10.96.0.0/12"),
            (Kind::Ip, "10.0.0", "an IP address"),
            (Kind::Duration, "5 minutes", "a duration such as 30s, 5m or 1h30m"),
            (Kind::Map, "a", "key=value, separated by commas"),
            (Kind::Ports, "32767-30000", "first-last, such as 30000-32767"),
            (
                Kind::Taints,
                "a=b",
                "key=value:Effect or key:Effect, with NoSchedule, PreferNoSchedule or NoExecute",
            ),
            (Kind::Socket, "host:1", "address:port, such as 127.0.0.1:10249"),
        ] {
            assert_eq!(parse(kind, text).map_err(|m| m.accepted), Err(accepted.to_owned()), "{text}");
        }
    }
}
