//! A connection may break at any byte: everything that was held for it is freed, and nobody else notices.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use liveset::Liveset;
use liveset_core::LiveQueryOptions;
use liveset_fuzz::frames::{self, CLOSE, TEXT, frame};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};

use crate::network::client::Client;
use crate::network::link::{self, Break, Bytes, Shape, Socket, Way};
use crate::network::truth::{Host, Question, SCRIPTED, Truth};
use crate::network::{held, lock, on_virtual_time, panics};
use crate::{HEAP, alone};

const NEVER: Bytes = Bytes { read: u64::MAX, written: u64::MAX };

/// Says something, and reads as many frames as that is answered with.
async fn say(socket: &mut Socket, text: &str, count: usize) -> io::Result<()> {
    socket.write_all(&frame(true, TEXT, text.as_bytes())).await?;
    hear(socket, count).await
}

async fn hear(socket: &mut Socket, count: usize) -> io::Result<()> {
    for _ in 0..count {
        frames::read(socket).await?;
    }
    Ok(())
}

/// A bit of everything.
async fn converse(socket: &mut Socket, liveset: &Liveset) -> io::Result<()> {
    let upsert = |id: u64, n: u64| liveset.commit(|tx| tx.upsert(SCRIPTED, &json!({ "id": id, "n": n })));
    upsert(1, 1).expect("a commit");
    say(socket, r#"{"type":"auth","token":"t"}"#, 1).await?;
    say(socket, r#"{"type":"createLiveQuery","id":"a","query":{"edge":"scripted","orderBy":"n desc","limit":2},"options":{"positions":true,"counts":true,"reasons":true,"resume":true}}"#, 2).await?;
    say(socket, r#"{"type":"createLiveQuery","id":"b","query":{"edge":"scripted","filter":"n > 1"}}"#, 2)
        .await?;
    say(
        socket,
        r#"{"type":"subscribeEvents","subscriptions":[{"id":"s","path":"jobs","events":["jobStarted"]}]}"#,
        1,
    )
    .await?;
    upsert(2, 2).expect("a commit");
    hear(socket, 3).await?;
    upsert(3, 3).expect("a commit");
    hear(socket, 4).await?;
    liveset.publish("jobs/1", "jobStarted", &json!({})).expect("an event");
    hear(socket, 1).await?;
    liveset.commit(|tx| tx.remove(SCRIPTED, 3)).expect("a commit");
    hear(socket, 4).await?;
    say(socket, r#"{"type":"destroyLiveQuery","id":"b"}"#, 1).await?;
    say(socket, r#"{"type":"nonsense"}"#, 1).await?;
    socket.write_all(&frame(true, CLOSE, &1000u16.to_be_bytes())).await?;
    hear(socket, 1).await?;
    assert_eq!(socket.read(&mut [0]).await?, 0, "nothing follows a close frame");
    Ok(())
}

/// One conversation that breaks, and everything after it. Returns what the endpoint has read and written.
async fn run(host: &Host, how: Break, at: Bytes) -> Bytes {
    let (mut client, mut server, wire) = link::connect(Shape::IDEAL, Rng::with_seed(0));
    server.break_after(how, at);
    let serving = tokio::spawn({
        let liveset = host.liveset.clone();
        async move { liveset.serve(server, None).await }
    });
    let began = Instant::now();
    let whole = timeout(Duration::from_secs(5), converse(&mut client, &host.liveset)).await;
    assert_eq!(matches!(whole, Ok(Ok(()))), at == NEVER, "{how:?} at {at:?}: {whole:?}");
    if how == Break::Vanish {
        // It is found out by what the protocol waits for: a token, or a pong.
        timeout(Duration::from_secs(70), serving).await.expect("given up").expect("no panic");
        drop(client);
    } else {
        drop(client);
        serving.await.expect("no panic");
        assert!(began.elapsed() < Duration::from_secs(3), "{how:?} at {at:?}: {:?}", began.elapsed());
    }
    host.liveset.commit(|tx| (1..=3).for_each(|id| tx.remove(SCRIPTED, id))).expect("a commit");
    // What is kept for a client that may come back is kept for a minute.
    sleep(Duration::from_secs(61)).await;
    wire.passed(Way::Down)
}

#[test]
fn a_break_at_every_byte_frees_everything_and_concerns_nobody_else() {
    let _turn = alone();
    on_virtual_time(async {
        let mut random = Rng::with_seed(1);
        let host = Host::new(liveset::Limits::default());
        let questions = (0..2).map(|_| Question::random(&mut random)).collect();
        let truth = Arc::new(Mutex::new(Truth::new(&host, questions)));
        let bystander = Client::connect(&host.liveset, &truth, Shape::IDEAL, random.fork());
        bystander.act(|state| {
            (0..2).for_each(|i| state.create(&format!("q{i}"), i, LiveQueryOptions::default(), None))
        });

        let whole = run(&host, Break::Reset, NEVER).await;
        assert!(whole.read > 400 && whole.written > 1_500, "{whole:?}");
        let panicked = panics();
        // Where a peer goes, or goes silent, the endpoint itself has nothing to notice in the middle of.
        for (how, step) in [(Break::Reset, 1), (Break::Close, 3), (Break::Vanish, 7)] {
            lock(&truth).commit(&host.liveset, &mut random, 20);
            sleep(Duration::from_millis(1)).await;
            bystander.state().assert_present();
            let (before, heap) = (held(&host.liveset), HEAP.current_usage());
            let read = (0..whole.read).map(|read| Bytes { read, ..NEVER });
            let written = (0..whole.written).map(|written| Bytes { written, ..NEVER });
            for at in read.chain(written).step_by(step) {
                bystander.act(|state| state.session.ping());
                run(&host, how, at).await;
                assert_eq!(held(&host.liveset), before, "what is held after {how:?} at {at:?}");
                assert_eq!(bystander.state().session.unanswered(), 0, "another connection is served");
            }
            let grown = HEAP.current_usage().saturating_sub(heap);
            assert!(grown < 1_024, "{grown} bytes of connections that broke");
        }
        assert_eq!(panics(), panicked);
        bystander.act(|state| state.close());
        bystander.gone().await;
    });
}
