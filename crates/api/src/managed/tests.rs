//! Sets of fields and what applying makes of them, case by case.

use super::*;

const POD: (&str, &str) = ("v1", "Pod");
const MAP: (&str, &str) = ("v1", "ConfigMap");

fn who(name: &str) -> Manager {
    Manager {
        name: name.to_owned(),
        applies: true,
        subresource: String::new(),
        time: "2026-01-01T00:00:00Z".to_owned(),
        fields: FieldSet::default(),
    }
}

/// The object as it is stored.
fn stored(applied: Applied) -> Value {
    let mut object = applied.object;
    let entries: Vec<Value> = applied.managers.iter().map(|manager| manager.write("v1")).collect();
    object["metadata"]["managedFields"] = json!(entries);
    object
}

fn map(data: Value) -> Value {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "m"}, "data": data})
}

#[test]
fn fields_are_written_as_kubernetes_writes_them() {
    let pod = json!({"kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": "p", "uid": "u", "labels": {"a": "b"}, "finalizers": ["x/y"]},
        "spec": {"containers": [{"name": "c", "image": "i", "args": ["1"], "ports": [{"containerPort": 80}]}],
            "nodeSelector": {"k": "v"}}});
    let set = fields_of(&pod, POD);
    let expected = json!({
        "f:metadata": {"f:labels": {"f:a": {}}, "f:finalizers": {"v:\"x/y\"": {}}},
        "f:spec": {
            "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}},
            "f:nodeSelector": {},
        },
    });
    assert_eq!(set.write(), expected);
    assert_eq!(FieldSet::read(&expected), set);
    assert!(set.paths().contains(&".spec.containers[name=\"c\"].image".to_owned()));
}

#[test]
fn two_who_apply_own_what_each_said() {
    let empty = json!({});
    let first = apply(&empty, (&map(json!({"a": "1", "b": "1"})), MAP), (&who("x"), false)).unwrap();
    let first = stored(first);
    let second = stored(apply(&first, (&map(json!({"c": "2"})), MAP), (&who("y"), false)).unwrap());
    assert_eq!(second["data"], json!({"a": "1", "b": "1", "c": "2"}));
    let conflicts = apply(&second, (&map(json!({"a": "9"})), MAP), (&who("y"), false)).unwrap_err();
    assert_eq!(conflicts.len(), 1);
    assert_eq!((conflicts[0].manager.as_str(), conflicts[0].path.as_str()), ("x", ".data.a"));
    let forced = stored(apply(&second, (&map(json!({"a": "9"})), MAP), (&who("y"), true)).unwrap());
    assert_eq!(forced["data"], json!({"a": "9", "b": "1"}), "what y no longer says is gone");
    let agreed = apply(&forced, (&map(json!({"a": "9"})), MAP), (&who("x"), false)).unwrap();
    assert_eq!(agreed.object["data"], json!({"a": "9"}), "b was x's alone");
    let owners = agreed.managers.iter().filter(|m| m.fields.paths().contains(&".data.a".to_owned())).count();
    assert_eq!(owners, 2, "who says the same owns it together");
}

#[test]
fn lists_of_named_things_merge_by_their_names() {
    let pod = |containers: Value| json!({"metadata": {"name": "p"}, "spec": {"containers": containers}});
    let live = pod(json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]));
    let wanted = pod(json!([{"name": "b", "image": "2"}, {"name": "c", "image": "2"}]));
    assert!(apply(&live, (&wanted, POD), (&who("x"), false)).is_err(), "it was there before");
    let applied = apply(&live, (&wanted, POD), (&who("x"), true)).unwrap();
    assert_eq!(
        applied.object["spec"]["containers"],
        json!([{"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c", "image": "2"}])
    );
    let fewer =
        apply(&stored(applied), (&pod(json!([{"name": "b", "image": "2"}])), POD), (&who("x"), false));
    let names: Vec<Value> = fewer.unwrap().object["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].clone())
        .collect();
    assert_eq!(names, ["a", "b"], "c was x's alone");
}

#[test]
fn an_update_takes_what_it_changes() {
    let live =
        stored(apply(&json!({}), (&map(json!({"a": "1", "b": "1"})), MAP), (&who("x"), false)).unwrap());
    let mut after = live.clone();
    after["data"] = json!({"a": "2", "c": "2"});
    let editor = Manager { applies: false, ..who("kubectl-edit") };
    let managers = updated((&live, &after), MAP, &editor);
    assert_eq!(managers.len(), 1, "nothing is left of what x said");
    let mut paths = managers[0].fields.paths();
    paths.sort();
    assert_eq!(
        (managers[0].name.as_str(), paths),
        ("kubectl-edit", vec![".data.a".to_owned(), ".data.c".to_owned()])
    );
    let untouched = updated((&live, &live), MAP, &editor);
    assert_eq!(untouched, Manager::all_of(&live));
}

#[test]
fn sets_from_outside_are_bounded_and_never_panic() {
    let mut deep = json!({});
    for _ in 0..500 {
        deep = json!({"f:a": deep});
    }
    let read = FieldSet::read(&deep);
    assert!(read.paths().iter().all(|path| path.len() < 200));
    for odd in [json!(null), json!([1]), json!({"x": 1, "k:{": {}, "v:": {}, "f:": {}})] {
        drop(FieldSet::read(&odd).paths());
    }
}
