//! The store by itself.

use super::*;
use ravelin_host::memory::Network;
use std::time::Duration;
use tokio::time::timeout;

fn store() -> Arc<Store> {
    Store::new(Network::new().host("api", [10, 0, 0, 1]))
}

fn config_map(name: &str, value: &str) -> Value {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": "a"}, "data": {"k": value}})
}

#[test]
fn an_object_changes_only_from_the_state_that_was_meant() {
    let store = store();
    let created = store.seed(config_map("x", "1")).unwrap();
    let key = Key::namespaced("configmaps", "a", "x");
    assert_eq!(
        store.create("configmaps", "a", config_map("x", "2")),
        Err(StoreError::AlreadyExists(key.clone()))
    );
    let mut changed = created.as_ref().clone();
    changed["data"]["k"] = json!("2");
    changed["metadata"]["uid"] = json!("forged");
    let updated = store.update(&key, changed.clone()).unwrap();
    assert_eq!(updated["metadata"]["uid"], created["metadata"]["uid"]);
    assert_ne!(updated["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
    assert_eq!(store.update(&key, changed), Err(StoreError::Modified(key.clone())));
    let stale = Precondition { resource_version: Some("1".into()), uid: None };
    assert_eq!(store.delete(&key, &stale), Err(StoreError::Modified(key.clone())));
    let other = Precondition { uid: Some("u".into()), resource_version: None };
    assert!(matches!(store.delete(&key, &other), Err(StoreError::OtherUid { .. })));
    store.delete(&key, &Precondition::default()).unwrap();
    assert_eq!(store.get(&key), None);
}

#[test]
fn a_change_that_changes_nothing_makes_no_revision() {
    let store = store();
    let created = store.seed(config_map("x", "1")).unwrap();
    let again = store.update(&Key::namespaced("configmaps", "a", "x"), created.as_ref().clone()).unwrap();
    assert_eq!((again, store.revision()), (created, 1));
}

#[test]
fn an_earlier_revision_can_be_listed_until_it_is_compacted() {
    let store = store();
    let key = Key::namespaced("configmaps", "a", "x");
    store.seed(config_map("x", "1")).unwrap();
    store.seed(config_map("y", "1")).unwrap();
    store.update(&key, config_map("x", "2")).unwrap();
    store.delete(&key, &Precondition::default()).unwrap();
    let at = |revision| {
        let found = store.list_at("configmaps", Some("a"), revision).unwrap();
        found.iter().map(|o| format!("{}={}", object::name(o), o["data"]["k"])).collect::<Vec<_>>().join(" ")
    };
    assert_eq!((at(1), at(2)), ("x=\"1\"".into(), "x=\"1\" y=\"1\"".into()));
    assert_eq!((at(3), at(4)), ("x=\"2\" y=\"1\"".into(), "y=\"1\"".into()));
    store.compact(3);
    assert!(store.list_at("configmaps", Some("a"), 2).is_err());
    assert_eq!(at(3), "x=\"2\" y=\"1\"");
}

#[test]
fn an_event_carries_the_bytes_of_any_other_answer() {
    let store = store();
    let created = store.seed(config_map("x", "<&>")).unwrap();
    let change = store.changes_after("configmaps", 0).unwrap().remove(0);
    let line = format!(
        "{{\"type\":\"ADDED\",\"object\":{}}}\n",
        String::from_utf8_lossy(&render(&created)).trim_end()
    );
    assert_eq!(change.line(EventKind::Added), line);
}

#[test]
fn the_history_holds_every_state_as_it_was_answered() {
    let store = store();
    let key = Key::from_path("/api/v1/namespaces/a/configmaps/x").unwrap();
    let first = store.seed(config_map("x", "1")).unwrap();
    store.update(&key, config_map("x", "2")).unwrap();
    store.delete(&key, &Precondition::default()).unwrap();
    let states = store.history(&key);
    let seen: Vec<(u64, bool, &str)> =
        states.iter().map(|s| (s.revision, s.deleted, s.object["data"]["k"].as_str().unwrap())).collect();
    assert_eq!(seen, [(1, false, "1"), (2, false, "2"), (3, true, "2")]);
    assert_eq!(states[0].rendered(), render(&first));
}

#[test]
fn paths_name_the_objects_that_are_stored() {
    for (path, key) in [
        ("/api/v1/nodes/n", Some("nodes/n")),
        ("/api/v1/namespaces/a", Some("namespaces/a")),
        ("/api/v1/namespaces/a/status", Some("namespaces/a")),
        ("/api/v1/namespaces/a/pods/p/log", Some("pods/a/p")),
        ("/apis/coordination.k8s.io/v1/namespaces/a/leases/l", Some("leases.coordination.k8s.io/a/l")),
        ("/api/v1/pods", None),
        ("/version", None),
    ] {
        assert_eq!(Key::from_path(path).map(|key| key.to_string()).as_deref(), key, "{path}");
    }
}

#[tokio::test]
async fn a_watch_sees_every_change_once() {
    let store = store();
    store.seed(config_map("a", "1")).unwrap();
    let mut watcher = store.watch("configmaps", 0).unwrap();
    let writer = Arc::clone(&store);
    let write = async move {
        for i in 0..50 {
            let key = Key::namespaced("configmaps", "a", "a");
            writer.update(&key, config_map("a", &format!("v{i}"))).unwrap();
            tokio::task::yield_now().await;
        }
    };
    let read = async {
        let mut seen = Vec::new();
        for _ in 0..51 {
            let change = timeout(Duration::from_secs(10), watcher.next()).await.expect("a change is missing");
            seen.push(change.unwrap().revision);
        }
        seen
    };
    let ((), seen) = tokio::join!(write, read);
    assert_eq!(seen, (1..=51).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_watch_from_before_a_compaction_is_told_so() {
    let store = store();
    for name in ["a", "b", "c"] {
        store.seed(config_map(name, "1")).unwrap();
    }
    let mut slow = store.watch("configmaps", 1).unwrap();
    store.compact(2);
    assert_eq!(slow.next().await.unwrap_err(), Compacted { asked: 1, oldest: 2 });
    assert_eq!(store.watch("configmaps", 0).unwrap_err().oldest, 2);
    assert_eq!(store.watch("configmaps", 2).unwrap().next().await.unwrap().revision, 3);
}
