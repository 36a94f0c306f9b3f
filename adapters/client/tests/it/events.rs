//! Events as streams.

use std::sync::Arc;
use std::time::Duration;

use liveset_client::{Error, ErrorCode, Missed};
use serde_json::{Value, json};

use crate::support::network::Network;
use crate::support::server::Server;
use crate::support::{builder, soon};

#[tokio::test]
async fn events_come_in_order_and_say_when_some_were_missed() {
    let server = Server::start(&Arc::default(), &[]);
    let network = Network::to(server.address).await;
    let client = builder(&network.url()).connect().unwrap();
    let mut jobs = soon(client.events("jobs", ["jobCompleted"])).await.unwrap();
    for n in 0..3 {
        server.liveset.publish("jobs/7", "jobCompleted", &json!({ "n": n })).unwrap();
        server.liveset.publish("jobs/7", "jobFailed", &json!({ "n": n })).unwrap();
    }
    for n in 0..3 {
        let event = soon(jobs.next()).await.unwrap().unwrap();
        assert_eq!((&*event.path, &*event.event_type), ("jobs", "jobCompleted"));
        assert_eq!(event.json::<Value>().unwrap(), json!({ "n": n }));
    }

    // Over another connection; what came in between is lost.
    network.cut();
    assert!(matches!(soon(jobs.next()).await, Some(Err(Error::Missed(Missed::Offline)))));
    server.liveset.publish("jobs/7", "jobCompleted", &json!(9)).unwrap();
    assert_eq!(soon(jobs.next()).await.unwrap().unwrap().json::<u64>().unwrap(), 9);

    // Faster than they are read.
    for n in 0..2_000 {
        server.liveset.publish("jobs/7", "jobCompleted", &json!(n)).unwrap();
        if n % 100 == 99 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let (mut last, mut missed) = (None, 0);
    while last != Some(1_999) {
        match soon(jobs.next()).await.unwrap() {
            Ok(event) => {
                let n = event.json::<u64>().unwrap();
                assert!(last.is_none_or(|last| last < n), "{last:?}, {n}");
                last = Some(n);
            }
            Err(Error::Missed(Missed::Slow)) => missed += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(missed > 0);
}

#[tokio::test]
async fn a_path_that_is_unknown_is_refused() {
    let server = Server::start(&Arc::default(), &[]);
    let client = builder(&server.url()).connect().unwrap();
    let refused = soon(client.events("nowhere", ["jobCompleted"])).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Server(error) if error.code == Some(ErrorCode::InvalidPath)),
        "{refused}"
    );
}
