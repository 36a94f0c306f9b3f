//! The complete example of the API's document, as it stands there but for the host, works against `liveset demo`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::demo::{Demo, browser_dir, lines_of, runs, skip};

const HOST: &str = "wss://core.your-tenant.hantera.cloud/ws";
/// Long enough for several pings of one second each and, unanswered, for their deadline.
const CONNECTED_FOR: Duration = Duration::from_secs(5);

fn example() -> String {
    std::fs::read_to_string(browser_dir().join("example.js")).expect("the copy of the example")
}

#[test]
fn the_copy_of_the_example_is_that_of_the_document() {
    let document: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/spec/websocket-api.txt");
    let Ok(document) = std::fs::read_to_string(document) else {
        // The document is not part of the repository: where it is not at hand the copy stands for it.
        return skip("the document is not beside the repository");
    };
    let (_, rest) = document.split_once("Complete Example\n").expect("the document has a complete example");
    let (example_there, _) = rest.split_once("Best Practices").expect("and something behind it");
    assert_eq!(example().trim_end(), example_there.trim_end());
}

#[test]
fn the_documents_example_runs_unchanged_but_for_the_host() {
    if !runs("node") {
        return skip("node is not installed");
    }
    let demo = Demo::start("127.0.0.1:0", &["--rate", "20", "--ping-interval", "1"]);
    let source = example();
    assert_eq!(source.matches(HOST).count(), 1);
    let directory = tempfile::tempdir().expect("a temporary folder");
    let script = directory.path().join("example.js");
    std::fs::write(&script, source.replace(HOST, &format!("ws://{}/ws", demo.address)))
        .expect("the script is written");

    let mut node = Command::new("node")
        .arg("--experimental-websocket")
        .arg(&script)
        // The notice that WebSocket is experimental in Node 20 would be the only thing on stderr.
        .env("NODE_NO_WARNINGS", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("node starts");
    let printed = lines_of(node.stdout.take().expect("stdout is piped"));
    let errors = lines_of(node.stderr.take().expect("stderr is piped"));

    let started = Instant::now();
    let (mut completed, mut others, mut after_pings) = (0, 0, 0);
    while started.elapsed() < CONNECTED_FOR || completed < 3 {
        assert!(started.elapsed() < Duration::from_secs(60), "only {completed} jobs completed in a minute");
        let Ok(line) = printed.recv_timeout(Duration::from_secs(20)) else {
            let errors: Vec<_> = errors.try_iter().collect();
            panic!("nothing was printed for long: {errors:?}");
        };
        completed += usize::from(line.starts_with("[jobCompleted] {"));
        others += usize::from(line.starts_with("[jobScheduled] {") || line.starts_with("[jobStarted] {"));
        after_pings += usize::from(
            line.starts_with("[job") && started.elapsed() > CONNECTED_FOR - Duration::from_secs(1),
        );
    }
    let still_connected = node.try_wait().expect("node is asked").is_none();
    let _ = node.kill();
    let _ = node.wait();
    let errors: Vec<_> = errors.iter().collect();
    assert!(still_connected, "node ended by itself, so its connection was closed: {errors:?}");
    assert!(errors.is_empty(), "{errors:?}");
    assert!(others > 0 && after_pings > 0, "{others} other events, {after_pings} after several pings");
}
