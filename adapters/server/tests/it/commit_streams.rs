//! Streams of commits into a storage that takes its time, or refuses.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use liveset::{
    Grant, Liveset, Loaded, Query, SetDef, StaticTokens, Storage, StorageCommit, StorageError, Tell,
};
use liveset_server::http::{self, HttpOptions};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::TOKEN;

/// Keeps what it is given waiting.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Vec<(StorageCommit, Tell)>>>);

impl Storage for Slow {
    fn load(
        &mut self,
        _: &mut dyn FnMut(&str, &str) -> Result<(), StorageError>,
    ) -> Result<Loaded, StorageError> {
        Ok(Loaded { identity: "slow".into(), position: 0 })
    }

    fn submit(&self, commit: StorageCommit, tell: Tell) -> Result<(), StorageError> {
        self.0.lock().unwrap().push((commit, tell));
        Ok(())
    }
}

impl Slow {
    fn waiting(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Tells so many, on a thread of its own, as a storage does.
    fn tell(&self, count: usize, kept: Result<(), StorageError>) {
        let told: Vec<_> = self.0.lock().unwrap().drain(..count).collect();
        std::thread::spawn(move || told.into_iter().for_each(|(_, tell)| tell(kept.clone()))).join().unwrap();
    }
}

fn endpoint(storage: &Slow) -> (Liveset, axum::Router) {
    let liveset = Liveset::builder()
        .set(SetDef::new("orders"))
        .authenticator(StaticTokens::new([(TOKEN, Grant::new("writer"))]))
        .store(storage.clone())
        .build()
        .unwrap();
    let options = HttpOptions { lines_waiting: 8, ..HttpOptions::default() };
    (liveset.clone(), http::router(liveset, options, axum::Router::new()))
}

async fn post(router: axum::Router, lines: u64) -> (u16, Value) {
    let line = |id| format!("{}\n", json!([{ "op": "upsert", "set": "orders", "node": { "id": id } }]));
    let body: String = (1..=lines).map(line).collect();
    let request = Request::post("/batch")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "application/x-ndjson")
        .body(Body::from(body))
        .unwrap();
    let answer = router.oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap())
}

async fn until(what: impl Fn() -> bool) {
    let waiting = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(crate::PATIENCE, waiting).await.expect("it comes to that");
}

fn rows(liveset: &Liveset) -> u64 {
    liveset.query(Query::new("orders")).unwrap().count.total
}

#[tokio::test]
async fn so_many_wait_together_and_no_thread_waits_for_them() {
    let storage = Slow::default();
    let (liveset, router) = endpoint(&storage);
    // The runtime has one thread.
    let answer = tokio::spawn(post(router, 20));
    until(|| storage.waiting() == 8).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!((storage.waiting(), rows(&liveset)), (8, 0));
    storage.tell(3, Ok(()));
    until(|| storage.waiting() == 8).await;
    assert_eq!(rows(&liveset), 3);
    storage.tell(8, Ok(()));
    until(|| storage.waiting() == 8).await;
    storage.tell(8, Ok(()));
    until(|| storage.waiting() == 1).await;
    storage.tell(1, Ok(()));
    let (status, answer) = answer.await.unwrap();
    let position = answer["position"].as_str().unwrap();
    let done = json!({ "applied": 20, "changed": 20, "commit": 20, "position": position });
    assert_eq!((status, &answer), (200, &done));
    assert_eq!(rows(&liveset), 20);
}

#[tokio::test]
async fn a_line_that_is_not_kept_takes_those_behind_it_with_it() {
    let storage = Slow::default();
    let (liveset, router) = endpoint(&storage);
    let answer = tokio::spawn(post(router, 20));
    until(|| storage.waiting() == 8).await;
    storage.tell(2, Ok(()));
    until(|| storage.waiting() == 8).await;
    storage.tell(8, Err(StorageError::new("there is no room")));
    let (status, answer) = answer.await.unwrap();
    assert_eq!(status, 503, "{answer}");
    assert_eq!([&answer["line"], &answer["applied"], &answer["changed"]], [&json!(3), &json!(2), &json!(2)]);
    assert_eq!((rows(&liveset), storage.waiting()), (2, 0), "nothing behind it was handed over");
    // Others go on.
    let committing = tokio::spawn({
        let liveset = liveset.clone();
        async move { liveset.commit_async(|tx| tx.upsert("orders", &json!({ "id": 99 }))).await }
    });
    until(|| storage.waiting() == 1).await;
    storage.tell(1, Ok(()));
    assert_eq!(committing.await.unwrap().unwrap().changed, 1);
}
