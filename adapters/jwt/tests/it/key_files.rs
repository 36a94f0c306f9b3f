//! Keys from PEM and from key sets: what is read, what is passed over, and what is refused.

use liveset_jwt::{Algorithm, KeyError, KeySet};
use serde_json::json;

use crate::support::{
    EC_PEM, ED_PEM, RSA_PEM, Signer, base64url, builder, der, good_token, jwk, jwks, verdict,
};

fn refused(pem: &str) -> KeyError {
    KeySet::from_pem(pem).map(drop).expect_err("it is refused")
}

#[test]
fn several_keys_in_one_pem_with_comments_between() {
    let keys = KeySet::from_pem(&format!("# RSA\n{RSA_PEM}\r\nEd25519:\n{ED_PEM}\n\n")).unwrap();
    assert_eq!(keys.algorithms().collect::<Vec<_>>(), [Algorithm::Rs256, Algorithm::EdDsa]);
    assert_eq!(keys.len(), 2);
    assert!(KeySet::from_pem(&EC_PEM.replace('\n', "\r\n")).is_ok());
}

#[test]
fn what_is_no_public_key_in_pem() {
    assert_eq!(refused(""), KeyError::None);
    assert_eq!(refused("hello"), KeyError::None);
    assert_eq!(refused(include_str!("../keys/rsa.key.pem")), KeyError::Private);
    assert_eq!(refused(include_str!("../keys/ed.key.pem")), KeyError::Private);
    assert_eq!(refused(&format!("{ED_PEM}{}", include_str!("../keys/ec.key.pem"))), KeyError::Private);
    assert!(refused(include_str!("../keys/tls.pem")).to_string().contains("openssl x509 -pubkey"));
    assert_eq!(refused(include_str!("../keys/small-rsa.pem")), KeyError::RsaSize);
    assert!(refused(include_str!("../keys/p384.pem")).to_string().contains("P-256"));
    assert_eq!(
        refused(&format!("{RSA_PEM}{}", include_str!("../keys/other-rsa.pem"))),
        KeyError::Twice(Algorithm::Rs256)
    );
    assert!(matches!(refused("-----BEGIN "), KeyError::Pem(_)));
    assert!(matches!(refused("-----BEGIN PUBLIC KEY-----"), KeyError::Pem(_)));
    assert!(matches!(refused("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----"), KeyError::Pem(_)));
    assert!(matches!(refused("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----"), KeyError::Pem(_)));
}

/// Every prefix of every key, and every key with any one byte changed, is read without harm.
#[test]
fn cut_and_changed_der() {
    use base64::Engine as _;
    let pem = |der: &[u8]| {
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    };
    for whole in [RSA_PEM, EC_PEM, ED_PEM] {
        let der = der(whole);
        assert!(KeySet::from_pem(&pem(&der)).is_ok());
        for length in 0..der.len() {
            assert!(KeySet::from_pem(&pem(&der[..length])).is_err(), "the first {length} bytes");
        }
        assert!(KeySet::from_pem(&pem(&[&der[..], &[0]].concat())).is_err(), "a byte behind");
        for place in 0..der.len().min(40) {
            for change in [1, 0x7f, 0x80, 0xff] {
                let mut changed = der.clone();
                changed[place] ^= change;
                let _ = KeySet::from_pem(&pem(&changed));
            }
        }
    }
}

#[test]
fn keys_for_something_else_are_passed_over() {
    let mut encryption = jwk(Signer::Rsa, "a");
    encryption["use"] = json!("enc");
    let mut other_algorithm = jwk(Signer::Rsa, "b");
    other_algorithm["alg"] = json!("PS256");
    let mut operation = jwk(Signer::Ec, "c");
    operation["key_ops"] = json!(["deriveKey"]);
    let other_curve = json!({"kty": "EC", "crv": "secp256k1", "kid": "d", "x": "AA", "y": "AA"});
    let other_kind = json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "e", "pub": "AA"});
    let montgomery = json!({"kty": "OKP", "crv": "X25519", "kid": "f", "x": "AA"});
    let strange = [encryption, other_algorithm, operation, other_curve, other_kind, montgomery, json!({})];
    assert_eq!(KeySet::from_jwks(&jwks(strange.clone())).map(drop), Err(KeyError::None));
    let keys = KeySet::from_jwks(&jwks(strange.into_iter().chain([jwk(Signer::Ed, "g")]))).unwrap();
    assert_eq!((keys.len(), keys.algorithms().collect::<Vec<_>>()), (1, vec![Algorithm::EdDsa]));
    let mut verifies = jwk(Signer::Ec, "c");
    verifies["key_ops"] = json!(["verify"]);
    assert!(KeySet::from_jwks(&jwks([verifies])).is_ok());
}

#[test]
fn what_is_no_key_set() {
    let of = |name: &str, value: serde_json::Value| {
        let mut key = jwk(Signer::Rsa, "a");
        key[name] = value;
        key
    };
    // Alone it says what is wrong; beside a good one it is passed over (RFC 7517, 5).
    let with = |name: &str, value: serde_json::Value| {
        let beside = KeySet::from_jwks(&jwks([jwk(Signer::Ed, "b"), of(name, value.clone())])).unwrap();
        assert_eq!((beside.len(), beside.algorithms().next()), (1, Some(Algorithm::EdDsa)), "{name}");
        KeySet::from_jwks(&jwks([of(name, value)])).map(drop).unwrap_err()
    };
    // A private key is no oversight, whatever else is wrong with it.
    let mut odd = of("d", json!("AQAB"));
    odd["kid"] = json!(1);
    for private in [of("d", json!("AQAB")), odd] {
        let beside = KeySet::from_jwks(&jwks([jwk(Signer::Ed, "b"), private]));
        assert_eq!(beside.map(drop), Err(KeyError::Private));
    }
    for (name, value) in [
        ("n", json!("====")),
        ("e", json!("")),
        ("e", json!("AQ")),
        ("e", json!("AAEAAQ")),
        ("e", json!("AQAA")),
        ("e", json!("AQAAAAE")),
        ("kid", json!("a".repeat(257))),
    ] {
        assert_eq!(with(name, value.clone()), KeyError::Broken, "{name}: {value}");
    }
    for weak in ["", "AQAB", "AA"] {
        assert_eq!(with("n", json!(weak)), KeyError::RsaSize, "{weak}");
    }
    for (name, value) in [("kid", json!(1)), ("kty", json!(1)), ("n", json!(1)), ("key_ops", json!("verify"))]
    {
        assert!(matches!(with(name, value), KeyError::Jwks(_)), "{name}");
    }
    for (name, value) in [("x", json!("AA")), ("y", json!("AA"))] {
        let mut key = jwk(Signer::Ec, "a");
        key[name] = value;
        assert_eq!(KeySet::from_jwks(&jwks([key])).map(drop), Err(KeyError::Broken));
    }
    for text in
        ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, r#"{"keys":[],"keys":[]}"#, "{\"keys\":[]} x"]
    {
        assert!(matches!(KeySet::from_jwks(text.as_bytes()), Err(KeyError::Jwks(_))), "{text}");
    }
    assert_eq!(KeySet::from_jwks(br#"{"keys":[]}"#).map(drop), Err(KeyError::None));
    let same_id = jwks([jwk(Signer::Rsa, "a"), jwk(Signer::OtherRsa, "a")]);
    assert_eq!(KeySet::from_jwks(&same_id).map(|keys| keys.len()), Ok(1), "the first counts");
    let of_two_kinds = jwks([jwk(Signer::Rsa, "a"), jwk(Signer::Ed, "a")]);
    assert_eq!(
        KeySet::from_jwks(&of_two_kinds).map(|keys| keys.len()),
        Ok(2),
        "an id is one within its kind"
    );
    let many = (0..65).map(|id| jwk(Signer::Ed, &id.to_string()));
    assert_eq!(KeySet::from_jwks(&jwks(many)).map(drop), Err(KeyError::TooMany));
}

#[test]
fn what_is_published_is_no_secret() {
    let set = String::from_utf8(jwks([jwk(Signer::Rsa, "a")])).unwrap();
    let twice = r#"{"kty":"oct","kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
    for public in [
        RSA_PEM,
        &set,
        &jwk(Signer::Ec, "a").to_string(),
        &format!(" \n{set}\n"),
        twice,
        r#"{"keys":"of whatever kind, and of what use they may be"}"#,
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGdbVQrJbFKhYyNVDZzfUoEcnjLO",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY",
    ] {
        assert_eq!(KeySet::from_secret(public.as_bytes()).map(drop), Err(KeyError::PublicSecret), "{public}");
    }
    assert!(KeySet::from_secret(br#"{"secret":"that somebody has put into an object"}"#).is_ok());
}

#[test]
fn moduli_have_leading_zeros_at_most() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let with = |change: fn(&mut Vec<u8>)| {
        let mut key = jwk(Signer::Rsa, "a");
        let mut modulus = URL_SAFE_NO_PAD.decode(key["n"].as_str().unwrap()).unwrap();
        change(&mut modulus);
        key["n"] = json!(base64url(modulus));
        key
    };
    let zeros = with(|modulus| modulus.splice(0..0, [0, 0]).for_each(drop));
    let keys = KeySet::from_jwks(&jwks([zeros])).unwrap();
    assert!(verdict(&builder(keys).build().unwrap(), &good_token(Signer::Rsa)).is_ok());
    let padded = with(|modulus| modulus[..128].fill(0));
    assert_eq!(KeySet::from_jwks(&jwks([padded])).map(drop), Err(KeyError::RsaSize));
    let even = with(|modulus| *modulus.last_mut().unwrap() &= 0xfe);
    assert_eq!(KeySet::from_jwks(&jwks([even])).map(drop), Err(KeyError::Broken));
}
