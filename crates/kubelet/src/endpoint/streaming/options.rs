//! What of an exec, an attach or a port-forward is wanted, as a kubelet is asked for it
//! (`remotecommand.NewOptions`, `portforward.NewV4Options`).

use super::super::answer::Answer;
use http::StatusCode;
use ravelin_api::Query;
use ravelin_transport::streams::RemoteOptions;

/// The most ports of one WebSocket: each has two channels, and a channel's number is a byte.
pub(super) const MAX_PORTS: usize = 128;

/// The options of an exec or an attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) tty: bool,
    pub(super) command: Vec<String>,
}

impl Options {
    /// Reads them. Only the value `1` counts.
    pub(super) fn read(query: &Query) -> Result<Self, Answer> {
        let is_set = |name: &str| query.first(name) == Some("1");
        let tty = is_set("tty");
        let command = query.iter().filter(|(name, _)| *name == "command");
        let options = Self {
            stdin: is_set("input"),
            stdout: is_set("output"),
            stderr: is_set("error") && !tty,
            tty,
            command: command.map(|(_, value)| value.to_owned()).collect(),
        };
        if !options.stdin && !options.stdout && !options.stderr {
            return Err(bad("you must specify at least 1 of stdin, stdout, stderr"));
        }
        Ok(options)
    }

    pub(super) fn streams(&self) -> RemoteOptions {
        RemoteOptions { stdin: self.stdin, stdout: self.stdout, stderr: self.stderr, tty: self.tty }
    }
}

/// The ports that a WebSocket forwards.
pub(super) fn ports(query: &Query) -> Result<Vec<u16>, Answer> {
    let given: Vec<&str> = query.iter().filter(|(name, _)| *name == "port").map(|(_, value)| value).collect();
    if given.is_empty() {
        return Err(bad("query parameter \"port\" is required"));
    }
    let mut ports = Vec::new();
    for value in given {
        if value.is_empty() {
            return Err(bad("query parameter \"port\" cannot be empty"));
        }
        for one in value.split(',') {
            ports.push(port(one, value)?);
        }
    }
    if ports.len() > MAX_PORTS {
        return Err(bad(format!("no more than {MAX_PORTS} ports can be forwarded at once")));
    }
    Ok(ports)
}

fn port(one: &str, value: &str) -> Result<u16, Answer> {
    match one.parse() {
        Ok(0) => Err(bad(format!("port {value:?} must be > 0"))),
        Ok(port) => Ok(port),
        Err(_) => {
            let digits = !one.is_empty() && one.bytes().all(|byte| byte.is_ascii_digit());
            let why = if digits { "value out of range" } else { "invalid syntax" };
            Err(bad(format!(
                "unable to parse {value:?} as a port: strconv.ParseUint: parsing {one:?}: {why}"
            )))
        }
    }
}

fn bad(text: impl Into<String>) -> Answer {
    Answer::text(StatusCode::BAD_REQUEST, text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: &Answer) -> String {
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        String::from_utf8(answer.known().to_vec()).unwrap()
    }

    #[test]
    fn only_ones_count_and_a_terminal_has_one_output() {
        let read = |query: &str| Options::read(&Query::parse(query));
        let all = read("input=1&output=1&error=1&command=a&command=b+c").ok().unwrap();
        assert!(all.stdin && all.stdout && all.stderr && !all.tty);
        assert_eq!(all.command, ["a", "b c"]);
        let terminal = read("output=1&error=1&tty=1").ok().unwrap();
        assert!(terminal.tty && terminal.stdout && !terminal.stderr);
        for none in ["", "command=ls", "output=true", "stdout=1", "error=1&tty=1"] {
            let refused = read(none).err().unwrap();
            assert_eq!(text(&refused), "you must specify at least 1 of stdin, stdout, stderr", "{none}");
        }
    }

    #[test]
    fn ports_are_read_as_upstream_reads_them() {
        let read = |query: &str| ports(&Query::parse(query));
        assert_eq!(read("port=80&port=81,82").ok().unwrap(), [80, 81, 82]);
        for (query, why) in [
            ("ports=80", "query parameter \"port\" is required"),
            ("port=", "query parameter \"port\" cannot be empty"),
            ("port=0", "port \"0\" must be > 0"),
            (
                "port=1,x",
                "unable to parse \"1,x\" as a port: strconv.ParseUint: parsing \"x\": invalid syntax",
            ),
            (
                "port=65536",
                "unable to parse \"65536\" as a port: strconv.ParseUint: parsing \"65536\": value out of range",
            ),
        ] {
            assert_eq!(text(&read(query).err().unwrap()), why, "{query}");
        }
        assert!(read(&format!("port={}", ["1"; MAX_PORTS + 1].join(","))).is_err());
    }
}
