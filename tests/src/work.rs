//! What a run did, counted in its trace.

use serde_json::Value;

/// How much of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Lines of the trace.
    pub lines: usize,
    /// TLS handshakes that the server finished and in which the client presented a certificate.
    pub mutual: usize,
    /// TLS handshakes that the server finished, without one.
    pub plain: usize,
    /// TLS handshakes that did not come to an end at the server.
    pub refused: usize,
    /// HTTP requests that a server answered.
    pub requests: usize,
    /// Packets that crossed a segment.
    pub packets: usize,
    /// The bytes in them.
    pub payload_bytes: usize,
    /// Decisions of the apiserver's authorizer.
    pub decisions: usize,
}

impl Work {
    /// What these lines tell of.
    ///
    /// # Panics
    /// Where a line is no JSON object.
    pub fn of(lines: &[String]) -> Self {
        let mut work = Self { lines: lines.len(), ..Self::default() };
        for line in lines {
            let event: Value = serde_json::from_str(line).expect("a trace is JSON, line by line");
            match event["kind"].as_str().unwrap_or_default() {
                "packet" => {
                    work.packets += 1;
                    let length = event["len"].as_u64().expect("a packet has a length");
                    work.payload_bytes += usize::try_from(length).expect("packets are small");
                }
                "tls.handshake" if event["role"] == "server" => {
                    let count = match (event["result"] == "ok", event["peer_certificate"] == "") {
                        (true, false) => &mut work.mutual,
                        (true, true) => &mut work.plain,
                        (false, _) => &mut work.refused,
                    };
                    *count += 1;
                }
                "http.request" => work.requests += 1,
                "apiserver.authorize" => work.decisions += 1,
                _ => {}
            }
        }
        work
    }

    /// TLS handshakes that came to their end.
    pub fn handshakes(&self) -> usize {
        self.mutual + self.plain
    }
}
