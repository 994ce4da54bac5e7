//! One component's options while its configuration is put together: given, assumed or defaulted, with their origins.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::catalogue;
use crate::datum::{Datum, parse};
use crate::defaults::Row;
use crate::gathered::{Gathered, Given, Origin};
use crate::model::{Component, Defaulted, FileName, FilePair, Provenance, Setting};

/// The options of one component. Every value that is read is written into the provenance.
pub(crate) struct Sheet<'a> {
    pub component: Component,
    pub gathered: &'a mut Gathered,
    pub provenance: &'a mut Provenance,
    defaults: Vec<Row>,
}

impl<'a> Sheet<'a> {
    pub fn new(
        component: Component,
        read: (&'a mut Gathered, &'a mut Provenance),
        defaults: Vec<Row>,
    ) -> Self {
        Self { component, gathered: read.0, provenance: read.1, defaults }
    }

    /// The option as it was given: the strongest origin, the last occurrence; lists of that origin joined.
    pub fn given(&self, flag: &str) -> Option<Given> {
        let all =
            || self.gathered.given.iter().filter(|g| g.component == self.component && g.known.name == flag);
        let last = all().max_by_key(|g| g.origin)?.clone();
        let mut joined: Option<Given> = None;
        for given in all().filter(|g| g.origin == last.origin) {
            joined = Some(match (joined, &given.datum) {
                (Some(mut before), Datum::List(more)) => {
                    if let Datum::List(items) = &mut before.datum {
                        items.extend(more.iter().cloned());
                        before.text = format!("{},{}", before.text, given.text);
                    } else {
                        before = given.clone();
                    }
                    before
                }
                _ => given.clone(),
            });
        }
        joined
    }

    /// The value: given, else Kubernetes' default, else nothing.
    fn datum(&mut self, flag: &'static str) -> Option<Datum> {
        if let Some(given) = self.given(flag) {
            let datum = given.datum.clone();
            self.record(given);
            return (datum != Datum::Unset).then_some(datum);
        }
        let row = self.defaults.iter().find(|row| row.flag == flag)?.clone();
        self.default(&format!("--{flag}"), row.text, row.source);
        let kind = catalogue::flag(self.component, flag).map_or(catalogue::Kind::Int, |known| known.kind);
        parse(kind, row.text).ok()
    }

    fn record(&mut self, given: Given) {
        if given.origin == Origin::Assumed {
            return self.default(&given.key, &given.text, "kubeadm init");
        }
        self.provenance.settings.push(Setting {
            component: given.component,
            key: given.key,
            value: given.text,
            file: given.place.file,
            line: given.place.line,
        });
    }

    /// Notes a value that Kubernetes or its installer chose.
    pub fn default(&mut self, key: &str, value: &str, source: &str) {
        self.provenance.defaulted.push(Defaulted {
            component: self.component,
            key: key.to_owned(),
            value: value.to_owned(),
            source: source.to_owned(),
        });
    }

    pub fn switch(&mut self, flag: &'static str) -> bool {
        matches!(self.datum(flag), Some(Datum::Bool(true)))
    }

    pub fn number(&mut self, flag: &'static str) -> Option<i64> {
        match self.datum(flag) {
            Some(Datum::Int(n)) => Some(n),
            _ => None,
        }
    }

    /// A port; 0 is none.
    pub fn port(&mut self, flag: &'static str) -> Option<u16> {
        self.number(flag).and_then(|n| u16::try_from(n).ok()).filter(|port| *port != 0)
    }

    /// A port that must be there.
    pub fn open_port(&mut self, flag: &'static str) -> u16 {
        if let Some(port) = self.port(flag) {
            return port;
        }
        if let Some(given) = self.given(flag) {
            self.gathered.fail(
                &given.place,
                &given.key,
                "0 turns off a port that must be open",
                "1 to 65535",
            );
        }
        1
    }

    pub fn seconds(&mut self, flag: &'static str) -> Option<u64> {
        match self.datum(flag) {
            Some(Datum::Seconds(s)) => Some(s),
            _ => None,
        }
    }

    pub fn text(&mut self, flag: &'static str) -> Option<String> {
        match self.datum(flag) {
            Some(Datum::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub fn file(&mut self, flag: &'static str) -> Option<FileName> {
        self.text(flag).map(FileName::new)
    }

    pub fn list(&mut self, flag: &'static str) -> Vec<String> {
        match self.datum(flag) {
            Some(Datum::List(items)) => items,
            _ => Vec::new(),
        }
    }

    /// The first and the last port of a range.
    pub fn port_range(&mut self, flag: &'static str) -> Option<(u16, u16)> {
        match self.datum(flag) {
            Some(Datum::Ports(first, last)) => Some((first, last)),
            _ => None,
        }
    }

    pub fn ip(&mut self, flag: &'static str) -> Option<IpAddr> {
        match self.datum(flag) {
            Some(Datum::Ip(ip)) => Some(ip),
            _ => None,
        }
    }

    pub fn ips(&mut self, flag: &'static str) -> Vec<IpAddr> {
        match self.datum(flag) {
            Some(Datum::Ips(ips)) => ips,
            _ => Vec::new(),
        }
    }

    /// The first of the ranges.
    pub fn net(&mut self, flag: &'static str) -> Option<IpNet> {
        match self.datum(flag) {
            Some(Datum::Nets(nets)) => nets.first().copied(),
            _ => None,
        }
    }

    pub fn socket(&mut self, flag: &'static str, port: u16) -> Option<std::net::SocketAddr> {
        match self.datum(flag) {
            Some(Datum::Socket(ip, given)) => {
                let any = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
                Some(std::net::SocketAddr::new(ip.unwrap_or(any), given.unwrap_or(port)))
                    .filter(|s| s.port() != 0)
            }
            _ => None,
        }
    }

    /// A certificate and its key: both or neither.
    pub fn pair(&mut self, cert: &'static str, key: &'static str) -> Option<FilePair> {
        match (self.file(cert), self.file(key)) {
            (Some(cert), Some(key)) => Some(FilePair { cert, key }),
            (None, None) => None,
            (has_cert, _) => {
                let (there, missing) = if has_cert.is_some() { (cert, key) } else { (key, cert) };
                if let Some(given) = self.given(there) {
                    let accepted = format!("both --{cert} and --{key}, or neither");
                    self.gathered.fail(
                        &given.place,
                        &given.key,
                        format!("is given without --{missing}"),
                        accepted,
                    );
                }
                None
            }
        }
    }

    /// The value of a feature gate, if it is given: by the strongest origin, the last occurrence.
    pub fn gate(&self, name: &str) -> Option<bool> {
        let mut maps: Vec<&Given> = self
            .gathered
            .given
            .iter()
            .filter(|g| g.component == self.component && g.known.name == "feature-gates")
            .collect();
        maps.sort_by_key(|g| g.origin);
        let gates = maps.iter().filter_map(|g| match &g.datum {
            Datum::List(gates) => Some(gates),
            _ => None,
        });
        let mut pairs = gates.flatten().filter_map(|gate| gate.split_once('='));
        pairs
            .rfind(|(gate, _)| *gate == name)
            .map(|(_, value)| matches!(value, "true" | "True" | "TRUE" | "t" | "T" | "1"))
    }
}
