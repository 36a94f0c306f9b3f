//! `GET /admin/sources`: where commits come from, how far each source is, and what is wrong with it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use liveset::{
    Builder, Grant, Liveset, Loaded, SetDef, SetStatus, StaticTokens, Storage, StorageCommit, StorageError,
    Tell,
};
use liveset_server::http::{self, HttpOptions};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::TOKEN;

fn serve(builder: Builder) -> (Liveset, Router) {
    let tokens = StaticTokens::new([(TOKEN, Grant::new("operator"))]);
    let liveset = builder.authenticator(tokens.clone()).build().unwrap();
    let options = HttpOptions { admins: tokens, ..HttpOptions::default() };
    let router = http::router(liveset.clone(), options, Router::new());
    (liveset, router)
}

async fn sources(router: &Router) -> Vec<Value> {
    let request = Request::get("/admin/sources").header("authorization", format!("Bearer {TOKEN}"));
    let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    let Value::Array(sources) = body["sources"].take() else { panic!("no list") };
    assert_eq!(body["count"], sources.len());
    sources
}

#[tokio::test]
async fn each_source_is_listed_with_its_sets_and_how_far_it_is() {
    let builder = Liveset::builder().set(SetDef::new("orders")).set(SetDef::new("people"));
    let builder = builder.set_from("market", SetDef::new("prices")).set_from("depot", SetDef::new("stock"));
    let (liveset, router) = serve(builder);
    let (market, depot) = (liveset.source("market").unwrap(), liveset.source("depot").unwrap());
    market.begin("history");
    let before = sources(&router).await;
    let names: Vec<_> = before.iter().map(|source| source["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["host", "market", "depot"]);
    let set = |name: &str, rows: u64| json!({ "name": name, "rows": rows, "status": "live" });
    let host = json!({
        "name": "host", "status": "live", "identity": null, "position": 0, "lagSeconds": 0.0, "waiting": 0, "skipped": 0,
        "quietSeconds": null, "lastError": null, "sets": [set("orders", 0), set("people", 0)],
    });
    assert_eq!(before[0], host);

    let put = |set, id: u64| move |tx: &mut liveset::Tx| tx.upsert(set, &json!({ "id": id }));
    liveset.commit(put("orders", 1)).unwrap();
    liveset.commit(put("people", 1)).unwrap();
    market.commit(7, put("prices", 1)).unwrap();
    market.commit(7, put("prices", 2)).unwrap();
    assert!(depot.commit(1, |tx| tx.upsert("stock", &json!({ "no": "id" }))).is_err());
    liveset.set_status("prices", SetStatus::Stale { since: "2025-12-07T20:03:00Z".into() }).unwrap();
    liveset.set_status("stock", SetStatus::Loading).unwrap();
    let now = sources(&router).await;
    assert_eq!((&now[0]["position"], &now[0]["quietSeconds"]), (&json!(2), &json!(0)));
    let stale = json!({ "name": "prices", "rows": 1, "status": "stale", "since": "2025-12-07T20:03:00Z" });
    let of_market = json!({
        "name": "market", "status": "stale", "identity": "history", "position": 7, "lagSeconds": 0.0, "waiting": 0, "skipped": 1,
        "quietSeconds": 0, "lastError": null, "sets": [stale],
    });
    assert_eq!(now[1], of_market);
    let (status, error) = (&now[2]["status"], &now[2]["lastError"]);
    assert_eq!(
        (status, &now[2]["position"], &now[2]["quietSeconds"]),
        (&json!("loading"), &json!(0), &json!(null))
    );
    assert!(error["message"].as_str().is_some_and(|message| message.contains("key")), "{error}");
    assert_eq!(error["seconds"], 0);

    // A commit that is made says that all is well.
    depot.commit(1, put("stock", 1)).unwrap();
    assert_eq!(sources(&router).await[2]["lastError"], json!(null));
}

/// A storage that is told from outside what becomes of the commits it was given.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<Vec<Tell>>>);

impl Held {
    fn tell_first(&self, kept: Result<(), StorageError>) {
        let tell = self.0.lock().unwrap().remove(0);
        std::thread::spawn(move || tell(kept)).join().unwrap();
    }
}

impl Storage for Held {
    fn load(
        &mut self,
        _: &mut dyn FnMut(&str, &str) -> Result<(), StorageError>,
    ) -> Result<Loaded, StorageError> {
        Ok(Loaded { identity: "kept".into(), position: 41 })
    }

    fn submit(&self, _: StorageCommit, tell: Tell) -> Result<(), StorageError> {
        self.0.lock().unwrap().push(tell);
        Ok(())
    }
}

#[tokio::test]
async fn a_store_says_what_it_is_writing_and_what_it_could_not_keep() {
    let held = Held::default();
    let (liveset, router) = serve(Liveset::builder().set(SetDef::new("orders")).store(held.clone()));
    let put = |id: u64| move |tx: &mut liveset::Tx| tx.upsert("orders", &json!({ "id": id }));
    let shown = |source: &Value| {
        let number = |name: &str| source[name].as_u64().unwrap();
        (source["name"].as_str().unwrap().to_owned(), number("position"), number("waiting"))
    };
    assert_eq!(shown(&sources(&router).await[0]), ("store".to_owned(), 41, 0));
    let mut series = liveset.in_order();
    let pending = [series.commit(None, put(1)).unwrap(), series.commit(None, put(2)).unwrap()];
    assert_eq!(shown(&sources(&router).await[0]), ("store".to_owned(), 41, 2));
    held.tell_first(Ok(()));
    assert_eq!(shown(&sources(&router).await[0]), ("store".to_owned(), 42, 1));
    held.tell_first(Err(StorageError::new("there is no room")));
    let now = &sources(&router).await[0];
    assert_eq!(shown(now), ("store".to_owned(), 42, 0));
    assert_eq!(
        (&now["lastError"]["message"], &now["sets"][0]["rows"]),
        (&json!("there is no room"), &json!(1))
    );
    let [first, second] = pending;
    assert!(first.await.is_ok() && second.await.is_err());
}
