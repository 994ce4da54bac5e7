//! Shows a report: a table, a story and a page for people, JSON, SARIF and JUnit for programs.
//!
//! Everything shown comes from [`Report`]; this crate decides nothing and must never know how a
//! verdict was reached.

mod command;
mod html;
mod junit;
mod paint;
mod pcap;
mod proof;
mod remedy;
mod repeated;
mod sarif;
mod story;
mod table;
mod words;

pub use command::Repeat;
pub use html::html;
pub use junit::junit;
pub use paint::harmless;
pub use pcap::pcapng;
pub use sarif::sarif;
pub use story::{Page, story};
pub use table::table;

use ravelin_assess::model::Report;

/// The report as JSON, `schema: "ravelin.report/v1"`, with a newline at its end.
pub fn json(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("a report is plain data with text keys");
    text.push('\n');
    text
}

#[cfg(test)]
mod example;
#[cfg(test)]
mod wellformed;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::report;

    #[test]
    fn the_json_is_read_back_as_the_same_report() {
        let text = json(&report());
        let read: Report = serde_json::from_str(&text).expect("our own JSON");
        assert_eq!(read, report());
        assert!(text.ends_with("}\n"));
    }

    #[test]
    fn the_json_has_the_documented_keys() {
        let value: serde_json::Value = serde_json::from_str(&json(&report())).expect("our own JSON");
        let keys = |value: &serde_json::Value| {
            value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
        };
        assert_eq!(value["schema"], "ravelin.report/v1");
        let top = ["cluster", "commit", "paths", "schema", "seed"];
        assert_eq!(
            keys(&value),
            [&top[..], &["simulated_ms", "trace_sha256", "verdicts", "wall_ms"]].concat()
        );
        assert_eq!(keys(&value["paths"][0]), ["egress", "error", "path", "state"]);
        let verdict = &value["verdicts"][1];
        assert_eq!(keys(verdict), ["attacker", "egress", "failed_closed", "fix", "path", "properties"]);
        let broken = &verdict["properties"]["request_secret"];
        assert_eq!(broken["state"], "broken");
        assert_eq!(keys(broken), ["evidence", "state", "tactics"]);
        assert_eq!(keys(&broken["evidence"][0]), ["at_ms", "flow", "tactic", "text"]);
    }
}
