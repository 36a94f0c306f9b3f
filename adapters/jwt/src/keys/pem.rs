//! Public keys in PEM (RFC 7468) and the little of DER that they need (RFC 5280, RFC 8410).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Key, KeyError, MAX_KEYS};

const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const EC: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
const P256: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07";
const ED25519: &[u8] = b"\x2b\x65\x70";

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const NULL: u8 = 0x05;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// The keys of a text; what stands between the blocks is a comment.
pub(super) fn keys(pem: &str) -> Result<Vec<Key>, KeyError> {
    let mut keys = Vec::new();
    let mut rest = pem;
    while let Some((_, block)) = rest.split_once("-----BEGIN ") {
        let (label, block) =
            block.split_once("-----").ok_or(KeyError::Pem("a block's first line is cut off"))?;
        match label {
            "PUBLIC KEY" => {}
            label if label.ends_with("PRIVATE KEY") => return Err(KeyError::Private),
            "CERTIFICATE" => {
                return Err(KeyError::Pem(
                    "a certificate; take the key out with `openssl x509 -pubkey -noout`",
                ));
            }
            _ => return Err(KeyError::Pem("a block is not called PUBLIC KEY")),
        }
        let (body, after) =
            block.split_once("-----END PUBLIC KEY-----").ok_or(KeyError::Pem("a block has no end"))?;
        rest = after;
        let body: String = body.split_ascii_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| KeyError::Pem("a block is not base64"))?;
        if keys.len() == MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        keys.push(key(&der)?);
    }
    Ok(keys)
}

/// `SubjectPublicKeyInfo`: the algorithm, then the key in bits.
pub(super) fn key(der: &[u8]) -> Result<Key, KeyError> {
    let broken = KeyError::Pem("a key is not SPKI in DER");
    let read = || {
        let mut info = Der(der).only(SEQUENCE)?;
        let mut algorithm = info.next(SEQUENCE)?;
        let bits = info.last(BIT_STRING)?;
        // How many bits of the last byte are none.
        let key = bits.strip_prefix(&[0])?;
        Some((algorithm.next(OBJECT_ID)?.0, algorithm, key))
    };
    let (name, mut parameters, key) = read().ok_or(broken.clone())?;
    match name {
        RSA => {
            let read = |mut parameters: Der<'_>| {
                parameters.last(NULL)?;
                let mut key = Der(key).only(SEQUENCE)?;
                Some((unsigned(key.next(INTEGER)?.0)?.to_vec(), unsigned(key.last(INTEGER)?)?.to_vec()))
            };
            let (modulus, exponent) = read(parameters).ok_or(broken)?;
            Key::rsa(None, &modulus, &exponent)
        }
        EC if parameters.last(OBJECT_ID) == Some(P256) => Key::p256(None, key),
        EC => Err(KeyError::Pem("the curve is not P-256")),
        ED25519 if parameters.0.is_empty() => Key::ed25519(None, key),
        _ => Err(KeyError::Pem("a key is not RSA, P-256 or Ed25519")),
    }
}

/// The bytes of a positive integer without the zero that keeps it from being negative.
fn unsigned(integer: &[u8]) -> Option<&[u8]> {
    match integer {
        [0, rest @ ..] if rest.first().is_some_and(|byte| *byte >= 0x80) => Some(rest),
        [first, ..] if (1..0x80).contains(first) => Some(integer),
        _ => None,
    }
}

/// What is left to read.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next value, which has this tag.
    fn next(&mut self, tag: u8) -> Option<Der<'a>> {
        let (found, rest) = self.0.split_first()?;
        let (first, mut rest) = rest.split_first()?;
        let mut length = usize::from(*first);
        if length >= 0x80 {
            let (bytes, after) = rest.split_at_checked(length - 0x80)?;
            // Lengths that one byte fewer could say are not DER; none here needs more than two bytes.
            length = match bytes {
                [low @ 0x80..=0xff] => usize::from(*low),
                [high @ 1..=0xff, low] => usize::from(*high) << 8 | usize::from(*low),
                _ => return None,
            };
            rest = after;
        }
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        (*found == tag).then_some(Der(content))
    }

    /// The content of the next value, behind which there is nothing.
    fn last(&mut self, tag: u8) -> Option<&'a [u8]> {
        let content = self.next(tag)?;
        self.0.is_empty().then_some(content.0)
    }

    fn only(mut self, tag: u8) -> Option<Der<'a>> {
        self.last(tag).map(Der)
    }
}
