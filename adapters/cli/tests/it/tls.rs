//! `[tls]`: everything that a server does, inside TLS, and the commands as its clients.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{self, NO_DRAIN, PATIENCE, Server, TOKEN, liveset, run, wait};

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

fn content(name: &str) -> Vec<u8> {
    std::fs::read(certificate(name)).unwrap()
}

const CONFIG: &str = "[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n[[set]]\nname = \"orders\"\n";

fn start(more: &str) -> Server {
    let files = [("cert.pem", content("server.pem")), ("key.pem", content("server.key.pem"))];
    let files = files.each_ref().map(|(name, content)| (*name, content.as_slice()));
    Server::start_with(&format!("{CONFIG}{more}"), &files, &[])
}

async fn connect(address: &str) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate("authority.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

fn certificate_of(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn in_file(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(certificate(name)).unwrap()
}

async fn next(socket: &mut WebSocketStream<TlsStream<TcpStream>>) -> Message {
    timeout(PATIENCE, socket.next()).await.expect("a message in time").expect("a message").unwrap()
}

async fn ask(socket: &mut WebSocketStream<TlsStream<TcpStream>>, message: Value) -> Value {
    socket.send(Message::text(message.to_string())).await.unwrap();
    serde_json::from_str(next(socket).await.to_text().unwrap()).unwrap()
}

#[tokio::test]
async fn http_and_websockets_are_served_inside_tls_and_end_with_a_word_of_tls() {
    let mut server = start(NO_DRAIN);
    let mut http = connect(&server.address).await;
    http.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    // Without a close_notify this is an error: what was cut off looks like what has ended.
    timeout(PATIENCE, http.read_to_string(&mut answer)).await.unwrap().expect("a close_notify");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"{"status":"ok"}"#), "{answer}");

    let stream = connect(&server.address).await;
    let (mut socket, _) = tokio_tungstenite::client_async("wss://localhost/ws", stream).await.unwrap();
    let answer = ask(&mut socket, json!({ "type": "auth", "token": TOKEN })).await;
    assert_eq!(answer, json!({ "type": "authenticated" }));
    // Larger than a record of TLS.
    let padding = "x".repeat(50_000);
    let answer = ask(&mut socket, json!({ "type": "ping", "requestId": "r", "padding": padding })).await;
    assert_eq!(answer, json!({ "type": "pong", "requestId": "r" }));

    server.signal("TERM");
    match next(&mut socket).await {
        Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1001),
        other => panic!("not a close frame: {other:?}"),
    }
    // The answer to the close frame goes out, and then the end comes as TLS has it.
    assert!(timeout(PATIENCE, socket.next()).await.unwrap().is_none());
    let mut rest = Vec::new();
    timeout(PATIENCE, socket.get_mut().read_to_end(&mut rest)).await.unwrap().expect("a close_notify");
    drop(socket);
    assert!(server.wait().success());
}

#[tokio::test]
async fn whoever_speaks_no_tls_is_let_go_and_disturbs_nobody() {
    let server = start("[limits.http]\nheader_timeout = \"300ms\"\n");
    let mut silent = TcpStream::connect(&server.address).await.unwrap();
    let mut plain = TcpStream::connect(&server.address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    // In the middle of a handshake.
    let mut slow = TcpStream::connect(&server.address).await.unwrap();
    slow.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
    for stream in [&mut silent, &mut plain, &mut slow] {
        let mut said = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the end in time");
        assert!(!said.starts_with(b"HTTP"), "{said:?}");
    }
    connect(&server.address).await;
}

#[tokio::test]
async fn hangup_reads_the_certificate_again() {
    let server = start("");
    let mut before = connect(&server.address).await;
    assert_eq!(certificate_of(&before), in_file("server.pem"));

    // The new certificate with the old key: nothing changes.
    let folder = server.folder.path();
    std::fs::write(folder.join("cert.pem"), content("renewed.pem")).unwrap();
    server.signal("HUP");
    server.wait_for_log("nothing was changed: [tls]");
    assert!(server.log().contains("the key is not that of the certificate"), "{}", server.log());
    assert_eq!(certificate_of(&connect(&server.address).await), in_file("server.pem"));

    std::fs::write(folder.join("key.pem"), content("renewed.key.pem")).unwrap();
    server.signal("HUP");
    server.wait_for_log("read the certificate again");
    assert_eq!(certificate_of(&connect(&server.address).await), in_file("renewed.pem"));
    // Who is connected stays.
    before.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, before.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[test]
fn what_is_wrong_with_the_files_is_said_with_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let file = folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let cert = file("cert.pem", &content("server.pem"));
    let key = file("key.pem", &content("server.key.pem"));
    let other = file("other.pem", &content("renewed.key.pem"));
    let empty = file("empty.pem", b"");
    let broken = file("broken.pem", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n");
    let missing = folder.path().join("missing.pem").to_str().unwrap().to_owned();
    for (arguments, file, problem) in [
        (vec!["--tls-cert", &missing, "--tls-key", &key], &missing, "No such file"),
        (vec!["--tls-cert", &cert, "--tls-key", &missing], &missing, "No such file"),
        (vec!["--tls-cert", &empty, "--tls-key", &key], &empty, "no certificate"),
        (vec!["--tls-cert", &key, "--tls-key", &key], &key, "no certificate"),
        (vec!["--tls-cert", &cert, "--tls-key", &cert], &cert, "no private key"),
        (vec!["--tls-cert", &broken, "--tls-key", &key], &broken, "not PEM"),
        (vec!["--tls-cert", &cert, "--tls-key", &other], &other, "not that of the certificate"),
        (vec!["--tls-cert", &cert], &"--tls-cert".to_owned(), "needs --tls-key"),
        (vec!["--tls-key", &key], &"--tls-key".to_owned(), "needs --tls-cert"),
    ] {
        let mut all = vec!["serve", "--listen", "127.0.0.1:0", "--token", "a=b"];
        all.extend(&arguments);
        let (ok, _, stderr) = run(&all);
        assert!(!ok && stderr.contains(file.as_str()) && stderr.contains(problem), "{arguments:?}: {stderr}");
    }
    let (ok, stdout, stderr) =
        run(&["serve", "--print-config", "--tls-cert", &cert, "--tls-key", &key, "--token", "a=b"]);
    assert!(ok && stdout.contains(&format!("[tls]\ncert = {cert:?}\nkey = {key:?}")), "{stdout}{stderr}");
}

#[tokio::test]
async fn watch_and_replay_speak_tls() {
    let server = start("");
    let authority = certificate("authority.pem");
    let authority = authority.to_str().unwrap();
    let stream = server.folder.path().join("stream.ndjson");
    let commit = r#"{"at":"2025-01-01T00:00:00Z","ops":[{"op":"upsert","set":"orders","node":{"id":"o1"}}]}"#;
    std::fs::write(&stream, format!("{commit}\n")).unwrap();
    let url = format!("https://{}", server.address);
    let replay = ["replay", stream.to_str().unwrap(), "--url", &url, "--token", TOKEN, "--speed", "max"];
    let (ok, _, stderr) = run(&[&replay[..], &["--ca", authority]].concat());
    assert!(ok, "{stderr}");

    // By the name in the certificate, and by its address.
    for host in [server.address.clone(), server.address.replace("127.0.0.1", "localhost")] {
        let url = format!("wss://{host}/ws");
        let watch = ["watch", &url, "--token", TOKEN, "--set", "orders", "--json", "--ca", authority];
        let mut child = liveset(&watch).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            use std::io::BufRead;
            std::io::BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        loop {
            let line = lines.recv_timeout(PATIENCE).expect("a line");
            if line.contains("\"liveQueryData\"") {
                assert!(line.contains("o1"), "{line}");
                break;
            }
        }
        support::signal(child.id(), "INT");
        assert!(wait(&mut child).success());
    }
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_talked_to() {
    let server = start("");
    // A certificate that is right, of an authority that is none.
    let stranger = certificate("renewed.pem");
    let url = format!("wss://{}", server.address);
    let stranger = stranger.to_str().unwrap();
    let watch = ["watch", &url, "--token", TOKEN, "--set", "orders", "--json", "--ca", stranger];
    let file = server.folder.path().join("stream.ndjson");
    std::fs::write(&file, "{\"ops\":[]}\n").unwrap();
    let replay = ["replay", file.to_str().unwrap(), "--url", &url, "--token", TOKEN, "--ca", stranger];
    for command in [&watch[..], &replay[..]] {
        let (ok, _, stderr) = run(command);
        assert!(!ok && stderr.contains("certificate is not trusted") && stderr.contains("--ca"), "{stderr}");
        assert!(!stderr.contains(TOKEN), "{stderr}");
    }
    // Who takes it for a server without TLS is told.
    let plain = format!("ws://{}", server.address);
    let (ok, _, stderr) = run(&["watch", &plain, "--token", TOKEN, "--set", "orders"]);
    assert!(!ok && stderr.contains(&format!("{plain}/ws: ")) && stderr.contains("wss://"), "{stderr}");
    let (ok, _, stderr) = run(&["replay", file.to_str().unwrap(), "--url", &plain, "--token", TOKEN]);
    assert!(!ok && stderr.contains("https://"), "{stderr}");

    let (ok, _, stderr) =
        run(&["watch", "wss://localhost", "--token", TOKEN, "--set", "orders", "--ca", "/nowhere.pem"]);
    assert!(!ok && stderr.contains("/nowhere.pem: No such file"), "{stderr}");
}
