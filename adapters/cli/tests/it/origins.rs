//! Which pages may open `/ws`: an option of its own, with a word on handshakes that have no `Origin`.

use crate::support::http::Http;
use crate::support::{Server, run};

/// The status of a handshake from this origin.
async fn upgrade(server: &Server, origin: Option<&str>) -> u16 {
    let mut headers = vec![
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];
    headers.extend(origin.map(|origin| ("origin", origin)));
    let mut http = Http::connect(&server.address).await;
    let answer = http.request("GET", "/ws", &headers, b"").await;
    if answer.status != 101 {
        assert_eq!((answer.status, answer.code().as_str()), (403, "FORBIDDEN"));
    }
    answer.status
}

const SHOP: &str = "https://shop.example";
const OTHER: &str = "https://other.example";

#[tokio::test]
async fn every_policy() {
    for (config, shop, other, absent) in [
        ("", 101, 101, 101),
        ("[cors]\norigins = [\"https://shop.example\"]", 101, 403, 101),
        ("[websocket]\norigins = [\"https://shop.example\"]", 101, 403, 101),
        ("[websocket]\norigins = []", 403, 403, 101),
        ("[websocket]\norigins = [\"https://shop.example\"]\nabsent_origin = \"refuse\"", 101, 403, 403),
        (
            "[cors]\norigins = [\"https://shop.example\"]\n[websocket]\nabsent_origin = \"refuse\"",
            101,
            403,
            403,
        ),
        // Its own list comes in place of that of the other endpoints.
        (
            "[cors]\norigins = [\"https://other.example\"]\n[websocket]\norigins = [\"https://shop.example\"]",
            101,
            403,
            101,
        ),
    ] {
        let server = Server::start(&format!("{config}\n"));
        let found = (
            upgrade(&server, Some(SHOP)).await,
            upgrade(&server, Some(OTHER)).await,
            upgrade(&server, None).await,
        );
        assert_eq!(found, (shop, other, absent), "{config}");
    }
}

/// Apps send origins of schemes of their own.
#[tokio::test]
async fn origins_of_apps() {
    let apps = [
        "capacitor://localhost",
        "ionic://localhost",
        "tauri://localhost",
        "app://obsidian.md",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "moz-extension://0b8c0b1d-9b6f-4a6b-8a40-6b8f2a1d1c11",
        "vscode-webview://1cq4",
    ];
    let listed = apps.map(|origin| format!("{origin:?}")).join(", ");
    let server = Server::start(&format!("[websocket]\norigins = [{listed}]\n[cors]\norigins = [{listed}]\n"));
    for origin in apps {
        assert_eq!(upgrade(&server, Some(origin)).await, 101, "{origin}");
    }
    for other in ["capacitor://evil", "chrome-extension://ponmlkjihgfedcbaponmlkjihgfedcba", "null", SHOP] {
        assert_eq!(upgrade(&server, Some(other)).await, 403, "{other}");
    }
}

#[tokio::test]
async fn flags_win_over_the_file() {
    let server = Server::start_with(
        "[websocket]\norigins = [\"https://other.example\"]\n",
        &[],
        &["--ws-origin", SHOP, "--ws-origin", "http://localhost:5173", "--absent-origin", "refuse"],
    );
    assert_eq!(upgrade(&server, Some(SHOP)).await, 101);
    assert_eq!(upgrade(&server, Some("http://localhost:5173")).await, 101);
    assert_eq!((upgrade(&server, Some(OTHER)).await, upgrade(&server, None).await), (403, 403));
}

#[test]
fn what_is_asked_is_printed_and_what_means_nothing_is_refused() {
    let base = ["serve", "--print-config", "--token", "a=b"];
    let (ok, stdout, _) = run(&[&base[..], &["--ws-origin", SHOP, "--absent-origin", "refuse"]].concat());
    let printed = format!("[websocket]\norigins = [\"{SHOP}\"]\nabsent_origin = \"refuse\"\n");
    assert!(ok && stdout.contains(&printed), "{stdout}");
    let (ok, stdout, _) = run(&base);
    assert!(ok && stdout.contains("[websocket]\nabsent_origin = \"allow\"\n"), "{stdout}");
    for (arguments, said) in [
        (["--absent-origin", "refuse"], "websocket.absent_origin: without a list of origins"),
        (["--ws-origin", "*"], "websocket.origins[0]: \"*\" is not an exact origin"),
        (["--absent-origin", "maybe"], "possible values: allow, refuse"),
    ] {
        let (ok, _, stderr) = run(&[&base[..], &arguments].concat());
        assert!(!ok && stderr.contains(said), "{stderr}");
    }
}
