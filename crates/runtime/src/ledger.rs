//! What a pod was asked and what it answered, for an observer from outside.
//!
//! The probe protocol: before a probe is sent, the observer plants its id and the secret to
//! answer with. A request to `/probe…` names its id in its JSON body (`probe`), in its query
//! (`probe=`) or in the header `x-ravelin-probe`; the answer is the planted secret and a serial
//! number, so that no two answers are equal. Unknown probes are answered 404. Everything that was
//! executed is written down, with the exact bytes of the answer.

mod logs;
mod runs;

pub use runs::{MAX_RECORDED_BYTES, MAX_RECORDING_BYTES, Ran, RunOutput};
pub(crate) use runs::{Recording, Side};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A pod executes at most this many requests: past it, it answers 503 rather than forget.
pub const MAX_SERVED: usize = 100_000;

/// Where only the newest is retained: so many requests of a pod, and as many commands and readings of
/// logs each; their bytes have the bounds that they have everywhere.
pub const MAX_RETAINED: usize = 1_000;

/// How much ledgers remember.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// Everything, and what could not be remembered is not done: for verdicts.
    #[default]
    All,
    /// The newest [`MAX_RETAINED`] things of pods that run: for clusters that run for long.
    Newest,
}

/// The header that names a probe where there is no room elsewhere.
const PROBE_HEADER: &str = "x-ravelin-probe";

/// A request as it reached a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// When it was executed.
    pub at: Timestamp,
    /// Did it come over TLS?
    pub tls: bool,
    /// The method, upper case.
    pub method: String,
    /// Path and query, as sent.
    pub path: String,
    /// The headers in the order sent, names lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Bytes,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The exact body.
    pub body: Bytes,
}

/// A request that was executed, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// What was asked.
    pub request: Received,
    /// The probe that it named, known or not.
    pub probe: Option<String>,
    /// The number of this answer in this pod, from 1.
    pub serial: u64,
    /// What was answered.
    pub answer: Answer,
}

/// The records of one pod.
#[derive(Default)]
pub struct Ledger(Mutex<Book>);

#[derive(Default)]
struct Book {
    retention: Retention,
    planted: BTreeMap<String, String>,
    served: VecDeque<Served>,
    /// How many requests were executed.
    executed: u64,
    logs: logs::Logs,
    runs: runs::Runs,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger")
    }
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty ledger that remembers so much.
    pub fn with(retention: Retention) -> Self {
        Self(Mutex::new(Book { retention, ..Book::default() }))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a probe known: requests that name it are answered with `secret`.
    pub fn plant(&self, probe: &str, secret: &str) {
        self.book().planted.insert(probe.to_owned(), secret.to_owned());
    }

    /// Everything executed so far, in order, as far as it is retained.
    pub fn served(&self) -> Vec<Served> {
        self.book().served.iter().cloned().collect()
    }

    /// Executes a request and writes it down.
    pub fn execute(&self, request: Received) -> Answer {
        let mut book = self.book();
        if book.retention == Retention::Newest && book.served.len() >= MAX_RETAINED {
            book.served.pop_front();
        }
        if book.served.len() >= MAX_SERVED {
            return Answer { status: 503, body: Bytes::from_static(b"too many requests\n") };
        }
        book.executed += 1;
        let serial = book.executed;
        let asked = Asked::of(&request);
        let answer = match &asked {
            Asked::Nothing => Answer { status: 200, body: Bytes::from_static(b"a ravelin workload\n") },
            Asked::Malformed => Answer { status: 400, body: Bytes::from_static(b"malformed probe\n") },
            Asked::Elsewhere => Answer { status: 404, body: Bytes::from_static(b"404 page not found\n") },
            Asked::Probe(probe) => match book.planted.get(probe) {
                Some(secret) => probe_answer(probe, secret, serial),
                None => Answer { status: 404, body: Bytes::from_static(b"unknown probe\n") },
            },
        };
        let probe = match asked {
            Asked::Probe(probe) => Some(probe),
            _ => None,
        };
        book.served.push_back(Served { request, probe, serial, answer: answer.clone() });
        answer
    }
}

fn probe_answer(probe: &str, secret: &str, serial: u64) -> Answer {
    let body = json!({ "probe": probe, "secret": secret, "serial": serial });
    Answer { status: 200, body: Bytes::from(body.to_string()) }
}

/// What a request wants.
enum Asked {
    Probe(String),
    Malformed,
    Nothing,
    Elsewhere,
}

impl Asked {
    fn of(request: &Received) -> Self {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if path == "/" && matches!(request.method.as_str(), "GET" | "HEAD") {
            return Self::Nothing;
        }
        if !path.starts_with("/probe") || !matches!(request.method.as_str(), "GET" | "POST") {
            return Self::Elsewhere;
        }
        if !request.body.is_empty() {
            let body: Option<Value> = serde_json::from_slice(&request.body).ok();
            let probe = body.as_ref().and_then(|body| body["probe"].as_str());
            return probe.map_or(Self::Malformed, |probe| Self::Probe(probe.to_owned()));
        }
        let in_query = query.split('&').find_map(|pair| pair.strip_prefix("probe="));
        let in_header = request.headers.iter().find(|(name, _)| name == PROBE_HEADER);
        let probe = in_query.or(in_header.map(|(_, value)| value.as_str()));
        probe.map_or(Self::Malformed, |probe| Self::Probe(probe.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn request(method: &str, path: &str, body: &str) -> Received {
        Received {
            at: Timestamp::UNIX_EPOCH,
            tls: false,
            method: method.to_owned(),
            path: path.to_owned(),
            headers: vec![],
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn only_planted_probes_are_answered_with_a_secret() {
        let ledger = Ledger::new();
        ledger.plant("p1", "canary");
        let table = [
            ("POST", "/probe", r#"{"probe":"p1","secret":"x"}"#, 200),
            ("GET", "/probe/deep?a=b&probe=p1", "", 200),
            ("GET", "/probe?probe=p2", "", 404),
            ("POST", "/probe", "{not json", 400),
            ("PUT", "/probe?probe=p1", "", 404),
            ("GET", "/other?probe=p1", "", 404),
            ("GET", "/probe", "", 400),
        ];
        for (method, path, body, status) in table {
            let answer = ledger.execute(request(method, path, body));
            assert_eq!(answer.status, status, "{method} {path} {body}");
            let holds = String::from_utf8_lossy(&answer.body).contains("canary");
            assert_eq!(holds, status == 200, "{method} {path} {body}");
        }
        let served = ledger.served();
        assert_eq!(served.len(), table.len(), "refused requests are recorded too");
        assert_eq!(served[2].probe.as_deref(), Some("p2"), "also the id of an unknown probe");
    }

    #[test]
    fn a_pod_that_runs_for_long_forgets_instead_of_refusing() {
        let ledger = Arc::new(Ledger::with(Retention::Newest));
        ledger.plant("p1", "canary");
        for number in 1..=3 * MAX_RETAINED as u64 {
            let answer = ledger.execute(request("GET", "/probe?probe=p1", ""));
            assert!(answer.body.ends_with(format!("\"serial\":{number}}}").as_bytes()), "{number}");
            let run = ledger.begin_run(Timestamp::UNIX_EPOCH, "c", &["x".repeat(1024 * 1024)]);
            run.expect("it runs").ended(7);
            drop(ledger.open_log(Timestamp::UNIX_EPOCH, "c", &crate::LogOptions::default()));
        }
        assert_eq!(ledger.served().len(), MAX_RETAINED);
        assert_eq!(ledger.served()[0].serial, 2 * MAX_RETAINED as u64 + 1);
        assert!(ledger.runs().len() <= MAX_RETAINED && ledger.runs().iter().all(|ran| ran.has_ended));
        assert_eq!(ledger.log_reads().len(), MAX_RETAINED);
    }

    #[test]
    fn no_two_answers_are_equal() {
        let ledger = Ledger::new();
        ledger.plant("p1", "canary");
        let first = ledger.execute(request("GET", "/probe?probe=p1", ""));
        let second = ledger.execute(request("GET", "/probe?probe=p1", ""));
        assert_eq!(&first.body[..], br#"{"probe":"p1","secret":"canary","serial":1}"#);
        assert_ne!(first.body, second.body);
        assert_eq!(ledger.served()[1].answer, second);
    }
}
