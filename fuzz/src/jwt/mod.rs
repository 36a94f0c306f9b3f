//! The body of the fuzz target: arbitrary bytes in, no panic out, and what is accepted is exactly what should be.

mod reference;

use std::future::Future as _;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use liveset_jwt::{Algorithm, Claims, JwtAuthenticator, KeySet, Refusal};

const SECRET: &[u8] = b"everybody may know this secret of the fuzz target";
const OTHER_SECRET: &[u8] = b"and this one, by which nothing is verified at all";
/// The second at which everything takes place.
const NOW: u64 = 1_800_000_000;
/// An Ed25519 key by two names, and one of P-256 that has none.
const KEYS: &str = r#"{"keys":[
    {"kty":"OKP","crv":"Ed25519","kid":"a","x":"Dsis-5yecDPt4-Hrywq2tFUx-gR0sLN6XPML2pB7wOQ"},
    {"kty":"OKP","crv":"Ed25519","kid":"b","x":"Dsis-5yecDPt4-Hrywq2tFUx-gR0sLN6XPML2pB7wOQ"},
    {"kty":"EC","crv":"P-256","x":"Ojhb8uwf-vUr4uKD3s5fWD64xoGvLKPt8GKRX9IJdD8","y":"sRBLluaSjf7NpuHXzXAy4arGDvQkzbariiuqyeDUY7o"}
]}"#;

/// As many as there are rules in the reference.
static AUTHENTICATORS: LazyLock<[JwtAuthenticator; 3]> = LazyLock::new(|| {
    let secret = || KeySet::from_secret(SECRET).expect("a secret");
    let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let keys = KeySet::from_jwks(KEYS.as_bytes()).expect("keys");
    [
        JwtAuthenticator::builder(secret()).issuer("i").audience("a"),
        JwtAuthenticator::builder(keys)
            .issuer("i")
            .audience("a")
            .audience("c")
            .leeway(Duration::from_secs(5)),
        JwtAuthenticator::builder(secret())
            .issuer("i")
            .any_audience()
            .types(["application/own+jwt"])
            .algorithms([Algorithm::Hs256])
            .leeway(Duration::ZERO)
            .max_token_bytes(400),
    ]
    .map(|builder| builder.clock(clock).build().expect("an authenticator"))
});

/// Who signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signer {
    Secret,
    OtherSecret,
    Ed,
    Ec,
    Nobody,
}

/// What becomes of the token after it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    AsItIs,
    Padded,
    SpareBits,
    FourParts,
    TwoParts,
    Changed,
}

/// How a token is made, and whom it is shown.
#[derive(Clone, Copy, Debug)]
struct Making {
    authenticator: usize,
    signer: Signer,
    form: Form,
}

impl Making {
    /// Three bytes; what is missing is the usual.
    fn read(line: &str) -> Making {
        let byte = |at: usize| line.as_bytes().get(at).copied().unwrap_or(b'0');
        Making {
            authenticator: usize::from(byte(0)) % 3,
            signer: match byte(1) {
                b'o' => Signer::OtherSecret,
                b'e' => Signer::Ed,
                b'c' => Signer::Ec,
                b'n' => Signer::Nobody,
                _ => Signer::Secret,
            },
            form: match byte(2) {
                b'=' => Form::Padded,
                b'b' => Form::SpareBits,
                b'.' => Form::FourParts,
                b'2' => Form::TwoParts,
                b'x' => Form::Changed,
                _ => Form::AsItIs,
            },
        }
    }

    fn token(self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let mut signature = self.signer.sign(message.as_bytes());
        if self.form == Form::Changed
            && let Some(first) = signature.first_mut()
        {
            *first ^= 1;
        }
        let mut signature = URL_SAFE_NO_PAD.encode(&signature);
        match self.form {
            Form::AsItIs | Form::Changed => {}
            Form::Padded => signature.push('='),
            // Of the last character four bits are spare where there are 64 bytes, two where there are 32.
            Form::SpareBits => match signature.pop() {
                Some(last) => signature.push(char::from(last as u8 + 1)),
                None => signature.push('B'),
            },
            Form::FourParts => signature.push_str(".AA"),
            Form::TwoParts => return message,
        }
        format!("{message}.{signature}")
    }
}

impl Signer {
    fn sign(self, message: &[u8]) -> Vec<u8> {
        use jsonwebtoken::Algorithm::{ES256, EdDSA, HS256};
        let (algorithm, key) = match self {
            Signer::Secret => (HS256, EncodingKey::from_secret(SECRET)),
            Signer::OtherSecret => (HS256, EncodingKey::from_secret(OTHER_SECRET)),
            Signer::Ed => (
                EdDSA,
                EncodingKey::from_ed_der(&der(include_str!("../../../adapters/jwt/tests/keys/ed.key.pem"))),
            ),
            Signer::Ec => (
                ES256,
                EncodingKey::from_ec_der(&der(include_str!("../../../adapters/jwt/tests/keys/ec.key.pem"))),
            ),
            Signer::Nobody => return Vec::new(),
        };
        let signer = (DEFAULT_PROVIDER.signer_factory)(&algorithm, &key).expect("a signer");
        signer.try_sign(message).expect("a signature")
    }
}

fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body).expect("base64")
}

/// What is no token is refused, as a token, as keys and as PEM. A header and claims, each on a line, and a line that says how
/// they are signed and whom the token is shown (see `Making`) are accepted exactly where a reference accepts them; what is
/// refused is refused for one of the first things that the reference finds wrong.
pub fn jwt(data: &[u8]) {
    jwt_reached(data);
}

/// The same; tells what became of the token: `accepted`, or why it was refused.
pub fn jwt_reached(data: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(data).ok()?;
    for authenticator in 0..AUTHENTICATORS.len() {
        // Nobody signs by chance.
        assert!(verdict(authenticator, text).is_err(), "an unsigned token was accepted");
    }
    if let Ok(keys) = KeySet::from_jwks(data) {
        assert!((1..=64).contains(&keys.len()));
        assert!(KeySet::from_secret(data).is_err(), "a key set is no secret");
    }
    if let Ok(keys) = KeySet::from_pem(text) {
        assert!((1..=3).contains(&keys.len()), "a key for each algorithm");
        assert!(KeySet::from_secret(data).is_err(), "a PEM is no secret");
    }
    let mut lines = text.splitn(3, '\n');
    let (header, claims) = lines.next().zip(lines.next())?;
    let making = Making::read(lines.next().unwrap_or_default());
    let token = making.token(header, claims);
    let verdict_on_it = verdict(making.authenticator, &token);
    let expected = reference::judge(making, &token, header, claims);
    match (&verdict_on_it, &expected) {
        (Ok(accepted), Ok(expected)) => {
            assert_eq!(accepted.subject(), expected.subject);
            let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(expected.expires);
            assert_eq!(accepted.expires(), expires);
            assert_eq!(accepted.all().len(), expected.claims.len());
            for (name, value) in &expected.claims {
                let name = name.as_deref().expect("text");
                assert!(
                    accepted.claim(name).is_some_and(|claim| reference::is_same(value, claim)),
                    "{name}: {value:?}"
                );
            }
        }
        (Err(refusal), Err(causes)) => assert!(causes.contains(refusal), "{refusal:?}, not {causes:?}"),
        _ => panic!("{making:?}: {verdict_on_it:?}, expected {expected:?}"),
    }
    assert_eq!(verdict(making.authenticator, &token), verdict_on_it, "the same token, the same verdict");
    Some(verdict_on_it.map_or_else(|refusal| format!("{refusal:?}"), |_| "accepted".into()))
}

fn verdict(authenticator: usize, token: &str) -> Result<Claims, Refusal> {
    let verdict = pin!(AUTHENTICATORS[authenticator].verify(token));
    match { verdict }.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(verdict) => verdict,
        Poll::Pending => unreachable!("there is nothing to wait for"),
    }
}
