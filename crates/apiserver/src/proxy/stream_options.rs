//! What of an exec, attach or port-forward is wanted, and how the kubelet is asked for it
//! (`streamParams` of `pkg/registry/core/pod/strategy.go`).

use ravelin_api::{Query, Status, percent_encode};
use ravelin_transport::streams::RemoteOptions;

/// What is streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Exec,
    Attach,
    PortForward,
}

/// The options of a stream (`PodExecOptions`, `PodAttachOptions`, `PodPortForwardOptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
    pub(super) container: String,
    command: Vec<String>,
    ports: Vec<u16>,
}

impl Options {
    /// Reads them.
    ///
    /// # Errors
    /// 400 for ports that are none.
    pub(super) fn read(kind: Kind, query: &Query) -> Result<Self, Status> {
        if kind == Kind::PortForward {
            let given =
                query.iter().filter(|(name, _)| *name == "ports").flat_map(|(_, value)| value.split(','));
            return Ok(Self { ports: given.map(port).collect::<Result<_, _>>()?, ..Self::default() });
        }
        let command = query.iter().filter(|(name, _)| *name == "command" && kind == Kind::Exec);
        Ok(Self {
            stdin: query.flag("stdin"),
            stdout: query.flag("stdout"),
            stderr: query.flag("stderr"),
            tty: query.flag("tty"),
            container: query.first("container").unwrap_or_default().to_owned(),
            command: command.map(|(_, value)| value.to_owned()).collect(),
            ports: Vec::new(),
        })
    }

    /// The query that asks a kubelet for the same, its names in the order in which Go encodes them.
    pub(super) fn kubelet_query(&self) -> String {
        let mut pairs: Vec<String> =
            self.command.iter().map(|argument| format!("command={}", escaped(argument))).collect();
        let flags = [("error", self.stderr), ("input", self.stdin), ("output", self.stdout)];
        pairs.extend(flags.iter().filter(|(_, wanted)| *wanted).map(|(name, _)| format!("{name}=1")));
        if !self.ports.is_empty() {
            let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
            pairs.push(format!("port={}", escaped(&ports.join(","))));
        }
        pairs.extend(self.tty.then(|| "tty=1".to_owned()));
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }

    /// The streams that it has towards the client.
    pub(super) fn with_client(&self) -> RemoteOptions {
        RemoteOptions { stdin: self.stdin, stdout: self.stdout, stderr: self.stderr, tty: self.tty }
    }

    /// The streams that it has towards the kubelet: a terminal has no second output.
    pub(super) fn with_kubelet(&self) -> RemoteOptions {
        RemoteOptions { stderr: self.stderr && !self.tty, ..self.with_client() }
    }
}

/// One of `ports` (`Convert_Slice_string_To_Slice_int32`).
fn port(text: &str) -> Result<u16, Status> {
    text.parse().map_err(|_| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let why = if digits { "value out of range" } else { "invalid syntax" };
        Status::bad_request(format!("cannot convert to []int32: strconv.ParseUint: parsing {text:?}: {why}"))
    })
}

/// Encodes a value as Go's `url.QueryEscape` does.
fn escaped(value: &str) -> String {
    percent_encode(value).replace("%20", "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: Kind, query: &str) -> String {
        Options::read(kind, &Query::parse(query)).unwrap().kubelet_query()
    }

    #[test]
    fn kubelets_are_asked_as_it_was_recorded() {
        for (kind, query, expected) in [
            (Kind::Exec, "command=ls&stdout=1", "?command=ls&output=1"),
            (
                Kind::Exec,
                "tty=true&stdin=true&stderr=1&stdout=1&command=sh&command=-c&command=a+b%26c",
                "?command=sh&command=-c&command=a+b%26c&error=1&input=1&output=1&tty=1",
            ),
            (Kind::Exec, "command=ls&stdout=false&stderr=0", "?command=ls"),
            (Kind::Attach, "command=ls&stdout=1", "?output=1"),
            (Kind::PortForward, "", ""),
            (Kind::PortForward, "ports=80&ports=81,82&stdin=1", "?port=80%2C81%2C82"),
        ] {
            assert_eq!(asked(kind, query), expected, "{query}");
        }
    }

    #[test]
    fn ports_that_are_none_are_refused() {
        for (ports, why) in
            [("x", "invalid syntax"), ("-1", "invalid syntax"), ("65536", "value out of range")]
        {
            let refused =
                Options::read(Kind::PortForward, &Query::parse(&format!("ports={ports}"))).unwrap_err();
            let text = format!("cannot convert to []int32: strconv.ParseUint: parsing {ports:?}: {why}");
            assert_eq!((refused.code, refused.message), (400, text));
        }
    }

    #[test]
    fn a_terminal_has_one_output_at_the_kubelet() {
        let options = Options::read(Kind::Exec, &Query::parse("stdout=1&stderr=1&tty=1")).unwrap();
        assert!(options.with_client().stderr && !options.with_kubelet().stderr);
    }
}
