//! Watches and the reflector.

use super::stage::{Answer, Stage};
use crate::{ClientError, Reflector, WatchEventKind};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_watch_gives_events_however_they_are_cut() {
    let stage = Stage::new();
    let _serving = stage.serve().await;
    let chunks = vec![
        r#"{"type":"ADDED","object":{"n":1}}"#,
        "\n{\"type\":\"DELETED\",",
        "\"object\":{\"n\":2}}\n{\"type\":\"BOOKMARK\",\"object\":{}}\n",
    ];
    stage.api.answer("/proper", &[Answer::Chunks(chunks.clone(), true)]);
    stage.api.answer("/cut", &[Answer::Chunks(chunks, false)]);
    let client = stage.client();
    for path in ["/proper", "/cut"] {
        let mut watch = client.watch(path, "7", &[]).await.unwrap();
        let mut kinds = Vec::new();
        let mut error = None;
        while let Some(event) = watch.next().await {
            match event {
                Ok(event) => kinds.push(event.kind),
                Err(found) => error = Some(found),
            }
        }
        use WatchEventKind::{Added, Bookmark, Deleted};
        assert_eq!(kinds, [Added, Deleted, Bookmark]);
        assert_eq!(matches!(error, Some(ClientError::Truncated)), path == "/cut");
        assert!(watch.next().await.is_none());
    }
    assert_eq!(stage.api.lines()[0], "GET /proper?watch=true&resourceVersion=7");
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_with_the_first_thing_that_is_no_event() {
    let stage = Stage::new();
    let _serving = stage.serve().await;
    let gone = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}
{"type":"ADDED","object":{}}
"#;
    let half = r#"{"type":"ADDED","object":{}}"#;
    stage.api.answer("/gone", &[Answer::Chunks(vec![gone], true)]);
    stage.api.answer("/odd", &[Answer::Chunks(vec!["{\"type\":\"ODD\",\"object\":{}}\n"], true)]);
    stage.api.answer("/half", &[Answer::Chunks(vec![half], true)]);
    for (path, says) in [
        ("/gone", "the apiserver answered 410: too old"),
        ("/odd", "the apiserver's answer is malformed: an event of unknown type"),
        ("/half", "the apiserver's answer ended early"),
    ] {
        let mut watch = stage.client().watch(path, "", &[]).await.unwrap();
        assert_eq!(watch.next().await.unwrap().unwrap_err().to_string(), says);
        assert!(watch.next().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reflector_follows_through_failures() {
    let stage = Stage::new();
    let list = r#"{"metadata":{"resourceVersion":"5"},"items":[
        {"metadata":{"name":"a","namespace":"n"}},{"metadata":{"name":"b","namespace":"n"}}]}"#;
    let changes = "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"c\",\"resourceVersion\":\"6\"}}}\n\
        {\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"a\",\"namespace\":\"n\",\"resourceVersion\":\"7\"}}}\n";
    let second = r#"{"metadata":{"resourceVersion":"9"},"items":[{"metadata":{"name":"d"}}]}"#;
    let whole = |text: &str| Answer::Whole(200, text.to_owned());
    stage.api.answer(
        "/things",
        &[
            Answer::Whole(500, String::new()),
            whole(list),
            Answer::Chunks(vec![changes], true),
            Answer::Chunks(vec!["{\"type\""], false),
            whole(second),
            Answer::Silence,
        ],
    );
    let reflector = Reflector::new(stage.client(), "/things").with_parameters(&[("l", "x")]);
    let mut store = reflector.store();
    let running = reflector.run();
    let keys = |store: &crate::Store| store.objects().into_keys().collect::<Vec<_>>();
    assert!(!store.is_synced());
    // It begins before its server does.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let _serving = stage.serve().await;

    assert!(tokio::time::timeout(Duration::from_secs(60), store.synced()).await.unwrap());
    assert_eq!(keys(&store), ["n/a", "n/b"]);
    let reached = async {
        let mut states = Vec::new();
        while keys(&store) != ["d"] {
            assert!(store.changed().await);
            states.push(keys(&store));
        }
        states
    };
    let states = tokio::time::timeout(Duration::from_secs(60), reached).await.unwrap();
    assert!(states.contains(&vec!["c".to_owned(), "n/b".to_owned()]), "{states:?}");
    let lines = stage.api.lines();
    assert!(lines.contains(&"GET /things?l=x".to_owned()));
    let resumed = |line: &String| line.contains("watch=true&resourceVersion=7&l=x");
    assert!(lines.iter().any(resumed), "it goes on from the last event: {lines:?}");
    drop(running);
    assert!(!tokio::time::timeout(Duration::from_secs(60), store.changed()).await.unwrap());
}
