//! Files and disks that are not as they should be.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::restarts::{config, rows, upsert};
use crate::support::demo::skip;
use crate::support::http::Http;
use crate::support::ws::Ws;
use crate::support::{Server, run};

/// A small disk in memory.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test]
async fn without_room_writes_are_refused_and_taken_again_when_there_is_some() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("disk");
    let Some(_disk) = Disk::mount(&at) else { return skip("root, to mount a small disk") };
    let (config, filler) = (config(&at.join("sets.db")), at.join("filler"));
    let server = Server::start(&config);
    let mut ws = Ws::connect(&server.address).await;
    ws.send(json!({ "type": "auth", "token": crate::support::TOKEN })).await;
    ws.send(json!({ "type": "createLiveQuery", "id": "q", "query": { "edge": "orders", "node": { "fields": ["id"] } } }))
        .await;
    for expected in ["authenticated", "liveQueryCreated", "liveQueryData"] {
        assert_eq!(ws.next().await["type"], expected);
    }
    let mut kept = Vec::new();
    for round in 0..3 {
        let _ = fs::write(&filler, vec![0; 8 << 20]);
        let mut refused = 0;
        for id in 0..40 {
            let id = 100 * round + id;
            match upsert(&server, json!({ "id": id, "text": "x".repeat(30_000) })).await {
                200 => kept.push(id),
                503 => refused += 1,
                other => panic!("{other}"),
            }
        }
        assert!(refused > 0, "the disk is full");
        fs::remove_file(&filler).unwrap();
        let id = 100 * round + 99;
        assert_eq!(upsert(&server, json!({ "id": id })).await, 200);
        kept.push(id);
        assert_eq!(rows(&server).await.len(), kept.len());
    }
    // Whoever watches was sent what is kept, and nothing else.
    for id in &kept {
        assert_eq!(ws.next().await["data"]["id"], *id);
    }
    let metrics = Http::connect(&server.address).await.get("/metrics", Some(crate::support::TOKEN)).await;
    assert!(
        metrics.text().contains("liveset_store_refusals_total{reason=\"no_room\"}"),
        "{}",
        metrics.text()
    );
    drop(server);
    let server = Server::start(&config);
    let found: Vec<_> = rows(&server).await.iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert_eq!(found, kept);
}

#[tokio::test]
async fn a_file_that_was_altered_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sets.db");
    let server = Server::start(&config(&file));
    for id in 0..200 {
        assert_eq!(upsert(&server, json!({ "id": id, "text": "y".repeat(500) })).await, 200);
    }
    server.signal("TERM");
    let mut server = server;
    assert!(server.wait().success());
    let whole = fs::read(&file).unwrap();
    let serve = || {
        let path = file.to_str().unwrap();
        run(&["serve", "--listen", "127.0.0.1:0", "--token", "a=b", "--set", "orders", "--store", path])
    };
    let cut = whole[..whole.len() / 2].to_vec();
    let mut flipped = whole.clone();
    // A text that is there may also be in a page that is free.
    for at in 1..whole.len() - 100 {
        if whole[at - 1] == b'"' && whole[at..at + 100].iter().all(|byte| *byte == b'y') {
            flipped[at] ^= 1;
        }
    }
    for damaged in [cut, flipped] {
        fs::write(&file, damaged).unwrap();
        let (ok, _, stderr) = serve();
        assert!(!ok, "{stderr}");
        for what in ["sets.db is damaged: ", "the last copy that `liveset backup` made"] {
            assert!(stderr.contains(what), "{stderr}");
        }
    }
}
