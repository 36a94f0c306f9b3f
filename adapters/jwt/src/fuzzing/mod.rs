//! The body of the fuzz target: arbitrary bytes in, no panic out, and nothing accepted that should not be.

use std::future::Future as _;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;

use crate::{Claims, JwtAuthenticator, KeySet, Refusal};

const SECRET: &[u8] = b"everybody may know this secret of the fuzz target";
const NOW: Duration = Duration::from_secs(1_800_000_000);

static AUTHENTICATOR: LazyLock<JwtAuthenticator> = LazyLock::new(|| {
    JwtAuthenticator::builder(KeySet::from_secret(SECRET).expect("a secret"))
        .issuer("i")
        .audience("a")
        .clock(|| SystemTime::UNIX_EPOCH + NOW)
        .build()
        .expect("an authenticator")
});

/// What is no token is refused, as a token, as keys and as PEM; a header and claims, each on a line and then signed, are
/// accepted only if they say what they must, and never again with another signature.
pub fn jwt(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Nobody signs by chance.
    assert!(verdict(text).is_err(), "an unsigned token was accepted");
    if let Ok(keys) = KeySet::from_jwks(data) {
        assert!((1..=64).contains(&keys.len()));
        assert!(KeySet::from_secret(data).is_err(), "a key set is no secret");
    }
    if let Ok(keys) = KeySet::from_pem(text) {
        assert!((1..=3).contains(&keys.len()), "a key for each algorithm");
        assert!(KeySet::from_secret(data).is_err(), "a PEM is no secret");
    }
    let Some((header, claims)) = text.split_once('\n') else { return };
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut signature = sign(message.as_bytes());
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&signature));
    let Ok(claims) = verdict(&token) else { return };
    assert!((1..=256).contains(&claims.subject().len()));
    assert!(claims.expires() > SystemTime::UNIX_EPOCH + NOW);
    assert_eq!(claims.claim("iss").and_then(|issuer| issuer.as_str()), Some("i"));
    let audience = claims.claim("aud").expect("an audience");
    assert!(audience == "a" || audience.as_array().is_some_and(|list| list.iter().any(|item| item == "a")));
    assert_eq!(verdict(&token), Ok(claims), "the same token, the same verdict");
    signature[0] ^= 1;
    let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&signature));
    assert_eq!(verdict(&forged), Err(Refusal::Signature));
    assert!(verdict(&format!("{token}=")).is_err() && verdict(&format!("{token}.")).is_err());
}

fn sign(message: &[u8]) -> Vec<u8> {
    let key = EncodingKey::from_secret(SECRET);
    let signer = (DEFAULT_PROVIDER.signer_factory)(&jsonwebtoken::Algorithm::HS256, &key).expect("a signer");
    signer.try_sign(message).expect("a signature")
}

fn verdict(token: &str) -> Result<Claims, Refusal> {
    let verdict = pin!(AUTHENTICATOR.verify(token));
    match { verdict }.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(verdict) => verdict,
        Poll::Pending => unreachable!("there is nothing to wait for"),
    }
}
