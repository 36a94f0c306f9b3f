//! Live queries: rows, batches, and how they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use liveset::{Access, Policy, Principal, Renewal};
use liveset_client::{Cause, Change, Error, ErrorCode, Query, Reason, Status};
use serde_json::{Value, json};

use crate::support::server::{ROWS, Server};
use crate::support::{Row, builder, ids, row, soon, until};

/// Each change as `+a`, `~a` or `-a`.
fn told<T>(changes: &[Change<T>]) -> Vec<String> {
    let sign = |change: &Change<T>| match change {
        Change::Added { .. } => '+',
        Change::Updated { .. } => '~',
        _ => '-',
    };
    changes.iter().map(|change| format!("{}{}", sign(change), change.id())).collect()
}

#[tokio::test]
async fn rows_are_sorted_and_a_batch_is_a_commit() {
    let server = Server::start(&Arc::default(), &[row("a", 1, 3), row("b", 1, 1), row("c", 2, 2)]);
    let client = builder(&server.url()).connect().unwrap();
    let mut live =
        soon(client.live::<Row>(ROWS).filter("g == $g").bind("g", 1).order_by("n desc").limit(2).subscribe())
            .await
            .unwrap();
    assert_eq!(ids(&live), ["a", "b"]);
    assert_eq!(live.status(), Status::Live);

    let first = soon(live.next()).await.unwrap().unwrap();
    assert_eq!(
        (told(&first.changes), first.total_count, first.capped),
        (vec!["+a".into(), "+b".into()], 2, false)
    );

    server.put(&[row("d", 1, 9), row("a", 1, 4), row("x", 3, 1)]);
    let second = soon(live.next()).await.unwrap().unwrap();
    assert_eq!(told(&second.changes), ["-b", "+d", "~a"]);
    assert!(matches!(second.changes[0], Change::Removed { reason: Some(Reason::Displaced), .. }));
    assert!(matches!(second.changes[1], Change::Added { reason: Some(Reason::Created), .. }));
    assert_eq!((second.total_count, second.capped), (3, true));

    // Two commits are two batches, also for a reader who comes late.
    server.remove("d");
    server.put(&[row("a", 1, 0)]);
    until("both are shown", || ids(&live) == ["b", "a"]).await;
    assert_eq!(told(&soon(live.next()).await.unwrap().unwrap().changes), ["-d", "+b"]);
    assert_eq!(told(&soon(live.next()).await.unwrap().unwrap().changes), ["~a"]);
    assert_eq!(live.rows().total_count(), 2);
}

#[tokio::test]
async fn what_nobody_has_read_is_folded() {
    let server = Server::start(&Arc::default(), &[row("a", 1, 0)]);
    let client = builder(&server.url()).connect().unwrap();
    let mut live = soon(client.live::<Row>(ROWS).subscribe()).await.unwrap();
    soon(live.next()).await;
    for n in 1..=3_000 {
        server.put(&[row("a", 1, n)]);
    }
    until("the last commit is shown", || live.rows().find("a").is_some_and(|row| row.n == 3_000)).await;
    let mut batches = Vec::new();
    while batches.last() != Some(&3_000) {
        let batch = soon(live.next()).await.unwrap().unwrap();
        assert_eq!(told(&batch.changes), ["~a"]);
        batches.push(batch.changes[0].row().unwrap().n);
    }
    assert!(batches.is_sorted(), "{batches:?}");
    assert!((2..1_100).contains(&batches.len()), "{}", batches.len());
}

#[tokio::test]
async fn a_row_that_has_not_changed_is_the_same() {
    let server = Server::start(&Arc::default(), &[row("a", 1, 1), row("b", 1, 2)]);
    let client = builder(&server.url()).connect().unwrap();
    let mut live = soon(client.live::<Row>(ROWS).subscribe()).await.unwrap();
    let before = live.rows();
    server.put(&[row("a", 1, 5)]);
    until("the change is shown", || live.rows().find("a").is_some_and(|row| row.n == 5)).await;
    let after = live.rows();
    assert!(Arc::ptr_eq(before.find("b").unwrap(), after.find("b").unwrap()));
    assert!(!Arc::ptr_eq(before.find("a").unwrap(), after.find("a").unwrap()));
    // The stream reads no row twice either.
    let first = soon(live.next()).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(first.changes[1].row().unwrap(), after.find("b").unwrap()));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_an_error_and_not_the_end() {
    let server = Server::start(&Arc::default(), &[row("a", 1, 1)]);
    server.liveset.commit(|tx| tx.upsert(ROWS, &json!({ "id": "bad", "g": "one", "n": 2 }))).unwrap();
    let client = builder(&server.url()).connect().unwrap();
    let mut live = soon(client.live::<Row>(ROWS).subscribe()).await.unwrap();
    let Some(Err(Error::Row { id, problem })) = soon(live.next()).await else { panic!("the row is good") };
    assert_eq!(&*id, "bad");
    assert!(problem.to_string().contains("expected u64"), "{problem}");
    assert_eq!(told(&soon(live.next()).await.unwrap().unwrap().changes), ["+a"]);
    assert_eq!(ids(&live), ["a"]);
    assert!(matches!(live.rows().errors(), [Error::Row { id, .. }] if &**id == "bad"));

    server.put(&[row("bad", 1, 3)]);
    assert_eq!(told(&soon(live.next()).await.unwrap().unwrap().changes), ["~bad"]);
    assert_eq!(ids(&live), ["a", "bad"]);
}

#[tokio::test]
async fn a_query_that_is_refused_says_what_is_wrong() {
    let server = Server::start(&Arc::default(), &[]);
    let client = builder(&server.url()).connect().unwrap();
    let refused = soon(client.live::<Row>(ROWS).filter("g === 1").subscribe()).await.unwrap_err();
    let Error::Server(error) = &refused else { panic!("{refused}") };
    assert_eq!(error.code, Some(ErrorCode::InvalidQuery));
    assert!(refused.to_string().starts_with("INVALID_QUERY: filter, line 1, column"), "{refused}");

    // As a stream: the error is the last item.
    let mut live = client.live::<Row>("nowhere").open();
    assert!(matches!(soon(live.next()).await, Some(Err(Error::Server(_)))));
    assert!(soon(live.next()).await.is_none());
    assert!(matches!(live.status(), Status::Ended(_)));
    assert!(soon(live.changed()).await, "the end is a change");
    assert!(!soon(live.changed()).await);
    // Others are not touched.
    assert!(soon(client.query::<Row>(ROWS)).await.unwrap().is_empty());
}

#[derive(Clone, Default)]
struct Closed(Arc<AtomicBool>);

impl Policy for Closed {
    fn access(&self, _who: &Principal, _set: &str) -> Access {
        if self.0.load(Ordering::SeqCst) { Access::Nothing } else { Access::All }
    }

    fn may_subscribe(&self, _who: &Principal, _path: &str, _events: &[Arc<str>]) -> bool {
        !self.0.load(Ordering::SeqCst)
    }

    fn may_write(&self, _who: &Principal) -> bool {
        false
    }
}

#[tokio::test]
async fn a_stream_ends_when_the_server_ends_the_query() {
    let policy = Closed::default();
    let server = Server::with(&Arc::default(), &[row("a", 1, 1)], |builder| builder.policy(policy.clone()));
    let client = builder(&server.url()).connect().unwrap();
    let mut live = soon(client.live::<Row>(ROWS).subscribe()).await.unwrap();
    let mut events = soon(client.events("jobs", ["jobCompleted"])).await.unwrap();
    soon(StreamExt::next(&mut live)).await.unwrap().unwrap();
    policy.0.store(true, Ordering::SeqCst);
    server.liveset.reauthorize(|_| Renewal::Keep);
    let Some(Err(Error::Server(error))) = soon(StreamExt::next(&mut live)).await else {
        panic!("it goes on")
    };
    assert_eq!(error.code, Some(ErrorCode::Forbidden));
    assert!(soon(StreamExt::next(&mut live)).await.is_none());
    assert!(live.rows().is_empty(), "what may not be seen any more is not shown any more");
    assert!(matches!(soon(events.next()).await, Some(Err(Error::Server(_)))));
    assert!(soon(events.next()).await.is_none());
}

#[tokio::test]
async fn a_dropped_stream_is_ended_at_the_server() {
    let server = Server::start(&Arc::default(), &[row("a", 1, 1)]);
    let client = builder(&server.url()).connect().unwrap();
    let live = soon(client.live::<Row>(ROWS).subscribe()).await.unwrap();
    let events = soon(client.events("jobs", ["jobCompleted"])).await.unwrap();
    assert_eq!(server.live_queries(), 1);
    drop(live);
    until("the live query is gone", || server.live_queries() == 0).await;
    drop(events);
    let subscriptions = || server.liveset.connections().iter().map(|c| c.subscriptions).sum::<usize>();
    until("the subscription is gone", || subscriptions() == 0).await;
    // So is one that was dropped before it was answered.
    for _ in 0..20 {
        drop(client.live::<Row>(ROWS).open());
    }
    soon(client.query::<Row>(ROWS)).await.unwrap();
    until("all are gone", || server.live_queries() == 0).await;
}

#[tokio::test]
async fn a_query_is_asked_once() {
    let server = Server::start(&Arc::default(), &[row("a", 1, 2), row("b", 2, 1), row("c", 2, 3)]);
    let client = builder(&server.url()).connect().unwrap();
    let rows = soon(client.query::<Row>(Query::new(ROWS).filter("g == 2").order_by("n desc"))).await.unwrap();
    assert_eq!(rows.with_ids().map(|(id, row)| (id, row.n)).collect::<Vec<_>>(), [("c", 3), ("b", 1)]);
    let count = soon(client.query::<Value>(Query::new(ROWS).limit(0))).await.unwrap();
    assert_eq!((count.len(), count.total_count(), count.capped()), (0, 3, true));
    let fields = soon(client.query::<Value>(Query::new(ROWS).fields(["n"]).limit(1))).await.unwrap();
    assert_eq!(**fields.iter().next().unwrap(), json!({ "id": "a", "n": 2 }));
    until("nothing is left", || server.live_queries() == 0).await;
}

#[tokio::test]
async fn a_live_count_tells_counts() {
    let server = Server::start(&Arc::default(), &[row("a", 1, 2)]);
    let client = builder(&server.url()).connect().unwrap();
    let mut live = soon(client.live::<Row>(ROWS).limit(0).subscribe()).await.unwrap();
    assert_eq!(soon(live.next()).await.unwrap().unwrap().total_count, 1);
    server.put(&[row("b", 1, 2)]);
    let batch = soon(live.next()).await.unwrap().unwrap();
    assert_eq!((batch.changes.len(), batch.total_count, batch.capped), (0, 2, true));
}

#[tokio::test]
async fn a_set_that_loads_or_is_stale_says_so() {
    let server = Server::start(&Arc::default(), &[]);
    server.liveset.set_status(ROWS, liveset::SetStatus::Loading).unwrap();
    let client = builder(&server.url()).connect().unwrap();
    let mut live = client.live::<Row>(ROWS).open();
    until("it loads", || live.status() == Status::Loading { cause: Some(Cause::Source) }).await;
    server.liveset.set_status(ROWS, liveset::SetStatus::Live).unwrap();
    soon(live.ready()).await.unwrap();
    assert_eq!(live.status(), Status::Live);
    let since = "2026-01-02T03:04:05Z";
    server.liveset.set_status(ROWS, liveset::SetStatus::Stale { since: since.into() }).unwrap();
    until("it is stale", || !live.status().is_live()).await;
    let Status::Stale { cause, since: at } = live.status() else { panic!("{:?}", live.status()) };
    assert_eq!((cause, humantime::format_rfc3339(at).to_string()), (Cause::Source, since.into()));
    // Who comes later is told too.
    let late = soon(client.live::<Row>(ROWS).subscribe()).await.unwrap();
    assert_eq!(late.status(), live.status());
    server.liveset.set_status(ROWS, liveset::SetStatus::Live).unwrap();
    while !live.status().is_live() {
        assert!(soon(live.changed()).await);
    }
}

#[tokio::test]
async fn more_messages_than_a_server_takes_at_once_are_sent_in_turn() {
    let server = Server::start(&Arc::default(), &[row("a", 1, 1)]);
    let client = builder(&server.url()).connect().unwrap();
    // Each is asked for and given up: 320 messages, of which a server takes 300 at once.
    let queries = (0..160).map(|_| client.query::<Row>(ROWS));
    for answer in soon(futures_util::future::join_all(queries)).await {
        assert_eq!(answer.unwrap().len(), 1);
    }
    until("all are gone", || server.live_queries() == 0).await;
    assert_eq!(client.connection().error().map(|error| error.to_string()), None);
}
