//! Peers that are gone without a word: their machine lost its power, or the way to it.
//!
//! The clients live in a network namespace of their own, whose one link is then taken down. Needs root, and is skipped
//! where namespaces are not to be had, except under `CI`, where it fails.
#![cfg(target_os = "linux")]

use std::process::Command;

use serde_json::{Value, json};

use crate::support::Server;
use crate::support::clients::{Clients, PINGED, obey};
use crate::support::follower::Follower;
use crate::support::http::Http;
use crate::support::metrics::{HELD, Metrics, wait_for};

/// Of each of two kinds.
const CLIENTS: usize = 5;

/// A deadline for pongs that clients on a busy machine do not miss; HTTP connections stay until they are dropped.
const CONFIG: &str = r#"
    [[set]]
    name = "orders"
    [[set]]
    name = "bulk"
    [limits.http]
    header_timeout = "300s"
    [limits.session]
    ping_interval = "200ms"
    pong_timeout = "5s"
    [limits.transport]
    write_timeout = "1s"
    close_timeout = "500ms"
"#;

#[tokio::test]
#[ignore = "the clients of the other test, in a process and a network of their own"]
async fn clients() {
    obey().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn are_dropped_after_the_ping_deadline_and_everything_is_freed() {
    let network = match Network::new() {
        Ok(network) => network,
        Err(reason) => {
            assert!(std::env::var_os("CI").is_none(), "there are no network namespaces here: {reason}");
            eprintln!("skipped: there are no network namespaces here: {reason}");
            return;
        }
    };
    let server = Server::start_with(CONFIG, &[], &["--listen", &format!("{}:0", network.our_address)]);
    let address = server.address.as_str();
    let query = json!({ "edge": "orders" });
    let mut follower = Follower::open(address, &query).await;
    let held = Metrics::read(address).await.values(HELD);

    // Some have nothing to be sent but pings, some are owed more than the kernels hold.
    let start = |query: &Value| {
        let through = ["ip", "netns", "exec", &network.name];
        Clients::start("half_open::clients", &through, address, CLIENTS, std::slice::from_ref(query))
    };
    let idle = start(&json!({ "edge": "orders", "filter": "n < 0" }));
    let busy = start(&json!({ "edge": "bulk" }));
    let connections = 1 + 2 * CLIENTS as u64;
    assert_eq!(Metrics::read(address).await.values(HELD), [connections, connections, 3, 3]);
    // They are there: each answers its pings.
    let mut following = tokio::spawn(async move {
        while follower.rows.is_empty() {
            assert_eq!(follower.step().await, None);
        }
        follower
    });
    for clients in [&idle, &busy] {
        tokio::task::block_in_place(|| (0..3 * CLIENTS).for_each(|_| clients.wait_for(PINGED)));
    }
    assert!(!following.is_finished());
    assert_eq!(Metrics::read(address).await.value("liveset_connections"), connections);

    network.cut();
    let mut http = Http::connect(address).await;
    for batch in 0..10 {
        let upsert = |n| {
            let node = json!({ "id": batch * 100 + n, "padding": "x".repeat(10_000) });
            json!({ "op": "upsert", "set": "bulk", "node": node })
        };
        let batch: Vec<_> = (0..100).map(upsert).collect();
        assert_eq!(http.post("/batch", &json!(batch).to_string()).await.status, 200);
    }
    wait_for(address, HELD, held).await;
    // The sockets are closed, not only forgotten: what is left is the follower, this client, and the reading itself.
    let metrics = wait_for(address, ["liveset_http_connections"], [3]).await;
    // It was we who gave them up: not a word came from them, not even of the kernel.
    let by = |how: &str| metrics.value(&format!("liveset_connections_closed_total{{by=\"{how}\"}}"));
    assert_eq!((by("gone"), by("peer"), by("aborted"), by("dropped")), (0, 0, 0, 0));
    assert_eq!(by("server") + by("stuck"), 2 * CLIENTS as u64);
    assert!(by("server") >= CLIENTS as u64, "the idle ones: by their deadline");

    // Who is on the other side of it all was served meanwhile, and is.
    let batch = json!([{ "op": "upsert", "set": "orders", "node": { "id": 1, "n": 1 } }]);
    assert_eq!(http.post("/batch", &batch.to_string()).await.status, 200);
    let follower = (&mut following).await.expect("the follower was served");
    assert_eq!(follower.rows["1"]["n"], 1);
}

/// A network of its own, with one link to ours. Gone when dropped.
struct Network {
    name: String,
    /// Our end of the link: a name of at most 15 bytes.
    link: String,
    our_address: String,
}

impl Network {
    fn new() -> Result<Network, String> {
        // Unique by our process, and out of the block for tests of networks (RFC 2544): four addresses a link.
        let id = std::process::id();
        let block = (id << 2) & 0x1_ffff;
        let address =
            |last| format!("198.{}.{}.{}", 18 + (block >> 16), (block >> 8) & 0xff, (block & 0xff) + last);
        let network =
            Network { name: format!("liveset-{id}"), link: format!("lv{id}"), our_address: address(1) };
        let (name, link) = (network.name.as_str(), network.link.as_str());
        ip(&["netns", "add", name])?;
        // From here on, whatever fails takes down what there is.
        ip(&["link", "add", link, "type", "veth", "peer", "name", "uplink", "netns", name])?;
        ip(&["address", "add", &format!("{}/30", address(1)), "dev", link])?;
        ip(&["link", "set", link, "up"])?;
        ip(&["-netns", name, "address", "add", &format!("{}/30", address(2)), "dev", "uplink"])?;
        ip(&["-netns", name, "link", "set", "uplink", "up"])?;
        Ok(network)
    }

    /// Takes the link down at the far end: what is sent there is lost, and nobody is told.
    fn cut(&self) {
        ip(&["-netns", &self.name, "link", "set", "uplink", "down"]).expect("the link goes down");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The link goes with the namespace, but that lives as long as a process in it.
        let _ = ip(&["link", "delete", &self.link]);
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
