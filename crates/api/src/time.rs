//! Times as objects hold them.

use jiff::Timestamp;

/// A `metav1.Time`: RFC 3339 in UTC, whole seconds.
pub fn format(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A `metav1.MicroTime`, as leases hold it.
pub fn format_micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads either; `None` where it is no RFC 3339 time.
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_kubernetes_writes_them() {
        let time = Timestamp::new(1_700_000_000, 123_456_789).unwrap();
        assert_eq!(format(time), "2023-11-14T22:13:20Z");
        assert_eq!(format_micro(time), "2023-11-14T22:13:20.123456Z");
        assert_eq!(parse(&format(time)).unwrap().as_second(), 1_700_000_000);
        assert_eq!(parse("yesterday"), None);
    }
}
