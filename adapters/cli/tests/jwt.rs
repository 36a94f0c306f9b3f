//! `[jwt]`: tokens of an issuer, beside and instead of those of the configuration, over real sockets. A binary of its
//! own, because it needs a feature.

#[path = "it/support/mod.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::http::Http;
use support::{READER, Server, TOKEN, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const SECRET: &str = "a secret of more than 32 bytes, as it should be";

const CONFIG: &str = r#"
[jwt]
issuer = "https://issuer.example"
audience = "liveset"
secret_file = "hs256.secret"
write_scope = "liveset:write"
[[set]]
name = "orders"
"#;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// HMAC with SHA-256 (RFC 2104), for a secret of up to 64 bytes.
fn hmac(secret: &str, message: &str) -> Vec<u8> {
    let pad = |with: u8| -> Vec<u8> {
        (0..64).map(|at| secret.as_bytes().get(at).copied().unwrap_or(0) ^ with).collect()
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

fn token(secret: &str, changes: &Value) -> String {
    let mut claims =
        json!({"iss": "https://issuer.example", "aud": "liveset", "sub": "alice", "exp": now() + 600});
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(claims.to_string().as_bytes()));
    format!("{message}.{}", encode(&hmac(secret, &message)))
}

/// The statuses of a query and of a commit with this token.
async fn statuses(server: &Server, token: &str) -> [u16; 2] {
    let mut http = Http::connect(&server.address).await;
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let query = http.request("POST", "/query", &headers, br#"{"edge":"orders"}"#).await.status;
    let commit = br#"[{"op":"upsert","set":"orders","node":{"id":1}}]"#;
    [query, http.request("POST", "/batch", &headers, commit).await.status]
}

#[tokio::test]
async fn beside_the_tokens_of_the_configuration() {
    let server = Server::start_with(CONFIG, &[("hs256.secret", format!("{SECRET}\n").as_bytes())], &[]);
    for (token, due) in [
        (token(SECRET, &json!({})), [200, 403]),
        (token(SECRET, &json!({"scope": "read liveset:write"})), [200, 200]),
        (token(SECRET, &json!({"scope": "liveset:writer"})), [200, 403]),
        (token(SECRET, &json!({"exp": now() - 100})), [401, 401]),
        (token(SECRET, &json!({"aud": "other"})), [401, 401]),
        (token(SECRET, &json!({"iss": "https://evil.example"})), [401, 401]),
        (token("another secret of more than 32 bytes, by somebody else", &json!({})), [401, 401]),
        (TOKEN.to_owned(), [200, 200]),
        (READER.to_owned(), [200, 403]),
        ("nonsense".to_owned(), [401, 401]),
    ] {
        assert_eq!(statuses(&server, &token).await, due, "{token}");
    }
    assert!(!server.log().contains("alice"), "{}", server.log());
}

#[tokio::test]
async fn instead_of_tokens_and_with_other_keys_after_sighup() {
    let file = "hs256.secret";
    let config = format!("{CONFIG}[auth]\ntokens = []\n");
    let server = Server::start_with(&config, &[(file, SECRET.as_bytes())], &[]);
    let old = token(SECRET, &json!({}));
    assert_eq!(statuses(&server, &old).await, [200, 403]);
    let other = "another secret of more than 32 bytes, put there later";
    std::fs::write(server.folder.path().join(file), other).unwrap();
    server.signal("HUP");
    server.wait_for_log("read the keys of JSON Web Tokens again");
    assert_eq!(statuses(&server, &old).await, [401, 401]);
    assert_eq!(statuses(&server, &token(other, &json!({}))).await, [200, 403]);
    std::fs::write(server.folder.path().join(file), "short").unwrap();
    server.signal("HUP");
    server.wait_for_log("nothing was changed: [jwt]");
    assert_eq!(statuses(&server, &token(other, &json!({}))).await, [200, 403]);
}

/// A reload that would take keys from a file of another kind, or keys for no accepted algorithm, leaves them as they are.
#[tokio::test]
async fn keys_of_another_kind_wait_for_a_restart() {
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    let config = format!("{CONFIG}[auth]\ntokens = []\n");
    let files = [("hs256.secret", SECRET.as_bytes()), ("public.pem", public.as_bytes())];
    let server = Server::start_with(&config, &files, &[]);
    let token = token(SECRET, &json!({}));
    let other = config.replace("secret_file = \"hs256.secret\"", "pem_file = \"public.pem\"");
    assert_ne!(other, config);
    std::fs::write(server.config_file(), other).unwrap();
    server.signal("HUP");
    server.wait_for_log("needs a restart to take effect");
    assert!(!server.log().contains("read the keys of JSON Web Tokens again"), "{}", server.log());
    assert_eq!(statuses(&server, &token).await, [200, 403]);
}

#[test]
fn what_is_wrong_is_named_and_what_is_right_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("liveset.toml");
    let path = file.to_str().unwrap();
    std::fs::write(folder.path().join("empty"), "").unwrap();
    let start = |config: &str| {
        std::fs::write(&file, config).unwrap();
        let (ok, stdout, stderr) = run(&["serve", "--listen", "127.0.0.1:0", "--config", path]);
        assert!(!ok, "it started: {stdout}");
        stderr
    };
    let with = |lines: &str| format!("[jwt]\nissuer = \"i\"\naudience = \"a\"\n{lines}\n");
    for (config, what) in [
        ("[jwt]\naudience = \"a\"".to_owned(), "liveset.toml:1:1: jwt: missing field `issuer`"),
        ("[jwt]\nissuer = \"\"".to_owned(), "liveset.toml:2:10: jwt.issuer: "),
        ("[jwt]\nissuer = \"i\"\njwks_file = \"k\"".to_owned(), "jwt: `audience` is missing"),
        (with("any_audience = true"), "jwt.any_audience: there is an audience"),
        (with(""), "jwt: one of `pem_file`"),
        (with("pem_file = \"k\"\njwks_file = \"k\""), "jwt: one of `pem_file`"),
        (with("pem_file = \"k\"\njwks_ca = \"k\""), "jwt.jwks_ca: there is no `jwks_url`"),
        (with("pem_file = \"k\"\nalgorithms = [\"HS256\"]"), "jwt.algorithms: HS256 needs a `secret_file`"),
        (with("pem_file = \"k\"\nalgorithms = [\"none\"]"), "jwt.algorithms: not one of"),
        (
            with("secret_file = \"k\"\nalgorithms = [\"RS256\"]"),
            "jwt.algorithms: a secret is for HS256 alone",
        ),
        (with("pem_file = \"k\"\nleeway = \"11m\""), "jwt.leeway: more than 10 minutes"),
        (with("pem_file = \"k\"\nleeway = 60"), "jwt.leeway: "),
        (with("pem = \"k\""), "jwt.pem: unknown field `pem`"),
        (with("pem_file = \"missing\""), "[jwt] pem_file: "),
        (with("pem_file = \"empty\""), "there is no key for RS256, ES256 or EdDSA"),
        (with("secret_file = \"empty\""), "at least 32 bytes"),
        (with("jwks_url = \"http://issuer.example/\""), "[jwt] jwks_url: without TLS"),
    ] {
        let error = start(&config);
        assert!(error.contains(what), "{config}\nshould say {what}\n{error}");
    }

    std::fs::write(&file, with("secret_file = \"s\"\nleeway = \"5s\"")).unwrap();
    let (ok, shown, stderr) = run(&["serve", "--print-config", "--config", path]);
    assert!(ok, "{stderr}");
    let table: toml::Table = toml::from_str(&shown).unwrap();
    assert_eq!(table["jwt"]["leeway"].as_str(), Some("5s"));
    assert_eq!(table["jwt"]["audience"][0].as_str(), Some("a"));
    assert_eq!(table["jwt"]["secret_file"].as_str(), folder.path().join("s").to_str());
    std::fs::write(&file, &shown).unwrap();
    let (ok, again, stderr) = run(&["serve", "--print-config", "--config", path]);
    assert!(ok, "{stderr}");
    assert_eq!(again, shown);
}

/// Whoever cannot reach the issuer does not blame the token for it.
#[tokio::test]
async fn an_issuer_that_is_down_is_answered_503() {
    let config = CONFIG.replace("secret_file = \"hs256.secret\"", "jwks_url = \"http://127.0.0.1:1/\"");
    let server = Server::start(&config);
    let token = token(SECRET, &json!({})).replace(
        &URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256"}"#),
        &URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256","kid":"a"}"#),
    );
    let mut http = Http::connect(&server.address).await;
    let answer = http.get("/metrics", Some(&token)).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "OVERLOADED"), "{}", answer.text());
    assert_eq!(answer.header("retry-after"), Some("10"));
    assert_eq!(statuses(&server, TOKEN).await, [200, 200]);
}

#[tokio::test]
async fn a_token_may_be_as_long_as_the_limit_says() {
    let long = token(SECRET, &json!({"about": "x".repeat(300)}));
    for (limit, due) in [(long.len(), [200, 403]), (long.len() - 1, [401, 401])] {
        let config = format!("{CONFIG}[limits.jwt]\nmax_token_bytes = {limit}\n");
        let server = Server::start_with(&config, &[("hs256.secret", SECRET.as_bytes())], &[]);
        assert_eq!(statuses(&server, &long).await, due);
    }
}

/// An address of this machine with a key set, until it hangs; and how often it was asked.
async fn issuer() -> (String, Arc<AtomicUsize>, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (asked, hangs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let keys = json!({"keys": [{
        "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE",
    }]});
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}", keys.to_string().len());
    tokio::spawn({
        let (asked, hangs) = (asked.clone(), hangs.clone());
        async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                asked.fetch_add(1, Ordering::SeqCst);
                let (answer, hangs) = (answer.clone(), hangs.load(Ordering::SeqCst));
                tokio::spawn(async move {
                    let mut head = [0; 4096];
                    let _ = socket.read(&mut head).await;
                    if !hangs {
                        let _ = socket.write_all(answer.as_bytes()).await;
                    }
                    while socket.read(&mut head).await.is_ok_and(|read| read > 0) {}
                });
            }
        }
    });
    (url, asked, hangs)
}

// The issuer goes on while the server is started.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_old_keys_may_be_and_how_long_a_fetch_may_take_are_limits() {
    let (url, asked, hangs) = issuer().await;
    let source = format!("jwks_url = \"{url}\"");
    let config = CONFIG.replace("secret_file = \"hs256.secret\"", &source);
    let hurried = "[limits.jwt]\nkeys_max_age = \"0s\"\nkeys_max_stale = \"1s\"\nkeys_min_interval = \"0s\"\nkeys_timeout = \"1s\"\n";
    // Its key is known, and its signature is none of that key's.
    let bad = token(SECRET, &json!({})).replace(
        &URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256"}"#),
        &URL_SAFE_NO_PAD.encode(br#"{"alg":"EdDSA","kid":"a"}"#),
    );
    let calm = Server::start(&config);
    let before = asked.load(Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(statuses(&calm, &bad).await, [401, 401]);
    }
    assert_eq!((before, asked.load(Ordering::SeqCst)), (1, 1), "ten minutes are not over");

    let server = Server::start(&format!("{config}{hurried}"));
    // Each token has them fetched again, unless that is under way.
    let more = async {
        while asked.load(Ordering::SeqCst) < 4 {
            assert_eq!(statuses(&server, &bad).await, [401, 401]);
        }
    };
    tokio::time::timeout(Duration::from_secs(30), more).await.expect("they are fetched again");
    hangs.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(statuses(&server, &bad).await, [503, 503]);
    server.wait_for_log("no answer within 1s");
    assert_eq!(statuses(&calm, &bad).await, [401, 401], "a day is not over");
}
