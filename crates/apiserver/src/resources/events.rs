//! Events that are forgotten: etcd removes each an hour after it was written last (`--event-ttl`).

use crate::store::{Key, Precondition, Store};
use jiff::{SignedDuration, Timestamp};
use ravelin_api::{object, time};
use serde_json::Value;

/// How long an event is kept (the default of `--event-ttl`).
const KEPT: SignedDuration = SignedDuration::from_hours(1);

/// Removes the events that are too old by now.
pub(super) fn forget_old(store: &Store, now: Timestamp) {
    for event in store.list("events", None).0.iter().filter(|event| is_over(event, now)) {
        let key = Key::namespaced("events", object::namespace(event), object::name(event));
        // One that somebody else removed is gone all the same.
        let _ = store.delete(&key, &Precondition::default());
    }
}

fn is_over(event: &Value, now: Timestamp) -> bool {
    let told = ["lastTimestamp", "metadata.creationTimestamp"];
    let last = told.iter().filter_map(|field| time::parse(object::text(event, field))).max();
    last.is_some_and(|last| now.duration_since(last) > KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_kept_for_an_hour_after_it_was_told_last() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        for (created, last, over) in [
            ("2026-01-01T11:00:01Z", Value::Null, false),
            ("2026-01-01T10:59:59Z", Value::Null, true),
            ("2026-01-01T09:00:00Z", json!("2026-01-01T11:30:00Z"), false),
            ("2026-01-01T09:00:00Z", json!("2026-01-01T10:30:00Z"), true),
            ("", Value::Null, false),
        ] {
            let event = json!({ "metadata": { "creationTimestamp": created }, "lastTimestamp": last });
            assert_eq!(is_over(&event, now), over, "{created} {last}");
        }
    }
}
