//! A refusal is logged with its reason, and without the token or anything in it. A binary of its own: `tracing` would remember of
//! a place that logs that nobody listens there, if a thread of another test came to it first.

#[path = "it/support/mod.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod support;

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use liveset::{AuthError, Authenticator as _, Token};
use support::{ISSUER, Signer, authenticator, claims_with, good_token, header, token_of};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Writes every event down.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for &Log {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0.lock().unwrap(), " {field}={value:?}");
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let _ = write!(self.0.lock().unwrap(), "{} {}", event.metadata().level(), event.metadata().target());
        event.record(&mut &*self);
        self.0.lock().unwrap().push('\n');
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn the_host_learns_the_reason_and_the_client_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let log = Log::default();
    let expired = token_of(Signer::Ed, &header(Signer::Ed), &claims_with(serde_json::json!({"exp": 1})));
    let forged = format!("{expired}AA");
    let texts = [
        (expired.as_str(), "the token is expired"),
        (&forged, "the signature is wrong"),
        ("hush", "three parts"),
    ];
    tracing::subscriber::with_default(log.clone(), || {
        for (token, _) in texts {
            let verdict = runtime.block_on(async { authenticator().authenticate(&Token::new(token)).await });
            assert_eq!(verdict, Err(AuthError::Refused));
        }
        assert!(
            runtime
                .block_on(async { authenticator().authenticate(&Token::new(good_token(Signer::Ed))).await })
                .is_ok()
        );
    });
    let log = log.0.lock().unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), texts.len(), "{log}");
    for (line, (token, reason)) in lines.iter().zip(texts) {
        assert!(line.starts_with("DEBUG liveset_jwt") && line.contains(reason), "{line}");
        for part in token.split('.').chain(["alice", ISSUER]) {
            assert!(!line.contains(part), "{line}");
        }
    }
}
