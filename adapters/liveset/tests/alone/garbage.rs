//! Whatever bytes come in: no panic, an end in time, everything freed, other connections unaffected.

use std::time::Duration;

use fastrand::Rng;
use liveset::Liveset;
use liveset_fuzz::frames::frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::alone;
use crate::network::panics;
use crate::support::{Client, PATIENCE, builder, limited, pipe};

fn serve(liveset: &Liveset) -> (DuplexStream, tokio::task::JoinHandle<()>) {
    pipe(liveset, 16 * 1024)
}

/// Right frames with right and wrong messages in them, some of their bytes changed, some of it cut.
fn bytes(random: &mut Rng) -> Vec<u8> {
    const MESSAGES: [&str; 8] = [
        r#"{"type":"auth","token":"t"}"#,
        r#"{"type":"createLiveQuery","id":"q","query":{"edge":"orders","filter":"a == 1","orderBy":"b desc"}}"#,
        r#"{"type":"destroyLiveQuery","id":"q"}"#,
        r#"{"type":"subscribeEvents","subscriptions":[{"id":"s","path":"jobs","events":["jobStarted"]}]}"#,
        r#"{"type":"unsubscribeEvents","ids":["s"]}"#,
        r#"{"type":"ping","requestId":"€𝄞"}"#,
        "[[[[[[[[[[",
        "",
    ];
    let mut bytes = if random.usize(..4) == 0 { Vec::new() } else { frame(true, 1, MESSAGES[0].as_bytes()) };
    for _ in 0..random.usize(..12) {
        let message = MESSAGES[random.usize(..8)].as_bytes();
        let opcode = [1, 1, 1, 1, 1, 0, 2, 8, 9, 10, 3][random.usize(..11)];
        if random.usize(..3) == 0 {
            let (first, second) = message.split_at(random.usize(..message.len() + 1));
            bytes.extend(frame(false, opcode, first));
            bytes.extend(frame(true, 0, second));
        } else {
            bytes.extend(frame(random.usize(..8) > 0, opcode, message));
        }
    }
    for _ in 0..random.usize(..4) {
        if !bytes.is_empty() {
            let at = random.usize(..bytes.len());
            bytes[at] = random.usize(..256) as u8;
        }
    }
    bytes.truncate(bytes.len() - random.usize(..bytes.len() / 4 + 1));
    bytes
}

#[tokio::test(start_paused = true)]
async fn no_bytes_do_harm() {
    let _turn = alone();
    let before = panics();
    for liveset in [builder().build().unwrap(), limited(|limits| limits.session.message_bytes = 60)] {
        let (client, bystander) = serve(&liveset);
        let mut client = Client::over(client).await;
        client.authenticate().await;
        let mut random = Rng::with_seed(4711);
        for _ in 0..1_000 {
            let bytes = bytes(&mut random);
            let (mut peer, serving) = serve(&liveset);
            // In pieces of any size, and with a reader, a half-closed stream, or neither.
            for piece in bytes.chunks(random.usize(..40) + 1) {
                if peer.write_all(piece).await.is_err() {
                    break;
                }
            }
            if random.usize(..2) == 0 {
                let _ = peer.shutdown().await;
                let mut answers = Vec::new();
                let reading = tokio::time::timeout(PATIENCE, peer.read_to_end(&mut answers));
                reading.await.expect("an end").expect("no error");
            }
            drop(peer);
            tokio::time::timeout(Duration::from_secs(10), serving).await.expect("freed at once").unwrap();
            assert_eq!(panics(), before, "{bytes:x?}");
        }
        let stats = liveset.stats();
        assert_eq!((stats.connections, stats.hub.connections, stats.hub.feeds), (1, 1, 0));
        assert_eq!((stats.hub.live_queries, stats.hub.subscriptions, stats.hub.deadlines), (0, 0, 1));
        client.assert_alive().await;
        drop(client);
        bystander.await.unwrap();
    }
}
